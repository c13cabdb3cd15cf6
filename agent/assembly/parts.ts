/**
 * The agent's parts, each made once and told of the others that it uses.
 *
 * Parts look others up when they need them, so that the order in which they are made says nothing; none does anything
 * before it is begun.
 *
 * @module
 */
import type { AlertHead } from "../../proto/alert.ts";
import { NO_TABLES, type TableSet } from "../../proto/table_descriptor.ts";
import type { AlertManager } from "../alerts/manager.ts";
import type { RuleResponder } from "../alerts/rule_responder.ts";
import type { SinkSet } from "../alerts/sink_set.ts";
import type { AnalysisService } from "../analysis/service.ts";
import type { Broker } from "../broker/listener.ts";
import { Bus } from "../bus/bus.ts";
import { LocalPort } from "../bus/local_port.ts";
import { Publications } from "../bus/publications.ts";
import { RemoteClients } from "../bus/remote_clients.ts";
import type { Registry } from "../collectors/registry.ts";
import { newCounters } from "../counters.ts";
import { AgentDelays } from "../delays.ts";
import type { Detection } from "../detection.ts";
import type { ExceptionWatch } from "../exception_watch.ts";
import type { Ingest } from "../ingest.ts";
import type { Journal } from "../journal.ts";
import { AgentLifecycle } from "../lifecycle.ts";
import type { QuietWatch } from "../quiet_watch.ts";
import type { RequestService } from "../requests/service.ts";
import type { Responding } from "../responding.ts";
import type { Calls } from "../rpc/calls.ts";
import { newRpcCounters } from "../rpc/counters.ts";
import type { RuleRecord } from "../rule_record.ts";
import type { RuleReloader } from "../rule_reloader.ts";
import { RulesLoader } from "../rules_loader.ts";
import type { SinkReloader } from "../sink_reloader.ts";
import { StatusFile } from "../status_file.ts";
import type { CheckResult } from "../store/background_check.ts";
import { Store } from "../store/store.ts";
import { StoreKeeper } from "../store_keeper.ts";
import { SupervisorPipe } from "../supervision.ts";
import { Turn } from "../turn.ts";
import { newManager, newResponder, newSinkReloader, newSinks } from "./alerting.ts";
import { newAnalyses, newBroker, newCalls, newRegistry, newResponding } from "./collecting.ts";
import type { AgentInputs } from "./inputs.ts";
import { newDetection, newExceptionWatch, newQuietWatch, newRecord, newReloader } from "./judging.ts";
import { activity, look } from "./look.ts";
import { newRequests } from "./requests.ts";

/** How far the agent is. */
export interface Progress {
  readonly startedAt: number;
  /** How far the rules are; `null` once they judge. */
  loading: string | null;
  isStopping: boolean;
  /** The signal that stopped it. */
  stoppedBy: string;
  /** Of the host, as its collector says it. */
  bootId: string;
  /** Of the store. */
  checked: CheckResult;
}

export class AgentParts {
  readonly progress: Progress = {
    startedAt: Date.now(),
    loading: "it begins to read its rules",
    isStopping: false,
    stoppedBy: "",
    bootId: "",
    checked: { time: 0, verdict: "" },
  };
  readonly counters = newCounters();
  readonly rpcCounters = newRpcCounters();
  readonly delays: AgentDelays = new AgentDelays();
  readonly turn: Turn = new Turn();
  readonly bus: Bus = new Bus();
  readonly supervisor: SupervisorPipe = new SupervisorPipe();
  /** The newest head of each collector's ledger. */
  readonly heads: Map<string, AlertHead> = new Map();
  /** What operators may change while it runs. */
  readonly limits: { retentionMs: number; alertRetentionMs: number; maxBytes: number };
  readonly connections: { maxConnections: number; idleTimeoutMs: number };
  /** Tables of collectors that were known last: where the store is not there, their rules stay. */
  tables: TableSet = NO_TABLES;
  /** While the store is in use. */
  ingest: Ingest | null = null;

  readonly journal: Journal;
  readonly keeper: StoreKeeper;
  readonly sinks: SinkSet;
  readonly manager: AlertManager;
  readonly responder: RuleResponder;
  readonly sinkReloader: SinkReloader;
  readonly detection: Detection;
  readonly loader: RulesLoader;
  readonly record: RuleRecord;
  readonly reloader: RuleReloader;
  readonly quiet: QuietWatch;
  readonly exceptionWatch: ExceptionWatch;
  readonly registry: Registry;
  readonly lifecycle: AgentLifecycle;
  readonly publications: Publications;
  readonly clients: RemoteClients;
  readonly calls: Calls;
  readonly broker: Broker;
  readonly analyses: AnalysisService;
  readonly responding: Responding;
  readonly requests: RequestService;
  readonly status: StatusFile;

  constructor(readonly inputs: AgentInputs, listener: Deno.UnixListener) {
    const { settings, layout, journal, askedRules } = inputs, { agent } = settings;
    this.journal = journal;
    this.limits = {
      retentionMs: agent.retentionMs,
      alertRetentionMs: agent.alertRetentionMs,
      maxBytes: agent.storeMaxBytes,
    };
    this.connections = { maxConnections: agent.maxConnections, idleTimeoutMs: agent.idleTimeoutMs };
    const open = (): Store => new Store(layout.store, this.sinks.terms, this.limits, agent.backlog);
    this.keeper = new StoreKeeper({ path: layout.store, open, journal });

    this.loader = new RulesLoader(
      settings.rulesDirs,
      agent.windowMs,
      () => askedRules.overrides(),
      () => this.tables = this.store?.tables ?? this.tables,
    );
    this.detection = newDetection(this);
    this.record = newRecord(this);
    this.reloader = newReloader(this);
    this.quiet = newQuietWatch(this);
    this.exceptionWatch = newExceptionWatch(this);

    this.sinks = newSinks(this);
    this.bus.subscribed = () => this.sinks.heard();
    this.responding = newResponding(this);
    this.responder = newResponder(this);
    this.manager = newManager(this);
    this.sinkReloader = newSinkReloader(this);

    this.registry = newRegistry(this);
    this.lifecycle = new AgentLifecycle(this.registry, journal, agent.startupTimeoutMs);
    this.publications = new Publications(new LocalPort(this.bus, "agent", this.notice));
    this.clients = new RemoteClients(this.bus, { notice: this.notice });
    this.calls = newCalls(this);
    this.broker = newBroker(this, listener);
    this.analyses = newAnalyses(this);
    this.requests = newRequests(this);
    this.status = new StatusFile(layout.agentStatus, journal, () => look(this), () => activity(this));
  }

  /** The open store, `null` during an outage. */
  get store(): Store | null {
    return this.keeper.store;
  }

  readonly notice = (text: string): void => this.journal.notice(text);
  readonly storeFailed = (store: Store, error: unknown): void => this.keeper.failed(store, error);
}
