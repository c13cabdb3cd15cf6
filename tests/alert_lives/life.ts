/**
 * One life of what delivers alerts: the real store, manager, deliveries and file sink, until somebody kills it.
 *
 * What it commits follows from the number of the commit alone, so that whoever reads the store knows what must be there.
 * Arguments: a directory, and `run` or `drain`.
 *
 * @module
 */
import { AlertManager } from "../../agent/alerts/manager.ts";
import { Delivery } from "../../agent/alerts/delivery.ts";
import { failed, type Sink } from "../../agent/alerts/sink.ts";
import { newCounters } from "../../agent/counters.ts";
import { Store } from "../../agent/store/store.ts";
import type { Alert } from "../../proto/alert.ts";
import { fileSink, newAlert, openTestStream } from "../agent/support.ts";
import { FLAKY, hitsOf, QUIET_RULE } from "./plan.ts";

const [directory = "", mode = "run"] = Deno.args;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Takes some of what it is given, slowly, and often not all of it. */
const flaky: Sink = {
  name: "flaky",
  minSeverity: "info",
  async write(alerts) {
    const taken = mode === "drain" ? alerts.length : Math.floor(Math.random() * (alerts.length + 3));
    const ids = alerts.slice(0, taken).map(({ alertId }) => `${alertId}\n`).join("");
    Deno.writeTextFileSync(`${directory}/${FLAKY}`, ids, { append: true });
    await pause(Math.random() * 8);
    if (taken < alerts.length) throw failed("it had enough", taken);
  },
  written: () => Promise.resolve(new Set()),
  close: () => Promise.resolve(),
};

/** Takes nothing, ever. */
const down: Sink = {
  name: "down",
  minSeverity: "info",
  write: () => Promise.reject(failed("connection refused")),
  written: () => Promise.resolve(new Set()),
  close: () => Promise.resolve(),
};

const sinks = [fileSink(`${directory}/alerts.jsonl`), flaky, down];
const store = new Store(`${directory}/events.db`, sinks);
const deliveries = sinks.map((sink) =>
  new Delivery(sink, { fault: () => {}, storeFault: (_, error) => console.log(`fault ${error.message}`) }, {
    firstRetryMs: sink === down ? 200 : 2,
  })
);
const manager = new AlertManager({
  windowMs: 3_600_000,
  rulePerMinute: 1_000_000,
  perMinute: 1_000_000,
  counters: newCounters(),
  alerted: () => deliveries.forEach((delivery) => delivery.poke()),
  failed: (_, error) => console.log(`fault ${error}`),
  notice: (text) => console.log(`notice ${text}`),
});
manager.attach(store);
manager.begin();
for (const delivery of deliveries) delivery.attach(store);
const stream = openTestStream(store);
if (stream.lastSequence === 0) {
  manager.addMute(
    { kind: "silence", match: { fields: { rule: QUIET_RULE }, atMost: null } },
    "a test",
    3_600_000,
    "ann",
  );
}
console.log(`begun ${stream.lastSequence}`);
while (mode === "run") {
  const lastSequence = stream.lastSequence + 1;
  const alerts: Alert[] = hitsOf(lastSequence).map(({ id, ...more }) => newAlert(id, more));
  const added = store.commit(
    { stream, lastSequence, events: [], snapshots: [], gaps: [], sources: null, alerts, taker: manager },
    Date.now(),
  );
  if (added.length > 0) deliveries.forEach((delivery) => delivery.poke());
  await pause(Math.random() * 3);
}
while (["file", "flaky"].some((sink) => store.backlog(sink).rows > 0)) await pause(5);
console.log("drained");
Deno.exit(0);
