/** A request service on the parts of an agent that it works on, without the agent. */
import { AlertDesk } from "../../../agent/alerts/desk.ts";
import { Delivery } from "../../../agent/alerts/delivery.ts";
import { AlertManager } from "../../../agent/alerts/manager.ts";
import { failed, refused, type Sink } from "../../../agent/alerts/sink.ts";
import { askAgent } from "../../../agent/ask/spool_client.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Detection } from "../../../agent/detection.ts";
import { Journal } from "../../../agent/journal.ts";
import type { Target } from "../../../agent/analysis/target.ts";
import { AskedRules } from "../../../agent/requests/asked_rules.ts";
import { AskedSettings } from "../../../agent/requests/asked_settings.ts";
import { RefusedError } from "../../../agent/requests/operation.ts";
import type { Responding } from "../../../agent/responding.ts";
import { RequestService } from "../../../agent/requests/service.ts";
import { RuleReloader } from "../../../agent/rule_reloader.ts";
import { RulesLoader } from "../../../agent/rules_loader.ts";
import type { AgentPart } from "../../../agent/status_file.ts";
import { Store } from "../../../agent/store/store.ts";
import { agentHandlers } from "../../../agent/rpc/agent_service.ts";
import { Calls } from "../../../agent/rpc/calls.ts";
import { newRpcCounters } from "../../../agent/rpc/counters.ts";
import { type Supervision, SupervisorPipe } from "../../../agent/supervision.ts";
import { Turn } from "../../../agent/turn.ts";
import type { StageRows } from "../../../proto/analysis/stage.ts";
import { responseTo } from "../../../proto/bus/answering.ts";
import {
  type Answer,
  OPERATIONS as CALLS,
  type RpcRequest,
  type RpcResponse,
  success,
} from "../../../proto/bus/rpc.ts";
import { loadSettings } from "../../../proto/config.ts";
import { decodeStatement, type Statements } from "../../../proto/ledger/statement.ts";
import { processTables } from "../../../proto/registration.ts";
import type { Ending, RequestArguments } from "../../../proto/request.ts";
import type { CollectorStanding } from "../../../proto/status.ts";
import { allSteps } from "../../../proto/steps.ts";
import type { LedgerNote } from "../../../proto/messages.ts";
import { newAlert, TempDir } from "../support.ts";

/** A sink that does as it is told. */
export class TestSink implements Sink {
  readonly name = "siem";
  readonly minSeverity = "info";
  readonly got: string[] = [];
  answer: "takes" | "refuses" | "fails" = "takes";

  write(alerts: Parameters<Sink["write"]>[0]): Promise<void> {
    if (this.answer === "refuses") return Promise.reject(refused("too large"));
    if (this.answer === "fails") return Promise.reject(failed("connection refused"));
    this.got.push(...alerts.map(({ alertId }) => alertId));
    return Promise.resolve();
  }
  written(): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set());
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A collector that answers calls as it is told. */
export class PlayedCollector {
  readonly collectorId = "host";
  readonly rpcVersion = 1;
  readonly came: RpcRequest[] = [];
  answer: ((request: RpcRequest) => Answer | Promise<Answer>) | null = null;

  async call(request: RpcRequest): Promise<RpcResponse> {
    this.came.push(request);
    return responseTo(request, await (this.answer ?? this.#usual)(request), 1);
  }

  readonly #usual = ({ operation }: RpcRequest): Answer => {
    switch (operation) {
      case "get_capabilities":
        return success({
          ...{ kind: "capabilities", operations: CALLS, version: "1" },
          taskTypes: ["enumerate_processes", "check_process_hash"],
        });
      case "health_check": {
        const components = [{ name: "log", state: "degraded", detail: "it is full" } as const];
        return success({ kind: "health", state: "degraded", components, uptimeMs: 1 });
      }
      case "update_config":
        return success({ kind: "config", version: 2, values: { a: "5" }, changed: ["a"] });
      default:
        return success({ kind: "done", text: `it did ${operation}` });
    }
  };

  standing(): CollectorStanding {
    return {
      ...{ collectorId: "host", epoch: "", softwareVersion: "", source: "", missed: 0, lastHeard: 0, registrations: 1 },
      ...{ refused: 0, refusal: "", connected: true },
      lifecycle: { state: "running", since: 0, reason: "", history: [] },
      registration: {
        ...{ collectorType: "t", domains: ["process"], kernelLevel: false, realtime: true, systemWide: false },
        ...{ heartbeatMs: 1_000, tables: processTables([]), keepsLedger: false },
      },
    };
  }
}

/** A request service over the parts that it works on, with a sink and a collector that are played. */
export class ServiceWorld implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly directory = `${this.dir.path}/requests`;
  readonly rules = `${this.dir.path}/rules`;
  readonly journal = new Journal(() => {});
  readonly counters = newCounters();
  readonly limits = { retentionMs: 0, alertRetentionMs: 0, maxBytes: 2 ** 30 };
  readonly connections = { maxConnections: 16, idleTimeoutMs: 30_000 };
  readonly detection: Detection;
  readonly reloader: RuleReloader;
  readonly service: RequestService;
  readonly path = `${this.dir.path}/events.db`;
  readonly sink = new TestSink();
  /** Its clock stands still: what waits for another attempt waits until it is hastened. */
  readonly delivery = new Delivery(this.sink, { fault: () => {}, storeFault: () => {} }, {
    clock: { monotonic: () => 0, wall: () => Date.now(), random: () => 1 },
  });
  readonly manager: AlertManager;
  store: Store | null = new Store(this.path, ["siem"]);
  supervision: Supervision = new SupervisorPipe();
  sinkReload = { isTaken: true, text: "added hook" };
  readonly collector = new PlayedCollector();
  responders: string[] = [];
  respond: Responding["call"] = () => Promise.reject(new Error("no response is expected"));

  constructor() {
    Deno.mkdirSync(this.directory);
    Deno.chmodSync(this.directory, 0o3730);
    Deno.mkdirSync(this.rules);
    for (const id of ["rule-a", "rule-b"]) {
      Deno.writeTextFileSync(
        `${this.rules}/${id}.yml`,
        `id: ${id}\ntitle: T\ndescription: D\nseverity: low\nsql: SELECT pid FROM process_events WHERE name = '${id}'\n`,
      );
    }
    const { journal, counters, limits, connections, directory } = this;
    const askedRules = new AskedRules(`${this.dir.path}/asked_rules.json`, journal);
    const loader = new RulesLoader([this.rules], Infinity, () => askedRules.overrides());
    const detection = this.detection = new Detection(allSteps(loader.load()), {
      deadlineMs: 60_000,
      journal,
      counters,
    });
    const reloader = this.reloader = new RuleReloader({
      ...{ directories: [this.rules], loader, detection, turn: new Turn(), store: () => null, journal, quietMs: 5 },
    });
    const manager = this.manager = new AlertManager({
      ...{ windowMs: 300_000, rulePerMinute: 60, perMinute: 600, counters, alerted: () => this.delivery.poke() },
      failed: (_, error) => {
        throw error;
      },
      notice: () => {},
    });
    manager.attach(this.store!);
    this.delivery.attach(this.store!);
    this.service = new RequestService({
      ...{ directory, journal, counters, detection, reloader, askedRules, limits, connections },
      askedSettings: new AskedSettings(`${this.dir.path}/asked_settings.json`, journal),
      settings: loadSettings({ flags: {}, env: {}, readFile: () => null }),
      store: () => this.store,
      look: () => this.look(),
      calls: new Calls({
        handlers: agentHandlers({
          supervision: { isThere: true, request: (action, id) => this.supervision.request(action, id) },
          registry: null,
          health: () => [],
        }),
        counters: newRpcCounters(),
        target: (id) => id === "host" ? this.collector : null,
      }),
      standings: () => [this.collector.standing()],
      alerts: new AlertDesk({ store: () => this.store, manager, deliveries: () => [this.delivery] }),
      sinkReloader: { reload: () => Promise.resolve(this.sinkReload), check: () => this.sinkReload },
      responding: { collectors: () => this.responders, call: (by, request) => this.respond(by, request) },
      analyses: { ask: (chain, target) => this.analysed(chain, target(() => null)) },
    });
    this.service.begin();
  }

  /** An analysis that has found nothing but what it was asked for. */
  analysed(chain: string, target: Target | RefusedError): Promise<StageRows> {
    if (target instanceof RefusedError) return Promise.reject(target);
    const facts = { kind: "elf", executable_path: target.path };
    const stages = [{ stage: "hash", state: "completed", reason: null }];
    const analyses = [{ analysis_id: 7, chain_id: chain, state: "completed" }];
    return Promise.resolve({ analyses, analysis_stages: stages, file_facts: [facts] });
  }

  look(): AgentPart {
    const lifecycle = { state: "steadyState", since: 0, reason: "", history: [] };
    const store = { state: "taking", reason: "", since: 0, freeBytes: null, checkedTime: 0, check: "" };
    const collector = { collectorId: "host", epoch: "e", connectedSince: 0, lastSequence: 0, lastEventTime: 0 };
    const rest = { bootId: "", storeBytes: 7, lastCommitTime: 0, counters: {} };
    return {
      ...rest,
      store,
      lifecycle,
      registry: [],
      supervised: [],
      collectors: [collector],
      rules: this.detection.statuses(),
      suppressors: [],
      busClients: [],
    };
  }

  /** Hits of a rule, each a process of its own. */
  raise(...ids: string[]): void {
    const alerts = ids.map((id) => newAlert(id, { dedupKey: id }));
    this.store!.addAlerts(alerts, undefined, Date.now(), this.manager);
    this.delivery.poke();
  }

  ask(operation: string, args: RequestArguments = {}): Promise<Ending> {
    return askAgent({ spool: this.directory, operation, arguments: args, timeoutMs: 60_000, takenMs: 50_000 });
  }

  /** What the ledger gets of requests, oldest first; each once. */
  notes(): Statements["request"][] {
    const all: LedgerNote[] = [];
    // Some at a time
    for (let notes; (notes = this.store!.notesFor("c")).length > 0;) {
      this.store!.forgetNotes(notes.at(-1)!.id, "c");
      all.push(...notes);
    }
    return all.filter(({ action }) => action === "request").map(({ payload }) =>
      decodeStatement("request", payload).value
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.stop(1_000);
    await this.delivery.stop(1_000);
    await this.reloader.stop();
    this.detection.close();
    this.store?.close();
    this.dir[Symbol.dispose]();
  }
}
