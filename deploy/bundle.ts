/**
 * The programs of the tiers as single files, made by `deno bundle` from the checkout; the command line, which is started
 * for every question, also in parts, of which each start reads what it needs.
 *
 * Made anew only when a source file changed. A bundle appears under its name complete or not at all.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

/** The checkout that this program runs from, without trailing slash. */
export const CHECKOUT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/+$/, "");

/** Entry points by the name of their bundle. */
export const PROGRAMS = {
  collector: "collector/main.ts",
  agent: "agent/main.ts",
  ask: "agent/ask/main.ts",
  cli: "cli/main.ts",
  viewer: "deploy/viewer.ts",
} as const;
export type Program = keyof typeof PROGRAMS;

/** A bundle could not be made. */
export class BundleError extends Error {
  override name = "BundleError";
}

/** Directories and files whose change makes the bundles old. */
const SOURCES = ["collector", "agent", "cli", "proto", "deploy", "deno.json", "deno.lock"];

/**
 * Makes the bundles in `directory` where they are missing or old.
 *
 * @param deno the Deno to bundle with
 * @returns the path of each bundle, and whether any was made
 * @throws {BundleError} with the words of `deno bundle`.
 */
export async function bundle<P extends Program>(
  programs: readonly P[],
  directory: string,
  deno: string,
): Promise<{ paths: Record<P, string>; made: boolean }> {
  Deno.mkdirSync(directory, { recursive: true, mode: 0o755 });
  const stamp = sourceStamp();
  const paths = Object.fromEntries(programs.map((p) => [p, `${directory}/${p}.js`])) as Record<P, string>;
  const old = programs.filter((program) => readStamp(`${paths[program]}.stamp`) !== stamp);
  const fresh = (program: P): string => `${paths[program]}.${Deno.pid}.new`;
  await makeBundles(old.map((program) => ({ entry: PROGRAMS[program], output: fresh(program) })), deno);
  for (const program of old) {
    Deno.chmodSync(fresh(program), 0o644);
    Deno.renameSync(fresh(program), paths[program]);
    // Written after the bundle: a crash in between makes it again.
    Deno.writeTextFileSync(`${paths[program]}.stamp`, stamp);
  }
  return { paths, made: old.length > 0 };
}

/**
 * Bundles entry points of the checkout. Names are kept, for stack traces.
 *
 * The first goes alone: on a fresh machine it fetches the bundler, and several at once get into each other's way (Deno
 * 2.9.6: "failed to copy esbuild binary").
 *
 * @throws {BundleError} once none is at work any more.
 */
export async function makeBundles(
  bundles: readonly { readonly entry: string; readonly output: string }[],
  deno: string,
): Promise<void> {
  const [first, ...rest] = bundles;
  if (first === undefined) return;
  await makeBundle(first.entry, first.output, deno);
  const results = await Promise.allSettled(rest.map(({ entry, output }) => makeBundle(entry, output, deno)));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/**
 * Bundles one entry point of the checkout.
 *
 * The minifier of Deno 2.9.6 loses a `using` whose resource is used once, in the next statement: it is never disposed of.
 * `try` and `finally` stand in such places, and a test counts what bundles have kept.
 *
 * @throws {BundleError} with the words of `deno bundle`.
 */
export function makeBundle(entry: string, output: string, deno: string): Promise<void> {
  return bundled(entry, [`--output=${output}`], deno);
}

/**
 * Bundles the command line into `directory` as `main.js` and a part for each piece of code that only some commands load.
 * Any user may read them.
 *
 * @returns the path of the program
 * @throws {BundleError} with the words of `deno bundle`.
 */
export async function makeParts(directory: string, deno: string): Promise<string> {
  await bundled(PROGRAMS.cli, ["--code-splitting", `--outdir=${directory}`], deno);
  Deno.chmodSync(directory, 0o755);
  for (const { name } of Deno.readDirSync(directory)) Deno.chmodSync(`${directory}/${name}`, 0o644);
  return `${directory}/main.js`;
}

async function bundled(entry: string, output: readonly string[], deno: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(deno, {
    args: ["bundle", "--quiet", "--platform=deno", "--minify", "--keep-names", ...output, entry],
    cwd: CHECKOUT,
    env: { NO_COLOR: "1", RUST_BACKTRACE: "0" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new BundleError(`${entry} could not be bundled: ${new TextDecoder().decode(stderr).trim()}`);
}

function sourceStamp(): string {
  const hash = createHash("sha256").update(Deno.version.deno);
  for (const source of SOURCES) stampPath(`${CHECKOUT}/${source}`, hash);
  return hash.digest("hex");
}

function stampPath(path: string, hash: ReturnType<typeof createHash>): void {
  const found = Deno.statSync(path);
  if (!found.isDirectory) {
    hash.update(`${path}\0${found.size}\0${found.mtime?.getTime()}\n`);
    return;
  }
  const names = [...Deno.readDirSync(path)].map((entry) => entry.name).sort();
  for (const name of names) stampPath(`${path}/${name}`, hash);
}

function readStamp(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
