/**
 * `rules replay`: what a rule would have found in the stored events, before or after it is active.
 *
 * "It would not have fired" and "that cannot be told" are two answers: gaps, removed events, columns that no source
 * filled, rows that the rule cannot judge and a time that was up are said, and the exit code is 3 then.
 *
 * @module
 */
import { isCapturedAlways, variableAttribute } from "../proto/demand.ts";
import { columnAt, columnsOf } from "../proto/rules/predicate.ts";
import { laneOf, type ValidatedRule } from "../proto/rules/rule.ts";
import type { RowQuery } from "../proto/rules/sql_guard.ts";
import type { StateLayout } from "../proto/state_layout.ts";
import { integerOption, momentOption, spanOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { blindness, gapsWithin, gapWords, removedWithin, removedWords } from "./coverage.ts";
import { type Cell, openOutput, type ShownColumn } from "./output.ts";
import { timeCell, userOf } from "./process_cells.ts";
import { evidenceAt, type Replay, type ReplayOptions, replayRows } from "./replay_scan.ts";
import { replayWindow, type WindowReplay } from "./replay_window.ts";
import { exceptionsFor } from "./rule_exceptions.ts";
import { namedRule } from "./rule_named.ts";
import { safeJson } from "./safe_json.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { count, counted, localTime, span } from "./units.ts";

const WEEK_MS = 604_800_000;
const DEFAULT_DEADLINE_MS = 600_000;
const NAMES = [
  "rule_id",
  "event_id",
  "time",
  "pid",
  "user_name",
  "name",
  "executable_path",
  "command_line",
  "evidence",
];
const EVENT_COLUMNS = NAMES.slice(3, -1);
const SHOWN: readonly ShownColumn[] = [
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  { name: "event_id", title: "EVENT", keep: true },
  { name: "pid", title: "PID", keep: true },
  { name: "user_name", title: "USER", optional: 1, show: (_, of) => userOf(of) },
  {
    name: "command_line",
    title: "COMMAND",
    least: 24,
    show: (_, of) => String(of("command_line") ?? of("name") ?? ""),
  },
];

export function replay(call: Call): Exit {
  const places = findPlaces(call), rule = namedRule(call, "replay", places), query = rule.query?.row ?? null;
  const now = call.now(), since = momentOption(call, "since") ?? now - WEEK_MS;
  const until = momentOption(call, "until") ?? now, limit = integerOption(call, "limit", 0, 10_000, 5);
  const deadlineMs = spanOption(call, "timeout", DEFAULT_DEADLINE_MS);
  if (since > until) throw new UsageError("--since lies after --until");
  using store = Store.open(places.layout.store);
  const began = performance.now();
  const options: ReplayOptions = {
    from: Math.floor(since),
    until: Math.floor(until),
    examples: limit,
    deadlineMs,
    exceptions: exceptionsFor(call, rule, places.rulesDirs).exceptionsFor(rule),
    progress: (share, events, matches) =>
      call.progress(
        `${Math.floor(share * 100)} % of the time, ${counted(events, "event")}, ${
          counted(matches, "match", "matches")
        }`,
      ),
  };
  const { ruleDeadlineMs, windowRows } = places;
  const overWindow = query === null ? replayWindow(store, rule, { ...options, ruleDeadlineMs, windowRows }) : null;
  const found = overWindow ?? replayRows(store, query!, options);
  call.progress(null);
  const elapsedMs = Math.round(performance.now() - began);
  const reasons = [
    ...ownReasons(found, overWindow),
    ...unknownColumns(store, rule, overWindow?.columns ?? columnsRead(query!)),
    ...uncapturedVariables(call, places.layout, rule, since),
    ...coverageReasons(store, places.layout, now, { from: since, until }),
  ];
  const examples = exampleRows(store, rule, found);
  if (call.format === "json") {
    const { events, matches, excepted, faults, fault, from, to, stopped } = found;
    const counts = { events, matches, excepted, faults, fault, from, to, stopped };
    const ofWindow = overWindow === null
      ? {}
      : { suppressed: overWindow.suppressed, evaluations: overWindow.evaluations, cpu_ms: overWindow.cpuMs };
    const { id, file, hash } = rule, state = reasons.length === 0 ? "complete" : "degraded";
    const listed = examples.map((row) => ({
      ...Object.fromEntries(NAMES.map((name, i) => [name, row[i]])),
      evidence: JSON.parse(String(row.at(-1))),
    }));
    const answer = { rule_id: id, file, rule_hash: hash, lane: laneOf(rule), since, until, ...counts, ...ofWindow };
    call.out.write(`${safeJson({ ...answer, state, reasons, elapsed_ms: elapsedMs, examples: listed }, 2)}\n`);
  } else {
    const output = openOutput(call.format, NAMES, SHOWN, call.screen, (text) => call.out.write(text));
    for (const row of examples) output.add(row);
    output.end();
    tell(call, rule, found, elapsedMs, examples.length, overWindow?.suppressed ?? 0);
    for (const reason of reasons) call.note(`Degraded: ${reason}`);
  }
  return reasons.length === 0 ? EXIT.complete : EXIT.degraded;
}

function tell(
  call: Call,
  { id, windowMs }: ValidatedRule,
  found: Replay,
  elapsedMs: number,
  examples: number,
  suppressed: number,
): void {
  const { events, matches, from, to } = found;
  if (events === 0) return call.note(`${id}: no event is stored of that time`);
  call.note(
    `${id} would have fired ${counted(matches, "time")} in ${counted(events, "event")} from ${
      localTime(from!, "s")
    } to ` +
      `${localTime(to!, "s")} (${span(elapsedMs)})`,
  );
  if (suppressed > 0) {
    call.note(`${counted(suppressed, "time")} more it was the same finding, going on within its window`);
  }
  if (found.excepted > 0) {
    const [one, many, would] = windowMs === null
      ? ["match", "matches", "would be no alerts"]
      : ["event", "events", "would take no part"];
    call.note(`${counted(found.excepted, one, many)} more ${would}, by exceptions`);
  }
  if (examples < matches) call.note(`Shown are the newest ${count(examples)}; --limit shows more`);
}

function ownReasons({ stopped, faults, fault }: Replay, overWindow: WindowReplay | null): string[] {
  const reasons: string[] = [];
  if (stopped !== null) {
    reasons.push(`the time was up at the events of ${localTime(stopped)}; allow more by --timeout, or ask for less`);
  }
  if (overWindow === null) {
    if (faults > 0) reasons.push(`${counted(faults, "event")} could not be judged: ${fault}`);
    return reasons;
  }
  if (faults > 0) {
    const of = count(overWindow.evaluations);
    reasons.push(`${counted(faults, "evaluation")} of ${of} did not run to their end: ${fault}`);
  }
  return [...reasons, ...overWindow.reasons];
}

/** Columns that the rule reads and a source leaves empty: what it asks about may have been and was not seen. */
function unknownColumns(store: Store, rule: ValidatedRule, read: ReadonlySet<string>): string[] {
  return store.rows("SELECT name, unknown_columns FROM sources WHERE state = 'active'").flatMap(([source, list]) => {
    const empty = columnsOfJson(list!).filter((name) => read.has(name));
    return empty.length === 0 ? [] : [`the source ${source} does not fill ${empty.join(", ")}, which ${rule.id} reads`];
  });
}

/**
 * Variables that the rule reads and events of that time may lack. What was refused, or asked for by no rule, was not
 * captured; what is captured always is taken as captured then too, as far as the collector can say.
 */
function uncapturedVariables(call: Call, layout: StateLayout, rule: ValidatedRule, since: number): string[] {
  const { variables } = rule.attributes;
  if (variables.length === 0) return [];
  const { collector } = readStatuses(layout, call.now());
  const standings = collector.kind === "read" ? collector.status.attributes : [];
  return variables.flatMap((name) => {
    const attribute = variableAttribute(name), found = standings.find((each) => each.attribute === attribute);
    if (isCapturedAlways(name, standings) === true) return [];
    if (found?.state === "demanded") {
      return found.since <= since ? [] : [`${attribute} is collected only since ${localTime(found.since, "s")}`];
    }
    return [
      `${attribute} is in events only while a rule that judges reads it and collector.environment_on_demand names it`,
    ];
  });
}

function columnsRead(query: RowQuery): Set<string> {
  const read = new Set(query.columns), places = new Set<number>();
  if (query.translation.form !== null) columnsOf(query.translation.form, places);
  for (const place of places) read.add(columnAt(place).name);
  return read;
}

function columnsOfJson(cell: Cell): string[] {
  try {
    const list: unknown = JSON.parse(String(cell));
    return Array.isArray(list) ? list.map(String) : [];
  } catch {
    return [];
  }
}

function coverageReasons(
  store: Store,
  layout: Parameters<typeof readStatuses>[0],
  now: number,
  range: { from: number; until: number },
): string[] {
  const removed = removedWithin(store, range), gaps = gapsWithin(store, range);
  // What nobody watches now only matters to a time that reaches to now
  const blind = range.until >= now ? blindness(readStatuses(layout, now)) : null;
  return [
    removed === null ? null : `not everything is kept: ${removedWords(removed)}`,
    gaps === null ? null : `not everything was seen: ${gapWords(gaps)} (gaps lists them)`,
    blind === null ? null : `nothing new is known: ${blind} (health says more)`,
  ].filter((reason) => reason !== null);
}

function exampleRows(store: Store, rule: ValidatedRule, { examples }: Replay): Cell[][] {
  const sql = `SELECT ${EVENT_COLUMNS.join(", ")} FROM main.process_events WHERE event_id = ?`;
  return examples.flatMap(({ eventId, time, evidence }) => {
    const event = store.first(sql, eventId), shown = evidence ?? evidenceAt(store, rule.query!.row!, eventId);
    // Retention may have taken it meanwhile
    if (event === null || shown === null) return [];
    return [[rule.id, eventId, time, ...event, safeJson(shown)]];
  });
}
