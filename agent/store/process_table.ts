/**
 * The `processes` table: the last known state of every process, kept from events and from snapshots.
 *
 * A process that has ended stays ended: a snapshot that was read before its end but arrives after it changes nothing.
 * Only `lost` (nobody saw the end) gives way to better knowledge.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { tableNamed } from "../../proto/catalog.ts";
import { columnPlaces, processRow, type SqlValue } from "../../proto/event_row.ts";
import { bootTag, processOfExec } from "../../proto/identity.ts";
import type { ProcessState } from "../../proto/process_event.ts";

/** One part of a snapshot of the process table, as the wire carries it; `sequence` is its number in the stream. */
export interface SnapshotPart {
  readonly sequence: number;
  readonly time: number;
  /** 0 for the first. */
  readonly part: number;
  readonly last: boolean;
  readonly processes: readonly ProcessState[];
}

/** Where a snapshot comes from. */
export interface SnapshotOrigin {
  readonly stream: number;
  readonly collectorId: string;
  readonly bootId: string;
}

const COLUMNS = tableNamed("processes").columns.map((column) => column.name);
const PLACE = columnPlaces("processes");
const EVENT_PLACE = columnPlaces("process_events");

/** What an execution replaces as a whole: the new image has none of the old one's, also where it is unknown. */
const IMAGE = new Set(["exec_id", "name", "executable_path", "command_line", "argv", "argv_length"]);
/** What every event says anew. */
const ALWAYS = new Set(["status", "end_time", "collection_time", "collector_id"]);

const PROCESS_ID = PLACE.get("process_id")!;
const END_TIME = PLACE.get("end_time")!;
const STATUS = PLACE.get("status")!;
const KERNEL_THREAD = PLACE.get("kernel_thread")!;
const COLLECTION_TIME = PLACE.get("collection_time")!;
const EVENT_TIME = EVENT_PLACE.get("time")!;
const EVENT_TYPE = EVENT_PLACE.get("event_type")!;
const EVENT_EXEC_ID = EVENT_PLACE.get("exec_id")!;
/** For each column of `processes` the place of its namesake in an event's row, -1 where there is none. */
const FROM_EVENT = COLUMNS.map((name) => EVENT_PLACE.get(name) ?? -1);

export class ProcessTable {
  readonly #begin: StatementSync;
  readonly #update: StatementSync;
  readonly #snapshot: StatementSync;
  readonly #lose: StatementSync;
  readonly #readProgress: StatementSync;
  readonly #writeProgress: StatementSync;
  readonly #dropProgress: StatementSync;
  readonly #scan: StatementSync;

  constructor(db: DatabaseSync) {
    const better = "processes.end_time IS NULL OR processes.status = 'lost'";
    this.#begin = db.prepare(upsert((name) => IMAGE.has(name), `${better} OR excluded.end_time IS NOT NULL`));
    this.#update = db.prepare(upsert(() => false, `${better} OR excluded.end_time IS NOT NULL`));
    this.#snapshot = db.prepare(
      upsert(
        (name) => IMAGE.has(name),
        `(${better}) AND excluded.collection_time >= processes.collection_time`,
      ),
    );
    // Alive in the store, not in the table: its end was missed. What was reported after the table was read is newer.
    this.#lose = db.prepare(`
      UPDATE processes SET status = 'lost', end_time = max($time, coalesce(start_time, $time))
      WHERE end_time IS NULL
        AND ((collector_id = $collector AND collection_time < $time) OR substr(process_id, 1, length($boot)) <> $boot)`);
    this.#readProgress = db.prepare("SELECT time, next_part, process_count FROM snapshot_progress WHERE stream = ?");
    this.#writeProgress = db.prepare("INSERT OR REPLACE INTO snapshot_progress VALUES (?, ?, ?, ?)");
    this.#dropProgress = db.prepare("DELETE FROM snapshot_progress WHERE stream = ?");
    this.#scan = db.prepare("INSERT INTO scan_metadata VALUES (?, ?, ?, ?)");
  }

  /** Takes over what rows of `process_events` say, in order: one write for each process. */
  applyEvents(rows: readonly SqlValue[][]): void {
    const merged = new Map<SqlValue, { row: SqlValue[]; begins: boolean }>();
    for (const event of rows) {
      const row = processRowOfEvent(event), begins = event[EVENT_TYPE] === "start";
      const earlier = merged.get(row[PROCESS_ID]!);
      if (earlier === undefined) merged.set(row[PROCESS_ID]!, { row, begins });
      else if (earlier.row[END_TIME] !== null && begins) continue; // an end is the last word
      else {
        for (let i = 0; i < row.length; i++) {
          if (row[i] !== null || (begins && IMAGE.has(COLUMNS[i]!))) earlier.row[i] = row[i]!;
        }
        earlier.begins ||= begins;
      }
    }
    for (const { row, begins } of merged.values()) (begins ? this.#begin : this.#update).run(...row);
  }

  /** Takes over one part of a snapshot, and with the last one marks what was not in it as lost. */
  applySnapshot(part: SnapshotPart, origin: SnapshotOrigin, scanId: number): void {
    for (const state of part.processes) this.#snapshot.run(...processRow(state, part.time, origin.collectorId));
    const progress = this.#readProgress.get(origin.stream);
    const whole = part.part === 0 || (progress?.["time"] === part.time && progress["next_part"] === part.part);
    const before = part.part === 0 ? 0 : Number(progress?.["process_count"] ?? 0);
    const count = before + part.processes.length;
    if (!whole) this.#dropProgress.run(origin.stream); // a part is missing: what was not seen may well live
    else if (!part.last) this.#writeProgress.run(origin.stream, part.time, part.part + 1, count);
    else {
      this.#dropProgress.run(origin.stream);
      this.#lose.run({ time: part.time, collector: origin.collectorId, boot: bootTag(origin.bootId) + "-" });
      this.#scan.run(scanId, part.time, count, origin.collectorId);
    }
  }
}

function processRowOfEvent(event: readonly SqlValue[]): SqlValue[] {
  const row: SqlValue[] = new Array(COLUMNS.length);
  for (let i = 0; i < row.length; i++) row[i] = FROM_EVENT[i] === -1 ? null : event[FROM_EVENT[i]!]!;
  const type = event[EVENT_TYPE];
  row[PROCESS_ID] = processOfExec(event[EVENT_EXEC_ID] as string);
  row[COLLECTION_TIME] = event[EVENT_TIME]!;
  row[STATUS] = type === "stop" ? "ended" : "running";
  row[KERNEL_THREAD] = type === "start" ? 0 : null;
  row[END_TIME] = type === "stop" ? event[EVENT_PLACE.get("end_time")!] ?? event[EVENT_TIME]! : null;
  return row;
}

/** An insert that, where the process is known, keeps what the new row does not say except for `replaced` columns. */
function upsert(replaced: (column: string) => boolean, where: string): string {
  const set = COLUMNS.filter((name) => name !== "process_id").map((name) =>
    ALWAYS.has(name) || replaced(name)
      ? `${name} = excluded.${name}`
      : `${name} = coalesce(excluded.${name}, processes.${name})`
  );
  return `INSERT INTO processes (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})
    ON CONFLICT (process_id) DO UPDATE SET ${set.join(", ")} WHERE ${where}`;
}
