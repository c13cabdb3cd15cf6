/**
 * What a collector is made of: sources that see something, and the sink that each puts rows into.
 *
 * A source is the author's; everything behind the sink is the {@linkcode Collector}'s. Both only talk by the two
 * interfaces here, so a source can be tried by {@linkcode testCollector} before any agent sees it.
 *
 * @module
 */
import type { SqlValue } from "../../proto/event_row.ts";
import type { TableDescriptor } from "../../proto/table_descriptor.ts";

/** What a source can do. The agent is told, and holds it against what comes. */
export interface SourceCapabilities {
  /** It is told as things happen; otherwise it looks now and then. */
  readonly realtime: boolean;
  /** It sees the whole host, not only what one user does. */
  readonly systemWide: boolean;
  /**
   * It goes on where it left off by {@linkcode Sink.position}, so that nothing is missed while it does not run. Of
   * one that does not, the collector tells by a gap of the time in which it did not run.
   */
  readonly resumes: boolean;
}

/** How a source is now. */
export interface SourceHealth {
  /** "degraded": it sees, and not all. "unavailable": it sees nothing. */
  readonly state: "active" | "degraded" | "unavailable";
  /** One line for people: what it sees, or why it does not. */
  readonly detail: string;
  /** What it cannot see, one line each; at most 32 are told. */
  readonly misses: readonly string[];
}

/** One thing that sees something and tells of it in rows of its tables. */
export interface EventSource {
  /** 1 to 32 lower-case letters, digits, `_` or `-`, a letter first; unique within the collector. */
  readonly name: string;
  /** What it can see, and whether it goes on where it was. */
  readonly capabilities: SourceCapabilities;
  /** The tables that it fills; two sources may share one, described alike. */
  readonly tables: readonly TableDescriptor[];
  /**
   * Begins to watch, and returns once it does; it must not wait for the end of watching. What it throws makes it
   * unavailable, and it is started again after a while.
   */
  start(sink: Sink): Promise<void> | void;
  /** Stops watching: nothing is put after it resolves. Also called when `start` threw. It has ten seconds. */
  stop(): Promise<void> | void;
  /** How it is now; called about once a second. */
  health(): SourceHealth;
}

/** A row by the names of its columns; those left out are NULL. */
export type RowValues = Readonly<Record<string, SqlValue>>;

/** Where a source puts what it sees. */
export interface Sink {
  /**
   * Takes a row. Never throws and never waits: a row that is none of its table is refused, and so is one for which there
   * is no room; both are counted and told by a gap. Texts of more than 65,536 characters are cut and end in `…`.
   *
   * @param time when it happened, in Unix milliseconds; now by default
   * @returns whether there is room for more: when `false`, wait for {@linkcode Sink.ready} if the source can
   */
  put(table: string, values: RowValues, time?: number): boolean;
  /** Resolves when there is room: at once, while the agent and the disk take what comes; also when the collector stops. */
  ready(): Promise<void>;
  /**
   * Says that something was not seen.
   *
   * @param gap times in Unix milliseconds; `count` is how many rows are missing, `null` when nobody knows
   */
  gap(
    gap: { readonly from: number; readonly to: number; readonly count: number | null; readonly reason: string },
  ): void;
  /**
   * Remembers how far the source is, once the rows that were put before are on disk. After a crash the source may begin at
   * an earlier position than it kept last, and tell of some rows again: never at a later one.
   *
   * @param position anything that JSON can hold, of at most 65,536 characters
   */
  keep(position: unknown): void;
  /** What was kept last, also by an earlier run; `null` for none. Not trusted more than the state directory is. */
  readonly position: unknown;
  /** Aborted when the collector stops. */
  readonly signal: AbortSignal;
  /** The source has failed: it is stopped, and started again after a while. */
  fail(reason: string): void;
}
