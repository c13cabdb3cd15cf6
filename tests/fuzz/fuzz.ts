/**
 * Feeds a target with made-up inputs and keeps what it must not have done.
 *
 * An input is made from the seed of the run and its own number alone, so that it can be made again. What a target keeps
 * between inputs (caches, tables) it keeps for the whole run.
 *
 * @module
 */
import { Random } from "./random.ts";

export interface FuzzInput {
  /** Feeds it. A throw is a finding: what the code under test may throw is caught here. */
  run(): void;
  /** It as text, for a person who looks into a finding. */
  show(): string;
}

export interface FuzzTarget {
  readonly name: string;
  /** How many inputs of a million it gets. */
  readonly share: number;
  /** Prepares a run and gives the maker of its inputs. */
  open(): (random: Random) => FuzzInput;
}

export interface Finding {
  readonly target: string;
  readonly seed: number;
  readonly index: number;
  readonly what: string;
  readonly input: string;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly count: number;
  /** The first input's number. */
  readonly from?: number;
  /** An input that takes longer, and does so again, is a finding: once may be the machine's doing. */
  readonly slowMs?: number;
  /** Called about once a second. */
  readonly progress?: (done: number) => void;
}

export interface FuzzResult {
  readonly inputs: number;
  readonly findings: readonly Finding[];
  readonly slowestMs: number;
}

/** After so many a person has enough to look into. */
const MAX_FINDINGS = 5;
/** Inputs between two looks at the clock for the sake of {@linkcode FuzzOptions.progress}. */
const STEP = 256;

export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzResult {
  const { seed, count, from = 0, slowMs = Infinity, progress } = options;
  const make = target.open(), random = new Random(seed);
  const findings: Finding[] = [];
  let done = 0, slowestMs = 0, nextWord = performance.now() + 1_000;
  for (; done < count && findings.length < MAX_FINDINGS; done++) {
    const index = from + done;
    random.reseed(seed, index);
    const input = make(random), began = performance.now();
    const found = (what: string): void => {
      findings.push({ target: target.name, seed, index, what, input: input.show() });
    };
    try {
      input.run();
    } catch (error) {
      found(error instanceof Error ? error.stack ?? error.message : String(error));
    }
    const took = performance.now() - began;
    slowestMs = Math.max(slowestMs, took);
    if (took > slowMs) {
      random.reseed(seed, index);
      const again = make(random), start = performance.now();
      try {
        again.run();
      } catch {
        // it was found above
      }
      const least = Math.min(took, performance.now() - start);
      if (least > slowMs) found(`It took ${least.toFixed(0)} ms`);
    }
    if (done % STEP === 0 && performance.now() > nextWord) {
      nextWord = performance.now() + 1_000;
      progress?.(done);
    }
  }
  return { inputs: done, findings, slowestMs };
}

/** @throws {Error} that says what does not hold */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`Does not hold: ${what}`);
}

/** Bytes as hexadecimal, the begin of many. */
export function hex(bytes: Uint8Array): string {
  return bytes.subarray(0, 4_096).toHex() + (bytes.length > 4_096 ? `… (${bytes.length} bytes)` : "");
}
