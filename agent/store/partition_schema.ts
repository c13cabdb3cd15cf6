/**
 * How a partition of `process_events` lies in the database, and the view that makes one table of all.
 *
 * What repeats is stored once for each partition. The columns of the circumstances are one row of a dictionary, those
 * of the program that runs and of its parent are others, and an event holds the numbers of their rows. A dictionary
 * belongs to its partition and goes with it, so nothing has to count references. Joins of three dictionaries by
 * number were measured against subqueries for each column: with many partitions they are ten times faster.
 *
 * @module
 */
import { CONTEXT_COLUMNS, tableNamed } from "../../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { STORED_EVENTS } from "../../proto/store_layout.ts";

/** `FLAT`: the table of schema 2 as it was, with the catalog's columns; `COMPACT`: with dictionaries. */
export const FLAT = 2, COMPACT = 3;
export type PartitionLayout = typeof FLAT | typeof COMPACT;

export interface Dictionary {
  /** Ends the table's name. */
  readonly name: string;
  /** The column of an event that holds the row's number. */
  readonly reference: string;
  /** Columns of `process_events` that it holds. */
  readonly columns: readonly string[];
}

export const DICTIONARIES: readonly Dictionary[] = [
  { name: "contexts", reference: "context", columns: CONTEXT_COLUMNS.map((column) => column.name) },
  {
    name: "programs",
    reference: "program",
    columns: [
      ..."name,executable_path,executable_hash,hash_algorithm,fuzzy_hash,file_exists,on_disk_mismatch".split(","),
      ..."accessible,executable_kind,inode,device,user_id,user_name,effective_user_id,group_id".split(","),
      ..."source,collector_id".split(","),
    ],
  },
  {
    name: "parents",
    reference: "parent",
    columns: ["parent_exec_id", "ppid", "parent_name", "parent_executable_path", "parent_command_line"],
  },
];

const TABLE = tableNamed("process_events");
const HELD: ReadonlyMap<string, string> = new Map(
  DICTIONARIES.flatMap(({ name, columns }) => columns.map((column) => [column, name] as const)),
);
const TYPES = new Map(TABLE.columns.map(({ name, type }) => [name, type]));
/** Made from what `arguments` and `quoted` hold: see {@linkcode argumentCells}. */
const DERIVED: readonly string[] = ["command_line", "argv"];

/** Columns that an event's own row holds, as they are. */
export const OWN_COLUMNS: readonly string[] = TABLE.columns.map(({ name }) => name)
  .filter((name) => !HELD.has(name) && !DERIVED.includes(name));

/** The table of a partition. Its name begins as that of the view does: `store_layout.ts` says why. */
export function partitionTable(number: number): string {
  return `${STORED_EVENTS}_${number}`;
}

export function dictionaryTable(number: number, { name }: Dictionary): string {
  return `${partitionTable(number)}_${name}`;
}

/** Names of the tables of a partition, the one with the events first. */
export function partitionTables(number: number, layout: PartitionLayout): string[] {
  const events = partitionTable(number);
  return layout === FLAT ? [events] : [events, ...DICTIONARIES.map((d) => dictionaryTable(number, d))];
}

/** Every statement that makes a partition of the compact layout, one object each. */
export function partitionStatements(number: number): string[] {
  const events = partitionTable(number);
  const own = OWN_COLUMNS.map((name) => name === "event_id" ? `${name} INTEGER PRIMARY KEY NOT NULL` : typed(name));
  const references = DICTIONARIES.map(({ reference }) => `${reference} INTEGER`);
  return [
    `CREATE TABLE ${events} (\n  ${[...own, "arguments TEXT", "quoted TEXT", ...references].join(",\n  ")}\n) STRICT`,
    ...TABLE.indexes.map((index) => `CREATE INDEX ${events}_${index.join("_")} ON ${events} (${index.join(", ")})`),
    ...DICTIONARIES.map((d) => {
      const columns = ["number INTEGER PRIMARY KEY NOT NULL", ...d.columns.map(typed)];
      return `CREATE TABLE ${dictionaryTable(number, d)} (\n  ${columns.join(",\n  ")}\n) STRICT`;
    }),
  ];
}

function typed(name: string): string {
  return `${name} ${TYPES.get(name)}`;
}

/**
 * The two views over these partitions, one object each; at least one partition. Each SELECT begins with its table and
 * has no condition, so that SQLite moves a query's own conditions, order and limit into every one of them.
 */
export function viewStatements(partitions: readonly { number: number; layout: PartitionLayout }[]): string[] {
  const parts = partitions.map(({ number, layout }) => layout === FLAT ? flatSelect(number) : compactSelect(number));
  const names = TABLE.columns.map(({ name }) => name).join(", ");
  return [
    `CREATE VIEW ${STORED_EVENTS} (${names}) AS\n${parts.join("\nUNION ALL\n")}`,
    `CREATE VIEW process_events AS SELECT ${names} FROM ${STORED_EVENTS}`,
  ];
}

function flatSelect(number: number): string {
  return `SELECT ${TABLE.columns.map(({ name }) => name).join(", ")} FROM ${partitionTable(number)}`;
}

function compactSelect(number: number): string {
  const columns = TABLE.columns.map(({ name }) => {
    if (name === "command_line") return commandLineOf("e");
    if (name === "argv") return argvOf("e");
    return `${HELD.get(name) ?? "e"}.${name}`;
  });
  const joins = DICTIONARIES.map((d) =>
    ` LEFT JOIN ${dictionaryTable(number, d)} ${d.name} ON ${d.name}.number = e.${d.reference}`
  );
  return `SELECT ${columns.join(", ")} FROM ${partitionTable(number)} e${joins.join("")}`;
}

/** Stands between arguments; where one holds it, JSON has it as an escape, and both columns are stored. */
const SEPARATOR = "\u001f";
const BETWEEN = '","';

// Both have the affinity of the column of the flat layout: SQLite takes SELECTs that differ in it for one that it cannot
// move a query's order into.

function commandLineOf(events: string): string {
  return `CAST(CASE WHEN ${events}.quoted IS NULL THEN replace(${events}.arguments, '${SEPARATOR}', ' ') ` +
    `ELSE ${events}.arguments END AS TEXT)`;
}

function argvOf(events: string): string {
  return `CAST(CASE WHEN ${events}.quoted IS NULL ` +
    `THEN '["' || replace(${events}.arguments, '${SEPARATOR}', '${BETWEEN}') || '"]' ELSE nullif(${events}.quoted, '') END AS TEXT)`;
}

const PLACES = columnPlaces("process_events");
const COMMAND_LINE = PLACES.get("command_line")!;
const ARGV = PLACES.get("argv")!;

/**
 * What is stored of `command_line` and `argv`, as `arguments` and `quoted`. The same words twice would be a quarter of
 * an event: where the JSON has no escape, both are made of the arguments with a separator between them, which costs
 * less than 0.1 µs a row that is looked at. Otherwise `arguments` is the command line and `quoted` the JSON. Gives the
 * length of what is stored.
 */
export function argumentCells(row: readonly SqlValue[], into: SqlValue[]): number {
  const line = row[COMMAND_LINE]!, json = row[ARGV]!;
  if (typeof line === "string" && typeof json === "string" && !json.includes("\\")) {
    // Without an escape, quotes stand around arguments only: each that ends one is met before the next that begins.
    const joined = json.slice(2, -2).replaceAll(BETWEEN, SEPARATOR);
    if (joined.length === line.length && json.length >= 4 && joined.replaceAll(SEPARATOR, " ") === line) {
      into.push(joined, null);
      return joined.length;
    }
  }
  // Without a JSON text nothing must be made of the line: an empty text is none, and stands for NULL.
  into.push(line, json ?? (line === null ? null : ""));
  return String(line ?? "").length + String(json ?? "").length;
}
