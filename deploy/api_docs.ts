/**
 * `docs/api.txt`: everything that `mod.ts` exports, as the runtime documents it, so that a change of what others build on
 * is seen in review.
 *
 * @module
 */
import { CHECKOUT } from "./bundle.ts";

/** What others import, by the `exports` of deno.json. */
const PUBLIC = ["mod.ts", "proto/ledger/mod.ts"];

/**
 * What is not documented of all that is exported: what lacks a sentence, and types that a signature names and nobody can
 * import. Empty when nothing is.
 */
export function apiFaults(): string {
  const { success, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", ...PUBLIC],
    cwd: CHECKOUT,
    env: { NO_COLOR: "1" },
  }).outputSync();
  return success ? "" : new TextDecoder().decode(stderr).trim();
}

/** Names with what they are, sorted by the runtime; places in files are left out, since they move with every edit. */
export function apiDocs(): string {
  const decoder = new TextDecoder();
  const { success, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["doc", "--quiet", "mod.ts"],
    cwd: CHECKOUT,
    env: { NO_COLOR: "1" },
  }).outputSync();
  if (!success) throw new Error(`deno doc failed:\n${decoder.decode(stderr)}`);
  const text = decoder.decode(stdout), first = text.indexOf("Defined in ");
  const symbols = text.slice(first).replaceAll(/^Defined in .*\n\n?/gm, "").replaceAll(/[ \t]+$/gm, "");
  return "The public interface of mod.ts. Made by: deno task gen\n\n" +
    symbols.replaceAll(/\n{3,}/g, "\n\n").trimEnd() + "\n";
}
