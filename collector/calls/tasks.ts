/**
 * The document's tasks, carried out from what the collector has: its table of processes, the hashes it knows, the hasher.
 *
 * The agent is not trusted: it names processes, never files. A path is only looked at while a process runs it, as a hash
 * of any file would tell what is in those that nobody else may read. A task that is under way already is not begun again.
 *
 * @module
 */
import { type Answer, failure, success } from "../../proto/bus/rpc.ts";
import { pause } from "../../proto/pause.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import type { DetectionResult, DetectionTask, HashResult, TaskType } from "../../proto/task.ts";
import { HASH_ALGORITHM, HASH_TEXT, type HashAnswer } from "../hasher/protocol.ts";
import type { KnownHash } from "../hash_memory.ts";
import type { TrackedProcess } from "../tracked_process.ts";
import { faultOfFilter, meaning, recordsOf } from "./task_filter.ts";

/** What this collector has a source for. */
export const TASKS: readonly TaskType[] = [
  "enumerate_processes",
  "check_process_hash",
  "monitor_process_tree",
  "verify_executable",
];
const MAX_TASK_ID_LENGTH = 128;
/** Roots of a tree that is watched, members of it, and how long. */
const MAX_ROOTS = 64, MAX_MEMBERS = 20_000, MAX_WATCH_MS = 600_000;

export interface TasksOptions {
  readonly processes: () => Iterable<TrackedProcess>;
  /** What a path brought when it was last executed. */
  readonly hashOf: (path: string) => KnownHash | null;
  /** Reads and hashes what a path names now, `null` without a hasher; rejects when the signal is aborted. */
  readonly hashNow: ((path: string, signal: AbortSignal) => Promise<HashAnswer>) | null;
  readonly now?: () => number;
}

type Runner = (task: DetectionTask, signal: AbortSignal) => Promise<Answer> | Answer;

export class Tasks {
  readonly #options: TasksOptions;
  readonly #running = new Set<string>();
  readonly #watches = new Set<TreeWatch>();
  readonly #runners: Readonly<Record<TaskType, Runner>>;

  constructor(options: TasksOptions) {
    this.#options = options;
    const absent: Runner = ({ taskType }) =>
      failure("configuration", "UNSUPPORTED_TASK", `This collector has no source for ${taskType}`);
    this.#runners = {
      enumerate_processes: (task) => this.#enumerate(task),
      check_process_hash: (task) => this.#checkHash(task),
      monitor_process_tree: (task, signal) => this.#monitorTree(task, signal),
      verify_executable: (task, signal) => this.#verify(task, signal),
      monitor_network_connections: absent,
      track_file_operations: absent,
      collect_performance_metrics: absent,
      analyze: absent,
    };
  }

  /** Whether events are to be shown to {@linkcode saw}. */
  get isWatching(): boolean {
    return this.#watches.size > 0;
  }

  /** Events of processes, as they are offered to the agent. */
  saw(events: readonly ProcessEvent[]): void {
    for (const watch of this.#watches) watch.saw(events);
  }

  async run(task: DetectionTask, signal: AbortSignal): Promise<Answer> {
    const { taskId, processFilter } = task;
    if (taskId === "" || taskId.length > MAX_TASK_ID_LENGTH) {
      return failure("configuration", "INVALID_TASK", `A task has an id of 1 to ${MAX_TASK_ID_LENGTH} characters`);
    }
    const fault = processFilter === null ? null : faultOfFilter(processFilter);
    if (fault !== null) return failure("configuration", "INVALID_TASK", fault);
    if (this.#running.has(taskId)) return { status: "in_progress", error: null, outcome: null };
    this.#running.add(taskId);
    try {
      return await this.#runners[task.taskType](task, signal);
    } finally {
      this.#running.delete(taskId);
    }
  }

  #enumerate({ taskId, processFilter }: DetectionTask): Answer {
    const isMeant = meaning(processFilter);
    return this.#listed(taskId, filtered(this.#options.processes(), isMeant), "");
  }

  /** What is known of an executable, held against what is expected; nothing is read. */
  #checkHash({ taskId, hashCheck }: DetectionTask): Answer {
    const checked = this.#checked(hashCheck);
    if ("status" in checked) return checked;
    const { path, expected } = checked, known = this.#options.hashOf(path);
    if (known === null) {
      const text = `No hash of ${path} is known; verify_executable reads it`;
      return result({ ...blank(taskId), errorMessage: text, hashResult: hashResult(path, "", false, text) }, "NO_HASH");
    }
    const same = known.hash === expected;
    return result({
      ...blank(taskId),
      success: true,
      hashResult: hashResult(path, known.hash, same, same ? null : "It is not the hash that is expected"),
    });
  }

  /** Reads and hashes the executable now, and holds it against what is expected and what was executed. */
  async #verify({ taskId, hashCheck }: DetectionTask, signal: AbortSignal): Promise<Answer> {
    const checked = this.#checked(hashCheck);
    if ("status" in checked) return checked;
    const { hashNow, hashOf } = this.#options, { path, expected } = checked;
    if (hashNow === null) {
      return failure("unavailable", "NO_HASHER", "unavailable: executables are not hashed: collector.hashing is off");
    }
    const { state, hash } = await hashNow(path, signal);
    if (hash === null) {
      const text = `It cannot be read: ${state}`;
      return result(
        { ...blank(taskId), errorMessage: text, hashResult: hashResult(path, "", false, text) },
        "NOT_READ",
      );
    }
    const executed = hashOf(path)?.hash ?? null, faults: string[] = [];
    if (expected !== "" && hash !== expected) faults.push("it is not the hash that is expected");
    if (executed !== null && executed !== hash) faults.push(`when it was last executed it was ${executed}`);
    const text = faults.length === 0 ? null : faults.join("; ");
    return result({ ...blank(taskId), success: true, hashResult: hashResult(path, hash, text === null, text) });
  }

  /** The families of some processes: who belongs to them now, and for `metadata`'s time who is born into them. */
  async #monitorTree({ taskId, processFilter, metadata }: DetectionTask, signal: AbortSignal): Promise<Answer> {
    const roots = processFilter?.pids ?? [], watchMs = watchTime(metadata);
    if (roots.length < 1 || roots.length > MAX_ROOTS) {
      return failure("configuration", "INVALID_TASK", `A tree has 1 to ${MAX_ROOTS} processes as its roots`);
    }
    if (watchMs === null) {
      const text = `metadata is empty or {"duration_ms": N} with 0 to ${MAX_WATCH_MS}`;
      return failure("configuration", "INVALID_TASK", text);
    }
    const watch = new TreeWatch(roots, () => this.#options.processes());
    if (watchMs === 0) return this.#listed(taskId, watch.members(), watch.fault);
    this.#watches.add(watch);
    try {
      await pause(watchMs, signal);
    } finally {
      this.#watches.delete(watch);
    }
    return this.#listed(taskId, watch.members(), watch.fault);
  }

  #listed(taskId: string, processes: Iterable<TrackedProcess>, fault: string): Answer {
    const { hashOf, now = Date.now } = this.#options;
    const { records, total } = recordsOf(processes, hashOf, now());
    const cut = records.length < total ? `only ${records.length} of ${total} processes found room; filter more` : "";
    const words = [cut, fault].filter((each) => each !== "").join("; ");
    return result({ ...blank(taskId), success: true, processes: records, errorMessage: words === "" ? null : words });
  }

  /** The path and the hash that a task names, or why it is refused. */
  #checked(check: DetectionTask["hashCheck"]): { path: string; expected: string } | Answer {
    const invalid = (text: string): Answer => failure("configuration", "INVALID_TASK", text);
    if (check === null) return invalid("A task about a hash has a hash_check");
    const { executablePath: path, hashAlgorithm, expectedHash: expected } = check;
    if (hashAlgorithm !== HASH_ALGORITHM) return invalid(`Hashes are ${HASH_ALGORITHM}`);
    if (expected !== "" && !HASH_TEXT.test(expected)) {
      return invalid("The expected hash is 64 lower-case digits, or empty");
    }
    for (const { image } of this.#options.processes()) if (image.executablePath === path) return { path, expected };
    const text = "No process runs that file, and files that no process runs are not looked at";
    return failure("permission", "NOT_EXECUTED", text);
  }
}

/** A family of processes, as it grows: also those that have ended since, whose pids may be others' by now. */
class TreeWatch {
  readonly #family = new Set<TrackedProcess>();
  readonly #pids = new Set<number>();
  readonly #missing: readonly number[];
  #isFull = false;

  constructor(roots: readonly number[], private readonly processes: () => Iterable<TrackedProcess>) {
    const wanted = new Set(roots);
    for (const process of processes()) if (wanted.delete(process.pid)) this.#add(process);
    this.#missing = [...wanted];
    this.#gather();
  }

  get fault(): string {
    if (this.#isFull) return `the tree has more than ${MAX_MEMBERS} processes: the rest is left out`;
    return this.#missing.length === 0 ? "" : `no process has the pid ${this.#missing.join(", ")}`;
  }

  saw(events: readonly ProcessEvent[]): void {
    for (const { kind, ppid } of events) {
      if (kind === "start" && ppid !== null && this.#pids.has(ppid)) return this.#gather();
    }
  }

  members(): Iterable<TrackedProcess> {
    return this.#family;
  }

  /** Parents may stand after their children in the table. */
  #gather(): void {
    const children = new Map<number, TrackedProcess[]>(), alive = new Map<number, TrackedProcess>();
    for (const process of this.processes()) {
      alive.set(process.pid, process);
      if (process.ppid === null) continue;
      const siblings = children.get(process.ppid);
      if (siblings === undefined) children.set(process.ppid, [process]);
      else siblings.push(process);
    }
    const open = [...this.#pids];
    for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
      const parent = alive.get(pid);
      if (parent !== undefined && !this.#family.has(parent)) continue; // the pid is a stranger's now
      for (const child of children.get(pid) ?? []) {
        if (this.#family.has(child)) continue;
        if (this.#family.size >= MAX_MEMBERS) {
          this.#isFull = true;
          return;
        }
        this.#add(child);
        open.push(child.pid);
      }
    }
  }

  #add(process: TrackedProcess): void {
    this.#family.add(process);
    this.#pids.add(process.pid);
  }
}

function* filtered<T>(all: Iterable<T>, isMeant: (each: T) => boolean): Iterable<T> {
  for (const each of all) if (isMeant(each)) yield each;
}

function watchTime(metadata: string | null): number | null {
  if (metadata === null || metadata === "") return 0;
  try {
    const value = (JSON.parse(metadata) as { duration_ms?: unknown } | null)?.duration_ms;
    return typeof value === "number" && value >= 0 && value <= MAX_WATCH_MS ? value : null;
  } catch {
    return null;
  }
}

function blank(taskId: string): DetectionResult {
  return { taskId, success: false, errorMessage: null, processes: [], hashResult: null };
}

function hashResult(filePath: string, hashValue: string, success: boolean, errorMessage: string | null): HashResult {
  return { hashValue, algorithm: HASH_ALGORITHM, filePath, success, errorMessage };
}

/** One that did not succeed is an error of the call too, and has its result all the same. */
function result(result: DetectionResult, code = ""): Answer {
  const outcome = { kind: "result", result } as const;
  if (result.success) return success(outcome);
  return { ...failure("resource", code, result.errorMessage ?? "It failed"), outcome };
}
