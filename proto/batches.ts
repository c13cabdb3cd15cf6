/**
 * Cuts lists of events or processes into pieces that fit a frame.
 *
 * How long an item is, its owner decides: paths, arguments and names come from whoever started the process. The bound
 * taken here counts every field, so that no choice of them makes a message that cannot be sent.
 *
 * @module
 */
import { MAX_BATCH_EVENTS } from "./event_codec.ts";
import type { ProcessContext, ProcessEvent, ProcessState } from "./process_event.ts";
import { MAX_PART_PROCESSES } from "./snapshot_codec.ts";
import { MAX_NAME_LENGTH, MAX_TEXT_LENGTH } from "./wire_fields.ts";

/** Encoded bytes at which a piece is closed: far enough below a frame's limit for the item that closes it. */
export const BATCH_BYTES = 262_144;
/** Tag and length of a field, or a tag and a number. */
const FIELD_BYTES = 12;
/** An event has fewer fields. */
const MAX_FIELDS = 75;
/** An item with a text that is too long has a higher bound. */
const LONG_ITEM_BYTES = MAX_FIELDS * FIELD_BYTES + 3 * MAX_NAME_LENGTH;

export interface BatchLimits {
  readonly maxItems?: number;
  readonly maxBytes?: number;
  /** Is asked for each item that may have a text which encoding cuts: see {@linkcode textsToCut}. */
  readonly long?: (item: ProcessEvent | ProcessState) => void;
}

/** Events in pieces of one `events` message each. */
export function eventBatches(events: readonly ProcessEvent[], limits: BatchLimits = {}): Generator<ProcessEvent[]> {
  return cut(events, limits.maxItems ?? MAX_BATCH_EVENTS, limits);
}

/** A process table in parts of one `snapshot` message each; an empty table has one empty part. */
export function* snapshotParts(
  processes: readonly ProcessState[],
  limits: BatchLimits = {},
): Generator<ProcessState[]> {
  if (processes.length === 0) yield [];
  yield* cut(processes, limits.maxItems ?? MAX_PART_PROCESSES, limits);
}

/** No fewer bytes than the item takes in a message. Written out: it is asked for every event. */
export function encodedBound(item: ProcessEvent | ProcessState): number {
  let units = item.execId.length + size(item.parentExecId) + item.name.length + size(item.executablePath) +
    size(item.userName);
  if ("status" in item) units += item.status.length;
  else {
    units += size(item.executableHash) + size(item.hashAlgorithm) + size(item.fuzzyHash) + size(item.parentName) +
      size(item.parentExecutablePath) + size(item.parentCommandLine) + size(item.reason) + item.source.length;
    for (const field of item.modifiedFields) units += FIELD_BYTES + field.length;
  }
  if (item.context !== null) units += contextUnits(item.context);
  // A UTF-16 code unit takes at most three bytes of UTF-8.
  return MAX_FIELDS * FIELD_BYTES + (item.argv?.length ?? 0) + 3 * units;
}

/** How many texts of an item are longer than what is sent of them. */
export function textsToCut(item: ProcessEvent | ProcessState): number {
  const { context } = item;
  let names: (string | null)[] = [item.name, item.executablePath, item.userName];
  if (context !== null) {
    names = [...names, context.cwd, context.effectiveUserName, context.groupName, context.tty, context.cgroupPath];
    names = [...names, context.containerId, context.containerRuntime, context.podId];
    names = [...names, context.interpreterPath, context.scriptPath];
  }
  let lines = 0;
  if (!("status" in item)) {
    names = [...names, item.executableHash, item.hashAlgorithm, item.fuzzyHash, item.parentName];
    names = [...names, item.parentExecutablePath, item.reason];
    lines = size(item.parentCommandLine) > MAX_TEXT_LENGTH ? 1 : 0;
  }
  const environments = size(context?.environment ?? null) > MAX_TEXT_LENGTH ? 1 : 0;
  return names.filter((name) => size(name) > MAX_NAME_LENGTH).length + lines + environments;
}

function contextUnits(context: ProcessContext): number {
  return size(context.cwd) + size(context.effectiveUserName) + size(context.groupName) + size(context.tty) +
    size(context.cgroupPath) + size(context.containerId) + size(context.containerRuntime) + size(context.podId) +
    size(context.interpreterPath) + size(context.scriptPath) + size(context.environment);
}

function size(text: string | null): number {
  return text === null ? 0 : text.length;
}

function* cut<T extends ProcessEvent | ProcessState>(
  items: readonly T[],
  maxItems: number,
  { maxBytes = BATCH_BYTES, long }: BatchLimits,
): Generator<T[]> {
  let begin = 0, bytes = 0;
  for (let at = 0; at < items.length; at++) {
    const more = encodedBound(items[at]!);
    if (more > LONG_ITEM_BYTES) long?.(items[at]!);
    if (at > begin && (at - begin === maxItems || bytes + more > maxBytes)) {
      yield items.slice(begin, at);
      begin = at;
      bytes = 0;
    }
    bytes += more;
  }
  if (begin < items.length) yield items.slice(begin);
}
