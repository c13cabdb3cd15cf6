/**
 * A bundle in memory: its tables in a database like the agent's store, its statuses and its ledger beside it.
 *
 * Every row is checked on its way in, by the form of its line and by the types of its table.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { resolve } from "node:path";
import { CATALOG, SCHEMA_VERSION, tableNamed } from "../../proto/catalog.ts";
import { FLAT, partitionSelect, partitionTable } from "../../proto/partition_layout.ts";
import { READ_LIMITS } from "../../proto/rules/authorizer.ts";
import { STORED_EVENTS } from "../../proto/store_layout.ts";
import { CommandError } from "../command.ts";
import { type HeldState, holdState } from "../held_state.ts";
import { MAX_HEAP_BYTES, ROW_ARGUMENTS } from "../store_reader.ts";
import { bytes as byteWords, count } from "../units.ts";
import { BundleLedger } from "./bundle_ledger.ts";
import { COLLECTED_TABLES } from "./collected_members.ts";
import type { Member } from "./manifest.ts";
import { type BundledTable, CONFIGURATION, RULE_FILES, STORE_TABLES } from "./members.ts";
import type { BundleReader } from "./reader.ts";
import { BundleRefusedError } from "./bundle_refused.ts";
import { STDIN } from "./source.ts";

/** Most that tables may have, unpacked, to be opened; in memory they take about as much again. */
const MAX_OPEN_BYTES = 8_589_934_592;
/** Memory of SQLite for each byte of a line, beside that of queries. */
const HEAP_PER_BYTE = 3;

export interface HeldBundle extends Disposable {
  /** The state directory that commands are to be given. */
  readonly directory: string;
}

/**
 * Holds a bundle in the place of a state directory until it is disposed of: every command that gets this directory as
 * `--state` reads the bundle.
 *
 * @throws BundleRefusedError @throws CommandError when it is too large
 */
export function holdBundle(reader: BundleReader, progress: (text: string) => void): HeldBundle {
  const tables = reader.manifest.members.filter(isLoaded), collected = reader.collected;
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > MAX_OPEN_BYTES) {
    throw new CommandError(
      `The tables of ${reader.name} have ${byteWords(total)} unpacked, more than can be opened in memory ` +
        `(${byteWords(MAX_OPEN_BYTES)}); make a bundle of a shorter time, or unpack it by tar and gunzip`,
    );
  }
  const database = emptyStore(total);
  try {
    addTables(database, collected);
    fill(database, reader, tables, progress);
    const state: HeldState = {
      database,
      statuses: { agent: statusOf(reader, "agent"), collector: statusOf(reader, "collector") },
      ledger: BundleLedger.of(reader),
    };
    // Below what is no directory nothing else can be
    const directory = reader.name === STDIN ? `/dev/${STDIN}` : resolve(reader.name),
      held = holdState(directory, state);
    return {
      directory,
      [Symbol.dispose]: () => {
        held[Symbol.dispose]();
        database.close();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

function isLoaded({ place }: Member): boolean {
  if (place.kind === "collected") return true;
  return place.kind === "table" && place.table !== RULE_FILES && place.table !== CONFIGURATION;
}

function statusOf(reader: BundleReader, tier: "agent" | "collector"): Uint8Array | null {
  const member = reader.manifest.members.find(({ place }) => place.kind === "status" && place.tier === tier);
  return member === undefined ? null : reader.content(member);
}

/** A store without a row, as readers expect one. */
function emptyStore(bytes: number): DatabaseSync {
  const db = new DatabaseSync(":memory:", {
    allowExtension: false,
    limits: { ...READ_LIMITS, functionArg: ROW_ARGUMENTS }, // `export` makes a row by one function, as of a store
    readBigInts: true,
    returnArrays: true,
  });
  db.exec(`PRAGMA hard_heap_limit = ${MAX_HEAP_BYTES + HEAP_PER_BYTE * bytes}`);
  for (const table of [...CATALOG.values(), ...STORE_TABLES]) {
    const indexes = CATALOG.get(table.name)?.indexes ?? [];
    const name = table.name === "process_events" ? partitionTable(1) : table.name;
    const columns = table.columns.map(({ name, type }) =>
      `${name} ${type}${table.key.includes(name) ? " NOT NULL" : ""}`
    );
    db.exec(`CREATE TABLE ${name} (${columns.join(", ")}, PRIMARY KEY (${table.key.join(", ")})) STRICT`);
    for (const index of indexes) {
      db.exec(`CREATE INDEX ${name}_${index.join("_")} ON ${name} (${index.join(", ")})`);
    }
  }
  const names = tableNamed("process_events").columns.map(({ name }) => name).join(", ");
  db.exec(
    `CREATE VIEW ${STORED_EVENTS} (${names}) AS ${partitionSelect(1, FLAT)};
     CREATE VIEW process_events AS SELECT ${names} FROM ${STORED_EVENTS};
     CREATE TABLE partitions (partition INTEGER PRIMARY KEY, layout INTEGER, state TEXT, from_time INTEGER,
       to_time INTEGER, events INTEGER, first_process INTEGER) STRICT;
     PRAGMA user_version = ${SCHEMA_VERSION}`,
  );
  return db;
}

/** Adds the tables that collectors brought, as the agent makes them. */
function addTables(db: DatabaseSync, tables: ReadonlyMap<string, BundledTable>): void {
  for (const { name, columns, key } of tables.values()) {
    const defined = columns.map((column) => `"${column.name}" ${column.type}`);
    try {
      db.exec(
        `CREATE TABLE "${name}" (${defined.join(", ")}, PRIMARY KEY (${key.join(", ")})) STRICT;
         CREATE INDEX "${name}_time" ON "${name}" (time)`,
      );
    } catch (cause) {
      // It has the name of another's index, or the other way round; an agent would not have made it either
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new BundleRefusedError(COLLECTED_TABLES, `The table ${name} cannot be made: ${why}`, { cause });
    }
  }
}

function fill(
  db: DatabaseSync,
  reader: BundleReader,
  members: readonly Member[],
  progress: (text: string) => void,
): void {
  db.exec("BEGIN");
  let rows = 0;
  const all = members.reduce((sum, member) => sum + (member.rows ?? 0), 0);
  for (const member of members) {
    progress(`opening: ${count(rows)} of ${count(all)} rows`);
    insert(db, reader, member, reader.tableOf(member)!);
    rows += member.rows ?? 0;
  }
  db.exec(
    `INSERT INTO partitions SELECT 1, ${FLAT}, 'closed', min(time), max(time), count(*), 0 FROM ${partitionTable(1)}
     HAVING count(*) > 0;
     COMMIT; PRAGMA optimize`,
  );
}

function insert(db: DatabaseSync, reader: BundleReader, member: Member, table: BundledTable): void {
  const name = table.name === "process_events" ? partitionTable(1) : table.name;
  const statement = db.prepare(`INSERT INTO "${name}" VALUES (${table.columns.map(() => "?").join(", ")})`);
  let line = 0;
  for (const row of reader.rows(member)) {
    line += 1;
    try {
      statement.run(...row);
    } catch (cause) {
      // A text where a number must be, a key that is there twice, no memory
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new BundleRefusedError(member.name, `Line ${line} is no row of ${table.name}: ${why}`, { cause });
    }
  }
}
