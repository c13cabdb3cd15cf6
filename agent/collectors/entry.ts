/**
 * One collector in the registry: its state, what it registered, when it was heard last.
 *
 * @module
 */
import type { Sees } from "../../proto/capabilities.ts";
import {
  COLLECTOR_TRANSITIONS,
  type CollectorEvent,
  type CollectorState,
  StateMachine,
} from "../../proto/lifecycle_states.ts";
import { DEFAULT_HEARTBEAT_MS, type Registration } from "../../proto/registration.ts";
import type { CollectorStanding } from "../../proto/status.ts";
import type { Begin, Hello, Registered } from "../../proto/messages.ts";

/** Nothing heard for this share of its interval is a missed heartbeat. */
const GRACE = 1.1;
/** Heartbeats in a row that a collector misses until it has failed. */
export const FAILED_AFTER = 3;

/** What a collector claims to see, by its registration and by its answer, which must agree. */
export type Claim = Pick<Sees, "domains" | "kernelLevel">;

/** A connection of a collector, as far as the registry needs it. */
export interface Link {
  readonly epoch: string;
  readonly tell: (message: Registered | Begin) => void;
  /** Whether the agent is at work on what came, and so does not read what comes after it. */
  readonly isBusy: () => boolean;
}

export class Entry {
  readonly machine: StateMachine<CollectorState, CollectorEvent>;
  link: Link | null = null;
  epoch = "";
  softwareVersion = "";
  source = "";
  /** What it registered last; `null` before the first time. */
  registration: Registration | null = null;
  /** Whether its connection of now has registered. */
  hasRegistered = false;
  /** What its connection of now said that it sees, asked by itself; `null` before that. */
  answered: Claim | null = null;
  registrations = 0;
  refused = 0;
  refusal = "";
  /** Why it is in its state, where the state alone does not say it. */
  reason = "";
  missed = 0;
  /** When something came from it last, on the clock of `performance.now()`, and in Unix milliseconds (0: never). */
  heardAt = 0;
  heardTime = 0;
  /** Since it failed, when somebody is asked next to see to it, and for how long not again then. */
  nextAsk = { at: 0, waitMs: 0 };
  /** The gap that was stored when it failed, while it is not over. */
  gap: { readonly id: number; readonly from: number } | null = null;

  constructor(readonly collectorId: string, readonly isExpected: boolean, time: number) {
    this.machine = new StateMachine<CollectorState, CollectorEvent>(
      COLLECTOR_TRANSITIONS,
      isExpected ? "expected" : "stopped",
      time,
    );
  }

  /** What it registered on its connection of now, `null` before: a restarted one may see what it did not see before. */
  get held(): Registration | null {
    return this.hasRegistered ? this.registration : null;
  }

  /** A connection proved to be this collector's. */
  joined(link: Link, { epoch, softwareVersion, source }: Hello, now: number, time: number): void {
    Object.assign(this, { link, epoch, softwareVersion, source, hasRegistered: false, answered: null, reason: "" });
    this.machine.take("joined", time);
    this.heard(now, time);
  }

  /** Something came from it. */
  heard(now: number, time: number): void {
    this.heardAt = now;
    this.heardTime = time;
    this.missed = 0;
  }

  /** How many heartbeats it has missed by now, at most {@linkcode FAILED_AFTER}. */
  missesAt(now: number): number {
    const interval = (this.registration?.heartbeatMs ?? DEFAULT_HEARTBEAT_MS) * GRACE;
    return Math.min(FAILED_AFTER, Math.max(0, Math.floor((now - this.heardAt) / interval)));
  }

  standing(): CollectorStanding {
    const { collectorId, epoch, softwareVersion, source, registration, missed, heardTime, machine, reason } = this;
    const { state, since, history } = machine;
    return {
      collectorId,
      lifecycle: { state, since, reason, history },
      connected: this.link !== null,
      epoch,
      softwareVersion,
      source,
      registration,
      missed,
      lastHeard: heardTime,
      registrations: this.registrations,
      refused: this.refused,
      refusal: this.refusal,
    };
  }
}
