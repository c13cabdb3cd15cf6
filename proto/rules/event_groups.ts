/**
 * Answers a query that groups events of groups of them that say the same (`sql_grouped.ts`).
 *
 * SQLite sorts all rows of a GROUP BY, with their texts: most of the time of such a query. But an event names its program,
 * its parent and its circumstances by number, and counting numbers costs no more than reading them. So the partitions are
 * read once under the query's own WHERE, each event is noted under the numbers that matter, and the groups, in a temporary
 * table for each partition with references into the same dictionaries, take the place of the events.
 *
 * Names are random: no query can read the groups but through the view, or call the functions.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { SqlValue } from "../event_row.ts";
import {
  COMPACT,
  compactColumns,
  DICTIONARIES,
  dictionariesOf,
  FEW_VALUED,
  type PartitionLayout,
  partitionTable,
} from "../partition_layout.ts";
import type { GroupedRead, GroupNames } from "./sql_grouped.ts";

/** A partition of `process_events`. */
export interface EventPart {
  readonly number: number;
  readonly layout: PartitionLayout;
}

/** Most groups of one partition, which are in memory together. */
const MAX_GROUPS = 65_536;
/** Where more than one event in so many makes a group, after the first thousands, sorting events is no slower. */
const LEAST_SHARE = 4, FIRST_GROUPS = 4_096;

/** What an event may be noted under. */
const KEYS: readonly string[] = [...FEW_VALUED, ...DICTIONARIES.map(({ reference }) => reference)];
/** What a group has beside that. */
const GROUP_COLUMNS = ["weight", "first", "last"] as const;

/** Events that say the same. */
interface Group {
  readonly keys: readonly SqlValue[];
  weight: number;
  first: number | null;
  last: number | null;
}

/** Groups by one key after the other. */
type Level = Map<SqlValue, Level | Group>;

/** What the groups of a query are made by. */
export interface GroupMaking {
  /** Columns that its WHERE names, and the one that the look at the clock takes. */
  readonly filter: readonly string[];
  /** What every event must be like, with a look at the clock. */
  readonly condition: string;
  /** The function that looks at the clock. */
  readonly tick: string;
  /** Has the query see `process_events` by the view that this SELECT makes, behind the second gate. */
  readonly see: (select: string) => void;
  /** Does what changes temporary tables, before the second gate. */
  readonly write: (act: () => void) => void;
}

export class EventGroups {
  readonly names: GroupNames;
  /** Names that queries over groups read and call, beside those of the catalog. */
  readonly columns: ReadonlySet<string>;
  readonly functions: readonly string[];
  readonly #db: DatabaseSync;
  readonly #note: string;
  readonly #tables: string;
  #root: Level = new Map();
  #groups: Group[] = [];
  /** Of all partitions. */
  #made = 0;
  #noted = 0;
  #isVain = false;

  constructor(db: DatabaseSync, secret: string) {
    this.#db = db;
    this.#note = `note_${secret}`;
    this.#tables = `groups_${secret}_`;
    this.names = {
      rows: `rows_${secret}`,
      weight: `weight_${secret}`,
      first: `first_${secret}`,
      last: `last_${secret}`,
    };
    const { rows, weight, first, last } = this.names;
    this.columns = new Set([weight, first, last, ...KEYS.map((key) => this.#key(key))]);
    this.functions = [this.#note, rows];
    db.function(this.#note, { varargs: true }, (time, ...keys) => {
      this.#add(time as number | null, keys as SqlValue[]);
      return 1;
    });
    // Bigints are integers to SQLite, where numbers are REAL; and what is counted may be beyond 2^53
    db.aggregate(rows, {
      varargs: true,
      useBigIntArguments: true,
      start: 0n,
      step: (sum: bigint, weight, ...of) => of[0] === null ? sum : sum + (weight as bigint),
    });
  }

  /** Whether a temporary table holds groups. */
  holds(table: string): boolean {
    return table.startsWith(this.#tables);
  }

  /** Whether events of these partitions can be noted by number. */
  static areFor(parts: readonly EventPart[]): boolean {
    return parts.length > 0 && parts.every(({ layout }) => layout === COMPACT);
  }

  /**
   * Makes groups of the events that a query reads, and has it see them in the place of `process_events`; `false` where
   * there are so many that it is not worth the while.
   *
   * @throws Error of SQLite, or of the look at the clock
   */
  replace(
    read: GroupedRead,
    parts: readonly EventPart[],
    { filter, condition, tick, see, write }: GroupMaking,
  ): boolean {
    const keys = [
      ...FEW_VALUED.filter((name) => read.columns.includes(name)),
      ...dictionariesOf(read.columns).map(({ reference }) => reference),
    ];
    const noted = [read.times ? "time" : "NULL", ...keys.map((key) => this.#key(key))].join(", ");
    const counting = `SELECT count(${this.#note}(${noted})) ${read.from} ${read.where}`;
    const further = keys.map((own) => ({ own, name: this.#key(own) })), filled: string[] = [];
    [this.#made, this.#noted, this.#isVain] = [0, 0, false];
    for (const { number } of parts) {
      [this.#root, this.#groups] = [new Map(), []];
      see(`SELECT * FROM (${compactColumns(number, partitionTable(number), filter, further)}) WHERE ${condition}`);
      try {
        this.#db.prepare(counting).get();
      } catch (error) {
        if (this.#isVain) return false;
        throw error;
      }
      // Of one at least, so that there is something to ask
      if (this.#groups.length === 0 && (filled.length > 0 || number !== parts.at(-1)!.number)) continue;
      write(() => filled.push(this.#keep(number, keys, read.columns)));
    }
    [this.#root, this.#groups] = [new Map(), []];
    see(`SELECT * FROM (${filled.join(" UNION ALL ")}) WHERE ${tick}("${this.names.weight}")`);
    return true;
  }

  /** Makes a table of the groups, and gives the SELECT that reads them as events with these columns. */
  #keep(number: number, keys: readonly string[], columns: readonly string[]): string {
    const table = `temp."${this.#tables}${number}"`, own = [...keys, ...GROUP_COLUMNS];
    const types = own.map((name) => `${name} ${name === "event_type" || name === "severity" ? "TEXT" : "INTEGER"}`);
    this.#db.exec(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (${types.join(", ")})`);
    const insert = this.#db.prepare(`INSERT INTO ${table} VALUES (?${", ?".repeat(own.length - 1)})`);
    for (const { keys, weight, first, last } of this.#groups) insert.get(...keys, weight, first, last);
    return compactColumns(number, table, columns, GROUP_COLUMNS.map((own) => ({ own, name: this.names[own] })));
  }

  #key(own: string): string {
    return `${own}${this.#note}`;
  }

  #add(time: number | null, keys: readonly SqlValue[]): void {
    const group = this.#find(keys);
    group.weight += 1;
    this.#noted += 1;
    if (time === null) return;
    if (group.first === null || time < group.first) group.first = time;
    if (group.last === null || time > group.last) group.last = time;
  }

  #find(keys: readonly SqlValue[]): Group {
    let level = this.#root;
    const last = keys.length - 1;
    for (let i = 0; i < last; i++) {
      let next = level.get(keys[i]!) as Level | undefined;
      if (next === undefined) level.set(keys[i]!, next = new Map());
      level = next;
    }
    const found = level.get(keys[last]!) as Group | undefined;
    if (found !== undefined) return found;
    this.#made += 1;
    const { length } = this.#groups;
    if (length >= MAX_GROUPS || (this.#made > FIRST_GROUPS && this.#made * LEAST_SHARE > this.#noted)) {
      this.#isVain = true;
      throw new RangeError("Too many groups");
    }
    const group = { keys, weight: 0, first: null, last: null };
    level.set(keys[last]!, group);
    this.#groups.push(group);
    return group;
  }
}
