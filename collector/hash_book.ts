/**
 * What is known of the hashes of executables, and which executions wait for one.
 *
 * A start whose file is known carries its hash; for one that is not the hasher is asked, and a `modify` event follows for
 * each execution that waited. Known is a version of a file: device, inode, and the time at which the inode last changed,
 * as the kernel had it in the very `execve`. That time moves with every write, and a file that runs cannot be written; so
 * nothing here can be old. Where a rung does not give it, nothing is taken from here, and each start is asked for.
 *
 * A path that brings another hash than the last time is a `suspicious` event; less so where the file changed while a
 * package manager ran. What paths brought is remembered beyond the collector's life: see `hash_memory.ts`.
 *
 * @module
 */
import type { ProcessEvent, Severity } from "../proto/process_event.ts";
import { similarity } from "./hasher/fuzzy_hash.ts";
import type { HashRecord, KnownHash } from "./hash_memory.ts";
import {
  HASH_ALGORITHM,
  HASH_STATES,
  type HashAnswer,
  type HashRequest,
  type HashState,
  isNameable,
} from "./hasher/protocol.ts";
import { isSystemPath, PackageManagers, whileRan } from "./package_managers.ts";
import { RecentHashes } from "./recent_hashes.ts";

/** Versions of files, and paths, that are remembered: some 300 bytes each, but who runs a program chooses its path. */
const MAX_VERSIONS = 16_384, MAX_PATHS = 16_384, MAX_NAMES_LENGTH = 16 << 20;
/** Executions that may wait, and what they may hold of arguments. */
const MAX_WAITING = 16_384, MAX_WAITING_BYTES = 32 << 20;

export interface HashBookOptions {
  readonly ask: (request: HashRequest) => void;
  /** By what a change of a file may be explained. */
  readonly managers?: PackageManagers;
  /** Unix milliseconds. */
  readonly now?: () => number;
}

interface Waiting {
  readonly version: string | null;
  /** Of that version: see `ExecRecord.changeTime`. */
  readonly changeTime: number | null;
  /** Under which further starts find it. */
  readonly place: string | null;
  readonly starts: ProcessEvent[];
  bytes: number;
}

export class HashBook {
  readonly #options: HashBookOptions;
  readonly #managers: PackageManagers;
  readonly #versions = new RecentHashes(MAX_VERSIONS, MAX_NAMES_LENGTH);
  readonly #paths = new RecentHashes(MAX_PATHS, MAX_NAMES_LENGTH);
  /** Paths that bring something else than when they were last kept. */
  #news = new Map<string, KnownHash>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #ids = new Map<string, number>();
  #starts = 0;
  #bytes = 0;
  /** Whether hashes are wanted now. What was asked before is still answered. */
  isWanted = true;
  #events: ProcessEvent[] = [];
  #nextId = 1;
  #states: Record<HashState, number> = Object.fromEntries(HASH_STATES.map((s) => [s, 0])) as Record<HashState, number>;
  #remembered = 0;
  #dropped = 0;
  #changes = 0;

  constructor(options: HashBookOptions) {
    this.#options = options;
    this.#managers = options.managers ?? new PackageManagers();
  }

  /** What a path brought when it was last executed. */
  hashOf(path: string): KnownHash | null {
    return this.#paths.get(path) ?? null;
  }

  /** A number for a question that is not the book's own. */
  takeId(): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  /** Takes over what an earlier run remembered. */
  restore(records: readonly HashRecord[]): void {
    for (const record of records) if (record.kind === "path") this.#paths.set(record.path, record.known);
  }

  /** All that is to be remembered of paths, the longest unused first. */
  remembered(): HashRecord[] {
    return recordsOf(this.#paths.entries());
  }

  /** What of it is new since the last time. */
  takeNews(): HashRecord[] {
    if (this.#news.size === 0) return [];
    const news = this.#news;
    this.#news = new Map();
    return recordsOf(news.entries());
  }

  /** Completes the event of a start by what is known of its file, or asks. Only an `execve` is asked for. */
  started(event: ProcessEvent, changeTime: number | null): void {
    const { executablePath: path, executableKind: kind, device, inode } = event;
    if (path === null) return;
    if (kind === "deleted" || kind === "memfd") {
      event.fileExists = false;
      return;
    }
    if (!this.isWanted) return;
    const version = device !== null && inode !== null && changeTime !== null
      ? `${device} ${inode} ${changeTime}`
      : null;
    const known = version === null ? undefined : this.#versions.get(version);
    if (known !== undefined) {
      this.#remembered++;
      this.#versions.set(version!, known);
      fill(event, known);
      this.#meet(event, known, changeTime);
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
    const known = hash === null ? null : { hash, fuzzyHash }, changeTime = waiting.changeTime ?? answer.changeTime;
    if (known !== null && waiting.version !== null && answer.isSettled) {
      this.#versions.set(waiting.version, known);
    }
    for (const start of waiting.starts) {
      if (known !== null) {
        this.#push(start, "hashed", (event) => fill(event, known));
        this.#meet(start, known, changeTime);
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
    const id = this.takeId();
    this.#waiting.set(id, { version, changeTime: request.changeTime, place, starts: [event], bytes });
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
  #meet(start: ProcessEvent, known: KnownHash, changeTime: number | null): void {
    const path = start.executablePath!;
    if (start.executableKind === "foreign") return; // the same path is another file in another container
    const before = this.#paths.get(path);
    this.#paths.set(path, known);
    if (before?.hash === known.hash) return;
    this.#news.set(path, known);
    if (before === undefined) return;
    this.#changes++;
    const change = `its executable is not what ${path} was the last time: ${
      likeness(before, known)
    }, was ${before.hash}`;
    const run = this.#managers.during(changeTime);
    this.#events.push({
      ...start,
      kind: "suspicious",
      time: this.#now(),
      executableHash: known.hash,
      hashAlgorithm: HASH_ALGORITHM,
      fuzzyHash: known.fuzzyHash,
      fileExists: true,
      modifiedFields: ["executable_hash"],
      severity: severityOfChange(path, run !== null),
      reason: run === null ? change : `${change}; the file changed ${whileRan(run)}`,
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

function fill(event: ProcessEvent, { hash, fuzzyHash }: KnownHash): void {
  event.executableHash = hash;
  event.hashAlgorithm = HASH_ALGORITHM;
  event.fuzzyHash = fuzzyHash;
  event.fileExists = true;
}

/**
 * A program in a place of the system changes with its package, and otherwise somebody should know of it; elsewhere mostly
 * because its maker made it anew. How alike the two are says little of who changed it, so it stands in the reason and does
 * not make it worse.
 */
function severityOfChange(path: string, hasManager: boolean): Severity {
  return isSystemPath(path) && !hasManager ? "medium" : "low";
}

function likeness(before: KnownHash, now: KnownHash): string {
  if (before.fuzzyHash === null || now.fuzzyHash === null) return "similarity unknown";
  return `similarity ${similarity(before.fuzzyHash, now.fuzzyHash) ?? 0} of 100`;
}

function recordsOf(entries: Iterable<[string, KnownHash]>): HashRecord[] {
  return Array.from(entries, ([path, known]) => ({ kind: "path", path, known }));
}
