/**
 * What a collector is asked by itself: what it can see and do, and to collect what rules need. Nothing waits for its
 * answers, and what it does not answer in time is asked again with the next heartbeat.
 *
 * @module
 */
import type { Channel } from "../../proto/channel.ts";
import { type Demand, DEMAND_VERSION } from "../../proto/demand.ts";
import { VERSION } from "../../proto/version.ts";
import type { Registry } from "../collectors/registry.ts";
import type { Demands } from "../demands.ts";
import type { Journal } from "../journal.ts";

export interface InquiryOptions {
  readonly channel: Channel;
  readonly collectorId: string;
  readonly journal: Journal;
  readonly demands: Demands | undefined;
  readonly registry: Registry | undefined;
  /** Ends the connection. */
  readonly end: (reason: string) => void;
}

export class Inquiry {
  readonly #options: InquiryOptions;
  #rpcVersion: number | null = null;
  /** Whether the collector takes demands; `null` until it has said so. */
  #takesDemand: boolean | null = null;
  #isAsking = false;
  /** The demand that it has answered last. */
  #demanded: Demand | null = null;
  #demandFault = "";

  constructor(options: InquiryOptions) {
    this.#options = options;
  }

  /** Of the calls that it takes; `null` until it has said so. */
  get rpcVersion(): number | null {
    return this.#rpcVersion;
  }

  /** Asks what is not answered yet. */
  heartbeat(): void {
    if (this.#takesDemand === null) this.ask();
    else this.demand();
  }

  /** What the collector can see, and whether it takes demands. */
  ask(): void {
    const { channel, collectorId, journal } = this.#options;
    if (this.#isAsking) return;
    this.#isAsking = true;
    channel.request({ kind: "capabilities", clientId: "agent", domains: ["process"], clientVersion: VERSION })
      .then((reply) => {
        this.#isAsking = false;
        this.#rpcVersion = reply.kind === "capabilities" ? reply.rpcVersion : 0;
        this.#takesDemand = reply.kind === "capabilities" && reply.demandVersion >= DEMAND_VERSION;
        if (this.#takesDemand) this.demand();
        else this.#options.demands?.tookNone(collectorId);
        if (reply.kind !== "capabilities") {
          return journal.notice(`collector ${collectorId} does not say what it can do`);
        }
        const { domains, kernelLevel, realtime, systemWide } = reply;
        const fault = this.#options.registry?.capabilitiesFault(collectorId, reply) ?? null;
        if (fault !== null) return this.#options.end(fault);
        const how = [
          kernelLevel ? "from the kernel" : "by polling",
          realtime ? "as it happens" : "with delay",
          systemWide ? "system-wide" : "in part",
        ];
        journal.say(`collector ${collectorId} reports ${domains.join(", ")} ${how.join(", ")}`);
      })
      .catch((error: unknown) => this.#failed(error));
  }

  /**
   * Says what the rules need now, unless the collector has that already. An older one, which would take the question for
   * damage, is not asked.
   */
  demand(): void {
    const { channel, collectorId, demands, journal } = this.#options;
    if (demands === undefined || this.#takesDemand !== true || this.#isAsking || channel.closed) return;
    const { demand } = demands;
    if (demand === this.#demanded) return;
    this.#isAsking = true;
    channel.request({ kind: "demand", demand }).then((reply) => {
      this.#isAsking = false;
      if (reply.kind === "demand") {
        demands.answered(collectorId, reply.attributes);
        this.#demanded = demand;
        this.#demandFault = "";
        return this.demand(); // which may have changed meanwhile
      }
      // Asked again with the next heartbeat.
      const why = reply.kind === "error" ? `takes no demand now: ${reply.reason}` : `answers a demand by ${reply.kind}`;
      demands.unanswered(collectorId, why);
      if (why !== this.#demandFault) journal.notice(`collector ${collectorId} ${why}`);
      this.#demandFault = why;
    }).catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    const { channel, collectorId, journal } = this.#options;
    this.#isAsking = false;
    if (channel.closed) return; // the connection's own end says why
    journal.notice(`collector ${collectorId}: ${error instanceof Error ? error.message : error}`);
  }
}
