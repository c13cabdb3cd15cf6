/**
 * `deno task new-collector NAME [--into DIR]`: writes a collector of its own into a directory outside of this tree, which
 * works as it is: it tells how full a file system is.
 *
 * What is written is a project by itself: it imports this tree's `mod.ts` by path and nothing else of it. Then it is
 * checked and tested under its own grants, and the time that all of it took is printed. An existing directory is not touched.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { CHECKOUT } from "./bundle.ts";
import { collectorFiles, type CollectorNames } from "./new_collector_files.ts";

const NAME = /^[a-z][a-z0-9-]{1,30}$/;
/** As root: the first number that no system gives to a user by itself and no tier has. */
const USER = 64_301;

/**
 * Writes it.
 *
 * @param user that it is to run as; by default one of its own as root, and otherwise whoever starts it
 * @throws Error in words
 */
export function writeCollector(
  name: string,
  into: string,
  user: number | null = Deno.uid() === 0 ? USER : null,
): CollectorNames {
  if (!NAME.test(name)) {
    throw new RangeError(`A collector's name is 2 to 31 lower-case letters, digits and hyphens, a letter first: disk`);
  }
  const directory = `${into}/${name}-collector`,
    { imports } = JSON.parse(Deno.readTextFileSync(`${CHECKOUT}/deno.json`));
  const names = { name, directory, toolkit: CHECKOUT, deno: Deno.execPath(), user, imports };
  if (user !== null) mustReach(into);
  Deno.mkdirSync(into, { recursive: true });
  try {
    Deno.mkdirSync(directory);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    throw new Error(`${directory} is there already; name another one, or another place by --into`, { cause: error });
  }
  Deno.mkdirSync(`${directory}/rules`);
  for (const [file, text] of Object.entries(collectorFiles(names))) {
    Deno.writeTextFileSync(`${directory}/${file}`, text);
  }
  return names;
}

/** Its own user must come to where it is: below the home of root nobody does. */
function mustReach(path: string): void {
  const parts = path.split("/");
  for (let count = parts.length; count > 1; count--) {
    const place = parts.slice(0, count).join("/") || "/", mode = lookAt(place)?.mode ?? 0o777;
    if ((mode & 0o001) !== 0) continue;
    throw new Error(`As root it runs as a user of its own, who cannot enter ${place}; write it elsewhere: --into /opt`);
  }
}

function lookAt(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function run(directory: string, ...args: string[]): void {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: directory, stdin: "null" });
  const { success, stdout, stderr } = command.outputSync(), decoder = new TextDecoder();
  if (success) return;
  throw new Error(`deno ${args.join(" ")} failed in ${directory}:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}

function main(): void {
  const { positionals: [name], values } = parseArgs({
    args: Deno.args,
    options: { into: { type: "string", default: "." }, "no-test": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  if (name === undefined) throw new RangeError("Name it: deno task new-collector disk [--into DIR]");
  const began = performance.now(), into = Deno.realPathSync(values.into), { directory } = writeCollector(name, into);
  const written = performance.now();
  run(directory, "fmt", "--quiet");
  run(directory, "check", "--quiet", "main.ts", "source_test.ts");
  const checked = performance.now();
  // It was checked just now
  if (!values["no-test"]) run(directory, "task", "--quiet", "test", "--no-check");
  const seconds = (from: number, to: number): string => `${((to - from) / 1_000).toFixed(1)} s`;
  console.log(
    `${directory} is written (${seconds(began, written)}), checked (${seconds(written, checked)})` +
      `${values["no-test"] ? "" : ` and passes its tests (${seconds(checked, performance.now())})`}: ` +
      `${
        seconds(began, performance.now())
      } in all.\nIts README.md says how the supervisor starts it and how to ask for what it sees.`,
  );
}

if (import.meta.main) {
  try {
    main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
