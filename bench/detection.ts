/**
 * What the rule engine costs for a batch: rules as predicates behind one automaton, beside SQL for each rule in the same
 * run, over rules and events of real shapes.
 *
 * Usage: `deno task bench:detection [--max-rules N] [--sigma]`; with `--sigma` the rules are Sigma's. Prints milliseconds a
 * batch, microseconds an event, the size of the automata, memory, and how long loading takes. Both ways must find the same.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { loadRules } from "../proto/rules/rule_set.ts";
import { StreamLane } from "../proto/rules/stream_lane.ts";
import { SqlLane } from "../proto/rules/sql_lane.ts";
import type { Fault, Hit } from "../proto/rules/evaluation.ts";
import { rowQuery, type ValidatedRule } from "../proto/rules/rule.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { type Figure, median, report, round, table } from "./support/report.ts";
import { ruleFile, type Shape, shapedRows } from "./support/real_shaped_rules.ts";
import { sigmaFile } from "./support/real_shaped_sigma.ts";

const RULES = [10, 100, 1_000, 3_000];
const BATCHES = [1, 100, 1_000, 10_000];
/** Rules times events up to which SQL is measured too; beyond, it takes minutes. */
const MOST_FOR_SQL = 1_000_000;
const RUN_MS = 1_000, MAX_RUNS = 15;
/** Of one rule and batch: long enough that none is stopped. */
const NO_DEADLINE = 1e9;
const TARGETS: Record<Shape, number> = { linux: 10, windows: 25 };

const { values } = parseArgs({
  args: Deno.args,
  options: { "max-rules": { type: "string", default: "3000" }, sigma: { type: "boolean", default: false } },
});

function collectGarbage(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

function time(run: () => void): number {
  const times: number[] = [], began = performance.now();
  run();
  do {
    const from = performance.now();
    run();
    times.push(performance.now() - from);
  } while (times.length < MAX_RUNS && performance.now() - began < RUN_MS);
  return median(times);
}

/**
 * Median of one event at a time, each another, when as many came before: as an agent has them that runs. The line of a
 * batch of one is that of a lane that was just made, whose code and memory are cold.
 */
function timeOneByOne(stream: StreamLane, rows: readonly SqlValue[][]): number {
  const times: number[] = [];
  for (let round = 0; round < 2; round++) {
    times.length = 0;
    for (const row of rows) {
      const from = performance.now();
      stream.run([row], NO_DEADLINE, [], []);
      times.push(performance.now() - from);
    }
  }
  return median(times);
}

function load(count: number, shape: Shape): { rules: readonly ValidatedRule[]; seconds: number } {
  const make = values.sigma ? sigmaFile : ruleFile;
  const files = Array.from({ length: count }, (_, i) => ({ file: `${i}.yml`, text: make(1, i, shape) }));
  const began = performance.now();
  const { active, rejected } = loadRules(files);
  if (rejected.length > 0) throw rejected[0]!;
  return { rules: active, seconds: (performance.now() - began) / 1_000 };
}

function measure(shape: Shape, maxRules: number): Figure[] {
  const figures: Figure[] = [], lines: string[][] = [];
  const rows = shapedRows(1, BATCHES.at(-1)!, shape);
  for (const count of RULES.filter((count) => count <= maxRules)) {
    const { rules, seconds } = load(count, shape);
    if (rules.some((rule) => rowQuery(rule).translation.form === null)) throw new Error("A rule has no form");
    collectGarbage();
    const before = Deno.memoryUsage().rss, began = performance.now();
    using stream = new StreamLane(rules);
    const buildMs = performance.now() - began;
    using sql = new SqlLane(rules);
    sql.prepare(rules);
    for (const batch of BATCHES) {
      const some: SqlValue[][] = rows.slice(0, batch);
      const hits: Hit[] = [], faults: Fault[] = [], others: Hit[] = [];
      const streamMs = time(() => {
        hits.length = 0;
        stream.run(some, NO_DEADLINE, hits, faults);
      });
      let sqlMs = NaN;
      if (count * batch <= MOST_FOR_SQL) {
        sqlMs = time(() => {
          others.length = 0;
          sql.run(rules, some, NO_DEADLINE, others, faults);
        });
        if (hits.length !== others.length) throw new Error(`${hits.length} and ${others.length} matches`);
      }
      if (faults.length > 0) throw new Error(faults[0]!.reason);
      const one = batch === 1;
      const warmMs = one ? timeOneByOne(stream, rows.slice(0, 1_000)) : NaN;
      if (one) {
        lines.push([`${count} rules, one by one`, round(warmMs), round(warmMs * 1_000), "-", "-", "-", "-"]);
      }
      lines.push([
        `${count} rules, ${batch} events`,
        round(streamMs),
        round(streamMs * 1_000 / batch),
        Number.isNaN(sqlMs) ? "-" : round(sqlMs),
        Number.isNaN(sqlMs) ? "-" : round(sqlMs / streamMs),
        String(hits.length),
        (stream.candidates(some) / batch).toFixed(1),
      ]);
      if (count === 1_000 && (batch === 1_000 || one)) {
        figures.push({
          what: `${shape}-shaped, 1,000 rules x ${batch} ${one ? "event" : "events"}`,
          ours: one ? warmMs * 1_000 : streamMs,
          unit: one ? "µs" : "ms",
          peer: Number.isNaN(sqlMs) ? null : { name: "SQL for each rule", value: one ? sqlMs * 1_000 : sqlMs },
          target: { most: one ? 50 : TARGETS[shape] },
        });
      }
    }
    collectGarbage();
    lines.push([
      `${count} rules`,
      `automata ${round(stream.automatonBytes / 2 ** 20)} MiB, always looked at ${stream.always}, ` +
      `files read in ${round(seconds)} s, built in ${round(buildMs)} ms, ` +
      `resident ${round((Deno.memoryUsage().rss - before) / 1e6)} MB more, of ${round(Deno.memoryUsage().rss / 1e6)}`,
    ]);
    if (count === 3_000) {
      figures.push({
        what: `${shape}-shaped, automata of 3,000 rules`,
        ours: stream.automatonBytes / 2 ** 20,
        unit: "MiB",
        peer: null,
        target: { most: 40 },
      });
    }
  }
  table(`${shape}-shaped`, ["", "ms", "µs/event", "SQL ms", "times", "matches", "candidates/event"], lines);
  return figures;
}

const figures = (["linux", "windows"] as const).flatMap((shape) => measure(shape, Number(values["max-rules"])));
Deno.exit(report("Targets", figures) ? 0 : 1);
