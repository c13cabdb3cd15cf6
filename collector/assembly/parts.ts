/**
 * The collector's parts, each made once and told of the others that it uses: made by an unprivileged process, in the
 * order in which the last run's leavings are taken up.
 *
 * @module
 */
import type { LiveSettings } from "../calls/live_settings.ts";
import type { Tasks } from "../calls/tasks.ts";
import type { Completeness } from "../completeness.ts";
import type { DemandKeeper } from "../demand_keeper.ts";
import type { Hashing } from "../hashing.ts";
import type { LedgerKeeper } from "../ledger_keeper.ts";
import type { Lifecycle } from "../lifecycle.ts";
import type { LogKeeper } from "../log_keeper.ts";
import type { Observation } from "../observation.ts";
import { Outbox } from "../outbox.ts";
import type { Publisher } from "../publisher.ts";
import type { Recovered } from "../recovery.ts";
import type { Refusals } from "../refusals.ts";
import { openResponses, type Responses } from "../responses.ts";
import type { ProcessSource } from "../sources/source.ts";
import { newLiveSettings, newPublisher, newTasks } from "./calls.ts";
import type { CollectorInputs } from "./inputs.ts";
import { newCompleteness, newDemands, newHashing, newLifecycle, newObservation, newRefusals } from "./observing.ts";
import type { Confined, Opened } from "./privileges.ts";
import { newLedger, newLogs, recoverLastRun } from "./recording.ts";

/** How long the last events may take to reach the agent when the collector stops. */
const STOP_DEADLINE_MS = 2_000;

/** Settings that the agent may change while the collector runs. */
interface Adjustable {
  snapshotIntervalMs: number;
  readonly thresholds: { memoryPercent: number; cpuPercent: number };
}

export class CollectorParts {
  readonly source: ProcessSource;
  readonly adjustable: Adjustable;
  /** What told it to stop, empty until then; and how long its end may take. */
  readonly stopping: { cause: string; deadlineMs: number } = { cause: "", deadlineMs: STOP_DEADLINE_MS };

  readonly ledger: LedgerKeeper;
  readonly logs: LogKeeper;
  readonly outbox: Outbox;
  readonly recovered: Recovered;
  readonly hashing: Hashing;
  readonly demands: DemandKeeper;
  readonly responses: Responses;
  readonly refusals: Refusals;
  readonly lifecycle: Lifecycle;
  readonly tasks: Tasks;
  readonly live: LiveSettings;
  readonly completeness: Completeness;
  readonly publisher: Publisher;
  readonly observation: Observation;
  /** What is noticed before there is somebody who keeps it. */
  readonly #early: string[] = [];
  #keepNotice = (text: string): void => void this.#early.push(text);

  constructor(readonly inputs: CollectorInputs, readonly opened: Opened, readonly confined: Confined) {
    const { settings, layout } = inputs, { memoryChangePercent, cpuChangePercent } = settings.collector;
    this.source = opened.ladder.source;
    this.adjustable = {
      snapshotIntervalMs: settings.collector.snapshotIntervalMs,
      thresholds: { memoryPercent: memoryChangePercent, cpuPercent: cpuChangePercent },
    };

    this.ledger = newLedger(this);
    this.logs = newLogs(this);
    this.outbox = new Outbox(this.logs);
    this.recovered = recoverLastRun(this);

    this.hashing = newHashing(this);
    this.demands = newDemands(this);
    this.demands.restore();
    this.responses = openResponses(settings, layout.responderSocket, this.ledger, this.notice);
    this.refusals = newRefusals(this);
    this.refusals.begin(performance.now());
    this.lifecycle = newLifecycle(this);
    this.tasks = newTasks(this);
    this.live = newLiveSettings(this);
    this.completeness = newCompleteness(this);
    this.publisher = newPublisher(this);
    this.observation = newObservation(this);

    this.#keepNotice = (text) => this.observation.notice(text);
    for (const text of this.#early) this.notice(text);
  }

  readonly notice = (text: string): void => this.#keepNotice(text);

  /** The agent asks for the end; `isForced`: without what is under way. */
  readonly shutDown = (isForced: boolean, reason: string): void => {
    if (this.stopping.cause === "") this.stopping.cause = `a call of the agent: ${reason}`;
    if (isForced) this.stopping.deadlineMs = 0;
    this.observation.stop();
  };
}
