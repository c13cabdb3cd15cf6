/**
 * `deno task test [CLASS…] [--source NAME] [-- FLAGS OF DENO TEST]`: all tests, class by class, each with the permissions
 * it needs. What computes runs beside what waits. `--source` has the sensors of whole systems use that source of events,
 * and leaves out what comes out the same on any.
 *
 * Says at its end which tests failed and how, of every class how many tests passed, failed and were skipped, and of what
 * could not run here why not. Its last line is `N passed, N failed, N skipped`. A class that runs no test at all counts as
 * a failure: it was lost.
 *
 * Tests of real processes have time limits, and beside all others a machine may be too slow for one. So a few files that
 * failed run once more, alone: what passes then has passed, and the end names it with how it failed before.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { CHECKOUT } from "./bundle.ts";
import { filesOf, type Outcome, type Run, runTests } from "./test_run.ts";

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
/** One after the other: last what keeps all processors busy by itself, when what waits has ended. */
const COMPUTING: readonly TestClass[] = [
  {
    name: "collector",
    what: "the collector without storms",
    args: ["--allow-all", `--ignore=${STORMY.join(",")}`, "tests/collector"],
  },
  { name: "agent", what: "the agent", args: ["--allow-all", "--parallel", "tests/agent"] },
  { name: "cli", what: "the command line", args: ["--allow-all", "--parallel", "tests/cli"] },
  { name: "proto", what: "languages between tiers, with no permissions", args: ["--parallel", "tests/proto"] },
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
/** Files that take longest, in this order: those that begin late make the whole run longer. */
const LONGEST = [
  ...["e2e/main_job", "deploy/start", "e2e/redaction", "e2e/collectors", "deploy/build", "e2e/log", "e2e/ordinary"],
  ...["e2e/report_browser", "deploy/witness/witness", "e2e/ledger", "e2e/requests", "e2e/hashing", "e2e/demand"],
  ...["e2e/full_disk", "e2e/key_rotation", "e2e/toolkit", "e2e/new_collector", "e2e/privileges", "e2e/response"],
  ...["e2e/kill", "deploy/partial_start", "e2e/gaps", "e2e/system_calls", "e2e/rules", "deploy/supervised"],
  ...["e2e/calls", "deploy/bundle", "e2e/bus", "e2e/hostile_collectors", "deploy/supervisor", "e2e/ps", "e2e/sinks"],
].map((name) => `tests/${name}_test.ts`);
/**
 * Comes out the same whatever the sensor's source is, so `--source` leaves it out: pages in a browser, collectors and the
 * bus beside the sensor, and what names its source itself.
 */
const ON_ANY_SOURCE = [
  ...["browser", "report_browser", "bus", "collectors", "hostile_collectors", "new_collector", "toolkit", "ps"],
].map((name) => `tests/e2e/${name}_test.ts`);
/** Files that failed are run once more by themselves, unless more than so many did. */
const MOST_AGAIN = 3;

/** The runs of a class, of all its files but those `without`. */
function runsOf({ name, what, args, files }: TestClass, outcome: Outcome, without: readonly string[]): Run[] {
  if (files === undefined) return [newRun(`${name}: ${what}`, args, outcome)];
  return [...testFiles(files)].filter((file) => !without.includes(file)).map((file) =>
    newRun(`${name}: ${what}, ${file.slice(files.length + 1)}`, [...args, file], outcome)
  );
}

/** The longest first. */
function byLength(runs: readonly Run[]): Run[] {
  const place = ({ args }: Run): number => {
    const at = LONGEST.indexOf(args.at(-1)!);
    return at < 0 ? LONGEST.length : at;
  };
  return runs.toSorted((a, b) => place(a) - place(b));
}

/** Runs files that failed beside others again by themselves. @returns of runs in which all of them pass now, how they failed */
async function again(runs: readonly Run[], more: readonly string[]): Promise<string[]> {
  const failed = runs.map((run) => ({ run, files: filesOf(run.failures) })).filter(({ files }) => files.length > 0);
  if (failed.reduce((sum, { files }) => sum + files.length, 0) > MOST_AGAIN) return [];
  const cured: string[] = [];
  for (const { run, files } of failed) {
    const flags = run.args.filter((each) => /^--(allow|no)-/.test(each));
    const second = newRun(`${run.title}: again, alone`, [...flags, ...files], newOutcome());
    await runTests(second, more, true);
    if (second.failed > 0) continue;
    run.outcome.failed -= run.failed;
    run.outcome.passed += run.failed;
    cured.push(`${files.join(", ")}: passed alone, and before\n${run.failures.join("\n")}`);
  }
  return cured;
}

function newRun(title: string, args: readonly string[], outcome: Outcome): Run {
  return { title, args, outcome, failed: 0, failures: [] };
}

function newOutcome(): Outcome {
  return { passed: 0, failed: 0, skipped: 0, seconds: 0, reasons: new Set() };
}

function* testFiles(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${CHECKOUT}/${directory}`)) {
    if (isDirectory) yield* testFiles(`${directory}/${name}`);
    else if (name.endsWith("_test.ts")) yield `${directory}/${name}`;
  }
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

/** `null` when they cannot be understood, which is said. */
function parsed(args: string[]): { source: string | undefined; names: string[] } | null {
  try {
    const { values, positionals } = parseArgs({
      args,
      options: { source: { type: "string" } },
      allowPositionals: true,
    });
    return { source: values.source, names: positionals };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return null;
  }
}

async function main(): Promise<number> {
  const dashes = Deno.args.indexOf("--");
  const more = dashes < 0 ? [] : Deno.args.slice(dashes + 1);
  const args = parsed(dashes < 0 ? Deno.args : Deno.args.slice(0, dashes));
  if (args === null) return 2;
  const { source, names } = args;
  // As a person would set it: tests inherit the environment.
  if (source !== undefined) Deno.env.set("DAEMONEYE_COLLECTOR__SOURCE", source);
  const unknown = names.filter((name) => !CLASSES.some((each) => each.name === name));
  if (unknown.length > 0) {
    console.error(`There is no class ${unknown.join(", ")}; there are ${CLASSES.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const outcomes = new Map<string, Outcome>();
  const chosen = (classes: readonly TestClass[]): Run[] =>
    classes.filter(({ name }) => names.length === 0 || names.includes(name)).flatMap((each) => {
      const outcome = newOutcome();
      outcomes.set(each.name, outcome);
      return runsOf(each, outcome, source === undefined ? [] : ON_ANY_SOURCE);
    });
  const storms = chosen(STORMS), computing = chosen(COMPUTING), waiting = byLength(chosen(WAITING));
  const runs = [...storms, ...computing, ...waiting];
  await inLanes(storms, computing, waiting, more);
  for (const { title, failures } of runs) for (const each of failures) console.log(`\n== failed: ${title}\n${each}`);
  const cured = await again(runs, more);
  for (const each of cured) console.log(`\n== only alone: ${each}`);
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
