/**
 * What an agent asks of an analyser and what that answers: one stage of an analysis, in the task and the result of
 * `execute_task`.
 *
 * Neither side trusts the other. What is asked for is bounded and closed; what is answered is held against the tables that
 * the stage may fill, column by column, before anything is stored. JSON, since stages and columns are many and the frame
 * around it is bounded already.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { ANALYSIS_TABLES } from "./tables.ts";

/** What can be found out, in the order in which it is cheap. */
export const STAGES = ["hash", "elf", "package", "strings", "memory", "yara"] as const;
export type Stage = (typeof STAGES)[number];

/** Longest request and answer, in UTF-16 code units; PATH_MAX of Linux. */
export const MAX_REQUEST_LENGTH = 16_384, MAX_ANSWER_LENGTH = 262_144, MAX_PATH_LENGTH = 4_096;
/** Rows that one stage may give of a table, and characters of one value. */
export const MAX_ROWS = 256, MAX_VALUE_LENGTH = 65_536;

export interface StageRequest {
  readonly stage: Stage;
  /** Absolute; `null` for a stage that looks at a process. */
  readonly path: string | null;
  /** The file that is meant; `null` for whichever stands there. */
  readonly device: number | null;
  readonly inode: number | null;
  readonly pid: number | null;
  /** Start of the process in ticks since boot; the pid may be another's by now. */
  readonly startTick: number | null;
  /** SHA-256 that the event had. */
  readonly hash: string | null;
}

export type FactRow = Readonly<Record<string, SqlValue>>;

/** What a stage found, by table. A table of one row an analysis is put together of what several stages say of it. */
export type StageRows = Readonly<Record<string, readonly FactRow[]>>;

/** What stands in the way of a stage, as the code of the call's failure. */
const STAGE_FAULTS = [
  "ABSENT",
  "NOT_READ",
  "REPLACED",
  "NOT_EXECUTABLE",
  "TOO_LARGE",
  "TIMED_OUT",
  "FAILED",
] as const;
export type StageFault = (typeof STAGE_FAULTS)[number];

/** An answer breaks the schema, or a request the contract. */
export class StageError extends Error {
  override name = "StageError";
}

/** Tables that each stage may fill. */
const FILLS: Readonly<Record<Stage, readonly string[]>> = {
  hash: ["file_facts"],
  elf: ["file_facts"],
  package: ["file_facts"],
  strings: ["file_facts", "file_strings"],
  memory: ["memory_facts"],
  yara: ["yara_matches"],
};
/** What the agent knows and an analyser does not say. */
const OF_AGENT: ReadonlySet<string> = new Set([
  ..."analysis_id time executable_path pid exec_id user_name event_id".split(" "),
]);
/** The column that tells rows of one analysis apart; the others have one row each. */
const ROW_KEY: Readonly<Record<string, string>> = { file_strings: "place", yara_matches: "rule" };

const COLUMNS = new Map(
  ANALYSIS_TABLES.map((table) => [table.name, new Map(table.columns.map(({ name, type }) => [name, type]))]),
);
const HASH = /^[0-9a-f]{64}$/;

export function encodeStageRequest(request: StageRequest): string {
  return JSON.stringify(request);
}

/** @throws {StageError} */
export function decodeStageRequest(text: string | null): StageRequest {
  const value = parsed(text, MAX_REQUEST_LENGTH);
  const { stage, path = null, device = null, inode = null, pid = null, startTick = null, hash = null } = value;
  if (!(STAGES as readonly unknown[]).includes(stage)) throw new StageError(`A stage is one of ${STAGES.join(", ")}`);
  if (path !== null && !isPath(path)) throw new StageError("A path is absolute, without '..' or zero bytes");
  for (const number of [device, inode, pid, startTick]) {
    if (number !== null && (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0)) {
      throw new StageError("A number of a request is a whole one");
    }
  }
  if (hash !== null && (typeof hash !== "string" || !HASH.test(hash))) throw new StageError("A hash has 64 digits");
  if (stage === "memory" ? pid === null || pid === 0 : path === null) {
    throw new StageError(
      stage === "memory" ? "memory is of a process: name its pid" : `${stage} is of a file: name it`,
    );
  }
  return { stage, path, device, inode, pid, startTick, hash } as StageRequest;
}

export function encodeStageRows(rows: StageRows): string {
  const text = JSON.stringify(rows);
  if (text.length > MAX_ANSWER_LENGTH) throw new StageError(`An answer has ${text.length} characters`);
  return text;
}

/** Rows as they may be stored. @throws {StageError} for what breaks the schema, naming it */
export function decodeStageRows(stage: Stage, text: string | null): StageRows {
  const tables = Object.entries(parsed(text, MAX_ANSWER_LENGTH));
  for (const [table, rows] of tables) {
    const columns = COLUMNS.get(table);
    if (!FILLS[stage].includes(table) || columns === undefined) {
      throw new StageError(`${stage} does not fill ${quoted(table)}`);
    }
    const key = ROW_KEY[table], most = key === undefined ? 1 : MAX_ROWS;
    if (!Array.isArray(rows) || rows.length > most) {
      throw new StageError(`${table} has at most ${most} rows of ${stage}`);
    }
    const keys = new Set<unknown>();
    for (const row of rows) {
      if (!isRecord(row)) throw new StageError(`A row of ${table} is an object`);
      for (const [name, value] of Object.entries(row)) {
        const type = columns.get(name);
        if (type === undefined || OF_AGENT.has(name)) {
          throw new StageError(`${stage} does not fill ${quoted(name)} of ${table}`);
        }
        if (value !== null && !isOfType(value, type)) throw new StageError(`${name} of ${table} is no ${type}`);
      }
      if (key === undefined) continue;
      if (row[key] === undefined || row[key] === null) throw new StageError(`A row of ${table} has no ${key}`);
      if (keys.has(row[key])) throw new StageError(`Two rows of ${table} have the same ${key}`);
      keys.add(row[key]);
    }
  }
  return Object.fromEntries(tables) as StageRows;
}

function parsed(text: string | null, most: number): Record<string, unknown> {
  if (text === null) throw new StageError("It says nothing");
  if (text.length > most) throw new StageError(`It has ${text.length} characters; ${most} are allowed`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StageError("It is no JSON", { cause: error });
  }
  if (!isRecord(value)) throw new StageError("It is no object");
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPath(value: unknown): value is string {
  return typeof value === "string" && value.startsWith("/") && value.length <= MAX_PATH_LENGTH &&
    !value.includes("\0") && !value.split("/").includes("..");
}

function isOfType(value: unknown, type: "INTEGER" | "REAL" | "TEXT"): boolean {
  if (type === "TEXT") return typeof value === "string" && value.length <= MAX_VALUE_LENGTH && value.isWellFormed();
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  return type === "REAL" || Number.isSafeInteger(value);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
