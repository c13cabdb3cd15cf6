/**
 * What of a state goes into a bundle, and in which order.
 *
 * All is read as the commands of this program read it: the store under its deadline, a piece at a time, so that nothing
 * pins the agent's log; rules, settings, statuses and ledger as files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import type { Settings } from "../../proto/config.ts";
import { CommandError } from "../command.ts";
import { eventPieces } from "../export_pieces.ts";
import type { Cell } from "../output.ts";
import { listFiles, readText } from "../rule_files.ts";
import type { Store } from "../store_reader.ts";
import type { TimeRange } from "../units.ts";
import type { Span } from "./manifest.ts";
import { type BundledTable, collectedMember, CONFIGURATION, RULE_FILES, tableMember, TABLES } from "./members.ts";
import { lineColumn, PartWriter, textLine } from "./rows.ts";
import type { BundleWriter } from "./writer.ts";

/** Rows of a table but events that are read at a time. */
const PIECE_ROWS = 5_000;

/** Adds the tables of the store, and says of which time the events are. `progress` is told rows of a table. */
export function addStore(
  writer: BundleWriter,
  store: Store,
  range: TimeRange,
  progress: (table: string, rows: number) => void,
): Span {
  let from: number | null = null, until: number | null = null;
  for (const table of TABLES.values()) {
    if (table === RULE_FILES || table === CONFIGURATION) continue;
    let part = 0;
    const parts = new PartWriter((content, rows) => writer.add(tableMember(table.name, part++), content, rows));
    const isEvents = table.name === "process_events";
    const pieces = isEvents ? eventPieces(store, [lineColumn(table), "time"], range) : keyedPieces(store, table, range);
    for (const piece of pieces) {
      for (const row of piece) parts.add(row[0] as string);
      if (isEvents && piece.length > 0) {
        from ??= Number(piece[0]![1]);
        until = Number(piece.at(-1)![1]);
      }
      progress(table.name, parts.written);
    }
    parts.end();
  }
  return { from, until };
}

/** Which rows of a table belong to a time; all of those that are not named. Parameters: its begin and its end. */
const WITHIN: Readonly<Record<string, string>> = {
  processes: "(end_time IS NULL OR end_time >= ?1) AND coalesce(start_time, 0) <= ?2",
  alerts: "time >= ?1 AND time <= ?2",
  alert_history: "alert_id IN (SELECT alert_id FROM alerts WHERE time >= ?1 AND time <= ?2)",
  alert_deliveries: "alert_id IN (SELECT alert_id FROM alerts WHERE time >= ?1 AND time <= ?2)",
  alert_windows: "alert_id IN (SELECT alert_id FROM alerts WHERE time >= ?1 AND time <= ?2)",
  gaps: "to_time >= ?1 AND from_time <= ?2",
  scan_metadata: "time >= ?1 AND time <= ?2",
};

/** Adds the rows of the tables that collectors brought. */
export function addCollected(
  writer: BundleWriter,
  store: Store,
  range: TimeRange,
  progress: (table: string, rows: number) => void,
): void {
  for (const table of [...store.tables.values()].sort((a, b) => a.name < b.name ? -1 : 1)) {
    let part = 0;
    const parts = new PartWriter((content, rows) => writer.add(collectedMember(table.name, part++), content, rows));
    for (const piece of keyedPieces(store, table, range, "time >= ?1 AND time <= ?2")) {
      for (const row of piece) parts.add(row[0] as string);
      progress(table.name, parts.written);
    }
    parts.end();
  }
}

/** Lines of a table in the order of its key, each with the columns of the key behind it. */
function* keyedPieces(
  store: Store,
  table: BundledTable,
  range: TimeRange,
  within: string = WITHIN[table.name] ?? "(?1 OR ?2 OR 1)",
): Generator<Cell[][]> {
  const { key } = table;
  const begin = Math.ceil(range.from ?? Number.MIN_SAFE_INTEGER);
  const end = Math.floor(range.until ?? Number.MAX_SAFE_INTEGER);
  const behind = `(${key.join(", ")}) > (${key.map((_, at) => `?${at + 3}`).join(", ")})`;
  let after: Cell[] | null = null;
  for (;;) {
    const rows: Cell[][] = store.rows(
      `SELECT ${[lineColumn(table), ...key].join(", ")} FROM "${table.name}" WHERE ${within}${
        after === null ? "" : ` AND ${behind}`
      }
       ORDER BY ${key.join(", ")} LIMIT ${PIECE_ROWS}`,
      begin,
      end,
      ...(after ?? []) as (string | number | bigint)[],
    );
    yield rows;
    if (rows.length < PIECE_ROWS) return;
    after = rows.at(-1)!.slice(1);
  }
}

/** Adds the files of the rules directories, and says what cannot be read. */
export function addRules(writer: BundleWriter, directories: readonly string[]): string[] {
  const lacks: string[] = [], files = new Set<string>();
  for (const directory of directories) {
    try {
      for (const file of listFiles(directory)) files.add(file);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      lacks.push(`Rules are left out: ${error.message}`);
    }
  }
  const rows: string[][] = [];
  for (const path of [...files].sort()) {
    try {
      const text = readText(path);
      rows.push([path, createHash("sha256").update(text).digest("hex"), text]);
    } catch (error) {
      lacks.push(`The rule file ${path} is left out: ${error instanceof Error ? error.message : error}`);
    }
  }
  addRows(writer, RULE_FILES, rows);
  return lacks;
}

/** Adds every setting, without what may be a secret. */
export function addConfiguration(writer: BundleWriter, { values, origins }: Settings): void {
  const rows = [...values].sort(([a], [b]) => a < b ? -1 : 1).map(([setting, value]) => {
    const shown = setting === "agent.sinks" ? (value as readonly unknown[]).map(withoutSecrets) : value;
    return [setting, canonicalJson(shown), origins.get(setting) ?? "default"];
  });
  addRows(writer, CONFIGURATION, rows);
}

function addRows(writer: BundleWriter, table: BundledTable, rows: readonly (readonly string[])[]): void {
  let part = 0;
  const parts = new PartWriter((content, rows) => writer.add(tableMember(table.name, part++), content, rows));
  for (const row of rows) parts.add(textLine(table, row));
  parts.end();
}

/** Fields of a sink that may say more than where it is: a user in an address, a token in the path of a URL. */
const TELLING: ReadonlySet<string> = new Set(["url", "address"]), HIDDEN = "(left out)";

/** An entry of `agent.sinks` that names scheme and host of a URL only, and no user. */
function withoutSecrets(entry: unknown): unknown {
  return Object.fromEntries(
    Object.entries(entry as Record<string, unknown>).map(([field, value]) => {
      if (field === "user") return [field, HIDDEN];
      if (!TELLING.has(field)) return [field, value];
      const [, scheme, host] = /^([a-z][a-z0-9+.-]*:\/\/)(?:[^/@?#]*@)?([^/@?#]+)/i.exec(String(value)) ?? [];
      if (scheme !== undefined) return [field, `${scheme}${host}/${HIDDEN}`];
      return [field, /^unix[a-z]*:/.test(String(value)) ? value : HIDDEN];
    }),
  );
}

/** The newest moment that a store knows of; `null` for an empty one. */
export function newestTime(store: Store): number | null {
  const [row] = store.rows(
    `SELECT max(coalesce((SELECT time FROM process_events ORDER BY time DESC LIMIT 1), 0),
       (SELECT coalesce(max(detected_time), 0) FROM alerts), (SELECT coalesce(max(to_time), 0) FROM gaps),
       (SELECT coalesce(max(time), 0) FROM scan_metadata), (SELECT coalesce(max(last_seen), 0) FROM collectors))`,
  );
  const time = Number(row![0]);
  return time === 0 ? null : time;
}

/** The host's name, as the agent noted it. */
export function hostOf(store: Store): string | null {
  const [row] = store.rows("SELECT value FROM system_info WHERE name = 'hostname'");
  return row === undefined || row[0] === null ? null : String(row[0]);
}
