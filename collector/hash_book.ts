/**
 * What is known of the hashes of executables, and which executions wait for one.
 *
 * A start whose file is known carries its hash; for one that is not the hasher is asked, and a `modify` event follows for
 * each execution that waited. Known is a version of a file: device, inode, and the time at which the inode last changed,
 * as the kernel had it in the very `execve`. That time moves with every write, and a file that runs cannot be written; so
 * nothing here can be old. Where a rung does not give it, nothing is taken from here, and each start is asked for.
 *
 * A path that brings another hash than the last time is a `suspicious` event.
 *
 * @module
 */
import type { ProcessEvent, Severity } from "../proto/process_event.ts";
import { similarity } from "./hasher/fuzzy_hash.ts";
import {
  HASH_ALGORITHM,
  HASH_STATES,
  type HashAnswer,
  type HashRequest,
  type HashState,
  isNameable,
} from "./hasher/protocol.ts";

/** Versions of files, and paths, that are remembered: some 300 bytes each. */
const MAX_VERSIONS = 16_384, MAX_PATHS = 16_384;
/** Executions that may wait, and what they may hold of arguments. */
const MAX_WAITING = 16_384, MAX_WAITING_BYTES = 32 << 20;

/** Where packages and administrators put programs. What changes elsewhere is mostly somebody's own build. */
const SYSTEM_PATHS = /^\/(?:usr|bin|sbin|lib|lib32|lib64|libexec|opt|boot|etc)\//;

export interface HashBookOptions {
  readonly ask: (request: HashRequest) => void;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

interface Known {
  readonly hash: string;
  readonly fuzzyHash: string | null;
}

interface Waiting {
  readonly version: string | null;
  /** Under which further starts find it. */
  readonly place: string | null;
  readonly starts: ProcessEvent[];
  bytes: number;
}

export class HashBook {
  readonly #options: HashBookOptions;
  readonly #versions = new Map<string, Known>();
  readonly #paths = new Map<string, Known>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #ids = new Map<string, number>();
  #starts = 0;
  #bytes = 0;
  #events: ProcessEvent[] = [];
  #nextId = 1;
  #states: Record<HashState, number> = Object.fromEntries(HASH_STATES.map((s) => [s, 0])) as Record<HashState, number>;
  #remembered = 0;
  #dropped = 0;
  #changes = 0;

  constructor(options: HashBookOptions) {
    this.#options = options;
  }

  /** Completes the event of a start by what is known of its file, or asks. Only an `execve` is asked for. */
  started(event: ProcessEvent, changeTime: number | null): void {
    const { executablePath: path, executableKind: kind, device, inode } = event;
    if (path === null) return;
    if (kind === "deleted" || kind === "memfd") {
      event.fileExists = false;
      return;
    }
    const version = device !== null && inode !== null && changeTime !== null
      ? `${device} ${inode} ${changeTime}`
      : null;
    const known = version === null ? undefined : this.#versions.get(version);
    if (known !== undefined) {
      this.#remembered++;
      remember(this.#versions, version!, known, MAX_VERSIONS);
      fill(event, known);
      this.#meet(event, known);
      return;
    }
    if (event.reason === "fork") return; // it runs what its parent does
    if (!isNameable(path)) return void this.#states.unreadable++;
    this.#await(event, version, { path, device, inode, changeTime, isForeign: kind === "foreign" });
  }

  /** Takes the hasher's answer; what follows from it waits for {@linkcode takeEvents}. */
  answered(answer: HashAnswer): void {
    const waiting = this.#end(answer.id);
    if (waiting === null) return;
    const { state, hash, fuzzyHash } = answer;
    this.#states[state]++;
    const known = hash === null ? null : { hash, fuzzyHash };
    if (known !== null && waiting.version !== null && answer.isSettled) {
      remember(this.#versions, waiting.version, known, MAX_VERSIONS);
    }
    for (const start of waiting.starts) {
      if (known !== null) {
        this.#push(start, "hashed", (event) => fill(event, known));
        this.#meet(start, known);
      } else this.#pushFailure(start, state);
    }
  }

  /** A question that will not be answered. */
  dropped(id: number): void {
    this.#dropped += this.#end(id)?.starts.length ?? 0;
  }

  /** Hands out the events so far. */
  takeEvents(): ProcessEvent[] {
    const events = this.#events;
    if (events.length > 0) this.#events = [];
    return events;
  }

  /** What came of it, by name: states of which there were none are left out. */
  counters(): Record<string, number> {
    const failures = HASH_STATES.filter((state) => state !== "hashed" && this.#states[state] > 0);
    return {
      hashed: this.#states.hashed,
      hashes_remembered: this.#remembered,
      hash_changes: this.#changes,
      hash_waiting: this.#starts,
      hash_dropped: this.#dropped,
      ...Object.fromEntries(failures.map((state) => [`hash_${state}`, this.#states[state]])),
    };
  }

  #await(event: ProcessEvent, version: string | null, request: Omit<HashRequest, "id">): void {
    // Without a version one answer holds for one moment only, so each start has a question of its own.
    const place = version === null ? null : `${version} ${request.path}`;
    const asked = place === null ? undefined : this.#ids.get(place);
    const waiting = asked === undefined ? undefined : this.#waiting.get(asked);
    const bytes = event.argv?.length ?? 0;
    if (this.#starts >= MAX_WAITING || this.#bytes + bytes > MAX_WAITING_BYTES) {
      this.#dropped++;
      return;
    }
    this.#starts++;
    this.#bytes += bytes;
    if (waiting !== undefined) {
      waiting.starts.push(event);
      waiting.bytes += bytes;
      return;
    }
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    this.#waiting.set(id, { version, place, starts: [event], bytes });
    if (place !== null) this.#ids.set(place, id);
    this.#options.ask({ id, ...request });
  }

  #end(id: number): Waiting | null {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return null;
    this.#waiting.delete(id);
    if (waiting.place !== null) this.#ids.delete(waiting.place);
    this.#starts -= waiting.starts.length;
    this.#bytes -= waiting.bytes;
    return waiting;
  }

  /** Compares what a path brings with what it brought the last time. */
  #meet(start: ProcessEvent, known: Known): void {
    const path = start.executablePath!;
    if (start.executableKind === "foreign") return; // the same path is another file in another container
    const before = this.#paths.get(path);
    remember(this.#paths, path, known, MAX_PATHS);
    if (before === undefined || before.hash === known.hash) return;
    this.#changes++;
    this.#events.push({
      ...start,
      kind: "suspicious",
      time: this.#now(),
      executableHash: known.hash,
      hashAlgorithm: HASH_ALGORITHM,
      fuzzyHash: known.fuzzyHash,
      fileExists: true,
      modifiedFields: ["executable_hash"],
      severity: severityOfChange(path),
      reason: `its executable is not what ${path} was the last time: ${likeness(before, known)}, was ${before.hash}`,
    });
  }

  #pushFailure(start: ProcessEvent, state: HashState): void {
    this.#push(start, `not hashed: ${state}`, (event) => {
      if (state === "missing") event.fileExists = false;
      else if (state !== "busy" && state !== "foreign") event.fileExists = true;
      if (state === "replaced" || state === "missing") event.onDiskMismatch = true;
    });
  }

  /** A change of an execution that started, if there is one. */
  #push(start: ProcessEvent, reason: string, change: (event: ProcessEvent) => void): void {
    const event: ProcessEvent = { ...start, kind: "modify", time: this.#now(), reason };
    change(event);
    const fields = FIELDS.filter(([, field]) => event[field] !== start[field]).map(([column]) => column);
    if (fields.length === 0) return;
    event.modifiedFields = fields;
    this.#events.push(event);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

const FIELDS = [
  ["executable_hash", "executableHash"],
  ["hash_algorithm", "hashAlgorithm"],
  ["fuzzy_hash", "fuzzyHash"],
  ["file_exists", "fileExists"],
  ["on_disk_mismatch", "onDiskMismatch"],
] as const satisfies readonly [string, keyof ProcessEvent][];

function fill(event: ProcessEvent, { hash, fuzzyHash }: Known): void {
  event.executableHash = hash;
  event.hashAlgorithm = HASH_ALGORITHM;
  event.fuzzyHash = fuzzyHash;
  event.fileExists = true;
}

/**
 * A program in a place of the system changes with its package, which somebody should know of; elsewhere mostly because
 * its maker made it anew. How alike the two are says little of who changed it, so it stands in the reason and does not
 * make it worse.
 */
function severityOfChange(path: string): Severity {
  return SYSTEM_PATHS.test(path) ? "medium" : "low";
}

function likeness(before: Known, now: Known): string {
  if (before.fuzzyHash === null || now.fuzzyHash === null) return "similarity unknown";
  return `similarity ${similarity(before.fuzzyHash, now.fuzzyHash) ?? 0} of 100`;
}

/** As the youngest; the one that was longest without use makes room. */
function remember(map: Map<string, Known>, key: string, known: Known, limit: number): void {
  map.delete(key);
  if (map.size >= limit) map.delete(map.keys().next().value!);
  map.set(key, known);
}
