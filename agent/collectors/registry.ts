/**
 * Who collects: one entry for each collector that is expected or has proven itself, with its state, what it registered,
 * and its heartbeats.
 *
 * A collector's word is held against what can be true and against what it does: a registration that contradicts itself, a
 * second one, a second process under one name, and events of a domain that was not registered are refused, counted and
 * shown. One that is not heard from is degraded after one missed heartbeat and has failed after three; a gap then says
 * from when on something may be missing. Everything that arrives counts as a heartbeat: a collector whose frames wait
 * behind its own events lives. While the agent takes nothing, is at work on what came before, or did not come to look,
 * nobody is blamed for silence.
 *
 * @module
 */
import type { Gap } from "../../proto/process_event.ts";
import { descriptorOf, type Registration, registrationFault } from "../../proto/registration.ts";
import type { TableDescriptor } from "../../proto/table_descriptor.ts";
import { ENVIRONMENT, HASHES } from "../../proto/demand.ts";
import type { ValidatedRule } from "../../proto/rules/rule.ts";
import type { CollectorStanding, SourceStatus } from "../../proto/status.ts";
import type { Hello } from "../../proto/messages.ts";
import type { Counters } from "../counters.ts";
import type { Journal } from "../journal.ts";
import { type Claim, Entry, FAILED_AFTER, type Link } from "./entry.ts";

/** Names that are remembered. */
export const MAX_ENTRIES = 64;
/** How often heartbeats are looked at. */
export const TICK_MS = 500;
/** A look that comes later than this was held up with all else, and silence of that time is nobody's. */
const LATE_MS = 250;
/** How long a collector may be away before somebody is asked to see to it. */
export const AWAY_MS = 30_000;
/** After how long he is asked again if that did not help, or was refused; then after twice as long each time. */
export const ASK_AGAIN_MS = 120_000;
const LONGEST_ASK_AGAIN_MS = 3_600_000;
/** Sources that look at times, and so see nothing from the kernel as it happens. */
const POLLING: readonly string[] = ["proc", "ps"];

export interface RegistryOptions {
  readonly journal: Journal;
  readonly counters: Counters;
  /** Stores a gap, or when `id` is given, in its place; `null` while no store takes it. */
  readonly putGap: (gap: Gap, collectorId: string, id: number | null) => number | null;
  /** A collector registered. */
  readonly registered: () => void;
  /** Whether the supervisor ended it because somebody asked for that: it may have gone before its goodbye was read. */
  readonly isStopped?: (collectorId: string) => boolean;
  /**
   * A collector has failed and does not get over it by itself: it is connected and says nothing, or has been away for
   * {@linkcode AWAY_MS}. One that has just ended is its supervisor's to start again, unasked. Called again while it does
   * not come back.
   */
  readonly failed: (collectorId: string) => void;
  /** On a clock that does not jump, and in Unix milliseconds. */
  readonly clock?: () => number;
  readonly wall?: () => number;
}

/** Why something of a collector was refused. */
export type RefusalKind = "identity" | "duplicate" | "capabilities";

export class Registry {
  readonly #options: RegistryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #clock: () => number;
  readonly #wall: () => number;
  #isSteady = false;
  #lastTick: number;
  /** Answers of {@linkcode lacks} by what was asked for, since the last tick: a thousand rules ask each second. */
  readonly #lacks = new Map<string, readonly string[]>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#wall = options.wall ?? Date.now;
    this.#lastTick = this.#clock();
  }

  /** These are to be there; those of them that are not yet known are waited for. */
  expect(ids: readonly string[]): void {
    for (const id of ids.slice(0, MAX_ENTRIES)) {
      if (!this.#entries.has(id)) this.#entries.set(id, new Entry(id, true, this.#wall()));
    }
  }

  /** Expected ones that have not registered. */
  pending(): string[] {
    return [...this.#entries.values()].filter((entry) => entry.isExpected && entry.registrations === 0)
      .map((entry) => entry.collectorId);
  }

  /** The time for the start has passed: those have failed. */
  giveUp(ids: readonly string[]): void {
    for (const id of ids) {
      const entry = this.#entries.get(id);
      if (entry?.machine.take("gaveUp", this.#wall())) entry.reason = "it did not register in the time for the start";
    }
  }

  /**
   * Why a collector that has proven itself is not let in, `null` when it is: another process under its name, with
   * another log, is connected and alive. One with the same log is the same collector, whose former connection is dead.
   */
  conflict({ collectorId, epoch }: Hello): string | null {
    const entry = this.#entries.get(collectorId);
    if (entry === undefined) {
      return this.#makeRoom() ? null : `The registry is full: ${MAX_ENTRIES} collectors are known and connected`;
    }
    if (entry.link === null || !entry.hasRegistered || entry.link.epoch === epoch) return null;
    const now = this.#clock();
    if (entry.missesAt(now - this.#heldUp(now)) > 0) return null;
    const why =
      `Another collector ${collectorId} is registered and alive (epoch ${entry.link.epoch}); stop that one, ` +
      `or give this one a name of its own`;
    this.refused(collectorId, "duplicate", why);
    return why;
  }

  /** A collector has proven itself on this connection. */
  joined(hello: Hello, link: Link): void {
    let entry = this.#entries.get(hello.collectorId);
    if (entry === undefined) {
      entry = new Entry(hello.collectorId, false, this.#wall());
      this.#entries.set(hello.collectorId, entry);
    }
    this.#endGap(entry);
    entry.joined(link, hello, this.#clock(), this.#wall());
  }

  /**
   * Takes a registration; returns why it is refused, `null` when it is not. `define` takes over the tables that the
   * collector brings, or says why not.
   */
  register(
    collectorId: string,
    link: Link,
    registration: Registration,
    define: (tables: readonly TableDescriptor[]) => string | null = () => null,
  ): string | null {
    const { journal, counters } = this.#options, entry = this.#entries.get(collectorId);
    if (entry === undefined || entry.link !== link) return "A newer connection has the name";
    if (entry.hasRegistered) return this.refused(collectorId, "duplicate", "It registers twice");
    const fault = registrationFault(registration);
    if (fault !== null) return this.refused(collectorId, "capabilities", `Its registration cannot be true: ${fault}`);
    const lie = contradiction(registration, entry.answered);
    if (lie !== null) return this.refused(collectorId, "capabilities", lie);
    const own = registration.tables.map(descriptorOf).filter((each) => each !== null);
    const unfit = own.length === 0 ? null : define(own);
    if (unfit !== null) return this.refused(collectorId, "capabilities", `Its tables cannot be taken over: ${unfit}`);
    entry.registration = registration;
    entry.hasRegistered = true;
    if (entry.machine.state === "stopped") entry.machine.take("joined", this.#wall()); // it took one back before
    entry.registrations += 1;
    counters.registrations += 1;
    entry.machine.take("registered", this.#wall());
    link.tell({ kind: "registered", heartbeatMs: registration.heartbeatMs });
    const { collectorType, domains, tables } = registration;
    journal.say(
      `collector ${collectorId} registered: ${collectorType}, sees ${domains.join(", ") || "nothing"}, fills ` +
        `${tables.map(({ name }) => name).join(", ") || "no table"}`,
    );
    if (this.#isSteady) this.#begin(entry);
    this.#options.registered();
    return null;
  }

  /** The connection of a collector; `null` when it has none. */
  linkOf(collectorId: string): Link | null {
    return this.#entries.get(collectorId)?.link ?? null;
  }

  /** A collector takes its registration back; returns why that is refused, `null` when it is not. It may register anew. */
  deregister(collectorId: string, reason: string): string | null {
    const entry = this.#entries.get(collectorId);
    if (entry === undefined || entry.link === null || !entry.hasRegistered) return "It is not registered";
    Object.assign(entry, { hasRegistered: false, registration: null, answered: null });
    entry.missed = 0;
    this.#endGap(entry);
    entry.machine.take("left", this.#wall());
    entry.reason = "it took its registration back";
    this.#options.journal.say(`collector ${collectorId} took its registration back: ${reason}`);
    return null;
  }

  /** Counts and shows a refusal, and returns its reason. Of a name that nobody has proven there is no entry to show it. */
  refused(collectorId: string, kind: RefusalKind, reason: string): string {
    const { journal, counters } = this.#options, entry = this.#entries.get(collectorId);
    counters[`refused_${kind}`] += 1;
    if (entry !== undefined) {
      entry.refused += 1;
      entry.refusal = reason;
    }
    journal.notice(`refused under the name ${collectorId}: ${reason}`);
    return reason;
  }

  /** Something came from a collector. */
  heard(collectorId: string, link: Link): void {
    const entry = this.#entries.get(collectorId);
    if (entry === undefined || entry.link !== link) return;
    entry.heard(this.#clock(), this.#wall());
    if (!entry.machine.take("heard", this.#wall())) return;
    entry.reason = "";
    this.#endGap(entry);
    this.#options.journal.say(`collector ${collectorId} is heard from again`);
    if (this.#isSteady) this.#begin(entry);
  }

  /** A connection has ended, with a goodbye of the collector or without. */
  left(collectorId: string, link: Link, saidGoodbye: boolean): void {
    const entry = this.#entries.get(collectorId);
    if (entry === undefined || entry.link !== link) return;
    entry.link = null;
    if (saidGoodbye) this.#endGap(entry); // which was open while nothing came from it
    // One that never registered owes no heartbeat.
    if (saidGoodbye || entry.registration === null) entry.machine.take("left", this.#wall());
  }

  /** What contradicts the registration in events that a collector sends; `null` when nothing does. */
  eventsFault(collectorId: string): string | null {
    const registration = this.#entries.get(collectorId)?.held ?? null;
    if (registration === null || registration.domains.includes("process")) return null;
    return this.refused(
      collectorId,
      "capabilities",
      "It sends events of processes, which it did not register to see",
    );
  }

  /** The same of rows that it sends. */
  rowsFault(collectorId: string, table: string): string | null {
    const registration = this.#entries.get(collectorId)?.held ?? null;
    if (registration?.tables.some(({ name, definition }) => name === table && definition !== undefined)) return null;
    const name = table.replace(/[^a-z0-9_]/g, "?");
    return this.refused(collectorId, "capabilities", `It sends rows of ${name}, a table that it did not register`);
  }

  /** The same of the sources that it reports. */
  sourcesFault(collectorId: string, sources: readonly SourceStatus[]): string | null {
    const registration = this.#entries.get(collectorId)?.held ?? null;
    if (registration?.kernelLevel !== true) return null;
    const active = sources.filter(({ state }) => state === "active").map(({ name }) => name);
    if (!active.some((name) => POLLING.includes(name))) return null;
    return this.refused(
      collectorId,
      "capabilities",
      `It registered to see from the kernel, and its source is ${active.join(", ")}`,
    );
  }

  /** The same of what it answers to the question for its capabilities, or will, if it answers before it registers. */
  capabilitiesFault(collectorId: string, answered: Claim): string | null {
    const entry = this.#entries.get(collectorId);
    if (entry === undefined) return null;
    entry.answered = answered;
    const fault = contradiction(entry.held, answered);
    return fault === null ? null : this.refused(collectorId, "capabilities", fault);
  }

  /** The agent is in its steady state: tells every registered collector to begin, and those that come. */
  begin(): void {
    this.#isSteady = true;
    for (const entry of this.#entries.values()) this.#begin(entry);
  }

  /** Looks at the heartbeats; `isServing` says whether the agent takes what collectors send. */
  tick(isServing: boolean): void {
    const now = this.#clock(), late = this.#heldUp(now);
    this.#lastTick = now;
    this.#lacks.clear();
    for (const entry of this.#entries.values()) {
      if (entry.registration === null) continue;
      if (!isServing || entry.link?.isBusy() === true) entry.heardAt = now;
      // What came meanwhile waits to be read.
      else entry.heardAt += late;
      this.#look(entry, now);
    }
  }

  /** The agent stops: gaps that are open end now. */
  stop(): void {
    for (const entry of this.#entries.values()) this.#endGap(entry);
  }

  /** What of what a rule reads registered collectors do not give; nothing while none has registered. */
  lacks({ attributes, collected }: Pick<ValidatedRule, "attributes" | "collected">): readonly string[] {
    if (collected !== undefined) return this.#lacksTable(collected.table.name);
    const columns = [
      ...attributes.hashes ? [HASHES] : [],
      ...attributes.variables.length > 0 || attributes.otherVariables ? [ENVIRONMENT] : [],
    ];
    const key = columns.join();
    let lacks = this.#lacks.get(key);
    if (lacks === undefined) this.#lacks.set(key, lacks = this.#lacksOf(columns));
    return lacks;
  }

  #lacksTable(name: string): string[] {
    const fill = [...this.#entries.values()].filter(({ registration }) =>
      registration?.tables.some((table) => table.name === name)
    );
    if (fill.length === 0) return [`no registered collector fills ${name}`];
    return fill.filter(({ machine }) => machine.state === "failed").map(({ collectorId, reason }) =>
      `collector ${collectorId} has failed: ${reason}`
    );
  }

  #lacksOf(columns: readonly string[]): string[] {
    const registered = [...this.#entries.values()].filter((entry) => entry.registration !== null);
    const lacks: string[] = [];
    let isFilled = registered.length === 0;
    for (const { collectorId, registration, machine, reason } of registered) {
      const table = registration!.tables.find(({ name }) => name === "process_events");
      if (table === undefined) continue;
      isFilled = true;
      if (machine.state === "failed") lacks.push(`collector ${collectorId} has failed: ${reason}`);
      for (const column of columns) {
        if (!table.columns.includes(column)) lacks.push(`collector ${collectorId} does not fill ${column}`);
      }
    }
    if (!isFilled) lacks.push("no registered collector fills process_events");
    return lacks;
  }

  standings(): CollectorStanding[] {
    return [...this.#entries.values()].map((entry) => entry.standing());
  }

  /** How long the agent itself stood still until now: its next look is late by this. */
  #heldUp(now: number): number {
    const late = now - this.#lastTick - TICK_MS;
    return late > LATE_MS ? late : 0;
  }

  #begin(entry: Entry): void {
    if (entry.link === null || !entry.machine.take("begun", this.#wall())) return;
    entry.link.tell({ kind: "begin", time: this.#wall() });
  }

  #look(entry: Entry, now: number): void {
    const { machine, collectorId } = entry, { journal, counters } = this.#options;
    if (machine.state === "stopped") return;
    if (entry.link === null && this.#options.isStopped?.(collectorId) === true && machine.take("left", this.#wall())) {
      entry.reason = "its supervisor was asked to stop it";
      return this.#endGap(entry);
    }
    const isStuck = machine.state === "failed" && (entry.link !== null || now - entry.heardAt > AWAY_MS);
    if (isStuck && now >= entry.nextAsk.at) {
      const waitMs = Math.max(entry.nextAsk.waitMs, ASK_AGAIN_MS);
      entry.nextAsk = { at: now + waitMs, waitMs: Math.min(2 * waitMs, LONGEST_ASK_AGAIN_MS) };
      this.#options.failed(collectorId);
    }
    const missed = entry.missesAt(now);
    if (missed <= entry.missed) return;
    counters.heartbeats_missed += missed - entry.missed;
    entry.missed = missed;
    if (machine.take("missed", this.#wall())) {
      entry.reason = entry.link === null ? "it is not connected" : "nothing comes from it";
      journal.notice(`collector ${collectorId} is degraded: ${entry.reason}`);
    }
    if (missed < FAILED_AFTER || !machine.take("gaveUp", this.#wall())) return;
    const since = new Date(entry.heardTime).toISOString();
    entry.reason = `${entry.link === null ? "it is not connected" : "nothing comes from it"} since ${since}`;
    journal.notice(`collector ${collectorId} has failed: ${entry.reason}`);
    entry.nextAsk = { at: now, waitMs: 0 };
    this.#putGap(entry, entry.heardTime, null);
  }

  #putGap(entry: Entry, from: number, id: number | null): void {
    const { collectorId } = entry;
    const reason = `collector ${collectorId} was not heard from; what it saw in this time may be missing`;
    const to = Math.max(from, this.#wall());
    const gap: Gap = { source: "collector", recordKind: "all", from, to, count: null, reason };
    const stored = this.#options.putGap(gap, collectorId, id);
    entry.gap = stored === null ? null : { id: stored, from };
  }

  /** The time of which nothing is known is over. */
  #endGap(entry: Entry): void {
    if (entry.gap === null) return;
    this.#putGap(entry, entry.gap.from, entry.gap.id);
    entry.gap = null;
  }

  /** Forgets a name that nobody has now, if there must be room. */
  #makeRoom(): boolean {
    if (this.#entries.size < MAX_ENTRIES) return true;
    for (const [id, entry] of this.#entries) {
      if (entry.link !== null || entry.isExpected) continue;
      this.#entries.delete(id);
      return true;
    }
    return false;
  }
}

/** In what a registration and an answer differ; `null` when they agree, or one is not there yet. */
function contradiction(registration: Claim | null, answered: Claim | null): string | null {
  if (registration === null || answered === null) return null;
  const words = ({ domains, kernelLevel }: Claim): string =>
    `${[...domains].sort().join(", ")}${kernelLevel ? " from the kernel" : ""}`;
  const registered = words(registration), said = words(answered);
  return registered === said ? null : `It registered ${registered}, and answers ${said}`;
}
