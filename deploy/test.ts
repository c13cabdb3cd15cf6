/**
 * `deno task test [CLASS…] [-- FLAGS OF DENO TEST]`: all tests, class by class, each with the permissions it needs. What
 * computes runs beside what waits.
 *
 * Says at its end which tests failed and how, of every class how many tests passed, failed and were skipped, and of what
 * could not run here why not. Its last line is `N passed, N failed, N skipped`. A class that runs no test at all counts as
 * a failure: it was lost.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { CHECKOUT } from "./bundle.ts";

interface TestClass {
  readonly name: string;
  readonly what: string;
  /** `--parallel` where files of tests share nothing: not the kernel's sources, and no measure of the process. */
  readonly args: readonly string[];
  /** Where each file of tests is a run of its own. */
  readonly files?: string;
}

/** Storms of processes, and what the kernel says of them. */
const STORMY = ["sources", "kernel", "witness_test.ts", "selftest_test.ts", "suspects_test.ts", "soak_test.ts"]
  .map((path) => `tests/collector/${path}`);

/** Before anything else runs on this host: it would see the storms, and they its processes. */
const STORMS: readonly TestClass[] = [
  { name: "kernel", what: "the collector on this kernel, under storms", args: ["--allow-all", ...STORMY] },
];
/** One after the other. */
const COMPUTING: readonly TestClass[] = [
  { name: "proto", what: "languages between tiers, with no permissions", args: ["--parallel", "tests/proto"] },
  {
    name: "collector",
    what: "the collector without storms",
    args: ["--allow-all", `--ignore=${STORMY.join(",")}`, "tests/collector"],
  },
  { name: "agent", what: "the agent", args: ["--allow-all", "--parallel", "tests/agent"] },
  { name: "cli", what: "the command line", args: ["--allow-all", "--parallel", "tests/cli"] },
  { name: "examples", what: "examples in documentation, with no permissions", args: ["--doc", "proto", "mod.ts"] },
  {
    name: "rules",
    what: "shipped rules, with permission to read them",
    args: ["--allow-read=rules,tests/recorded", "tests/rules"],
  },
  { name: "toolkit", what: "a collector of another maker, against itself", args: ["--allow-all", "docs/examples"] },
];
/** Some files at a time: they wait for processes most of the time. */
const WAITING: readonly TestClass[] = [
  { name: "deploy", what: "privileges, start, build", args: ["--allow-all"], files: "tests/deploy" },
  { name: "e2e", what: "the whole system", args: ["--allow-all"], files: "tests/e2e" },
];
const CLASSES = [...STORMS, ...COMPUTING, ...WAITING];
/** Of files that wait, so many at once, and one more when nothing computes any more. */
const WAITING_LANES = 2;
/** Files that take long for their size. */
const LONG = ["ordinary_test.ts", "kill_test.ts", "full_disk_test.ts"];
/** Lines of a failure that are said again at the end: its first and its last ones. */
const SAID_FIRST = 30, SAID_LAST = 30;
const SAME_CASES = "--preload=tests/support/same_cases.ts";

interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** `NEED: why`, as `tests/support/needs.ts` writes it. */
  readonly reasons: Set<string>;
  /** Texts of what failed, with file, test and step. */
  readonly failures: string[];
}

/** One run of `deno test`. */
interface Run {
  readonly title: string;
  readonly args: readonly string[];
  readonly outcome: Outcome;
}

const NEED_LINE = /^cannot run here: (.+)$/;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/;

/** The runs of a class, the longest files first as far as their sizes tell. */
function runsOf({ name, what, args, files }: TestClass, outcome: Outcome): Run[] {
  if (files === undefined) return [{ title: `${name}: ${what}`, args, outcome }];
  const size = (file: string): number =>
    LONG.some((each) => file.endsWith(`/${each}`)) ? Infinity : Deno.statSync(`${CHECKOUT}/${file}`).size;
  return [...testFiles(files)].sort((a, b) => size(b) > size(a) ? 1 : -1)
    .map((file) => ({ title: `${name}: ${what}, ${file.slice(files.length + 1)}`, args: [...args, file], outcome }));
}

function* testFiles(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${CHECKOUT}/${directory}`)) {
    if (isDirectory) yield* testFiles(`${directory}/${name}`);
    else if (name.endsWith("_test.ts")) yield `${directory}/${name}`;
  }
}

/** @param alone whether what is printed may be shown at once; beside others it is shown when the run has ended */
async function runTests({ title, args, outcome }: Run, more: readonly string[], alone: boolean): Promise<void> {
  const began = performance.now(), shown: string[] = [], plain: string[] = [];
  const show = (line: string, to: typeof Deno.stdout = Deno.stdout): void => {
    if (alone) to.writeSync(new TextEncoder().encode(`${line}\n`));
    else shown.push(line);
  };
  show(`\n== ${title}`);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-prompt", ...(args.includes("--doc") ? [] : [SAME_CASES]), ...more, ...args],
    cwd: CHECKOUT,
    // Nothing else is changed: tests see the environment that a person has.
    env: { RUST_BACKTRACE: "0" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let summaries = 0, failed = 0;
  const isPlain = !Deno.stdout.isTerminal() || Deno.noColor;
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
          failed += Number(summary[2]);
          outcome.skipped += Number(summary[3] ?? 0);
        }
        plain.push(line);
        show(isPlain ? line : coloured, to);
      }
    }
  };
  const [{ success }] = await Promise.all([
    child.status,
    read(child.stdout, Deno.stdout),
    read(child.stderr, Deno.stderr),
  ]);
  // Code that does not compile gives no summary, or a good one with a bad exit.
  if ((!success && failed === 0) || summaries === 0) failed++;
  outcome.failed += failed;
  if (failed > 0) outcome.failures.push(`${title}\n${failureText(plain)}`);
  outcome.seconds += (performance.now() - began) / 1_000;
  if (!alone) console.log(shown.join("\n"));
}

/** What `deno test` says of its failures, each with its place; or its last words, where it came to no test. */
function failureText(lines: readonly string[]): string {
  const from = lines.lastIndexOf(" ERRORS "), to = lines.lastIndexOf(" FAILURES ");
  if (from < 0 || to < from) return shortened(lines.slice(-SAID_LAST));
  const failures: string[][] = [];
  for (const line of lines.slice(from + 1, to)) {
    if (/ => \.\/.+:\d+:\d+$/.test(line) || line.endsWith(" (uncaught error)")) failures.push([]);
    failures.at(-1)?.push(line);
  }
  return failures.map(shortened).join("\n");
}

function shortened(lines: readonly string[]): string {
  if (lines.length <= SAID_FIRST + SAID_LAST) return lines.join("\n");
  const left = lines.length - SAID_FIRST - SAID_LAST;
  return [...lines.slice(0, SAID_FIRST), `(${left} lines are above alone)`, ...lines.slice(-SAID_LAST)].join("\n");
}

/** The storms run alone; then what computes beside what waits, and when it is done its lane waits too. */
async function inLanes(storms: Run[], computing: Run[], waiting: Run[], more: readonly string[]): Promise<void> {
  const alone = storms.length + computing.length + waiting.length === 1;
  const lane = async (runs: Run[]): Promise<void> => {
    for (let run = runs.shift(); run !== undefined; run = runs.shift()) await runTests(run, more, alone);
  };
  await lane(storms);
  const wait = (): Promise<void> => lane(waiting);
  await Promise.all([lane(computing).then(wait), ...Array.from({ length: WAITING_LANES }, wait)]);
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
  const outcomes = new Map<string, Outcome>();
  const chosen = (classes: readonly TestClass[]): Run[] =>
    classes.filter(({ name }) => names.length === 0 || names.includes(name)).flatMap((each) => {
      const outcome: Outcome = { passed: 0, failed: 0, skipped: 0, seconds: 0, reasons: new Set(), failures: [] };
      outcomes.set(each.name, outcome);
      return runsOf(each, outcome);
    });
  await inLanes(chosen(STORMS), chosen(COMPUTING), chosen(WAITING), more);
  for (const { failures } of outcomes.values()) for (const failure of failures) console.log(`\n== failed: ${failure}`);
  console.log("");
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [name, outcome] of outcomes) {
    // A class without tests was lost.
    if (outcome.passed + outcome.failed + outcome.skipped === 0 && more.length === 0) outcome.failed++;
    const { passed, failed, skipped, seconds } = outcome;
    console.log(`class ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped, in ${seconds.toFixed(0)} s`);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  for (const [name, { reasons }] of outcomes) {
    for (const reason of reasons) console.log(`could not run here, in ${name}: ${reason}`);
  }
  console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
  return total.failed > 0 ? 1 : 0;
}

Deno.exit(await main());
