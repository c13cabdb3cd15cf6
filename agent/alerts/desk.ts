/**
 * What operators may do with alerts, sinks and silences, with plain arguments and errors in words.
 *
 * Who asks has been established before, and is kept with what was done; what an operator may not ask for is refused here
 * by {@linkcode AlertStateError}, {@linkcode MuteError} or {@linkcode DeskError}, and the store's refusal is a
 * `StoreError`. Each text ends in what to do.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { COMPLETE } from "../../proto/completeness.ts";
import type { Severity } from "../../proto/process_event.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import type { Delivery } from "./delivery.ts";
import type { AlertManager } from "./manager.ts";
import type { Matcher, MuteField } from "./mutes.ts";
import { acknowledge, close, reopen } from "./states.ts";

/** What is asked for cannot be. */
export class DeskError extends Error {
  override name = "DeskError";
}

export interface DeskOptions {
  readonly store: () => Store | null;
  readonly manager: AlertManager;
  /** Those that there are now. */
  readonly deliveries: () => readonly Delivery[];
}

export class AlertDesk {
  readonly #options: DeskOptions;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /** @throws AlertStateError, StoreError */
  acknowledge(alertId: string, actor: string, text: string): void {
    acknowledge(this.#store(), alertId, actor, text, Date.now());
  }

  /** Should the same come again, that is a new alert. @throws AlertStateError, StoreError */
  close(alertId: string, actor: string, text: string): void {
    close(this.#store(), this.#options.manager, alertId, actor, text, Date.now());
  }

  /** @throws AlertStateError, StoreError */
  reopen(alertId: string, actor: string, text: string): void {
    reopen(this.#store(), alertId, actor, text, Date.now());
  }

  /** Keeps alerts from the sinks; gives the silence's id. @throws MuteError, StoreError */
  silence(match: Matcher, reason: string, durationMs: number, actor: string): string {
    return this.#options.manager.addMute({ kind: "silence", match }, reason, durationMs, actor);
  }

  /** The same of alerts like `target` while one like `source` is fresh. @throws MuteError, StoreError */
  inhibit(
    { source, target, equal, freshMs }: {
      readonly source: Matcher;
      readonly target: Matcher;
      readonly equal: readonly MuteField[];
      readonly freshMs: number;
    },
    reason: string,
    durationMs: number,
    actor: string,
  ): string {
    return this.#options.manager.addMute(
      { kind: "inhibition", source, target, equal, freshMs },
      reason,
      durationMs,
      actor,
    );
  }

  /** Ends a silence or an inhibition. @throws MuteError, StoreError */
  endMute(id: string, actor: string): void {
    this.#options.manager.endMute(id, actor);
  }

  /** Owes dead letters of a sink again, all of them or that of one alert; how many. @throws DeskError, StoreError */
  retryDead(sink: string, alertId: string | null): number {
    const delivery = this.#delivery(sink);
    const count = this.#store().delivering(
      "The store did not owe dead letters again",
      (outbox) => outbox.retryDead(sink, alertId),
    );
    if (count > 0) delivery.hasten();
    return count;
  }

  /** Gives dead letters up for good; how many. Also of sinks that are not configured any more. @throws StoreError */
  dropDead(sink: string, alertId: string | null, actor: string, reason: string): number {
    const why = `${reason} (${actor})`.slice(0, 1_024).toWellFormed();
    return this.#store().delivering(
      "The store did not give dead letters up",
      (outbox) => outbox.dropDead(sink, alertId, why),
    );
  }

  /** Tries at once what is owed to a sink, though its breaker is open. @throws DeskError */
  hasten(sink: string): void {
    this.#delivery(sink).hasten();
  }

  /** Hands a sink an alert that says that it is a test. @throws DeskError, or the sink's error when it did not take it */
  async testSink(sink: string, actor: string, severity: Severity = "info"): Promise<void> {
    await this.#delivery(sink).test(testAlert(actor, severity, Date.now()));
  }

  #store(): Store {
    const store = this.#options.store();
    if (store === null) throw new StoreError("The store cannot be used now; health says why", { kind: "io" });
    return store;
  }

  #delivery(sink: string): Delivery {
    const deliveries = this.#options.deliveries(), found = deliveries.find(({ name }) => name === sink);
    if (found !== undefined) return found;
    throw new DeskError(`There is no sink ${sink}; there are ${deliveries.map(({ name }) => name).join(", ")}`);
  }
}

/** An alert that was not raised: it is in no store, and its rule has no file. */
function testAlert(actor: string, severity: Severity, now: number): Alert {
  const alertId = `test@${now}:${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
  return {
    ...{ alertId, time: now, detectedTime: now, ruleId: "test", ruleHash: null, title: "A test of this sink" },
    ...{ description: `${actor} asked for it. Nothing happened on the host.`, severity, tags: [] },
    ...{ eventId: 0, execId: "", pid: 0, ppid: null, name: "test", executablePath: null, commandLine: null },
    ...{ userId: null, userName: null, parentName: null, parentExecutablePath: null, parentCommandLine: null },
    ...{ evidence: {}, collectorId: "", completeness: COMPLETE, kind: "alert", repeats: null, dedupKey: alertId },
    ...{ groupId: alertId, hitsBefore: 0, lastHitTime: null, causes: [], parentExecId: null, startTime: null },
    ...{ effectiveUserId: null, loginUserId: null, cwd: null, containerId: null, stdinKind: null, stdoutKind: null },
    ...{ ancestry: [], ledger: null },
  };
}
