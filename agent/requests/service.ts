/**
 * The request spool of a running agent, put together: what is asked for, and the parts of the agent that answer it.
 *
 * @module
 */
import type { AlertDesk } from "../alerts/desk.ts";
import type { AskedAnalyses } from "../analysis/service.ts";
import type { Counters } from "../counters.ts";
import type { Detection } from "../detection.ts";
import type { Journal } from "../journal.ts";
import type { RuleReloader } from "../rule_reloader.ts";
import { noteRequest, noteSettings, noteSuppressed } from "../self_notes.ts";
import type { AgentPart } from "../status_file.ts";
import type { SinkReloader } from "../sink_reloader.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import type { Calls } from "../rpc/calls.ts";
import { Distributor } from "../tasks/distributor.ts";
import type { CollectorStanding } from "../../proto/status.ts";
import { VERSION } from "../../proto/version.ts";
import type { AskedRules, RulesInUse } from "./asked_rules.ts";
import type { Appliers, AskedSettings, LowerLayers } from "./asked_settings.ts";
import { Desk } from "./desk.ts";
import type { Answer } from "./operation.ts";
import type { Responding } from "../responding.ts";
import { Spool } from "./spool.ts";

const HOUR_MS = 3_600_000;

export interface RequestServiceOptions {
  readonly directory: string;
  readonly journal: Journal;
  readonly counters: Counters;
  /** The open store, `null` during an outage. */
  readonly store: () => Store | null;
  /** What the status says. */
  readonly look: () => AgentPart;
  readonly detection: Pick<Detection, "statuses">;
  readonly reloader: Pick<RuleReloader, "reload" | "reloads">;
  readonly askedRules: AskedRules;
  readonly askedSettings: AskedSettings;
  readonly settings: LowerLayers;
  /** What a change of settings changes: of the store, also of one that is opened later, and of new connections. */
  readonly limits: { retentionMs: number; alertRetentionMs: number; maxBytes: number };
  readonly connections: { maxConnections: number; idleTimeoutMs: number };
  readonly calls: Pick<Calls, "call" | "load">;
  /** Who collects. */
  readonly standings: () => readonly CollectorStanding[];
  readonly alerts: AlertDesk;
  readonly sinkReloader: Pick<SinkReloader, "reload" | "check">;
  readonly responding: Responding;
  readonly analyses: AskedAnalyses;
}

export class RequestService {
  readonly #spool: Spool;
  readonly #desk: Desk;

  constructor(options: RequestServiceOptions) {
    const { directory, journal, counters, store, detection, reloader, askedSettings, settings } = options;
    const rules: RulesInUse = {
      statuses: () => detection.statuses(),
      async reload() {
        const before = reloader.reloads;
        await reloader.reload();
        return reloader.reloads > before;
      },
    };
    this.#desk = new Desk({
      services: {
        status: () => statusAnswer(options),
        rules,
        askedRules: options.askedRules,
        askedSettings,
        settings,
        appliers: appliersOf(options),
        settingsChanged: () =>
          noted(() => {
            const open = store();
            if (open !== null) noteSettings(open, askedSettings.effective(settings));
          }),
        calls: options.calls,
        tasks: new Distributor({ calls: options.calls, standings: options.standings }),
        alerts: options.alerts,
        sinkReloader: options.sinkReloader,
        responding: options.responding,
        analyses: options.analyses,
      },
      journal,
      counters,
      note: (what, by, outcome) => noteRequest(store(), what, by, outcome),
      noteCount: (what, count, from, to) => noteSuppressed(store(), what, count, from, to),
      nameOf: (userId) => noted(() => store()?.recent.userName(userId) ?? null) ?? null,
    });
    this.#spool = new Spool({
      directory,
      journal,
      take: (file) => this.#desk.take(file),
      refuse: (fault, userId) => this.#desk.refuseFile(fault, userId),
    });
  }

  begin(): void {
    this.#spool.begin();
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#spool.stop();
    await this.#desk.stop(deadlineMs);
  }
}

function appliersOf({ limits, connections, store }: RequestServiceOptions): Appliers {
  const limit = (change: Partial<RequestServiceOptions["limits"]>): void => {
    store()?.limit(Object.assign(limits, change));
  };
  return {
    "agent.retention_hours": (hours) => limit({ retentionMs: hours * HOUR_MS }),
    "agent.alert_retention_hours": (hours) => limit({ alertRetentionMs: hours * HOUR_MS }),
    "agent.store_max_bytes": (maxBytes) => limit({ maxBytes }),
    "agent.max_connections": (count) => void (connections.maxConnections = count),
    "agent.idle_timeout_ms": (ms) => void (connections.idleTimeoutMs = ms),
  };
}

function statusAnswer({ look, askedRules, askedSettings }: RequestServiceOptions): Answer {
  const { rules, collectors, store, storeBytes } = look();
  const count = (wanted: string): number => rules.filter(({ state }) => state === wanted).length;
  const counts = {
    active: count("active"),
    draft: count("draft"),
    disabled: count("disabled"),
    rejected: count("rejected"),
  };
  const isTaking = store.state === "taking";
  const names = collectors.map(({ collectorId }) => collectorId);
  return {
    text: [
      `agent ${VERSION}, process ${Deno.pid}`,
      isTaking ? "the store takes what comes" : `the store takes nothing: ${store.reason}`,
      `rules: ${Object.entries(counts).map(([state, n]) => `${n} ${state}`).join(", ")}`,
      `collectors: ${names.length === 0 ? "none is connected" : names.join(", ")}`,
      `asked for: ${askedRules.disabled.length} rules disabled, version ${askedSettings.version} of settings`,
    ].join("\n"),
    value: {
      version: VERSION,
      pid: Deno.pid,
      store: { state: store.state, reason: store.reason, bytes: storeBytes },
      rules: counts,
      collectors: names,
      disabledByRequests: askedRules.disabled,
      settingsVersion: askedSettings.version,
    },
    degraded: !isTaking || names.length === 0 || counts.rejected > 0,
  };
}

/** What the store gives; `null` where it fails, of which it tells itself. */
function noted<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return null;
  }
}
