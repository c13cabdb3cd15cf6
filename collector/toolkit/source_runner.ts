/**
 * One source at work: started, its rows gathered, and started again when it fails.
 *
 * The source is code of somebody else in this process: what it throws is kept from the others. What it puts is checked
 * against its tables; what is wrong, or has no room, is counted and becomes a gap.
 *
 * @module
 */
import type { SqlValue } from "../../proto/event_row.ts";
import { printable } from "../../proto/printable.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import { rowFault, type TableDescriptor, type TableRow } from "../../proto/table_descriptor.ts";
import { MAX_TEXT_LENGTH } from "../../proto/wire_fields.ts";
import type { EventSource, RowValues, Sink } from "./event_source.ts";

/** Time that a source has to stop. */
const STOP_MS = 10_000;
const FIRST_RETRY_MS = 1_000, LAST_RETRY_MS = 60_000;
const MAX_POSITION_LENGTH = 65_536, MAX_LINE = 300, MAX_MISSES = 32;

export interface RunnerOptions {
  /** Rows of it that may wait to be taken. */
  readonly bufferRows: number;
  /** What it kept last. */
  readonly position: unknown;
  /** Whether whoever takes its rows has room now. */
  readonly hasRoom: () => boolean;
  /** There is something to take. */
  readonly wake: () => void;
  readonly notice: (text: string) => void;
}

/** What was put since it was last taken. */
export interface Taken {
  /** In their order, those of one table that follow each other together. */
  readonly rows: readonly { readonly table: string; readonly rows: readonly TableRow[] }[];
  readonly gaps: readonly Gap[];
}

/** Rows that were not taken, and why. */
interface Loss {
  count: number;
  from: number;
  to: number;
}

export class SourceRunner {
  readonly #source: EventSource;
  readonly #options: RunnerOptions;
  readonly #tables: ReadonlyMap<string, TableDescriptor>;
  readonly #places = new Map<string, ReadonlyMap<string, number>>();
  readonly #abort = new AbortController();
  readonly #losses = new Map<string, Loss>();
  #rows: { table: string; rows: TableRow[] }[] = [];
  #waiting = 0;
  #gaps: Gap[] = [];
  #position: unknown;
  /** Kept by the source, and not on disk yet. */
  #kept: { readonly position: unknown } | null = null;
  #ready: (() => void)[] = [];
  #state: "stopped" | "running" | "failed" = "stopped";
  #fault = "";
  #retryMs = FIRST_RETRY_MS;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failedAt: number | null = null;
  /** Counts starts: what a former one still puts is not of this one. */
  #run = 0;
  refused = 0;
  dropped = 0;
  cutTexts = 0;

  constructor(source: EventSource, options: RunnerOptions) {
    this.#source = source;
    this.#options = options;
    this.#position = options.position;
    this.#tables = new Map(source.tables.map((table) => [table.name, table]));
    for (const { name, columns } of source.tables) {
      this.#places.set(name, new Map(columns.map((column, place) => [column.name, place])));
    }
  }

  get name(): string {
    return this.#source.name;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Starts the source. Does not throw: a source that fails is tried again. */
  async start(): Promise<void> {
    const run = ++this.#run;
    try {
      await this.#source.start(this.#sink(run));
      if (run !== this.#run || this.#abort.signal.aborted) return;
      this.#state = "running";
      this.#fault = "";
      this.#retryMs = FIRST_RETRY_MS;
      this.#tellDark();
    } catch (error) {
      await this.#fail(run, wordsOf(error));
    }
  }

  /** Stops the source; what it put is still to be taken. */
  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    this.#abort.abort();
    this.#release();
    await this.#stopSource();
    this.#run += 1;
    this.#state = "stopped";
  }

  /** What was put since, and what was lost. */
  take(): Taken {
    const rows = this.#rows, gaps = this.#gaps;
    for (const [reason, { count, from, to }] of this.#losses) gaps.push(this.#gap(from, to, count, reason));
    this.#rows = [];
    this.#gaps = [];
    this.#losses.clear();
    this.#waiting = 0;
    this.#release();
    return { rows, gaps };
  }

  /** What is to be remembered now that all that was taken is on disk; `null` for nothing new. */
  takePosition(): { readonly position: unknown } | null {
    const kept = this.#kept;
    this.#kept = null;
    return kept;
  }

  /** There may be room again. */
  release(): void {
    this.#release();
  }

  /** How the source is, in the words of its own or those of what went wrong. */
  status(): SourceStatus {
    const { name } = this.#source, base = { name, unknownColumns: [] };
    if (this.#state !== "running") {
      const detail = this.#state === "failed" ? `${this.#fault}; tried again` : "it is not started";
      return { ...base, state: "unavailable", detail, misses: [] };
    }
    const misses = [
      ...this.refused > 0 ? [`${this.refused} rows were no rows of their table, and were refused`] : [],
      ...this.dropped > 0 ? [`${this.dropped} rows had no room, and were dropped`] : [],
    ];
    try {
      const health = this.#source.health();
      const own = health.misses.slice(0, MAX_MISSES).map(line);
      if (health.state === "degraded" && own.length === 0) own.push(line(health.detail));
      const state = health.state === "unavailable" ? "unavailable" : "active";
      return { ...base, state, detail: line(health.detail), misses: [...own, ...misses] };
    } catch (error) {
      return { ...base, state: "unavailable", detail: `it does not say how it is: ${wordsOf(error)}`, misses };
    }
  }

  #sink(run: number): Sink {
    const isCurrent = (): boolean => run === this.#run, position = (): unknown => this.#position;
    return {
      put: (table, values, time = Date.now()) => isCurrent() && this.#put(table, values, time),
      ready: () => this.#hasRoom() ? Promise.resolve() : new Promise((resolve) => this.#ready.push(resolve)),
      gap: ({ from, to, count, reason }) => {
        if (isCurrent()) this.#gaps.push(this.#gap(from, to, count, reason));
        this.#options.wake();
      },
      keep: (position) => {
        if (!isCurrent()) return;
        const text = JSON.stringify(position ?? null);
        if (text.length > MAX_POSITION_LENGTH) {
          throw new RangeError(`A position has ${text.length} characters; ${MAX_POSITION_LENGTH} are kept`);
        }
        this.#position = JSON.parse(text);
        this.#kept = { position: this.#position };
        this.#options.wake();
      },
      get position() {
        return structuredClone(position());
      },
      signal: this.#abort.signal,
      fail: (reason) => void this.#fail(run, reason),
    };
  }

  #put(table: string, values: RowValues, time: number): boolean {
    const descriptor = this.#tables.get(table);
    if (descriptor === undefined) return this.#refuse(table, time, "the source has no such table");
    const places = this.#places.get(table)!, row: SqlValue[] = new Array(places.size).fill(null);
    for (const name in values) {
      const place = places.get(name);
      if (place === undefined) return this.#refuse(table, time, `there is no column ${printable(name.slice(0, 64))}`);
      row[place] = this.#cut(values[name] ?? null);
    }
    const fault = rowFault(descriptor.columns, { time, values: row }, Date.now());
    if (fault !== null) return this.#refuse(table, time, fault);
    if (this.#waiting >= 2 * this.#options.bufferRows) {
      this.dropped += 1;
      this.#lose(`rows of ${table} had no room: the source did not wait for it`, time);
      return false;
    }
    const last = this.#rows.at(-1);
    if (last?.table === table) last.rows.push({ time, values: row });
    else this.#rows.push({ table, rows: [{ time, values: row }] });
    this.#waiting += 1;
    this.#options.wake();
    return this.#hasRoom();
  }

  #cut(value: SqlValue): SqlValue {
    if (typeof value !== "string" || value.length <= MAX_TEXT_LENGTH) return value;
    this.cutTexts += 1;
    return value.slice(0, MAX_TEXT_LENGTH - 1).toWellFormed() + "…";
  }

  #refuse(table: string, time: number, fault: string): boolean {
    this.refused += 1;
    if (this.refused === 1) this.#options.notice(`source ${this.name}: a row is none of ${line(table)}: ${fault}`);
    this.#lose(`rows of ${line(table)} were refused by the collector itself: ${fault}`, time);
    return this.#hasRoom();
  }

  #lose(reason: string, given: number): void {
    const time = Number.isSafeInteger(given) && given >= 0 ? Math.min(given, Date.now()) : Date.now();
    const loss = this.#losses.get(reason);
    // Reasons are few: what a source may put into them is bounded by its tables and columns
    if (loss === undefined && this.#losses.size < MAX_MISSES) {
      this.#losses.set(reason, { count: 1, from: time, to: time });
    } else if (loss !== undefined) {
      loss.count += 1;
      loss.from = Math.min(loss.from, time);
      loss.to = Math.max(loss.to, time);
    } else [...this.#losses.values()][0]!.count += 1;
    this.#options.wake();
  }

  #gap(from: number, to: number, count: number | null, reason: string): Gap {
    const now = Date.now(), time = (value: number): number => Number.isSafeInteger(value) && value >= 0 ? value : now;
    const [first, last] = [time(from), time(to)].sort((a, b) => a - b) as [number, number];
    const known = count !== null && Number.isSafeInteger(count) && count >= 0 ? count : null;
    return { source: this.name, recordKind: "all", from: first, to: last, count: known, reason: line(reason) };
  }

  #hasRoom(): boolean {
    return this.#abort.signal.aborted || this.#waiting < this.#options.bufferRows && this.#options.hasRoom();
  }

  #release(): void {
    if (this.#ready.length === 0 || !this.#hasRoom()) return;
    const ready = this.#ready;
    this.#ready = [];
    for (const resolve of ready) resolve();
  }

  async #fail(run: number, reason: string): Promise<void> {
    if (run !== this.#run || this.#state === "failed" || this.#abort.signal.aborted) return;
    this.#run += 1;
    this.#state = "failed";
    this.#fault = line(reason);
    this.#failedAt ??= Date.now();
    this.#options.notice(`source ${this.name} has failed: ${this.#fault}`);
    await this.#stopSource();
    if (this.#abort.signal.aborted) return;
    this.#retry = setTimeout(() => {
      this.#state = "stopped";
      void this.start();
    }, this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** Of a source that does not go on where it was, nobody knows what came while it was not there. */
  #tellDark(): void {
    if (this.#failedAt !== null && !this.#source.capabilities.resumes) {
      this.#gaps.push(this.#gap(this.#failedAt, Date.now(), null, `source ${this.name} had failed`));
      this.#options.wake();
    }
    this.#failedAt = null;
  }

  async #stopSource(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) =>
      timer = setTimeout(() => {
        this.#options.notice(`source ${this.name} did not stop within ${STOP_MS} ms, and is left`);
        resolve();
      }, STOP_MS)
    );
    try {
      await Promise.race([late, (async () => await this.#source.stop())()]);
    } catch (error) {
      this.#options.notice(`source ${this.name} failed while it stopped: ${wordsOf(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

function line(text: string): string {
  return printable(String(text).slice(0, MAX_LINE));
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
