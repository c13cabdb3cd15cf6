/**
 * Time that passes when a simulation says so: every timer and every clock of this thread, from {@linkcode VirtualTime.install} on.
 *
 * What runs between two timers is promises alone, so a run with the same seed takes the same steps. The monotonic clock
 * never goes back; the clock of the day jumps as a test has it.
 *
 * @module
 */

interface Timer {
  at: number;
  readonly id: number;
  readonly call: () => void;
  /** 0: once. */
  readonly every: number;
}

/** Turns of the queue of promises after each timer: more than any chain of them in the product is long. */
const TURNS = 150;
const FIRST_DAY = 1_800_000_000_000;

export class VirtualTime {
  /** Milliseconds of the monotonic clock. */
  now = 0;
  /** What the clock of the day is off by. */
  wallOffset = 0;
  #timers: Timer[] = [];
  readonly #live = new Set<number>();
  #lastId = 0;

  /** Takes the thread's timers and clocks over, for good. */
  install(): void {
    const scope = globalThis as unknown as Record<string, unknown>;
    scope["setTimeout"] = (call: () => void, ms = 0) => this.#add(call, ms, 0);
    scope["setInterval"] = (call: () => void, ms = 0) => this.#add(call, ms, Math.max(1, ms));
    scope["clearTimeout"] = scope["clearInterval"] = (id: number | undefined) => void this.#live.delete(id ?? 0);
    Date.now = () => this.wall();
    performance.now = () => this.now;
  }

  wall(): number {
    return Math.floor(FIRST_DAY + this.now + this.wallOffset);
  }

  /** Begins anew: no timer is left. */
  reset(): void {
    this.#timers = [];
    this.#live.clear();
    this.now = this.wallOffset = 0;
  }

  at(ms: number, call: () => void): void {
    this.#add(call, ms, 0);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#add(resolve, ms, 0));
  }

  /** Runs the next timer and all that follows from it at once. Returns whether there was one. */
  async step(): Promise<boolean> {
    for (;;) {
      const timer = this.#pop();
      if (timer === null) return false;
      if (!this.#live.has(timer.id)) continue;
      this.now = Math.max(this.now, timer.at);
      if (timer.every > 0) this.#push({ ...timer, at: this.now + timer.every });
      else this.#live.delete(timer.id);
      timer.call();
      await settle();
      return true;
    }
  }

  #add(call: () => void, ms: number, every: number): number {
    const id = ++this.#lastId;
    this.#live.add(id);
    this.#push({ at: this.now + Math.max(0, ms), id, call, every });
    return id;
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(timer, heap[above]!)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = timer;
  }

  #pop(): Timer | null {
    const heap = this.#timers, first = heap[0], last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1;
      if (!isBefore(heap[below]!, last)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.id < b.id);
}

/** Lets everything happen that waits for nothing but promises. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await null;
}
