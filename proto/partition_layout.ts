/**
 * How a partition of `process_events` lies in the database, for the agent that writes it and for who reads one alone.
 *
 * What repeats is stored once for each partition. The columns of the circumstances are one row of a dictionary, those
 * of the program that runs and of its parent are others, and an event holds the numbers of their rows. A dictionary
 * belongs to its partition and goes with it, so nothing has to count references. Joins of three dictionaries by
 * number were measured against subqueries for each column: with many partitions they are ten times faster.
 *
 * @module
 */
import { tableNamed } from "./catalog.ts";
import { CONTEXT_COLUMNS } from "./tables/processes.ts";
import { STORED_EVENTS } from "./store_layout.ts";

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
/** Made from what `arguments` and `quoted` hold: see `setArguments` of the agent. */
const DERIVED: readonly string[] = ["command_line", "argv"];

/** Columns that an event's own row holds, and that have few values. */
export const FEW_VALUED: readonly string[] = ["event_type", "exit_code", "exit_signal", "severity"];
/** Columns whose values many events have in common. */
export const REPEATED_COLUMNS: ReadonlySet<string> = new Set([...HELD.keys(), ...FEW_VALUED]);

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

/** What the view over all partitions reads of one. */
export function partitionSelect(number: number, layout: PartitionLayout): string {
  return layout === FLAT ? flatSelect(number) : compactSelect(number);
}

/**
 * The rows of one partition as `process_events` has them, every column under its name, to stand after FROM; `where` is
 * a condition on the events' own table, which is `e`. SQLite leaves out the dictionaries that a query does not need.
 */
export function partitionRows(number: number, layout: PartitionLayout, where: string): string {
  const columns = TABLE.columns.map(({ name }) =>
    `${layout === FLAT ? `e.${name}` : compactColumn(name)} AS "${name}"`
  );
  const joins = layout === FLAT ? "" : dictionaryJoins(number);
  return `(SELECT ${columns.join(", ")} FROM ${partitionTable(number)} e${joins} WHERE ${where})`;
}

/** A SELECT of some columns of one partition, by name, that reads only the dictionaries which hold them. */
export function columnsSelect(number: number, layout: PartitionLayout, columns: readonly string[]): string {
  if (layout === FLAT) return `SELECT ${columns.join(", ")} FROM ${partitionTable(number)}`;
  return compactColumns(number, partitionTable(number), columns, []);
}

/** The same of a compact partition, with further columns of `table`, which holds references into its dictionaries. */
export function compactColumns(
  number: number,
  table: string,
  columns: readonly string[],
  further: readonly { readonly own: string; readonly name: string }[],
): string {
  const list = [
    ...columns.map((name) => `${compactColumn(name)} AS "${name}"`),
    ...further.map(({ own, name }) => `e.${own} AS "${name}"`),
  ];
  const joins = dictionaryJoins(number, dictionariesOf(columns));
  return `SELECT ${list.join(", ")} FROM ${table} e${joins}`;
}

/** The dictionaries that hold some of the columns. */
export function dictionariesOf(columns: readonly string[]): readonly Dictionary[] {
  const held = new Set(columns.map((name) => HELD.get(name)));
  return DICTIONARIES.filter(({ name }) => held.has(name));
}

function flatSelect(number: number): string {
  return `SELECT ${TABLE.columns.map(({ name }) => name).join(", ")} FROM ${partitionTable(number)}`;
}

function compactSelect(number: number): string {
  const columns = TABLE.columns.map(({ name }) => compactColumn(name));
  return `SELECT ${columns.join(", ")} FROM ${partitionTable(number)} e${dictionaryJoins(number)}`;
}

function compactColumn(name: string): string {
  if (name === "command_line") return commandLineOf("e");
  if (name === "argv") return argvOf("e");
  return `${HELD.get(name) ?? "e"}.${name}`;
}

function dictionaryJoins(number: number, dictionaries = DICTIONARIES): string {
  return dictionaries.map((d) =>
    ` LEFT JOIN ${dictionaryTable(number, d)} ${d.name} ON ${d.name}.number = e.${d.reference}`
  ).join("");
}

/** Stands between arguments; where one holds it, JSON has it as an escape, and both columns are stored. */
export const SEPARATOR = "\u001f";
export const BETWEEN = '","';

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
