/**
 * Which subscribers have one message: those to whom it goes at least once, each until it acknowledged it or lost it.
 *
 * For who keeps a message until others have it, such as the outbox of alerts. Subscribers that take at most once are not
 * counted: nobody knows of them whether they have anything. Neither are those that are behind: they owe an answer that
 * nobody waits for any more, and until they have given it they hold up nobody else.
 *
 * @module
 */

/** A subscriber as a receipt knows it. */
export interface Recipient {
  readonly name: string;
  /** It owes an answer that is not waited for any more; whether that is the only one. */
  fellBehind(): boolean;
  /** It has given one of those, or cannot any more. */
  caughtUp(): void;
}

export class Receipt {
  readonly #open = new Set<Recipient>();
  readonly #late = new Set<Recipient>();
  #taken = 0;
  #lost = 0;
  #settled: (() => void) | null = null;

  /** Subscribers that have it. */
  get taken(): number {
    return this.#taken;
  }

  /** Subscribers that had no room for it, or went for good before they acknowledged it. */
  get lost(): number {
    return this.#lost;
  }

  /** Subscribers that may still acknowledge it, by name. */
  get open(): readonly string[] {
    return [...this.#open].map(({ name }) => name);
  }

  /** Those of whom that is not waited for any more. */
  get late(): readonly string[] {
    return [...this.#late].map(({ name }) => name);
  }

  /** Resolves when every subscriber has acknowledged or lost it. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open.size === 0) resolve();
      else this.#settled = resolve;
    });
  }

  /** It is on its way to this subscriber. */
  offered(subscriber: Recipient): void {
    this.#open.add(subscriber);
  }

  acknowledged(subscriber: Recipient): void {
    if (this.#end(subscriber)) this.#taken += 1;
  }

  gone(subscriber: Recipient): void {
    if (this.#end(subscriber)) this.#lost += 1;
  }

  /** No longer waits for those that have not answered; gives the names of those that kept up until now. */
  giveUp(): string[] {
    const late = [...this.#open], fresh: string[] = [];
    this.#open.clear();
    for (const subscriber of late) {
      this.#late.add(subscriber);
      if (subscriber.fellBehind()) fresh.push(subscriber.name);
    }
    return fresh;
  }

  #end(subscriber: Recipient): boolean {
    if (this.#late.delete(subscriber)) {
      subscriber.caughtUp();
      return true;
    }
    if (!this.#open.delete(subscriber)) return false;
    if (this.#open.size === 0) this.#settled?.();
    return true;
  }
}
