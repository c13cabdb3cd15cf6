/**
 * The ancestors of an alert's process as the store has them: a list for each, without names, since every alert has some.
 *
 * `[[execId, name, executablePath, userName], …]`, the parent first; the pid is in the first.
 *
 * @module
 */
import type { Ancestor } from "./alert.ts";
import { pidOfExec } from "./identity.ts";

export function encodeAncestry(ancestry: readonly Ancestor[]): string {
  return JSON.stringify(
    ancestry.map(({ execId, name, executablePath, userName }) => [execId, name, executablePath, userName]),
  );
}

/** @throws SyntaxError for what {@linkcode encodeAncestry} did not write */
export function decodeAncestry(text: string | null): Ancestor[] {
  if (text === null) return [];
  return (JSON.parse(text) as [string, string | null, string | null, string | null][]).map(
    ([execId, name, executablePath, userName]) => ({
      execId,
      pid: pidOfExec(execId),
      name,
      executablePath,
      userName,
    }),
  );
}
