/**
 * The best rung of the source ladder: eBPF programs at the tracepoints of process life, a BPF iterator for the table.
 *
 * Sees every fork, exec and exit with all its facts, from the kernel's own structures; no process can be too short. A
 * record that finds no room in the ring is counted by the kernel side and reported here as a loss of its kind: for each
 * kind, seen is received plus lost, exactly. Opened with CAP_BPF and CAP_PERFMON (root has them); everything but
 * opening works without any capability.
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
import { type Btf, BtfError, readKernelBtf } from "../kernel/btf.ts";
import { unknownColumns } from "../kernel/context_layout.ts";
import { EnvironmentFilter, type VariableNames } from "../kernel/environment.ts";
import { type KernelLayout, readKernelLayout, withoutContext } from "../kernel/kernel_layout.ts";
import { EACCES, EPERM, libc, SystemCallError } from "../kernel/libc.ts";
import { PROCESS_PROGRAMS } from "../kernel/process_programs.ts";
import { COUNTER_BYTES, MAX_EXEC_BYTES, RecordDecoder, type RecordKind } from "../kernel/process_records.ts";
import { KernelCounters } from "../kernel/kernel_counters.ts";
import { MappedRing, RingReader } from "../kernel/ring_buffer.ts";
import { TaskIterator } from "../kernel/task_iterator.ts";
import type { ProcessSource, SourceCounters, SourceDescription, SourceRecord, TableEntry } from "./source.ts";
import { SourceUnavailableError } from "./unavailable.ts";

const MAX_RING_BYTES = 1 << 30;
/** The longest that {@linkcode ProcessSource.wait} waits, so that a closing process is not held up. */
const MAX_WAIT_MS = 1_000;

export interface EbpfOptions {
  /** From one page to 1 GiB; rounded up to a power of two, which the kernel wants. */
  readonly ringBytes: number;
  /** Names of the environment variables to capture: see `EnvironmentFilter`. */
  readonly environment: VariableNames;
  /** What reads the table where the kernel cannot run the iterator. */
  readonly fallback?: () => TableFallback;
  /** How long the iterator may take before a pass that cannot be held up takes its place. */
  readonly tableDeadlineMs?: number;
  /** Reads the kernel's types; a test gives those of a kernel that it does not run on. */
  readonly readTypes?: () => Btf;
}

/** Reads processes some other way than by an iterator; see `ProcfsReader`. */
export interface TableFallback {
  readonly misses: readonly string[];
  table(): Promise<TableEntry[]>;
  look(pid: number): TableEntry | null;
  close(): void;
}

/** @throws {SourceUnavailableError} with the reason in words */
export function openEbpfSource(options: EbpfOptions): ProcessSource {
  const wanted = options.ringBytes;
  if (!(wanted >= libc.getpagesize() && wanted <= MAX_RING_BYTES)) {
    throw new RangeError(`Ring of ${wanted} bytes: expected one page to 1 GiB`);
  }
  const ringBytes = 2 ** Math.ceil(Math.log2(wanted));
  const descriptors: number[] = [];
  let btf: Btf | null = null;
  try {
    btf = (options.readTypes ?? readKernelBtf)();
    const layout = readKernelLayout(btf);
    const filter = new EnvironmentFilter(options.environment);
    const environment = filter.isEmpty || layout.context.environment === null ? null : filter;
    // The table first: what it cannot do decides what the description says.
    const table = openTable(btf, layout, environment, options);
    try {
      return new EbpfSource(layout, ringBytes, environment, descriptors, table);
    } catch (error) {
      table.iterator?.close();
      throw error;
    }
  } catch (error) {
    for (const descriptor of descriptors) libc.close(descriptor);
    throw new SourceUnavailableError("ebpf", explain(error), { cause: error });
  } finally {
    btf?.release();
  }
}

type Table =
  | { readonly iterator: TaskIterator; readonly fallback: (() => TableFallback) | null }
  | { readonly iterator: null; readonly fallback: TableFallback; readonly miss: string };

function openTable(
  btf: Btf,
  layout: KernelLayout,
  environment: EnvironmentFilter | null,
  options: EbpfOptions,
): Table {
  const fallback = options.fallback ?? null;
  try {
    const { tableDeadlineMs: deadlineMs } = options;
    return { iterator: new TaskIterator(btf, layout, { deadlineMs, environment }), fallback };
  } catch (error) {
    // Without the right to use bpf at all nothing is left to fall back to.
    if (fallback === null || isRefusal(error)) throw error;
    return { iterator: null, fallback: fallback(), miss: fallbackMiss(error) };
  }
}

function fallbackMiss(error: unknown): string {
  const why = error instanceof Error ? error.message : String(error);
  return `The process table is read from /proc, not by an iterator: ${why}`;
}

interface LoadedProgram {
  readonly kind: RecordKind;
  readonly tracepoint: string;
  readonly descriptor: number;
}

class EbpfSource implements ProcessSource {
  #table: Table;
  readonly #descriptors: readonly number[];
  readonly #programs: ReadonlyMap<RecordKind, number>;
  readonly #ring: MappedRing;
  readonly #reader: RingReader;
  readonly #decoder: RecordDecoder;
  readonly #unknownColumns: readonly string[];
  readonly #misses: readonly string[] = [];
  readonly #counters: KernelCounters;
  #isFirstTable = true;
  #closed = false;

  /** Descriptors are added to `descriptors` as they come to be, so that a failure can close them. */
  constructor(
    layout: KernelLayout,
    ringBytes: number,
    environment: EnvironmentFilter | null,
    descriptors: number[],
    table: Table,
  ) {
    const own = (descriptor: number): number => {
      descriptors.push(descriptor);
      return descriptor;
    };
    const maps = {
      ring: own(
        createMap({ name: "de_ring", type: MAP_TYPE.ringBuffer, keyBytes: 0, valueBytes: 0, entries: ringBytes }),
      ),
      counters: own(createMap({
        name: "de_counters",
        type: MAP_TYPE.array,
        keyBytes: 4,
        valueBytes: COUNTER_BYTES,
        entries: 1,
        flags: MAP_MAPPABLE,
      })),
      scratch: own(createMap({
        name: "de_scratch",
        type: MAP_TYPE.perCpuArray,
        keyBytes: 4,
        valueBytes: MAX_EXEC_BYTES,
        entries: 1,
      })),
      environment: environment !== null,
    };
    this.#ring = new MappedRing(maps.ring, ringBytes);
    this.#reader = new RingReader(this.#ring);
    const load = (layout: KernelLayout): LoadedProgram[] =>
      PROCESS_PROGRAMS.map(({ kind, tracepoint, build }) => ({
        kind,
        tracepoint,
        descriptor: own(loadProgram({
          name: `de_${kind}`,
          type: PROGRAM_TYPE.rawTracepoint,
          instructions: build(layout, maps),
        })),
      }));
    let programs: LoadedProgram[];
    try {
      programs = load(layout);
    } catch (error) {
      if (!isVerdict(error)) throw error;
      // An older verifier can find the whole too long. Lives without circumstances are worth more than a lower rung.
      layout = withoutContext(layout);
      programs = load(layout);
      this.#misses = [`Circumstances of processes are not read at their start: the kernel refused ${error.message}`];
    }
    this.#unknownColumns = unknownColumns(layout.context);
    this.#decoder = new RecordDecoder(layout.context.environment === null ? null : environment);
    this.#programs = new Map(programs.map(({ kind, descriptor }) => [kind, descriptor]));
    this.#counters = new KernelCounters(maps.counters, this.#programs);
    // All loaded before any is attached: a refusal leaves no time in which only some kinds are seen.
    for (const { tracepoint, descriptor } of programs) own(attachRawTracepoint(tracepoint, descriptor));
    this.#descriptors = descriptors;
    this.#table = table;
  }

  get description(): SourceDescription {
    const table = this.#table, hindrance = table.iterator?.hindrance ?? null;
    const ofTable = table.iterator === null ? [table.miss, ...table.fallback.misses] : [];
    const misses = [...this.#misses, ...ofTable];
    return {
      name: "ebpf",
      sees: "every process from its start to its end, however short, with all its arguments",
      misses: hindrance === null ? misses : [...misses, hindrance],
      unknownColumns: this.#unknownColumns,
    };
  }

  async snapshot(): Promise<TableEntry[]> {
    const { iterator, fallback } = this.#table;
    if (iterator === null) return await fallback.table();
    try {
      // Whoever starts later is seen with the environment it starts with.
      const environments = this.#isFirstTable;
      this.#isFirstTable = false;
      return await iterator.read({ environments });
    } catch (error) {
      return await this.#fallBack(error).table();
    }
  }

  look(pid: number): TableEntry | null {
    const { iterator, fallback } = this.#table;
    if (iterator === null) return fallback.look(pid);
    try {
      return iterator.readOne(pid);
    } catch (error) {
      return this.#fallBack(error).look(pid);
    }
  }

  /** Kernels before 5.19 let nobody without capabilities make an iterator: from then on the table comes from `/proc`. */
  #fallBack(error: unknown): TableFallback {
    const table = this.#table;
    if (table.iterator === null) return table.fallback; // a snapshot and a look failed at once
    if (table.fallback === null || this.#closed || !(error instanceof BpfError)) throw error;
    table.iterator.close();
    const fallback = table.fallback();
    this.#table = { iterator: null, fallback, miss: fallbackMiss(error) };
    return fallback;
  }

  drain(receive: (record: SourceRecord) => void): number {
    if (this.#closed) return 0;
    let count = 0;
    const hand = (record: SourceRecord): void => {
      count++;
      receive(record);
    };
    try {
      this.#reader.read((bytes, view, at, length) => {
        const record = this.#decoder.decode(bytes, view, at, length);
        if (record !== null) hand(record);
      });
    } finally {
      this.#counters.report(hand);
    }
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
      damaged: this.#decoder.damaged,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ring.close();
    this.#counters.close();
    for (const descriptor of this.#descriptors) libc.close(descriptor);
    const { iterator, fallback } = this.#table;
    if (iterator === null) fallback.close();
    else iterator.close();
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof BpfError && (error.errno === EPERM || error.errno === EACCES) && error.verifierLog === "";
}

/** Whether the verifier did not accept a program. */
function isVerdict(error: unknown): error is BpfError {
  return error instanceof BpfError && error.verifierLog !== "";
}

function explain(error: unknown): string {
  if (isRefusal(error)) {
    return "this user may not use bpf(2); start as root, or with CAP_BPF and CAP_PERFMON, and without kernel lockdown";
  }
  if (error instanceof BpfError) return `the kernel refused ${error.message}`;
  if (error instanceof BtfError) return `the kernel's type information does not serve: ${error.message}`;
  if (error instanceof SystemCallError && error.call.includes("btf")) {
    return `the kernel gives no type information (${error.message}); it must be built with CONFIG_DEBUG_INFO_BTF`;
  }
  return error instanceof Error ? error.message : String(error);
}
