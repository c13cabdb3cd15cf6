/**
 * One round of the comparison of two sources: what only one of them saw, by process and by count.
 *
 * @module
 */

import type { LossRecord, ProcessSource, TableEntry } from "./sources/source.ts";
import type { Unmatched } from "./unmatched.ts";
import { EXEC, FORK, KINDS, type Witness } from "./witness.ts";

/** Processes that one round names, and asks the table for; the rest is counted. */
export const MAX_NAMED = 64;
/** A process of which one source had what the other had not. */
export interface Difference {
  readonly pid: number;
  /** Nanoseconds since boot of the first of its records. */
  readonly time: number;
  readonly kinds: readonly (typeof KINDS)[number][];
  readonly seenBy: string;
  readonly missedBy: string;
  /**
   * Whether nothing but its fork was missed, and the first process made it. Kernels of sandboxes run no eBPF program in
   * that one, so what it forks is told to netlink only; its child is not hidden, as execs and exits are the child's own.
   */
  readonly isOfFirst: boolean;
}

export interface Findings {
  readonly differences: readonly Difference[];
  /** By the name of the source that missed them. */
  readonly gaps: readonly { readonly source: string; readonly loss: LossRecord }[];
  readonly notices: readonly string[];
}

interface Named {
  readonly pid: number;
  readonly source: number;
  time: number;
  readonly kinds: Set<number>;
  isOfFirst: boolean;
}

/** What comes of one round. */
export class Round {
  missed = 0;
  unconfirmed = 0;
  explained = 0;
  #looks = 0;
  readonly #source: Pick<ProcessSource, "description" | "look">;
  readonly #witness: Witness;
  readonly #missing: { readonly record: Unmatched; readonly isOfFirst: boolean }[] = [];

  constructor(source: Pick<ProcessSource, "description" | "look">, witness: Witness) {
    this.#source = source;
    this.#witness = witness;
  }

  /** `isOfFirst` of a fork that the first process made. */
  add(record: Unmatched, isOfFirst = false): void {
    if (record.source === 0) this.unconfirmed++;
    else this.missed++;
    this.#missing.push({ record, isOfFirst });
  }

  /** A record that the first source missed and counted as lost. */
  explain(): void {
    this.explained++;
    this.missed++;
  }

  /**
   * Whether the second source may still tell of what the first one has: it does so later, and a process that is traced
   * stops between the two when it has begun a program; one that ends may take long to give its memory back.
   */
  isUnderWay({ kind, pid, time }: Unmatched): boolean {
    if (kind === FORK) return false;
    const entry = this.#look(pid);
    if (entry === null || entry.startTime > time) return false;
    return kind === EXEC ? entry.status === "traced" || entry.status === "stopped" : entry.status !== "zombie";
  }

  /** Whether only the first thread of a process has ended, of whose others the second source does not know. */
  goesOn({ pid, time }: Unmatched): boolean {
    const entry = this.#look(pid);
    if (entry === null || entry.startTime > time || (entry.threads ?? 1) < 2) return false;
    this.#witness.learnSurvivors(pid, entry.threads! - 1);
    return true;
  }

  findings(from: number, to: number, unseenTasks: number, notices: string[]): Findings | null {
    if (this.#missing.length === 0 && unseenTasks === 0 && notices.length === 0) return null;
    const names = [this.#source.description.name, this.#witness.name];
    const named = new Map<string, Named>();
    const counts = [[0, 0, 0], [0, 0, 0]];
    let unnamed = 0, forksOfFirst = 0;
    for (const { record: { source, kind, pid, time }, isOfFirst } of this.#missing) {
      if (isOfFirst && source === 1) forksOfFirst++;
      else counts[source]![kind]!++;
      const key = `${source} ${pid}`, known = named.get(key);
      if (known !== undefined) {
        known.kinds.add(kind);
        known.time = Math.min(known.time, time);
        known.isOfFirst &&= isOfFirst;
      } else if (named.size < MAX_NAMED) named.set(key, { pid, source, time, kinds: new Set([kind]), isOfFirst });
      else unnamed++;
    }
    if (unnamed > 0) notices.push(`${unnamed} more records were seen by one source only; the gaps count them`);
    const differences = [...named.values()].map(({ pid, source, time, kinds, isOfFirst }): Difference => ({
      pid,
      time,
      kinds: [...kinds].sort().map((kind) => KINDS[kind]!),
      seenBy: names[source]!,
      missedBy: names[1 - source]!,
      isOfFirst,
    })).sort((a, b) => a.time - b.time);
    const gaps: { source: string; loss: LossRecord }[] = [];
    const miss = (source: number, kind: number, count: number, whose: string): void => {
      if (count === 0) return;
      const reason = `seen by ${names[source]}, not by ${names[1 - source]}${whose}`;
      gaps.push({
        source: names[1 - source]!,
        loss: { kind: "loss", recordKind: KINDS[kind]!, from, to, count, reason },
      });
    };
    counts.forEach((kinds, source) => kinds.forEach((count, kind) => miss(source, kind, count, "")));
    miss(1, FORK, forksOfFirst, "; process 1 made them");
    if (unseenTasks > 0) {
      const reason = "the kernel counted tasks (processes or threads) that no source told of";
      gaps.push({
        source: "host",
        loss: { kind: "loss", recordKind: "fork", from, to, count: unseenTasks, reason },
      });
      notices.push(`${reason}: ${unseenTasks}`);
    }
    return { differences, gaps, notices };
  }

  #look(pid: number): TableEntry | null {
    return ++this.#looks > MAX_NAMED ? null : this.#source.look(pid);
  }
}
