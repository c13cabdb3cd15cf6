/**
 * `deno task bench:runaways`: how long a runaway query runs under a deadline of 100 ms, and what it does to the others.
 *
 * First as hunts: the CLI's own reader over the agent's store, while a worker stores 5,000 events a second in it. Of each
 * query: the longest of some runs, how many events were stored meanwhile, and the longest that a commit came late.
 * Then as rules over a window, in the lane that the agent has: events judged meanwhile, and the longest time without a
 * chance to do anything else. Most of these queries would not end without the deadline.
 *
 * @module
 */
import { closeDatabase, openDatabase } from "../agent/store/database.ts";
import { Partitions } from "../agent/store/partitions.ts";
import { Store } from "../cli/store_reader.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { validateRule } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { guardSql } from "../proto/rules/sql_guard.ts";
import { newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { hostileStore, RUNAWAYS, WINDOW_RUNAWAYS } from "../tests/proto/rules/runaways.ts";
import { EVENTS, LONGEST, RUNNING } from "./support/ingester.ts";
import { table } from "./support/report.ts";

const BUDGET_MS = 100, TARGET_MS = 150, RUNS = 3, BATCH = 100;

using hostile = hostileStore();
const rows = [...hostile.prepare("SELECT * FROM process_events").iterate()].map((row) =>
  Object.values(row) as SqlValue[]
);
const over: string[] = [], NOBODY = "(no query)";

const state = Deno.makeTempDirSync({ prefix: "daemoneye-runaways-" });
try {
  await hunts(stateLayout(state).store);
  rulesOverWindows();
} finally {
  Deno.removeSync(state, { recursive: true });
}
console.log(`Deadline ${BUDGET_MS} ms; longer than ${TARGET_MS} ms: ${over.length === 0 ? "none" : over.join("; ")}`);
Deno.exit(0);

async function hunts(path: string): Promise<void> {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  const db = openDatabase(path), partitions = new Partitions(db);
  db.exec("BEGIN");
  for (const row of rows) partitions.insert(row);
  db.exec("COMMIT");
  closeDatabase(db);
  const counts = new Int32Array(new SharedArrayBuffer(12));
  const worker = new Worker(new URL("support/ingester.ts", import.meta.url), { type: "module" });
  worker.postMessage({ path, shared: counts.buffer });
  while (Atomics.load(counts, RUNNING) === 0) await pause(10);
  const lines: string[][] = [];
  const measure = async (what: string, attack: () => string | Promise<string>): Promise<void> => {
    let worst = 0, ended = "", events = 0, total = 0;
    Atomics.store(counts, LONGEST, 0);
    for (let run = 0; run < RUNS; run++) {
      const before = Atomics.load(counts, EVENTS), began = performance.now();
      ended = await attack();
      const took = performance.now() - began;
      worst = Math.max(worst, took);
      total += took;
      events += Atomics.load(counts, EVENTS) - before;
    }
    if (worst > TARGET_MS && what !== NOBODY) over.push(what);
    const late = Atomics.load(counts, LONGEST) / 1_000;
    lines.push([what, worst.toFixed(0), String(events), (events / total * 1_000).toFixed(0), late.toFixed(0), ended]);
  };
  await measure(NOBODY, async () => {
    await pause(500);
    return "";
  });
  for (const [what, sql] of Object.entries(RUNAWAYS)) {
    const query = guardSql(sql, "hunt");
    using store = Store.open(path, { deadlineMs: BUDGET_MS });
    await measure(what, () =>
      ending(() => {
        for (const _ of store.hunt(query).rows);
      }));
  }
  worker.terminate();
  table(
    `${Object.keys(RUNAWAYS).length} hunts that pass the guard, each ${RUNS} times, while events are stored`,
    ["", "worst ms", "events", "events/s", "latest commit ms", "ended by"],
    lines,
  );
}

function rulesOverWindows(): void {
  const lines = Object.entries(WINDOW_RUNAWAYS).map(([what, sql]) => {
    const text = `id: runaway\ntitle: T\ndescription: D\nseverity: low\nwindow: 1h\nsql: |\n  ${sql}\n`;
    const rule = validateRule(parseRule(text, "runaway.yml"));
    using lane = new WindowLane([rule], { deadlineMs: BUDGET_MS });
    let longest = 0, events = 0, ended = "";
    const began = performance.now();
    for (let at = 0; at < rows.length && performance.now() - began < 2_000; at += BATCH) {
      const out = newWindowEvaluation(), steps = lane.judge(rows.slice(at, at + BATCH), Infinity, out);
      for (let done = false; !done;) {
        const from = performance.now();
        done = steps.next().done === true;
        longest = Math.max(longest, performance.now() - from);
      }
      lane.commit();
      events += Math.min(BATCH, rows.length - at);
      ended = out.faults[0]?.reason ?? ended;
    }
    if (longest > TARGET_MS) over.push(`the rule: ${what}`);
    const seconds = (performance.now() - began) / 1_000;
    return [what, longest.toFixed(0), String(events), (events / seconds).toFixed(0), ended];
  });
  table(
    `${lines.length} rules over a window of hostile events, for two seconds each`,
    ["", "longest stop ms", "events", "events/s", "last fault"],
    lines,
  );
}

function ending(attack: () => void): string {
  try {
    attack();
    return "itself";
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.startsWith("Stopped after") ? "deadline" : text.slice(0, 60);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
