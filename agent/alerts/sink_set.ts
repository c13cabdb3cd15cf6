/**
 * The sinks that there are and what delivers to them; other ones may take their place while the agent runs.
 *
 * A change is taken whole or not at all: sinks that lack a grant or a file, or a store that does not take them, leave
 * everything as it was. Sinks whose settings stay are not touched. One that changes ends the write that it is in before
 * the new one begins, so what is owed is handed over under its name; what was owed to one that is gone becomes dead
 * letters, as at a start without it.
 *
 * @module
 */
import type { SinkSettings } from "../../proto/sink_settings.ts";
import type { SinkTerms } from "../store/outbox.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { Turn } from "../turn.ts";
import { Delivery, type DeliveryEvents } from "./delivery.ts";
import { openSinks, sinkFaults, type SinkSurroundings } from "./sinks/open_sinks.ts";

/** How long the write of a sink that is replaced may take. */
const RETIRE_MS = 2_000;
/** From a subscription to the attempt that it causes. */
const HEARD_MS = 200;

/** These sinks cannot be taken into use; all is as it was. */
export class SinksRefusedError extends Error {
  override name = "SinksRefusedError";
}

export interface SinkSetOptions {
  readonly surroundings: SinkSurroundings;
  readonly store: () => Store | null;
  readonly events: (sink: string) => DeliveryEvents;
}

export interface SinkChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** What was owed to those that are gone, and is dead letters now. */
  readonly orphaned: readonly { readonly sink: string; readonly count: number }[];
}

interface Member {
  readonly settings: SinkSettings;
  readonly delivery: Delivery;
}

export class SinkSet {
  readonly #options: SinkSetOptions;
  readonly #turn = new Turn();
  #members: readonly Member[];
  #isStopping = false;
  #hearing: ReturnType<typeof setTimeout> | null = null;

  constructor(settings: readonly SinkSettings[], options: SinkSetOptions) {
    this.#options = options;
    this.#members = settings.map((each) => this.#member(each, false));
  }

  /** Which alerts are owed to whom. */
  get terms(): readonly SinkTerms[] {
    return this.#members.map(({ settings: { name, minSeverity } }) => ({ name, minSeverity }));
  }

  get deliveries(): readonly Delivery[] {
    return this.#members.map(({ delivery }) => delivery);
  }

  get failing(): number {
    return this.#members.filter(({ delivery }) => delivery.isFailing).length;
  }

  /** Alerts go to the bus by a sink. */
  get hasBus(): boolean {
    return this.#members.some(({ settings }) => settings.type === "bus");
  }

  attach(store: Store): void {
    for (const { delivery } of this.#members) delivery.attach(store);
  }

  detach(): void {
    for (const { delivery } of this.#members) delivery.detach();
  }

  /** Says that alerts may be owed. */
  poke(): void {
    for (const { delivery } of this.#members) delivery.poke();
  }

  /**
   * Somebody has subscribed on the bus: what waits for that goes soon. Not at each subscription: a collector that
   * subscribes again and again must not have the store written each time.
   */
  heard(): void {
    if (this.#hearing !== null || this.#isStopping || !this.hasBus) return;
    this.#hearing = setTimeout(() => {
      this.#hearing = null;
      for (const { settings, delivery } of this.#members) if (settings.type === "bus") delivery.hasten();
    }, HEARD_MS);
  }

  /** Takes these in the place of those that there are. @throws SinksRefusedError, and then all is as it was */
  replace(settings: readonly SinkSettings[]): Promise<SinkChanges> {
    return this.#turn.run(() => this.#replace(settings));
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#hearing ?? undefined);
    await Promise.all(this.#members.map(({ delivery }) => delivery.stop(deadlineMs)));
  }

  /** What {@linkcode replace} would change; nothing is changed. @throws SinksRefusedError where that would */
  preview(settings: readonly SinkSettings[]): Omit<SinkChanges, "orphaned"> {
    return this.#changes(settings, this.#kept(settings));
  }

  async #replace(settings: readonly SinkSettings[]): Promise<SinkChanges> {
    const before = this.#members, kept = this.#kept(settings), changes = this.#changes(settings, kept);
    const gone = before.filter((member) => !kept.includes(member));
    await Promise.all(gone.map(({ delivery }) => delivery.retire(RETIRE_MS)));
    const store = this.#options.store();
    let orphaned: SinkChanges["orphaned"] = [];
    try {
      if (this.#isStopping) throw new SinksRefusedError("The agent is stopping; its next start reads them");
      orphaned = store?.useSinks(settings, this.terms) ?? [];
    } catch (error) {
      this.#members = before.map((member) => kept.includes(member) ? member : this.#member(member.settings, false));
      this.#attachNew(kept);
      if (!(error instanceof StoreError)) throw error;
      throw new SinksRefusedError(error.message, { cause: error });
    }
    this.#members = settings.map((each) =>
      kept.find((member) => textOf(member.settings) === textOf(each)) ??
        this.#member(each, changes.changed.includes(each.name))
    );
    this.#attachNew(kept);
    return { ...changes, orphaned };
  }

  /** Those that go on as they are. @throws SinksRefusedError when the others cannot be used */
  #kept(settings: readonly SinkSettings[]): readonly Member[] {
    if (this.#isStopping) throw new SinksRefusedError("The agent is stopping; its next start reads them");
    const texts = new Set(settings.map(textOf)), known = new Set(this.#members.map((each) => textOf(each.settings)));
    const faults = sinkFaults(
      settings.filter((each) => !known.has(textOf(each))),
      this.#options.surroundings.directory,
    );
    if (faults.length > 0) throw new SinksRefusedError(faults.join("; "));
    // One that was given up until a person has done something is opened again: this is the person
    return this.#members.filter((member) => !member.delivery.isClosed && texts.has(textOf(member.settings)));
  }

  #changes(settings: readonly SinkSettings[], kept: readonly Member[]): Omit<SinkChanges, "orphaned"> {
    const names = settings.map(({ name }) => name), before = this.#members.map((member) => member.settings.name);
    const isKept = (name: string): boolean => kept.some((member) => member.settings.name === name);
    return {
      added: names.filter((name) => !before.includes(name)),
      changed: names.filter((name) => before.includes(name) && !isKept(name)),
      removed: before.filter((name) => !names.includes(name)),
    };
  }

  #member(settings: SinkSettings, isFresh: boolean): Member {
    const { surroundings, events } = this.#options, [sink] = openSinks([settings], surroundings);
    return { settings, delivery: new Delivery(sink!, events(settings.name), { isFresh }) };
  }

  #attachNew(kept: readonly Member[]): void {
    const store = this.#options.store();
    if (store === null) return; // they are when it is there again
    for (const member of this.#members) if (!kept.includes(member)) member.delivery.attach(store);
  }
}

function textOf(settings: SinkSettings): string {
  return JSON.stringify(settings);
}
