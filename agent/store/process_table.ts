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

/**
 * What holds for one value of another column only: with another execution, user or control group it is replaced, also
 * where the new one is unknown. Everything else, and these while that column is the same, goes by the last that was
 * known: a stop has no circumstances, and no rung of the source ladder knows all.
 */
const HOLDS_FOR: ReadonlyMap<string, string> = new Map([
  ...[
    "name",
    "executable_path",
    "command_line",
    "argv",
    "argv_length",
    "executable_kind",
    "interpreter_path",
    "script_path",
    "environment",
  ].map((name) => [name, "exec_id"] as const),
  ["user_name", "user_id"],
  ["effective_user_name", "effective_user_id"],
  ["group_name", "group_id"],
  ...["container_id", "container_runtime", "pod_id"].map((name) => [name, "cgroup_path"] as const),
]);
/** What every event says anew. */
const ALWAYS = new Set(["status", "end_time", "collection_time", "collector_id"]);

const PROCESS_ID = PLACE.get("process_id")!;
const EXEC_ID = PLACE.get("exec_id")!;
/** What an end alone tells, beside the status. */
const END_COLUMNS = [
  ...["end_time", "exit_code", "exit_signal", "cpu_time_ms", "memory_usage", "collection_time", "collector_id"],
];
const END_PLACES = END_COLUMNS.map((name) => PLACE.get(name)!);
const END_TIME = PLACE.get("end_time")!;
const STATUS = PLACE.get("status")!;
const KERNEL_THREAD = PLACE.get("kernel_thread")!;
const COLLECTION_TIME = PLACE.get("collection_time")!;
const EVENT_TIME = EVENT_PLACE.get("time")!;
const EVENT_END_TIME = EVENT_PLACE.get("end_time")!;
const EVENT_TYPE = EVENT_PLACE.get("event_type")!;
const EVENT_MODIFIED = EVENT_PLACE.get("modified_fields")!;
const EVENT_EXEC_ID = EVENT_PLACE.get("exec_id")!;
/** A row that may still change, and what of an event may change it. */
const BETTER = "processes.end_time IS NULL OR processes.status = 'lost'";
const UPDATES = `${BETTER} OR excluded.end_time IS NOT NULL`;
/** For each column of `processes` the place of its namesake in an event's row, -1 where there is none. */
const FROM_EVENT = COLUMNS.map((name) => EVENT_PLACE.get(name) ?? -1);
/** Places of what holds for another column only, each with the place of that one. */
const HELD = [...HOLDS_FOR].map(([name, by]) => [PLACE.get(name)!, PLACE.get(by)!] as const);

/** Statements for rows that know the same columns; others take the one that names all. */
const MAX_SHAPES = 8;
/** By place, what a known cell adds to the number of a row's shape. */
const WEIGHTS = COLUMNS.map((_, place) => 2 ** place);
if (COLUMNS.length > 53) throw new RangeError("A number tells the shapes of rows of at most 53 columns apart");

/** An upsert of the columns that some rows know. */
interface Shape {
  readonly places: readonly number[];
  readonly statement: StatementSync;
}

export class ProcessTable {
  readonly #db: DatabaseSync;
  readonly #update: StatementSync;
  readonly #shapes = new Map<number, Shape>();
  readonly #end: StatementSync;
  readonly #snapshot: StatementSync;
  readonly #lose: StatementSync;
  readonly #readProgress: StatementSync;
  readonly #writeProgress: StatementSync;
  readonly #dropProgress: StatementSync;
  readonly #scan: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#update = db.prepare(upsert(UPDATES));
    // What most ends need: all else of that execution is known already.
    this.#end = db.prepare(`
      UPDATE processes SET status = 'ended', ${END_COLUMNS.map((name) => `${name} = coalesce(?, ${name})`).join(", ")}
      WHERE process_id = ? AND exec_id = ? AND (${BETTER})`);
    this.#snapshot = db.prepare(upsert(`(${BETTER}) AND excluded.collection_time >= processes.collection_time`));
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
    const merged = new Map<SqlValue, SqlValue[]>(), ends = new Set<SqlValue[]>();
    for (const event of rows) {
      if (tellsNothing(event)) continue;
      const row = processRowOfEvent(event), earlier = merged.get(row[PROCESS_ID]!);
      if (earlier === undefined) {
        merged.set(row[PROCESS_ID]!, row);
        if (event[EVENT_TYPE] === "stop") ends.add(row);
      } else if (earlier[END_TIME] !== null && event[EVENT_TYPE] === "start") continue; // an end is the last word
      else mergeInto(earlier, row);
    }
    for (const row of merged.values()) {
      if (!ends.has(row) || !this.#endKnown(row)) this.#put(row);
    }
  }

  /** Half of what a process could say is unknown of most, and a NULL costs as much to bind as to say nothing saves. */
  #put(row: readonly SqlValue[]): void {
    let weight = 0;
    for (let place = 0; place < row.length; place++) if (row[place] !== null) weight += WEIGHTS[place]!;
    let shape = this.#shapes.get(weight);
    if (shape === undefined) {
      // run() would make an object of what changed
      if (this.#shapes.size === MAX_SHAPES) return void this.#update.get(...row);
      const places = [...row.keys()].filter((place) => row[place] !== null);
      const statement = this.#db.prepare(upsert(UPDATES, places.map((place) => COLUMNS[place]!)));
      this.#shapes.set(weight, shape = { places, statement });
    }
    shape.statement.get(...shape.places.map((place) => row[place]!));
  }

  /** Ends a process whose execution is known; false when it is not. */
  #endKnown(row: readonly SqlValue[]): boolean {
    const values = END_PLACES.map((place) => row[place]!);
    return this.#end.run(...values, row[PROCESS_ID]!, row[EXEC_ID]!).changes !== 0;
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

/**
 * Whether an event is of a change that this table does not show, such as the hash of an executable: it may come late, and
 * what else it says of its execution may be old.
 */
function tellsNothing(event: readonly SqlValue[]): boolean {
  const fields = event[EVENT_MODIFIED], type = event[EVENT_TYPE];
  if (typeof fields !== "string" || type === "start" || type === "stop") return false;
  const names = JSON.parse(fields) as string[];
  return names.length > 0 && !names.some((name) => PLACE.has(name));
}

function processRowOfEvent(event: readonly SqlValue[]): SqlValue[] {
  const row: SqlValue[] = new Array(COLUMNS.length);
  for (let i = 0; i < row.length; i++) row[i] = FROM_EVENT[i] === -1 ? null : event[FROM_EVENT[i]!]!;
  const type = event[EVENT_TYPE];
  row[PROCESS_ID] = processOfExec(event[EVENT_EXEC_ID] as string);
  row[COLLECTION_TIME] = event[EVENT_TIME]!;
  row[STATUS] = type === "stop" ? "ended" : "running";
  row[KERNEL_THREAD] = type === "start" ? 0 : null;
  row[END_TIME] = type === "stop" ? event[EVENT_END_TIME] ?? event[EVENT_TIME]! : null;
  return row;
}

/** What {@linkcode upsert} does in SQL. */
function mergeInto(earlier: SqlValue[], row: readonly SqlValue[]): void {
  for (const [place, by] of HELD) {
    if (row[by] !== null && row[by] !== earlier[by]) earlier[place] = row[place]!;
  }
  for (let i = 0; i < row.length; i++) if (row[i] !== null) earlier[i] = row[i]!;
}

/**
 * An insert of these columns, the others being NULL, that, where the process is known, keeps what the new row does not
 * say, as far as it still holds.
 */
function upsert(where: string, columns: readonly string[] = COLUMNS): string {
  const set = COLUMNS.filter((name) => name !== "process_id").map((name) => {
    if (ALWAYS.has(name)) return `${name} = excluded.${name}`;
    const known = `coalesce(excluded.${name}, processes.${name})`, by = HOLDS_FOR.get(name);
    if (by === undefined) return `${name} = ${known}`;
    const holds = `excluded.${by} IS NULL OR excluded.${by} IS processes.${by}`;
    return `${name} = CASE WHEN ${holds} THEN ${known} ELSE excluded.${name} END`;
  });
  return `INSERT INTO processes (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
    ON CONFLICT (process_id) DO UPDATE SET ${set.join(", ")} WHERE ${where}`;
}
