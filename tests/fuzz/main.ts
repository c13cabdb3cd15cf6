/**
 * `deno task fuzz [GROUP]`: feeds the parsers of the collector with made-up inputs until a count is reached.
 *
 * Prints the seed first, a line a second, and for every finding what did not hold, the input, and the command that makes
 * that input again. Ends with 1 when there was a finding, or when memory grew beyond its bound.
 *
 * usage: main.ts [GROUP] [--seed N] [--count N] [--from N]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Finding, fuzz } from "./fuzz.ts";
import { targetsOf } from "./targets.ts";

const DEFAULT_COUNT = 1_000_000;
/** Longer than any input may take, also on a machine that does other things. */
const SLOW_MS = 1_000;
/**
 * Memory in use at the end of a target's run, and resident memory, against its beginning; the first inputs of it warm up.
 * How far the second is above the first is the garbage collector's choice.
 */
const MAX_GROWTH = 4, WARM_UP = 10_000;
const MIB = 2 ** 20;

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: { seed: { type: "string" }, count: { type: "string" }, from: { type: "string" } },
});
const seed = whole("seed", values.seed, crypto.getRandomValues(new Uint32Array(1))[0]!);
const count = whole("count", values.count, DEFAULT_COUNT), from = whole("from", values.from, 0);
const chosen = targetsOf(positionals[0]);

function whole(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`--${name} ${text}: expected a whole number`);
  return value;
}

/** Memory that is reachable, in MiB. */
function used(): number {
  let least = Infinity;
  // The bytes of buffers that are gone are counted until a thread of V8 has let go of them.
  for (let i = 0; i < 5; i++) {
    (globalThis as { gc?: () => void }).gc?.(); // with --v8-flags=--expose-gc
    const { heapUsed, external } = Deno.memoryUsage();
    least = Math.min(least, (heapUsed + external) / MIB);
  }
  return least;
}

function resident(): number {
  return Deno.memoryUsage().rss / MIB;
}

function show({ target, index, what, input }: Finding): void {
  console.log(`\nFINDING in ${target}, input ${index}: ${what}\ninput: ${input}`);
  console.log(`again: deno task fuzz '${target}' --seed ${seed} --from ${index} --count 1\n`);
}

if (chosen.length === 0) {
  console.error(`No target is named ${positionals[0]}`);
  Deno.exit(2);
}
const shares = chosen.reduce((sum, { share }) => sum + share, 0);
console.log(`seed ${seed}, ${count} inputs for ${chosen.length} targets`);
let findings = 0, fed = 0, grown = 0;
const began = performance.now();
for (const target of chosen) {
  const wanted = Math.ceil(count * target.share / shares), start = performance.now();
  const warm = fuzz(target, { seed, from, count: Math.min(wanted, WARM_UP), slowMs: SLOW_MS });
  const usedBefore = used(), before = resident();
  const rest = warm.findings.length > 0 ? null : fuzz(target, {
    seed,
    from: from + warm.inputs,
    count: wanted - warm.inputs,
    slowMs: SLOW_MS,
    progress: (done) => {
      const rate = (warm.inputs + done) / (performance.now() - start) * 1_000;
      console.log(
        `  ${target.name}: ${warm.inputs + done} of ${wanted}, ${rate.toFixed(0)}/s, ${resident().toFixed(0)} MiB`,
      );
    },
  });
  const inputs = warm.inputs + (rest?.inputs ?? 0), found = [...warm.findings, ...rest?.findings ?? []];
  const rate = inputs / (performance.now() - start) * 1_000, after = resident();
  const usedAfter = used();
  const slowest = Math.max(warm.slowestMs, rest?.slowestMs ?? 0);
  console.log(
    `${target.name}: ${inputs} inputs, ${rate.toFixed(0)}/s, slowest ${slowest.toFixed(1)} ms, ` +
      `${before.toFixed(0)} to ${after.toFixed(0)} MiB, ` +
      `in use ${usedBefore.toFixed(1)} to ${usedAfter.toFixed(1)}, ${found.length} findings`,
  );
  if (usedAfter > MAX_GROWTH * usedBefore || after > MAX_GROWTH * before) {
    grown++;
    console.log(`FINDING in ${target.name}: memory grew out of bounds`);
  }
  found.forEach(show);
  findings += found.length;
  fed += inputs;
}
const seconds = (performance.now() - began) / 1_000;
console.log(`${fed} inputs in ${seconds.toFixed(0)} s with seed ${seed}: ${findings + grown} findings`);
if (findings + grown > 0) Deno.exitCode = 1;
