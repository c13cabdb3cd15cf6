/**
 * The whole process table in one pass of a BPF task iterator: ten times faster than reading `/proc` in C.
 *
 * Two iterators stand ready. The full one reads arguments within the kernel and so must be able to sleep; a process can
 * hold it up without end by keeping its arguments in memory that a FUSE file system of its own backs, as it once could
 * with `ps` (CVE-2018-1120). So it runs beside this thread, with a deadline, and when it is late the quick one takes its
 * place. That one touches no process' memory and never waits; arguments are then read from `/proc`, beside this thread
 * too, and whoever makes that wait has none.
 *
 * The quick one needs Linux 5.11, the full one 6.2 (`bpf_rcu_read_lock`). Both work on after every capability is gone.
 *
 * @module
 */
import type { TableEntry } from "../sources/source.ts";
import { ArgumentReader } from "./argument_reader.ts";
import {
  ATTACH_ITERATOR,
  BpfError,
  createIterator,
  createMap,
  linkTaskIterator,
  loadProgram,
  lookupElement,
  MAP_MAPPABLE,
  MAP_TYPE,
  PROGRAM_SLEEPABLE,
  PROGRAM_TYPE,
} from "./bpf.ts";
import { type Btf, BtfError } from "./btf.ts";
import type { EnvironmentFilter } from "./environment.ts";
import { type KernelLayout, withoutContext } from "./kernel_layout.ts";
import {
  copyFrom,
  copyTo,
  cString,
  EAGAIN,
  EINTR,
  errno,
  ESRCH,
  libc,
  map,
  MAP_SHARED,
  NativeArena,
  PROT_READ,
  PROT_WRITE,
  SystemCallError,
} from "./libc.ts";
import { taskIteratorProgram } from "./task_programs.ts";
import { MAX_PROCESS_BYTES, PROCESS, TableParser, TableTexts } from "./task_records.ts";

/** The kernel hands out 32 KiB per read; a record that did not fit waits for the next. */
const READ_BYTES = 64 << 10;
/** What a thread of the pool reads at once: to go there and back for every 32 KiB would double the time of a pass. */
const STREAM_BYTES = 256 << 10;
/** The kernel gives EAGAIN after a million threads without a record, which cannot come again and again. */
const MAX_RETRIES = 100;
/** For a full pass, and for the arguments after a quick one. They take some 40 and 100 ms for 10,000 processes. */
const DEADLINE_MS = 1_000;

export interface TableOptions {
  /** How long the full iterator may take. */
  readonly deadlineMs?: number | undefined;
  /** What is wanted of environments; null for nothing. */
  readonly environment?: EnvironmentFilter | null;
}

export class TaskIterator {
  readonly #quick: LoadedIterator;
  /** Null where the kernel is too old for it. */
  readonly #full: LoadedIterator | null;
  readonly #arguments = new ArgumentReader();
  readonly #deadlineMs: number;
  readonly #texts: TableTexts;
  readonly #bytes = new Uint8Array(READ_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #fullIsRunning = false;
  /** What is known of the process that holds the full iterator up; null while nothing does. */
  #hinderer: { readonly pid: number | null } | null = null;

  /**
   * @throws {BpfError} when the kernel refuses
   * @throws {BtfError} when the kernel is too old
   */
  constructor(btf: Btf, layout: KernelLayout, { deadlineMs = DEADLINE_MS, environment = null }: TableOptions = {}) {
    this.#deadlineMs = deadlineMs;
    this.#texts = new TableTexts(environment);
    this.#quick = load(layout, (layout) => new LoadedIterator(btf, layout, false, false));
    try {
      this.#full = load(layout, (layout) => new LoadedIterator(btf, layout, true, environment !== null));
    } catch (error) {
      if (!(error instanceof BpfError || error instanceof BtfError)) {
        this.#quick.close();
        throw error;
      }
      this.#full = null;
    }
  }

  /** What holds the full iterator up now, as a sentence; null when nothing does. */
  get hindrance(): string | null {
    if (this.#hinderer === null) return null;
    const who = this.#hinderer.pid === null ? "a process" : `process ${this.#hinderer.pid}`;
    return `${who} does not let its arguments be read; it may be hiding from whoever lists processes`;
  }

  /**
   * Every process; with their environments where that was asked for, they are wanted, and the full iterator runs.
   *
   * @throws {BpfError | SystemCallError}
   */
  async read({ environments = false } = {}): Promise<TableEntry[]> {
    const full = this.#full;
    if (full !== null && !this.#fullIsRunning) {
      this.#fullIsRunning = true;
      full.askForEnvironments(environments);
      const pass = this.#fullPass(full).finally(() => {
        this.#fullIsRunning = false;
        this.#hinderer = null;
      });
      const table = await within(pass, this.#deadlineMs);
      if (table !== null) return table;
      // A pass that failed is done with; one that is late goes on by itself until it is let go.
      if (this.#fullIsRunning) this.#hinderer = { pid: full.currentProcess() };
    }
    return await this.#withArguments(this.readQuickly());
  }

  /** Every process, most of them without arguments; never waits. @throws {BpfError | SystemCallError} */
  readQuickly(): TableEntry[] {
    return this.#quickPass(this.#quick.link);
  }

  /**
   * One process, mostly without arguments, or null when there is none of that pid. Never waits.
   *
   * @throws {BpfError | SystemCallError}
   */
  readOne(pid: number): TableEntry | null {
    let link: number;
    try {
      link = linkTaskIterator(this.#quick.program, pid);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (error.errno === ESRCH) return null;
      // Before Linux 6.1 an iterator visits all or nothing.
      return this.readQuickly().find((entry) => entry.pid === pid) ?? null;
    }
    try {
      return this.#quickPass(link).find((entry) => entry.pid === pid) ?? null;
    } finally {
      libc.close(link);
    }
  }

  /** A pass that is held up goes on until it is let go; it holds what it needs. */
  close(): void {
    this.#quick.close();
    this.#full?.close();
  }

  #quickPass(link: number): TableEntry[] {
    const iterator = createIterator(link);
    try {
      const parser = new TableParser(this.#texts);
      let kept = 0, retries = 0;
      for (;;) {
        const got = libc.read(iterator, kept === 0 ? this.#bytes : this.#bytes.subarray(kept), READ_BYTES - kept);
        if (got === 0) break;
        if (got < 0) {
          const error = errno();
          if ((error === EAGAIN || error === EINTR) && ++retries <= MAX_RETRIES) continue;
          throw new SystemCallError("read of the task iterator", error);
        }
        const end = kept + got, used = parser.take(this.#bytes, this.#view, end);
        this.#bytes.copyWithin(0, used, end);
        kept = end - used;
      }
      return parser.finish();
    } finally {
      libc.close(iterator);
    }
  }

  async #withArguments(table: TableEntry[]): Promise<TableEntry[]> {
    const asked = table.filter(({ pid, argv }) => argv === null && pid !== this.#hinderer?.pid).map(({ pid }) => pid);
    const found = await this.#arguments.read(asked, this.#deadlineMs);
    return table.map((entry) => {
      const argv = found.get(entry.pid);
      return argv === undefined ? entry : { ...entry, argv, argvLength: Math.max(entry.argvLength ?? 0, argv.length) };
    });
  }

  /** Null when a read failed: why cannot be had from another thread. */
  async #fullPass(full: LoadedIterator): Promise<TableEntry[] | null> {
    const iterator = createIterator(full.link);
    const stream = libc.fdopen(iterator, cString("r"));
    if (stream === 0n) {
      libc.close(iterator);
      return null;
    }
    const arena = new NativeArena(STREAM_BYTES);
    const read = (): Promise<number> => libc.freadAsync(arena.address, 1n, BigInt(STREAM_BYTES), stream);
    let reading = read();
    try {
      const parser = new TableParser(this.#texts);
      const bytes = new Uint8Array(STREAM_BYTES + MAX_PROCESS_BYTES), view = new DataView(bytes.buffer);
      for (let kept = 0;;) {
        const got = await reading;
        if (got < STREAM_BYTES && libc.ferror(stream) !== 0) return null;
        copyFrom(arena.address, bytes.subarray(kept, kept + got));
        // The kernel goes on while this thread takes the records apart.
        if (got === STREAM_BYTES) reading = read();
        const end = kept + got, used = parser.take(bytes, view, end);
        if (got < STREAM_BYTES) return parser.finish();
        bytes.copyWithin(0, used, end);
        kept = end - used;
      }
    } finally {
      await reading; // nobody may write to the arena any more
      libc.fclose(stream); // the descriptor too
      arena.release();
    }
  }
}

/** Without the circumstances of processes where the verifier refuses them: an older one can find the whole too long. */
function load(layout: KernelLayout, make: (layout: KernelLayout) => LoadedIterator): LoadedIterator {
  try {
    return make(layout);
  } catch (error) {
    if (!(error instanceof BpfError) || error.verifierLog === "") throw error;
    return make(withoutContext(layout));
  }
}

/** A program in the kernel, the link that passes are made of, and where it makes its records. */
class LoadedIterator {
  readonly program: number;
  readonly link: number;
  readonly #scratch: number;
  /** The word that says whether environments are asked for, in memory, as no capability is left to call bpf with. */
  readonly #asked: { readonly map: number; readonly page: bigint } | null = null;

  constructor(btf: Btf, layout: KernelLayout, sleeps: boolean, withEnvironment: boolean) {
    const attachTo = kernelFunction(btf, "bpf_iter_task");
    const rcu = sleeps
      ? { lock: kernelFunction(btf, "bpf_rcu_read_lock"), unlock: kernelFunction(btf, "bpf_rcu_read_unlock") }
      : null;
    const toType = btf.functionId("bpf_rdonly_cast"), task = btf.structId("task_struct");
    const cast = toType === null ? null : { toType, task };
    const name = sleeps ? "de_table" : "de_table_quick";
    const opened: number[] = [];
    const own = (descriptor: number): number => {
      opened.push(descriptor);
      return descriptor;
    };
    try {
      // One element for all processors: passes of one iterator follow each other.
      const element = { name, type: MAP_TYPE.array, keyBytes: 4, entries: 1 };
      this.#scratch = own(createMap({ ...element, valueBytes: MAX_PROCESS_BYTES }));
      const asked = withEnvironment ? own(createMap({ ...element, valueBytes: 4, flags: MAP_MAPPABLE })) : null;
      this.program = own(loadProgram({
        name,
        type: PROGRAM_TYPE.tracing,
        instructions: taskIteratorProgram(layout, this.#scratch, rcu && { ...rcu, asked }, cast),
        flags: sleeps ? PROGRAM_SLEEPABLE : 0,
        attachType: ATTACH_ITERATOR,
        attachTo,
      }));
      this.link = own(linkTaskIterator(this.program));
      if (asked !== null) {
        const page = map(libc.getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, asked, 0);
        this.#asked = { map: asked, page };
      }
    } catch (error) {
      for (const descriptor of opened) libc.close(descriptor);
      throw error;
    }
  }

  /** For the next passes. */
  askForEnvironments(wanted: boolean): void {
    if (this.#asked !== null) copyTo(this.#asked.page, new Uint8Array(Uint32Array.of(wanted ? 1 : 0).buffer));
  }

  /** The process whose record is being made. */
  currentProcess(): number | null {
    try {
      const bytes = new Uint8Array(MAX_PROCESS_BYTES);
      lookupElement(this.#scratch, 0, bytes);
      return new DataView(bytes.buffer).getUint32(PROCESS.pid, true);
    } catch (error) {
      if (error instanceof BpfError) return null;
      throw error;
    }
  }

  close(): void {
    for (const descriptor of [this.link, this.program, this.#scratch]) libc.close(descriptor);
    if (this.#asked === null) return;
    libc.munmap(this.#asked.page, BigInt(libc.getpagesize()));
    libc.close(this.#asked.map);
  }
}

/** What `promise` gives, or null when it takes longer. A failure after that is nobody's. */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => timer = setTimeout(() => resolve(null), milliseconds));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {});
  }
}

function kernelFunction(btf: Btf, name: string): number {
  const id = btf.functionId(name);
  if (id === null) throw new BtfError(`This kernel has no ${name}`);
  return id;
}
