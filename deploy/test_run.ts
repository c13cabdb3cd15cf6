/**
 * One run of `deno test`: what it prints is shown, counted, and of failures kept.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { CHECKOUT } from "./bundle.ts";

/** Lines of a failure that are said again at the end: its first and its last ones. */
const SAID_FIRST = 30, SAID_LAST = 30;
const SAME_CASES = "--preload=tests/support/same_cases.ts";

/** Of a class of tests. */
export interface Outcome {
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** `NEED: why`, as `tests/support/needs.ts` writes it. */
  readonly reasons: Set<string>;
}

/** One run of `deno test`. */
export interface Run {
  readonly title: string;
  readonly args: readonly string[];
  /** Of its class: added to. */
  readonly outcome: Outcome;
  failed: number;
  /** What failed, a text each, with file, test and step: added to. */
  readonly failures: string[];
}

/** Where a test stands, behind its name. */
const PLACE = / => \.\/(.+):\d+:\d+$/;
const NEED_LINE = /^cannot run here: (.+)$/;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored)?/;

/** @param alone whether what is printed may be shown at once; beside others it is shown when the run has ended */
export async function runTests(run: Run, more: readonly string[], alone: boolean): Promise<void> {
  const { title, args, outcome, failures } = run;
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
  run.failed += failed;
  outcome.failed += failed;
  if (failed > 0) failures.push(...failureTexts(plain));
  outcome.seconds += (performance.now() - began) / 1_000;
  if (!alone) console.log(shown.join("\n"));
}

/** What `deno test` says of its failures, each with its place; or its last words, where it came to no test. */
function failureTexts(lines: readonly string[]): string[] {
  const from = lines.lastIndexOf(" ERRORS "), to = lines.lastIndexOf(" FAILURES ");
  if (from < 0 || to < from) return [shortened(lines.slice(-SAID_LAST))];
  const failures: string[][] = [];
  for (const line of lines.slice(from + 1, to)) {
    if (PLACE.test(line) || line.endsWith(" (uncaught error)")) failures.push([]);
    failures.at(-1)?.push(line);
  }
  return failures.map(shortened);
}

/** The files that they are of; none where one has no place, as that of a file which does not compile. */
export function filesOf(failures: readonly string[]): string[] {
  const files = failures.map((failure) => PLACE.exec(failure.split("\n", 1)[0]!)?.[1]);
  return files.includes(undefined) ? [] : [...new Set(files as string[])];
}

function shortened(lines: readonly string[]): string {
  if (lines.length <= SAID_FIRST + SAID_LAST) return lines.join("\n");
  const left = lines.length - SAID_FIRST - SAID_LAST;
  return [...lines.slice(0, SAID_FIRST), `(${left} lines are above alone)`, ...lines.slice(-SAID_LAST)].join("\n");
}
