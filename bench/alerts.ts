/**
 * From an event at the agent to its alert in the file, at some 1,000 events a second: alone, and beside a second sink that
 * fails all the time.
 *
 * In one process: the agent's ingest with a rule, manager, store, deliveries and file sink, without kernel and collector,
 * which `bench:alert-latency` has. One event in fifty is a hit, of a process of its own; each of the four parts takes
 * turns twice, so that what else the machine does falls on both. Usage: `deno task bench:alerts [SECONDS]`.
 *
 * @module
 */
import { Delivery } from "../agent/alerts/delivery.ts";
import { AlertManager } from "../agent/alerts/manager.ts";
import { failed, type Sink } from "../agent/alerts/sink.ts";
import { newCounters } from "../agent/counters.ts";
import { Detection } from "../agent/detection.ts";
import { Ingest } from "../agent/ingest.ts";
import { Journal } from "../agent/journal.ts";
import { NO_RULES } from "../agent/loaded_rules.ts";
import { Store } from "../agent/store/store.ts";
import { validateRule } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { fileSink, openTestStream, start, TempDir } from "../tests/agent/support.ts";
import { report } from "./support/report.ts";

const SECONDS = Number(Deno.args[0] ?? 10);
/** 1,000 events a second. */
const BATCH = 50, PAUSE_MS = 50;
/** Milliseconds from exec in the kernel; this has no kernel and no collector, so it must be well below. */
const TARGET_P50 = 15, TARGET_P99 = 50;

const RULE = `id: probe
title: A probe
description: It measures
severity: critical
sql: |
  SELECT pid FROM process_events WHERE name = 'probe'
`;

/** Latencies of the alerts of one run. */
async function run(hasFailing: boolean): Promise<number[]> {
  using dir = new TempDir();
  const sentAt = new Map<number, number>(), latencies: number[] = [];
  const file = fileSink(`${dir.path}/alerts.jsonl`);
  const watched: Sink = {
    name: "file",
    minSeverity: "info",
    async write(alerts) {
      await file.write(alerts);
      const now = performance.now();
      for (const { pid } of alerts) latencies.push(now - sentAt.get(pid)!);
    },
    written: (ids) => file.written(ids),
    close: () => file.close(),
  };
  const failing: Sink = {
    name: "failing",
    minSeverity: "info",
    write: () => Promise.reject(failed("connection refused")),
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
  const sinks = hasFailing ? [watched, failing] : [watched], counters = newCounters();
  const store = new Store(`${dir.path}/events.db`, sinks);
  const deliveries = sinks.map((sink) => new Delivery(sink, { fault: () => {}, storeFault: () => {} }));
  const alerted = (): void => deliveries.forEach((delivery) => delivery.poke());
  const bounds = { windowMs: 300_000, rulePerMinute: 60, perMinute: 600 };
  const told = { alerted, failed: () => {}, notice: () => {} };
  const manager = new AlertManager({ ...bounds, ...told, counters });
  manager.attach(store);
  for (const delivery of deliveries) delivery.attach(store);
  const rules = { ...NO_RULES, active: [validateRule(parseRule(RULE, "probe.yml"))] };
  const detection = new Detection(rules, { deadlineMs: 100, journal: new Journal(() => {}), counters });
  const ingest = new Ingest({ store, detection, manager, counters, alerted, failed: () => {} });
  const stream = openTestStream(store), progress = { lastEventTime: 0 };
  let pid = 1;
  for (let i = 0; i < SECONDS * 1_000 / PAUSE_MS; i++) {
    const events = Array.from({ length: BATCH }, (_, n) => start(++pid, n === BATCH / 2 ? { name: "probe" } : {}));
    sentAt.set(events[BATCH / 2]!.pid, performance.now());
    const firstSequence = stream.lastSequence + 1;
    await ingest.take(stream, [{ kind: "events", firstSequence, events }], progress, () => Promise.resolve(true));
    store.tick();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  await Promise.all(deliveries.map((delivery) => delivery.stop(2_000)));
  detection.close();
  store.close();
  return latencies;
}

const alone: number[] = [], beside: number[] = [];
for (let turn = 0; turn < 2; turn++) {
  alone.push(...await run(false));
  beside.push(...await run(true));
}
const at = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]!;
const met = report(
  `Event at the agent to alert in the file, at 1,000 events/s (${alone.length} and ${beside.length})`,
  [
    { what: "p50", ours: at(alone, 0.5), unit: "ms", peer: null, target: { most: TARGET_P50 } },
    { what: "p99", ours: at(alone, 0.99), unit: "ms", peer: null, target: { most: TARGET_P99 } },
    {
      what: "p50 beside a sink that fails",
      ours: at(beside, 0.5),
      unit: "ms",
      peer: { name: "without it", value: at(alone, 0.5) },
      target: { most: TARGET_P50 },
    },
    {
      what: "p99 beside a sink that fails",
      ours: at(beside, 0.99),
      unit: "ms",
      peer: { name: "without it", value: at(alone, 0.99) },
      target: { most: TARGET_P99 },
    },
  ],
);
Deno.exit(met ? 0 : 1);
