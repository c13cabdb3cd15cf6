/**
 * `rules cost`: what each rule has cost since the agent's start, the dearest first.
 *
 * @module
 */
import { atMostArguments } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { plainCell, type ShownColumn } from "./output.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { localTime, span } from "./units.ts";

const NAMES = [
  "rule_id",
  "lane",
  "state",
  "evaluations",
  "matches",
  "hits",
  "rows",
  "cpu_ms",
  "ns_per_row",
  "rule_hash",
];

const SHOWN: readonly ShownColumn[] = [
  { name: "rule_id", title: "RULE", least: 20 },
  { name: "lane", title: "LANE", optional: 1, show: (cell) => String(cell ?? "").split(":")[0]! },
  { name: "state", title: "STATE", keep: true },
  { name: "rows", title: "ROWS", keep: true },
  { name: "evaluations", title: "EVALUATIONS", keep: true },
  { name: "matches", title: "MATCHES", keep: true },
  { name: "hits", title: "ALERTS", keep: true },
  { name: "cpu_ms", title: "CPU", keep: true, show: (cell) => ({ ...plainCell(cell), text: span(Number(cell)) }) },
  { name: "ns_per_row", title: "NS/ROW", keep: true },
];

export function cost(call: Call): Exit {
  atMostArguments(call, 0, "rules cost");
  const { agent } = readStatuses(findPlaces(call).layout, call.now());
  if (agent.kind === "absent") {
    throw new CommandError("The agent has not run here yet, so nothing has cost anything; start it");
  }
  if (agent.kind === "unreadable") throw new CommandError(`The status of the agent cannot be read: ${agent.reason}`);
  const rules = agent.status.rules.filter((rule) => rule.hash !== null && rule.state !== "disabled");
  rules.sort((a, b) => b.cpuMs - a.cpuMs || b.evaluations - a.evaluations || (a.id < b.id ? -1 : 1));
  const output = openRows(call, NAMES, SHOWN);
  for (const { id, lane, state, evaluations, matches, hits, rows, cpuMs, hash } of rules) {
    const perRow = rows === 0 ? null : Math.round(cpuMs * 1e6 / rows);
    output.add([id, lane, state, evaluations, matches, hits, rows, Math.round(cpuMs * 1_000) / 1_000, perRow, hash]);
  }
  output.end();
  const total = rules.reduce((sum, rule) => sum + rule.cpuMs, 0), { cpuMs, uptimeMs } = agent.status;
  call.note(`All rules together ${span(total)} of the agent's ${span(cpuMs)} of CPU in ${span(uptimeMs)}`);
  if (agent.live) return EXIT.complete;
  call.note(`The agent does not run or does not answer: this is what it said at ${localTime(agent.status.time, "s")}`);
  return EXIT.degraded;
}
