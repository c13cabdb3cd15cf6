/**
 * The length of every hash, apart from the functions: who only reads formats need not load those.
 *
 * @module
 */

export const DIGEST_BYTES = 32;
