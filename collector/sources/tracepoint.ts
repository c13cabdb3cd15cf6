/**
 * The second rung of the source ladder: eBPF programs at tracepoints, for kernels without type information (BTF).
 *
 * Sees every fork, exec and exit, however short the process, with its arguments and environment, its user, control group,
 * start and end, from the kernel. The rest (executable, effective user, circumstances) is read from `/proc` when the
 * record is taken, if the process then still runs that program; of one that has ended, the name that the program was
 * started by stands for the executable's path.
 *
 * A record that finds no room in the ring is counted by the kernel side and reported here as a loss of its kind: for each
 * kind, seen is received plus lost, exactly. Opened as root, or with CAP_BPF and CAP_PERFMON where tracefs can be read;
 * everything but opening works without any capability.
 *
 * @module
 */
import {
  attachRawTracepoint,
  BpfError,
  createMap,
  loadProgram,
  MAP_MAPPABLE,
  MAP_TYPE,
  PROGRAM_TYPE,
} from "../kernel/bpf.ts";
import { EnvironmentFilter, type VariableNames } from "../kernel/environment.ts";
import { KernelCounters } from "../kernel/kernel_counters.ts";
import { type SearchedLayout, SearchError, searchKernel } from "../kernel/kernel_search.ts";
import { EACCES, EPERM, libc } from "../kernel/libc.ts";
import { attachTracepoint } from "../kernel/perf_event.ts";
import { COUNTER_BYTES, type RecordKind } from "../kernel/process_records.ts";
import { ProcfsReader } from "../kernel/procfs_reader.ts";
import { MappedRing, RingReader } from "../kernel/ring_buffer.ts";
import { openTracefs, readTracepointFormat, type TracepointFormat } from "../kernel/tracefs.ts";
import { executedProgram, exitedProgram, forkedProgram } from "../kernel/tracepoint_programs.ts";
import { MAX_EXECUTED_BYTES, TracepointDecoder } from "../kernel/tracepoint_records.ts";
import type { ProcessSource, SourceCounters, SourceDescription, SourceRecord, TableEntry } from "./source.ts";
import { TracepointFacts } from "./tracepoint_facts.ts";
import { SourceUnavailableError } from "./unavailable.ts";

/** Room for some 25,000 process lives. */
const DEFAULT_RING_BYTES = 8 << 20;
const MAX_RING_BYTES = 1 << 30;
/** The longest that {@linkcode ProcessSource.wait} waits, so that a closing process is not held up. */
const MAX_WAIT_MS = 1_000;

/** What is known of the kernel before anything is loaded. */
export interface TracepointKernel {
  readonly newtask: TracepointFormat;
  readonly exit: TracepointFormat;
  readonly layout: SearchedLayout;
}

export interface TracepointOptions {
  /** From one page to 1 GiB; rounded up to a power of two, which the kernel wants. */
  readonly ringBytes?: number;
  /** Names of the environment variables to keep: see {@linkcode EnvironmentFilter}. */
  readonly environment?: VariableNames;
  /** Whether executables of other users stay readable. */
  readonly readsOthers?: boolean;
  /** Looks the kernel over; a test gives what another kernel says. */
  readonly readKernel?: () => TracepointKernel;
}

/** @throws {SourceUnavailableError} with the reason in words */
export function openTracepointSource(options: TracepointOptions = {}): ProcessSource {
  const wanted = options.ringBytes ?? DEFAULT_RING_BYTES;
  if (!(wanted >= libc.getpagesize() && wanted <= MAX_RING_BYTES)) {
    throw new RangeError(`Ring of ${wanted} bytes: expected one page to 1 GiB`);
  }
  const descriptors: number[] = [];
  try {
    const kernel = (options.readKernel ?? readTracepointKernel)();
    const ringBytes = 2 ** Math.ceil(Math.log2(wanted)), { environment = [], readsOthers = false } = options;
    return new TracepointSource(kernel, ringBytes, environment, descriptors, readsOthers);
  } catch (error) {
    for (const descriptor of descriptors.toReversed()) libc.close(descriptor);
    throw new SourceUnavailableError("tracepoint", explain(error), { cause: error });
  }
}

/** @throws {TracefsError | SearchError | BpfError} */
export function readTracepointKernel(tracefsPlaces?: readonly string[]): TracepointKernel {
  const root = openTracefs(tracefsPlaces);
  try {
    return {
      newtask: readTracepointFormat(root, "task/task_newtask"),
      exit: readTracepointFormat(root, "sched/sched_process_exit"),
      layout: searchKernel(),
    };
  } finally {
    libc.close(root);
  }
}

class TracepointSource implements ProcessSource {
  readonly #description: SourceDescription;
  readonly #descriptors: readonly number[];
  readonly #ring: MappedRing;
  readonly #reader: RingReader;
  readonly #decoder: TracepointDecoder;
  readonly #processes: ProcfsReader;
  readonly #facts: TracepointFacts;
  readonly #counters: KernelCounters;
  #closed = false;

  /** Descriptors are added to `descriptors` as they come to be, so that a failure can close them. */
  constructor(
    kernel: TracepointKernel,
    ringBytes: number,
    environment: VariableNames,
    descriptors: number[],
    readsOthers: boolean,
  ) {
    const filter = new EnvironmentFilter(environment);
    this.#processes = new ProcfsReader({ environment });
    this.#facts = new TracepointFacts((pid) => this.#processes.look(pid));
    const { newtask, exit, layout } = kernel;
    if (!exit.fields.has("group_dead") && layout.signal === null) {
      throw new SearchError("the number of a process' threads is not found in this kernel's memory");
    }
    const own = (descriptor: number): number => {
      descriptors.push(descriptor);
      return descriptor;
    };
    const array = { keyBytes: 4, entries: 1 };
    const maps = {
      ring: own(
        createMap({ name: "de_ring", type: MAP_TYPE.ringBuffer, keyBytes: 0, valueBytes: 0, entries: ringBytes }),
      ),
      counters: own(
        createMap({
          ...array,
          name: "de_counters",
          type: MAP_TYPE.array,
          valueBytes: COUNTER_BYTES,
          flags: MAP_MAPPABLE,
        }),
      ),
      scratch: own(
        createMap({ ...array, name: "de_scratch", type: MAP_TYPE.perCpuArray, valueBytes: MAX_EXECUTED_BYTES }),
      ),
    };
    const load = (kind: RecordKind, type: number, instructions: Uint8Array<ArrayBuffer>): number =>
      own(loadProgram({ name: `de_tp_${kind}`, type, instructions }));
    // All loaded before any is attached: a refusal leaves no time in which only some kinds are seen.
    const exec = load("exec", PROGRAM_TYPE.rawTracepoint, executedProgram(layout, maps, !filter.isEmpty));
    const fork = load("fork", PROGRAM_TYPE.tracepoint, forkedProgram(newtask, maps));
    const end = load("exit", PROGRAM_TYPE.tracepoint, exitedProgram(exit, layout, maps));
    this.#ring = new MappedRing(maps.ring, ringBytes);
    this.#reader = new RingReader(this.#ring);
    this.#decoder = new TracepointDecoder(filter);
    this.#counters = new KernelCounters(maps.counters, new Map([["exec", exec], ["fork", fork], ["exit", end]]));
    own(attachRawTracepoint("sched_process_exec", exec));
    own(attachTracepoint(newtask.id, fork, "task_newtask"));
    own(attachTracepoint(exit.id, end, "sched_process_exit"));
    this.#descriptors = descriptors;
    this.#description = describe(layout, readsOthers);
  }

  get description(): SourceDescription {
    const hindrances = this.#processes.misses;
    if (hindrances.length === 0) return this.#description;
    return { ...this.#description, misses: [...this.#description.misses, ...hindrances] };
  }

  snapshot(): Promise<TableEntry[]> {
    return this.#processes.table();
  }

  look(pid: number): TableEntry | null {
    return this.#processes.look(pid);
  }

  drain(receive: (record: SourceRecord) => void): number {
    if (this.#closed) return 0;
    let count = 0;
    let failure: { error: unknown } | null = null;
    const hand = (record: SourceRecord): void => {
      count++;
      try {
        receive(record);
      } catch (error) {
        failure ??= { error };
      }
    };
    const batch: Parameters<TracepointFacts["records"]>[0][number][] = [];
    this.#reader.read((bytes, view, at, length) => {
      const told = this.#decoder.decode(bytes, view, at, length);
      if (told !== null) batch.push(told);
    });
    for (const record of this.#facts.records(batch)) hand(record);
    this.#counters.report(hand);
    if (failure !== null) throw (failure as { error: unknown }).error;
    return count;
  }

  get pending(): boolean {
    return !this.#closed && this.#reader.pending;
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#closed || this.#reader.pending) return;
    await this.#ring.wait(Math.ceil(Math.max(0, Math.min(timeoutMs, MAX_WAIT_MS))));
  }

  counters(): SourceCounters {
    return {
      received: this.#decoder.received,
      lost: this.#counters.lost(),
      overruns: 0,
      damaged: this.#decoder.damaged + this.#facts.damaged,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#processes.close();
    this.#ring.close();
    this.#counters.close();
    for (const descriptor of this.#descriptors.toReversed()) libc.close(descriptor);
  }
}

function describe(layout: SearchedLayout, readsOthers: boolean): SourceDescription {
  const misses = [
    "of a process that ends within milliseconds the executable is the name that it was started by, unknown for scripts " +
    "and relative names, and circumstances such as its directory, terminal and namespaces are unknown",
    ...(readsOthers ? [] : [
      "the executables of other users' processes too are the names that they were started by, once the collector has " +
      "given up its privileges",
    ]),
    "CPU time of ended processes, and device and inode of executables are unknown",
    layout.exitCode === null
      ? "exit codes and signals are unknown: their place is not found in this kernel's memory"
      : "of a process whose threads end one by one, its first not last, the exit code is its last thread's",
  ];
  if (layout.cred === null) misses.push("of a process that ends within milliseconds the effective user is unknown");
  if (layout.startBoottime === null) misses.push("starts are the times of forks, which can be some milliseconds off");
  const unknownColumns = ["inode", "device", "interpreter_path", "script_path"];
  if (layout.exitCode === null) unknownColumns.push("exit_code", "exit_signal");
  return {
    name: "tracepoint",
    sees: "every process from its start to its end, however short, with all its arguments, and what /proc tells of it",
    misses,
    unknownColumns,
  };
}

function explain(error: unknown): string {
  if (error instanceof BpfError) {
    const isRefusal = (error.errno === EPERM || error.errno === EACCES) && error.verifierLog === "";
    return isRefusal
      ? `this user may not use bpf(2) and perf_event_open(2) (${error.message}); start as root, or with CAP_BPF and ` +
        "CAP_PERFMON, and without kernel lockdown"
      : `the kernel refused ${error.message}`;
  }
  return error instanceof Error ? error.message : String(error);
}
