/**
 * Events and process states as rows of the catalog's tables, in the order of its columns.
 *
 * Store and rule engine both take these rows, so that a rule sees exactly what is stored. The values come from a peer:
 * whatever number it sent, a row fits its STRICT table, because one odd value must not cost a whole batch its place.
 *
 * @module
 */
import { argvTexts } from "./argv_texts.ts";
import { tableNamed } from "./catalog.ts";
import { CONTEXT_COLUMNS } from "./tables/processes.ts";
import { processOfExec } from "./identity.ts";
import type { ProcessContext, ProcessEvent, ProcessState } from "./process_event.ts";

/** What a cell of the catalog's tables holds. */
export type SqlValue = string | number | null;

/** Place of each column of a table of the catalog. @throws RangeError when there is no such table. */
export function columnPlaces(table: string): ReadonlyMap<string, number> {
  return new Map(tableNamed(table).columns.map((column, place) => [column.name, place]));
}

// A copy of these is filled: an array that grows while it is made costs several times its memory.
const BLANK_EVENT = blankRow("process_events"), BLANK_PROCESS = blankRow("processes");

function blankRow(table: string): SqlValue[] {
  return tableNamed(table).columns.map(() => null);
}

/** The row of `process_events` for an event. */
export function eventRow(event: ProcessEvent, eventId: number, collectorId: string): SqlValue[] {
  const args = event.argv === null ? null : argvTexts(event.argv);
  const row = BLANK_EVENT.slice();
  let at = 0;
  row[at++] = eventId;
  row[at++] = integer(event.time) ?? 0;
  row[at++] = event.kind;
  row[at++] = event.execId;
  row[at++] = event.parentExecId;
  row[at++] = integer(event.pid) ?? 0;
  row[at++] = integer(event.ppid);
  row[at++] = event.name;
  row[at++] = event.executablePath;
  row[at++] = args === null ? null : args.line;
  row[at++] = args === null ? null : args.json;
  row[at++] = integer(event.argvLength);
  row[at++] = integer(event.userId);
  row[at++] = event.userName;
  row[at++] = integer(event.effectiveUserId);
  row[at++] = integer(event.groupId);
  row[at++] = integer(event.namespacePid);
  row[at++] = integer(event.startTime);
  row[at++] = integer(event.endTime);
  row[at++] = real(event.durationMs);
  row[at++] = integer(event.exitCode);
  row[at++] = integer(event.exitSignal);
  row[at++] = real(event.cpuTimeMs);
  row[at++] = integer(event.memoryUsage);
  row[at++] = event.executableHash;
  row[at++] = event.hashAlgorithm;
  row[at++] = event.fuzzyHash;
  row[at++] = truth(event.fileExists);
  row[at++] = truth(event.onDiskMismatch);
  row[at++] = truth(event.accessible);
  row[at++] = event.parentName;
  row[at++] = event.parentExecutablePath;
  row[at++] = event.parentCommandLine;
  row[at++] = event.executableKind;
  row[at++] = integer(event.inode);
  row[at++] = integer(event.device);
  at = setContext(row, at, event.context);
  row[at++] = event.modifiedFields.length === 0 ? null : JSON.stringify(event.modifiedFields);
  row[at++] = event.reason;
  row[at++] = event.severity;
  row[at++] = event.source;
  row[at++] = collectorId;
  return row;
}

/** The row of `processes` for a process that a snapshot read at `time` (Unix milliseconds) showed alive. */
export function processRow(state: ProcessState, time: number, collectorId: string): SqlValue[] {
  const args = state.argv === null ? null : argvTexts(state.argv);
  const row = BLANK_PROCESS.slice();
  let at = 0;
  row[at++] = processOfExec(state.execId);
  row[at++] = state.execId;
  row[at++] = state.parentExecId;
  row[at++] = integer(state.pid) ?? 0;
  row[at++] = integer(state.ppid);
  row[at++] = state.name;
  row[at++] = state.executablePath;
  row[at++] = args === null ? null : args.line;
  row[at++] = args === null ? null : args.json;
  row[at++] = integer(state.argvLength);
  row[at++] = integer(state.userId);
  row[at++] = state.userName;
  row[at++] = integer(state.effectiveUserId);
  row[at++] = integer(state.groupId);
  row[at++] = integer(state.namespacePid);
  row[at++] = integer(state.startTime);
  row[at++] = null;
  row[at++] = null;
  row[at++] = null;
  row[at++] = real(state.cpuTimeMs);
  row[at++] = integer(state.memoryUsage);
  row[at++] = integer(state.threads);
  row[at++] = state.executableKind;
  at = setContext(row, at, state.context);
  row[at++] = state.status;
  row[at++] = truth(state.kernelThread);
  row[at++] = integer(time) ?? 0;
  row[at++] = collectorId;
  return row;
}

/** Sets the cells of the catalog's context columns, which stand at `at`; gives where the next one stands. */
function setContext(row: SqlValue[], at: number, context: ProcessContext | null): number {
  if (context === null) return at + CONTEXT_COLUMNS.length;
  row[at++] = context.cwd;
  row[at++] = context.effectiveUserName;
  row[at++] = context.groupName;
  row[at++] = integer(context.savedUserId);
  row[at++] = integer(context.effectiveGroupId);
  row[at++] = integer(context.savedGroupId);
  row[at++] = integer(context.loginUserId);
  row[at++] = integer(context.sessionId);
  row[at++] = context.tty;
  row[at++] = integer(context.effectiveCapabilities);
  row[at++] = integer(context.userNamespace);
  row[at++] = integer(context.pidNamespace);
  row[at++] = integer(context.mountNamespace);
  row[at++] = integer(context.networkNamespace);
  row[at++] = context.cgroupPath;
  row[at++] = integer(context.cgroupId);
  row[at++] = context.containerId;
  row[at++] = context.containerRuntime;
  row[at++] = context.podId;
  row[at++] = context.interpreterPath;
  row[at++] = context.scriptPath;
  row[at++] = context.stdinKind;
  row[at++] = context.stdoutKind;
  row[at++] = context.environment;
  return at;
}

/** A whole number that is exact as a double; what is none (a fraction, beyond 2^53, not a number) is brought near. */
function integer(value: number | null): number | null {
  if (value === null || Number.isSafeInteger(value)) return value;
  if (Number.isNaN(value)) return null;
  return Math.round(Math.min(Math.max(value, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER));
}

function real(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

function truth(value: boolean | null): number | null {
  return value === null ? null : Number(value);
}
