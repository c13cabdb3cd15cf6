/**
 * What the shipped rules over several events cost: microseconds of the processor an event of all shipped rules with them and
 * without, in one process, and which of them take how much.
 *
 * `deno task bench:shipped [--events N]`. The events are starts and ends of what administration of a host runs (recorded),
 * of one shell each, at 100 and at 1,000 a second, in batches as the pipeline makes them.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import { loadRules } from "../proto/rules/rule_set.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import { median, round, table } from "./support/report.ts";

const BATCH = 50, RUNS = 3, SHOWN = 8;
const PLACES = columnPlaces("process_events"), WIDTH = PLACES.size;
const LINES = Deno.readTextFileSync(new URL("../tests/recorded/administration.tsv", import.meta.url)).trimEnd().split(
  "\n",
);

/** A start, or the stop of the one before. */
function event(number: number, gapMs: number): SqlValue[] {
  const life = number >> 1, [name, path, line, parent] = LINES[life % LINES.length]!.split("\t") as string[];
  const shell = Math.floor(life / LINES.length), cells: SqlValue[] = Array(WIDTH).fill(null);
  const set = (values: Readonly<Record<string, SqlValue>>): void => {
    for (const [column, value] of Object.entries(values)) cells[PLACES.get(column)!] = value;
  };
  set({
    ...{ event_id: number + 1, time: 1_700_000_000_000 + number * gapMs, exec_id: `0badcafe-${life}-${life}` },
    ...{ parent_exec_id: `0badcafe-1-${shell}`, pid: life % 30_000 + 2, ppid: 1, name: name! },
    ...{ executable_path: path!, command_line: line!, parent_name: parent === "-" ? "bash" : parent! },
    ...{ parent_command_line: "-bash", user_id: life % 3 === 0 ? 0 : 1_000, effective_user_id: 0, user_name: "root" },
    ...{ cwd: "/root", session_id: shell, tty: "pts/0", source: "ebpf", collector_id: "bench" },
  });
  if (number % 2 === 0) set({ event_type: "start" });
  else set({ event_type: "stop", exit_code: life % 9 === 0 ? 1 : 0, duration_ms: 1.5, cpu_time_ms: 0.4 });
  return cells;
}

interface Cost {
  readonly micros: number;
  readonly rows: number;
  readonly bytes: number;
  readonly found: number;
}

/** Time of the processor: the clock tells what else the host does as well. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Judges all of them as the agent does: first each event for itself, then what several mean together. */
function judge(
  rowRules: readonly ValidatedRule[],
  others: readonly ValidatedRule[],
  events: readonly SqlValue[][],
): Cost {
  const times: number[] = [];
  let last = { rows: 0, bytes: 0, found: 0 };
  for (let run = 0; run < RUNS; run++) {
    using engine = rowRules.length === 0 ? null : new RuleEngine(rowRules);
    using lane = others.length === 0 ? null : new WindowLane(others, { deadlineMs: 60_000 });
    let found = 0;
    const began = processorMs();
    for (let at = 0; at < events.length; at += BATCH) {
      const batch = events.slice(at, at + BATCH), out = newWindowEvaluation();
      engine?.evaluate(batch);
      if (lane === null) continue;
      for (const _ of lane.judge(batch, Infinity, out));
      lane.commit();
      if (out.faults.length > 0) throw new Error(out.faults[0]!.reason);
      found += out.findings.length;
    }
    times.push((processorMs() - began) * 1_000 / events.length);
    last = { rows: lane?.rows ?? 0, bytes: lane?.bytes ?? 0, found };
  }
  return { micros: median(times), ...last };
}

const { values } = parseArgs({ args: Deno.args, options: { events: { type: "string", default: "60000" } } });
const directory = new URL("../rules/", import.meta.url);
const { active } = loadRules(
  [...Deno.readDirSync(directory)].filter(({ name }) => name.endsWith(".yml")).map(
    ({ name }) => ({ file: name, text: Deno.readTextFileSync(new URL(name, directory)) }),
  ),
);
const one = active.filter(({ windowMs }) => windowMs === null),
  several = active.filter(({ windowMs }) => windowMs !== null);
console.log(`${active.length} rules are shipped, ${several.length} of them over several events`);
for (const rate of [100, 1_000]) {
  const events = Array.from({ length: Number(values.events) }, (_, i) => event(i, 1_000 / rate));
  const without = judge(one, [], events), all = judge(one, several, events);
  const shown = (what: string, { micros, rows, bytes, found }: Cost): string[] => [
    what,
    round(micros),
    `${round(micros * 100 / without.micros)} %`,
    String(rows),
    round(bytes / 2 ** 20),
    String(found),
  ];
  const each = several.map((rule) => ({ rule, cost: judge([], [rule], events) }))
    .sort((a, b) => b.cost.micros - a.cost.micros).slice(0, SHOWN);
  table(
    `${rate} events a second, batches of ${BATCH}`,
    ["", "µs/event", "of without", "rows", "MiB", "findings"],
    [
      shown(`${one.length} rules over one event`, without),
      shown(`and ${several.length} over several`, all),
      ...each.map(({ rule, cost }) => shown(`${rule.id} alone`, cost)),
    ],
  );
}
