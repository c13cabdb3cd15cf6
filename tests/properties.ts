/**
 * `deno task test:properties [--times N]`: tries every property with cases that nobody has tried yet, so many times over.
 *
 * `deno task test` tries the same ones in each run (`tests/support/same_cases.ts`). What fails is printed with the seed
 * that brings it back: `fc.assert(…, { seed, path })`. Exits with 1 when something failed.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { CHECKOUT } from "../deploy/bundle.ts";

const { values } = parseArgs({ args: Deno.args, options: { times: { type: "string", default: "1" } } });
const times = Number(values.times);
if (!Number.isSafeInteger(times) || times < 1) throw new RangeError("--times takes a whole number above 0");

function* testFiles(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) yield* testFiles(path);
    else if (name.endsWith("_test.ts") && Deno.readTextFileSync(path).includes('from "fast-check"')) yield path;
  }
}

const files = [...testFiles(`${CHECKOUT}/tests`)];
if (files.length === 0) throw new Error("No test has a property");
let failed = 0;
for (let time = 1; time <= times; time++) {
  const began = performance.now();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--parallel", "--quiet", ...files],
    cwd: CHECKOUT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) {
    failed++;
    for (const bytes of [stdout, stderr]) Deno.stdout.writeSync(bytes);
  }
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  console.log(`${time} of ${times}: ${files.length} files, ${success ? "nothing failed" : "FAILED"}, in ${seconds} s`);
}
Deno.exit(failed === 0 ? 0 : 1);
