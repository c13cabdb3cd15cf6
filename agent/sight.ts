/**
 * What collectors could not see of late: gaps, and sources that miss something. Alerts name what touches their time.
 *
 * Texts come from collectors; they are bounded with the alert.
 *
 * @module
 */
import { type Gap, SOURCE_NAMES } from "../proto/process_event.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { SourceStatus } from "../proto/status.ts";
import type { Demands } from "./demands.ts";

/** Gaps that are remembered one by one; past them the oldest two become one. */
const MAX_GAPS = 64;

/** The name that the hasher has among the sources of a collector. */
const HASHER = "hasher";

/** A time in which something was not seen. */
interface Blank {
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

export class Sight {
  #blanks: Blank[] = [];
  readonly #sources = new Map<string, readonly SourceStatus[]>();
  /** Of each collector, why its hasher does not hash everything. */
  readonly #hashers = new Map<string, readonly string[]>();

  constructor(private readonly demands: Pick<Demands, "lacks">) {}

  /** Forgets everything, to be told again what a store says. */
  clear(): void {
    this.#blanks = [];
    this.#sources.clear();
    this.#hashers.clear();
  }

  noteGap({ source, from, to, count, reason }: Gap): void {
    // What began and ended without a known loss is noted too: nobody looked.
    const lost = count === null ? "an unknown number of records" : `${count} records`;
    this.#blanks.push({
      from: Math.min(from, to),
      to: Math.max(from, to),
      what: `gap of ${source}, ${lost}: ${reason}`,
    });
    if (this.#blanks.length <= MAX_GAPS) return;
    const [first, second] = this.#blanks.splice(0, 2) as [Blank, Blank];
    this.#blanks.unshift({
      from: Math.min(first.from, second.from),
      to: Math.max(first.to, second.to),
      what: "gaps, of which there were too many to name",
    });
  }

  noteSources(collectorId: string, sources: readonly SourceStatus[]): void {
    const hasher = sources.find(({ name }) => name === HASHER);
    this.#hashers.set(
      collectorId,
      hasher === undefined ? [] : hasher.state === "active" ? hasher.misses : [hasher.detail],
    );
    this.#sources.set(collectorId, sources.filter(({ name }) => (SOURCE_NAMES as readonly string[]).includes(name)));
  }

  /**
   * What a rule reads and does not get in events from this time on, of one collector or of all when that is `null`;
   * nothing for most rules.
   */
  attributeLacks(rule: ValidatedRule, from: number, collectorId: string | null): string[] {
    const lacks = this.demands.lacks(rule, from, collectorId);
    return rule.attributes.hashes ? [...lacks, ...this.#hashLacks(collectorId)] : lacks;
  }

  /** Why hashes of executables are not there, or not all. */
  #hashLacks(collectorId: string | null): string[] {
    return [...this.#hashers].filter(([id]) => collectorId === null || id === collectorId)
      .flatMap(([id, lacks]) => lacks.map((lack) => `collector ${id}: ${lack}`));
  }

  /** What was not seen between two times, both included, newest gap first. */
  lacks(from: number, to: number): string[] {
    const lacks = this.#blanks.filter((blank) => blank.to >= from && blank.from <= to).map(({ what }) => what)
      .reverse();
    for (const [collectorId, sources] of this.#sources) {
      const active = sources.filter(({ state }) => state === "active");
      if (sources.length > 0 && active.length === 0) lacks.push(`collector ${collectorId} has no source of events`);
      for (const { name, misses } of active) {
        for (const missed of misses) lacks.push(`source ${name} misses: ${missed}`);
      }
    }
    return lacks;
  }
}
