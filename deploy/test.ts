/**
 * `deno task test [CLASS…] [-- FLAGS OF DENO TEST]`: all tests, class by class, each with the permissions it needs.
 *
 * Says of every class how many tests passed, failed and were skipped, and of what could not run here why not. Its last
 * line is `N passed, N failed, N skipped`. A class that runs no test at all counts as a failure: it was lost.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { CHECKOUT } from "./bundle.ts";

interface TestClass {
  readonly name: string;
  readonly what: string;
  readonly args: readonly string[];
}

const CLASSES: readonly TestClass[] = [
  { name: "proto", what: "languages between tiers, with no permissions", args: ["tests/proto"] },
  { name: "examples", what: "examples in documentation, with no permissions", args: ["--doc", "proto", "mod.ts"] },
  {
    name: "rules",
    what: "shipped rules, with permission to read them",
    args: ["--allow-read=rules,tests/recorded", "tests/rules"],
  },
  { name: "collector", what: "the collector on this kernel", args: ["--allow-all", "tests/collector"] },
  { name: "agent", what: "the agent", args: ["--allow-all", "tests/agent"] },
  { name: "cli", what: "the command line", args: ["--allow-all", "tests/cli"] },
  { name: "deploy", what: "privileges, start, build", args: ["--allow-all", "tests/deploy"] },
  { name: "e2e", what: "the whole system", args: ["--allow-all", "tests/e2e"] },
];

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  /** `NEED: why`, as `tests/support/needs.ts` writes it. */
  readonly reasons: Set<string>;
}

const NEED_LINE = /^cannot run here: (.+)$/;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/;

async function runClass({ args }: TestClass, more: readonly string[]): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: 0, reasons: new Set() };
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-prompt", ...more, ...args],
    cwd: CHECKOUT,
    // Nothing else is changed: tests see the environment that a person has.
    env: { RUST_BACKTRACE: "0" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let summaries = 0;
  const read = async (stream: ReadableStream<Uint8Array>, to: typeof Deno.stdout): Promise<void> => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)) {
      rest += text;
      const lines = rest.split("\n");
      rest = lines.pop()!;
      for (const coloured of lines) {
        const line = stripVTControlCharacters(coloured);
        const summary = SUMMARY.exec(line);
        const need = NEED_LINE.exec(line);
        if (need !== null) outcome.reasons.add(need[1]!);
        if (summary !== null) {
          summaries++;
          outcome.passed += Number(summary[1]);
          outcome.failed += Number(summary[2]);
          outcome.skipped += Number(summary[3] ?? 0);
        }
        to.writeSync(new TextEncoder().encode(`${to.isTerminal() && !Deno.noColor ? coloured : line}\n`));
      }
    }
  };
  const [{ success }] = await Promise.all([
    child.status,
    read(child.stdout, Deno.stdout),
    read(child.stderr, Deno.stderr),
  ]);
  // Code that does not compile, or a class without tests, gives no summary, or a good one with a bad exit.
  const empty = outcome.passed + outcome.failed + outcome.skipped === 0 && more.length === 0;
  if ((!success && outcome.failed === 0) || summaries === 0 || empty) outcome.failed++;
  return outcome;
}

async function main(): Promise<number> {
  const dashes = Deno.args.indexOf("--");
  const names = dashes < 0 ? Deno.args : Deno.args.slice(0, dashes),
    more = dashes < 0 ? [] : Deno.args.slice(dashes + 1);
  const unknown = names.filter((name) => !CLASSES.some((each) => each.name === name));
  if (unknown.length > 0) {
    console.error(`There is no class ${unknown.join(", ")}; there are ${CLASSES.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const chosen = CLASSES.filter(({ name }) => names.length === 0 || names.includes(name));
  const outcomes: [TestClass, Outcome][] = [];
  for (const each of chosen) {
    console.log(`\n== ${each.name}: ${each.what}`);
    outcomes.push([each, await runClass(each, more)]);
  }
  console.log("");
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [{ name }, { passed, failed, skipped }] of outcomes) {
    console.log(`class ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  for (const [{ name }, { reasons }] of outcomes) {
    for (const reason of reasons) console.log(`could not run here, in ${name}: ${reason}`);
  }
  console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
  return total.failed > 0 ? 1 : 0;
}

Deno.exit(await main());
