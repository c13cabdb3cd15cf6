/**
 * The policy of responses, as its file says it at this moment.
 *
 * Read for every request, so that what root takes away holds at once. It counts only where nobody but root could have
 * written it, or any directory above it; what is wrong with it is a {@linkcode PolicyError} in words for an operator.
 *
 * @module
 */
import { MAX_POLICY_BYTES, parsePolicy, PolicyError, type ResponsePolicy } from "../../proto/response/policy.ts";
import { faultOfRootFile } from "../kernel/file_owner.ts";
import { SystemCallError } from "../kernel/libc.ts";
import { readWholeFile } from "../kernel/procfs.ts";

/** @throws {PolicyError} */
export function readPolicy(path: string): ResponsePolicy {
  const wrong = (why: string, mend: string): PolicyError =>
    new PolicyError(`The policy ${path} is refused: ${why}; ${mend}`);
  let fault: string | null;
  try {
    fault = faultOfRootFile(path);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw wrong("it is not there, or cannot be looked at", `write it as root (see docs/response.md)`);
  }
  if (fault !== null) {
    throw wrong(
      `nobody but root may be able to change it, but ${fault}`,
      `'chown root' and 'chmod 644' what is named, after a look at what it says`,
    );
  }
  const bytes = readWholeFile(path, MAX_POLICY_BYTES + 1);
  if (bytes === null) {
    throw wrong("the response helper's user cannot read it", `'chmod 644 ${path}' (it holds no secret)`);
  }
  if (bytes.length > MAX_POLICY_BYTES) throw wrong(`it is longer than ${MAX_POLICY_BYTES} bytes`, "shorten it");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw wrong("it is not UTF-8", "write it anew");
  }
  try {
    return parsePolicy(text);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw wrong(error.message, "mend that line (see docs/response.md)");
  }
}
