/** The bundle does not hold: a member of it, or all of it, is not what it should be. */
export class BundleRefusedError extends Error {
  override name = "BundleRefusedError";
  /** `member` is what is wrong, or where it is. */
  constructor(readonly member: string, readonly reason: string, options: ErrorOptions = {}) {
    super(`${member}: ${reason}`, options);
  }
}
