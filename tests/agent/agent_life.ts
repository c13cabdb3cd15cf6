/**
 * One life of an agent on a store, without sockets: what it judges and stores, between two restarts.
 *
 * @module
 */
import { newCounters } from "../../agent/counters.ts";
import { Detection, type DetectionOptions } from "../../agent/detection.ts";
import { Ingest, type StreamMessage } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import type { LoadedRules } from "../../agent/loaded_rules.ts";
import { Store } from "../../agent/store/store.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { Turn } from "../../agent/turn.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { NO_EXCEPTIONS } from "../../proto/rules/exception_set.ts";
import type { ValidatedRule } from "../../proto/rules/rule.ts";
import { openTestStream, rows } from "./support.ts";

export class AgentLife {
  readonly store: Store;
  readonly stream: Stream;
  readonly detection: Detection;
  readonly ingest: Ingest;
  readonly lines: string[] = [];
  readonly counters = newCounters();
  readonly turn = new Turn();

  constructor(path: string, rules: readonly ValidatedRule[], options: Pick<DetectionOptions, "windowRows"> = {}) {
    this.store = new Store(path, ["file"]);
    const journal = new Journal((line) => this.lines.push(line)), { counters, turn } = this;
    this.detection = new Detection(loadedRules(rules), { deadlineMs: 10_000, journal, counters, ...options });
    this.detection.recover(this.store, Date.now());
    this.stream = openTestStream(this.store);
    const { store, detection } = this;
    this.ingest = new Ingest({ store, detection, counters, turn, alerted: () => {}, failed: () => {} });
  }

  async take(firstSequence: number, events: readonly ProcessEvent[]): Promise<void> {
    const message: StreamMessage = { kind: "events", firstSequence, events };
    await this.ingest.take(this.stream, [message], { lastEventTime: 0 }, () => Promise.resolve(true));
  }

  end(): void {
    this.detection.close();
    this.store.close();
  }
}

/** Rules without files. */
export function loadedRules(active: readonly ValidatedRule[]): LoadedRules {
  return { active, others: [], notices: [], remarks: new Map(), exceptions: NO_EXCEPTIONS };
}

export function alertsOf(path: string): Record<string, SqlValue>[] {
  return rows(path, "SELECT alert_id, time, event_id, evidence, completeness FROM alerts ORDER BY alert_id");
}
