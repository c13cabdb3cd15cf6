/**
 * Events and process states as rows of the catalog's tables, in the order of its columns.
 *
 * Store and rule engine both take these rows, so that a rule sees exactly what is stored. The values come from a peer:
 * whatever number it sent, a row fits its STRICT table, because one odd value must not cost a whole batch its place.
 *
 * @module
 */
import { commandLine, splitArgv } from "./argv.ts";
import { tableNamed } from "./catalog.ts";
import { processOfExec } from "./identity.ts";
import type { ProcessContext, ProcessEvent, ProcessState } from "./process_event.ts";

/** What a cell of the catalog's tables holds. */
export type SqlValue = string | number | null;

/** Place of each column of a table of the catalog. @throws RangeError when there is no such table. */
export function columnPlaces(table: string): ReadonlyMap<string, number> {
  return new Map(tableNamed(table).columns.map((column, place) => [column.name, place]));
}

/** The row of `process_events` for an event. */
export function eventRow(event: ProcessEvent, eventId: number, collectorId: string): SqlValue[] {
  const args = event.argv === null ? null : splitArgv(event.argv);
  return [
    eventId,
    integer(event.time) ?? 0,
    event.kind,
    event.execId,
    event.parentExecId,
    integer(event.pid) ?? 0,
    integer(event.ppid),
    event.name,
    event.executablePath,
    args === null ? null : commandLine(args),
    args === null ? null : JSON.stringify(args),
    integer(event.argvLength),
    integer(event.userId),
    event.userName,
    integer(event.effectiveUserId),
    integer(event.groupId),
    integer(event.namespacePid),
    integer(event.startTime),
    integer(event.endTime),
    real(event.durationMs),
    integer(event.exitCode),
    integer(event.exitSignal),
    real(event.cpuTimeMs),
    integer(event.memoryUsage),
    event.executableHash,
    event.hashAlgorithm,
    event.fuzzyHash,
    truth(event.fileExists),
    truth(event.onDiskMismatch),
    truth(event.accessible),
    event.parentName,
    event.parentExecutablePath,
    event.parentCommandLine,
    event.executableKind,
    integer(event.inode),
    integer(event.device),
    ...contextCells(event.context),
    event.modifiedFields.length === 0 ? null : JSON.stringify(event.modifiedFields),
    event.reason,
    event.severity,
    event.source,
    collectorId,
  ];
}

/** The row of `processes` for a process that a snapshot read at `time` (Unix milliseconds) showed alive. */
export function processRow(state: ProcessState, time: number, collectorId: string): SqlValue[] {
  const args = state.argv === null ? null : splitArgv(state.argv);
  return [
    processOfExec(state.execId),
    state.execId,
    state.parentExecId,
    integer(state.pid) ?? 0,
    integer(state.ppid),
    state.name,
    state.executablePath,
    args === null ? null : commandLine(args),
    args === null ? null : JSON.stringify(args),
    integer(state.argvLength),
    integer(state.userId),
    state.userName,
    integer(state.effectiveUserId),
    integer(state.groupId),
    integer(state.namespacePid),
    integer(state.startTime),
    null,
    null,
    null,
    real(state.cpuTimeMs),
    integer(state.memoryUsage),
    integer(state.threads),
    state.executableKind,
    ...contextCells(state.context),
    state.status,
    truth(state.kernelThread),
    integer(time) ?? 0,
    collectorId,
  ];
}

/** The cells of the catalog's context columns. */
function contextCells(context: ProcessContext | null): readonly SqlValue[] {
  if (context === null) return NO_CONTEXT;
  return [
    context.cwd,
    context.effectiveUserName,
    context.groupName,
    integer(context.savedUserId),
    integer(context.effectiveGroupId),
    integer(context.savedGroupId),
    integer(context.loginUserId),
    integer(context.sessionId),
    context.tty,
    integer(context.effectiveCapabilities),
    integer(context.userNamespace),
    integer(context.pidNamespace),
    integer(context.mountNamespace),
    integer(context.networkNamespace),
    context.cgroupPath,
    integer(context.cgroupId),
    context.containerId,
    context.containerRuntime,
    context.podId,
    context.interpreterPath,
    context.scriptPath,
    context.stdinKind,
    context.stdoutKind,
    context.environment,
  ];
}
const NO_CONTEXT: readonly SqlValue[] = new Array(24).fill(null);

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
