/**
 * One partition of the stored events, as `rules replay` goes over it: its own tables, without the view over all.
 *
 * SQLite over the stored rows is what a rule means, and judges here; `replay_filter.ts` keeps from it what cannot match.
 * Retention may take the partition away meanwhile: {@linkcode PartGoneError}, and the record of its removal tells the
 * operator.
 *
 * @module
 */
import { dictionaryTable, type PartitionLayout, partitionRows, partitionTable } from "../proto/partition_layout.ts";
import type { Form } from "../proto/rules/predicate.ts";
import type { Cell } from "./output.ts";
import { type RowFilter, rowFilter } from "./replay_filter.ts";
import type { Store } from "./store_reader.ts";
import { RowFaultError, StoreError } from "./store_error.ts";

/** Rows of a dictionary that one statement looks at. */
const DICTIONARY_STEP = 100_000;

/** A partition is not there any more. */
export class PartGoneError extends Error {
  override name = "PartGoneError";
}

/** What is known of events between two times. */
export interface Counted {
  events: number;
  matches: number;
  /** Events that meet the condition and are excepted; they are not among the matches. */
  excepted: number;
  /** Events that the condition cannot be computed for, and why the last could not. */
  faults: number;
  fault: string | null;
  /** Times within which there are matches and all can be judged, both ends included. */
  readonly found: (readonly [from: number, to: number])[];
}

/** A condition on one row, and the name that it gives `process_events`. */
export interface RowCondition {
  readonly alias: string;
  readonly where: string;
  /** The condition of the operator's exceptions, over the same name; `null` without one. */
  readonly excepted: string | null;
  readonly form: Form | null;
}

const NOTHING = { events: 0, matches: 0, excepted: 0, faults: 0, fault: null } as const;

/** The partitions of a store that have events between two times, each with the time of its first. */
export function partsWithin(store: Store, condition: RowCondition, from: number, until: number): Part[] {
  const rows = store.rows("SELECT partition, layout FROM main.partitions WHERE state <> 'removing' ORDER BY partition");
  const filters = new Filters(store, condition.form);
  return rows.flatMap(([number, layout]) => {
    const part = new Part(store, condition, Number(number), Number(layout) as PartitionLayout, filters);
    return part.meet(from, until) ? [part] : [];
  });
}

/** The filters of a condition, one for each layout, with their functions defined. */
class Filters {
  readonly #known = new Map<PartitionLayout, RowFilter | null>();

  constructor(readonly store: Store, readonly form: Form | null) {}

  of(layout: PartitionLayout): RowFilter | null {
    let filter = this.#known.get(layout);
    if (filter === undefined) {
      filter = this.form === null ? null : rowFilter(this.form, layout);
      this.#known.set(layout, filter);
      filter?.functions.forEach((has, place) => this.store.define(functionName(place), has));
    }
    return filter;
  }
}

function functionName(place: number): string {
  return `replay_has_${place}`;
}

export class Part {
  /** Times of its first and its last event of those that are looked at. */
  first = 0;
  last = 0;
  readonly #store: Store;
  readonly #condition: RowCondition;
  readonly #number: number;
  readonly #layout: PartitionLayout;
  readonly #filters: Filters;
  /** Statements with the filter; made when the first event is looked at. `null` without a filter. */
  #filtered: string | null | undefined;
  #tables: string[] = [];

  constructor(store: Store, condition: RowCondition, number: number, layout: PartitionLayout, filters: Filters) {
    this.#store = store;
    this.#condition = condition;
    this.#number = number;
    this.#layout = layout;
    this.#filters = filters;
  }

  /** Whether it has events between these times, both included. */
  meet(from: number, until: number): boolean {
    const first = this.next(from, until);
    if (first === null) return false;
    const [last] = this.#ask(`SELECT max(time) ${this.#events}`, from, until);
    [this.first, this.last] = [first, Number(last)];
    return true;
  }

  /** The time of its first event between these times; `null` without one. */
  next(from: number, until: number): number | null {
    const [time] = this.#ask(`SELECT min(time) ${this.#events}`, from, until);
    return time === null ? null : Number(time);
  }

  /** How many events it has between two times, both included. */
  events(from: number, to: number): number {
    return Number(this.#ask(`SELECT count(*) ${this.#events}`, from, to)[0]);
  }

  /**
   * Columns of the events between two times that meet the condition, in no order; where it cannot be computed for one
   * of them, of all.
   */
  rows(columns: readonly string[], from: number, to: number): Cell[][] {
    const list = columns.map((column) => `"${column}"`).join(", ");
    const read = (rows: string): Cell[][] => {
      return this.#inOneMoment(() => this.#store.rows(`SELECT ${list} FROM ${rows}`, from, to));
    };
    try {
      return read(this.#chosen());
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof RowFaultError)) throw error;
      this.#filtered = null;
      return read(this.#rows());
    }
  }

  /** Counts events and matches between two times, both included. */
  count(from: number, to: number): Counted {
    const events = this.events(from, to);
    if (events === 0) return { ...NOTHING, found: [] };
    try {
      const { matches, excepted } = this.#matches(from, to);
      return { ...NOTHING, events, matches, excepted, found: matches === 0 ? [] : [[from, to]] };
    } catch (error) {
      if (!(error instanceof RowFaultError)) throw error;
      // Nothing is known of which row it was: the condition alone tells
      this.#filtered = null;
      return this.#unfiltered(from, to, error);
    }
  }

  /** Values of the newest matches between two times, newest first. Whoever asks knows that all can be judged. */
  newest(columns: readonly string[], from: number, to: number, most: number): Cell[][] {
    const sql = `SELECT json_group_array(json_array(${columns.join(", ")})) FROM
      (SELECT ${columns.join(", ")} FROM ${this.#chosen()}
       ORDER BY time DESC, event_id DESC LIMIT ?3)`;
    return JSON.parse(String(this.#ask(sql, from, to, most)[0])) as Cell[][];
  }

  /** Gives the memory of its filter back. */
  close(): void {
    for (const table of this.#tables) this.#store.dropNumbers(table);
    this.#tables = [];
    this.#filtered = undefined;
  }

  get #events(): string {
    return `FROM ${partitionTable(this.#number)} WHERE time BETWEEN ? AND ?`;
  }

  #matches(from: number, to: number): Pick<Counted, "matches" | "excepted"> {
    const { excepted } = this.#condition, taken = excepted === null ? "0" : `count(*) FILTER (WHERE ${excepted})`;
    const [met, except] = this.#ask(`SELECT count(*), ${taken} FROM ${this.#met()}`, from, to);
    return { matches: Number(met) - Number(except), excepted: Number(except) };
  }

  /** The rows between two times, ?1 and ?2, that meet the condition. */
  #met(): string {
    const { alias, where } = this.#condition;
    // The line end closes a comment that ends the condition
    return `${this.#rows()} AS "${alias}" WHERE (${where}\n)`;
  }

  /** Those of them that are not excepted. */
  #chosen(): string {
    const { excepted } = this.#condition;
    return excepted === null ? this.#met() : `${this.#met()} AND (${excepted}) IS NOT TRUE`;
  }

  /** The rows between two times, ?1 and ?2, that pass the filter. */
  #rows(): string {
    if (this.#filtered === undefined) this.#filtered = this.#filter();
    const filter = this.#filtered === null ? "" : ` AND (${this.#filtered})`;
    return partitionRows(this.#number, this.#layout, `e.time BETWEEN ?1 AND ?2${filter}`);
  }

  #filter(): string | null {
    const filter = this.#filters.of(this.#layout);
    if (filter === null) return null;
    const sets = filter.sets.map(({ dictionary, where }, place) => {
      const name = `replay_${this.#number}_${place}`, table = dictionaryTable(this.#number, dictionary);
      const last = Number(this.#ask(`SELECT coalesce(max(number), 0) FROM ${table}`)[0]);
      this.#tables.push(name);
      for (let at = 0; at <= last; at += DICTIONARY_STEP) {
        const sql = `SELECT number FROM ${table} AS d WHERE number BETWEEN ? AND ? AND (${where})`;
        this.#store.keepNumbers(name, sql, at, Math.min(at + DICTIONARY_STEP - 1, last));
      }
      // An event without such a row has NULL in all of its columns; rows that come now are after the last
      const reference = `e.${dictionary.reference}`;
      return `(${reference} IN (SELECT number FROM temp."${name}") OR ${reference} IS NULL OR ${reference} > ${last})`;
    });
    return filter.where((set) => sets[set]!, functionName);
  }

  /** Halves the time until the events at fault stand alone. */
  #unfiltered(from: number, to: number, error: RowFaultError): Counted {
    if (from === to) return this.#oneByOne(from, error);
    const middle = Math.floor((from + to) / 2), whole: Counted = { ...NOTHING, found: [] };
    for (const [start, end] of [[from, middle], [middle + 1, to]] as const) {
      const half = this.count(start, end);
      whole.events += half.events;
      whole.matches += half.matches;
      whole.excepted += half.excepted;
      whole.faults += half.faults;
      whole.fault = half.fault ?? whole.fault;
      whole.found.push(...half.found);
    }
    return whole;
  }

  /** Some event of this millisecond cannot be judged, and the others can. */
  #oneByOne(time: number, first: RowFaultError): Counted {
    // Examples are asked for by the same statement, which would fail: this time gives none
    const found: Counted = { ...NOTHING, found: [] };
    const [ids] = this.#ask(`SELECT json_group_array(event_id) ${this.#events}`, time, time);
    for (const id of JSON.parse(String(ids)) as number[]) {
      found.events += 1;
      const met = this.#countOne(this.#met(), time, id);
      if (met === null) {
        found.faults += 1;
        found.fault = first.message;
        continue;
      }
      // An exception that cannot be computed takes nothing
      const kept = this.#condition.excepted === null ? met : this.#countOne(this.#chosen(), time, id) ?? met;
      found.matches += kept;
      found.excepted += met - kept;
    }
    return found;
  }

  /** Whether one event is among rows, 0 or 1; `null` when it cannot be computed. */
  #countOne(rows: string, time: number, id: number): number | null {
    try {
      return Number(this.#ask(`SELECT count(*) FROM ${rows} AND event_id = ?3`, time, time, id)[0]);
    } catch (error) {
      if (!(error instanceof RowFaultError)) throw error;
      return null;
    }
  }

  /** The first row of a query. */
  #ask(sql: string, ...parameters: number[]): Cell[] {
    return this.#inOneMoment(() => this.#store.first(sql, ...parameters)!);
  }

  /**
   * Reads in one moment in which the partition is there: once it is out of the views its dictionaries go, piece by
   * piece, and its events would look as if they had no name.
   */
  #inOneMoment<T>(read: () => T): T {
    return this.#store.atOneMoment(() => {
      const there = "SELECT count(*) FROM main.partitions WHERE partition = ? AND state <> 'removing'";
      if (this.#store.first(there, this.#number)![0] === 0) throw new PartGoneError();
      return read();
    });
  }
}
