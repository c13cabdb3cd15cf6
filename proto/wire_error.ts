/**
 * The one error of everything that decodes bytes of a peer or a file of this project.
 *
 * @module
 */

/** Bytes that are not what the protocol says, or a value that it cannot carry; the message says which and why. */
export class WireError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "WireError";
}
