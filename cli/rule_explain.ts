/**
 * `rules explain`: how a rule was understood, where it is judged, and what that costs on the events of this host.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { ENVIRONMENT, HASHES, variableAttribute } from "../proto/demand.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import { correlationWords } from "../proto/rules/correlation_words.ts";
import { formWords, termWords } from "../proto/rules/form_words.ts";
import { furtherTerms, requiredTerms } from "../proto/rules/required_terms.ts";
import { catalogPlan, planLines, type PlanStep } from "../proto/rules/plan.ts";
import { responseWords } from "../proto/rules/rule_responses.ts";
import { laneOf, rowQuery, type ValidatedRule } from "../proto/rules/rule.ts";
import { StreamLane } from "../proto/rules/stream_lane.ts";
import { lastDay, type Suppressor } from "../proto/rules/suppressor.ts";
import { newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { openOutput } from "./output.ts";
import { record, type RecordLine } from "./record.ts";
import { exceptionsFor } from "./rule_exceptions.ts";
import { namedRule } from "./rule_named.ts";
import { safeJson } from "./safe_json.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { StoreError } from "./store_error.ts";
import { count, counted } from "./units.ts";

/** Newest stored events that the cost is measured on, in batches as the agent judges them. */
const SAMPLE = 5_000, BATCH = 500;
/** Events that the window lane gets at once: a batch of the agent on a busy host. */
const WINDOW_BATCH = 50;
/** How long is measured, at most. */
const MEASURE_MS = 400;

export interface Cost {
  readonly events: number;
  /** Median over several passes. */
  readonly microsecondsPerEvent: number;
  /** Events that the rule was asked about, after the literals were looked for; `null` where nothing is looked for. */
  readonly candidates: number | null;
  readonly matches: number;
  /** Rows that a rule over a window had in memory at the end. */
  readonly held?: number;
}

export function explain(call: Call): Exit {
  const places = findPlaces(call), rule = namedRule(call, "explain", places);
  const { query, correlation } = rule, isOneRow = query !== null && query.row !== null;
  const { form } = isOneRow ? rowQuery(rule).translation : { form: null };
  const terms = form === null ? null : requiredTerms(form);
  const predicate = correlation !== null ? correlationWords(correlation) : form === null ? null : formWords(form);
  const plan = form === null && query !== null ? planLines(planOf(rule, query.sql)) : null;
  const slow = plan === null ? null : slowJoins(plan);
  const cost = measured(call, rule, places);
  const { id, title, severity, status, enabled, file, hash, sql, missing } = rule, lane = laneOf(rule);
  const suppressors = suppressorsOf(call, rule, places);
  const state = enabled ? status : "disabled", needs = needsOf(rule);
  const responses = (rule.responses ?? []).map(responseWords);
  const literals = form === null ? null : terms === null ? [] : termWords(terms);
  const further = form === null ? null : furtherTerms(form), also = further === null ? null : termWords(further);
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
      responses,
      predicate,
      missing,
      literals,
      further_literals: also,
      plan,
      slow,
      exceptions: suppressors,
      cost,
    };
    call.out.write(`${safeJson(answer, call.format === "json" ? 2 : undefined)}\n`);
    return EXIT.complete;
  }
  if (call.format === "csv") {
    const output = openOutput(call.format, ["part", "line"], [], call.screen, (text) => call.out.write(text));
    const measured = cost === null ? null : [costWords(cost)];
    const exceptions = suppressors.map(suppressorWords);
    const found = { literals, further_literals: also };
    const parts = {
      lane: [lane],
      needs,
      responses,
      predicate,
      missing,
      ...found,
      plan,
      slow,
      exceptions,
      cost: measured,
    };
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
    ["asks for", responses.length === 0 ? null : `${responses.join(", ")}, as far as the response policy allows`],
  ]);
  section(call, correlation === null ? "it matches an event of which" : "it finds", predicate);
  section(call, "left out, since this host cannot tell it", missing.length === 0 ? null : missing);
  section(
    call,
    "literals by which one pass over the event finds the rule",
    literals?.length === 0 ? ["none: it is asked about every event"] : literals,
  );
  section(call, "and of these it must have one too", also);
  section(call, "plan of SQLite", plan);
  if (slow !== null && slow.length > 0) section(call, "what makes it slow where many events meet its conditions", slow);
  const what = rule.windowMs === null ? "hits that are no alerts" : "events that take no part";
  section(call, what, suppressors.length === 0 ? null : suppressors.map(suppressorWords));
  return EXIT.complete;
}

/** What keeps its hits from being alerts, and how often it did since the agent's start. */
interface ExplainedException extends Pick<Suppressor, "kind" | "id" | "file" | "line" | "reason" | "author"> {
  readonly where: string;
  readonly expires: string | null;
  readonly state: "active" | "expired";
  /** `null` where the agent does not run, or lists other rules of it alone. */
  readonly suppressed: number | null;
}

function suppressorsOf(call: Call, rule: ValidatedRule, { rulesDirs, layout }: Places): ExplainedException[] {
  const { agent } = readStatuses(layout, call.now()), live = agent.kind === "read" && agent.live ? agent.status : null;
  return exceptionsFor(call, rule, rulesDirs).of(rule).map((by) => {
    const { kind, id, file, line, reason, author, expiresMs, form } = by;
    const known = live?.suppressors.find((each) => each.kind === kind && each.id === id);
    const suppressed = known?.byRule.find(({ ruleId }) => ruleId === rule.id)?.count;
    return {
      ...{ kind, id, file, line, reason, author },
      where: "where" in by ? String(by.where) : formWords(form).map((text) => text.trim()).join(" "),
      expires: expiresMs === null ? null : lastDay(expiresMs),
      state: expiresMs !== null && expiresMs <= call.now() ? "expired" : "active",
      suppressed: suppressed ?? (known?.suppressed === 0 ? 0 : null),
    };
  });
}

function suppressorWords({ kind, id, where, reason, author, expires, state, suppressed }: ExplainedException): string {
  const until = expires === null
    ? "without end"
    : state === "expired"
    ? `expired, held until ${expires}`
    : `until ${expires}`;
  const took = suppressed === null ? "" : `, took ${count(suppressed)}`, by = author === "" ? "" : ` by ${author}`;
  return `${kind} ${id}${by}, ${until}${took}: ${where.replaceAll("\n", " ")} (${reason})`;
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

function costWords({ events, microsecondsPerEvent, candidates, matches, held }: Cost): string {
  const asked = candidates === null ? "" : `, asked about ${share(candidates, events)}`;
  return `${microsecondsPerEvent.toPrecision(2)} µs an event alone, on the newest ${
    counted(events, "stored event")
  }${asked}, matching ${count(matches)}${held === undefined ? "" : `, with ${counted(held, "row")} in its window`}`;
}

function share(part: number, whole: number): string {
  return `${count(part)} of them (${(part * 100 / whole).toPrecision(2)} %)`;
}

/** The plan of what runs: of a rule over a window, over its own tables. */
function planOf(rule: ValidatedRule, sql: string): readonly PlanStep[] {
  if (rule.windowMs === null) return catalogPlan(sql);
  const lane = new WindowLane([rule], { deadlineMs: MEASURE_MS });
  try {
    // A rule has a table of its own for each condition that an event must meet to be in it
    return lane.planOf(rule).map(({ depth, detail }) => ({
      depth,
      detail: detail.replaceAll(
        /main\.window_\d+_(\d+)/g,
        (_, base) => `process_events (condition ${Number(base) + 1})`,
      ),
    }));
  } finally {
    lane[Symbol.dispose]();
  }
}

/** Steps of a plan that go over a whole table once more for every row before them. */
function slowJoins(plan: readonly string[]): string[] {
  const scans = plan.filter((line) => line.startsWith("SCAN process_events"));
  return scans.slice(1).map((line) =>
    `${line}: once for each row before it; a column of it that is compared by = with one of another is looked up instead`
  );
}

/** What the rule costs on stored events; `null`, and said, when there are none to read. */
function measured(call: Call, rule: ValidatedRule, { layout }: Places): Cost | null {
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
  return rule.windowMs === null ? measure(rule, rows) : measureWindow(rule, rows);
}

/** The same of a rule over a window: rows in the order of their times, each batch judged as the agent does it. */
function measureWindow(rule: ValidatedRule, rows: readonly (readonly SqlValue[])[]): Cost {
  using lane = new WindowLane([rule], { deadlineMs: MEASURE_MS });
  const sorted = rows.toReversed(), out = newWindowEvaluation(), began = performance.now();
  let events = 0;
  for (; events < sorted.length && performance.now() - began < MEASURE_MS; events += WINDOW_BATCH) {
    for (const _ of lane.judge(sorted.slice(events, events + WINDOW_BATCH), Infinity, out));
    lane.commit();
  }
  events = Math.min(events, sorted.length);
  const microsecondsPerEvent = (performance.now() - began) * 1_000 / events;
  return { events, microsecondsPerEvent, candidates: null, matches: out.findings.length, held: lane.rows };
}

/** The cost of one rule over rows of `process_events`. */
function measure(rule: ValidatedRule, rows: readonly (readonly SqlValue[])[]): Cost {
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
