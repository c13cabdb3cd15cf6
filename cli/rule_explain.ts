/**
 * `rules explain`: how a rule was understood, where it is judged, and what that costs on the events of this host.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG, tableNamed } from "../proto/catalog.ts";
import { ENVIRONMENT, HASHES, variableAttribute } from "../proto/demand.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import { correlationWords } from "../proto/rules/correlation_words.ts";
import { formWords, termWords } from "../proto/rules/form_words.ts";
import { requiredTerms } from "../proto/rules/required_terms.ts";
import { laneOf, rowQuery, type ValidatedRule } from "../proto/rules/rule.ts";
import { StreamLane } from "../proto/rules/stream_lane.ts";
import { defineFunctions } from "../proto/rules/user_functions.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { openOutput } from "./output.ts";
import { record, type RecordLine } from "./record.ts";
import { namedRule } from "./rule_named.ts";
import { safeJson } from "./safe_json.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces, type Places } from "./settings.ts";
import { Store, StoreError } from "./store_reader.ts";
import { count, counted } from "./units.ts";

/** Newest stored events that the cost is measured on, in batches as the agent judges them. */
const SAMPLE = 5_000, BATCH = 500;
/** How long is measured, at most. */
const MEASURE_MS = 400;

export interface Cost {
  readonly events: number;
  /** Median over several passes. */
  readonly microsecondsPerEvent: number;
  /** Events that the rule was asked about, after the literals were looked for; `null` where nothing is looked for. */
  readonly candidates: number | null;
  readonly matches: number;
}

export function explain(call: Call): Exit {
  const places = findPlaces(call), rule = namedRule(call, "explain", places);
  const { query, correlation } = rule, isOneRow = query !== null && query.row !== null;
  const { form } = isOneRow ? rowQuery(rule).translation : { form: null };
  const terms = form === null ? null : requiredTerms(form);
  const predicate = correlation !== null ? correlationWords(correlation) : form === null ? null : formWords(form);
  const plan = form === null && query !== null ? planOf(query.sql) : null;
  const cost = measured(call, rule, places);
  const { id, title, severity, status, enabled, file, hash, sql, missing } = rule, lane = laneOf(rule);
  const state = enabled ? status : "disabled", needs = needsOf(rule);
  const literals = form === null ? null : terms === null ? [] : termWords(terms);
  if (call.format === "json" || call.format === "jsonl") {
    const answer = {
      rule_id: id,
      file,
      rule_hash: hash,
      state,
      severity,
      lane,
      sql,
      needs,
      predicate,
      missing,
      literals,
      plan,
      cost,
    };
    call.out.write(`${safeJson(answer, call.format === "json" ? 2 : undefined)}\n`);
    return EXIT.complete;
  }
  if (call.format === "csv") {
    const output = openOutput(call.format, ["part", "line"], [], call.screen, (text) => call.out.write(text));
    const measured = cost === null ? null : [costWords(cost)];
    const parts = { lane: [lane], needs, predicate, missing, literals, plan, cost: measured };
    for (const [part, lines] of Object.entries(parts)) for (const line of lines ?? []) output.add([part, line]);
    output.end();
    return EXIT.complete;
  }
  record(call, title, severityStyle(severity), [
    ["rule", id],
    ["file", file],
    ["version", hash],
    ["state", state],
    ["severity", severity, severityStyle(severity)],
    ["lane", laneWords(lane)],
    ["needs", needs.length === 0 ? null : `${needs.join(", ")}, asked of the collector while the rule is judged`],
    ["cost", cost === null ? null : costWords(cost)],
  ]);
  section(call, correlation === null ? "it matches an event of which" : "it finds", predicate);
  section(call, "left out, since this host cannot tell it", missing.length === 0 ? null : missing);
  section(
    call,
    "literals by which one pass over the event finds the rule",
    literals?.length === 0 ? ["none: it is asked about every event"] : literals,
  );
  section(call, "plan of SQLite", plan);
  return EXIT.complete;
}

/** What the collector collects for it, or is asked to. */
function needsOf({ attributes: { hashes, variables, otherVariables } }: ValidatedRule): string[] {
  return [
    ...hashes ? [HASHES] : [],
    ...variables.map(variableAttribute),
    ...otherVariables ? [`${ENVIRONMENT} (no variable is named: those that are captured always)`] : [],
  ];
}

function laneWords(lane: string): string {
  if (lane === "stream") {
    return "stream: a predicate, judged on every batch before it is stored, with all others in one pass";
  }
  return lane;
}

/** Lines as they are: their indent is their meaning. */
function section(call: Call, title: string, lines: readonly string[] | null): void {
  if (lines === null) return;
  call.out.write("\n");
  const rows: RecordLine[] = lines.map((line) => {
    const text = line.trimStart();
    return [call.screen.marks.dot, "\u00a0".repeat(line.length - text.length) + text];
  });
  record(call, title, undefined, rows);
}

function costWords({ events, microsecondsPerEvent, candidates, matches }: Cost): string {
  const asked = candidates === null ? "" : `, asked about ${share(candidates, events)}`;
  return `${microsecondsPerEvent.toPrecision(2)} µs an event alone, on the newest ${
    counted(events, "stored event")
  }${asked}, matching ${count(matches)}`;
}

function share(part: number, whole: number): string {
  return `${count(part)} of them (${(part * 100 / whole).toPrecision(2)} %)`;
}

/** What the rule costs on stored events; `null`, and said, when there are none to read. */
function measured(call: Call, rule: ValidatedRule, { layout }: Places): Cost | null {
  if (rule.query === null || rule.query.row === null) return null;
  let rows: SqlValue[][];
  try {
    using store = Store.open(layout.store);
    const names = tableNamed("process_events").columns.map(({ name }) => name).join(", ");
    rows = store.rows(`SELECT ${names} FROM process_events ORDER BY time DESC LIMIT ${SAMPLE}`) as SqlValue[][];
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    call.note(`The cost is not measured: ${error.message}`);
    return null;
  }
  if (rows.length === 0) {
    call.note("The cost is not measured: no event is stored yet");
    return null;
  }
  return measure(rule, rows);
}

/** The cost of one rule over rows of `process_events`. */
export function measure(rule: ValidatedRule, rows: readonly (readonly SqlValue[])[]): Cost {
  using engine = new RuleEngine([rule], { deadlineMs: MEASURE_MS });
  const pass = (): number => {
    let matches = 0;
    for (let at = 0; at < rows.length; at += BATCH) matches += engine.evaluate(rows.slice(at, at + BATCH)).hits.length;
    return matches;
  };
  // The first pass compiles
  const matches = pass(), times: number[] = [], end = performance.now() + MEASURE_MS;
  do {
    const began = performance.now();
    pass();
    times.push(performance.now() - began);
  } while (performance.now() < end && times.length < 25);
  const median = times.toSorted((a, b) => a - b)[times.length >> 1]!;
  let candidates: number | null = null;
  if (rowQuery(rule).translation.form !== null) {
    using lane = new StreamLane([rule]);
    candidates = lane.always > 0 ? null : lane.candidates(rows);
  }
  return { events: rows.length, microsecondsPerEvent: median * 1_000 / rows.length, candidates, matches };
}

/** How SQLite goes about a query over tables like the agent's, indented as it nests. */
export function planOf(sql: string): string[] {
  const db = new DatabaseSync(":memory:");
  try {
    defineFunctions(db, () => 0);
    for (const { name, columns } of CATALOG.values()) {
      db.exec(`CREATE TABLE ${name} (${columns.map((column) => `${column.name} ${column.type}`).join(", ")})`);
    }
    const depths = new Map<number, number>();
    return [...db.prepare(`EXPLAIN QUERY PLAN ${sql}`).iterate()].map((row) => {
      const depth = (depths.get(row["parent"] as number) ?? -1) + 1;
      depths.set(row["id"] as number, depth);
      return "  ".repeat(depth) + String(row["detail"]);
    });
  } finally {
    db.close();
  }
}
