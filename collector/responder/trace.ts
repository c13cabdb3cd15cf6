/**
 * A detailed trace: what `/proc` tells of a process and its descendants, sampled for a time, without touching them.
 *
 * No `ptrace` and no probe: the processes run on as they are, and cannot tell that they are looked at. The price is that
 * it is a series of samples: what is opened and closed, or begun and ended, between two of them is not in it, and a
 * system call is the one that a thread was in at that moment. Of each sample the differences to the one before are
 * written, a JSON object a line: process, state, executable, directory, open files, mapped files, the first thread's
 * system call, processor time and memory. Names of files may be anything; arguments, environments and memory are not in
 * it. The file ends with a line that says why.
 *
 * @module
 */
import { canonicalJson, type Json } from "../../proto/ledger/canonical_json.ts";
import { syscallName } from "../kernel/syscall_names.ts";
import { descendantsOf, FamilyTooLargeError, type Member } from "./family.ts";
import type { SlowReader } from "./slow_read.ts";
import { nameOf, type Target, type TargetFacts } from "./target.ts";

/** Of one process. */
const MAX_FILES = 512, MAX_MAPS_BYTES = 1 << 20, MAX_MAPPED = 1_024;
const SLOW_MS = 1_000;

export interface TraceOptions {
  readonly boot: string;
  readonly path: string;
  /** The first line: what was asked for. */
  readonly header: Readonly<Record<string, Json>>;
  readonly tree: boolean;
  readonly most: number;
  readonly seconds: number;
  readonly intervalMs: number;
  readonly maxBytes: number;
  readonly reader: SlowReader;
  readonly protection: (member: Member) => string | null;
}

/** How it ended. */
export interface TraceEnd {
  readonly why: string;
  readonly samples: number;
  readonly processes: number;
  readonly bytes: number;
}

/** What was seen of a process in the sample before. */
interface Seen {
  readonly member: Member;
  plain: Readonly<Record<string, Json>>;
  files: ReadonlyMap<number, string>;
  mapped: ReadonlySet<string>;
}

export class Trace {
  readonly #options: TraceOptions;
  readonly #file: Deno.FsFile;
  readonly #seen = new Map<string, Seen>();
  readonly #leftAlone = new Set<string>();
  readonly #stop = Promise.withResolvers<void>();
  #why = "";
  #bytes = 0;
  #samples = 0;
  #isFull = false;

  /** Begins the file. The members' targets are the trace's from here on. Throws where it cannot be written. */
  constructor(members: readonly Member[], options: TraceOptions) {
    this.#options = options;
    this.#file = Deno.openSync(options.path, { write: true, createNew: true, mode: 0o640 });
    this.#line({ ...options.header, sampledEveryMs: options.intervalMs, seconds: options.seconds });
    for (const member of members) this.#meet(member);
  }

  /** Ends it before its time. */
  stop(why: string): void {
    this.#why ||= why;
    this.#stop.resolve();
  }

  /** Samples until the time is over, all have ended or the file is full. Resolves when the file is whole. */
  async run(): Promise<TraceEnd> {
    const { seconds, intervalMs } = this.#options, end = performance.now() + seconds * 1_000;
    const processes = (): number => this.#met;
    try {
      for (;;) {
        const began = performance.now();
        await this.#sample();
        if (this.#why !== "") break;
        if (this.#isFull) this.#why = "the file has reached max_bytes";
        else if (this.#seen.size === 0) this.#why = "all of its processes have ended";
        else if (performance.now() >= end) this.#why = "its time was over";
        if (this.#why !== "") break;
        const rest = Math.max(1, Math.min(intervalMs - (performance.now() - began), end - performance.now()));
        await this.#pause(rest);
      }
    } catch (error) {
      this.#why = `it failed: ${error instanceof Error ? error.message : error}`;
    }
    for (const { member } of this.#seen.values()) member.target.close();
    const result = { why: this.#why, samples: this.#samples, processes: processes(), bytes: this.#bytes };
    try {
      this.#write({ time: Date.now(), ended: this.#why, samples: this.#samples, processes: processes() });
      this.#file.syncDataSync();
    } finally {
      this.#file.close();
    }
    return result;
  }

  #met = 0;

  #meet(member: Member): void {
    this.#seen.set(nameOf(this.#options.boot, member.facts), {
      member,
      plain: {},
      files: new Map(),
      mapped: new Set(),
    });
    this.#met++;
  }

  async #sample(): Promise<void> {
    const time = Date.now();
    this.#samples++;
    if (this.#options.tree) this.#findNew(time);
    for (const [name, seen] of this.#seen) {
      const { target } = seen.member, facts = target.hasEnded() ? null : target.facts();
      if (facts === null) {
        this.#line({ time, process: name, event: "ended" });
        this.#seen.delete(name);
        target.close();
        continue;
      }
      const change = await this.#changeOf(seen, facts);
      if (change !== null) this.#line({ time, process: name, ...change });
      if (this.#isFull || this.#why !== "") return;
    }
  }

  #findNew(time: number): void {
    const { boot, most, protection } = this.#options;
    let found: Member[];
    try {
      found = descendantsOf([...this.#seen.values()].map(({ member }) => member), most);
    } catch (error) {
      if (!(error instanceof FamilyTooLargeError)) throw error;
      if (!this.#leftAlone.has("")) this.#line({ time, event: "not followed", why: error.message });
      this.#leftAlone.add("");
      return;
    }
    for (const member of found) {
      const name = nameOf(boot, member.facts), why = protection(member);
      if (why === null) {
        this.#meet(member);
        this.#line({ time, process: name, event: "found", parent: member.facts.ppid });
        continue;
      }
      member.target.close();
      if (!this.#leftAlone.has(name)) this.#line({ time, process: name, event: "not followed", why });
      if (this.#leftAlone.size < 1_024) this.#leftAlone.add(name);
    }
  }

  /** What is not as in the sample before; `null` when everything is. */
  async #changeOf(seen: Seen, facts: TargetFacts): Promise<Record<string, Json> | null> {
    const { target } = seen.member, change: Record<string, Json> = {};
    const plain: Record<string, Json> = {
      name: facts.name.toWellFormed(),
      state: facts.state,
      threads: facts.threads,
      cpuMs: Math.round(facts.cpuMs),
      residentPages: facts.residentPages,
      user: facts.userIds[1],
      executable: facts.path?.toWellFormed() ?? null,
      directory: target.link("cwd")?.toWellFormed() ?? null,
      call: await this.#call(target),
    };
    for (const [name, value] of Object.entries(plain)) if (seen.plain[name] !== value) change[name] = value;
    seen.plain = plain;
    const files = filesOf(target);
    if (files !== null) {
      const opened = [...files].filter(([fd, to]) => seen.files.get(fd) !== to);
      const closed = [...seen.files].filter(([fd]) => !files.has(fd));
      if (opened.length > 0) change["opened"] = opened.map(([fd, to]) => `${fd}: ${to}`);
      if (closed.length > 0) change["closed"] = closed.map(([fd, to]) => `${fd}: ${to}`);
      seen.files = files;
    }
    const mapped = await this.#mapped(target);
    if (mapped !== null) {
      const added = [...mapped].filter((path) => !seen.mapped.has(path));
      const removed = [...seen.mapped].filter((path) => !mapped.has(path));
      if (added.length > 0) change["mapped"] = added;
      if (removed.length > 0) change["unmapped"] = removed;
      seen.mapped = mapped;
    }
    return Object.keys(change).length === 0 ? null : change;
  }

  /** The system call that its first thread is in, with its arguments as numbers; `null` when that cannot be told. */
  async #call(target: Target): Promise<string | null> {
    const bytes = await this.#options.reader.bytes(target.directory, "syscall", 512, SLOW_MS);
    const text = bytes === null ? "" : new TextDecoder().decode(bytes).trim();
    const [number, ...rest] = text.split(" ");
    if (number === undefined || !/^\d{1,4}$/.test(number)) return text === "" ? null : text.split(" ")[0]!;
    return `${syscallName(Number(number)) ?? number}(${rest.slice(0, 6).join(", ")})`;
  }

  async #mapped(target: Target): Promise<ReadonlySet<string> | null> {
    const bytes = await this.#options.reader.bytes(target.directory, "maps", MAX_MAPS_BYTES, SLOW_MS);
    if (bytes === null) return null;
    const found = new Set<string>();
    for (const [, rights, path] of new TextDecoder().decode(bytes).matchAll(/^\S+ (\S{4}) \S+ \S+ \d+ +(\S.*)$/gm)) {
      if (found.size >= MAX_MAPPED) break;
      if (path!.startsWith("/")) found.add(`${rights} ${path}`.toWellFormed());
    }
    return found;
  }

  #line(value: Readonly<Record<string, Json>>): void {
    if (this.#isFull) return;
    const size = encoder.encode(canonicalJson(value)).length + 1;
    // The last line always finds room.
    if (this.#bytes + size > this.#options.maxBytes - 1_024) this.#isFull = true;
    else this.#write(value);
  }

  #write(value: Readonly<Record<string, Json>>): void {
    const bytes = encoder.encode(`${canonicalJson(value)}\n`);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    this.#bytes += bytes.length;
  }

  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([new Promise<void>((resolve) => timer = setTimeout(resolve, ms)), this.#stop.promise]);
    clearTimeout(timer);
  }
}

const encoder = new TextEncoder();

function filesOf(target: Target): ReadonlyMap<number, string> | null {
  const numbers = target.openFiles();
  if (numbers === null) return null;
  const files = new Map<number, string>();
  for (const number of numbers.slice(0, MAX_FILES)) {
    const to = target.link(`fd/${number}`);
    if (to !== null) files.set(number, to.toWellFormed());
  }
  return files;
}
