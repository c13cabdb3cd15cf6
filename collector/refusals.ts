/**
 * System calls that the filter refused the collector and its hasher: counted, named, and told at once.
 *
 * A call that is refused gives an error like any other, which a runtime may take for an answer. So each is told of, from
 * the records that the kernel makes of them (see `kernel/audit.ts`); what is refused by design makes none (see
 * `kernel/seccomp.ts`). The hasher can tell nobody, so its records are read here too.
 *
 * Other ways were looked at and left:
 * - A listener of the filter (SECCOMP_RET_USER_NOTIF) holds the call until somebody answers it. In this process that
 *   would be a thread that can itself make such a call and wait for itself for ever; and where it dies every refused
 *   call becomes ENOSYS.
 * - eBPF: refusals have no tracepoint. That of every call's end costs every call of the host something: getppid took
 *   190 ns without and 330 ns with a program-less listener that wants one process only. A probe on `audit_seccomp()`
 *   wants kprobes, which this kernel lacks, or trampolines, which arm64 had late, and sees the same records.
 * - Our own calls could be looked at as they return; those of Deno and V8, which are nearly all, could not.
 * - SECCOMP_RET_TRAP ends in a signal handler, and there is none that JavaScript could be.
 *
 * That records come is not assumed: a call that does not exist is made at the start and once a day, which the filter
 * refuses too, and whose record must arrive. What is not noticed in between: a rate limit of the audit log
 * (`auditctl -r`), which withholds records of a flood.
 *
 * @module
 */
import type { SourceStatus } from "../proto/status.ts";
import { type Refusal, RefusalSocket } from "./kernel/audit.ts";
import { EPERM, errno, libc } from "./kernel/libc.ts";
import { readWholeFile } from "./kernel/procfs.ts";
import { namedSyscall } from "./kernel/syscall_names.ts";

/** The name under which this stands among the sources. */
const NAME = "refusals";
/** How long the record of the call that does not exist may take. */
const PROOF_MS = 10_000;
/** How often that call is made: each time leaves a line in the host's audit log. */
const PROOF_EVERY_MS = 24 * 3_600_000;
/** A call is told of at most so often. */
const REPEAT_MS = 60_000;
/** Notices in that time, whatever the number of calls: hostile code can make up numbers. The rest waits its turn. */
const MAX_NOTICES = 10;
/** Calls that are told apart. */
const MAX_CALLS = 256;
/** Records of a hasher that has not yet been talked to, and how long they are kept. */
const MAX_UNCLAIMED = 256, UNCLAIMED_MS = 60_000;
const ACTIONS_LOGGED = "/proc/sys/kernel/seccomp/actions_logged";

type Who = "collector" | "hasher";

/** Where records come from; {@linkcode RefusalSocket}, or what a test says. */
export type RefusalReader = Pick<RefusalSocket, "read">;

/** What was opened while there was the privilege for it. */
export type OpenedRefusals =
  | { readonly reader: RefusalReader; readonly canary: number }
  | { readonly reader: null; readonly canary?: undefined; readonly reason: string };

/** Listens, where a filter is to be installed and the kernel allows it. */
export function openRefusals(filter: "errno" | "kill" | "off"): OpenedRefusals {
  if (filter === "off") return { reader: null, reason: "no call is refused: collector.syscall_filter is off" };
  try {
    return { reader: new RefusalSocket(), canary: newCanary() };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      reader: null,
      reason: `refused system calls are not counted: ${why}; it takes CAP_AUDIT_READ outside of containers`,
    };
  }
}

/** Above all numbers that a processor has, below those of x32; another one each time, as each collector has its own. */
export function newCanary(): number {
  return 0x2000_0000 | crypto.getRandomValues(new Uint32Array(1))[0]! & 0x0fff_ffff;
}

interface Tally {
  readonly who: Who;
  readonly call: number | null;
  count: number;
  told: number;
  toldAt: number;
  thread: string;
  signal: number;
}

export interface RefusalOptions {
  readonly opened: OpenedRefusals;
  /** The process that answers at the hasher's socket, `null` while none does. */
  readonly hasherPid: () => number | null;
  /** Whose records may be the hasher's. */
  readonly hasherUser: number;
  /** Makes a call that is refused. */
  readonly call?: (number: number) => void;
}

export class Refusals {
  readonly #options: RefusalOptions;
  readonly #tallies = new Map<string, Tally>();
  readonly #counts: Record<Who, number> = { collector: 0, hasher: 0 };
  #unclaimed: { readonly refusal: Refusal; readonly since: number }[] = [];
  /** This process in the records; another number than `Deno.pid` in a pid namespace of its own. */
  #pid = Deno.pid;
  #proof: "awaited" | "heard" | "silent" = "awaited";
  #proofAt = 0;
  #overruns = 0;
  #damaged = 0;
  #overrunTold = false;
  #fault: string | null = null;
  #minute = -Infinity;
  #noticesLeft = MAX_NOTICES;

  constructor(options: RefusalOptions) {
    this.#options = options;
  }

  /** Makes the call whose record proves that records come. Under the filter only: without one it would not be refused. */
  begin(now: number): void {
    if (this.#options.opened.reader === null) return;
    this.#proofAt = now;
    this.#proof = "awaited";
    (this.#options.call ?? makeCall)(this.#options.opened.canary);
  }

  /** Reads what there is, and returns what an operator should hear. `now` in milliseconds of any clock that runs. */
  look(now: number): string[] {
    const { reader } = this.#options.opened;
    if (reader === null || this.#fault !== null) return [];
    const notices: string[] = [];
    try {
      const { overruns, damaged } = reader.read((refusal) => this.#receive(refusal, now));
      this.#overruns += overruns;
      this.#damaged += damaged;
    } catch (error) {
      this.#fault = error instanceof Error ? error.message : String(error);
      return [`refused system calls are not counted any more: ${this.#fault}`];
    }
    this.#claim(now);
    if (this.#proof === "awaited" && now - this.#proofAt > PROOF_MS) {
      this.#proof = "silent";
      notices.push(this.status().detail);
    }
    if (this.#overruns > 0 && !this.#overrunTold) {
      this.#overrunTold = true;
      notices.push(OVERRUN);
    }
    if (now - this.#proofAt > PROOF_EVERY_MS) this.begin(now);
    return [...notices, ...this.#tell(now)];
  }

  status(): SourceStatus {
    const is = (state: "active" | "unavailable", detail: string, misses: readonly string[] = []): SourceStatus => ({
      name: NAME,
      state,
      detail,
      misses,
      unknownColumns: [],
    });
    if (!this.isListening) return is("unavailable", this.silence());
    if (this.#proof === "silent") return is("unavailable", this.silence());
    const misses = this.#overruns === 0 ? [] : [OVERRUN];
    const detail = "counts the system calls that the kernel refuses the collector and its hasher";
    return is("active", this.#proof === "heard" ? detail : `${detail}; waits for the first record`, misses);
  }

  /** Whether there is anything to hear with. */
  get isListening(): boolean {
    return this.#options.opened.reader !== null && this.#fault === null;
  }

  /** Whether a record has come. */
  get isProven(): boolean {
    return this.isListening && this.#proof === "heard";
  }

  /** Why none has come, as far as it can be known. */
  silence(): string {
    const { opened } = this.#options;
    if (opened.reader === null) return opened.reason;
    return `refused system calls are not counted: ${this.#fault ?? `the kernel records none; ${silenceReason()}`}`;
  }

  /** Nothing where nothing is counted: a zero would say that nothing was refused. */
  counters(): Record<string, number> {
    if (this.#options.opened.reader === null || this.#proof === "silent") return {};
    return {
      refused_system_calls: this.#counts.collector,
      hasher_refused_system_calls: this.#counts.hasher,
      refusal_overruns: this.#overruns,
      damaged_refusals: this.#damaged,
    };
  }

  #receive(refusal: Refusal, now: number): void {
    const { opened, hasherUser } = this.#options;
    if (refusal.call === opened.canary) {
      this.#pid = refusal.pid;
      this.#proof = "heard";
    } else if (refusal.pid === this.#pid) this.#count("collector", refusal);
    else if (refusal.userId === hasherUser && this.#unclaimed.length < MAX_UNCLAIMED) {
      this.#unclaimed.push({ refusal, since: now });
    }
  }

  /** The hasher's process is known once it was talked to. In a pid namespace of its own, its user must do. */
  #claim(now: number): void {
    if (this.#unclaimed.length === 0) return;
    const pid = this.#options.hasherPid(), isTranslated = this.#pid !== Deno.pid;
    this.#unclaimed = this.#unclaimed.filter(({ refusal, since }) => {
      if (!isTranslated && refusal.pid !== pid) return now - since < UNCLAIMED_MS;
      this.#count("hasher", refusal);
      return false;
    });
  }

  #count(who: Who, { call, thread, signal }: Refusal): void {
    this.#counts[who]++;
    const isKnown = this.#tallies.has(`${who} ${call}`) || this.#tallies.size < MAX_CALLS;
    const key = isKnown ? `${who} ${call}` : `${who} others`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { who, call: isKnown ? call : null, count: 0, told: 0, toldAt: -Infinity, thread, signal };
      this.#tallies.set(key, tally);
    }
    tally.count++;
    tally.thread = thread;
    tally.signal = signal;
  }

  #tell(now: number): string[] {
    if (now - this.#minute >= REPEAT_MS) {
      this.#minute = now;
      this.#noticesLeft = MAX_NOTICES;
    }
    const notices: string[] = [];
    for (const tally of this.#tallies.values()) {
      if (this.#noticesLeft === 0) break;
      if (tally.count === tally.told || now - tally.toldAt < REPEAT_MS) continue;
      notices.push(sentence(tally));
      tally.told = tally.count;
      tally.toldAt = now;
      this.#noticesLeft--;
    }
    return notices;
  }
}

const OVERRUN = "the kernel refused system calls faster than its records of them are read: there were more than are " +
  "counted";

function sentence({ who, call, count, told, thread, signal }: Tally): string {
  const what = call === null ? "system calls of other numbers" : `system call ${namedSyscall(call)}`;
  const times = told === 0
    ? `${count} ${count === 1 ? "time" : "times"}`
    : `${count - told} ${count - told === 1 ? "time" : "times"} more, ${count} in all`;
  const end = signal === 0 ? "it goes on without" : `and ended it with signal ${signal}`;
  return `the kernel refused the ${who} ${what}, in thread "${thread}", ${times}; ${end}. Nothing of it is meant to make ` +
    `that call: unless Deno was just replaced, look whether the ${who} was taken over`;
}

/** Why no record comes, as far as it can be known. */
function silenceReason(): string {
  const logged = readWholeFile(ACTIONS_LOGGED, 4_096);
  if (logged !== null && !new TextDecoder().decode(logged).split(/\s+/).includes("errno")) {
    return "kernel.seccomp.actions_logged lacks errno; add it with sysctl";
  }
  return "auditing is off (audit=0), a rule excludes SECCOMP records, or this is not the host's network namespace";
}

/** A call of no meaning, to be refused. */
function makeCall(number: number): void {
  const result = libc.syscall(BigInt(number), 0n, 0n, 0n, 0n, 0n, 0n);
  const why = errno();
  if (result >= 0 || why !== EPERM) throw new Error(`A system call that none is was answered with ${result}, ${why}`);
}
