/**
 * What ends a connection by the peer's fault.
 *
 * @module
 */

/** The peer said something that its part in the conversation does not allow. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}
