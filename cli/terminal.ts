/**
 * The terminal in raw mode: keys, size, and that it is left as it was found.
 *
 * SQLite holds the main thread while it runs, so a worker reads the keys and hears the signals. Ctrl-C sets a flag that
 * every query looks at as often as at its deadline; at the third one, while a step runs, or when a step does not come back
 * long after its deadline, the worker restores the terminal, says why and ends the process: nothing else stops a
 * statement. Its code is a `data:` module, which loads without reading a file, and none of this needs a permission.
 *
 * @module
 */
import { type Key, KeyDecoder } from "./keys.ts";
import { eachWatched, killedWords, stepLimitMs, type StepWatch } from "./watchdog.ts";

const TICK_MS = 100;
/** So many Ctrl-C end the process while a step runs. */
const PATIENCE = 3;
/** Time that the main thread has to end after a signal, before the worker ends the process. */
const SIGNAL_GRACE_MS = 1_000;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/** Of the shared memory: steps, odd while one is under way; Ctrl-C since calm(); ticks that a step has. */
const STEPS = 0, INTERRUPTS = 1, TICKS = 2;

const WORKER = `onmessage = async ({ data: { shared, enter, leave, tickMs, signalGraceMs, tired } }) => {
  const cells = new Int32Array(shared), encoder = new TextEncoder();
  let words = "";
  const write = (text) => { try { Deno.stdout.writeSync(encoder.encode(text)); } catch {} };
  const raw = (on) => { try { Deno.stdin.setRaw(on); } catch {} };
  const restore = () => { write(leave); raw(false); };
  const kill = (why) => { restore(); console.error(why); Deno.kill(Deno.pid, "SIGKILL"); };
  onmessage = ({ data }) => { if (data.words !== undefined) words = data.words; };
  for (const signal of ${JSON.stringify(Object.keys(SIGNALS))}) {
    Deno.addSignalListener(signal, () => {
      restore();
      postMessage({ signal });
      setTimeout(() => Deno.kill(Deno.pid, "SIGKILL"), signalGraceMs);
    });
  }
  Deno.addSignalListener("SIGTSTP", () => { restore(); Deno.kill(Deno.pid, "SIGSTOP"); });
  Deno.addSignalListener("SIGCONT", () => { raw(true); write(enter); postMessage({ resized: true }); });
  Deno.addSignalListener("SIGWINCH", () => postMessage({ resized: true }));
  let seen = 0, left = 0;
  setInterval(() => {
    const step = Atomics.load(cells, ${STEPS});
    if (step % 2 === 0 || step !== seen) [seen, left] = [step, Atomics.load(cells, ${TICKS})];
    else if (--left <= 0) kill(words);
  }, tickMs);
  raw(true);
  write(enter);
  postMessage({ ready: true });
  const buffer = new Uint8Array(4096);
  for (;;) {
    const read = await Deno.stdin.read(buffer).catch(() => null);
    if (read === null) return postMessage({ end: true });
    const bytes = buffer.slice(0, read);
    for (const byte of bytes) {
      if (byte !== 3) continue;
      const times = Atomics.add(cells, ${INTERRUPTS}, 1) + 1;
      if (times >= ${PATIENCE} && Atomics.load(cells, ${STEPS}) % 2 === 1) kill(tired);
    }
    postMessage({ bytes });
  }
};`;

/** What happens at a terminal. */
export type TerminalEvent = Key | { readonly kind: "resized" } | { readonly kind: "end" };

export class Terminal implements Disposable, StepWatch {
  readonly #worker: Worker;
  readonly #cells = new Int32Array(new SharedArrayBuffer(12));
  readonly #decoder = new KeyDecoder();
  readonly #leave: string;
  readonly #events: TerminalEvent[] = [];
  #waiting: ((event: TerminalEvent | null) => void) | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  private constructor(worker: Worker, leave: string) {
    this.#worker = worker;
    this.#leave = leave;
  }

  /** Begins raw mode. `enter` is written then, and again after a stop; `leave` whenever the terminal is given back. */
  static open(enter = "", leave = ""): Promise<Terminal> {
    const worker = new Worker(`data:text/javascript,${encodeURIComponent(WORKER)}`, { type: "module" });
    const terminal = new Terminal(worker, leave);
    return new Promise((resolve) => {
      worker.onmessage = ({ data }) => {
        if (data.ready === true) resolve(terminal);
        else terminal.#heard(data);
      };
      worker.postMessage({
        shared: terminal.#cells.buffer,
        enter,
        leave,
        tickMs: TICK_MS,
        signalGraceMs: SIGNAL_GRACE_MS,
        tired: "Killed: the query did not end when it was asked to, and SQLite does not let it be stopped",
      });
    });
  }

  /** The next key or change; `null` after `timeoutMs` without one. */
  next(timeoutMs: number | null = null): Promise<TerminalEvent | null> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => {
      this.#waiting = resolve;
      if (timeoutMs !== null) this.#timer = setTimeout(() => this.#wake(null), timeoutMs);
    });
  }

  get size(): { columns: number; rows: number } {
    return Deno.consoleSize();
  }

  /** Says what a step may take from now on: twice its deadline and some, as a query alone has. */
  allow(deadlineMs: number): void {
    const limit = stepLimitMs(deadlineMs);
    Atomics.store(this.#cells, TICKS, Math.ceil(limit / TICK_MS));
    this.#worker.postMessage({ words: killedWords(deadlineMs, limit) });
  }

  /** Whether Ctrl-C came since {@linkcode calm}. */
  isInterrupted(): boolean {
    return Atomics.load(this.#cells, INTERRUPTS) > 0;
  }

  /** Forgets Ctrl-C. */
  calm(): void {
    Atomics.store(this.#cells, INTERRUPTS, 0);
  }

  watch<T>(step: () => T): T {
    Atomics.add(this.#cells, STEPS, 1);
    try {
      return step();
    } finally {
      Atomics.add(this.#cells, STEPS, 1);
    }
  }

  each<T>(rows: Iterable<T>): Generator<T> {
    return eachWatched(rows, (step) => this.watch(step));
  }

  /** Gives the terminal back. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    try {
      if (this.#leave !== "") Deno.stdout.writeSync(new TextEncoder().encode(this.#leave));
      Deno.stdin.setRaw(false);
    } catch {
      // The terminal is gone, and with it what there was to restore
    }
    this.#worker.terminate();
  }

  #heard(data: { bytes?: Uint8Array; resized?: true; end?: true; signal?: keyof typeof SIGNALS }): void {
    if (data.signal !== undefined) Deno.exit(128 + SIGNALS[data.signal]);
    if (data.bytes !== undefined) this.#events.push(...this.#decoder.push(data.bytes));
    if (data.resized === true) this.#events.push({ kind: "resized" });
    if (data.end === true) this.#events.push({ kind: "end" });
    const event = this.#waiting === null ? undefined : this.#events.shift();
    if (event !== undefined) this.#wake(event);
  }

  #wake(event: TerminalEvent | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    clearTimeout(this.#timer);
    waiting?.(event);
  }
}
