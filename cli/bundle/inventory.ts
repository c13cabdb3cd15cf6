/**
 * What a bundle shows of a host, as things that can be compared: programs, files, parents, users, rules, alerts, settings,
 * and the texts in the tables that collectors brought.
 *
 * The rows are gone through one by one and only what differs is kept, so that memory grows with the variety of a host and
 * not with its events.
 *
 * @module
 */
import { CommandError } from "../command.ts";
import type { Cell } from "../output.ts";
import { count } from "../units.ts";
import { rowsOf } from "./event_check.ts";
import { type BundledTable, TABLES } from "./members.ts";
import type { BundleReader } from "./reader.ts";

/** In the order in which they are shown. */
export const KINDS = [
  "program",
  "hash",
  "parent",
  "user",
  "use",
  "alert",
  "rule",
  "rule-file",
  "setting",
  "source",
  "table",
  "value",
] as const;
export type Kind = typeof KINDS[number];

/** What is known of a thing. Two things of the same kind and name are the same when their states are. */
export interface Thing {
  /** `null` where only its being there matters. */
  state: string | null;
  count: number;
  first: number | null;
  last: number | null;
}

export interface Inventory {
  readonly things: ReadonlyMap<Kind, ReadonlyMap<string, Thing>>;
  /** Columns of collectors' tables whose texts are too many or too long to be compared, such as "sshd_events.message". */
  readonly crowded: ReadonlySet<string>;
}

/** Between a column and a text of it, in the name of a value. */
const IS = " = ";
/** Different texts of one column of a collector's table, and the longest: beyond that it is prose, and no name. */
const MAX_VALUES = 5_000, MAX_VALUE_LENGTH = 256;
/** Of all such columns together. */
const MAX_ALL_VALUES = 500_000;

/** Different things of one kind. */
const MAX_THINGS = 2_000_000;

/** @throws BundleRefusedError @throws CommandError when there is too much of it */
export function takeInventory(reader: BundleReader, progress: (rows: number) => void): Inventory {
  const found = new Map<Kind, Map<string, Thing>>(KINDS.map((kind) => [kind, new Map()]));
  const see = (kind: Kind, name: Cell, time: Cell, state: string | null = null): void => {
    if (name === null || name === "") return;
    const things = found.get(kind)!,
      key = String(name),
      at = time === null ? null : Number(time),
      thing = things.get(key);
    if (thing === undefined) {
      if (things.size >= MAX_THINGS) {
        throw new CommandError(
          `${reader.name} has more than ${count(MAX_THINGS)} of the kind ${kind}; compare shorter times`,
        );
      }
      things.set(key, { state, count: 1, first: at, last: at });
      return;
    }
    thing.count += 1;
    if (state !== null && thing.state !== state) thing.state = state;
    if (at === null) return;
    if (thing.first === null || at < thing.first) thing.first = at;
    if (thing.last === null || at > thing.last) thing.last = at;
  };
  let rows = 0;
  for (const of of cellsOf(reader, "process_events")) {
    rows += 1;
    if (rows % 10_000 === 0) progress(rows);
    if (of("event_type") !== "start") continue;
    const time = of("time"), program = of("executable_path"), hash = of("executable_hash");
    const user = of("user_name") ?? of("user_id");
    see("program", program, time, hash === null ? null : String(hash));
    see("hash", hash, time);
    if (of("parent_name") !== null) see("parent", `${of("parent_name")} > ${of("name")}`, time);
    see("user", user, time);
    if (user !== null && program !== null) see("use", `${user} > ${program}`, time);
  }
  const values = new CollectedValues();
  for (const member of reader.manifest.members) {
    if (member.place.kind !== "collected") continue;
    const table = reader.tableOf(member)!;
    values.add(table, reader.rows(member), (time) => {
      rows += 1;
      if (rows % 10_000 === 0) progress(rows);
      see("table", table.name, time);
    });
  }
  found.set("value", values.things());
  for (const of of cellsOf(reader, "alerts")) see("alert", of("rule_id"), of("time"));
  for (const of of cellsOf(reader, "detection_rules")) {
    const hash = of("rule_hash");
    see("rule", of("rule_id"), null, `${of("state")}${hash === null ? "" : ` ${String(hash).slice(0, 12)}`}`);
  }
  for (const of of cellsOf(reader, "rule_files")) see("rule-file", of("path"), null, String(of("sha256")).slice(0, 12));
  for (const of of cellsOf(reader, "configuration")) see("setting", of("setting"), null, String(of("value")));
  for (const of of cellsOf(reader, "sources")) {
    see("source", `${of("collector_id")} ${of("name")}`, null, String(of("state")));
  }
  return { things: found, crowded: values.crowded };
}

/** The column that a value is of. */
export function columnOf(value: string): string {
  return value.slice(0, value.indexOf(IS));
}

/** Texts of collectors' tables, column by column. */
class CollectedValues {
  readonly #columns = new Map<string, Map<string, Thing>>();
  readonly crowded = new Set<string>();
  #all = 0;

  add(table: BundledTable, rows: Iterable<Cell[]>, seen: (time: Cell) => void): void {
    const time = table.columns.findIndex(({ name }) => name === "time");
    const texts = table.columns.flatMap(({ name, type }, place) =>
      // Who sent it is a source, and compared as one
      type === "TEXT" && name !== "collector_id" ? [{ column: `${table.name}.${name}`, place }] : []
    );
    for (const row of rows) {
      seen(row[time]!);
      for (const { column, place } of texts) {
        const text = row[place];
        if (text !== null && text !== "" && !this.crowded.has(column)) {
          this.#see(column, String(text), Number(row[time]));
        }
      }
    }
  }

  #see(column: string, text: string, time: number): void {
    let known = this.#columns.get(column);
    if (known === undefined) this.#columns.set(column, known = new Map());
    const thing = known.get(text);
    if (thing !== undefined) {
      thing.count += 1;
      thing.first = Math.min(thing.first!, time);
      thing.last = Math.max(thing.last!, time);
    } else if (text.length > MAX_VALUE_LENGTH || known.size >= MAX_VALUES || this.#all >= MAX_ALL_VALUES) {
      this.crowded.add(column);
      this.#columns.delete(column);
      this.#all -= known.size;
    } else {
      known.set(text, { state: null, count: 1, first: time, last: time });
      this.#all += 1;
    }
  }

  things(): Map<string, Thing> {
    const things = new Map<string, Thing>();
    for (const [column, texts] of this.#columns) {
      for (const [text, thing] of texts) things.set(`${column}${IS}${text}`, thing);
    }
    return things;
  }
}

function* cellsOf(reader: BundleReader, table: string): Generator<(column: string) => Cell> {
  const places = new Map(TABLES.get(table)!.columns.map(({ name }, at) => [name, at]));
  let cells: Cell[] = [];
  const of = (column: string): Cell => cells[places.get(column)!] ?? null;
  for (const { row } of rowsOf(reader, table)) {
    cells = row;
    yield of;
  }
}
