/**
 * What rules over windows cost: microseconds an event and memory, with 0, 10 and 100 of them beside no rules at all.
 *
 * Usage: `deno task bench:window [--events N]`. Events of real shapes come a millisecond apart in batches as the pipeline
 * makes them, to rules of three kinds in turn: a group by parent, a join of parent and child, a count of what differs.
 * The same query for each batch over the stored events of the window is the peer: what a rule costs that runs by a timer.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { tableNamed } from "../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { type ValidatedRule, validateRule } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import { shapedRows } from "./support/real_shaped_rules.ts";
import { round, table } from "./support/report.ts";

const RULES = [0, 10, 100];
const BATCH = 50;
const WINDOW_MS = 60_000;
/** Batches that the peer judges: each takes long. */
const PEER_BATCHES = 20;
const PLACES = columnPlaces("process_events");
const PROGRAMS = "curl wget nc ssh scp base64 openssl perl python3 gcc make git docker mount useradd passwd su sudo"
  .split(
    " ",
  );

function rule(number: number): ValidatedRule {
  const name = PROGRAMS[Math.floor(number / 3) % PROGRAMS.length]!;
  const sql = [
    `SELECT ppid, count(*) AS n FROM process_events WHERE event_type = 'start' AND name = '${name}'
       GROUP BY ppid HAVING count(*) > 30`,
    `SELECT a.pid AS parent, b.pid AS child FROM process_events AS a
       JOIN process_events AS b ON b.parent_exec_id = a.exec_id AND b.event_type = 'start' AND b.name IN ('sh', 'bash')
       WHERE a.event_type = 'start' AND a.name = '${name}' AND a.command_line LIKE '%-${number % 10}%'`,
    `SELECT user_id, count(DISTINCT name) AS n FROM process_events
       WHERE event_type = 'start' AND command_line LIKE '%${name} -%' GROUP BY user_id HAVING n > 30`,
  ][number % 3]!;
  const text = `id: window-${number}\ntitle: T\ndescription: D\nseverity: low\nwindow: 60s\nsql: |\n  ${
    sql.replaceAll("\n", "\n  ")
  }\n`;
  return validateRule(parseRule(text, "x.yml"));
}

function events(count: number): SqlValue[][] {
  return shapedRows(1, count, "linux").map((row, i) => {
    const cells = [...row];
    cells[PLACES.get("event_id")!] = i + 1;
    cells[PLACES.get("time")!] = i;
    cells[PLACES.get("event_type")!] = "start";
    cells[PLACES.get("exec_id")!] = `0123abcd-${i}-${i}`;
    cells[PLACES.get("parent_exec_id")!] = `0123abcd-${i - i % 7}-${i - i % 7}`;
    return cells;
  });
}

function memory(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().rss / 1e6;
}

/** Microseconds an event of the peer: each rule's query over the stored events of the window, once a batch. */
function peer(rules: readonly ValidatedRule[], rows: readonly SqlValue[][]): number {
  using db = new DatabaseSync(":memory:");
  const columns = tableNamed("process_events").columns;
  db.exec(`CREATE TABLE process_events (${columns.map(({ name, type }) => `${name} ${type}`).join(", ")});
    CREATE INDEX by_time ON process_events (time); CREATE INDEX by_exec ON process_events (exec_id);
    CREATE INDEX by_parent ON process_events (parent_exec_id); BEGIN`);
  const insert = db.prepare(`INSERT INTO process_events VALUES (${columns.map(() => "?").join(", ")})`);
  for (const row of rows.slice(-WINDOW_MS)) insert.run(...row);
  db.exec("COMMIT");
  const statements = rules.map(({ sql }) => db.prepare(sql));
  const began = performance.now();
  for (let batch = 0; batch < PEER_BATCHES; batch++) for (const statement of statements) [...statement.iterate()];
  return (performance.now() - began) * 1_000 / (PEER_BATCHES * BATCH);
}

const { values } = parseArgs({ args: Deno.args, options: { events: { type: "string", default: "60000" } } });
const rows = events(Number(values.events)), lines: string[][] = [];
for (const count of RULES) {
  const rules = Array.from({ length: count }, (_, i) => rule(i));
  const before = memory();
  const lane = count === 0 ? null : new WindowLane(rules, { deadlineMs: 10_000 });
  const built = memory();
  let evaluations = 0, worst = 0;
  const began = performance.now();
  for (let at = 0; at < rows.length; at += BATCH) {
    const batch = rows.slice(at, at + BATCH), out = newWindowEvaluation(), from = performance.now();
    if (lane === null) continue;
    for (const _ of lane.judge(batch, Infinity, out));
    lane.commit();
    if (out.faults.length > 0) throw new Error(out.faults[0]!.reason);
    evaluations += out.evaluated.size;
    worst = Math.max(worst, performance.now() - from);
  }
  const micros = (performance.now() - began) * 1_000 / rows.length;
  const other = count === 0 ? NaN : peer(rules, rows);
  lines.push([
    `${count} rules`,
    round(micros),
    Number.isNaN(other) ? "-" : round(other),
    Number.isNaN(other) ? "-" : round(other / micros),
    (evaluations / (rows.length / BATCH)).toFixed(1),
    round(worst),
    String(lane?.rows ?? 0),
    round((lane?.bytes ?? 0) / 2 ** 20),
    `${round(built - before)} + ${round(memory() - built)}`,
  ]);
  lane?.[Symbol.dispose]();
}
table(
  `Rules over windows of 60 s, ${rows.length} events a millisecond apart, batches of ${BATCH}`,
  ["", "µs/event", "by timer", "times", "evaluated/batch", "worst batch ms", "rows", "MiB", "resident MB"],
  lines,
);

// Fifteen correlations of the types that rules use, over the same events, beside what the same counts cost as SQL.
const CORRELATIONS = PROGRAMS.slice(0, 15).map((name, i) => {
  const of = `event_type = 'start' AND name = '${name}'`, by = ["user_id", "ppid"][i % 2]!;
  return [
    `type: count\n  of: ${of}\n  by: [${by}]\n  within: 60s\n  at_least: 31`,
    `type: distinct\n  of: ${of}\n  by: [${by}]\n  value: command_line\n  within: 60s\n  at_least: 31`,
    `type: sequence\n  events: { x: "${of}", y: "name = 'sh' AND command_line LIKE '%-c%'", z: "name = 'nc'" }\n  by: [${by}]\n  within: 60s`,
    `type: absence\n  events: { x: "${of}", y: "name = 'make'" }\n  of: x\n  not_followed_by: y\n  by: [${by}]\n  within: 5s`,
    `type: first_seen\n  of: event_type = 'start'\n  by: [executable_path, name]\n  forget_after: 30d\n  learn: 0s`,
  ][i % 5]!;
}).map((text, i) =>
  validateRule(parseRule(`id: some-${i}\ntitle: T\ndescription: D\nseverity: low\ncorrelation:\n  ${text}\n`, "x.yml"))
);
const sliding: string[][] = [];
for (
  const [what, rules] of [
    ["15 correlations", CORRELATIONS],
    ["15 counts", CORRELATIONS.map((_, i) => CORRELATIONS[i - i % 5]!)],
    ["15 counts in SQL", Array.from({ length: 15 }, (_, i) => ({ ...rule(i * 3), id: `sql-${i}` }))],
  ] as const
) {
  using lane = new WindowLane(rules.map((each, i) => ({ ...each, id: `rule-${i}` })), { deadlineMs: 10_000 });
  let worst = 0, found = 0;
  const began = performance.now();
  for (let at = 0; at < rows.length; at += BATCH) {
    const out = newWindowEvaluation(), from = performance.now();
    for (const _ of lane.judge(rows.slice(at, at + BATCH), Infinity, out));
    lane.commit();
    found += out.findings.length;
    worst = Math.max(worst, performance.now() - from);
  }
  const micros = (performance.now() - began) * 1_000 / rows.length;
  sliding.push([what, round(micros), round(worst), String(lane.rows), round(lane.bytes / 2 ** 20), String(found)]);
}
table(
  `Correlations within 60 s, the same events`,
  ["", "µs/event", "worst batch ms", "rows", "MiB", "findings"],
  sliding,
);

// What the bound of rows takes: one rule that keeps every start, with the columns that a rule usually names.
const wide = validateRule(parseRule(
  `id: wide\ntitle: T\ndescription: D\nseverity: low\nwindow: 24h\nsql: SELECT parent_exec_id, name, max(exec_id) AS e,
    max(executable_path) AS p, max(command_line) AS c, max(user_name) AS u FROM process_events
    WHERE event_type = 'start' GROUP BY parent_exec_id, name HAVING count(*) > 1000000\n`.replaceAll(/\n {4}/g, " "),
  "wide.yml",
));
const before = memory();
const lane = new WindowLane([wide], { deadlineMs: 60_000, maxBytes: 1 << 30 });
for (let at = 0, id = 0; at < 200_000; at += 1_000) {
  const batch = rows.slice(0, 1_000).map((row) => {
    const cells = [...row];
    cells[PLACES.get("event_id")!] = ++id;
    cells[PLACES.get("time")!] = id;
    return cells;
  });
  for (const _ of lane.judge(batch, Infinity, newWindowEvaluation(), new Set(["wide"])));
  lane.commit();
}
console.log(
  `${lane.rows} rows of eight columns: ${round(lane.bytes / 2 ** 20)} MiB in tables, ` +
    `${round(lane.bytes / lane.rows)} bytes a row, resident ${round(memory() - before)} MB more`,
);
