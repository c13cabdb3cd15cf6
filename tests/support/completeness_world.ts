/**
 * Two sources of a test's making, and the comparison of what they say.
 *
 * @module
 */
import { Completeness, type CompletenessOptions } from "../../collector/completeness.ts";
import type { Findings } from "../../collector/round.ts";
import type { SourceRecord, TableEntry } from "../../collector/sources/source.ts";
import { EXEC, EXIT, FORK, type Receive, type Witness, type WitnessReading } from "../../collector/witness.ts";
import { exec, exit, fork, S } from "./lifecycle_world.ts";

const KINDS = { fork: FORK, exec: EXEC, exit: EXIT } as const;
export type Kind = keyof typeof KINDS;
/** A kind, a pid, a time in seconds since boot; of a fork who made it, process 2 unless said otherwise. */
export type Said = readonly [Kind, number, number, number?];

/** A second source that says what the test has it say. */
export class TestWitness implements Witness {
  readonly name = "netlink";
  readonly since = 100 * S;
  tasks = 0;
  said: Said[] = [];
  overrun = false;
  whole = true;
  readonly survivors: [number, number][] = [];
  learned = 0;

  read(receive: Receive): WitnessReading {
    for (const [kind, pid, time, creator = 2] of this.said.splice(0)) {
      if (kind === "fork") this.tasks++;
      receive(KINDS[kind], pid, time * S, kind === "fork" ? creator : 0);
    }
    const { overrun, whole } = this;
    this.overrun = false;
    return { overrun, whole };
  }

  learnThreads(): void {
    this.learned++;
  }

  learnSurvivors(pid: number, threads: number): void {
    this.survivors.push([pid, threads]);
  }

  close(): void {}
}

export class CompletenessWorld {
  readonly witness = new TestWitness();
  readonly looks = new Map<number, TableEntry>();
  /** What the kernel's own counter says; follows the second source unless a test sets it off. */
  uncounted = 0;
  readonly completeness: Completeness;
  /** Milliseconds; the boot was 100 s before. */
  now = 10_000;

  constructor(options: Partial<CompletenessOptions> = {}) {
    this.completeness = new Completeness({
      source: {
        description: { name: "ebpf", sees: "", misses: [], unknownColumns: [] },
        look: (pid) => this.looks.get(pid) ?? null,
      },
      opened: { witness: this.witness },
      intervalMs: 10_000,
      readForkCount: () => 5_000 + this.witness.tasks + this.uncounted,
      ...options,
    });
    this.completeness.advance(this.now, this.boot);
  }

  get boot(): number {
    return (100 + this.now / 1_000) * S;
  }

  /** Both sources say the same. */
  both(...said: Said[]): this {
    return this.first(...said).second(...said);
  }

  first(...said: Said[]): this {
    for (const [kind, pid, time] of said) {
      const make = { fork: () => fork(pid, 1, time * S), exec: () => exec(pid, 1, time * S), exit: () => ending() };
      const ending = (): SourceRecord => exit(pid, time * S, time * S - S);
      this.completeness.first(make[kind]());
    }
    return this;
  }

  second(...said: Said[]): this {
    this.witness.said.push(...said);
    return this;
  }

  /** The round passes; what it finds. */
  round(): Findings | null {
    this.now += 5_000;
    return this.completeness.advance(this.now, this.boot);
  }
}
