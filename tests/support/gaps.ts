/**
 * What of the gaps is the test's.
 *
 * @module
 */

/** The gaps, but those of forks by process 1: kernels of sandboxes run no eBPF in it, and its forks are its own affair. */
export const GAPS = "(SELECT * FROM gaps WHERE reason NOT LIKE '%; process 1 made them')";
