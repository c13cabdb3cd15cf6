/**
 * Tasks that operators ask for: an entry of the table of operations.
 *
 * The task goes to a collector that can do it, or to all that can; the answer says of each what came of it, and is degraded
 * when a part is missing. Of long results a part is shown, which the answer says too.
 *
 * @module
 */
import { type Json } from "../../proto/ledger/canonical_json.ts";
import { printable } from "../../proto/printable.ts";
import { MAX_REPLY_BYTES } from "../../proto/request.ts";
import { parseDuration } from "../../proto/rules/duration.ts";
import { type HashCheck, type ProcessFilter, type ProcessRecord, TASK_TYPES, type TaskType } from "../../proto/task.ts";
import { NobodyError, type Share, type TaskOutcome } from "../tasks/distributor.ts";
import { type Placement, PLACEMENTS } from "../tasks/placement.ts";
import { MAX_WITHIN_MS, WITHIN, withinMs } from "./collector_operations.ts";
import { type Answer, FailedError, type Operation, operation, RefusedError } from "./operation.ts";

const DEFAULT_WITHIN_MS = 30_000;
/** Bytes of the processes of one answer, as values and as lines. */
const MAX_VALUE_BYTES = MAX_REPLY_BYTES / 2, MAX_TEXT_BYTES = MAX_REPLY_BYTES / 16;
/** Analyses are asked for by operations of their own (`analysis_operations.ts`). */
const ASKED_TYPES = TASK_TYPES.filter((type) => type !== "analyze");
const LIST = /^[^\0,]{1,256}(?:,[^\0,]{1,256}){0,63}$/;
const isOneOf = (words: readonly string[]): RegExp => new RegExp(`^(?:${words.join("|")})$`);

export const TASK_OPERATION: Readonly<Record<string, Operation>> = {
  "task": operation({
    summary: "has collectors carry out a task, and waits for what comes of it; Ctrl-C ends it",
    arguments: {
      type: { kind: "word", required: true, help: ASKED_TYPES.join(", "), form: isOneOf(ASKED_TYPES) },
      target: {
        kind: "option",
        required: false,
        help: "the id of a collector, any that can do it (default), or all that can",
        form: /^[A-Za-z0-9_.+-]{1,64}$/,
      },
      placement: {
        kind: "option",
        required: false,
        help: `of several that can: ${PLACEMENTS.join(", ")} (the first by default)`,
        form: isOneOf(PLACEMENTS),
      },
      pids: { kind: "option", required: false, help: "these processes: 17,42", form: /^\d{1,10}(?:,\d{1,10}){0,63}$/ },
      names: { kind: "option", required: false, help: "processes with these names: sh,curl", form: LIST },
      path: {
        kind: "option",
        required: false,
        help: "the path of an executable; for enumerate_processes with stars",
        form: /^[^\0]{1,1024}$/,
      },
      expect: { kind: "option", required: false, help: "the SHA-256 that it should have", form: /^[0-9a-f]{64}$/ },
      for: {
        kind: "option",
        required: false,
        help: "how long monitor_process_tree watches, such as 20s; without it, it looks once",
        form: WITHIN.form,
      },
      within: WITHIN,
    },
    changes: false,
    async run(given, { services: { tasks }, actor, progress, signal }) {
      const { type, target, placement, within } = given, watchMs = given.for === null ? 0 : parseDuration(given.for)!;
      if (watchMs >= MAX_WITHIN_MS) throw new RefusedError(`for must be less than ${MAX_WITHIN_MS / 1_000}s`);
      const timeoutMs = withinMs(within, Math.min(MAX_WITHIN_MS, watchMs + DEFAULT_WITHIN_MS));
      const wish = {
        taskType: type as TaskType,
        target: target ?? "any",
        placement: (placement ?? PLACEMENTS[0]) as Placement,
        timeoutMs,
        processFilter: filterOf(given),
        hashCheck: checkOf(given),
        metadata: watchMs === 0 ? null : JSON.stringify({ duration_ms: watchMs }),
      };
      try {
        return answerOf(type, await tasks.run(`user ${actor.userId}`, wish, progress, signal));
      } catch (error) {
        if (!(error instanceof NobodyError)) throw error;
        throw new RefusedError(error.message, { cause: error });
      }
    },
  }),
};

interface Given {
  readonly type: string;
  readonly pids: string | null;
  readonly names: string | null;
  readonly path: string | null;
  readonly expect: string | null;
}

const isOfHash = (type: string): boolean => type === "check_process_hash" || type === "verify_executable";

function filterOf({ type, pids, names, path }: Given): ProcessFilter | null {
  if (isOfHash(type) && (pids !== null || names !== null)) throw new RefusedError(`${type} takes a path, no processes`);
  if (isOfHash(type) || (pids === null && names === null && path === null)) return null;
  return { pids: (pids?.split(",") ?? []).map(Number), processNames: names?.split(",") ?? [], executablePattern: path };
}

function checkOf({ type, path, expect }: Given): HashCheck | null {
  if (!isOfHash(type)) {
    if (expect !== null) throw new RefusedError(`${type} takes no hash`);
    return null;
  }
  if (path === null) throw new RefusedError(`${type} needs --path, the executable that is meant`);
  return { executablePath: path, expectedHash: expect ?? "", hashAlgorithm: "sha256" };
}

/** @throws FailedError when nothing came of it */
function answerOf(type: string, { taskId, shares, processes, isPartial }: TaskOutcome): Answer {
  const words = shares.map(wordsOf), done = shares.filter(({ result }) => result !== null);
  if (!done.some(({ result }) => result!.success)) throw new FailedError(words.join("\n"));
  const shown = upTo(processes.map(valueOf), MAX_VALUE_BYTES, JSON.stringify);
  const lines = upTo(processes.map(lineOf), MAX_TEXT_BYTES, (line) => line);
  const isCut = shown.length < processes.length || shares.some(({ fault }) => fault !== "");
  const rest = lines.length < processes.length ? [`and ${processes.length - lines.length} more`] : [];
  const hashes = done.flatMap(({ collectorId, result }) => {
    const hash = result!.hashResult;
    return hash === null ? [] : [{ collector: collectorId, ...hash }];
  });
  return {
    text: [
      ...words,
      ...isPartial ? [`partial: ${done.length} of ${shares.length} collectors gave a result`] : [],
      ...isOfHash(type) ? [] : [`${processes.length} processes`],
      ...lines,
      ...rest,
    ].join("\n"),
    value: {
      task: taskId,
      partial: isPartial,
      shares: shares.map(({ collectorId, tries, result, fault }) => ({
        collector: collectorId,
        done: result?.success ?? false,
        ...{ tries, fault },
      })),
      count: processes.length,
      processes: shown,
      hashes,
    },
    degraded: isPartial || isCut,
  };
}

function wordsOf({ collectorId, tries, result, fault }: Share): string {
  const hash = result?.hashResult ?? null;
  const what = hash === null
    ? result === null ? "no result" : `${result.processes.length} processes`
    : `${hash.filePath} ${hash.hashValue || "has no known hash"}${hash.success ? ", as it should be" : ""}`;
  const why = fault || hash?.errorMessage || result?.errorMessage || "";
  return printable(`${collectorId}: ${what}${tries > 1 ? ` at try ${tries}` : ""}${why && `: ${why}`}`);
}

function valueOf({ pid, ppid, name, executablePath, commandLine, userId, startTime }: ProcessRecord): Json {
  return { pid, ppid, name, path: executablePath, arguments: [...commandLine], user: userId, started: startTime };
}

function lineOf({ pid, ppid, userId, executablePath, name, commandLine }: ProcessRecord): string {
  const program = executablePath ?? name, [, ...rest] = commandLine;
  return printable([pid, ppid ?? "-", userId ?? "-", program, ...rest].join(" "));
}

/** The first of these that have room. */
function upTo<T>(all: readonly T[], most: number, text: (each: T) => string): T[] {
  let bytes = 0, count = 0;
  for (const each of all) {
    bytes += encoder.encode(text(each)).length + 1;
    if (bytes > most) break;
    count++;
  }
  return all.slice(0, count);
}

const encoder = new TextEncoder();
