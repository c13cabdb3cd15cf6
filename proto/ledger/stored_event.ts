/**
 * An event made again from its row of `process_events`, to the byte: what a digest of the ledger covered.
 *
 * @module
 */
import { joinArgv } from "../argv.ts";
import { tableNamed } from "../catalog.ts";
import { CONTEXT_COLUMNS } from "../tables/processes.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import {
  BLANK_CONTEXT,
  type ExecutableKind,
  MAX_ARGV_BYTES,
  type ProcessContext,
  type ProcessEvent,
  type ProcessEventKind,
  type Severity,
} from "../process_event.ts";
import { WireError } from "../wire_error.ts";
import { canonicalEvent } from "./event_digest.ts";

/** The columns that a row must have, in this order. */
export const STORED_COLUMNS: readonly string[] = tableNamed("process_events").columns.map(({ name }) => name);

const PLACES = columnPlaces("process_events");
/** Fields of a context with their columns: both are in the same order. */
const CONTEXT_CELLS = Object.keys(BLANK_CONTEXT).map((field, at) => [field, CONTEXT_COLUMNS[at]!.name] as const);

/**
 * The event of a row in the form in which digests have it.
 *
 * @throws WireError for a row that cannot be of an event
 */
export function storedEvent(row: readonly SqlValue[]): Uint8Array {
  const text = (name: string): string | null => {
    const value = row[PLACES.get(name)!] ?? null;
    if (value !== null && typeof value !== "string") throw new WireError(`${name} of a row is not a text`);
    return value;
  };
  const number = (name: string): number | null => {
    const value = row[PLACES.get(name)!] ?? null;
    if (value !== null && typeof value !== "number") throw new WireError(`${name} of a row is not a number`);
    return value;
  };
  const truth = (name: string): boolean | null => {
    const value = number(name);
    return value === null ? null : value !== 0;
  };
  const argv = text("argv"), modified = text("modified_fields");
  const event: ProcessEvent = {
    kind: (text("event_type") ?? "") as ProcessEventKind,
    time: number("time") ?? 0,
    execId: text("exec_id") ?? "",
    parentExecId: text("parent_exec_id"),
    pid: number("pid") ?? 0,
    ppid: number("ppid"),
    name: text("name") ?? "",
    executablePath: text("executable_path"),
    argv: argv === null ? null : joinArgv(texts(argv)).subarray(0, MAX_ARGV_BYTES),
    argvLength: number("argv_length"),
    userId: number("user_id"),
    userName: text("user_name"),
    effectiveUserId: number("effective_user_id"),
    groupId: number("group_id"),
    namespacePid: number("namespace_pid"),
    startTime: number("start_time"),
    endTime: number("end_time"),
    durationMs: number("duration_ms"),
    exitCode: number("exit_code"),
    exitSignal: number("exit_signal"),
    cpuTimeMs: number("cpu_time_ms"),
    memoryUsage: number("memory_usage"),
    executableHash: text("executable_hash"),
    hashAlgorithm: text("hash_algorithm"),
    fuzzyHash: text("fuzzy_hash"),
    fileExists: truth("file_exists"),
    onDiskMismatch: truth("on_disk_mismatch"),
    accessible: truth("accessible"),
    parentName: text("parent_name"),
    parentExecutablePath: text("parent_executable_path"),
    parentCommandLine: text("parent_command_line"),
    executableKind: text("executable_kind") as ExecutableKind | null,
    inode: number("inode"),
    device: number("device"),
    context: contextOf(row),
    modifiedFields: modified === null ? [] : texts(modified),
    reason: text("reason"),
    severity: text("severity") as Severity | null,
    source: text("source") ?? "",
  };
  return canonicalEvent(event);
}

/** `null` where nothing is known: an event does not say so in two ways. */
function contextOf(row: readonly SqlValue[]): ProcessContext | null {
  const context: Record<string, SqlValue> = { ...BLANK_CONTEXT };
  let known = false;
  for (const [field, column] of CONTEXT_CELLS) {
    const value = context[field] = row[PLACES.get(column)!] ?? null;
    known ||= value !== null;
  }
  return known ? context as unknown as ProcessContext : null;
}

function texts(json: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new WireError("A list in a row is not JSON", { cause });
  }
  if (!Array.isArray(value) || !value.every((each) => typeof each === "string")) {
    throw new WireError("A list in a row is not one of texts");
  }
  return value;
}
