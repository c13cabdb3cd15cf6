/**
 * A sink that is down while alerts are raised, and then takes them: all arrive in order, and neither memory nor detection
 * notices.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Delivery } from "../../agent/alerts/delivery.ts";
import { AlertManager } from "../../agent/alerts/manager.ts";
import { failed, type Sink } from "../../agent/alerts/sink.ts";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { Ingest } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { NO_RULES } from "../../agent/loaded_rules.ts";
import { Store } from "../../agent/store/store.ts";
import { SEVERITIES } from "../../proto/process_event.ts";
import { validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { newAlert, openTestStream, start, TempDir } from "../agent/support.ts";

/** Alerts of one commit while the backlog grows. */
const BATCH = 500;
/** Events that come at once, of which one is a hit. */
const EVENTS = 50;
const RULE = "id: probe\ntitle: T\ndescription: D\nseverity: critical\nsql: |\n  SELECT pid FROM process_events\n" +
  "  WHERE name = 'probe'\n";

/** Milliseconds from events at the agent to their alert, judged and stored. */
export interface DetectionTimes {
  readonly p50: number;
  readonly p99: number;
}

export interface BacklogFigures {
  readonly alerts: number;
  /** Bytes of memory in use when everything was owed, and the most of each quarter of the backlog while it went. */
  readonly owedBytes: number;
  readonly quarterBytes: readonly number[];
  /** Before anything was owed, while all was, and while it went. */
  readonly before: DetectionTimes;
  readonly owed: DetectionTimes;
  readonly going: DetectionTimes;
  readonly perSecond: number;
}

export interface BacklogOptions {
  /** Between two batches of events. */
  readonly pauseMs: number;
  /** Batches before anything is owed, and while all is. */
  readonly samples: number;
}

/** Throws when one is missing, comes twice, or comes out of order. */
export async function backlog(count: number, { pauseMs, samples }: BacklogOptions): Promise<BacklogFigures> {
  using dir = new TempDir();
  const quarterBytes = [0, 0, 0, 0], seen = new Uint8Array(count), probes = new Set<string>();
  let isUp = false, taken = 0, last: { rank: number; number: number } | null = null;
  const sink: Sink = {
    name: "late",
    minSeverity: "info",
    write(alerts) {
      if (!isUp) return Promise.reject(failed("connection refused"));
      for (const { alertId, severity, ruleId } of alerts) {
        if (ruleId === "probe") {
          assert.ok(!probes.has(alertId), `${alertId} comes twice`);
          probes.add(alertId);
          continue;
        }
        const number = Number(alertId), rank = SEVERITIES.indexOf(severity);
        assert.equal(seen[number], 0, `alert ${number} comes twice`);
        seen[number] = 1;
        taken += 1;
        const inOrder = last === null || rank < last.rank || rank === last.rank && number > last.number;
        assert.ok(inOrder, `${number} (${severity}) came after ${last?.number}`);
        last = { rank, number };
      }
      const quarter = Math.min(3, Math.floor(4 * taken / count));
      quarterBytes[quarter] = Math.max(quarterBytes[quarter]!, Deno.memoryUsage().rss);
      return Promise.resolve();
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
  const store = new Store(`${dir.path}/events.db`, [sink]), counters = newCounters();
  const delivery = new Delivery(sink, { fault: () => {}, storeFault: () => {} }, { firstRetryMs: 5 });
  delivery.attach(store);
  const alerted = (): void => delivery.poke(), told = { failed: () => {}, notice: () => {}, counters, alerted };
  const manager = new AlertManager({ windowMs: 300_000, rulePerMinute: 60, perMinute: 600, ...told });
  manager.attach(store);
  const rules = { ...NO_RULES, active: [validateRule(parseRule(RULE, "probe.yml"))] };
  const detection = new Detection(rules, { deadlineMs: 100, journal: new Journal(() => {}), counters });
  const ingest = new Ingest({ store, detection, manager, ...told });
  const stream = openTestStream(store), progress = { lastEventTime: 0 };

  let next = 0, pid = 0;
  const raise = (size: number): void => {
    const alerts = Array.from({ length: size }, () => {
      const number = next++;
      return newAlert(String(number), { severity: SEVERITIES[number % 5]!, detectedTime: number });
    });
    const batch = { events: [], snapshots: [], gaps: [], sources: null, alerts };
    store.commit({ stream, lastSequence: stream.lastSequence + 1, ...batch }, 1);
  };
  /** Batches of events with a hit of a process of its own in each, as long as it is said; how long each took. */
  const detect = async (isOn: (batches: number) => boolean): Promise<DetectionTimes> => {
    const times: number[] = [], alerts = counters.alerts;
    for (let batches = 0; isOn(batches); batches++) {
      const events = Array.from({ length: EVENTS }, (_, i) => start(++pid, i === 0 ? { name: "probe" } : {}));
      const firstSequence = stream.lastSequence + 1, began = performance.now();
      await ingest.take(stream, [{ kind: "events", firstSequence, events }], progress, () => Promise.resolve(true));
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    assert.equal(counters.alerts - alerts, times.length, "each batch has its alert");
    const at = (share: number): number => times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * share)] ?? 0;
    return { p50: at(0.5), p99: at(0.99) };
  };

  const before = await detect((batches) => batches < samples);
  while (next < count) {
    raise(Math.min(BATCH, count - next));
    delivery.poke();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const owed = await detect((batches) => batches < samples);
  assert.equal(store.owedDeliveries, count + counters.alerts);
  const owedBytes = Deno.memoryUsage().rss, began = performance.now();
  isUp = true;
  delivery.hasten();
  const going = await detect(() => taken < count);
  const seconds = (performance.now() - began) / 1_000;
  for (const end = performance.now() + 30_000; store.owedDeliveries > 0 && performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual([store.owedDeliveries, taken, probes.size], [0, count, counters.alerts]);
  await delivery.stop(1_000);
  detection.close();
  store.close();
  return { alerts: count, owedBytes, quarterBytes, before, owed, going, perSecond: Math.round(count / seconds) };
}
