/**
 * Tells of what is refused again and again: the first at once, the rest as a count once a minute.
 *
 * Whoever may write the spool can put ten thousand files there; neither the log nor the audit ledger has a line for each.
 *
 * @module
 */
import type { Journal } from "../journal.ts";

/** Kinds that are told apart within a minute; all others are one. */
const MAX_KINDS = 32;
const OTHERS = "files in the request spool that are none, of further users";
const PERIOD_MS = 60_000;

export interface RefusalsOptions {
  readonly journal: Journal;
  /** Enters a count into the ledger. */
  readonly note: (what: string, count: number, from: number, to: number) => void;
  readonly periodMs?: number;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  /** Since each was told last. */
  readonly #kinds = new Map<string, { count: number; from: number; to: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** One more of `what`. */
  add(what: string): void {
    const now = Date.now(), kind = this.#kinds.has(what) || this.#kinds.size < MAX_KINDS ? what : OTHERS;
    const known = this.#kinds.get(kind);
    if (known === undefined) {
      this.#kinds.set(kind, { count: 0, from: now, to: now });
      this.#tell(kind, 1, now, now);
    } else {
      if (known.count === 0) known.from = now;
      known.count += 1;
      known.to = now;
    }
    this.#timer ??= setTimeout(() => this.flush(), this.#options.periodMs ?? PERIOD_MS);
  }

  /** Tells all that waits. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [kind, { count, from, to }] of this.#kinds) if (count > 0) this.#tell(kind, count, from, to);
    this.#kinds.clear();
  }

  #tell(kind: string, count: number, from: number, to: number): void {
    this.#options.journal.notice(`refused: ${kind}${count === 1 ? "" : `, ${count} times`}`);
    this.#options.note(`refused: ${kind}`, count, from, to);
  }
}
