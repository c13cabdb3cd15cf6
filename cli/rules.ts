/**
 * `rules`: the rules that run, and checks of rule files.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { SEVERITIES } from "../proto/process_event.ts";
import { ExceptionSet } from "../proto/rules/exception_set.ts";
import { laneOf, PARTIAL } from "../proto/rules/rule.ts";
import { runRuleTests } from "../proto/rules/rule_tests.ts";
import { atMostArguments, meant, refuseForeign } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { type Cell, openOutput, plainCell, type RowOutput, type ShownColumn } from "./output.ts";
import { openRows } from "./row_output.ts";
import { cost } from "./rule_cost.ts";
import { coverage } from "./rule_coverage.ts";
import { exceptions, suppressorNotes } from "./rule_exceptions.ts";
import { explain } from "./rule_explain.ts";
import { importRules } from "./rule_import.ts";
import { placed } from "./rule_named.ts";
import { replay } from "./rule_replay.ts";
import { newRule } from "./rule_template.ts";
import type { TableSet } from "../proto/table_descriptor.ts";
import { storeTables } from "./collected.ts";
import { checkRules, type RefusedRule } from "./rule_files.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { StoreError } from "./store_error.ts";
import { counted } from "./units.ts";

const ACTIONS = {
  ...{ list, validate, test, replay, explain, cost, exceptions, coverage },
  ...{ import: importRules, new: newRule },
} as const;

/** Of the options, those that an action takes. */
const OPTIONS: Readonly<Partial<Record<keyof typeof ACTIONS, readonly string[]>>> = {
  ...{ list: ["columns"], cost: ["columns"], exceptions: ["columns"], coverage: ["navigator", "columns"] },
  ...{ replay: ["since", "until", "timeout", "limit"], import: ["tar", "columns"] },
};

export function rules(call: Call): Exit {
  const [action, ...rest] = call.arguments;
  const names = Object.keys(ACTIONS) as (keyof typeof ACTIONS)[];
  if (action === undefined) throw new UsageError(`rules takes one of ${names.join(", ")}`);
  const found = names.find((name) => name === action);
  if (found === undefined) throw new UsageError(`rules has no action ${action}${meant(action, names)}`);
  refuseForeign(call, `rules ${found}`, OPTIONS[found] ?? []);
  return ACTIONS[found]({ ...call, arguments: rest });
}

const LIST_NAMES = [
  ...[
    "rule_id",
    "title",
    "severity",
    "state",
    "hits",
    "file",
    "line",
    "column_number",
    "reason",
    "lane",
    "rule_hash",
    "degraded",
    "suppressed",
  ],
];

const LIST_SHOWN: readonly ShownColumn[] = [
  { name: "rule_id", title: "RULE" },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell ?? ""), style: severityStyle(String(cell)) }),
  },
  {
    name: "state",
    title: "STATE",
    keep: true,
    show: (cell) => ({ text: String(cell), style: cell === "active" ? "good" : "warning" }),
  },
  { name: "hits", title: "HITS", keep: true, optional: 2 },
  // Only where something was kept from being an alert
  {
    name: "suppressed",
    title: "EXCEPTED",
    keep: true,
    unlessEmpty: true,
    show: (cell) => cell === null || Number(cell) === 0 ? { text: "", style: "null" } : plainCell(cell),
  },
  { name: "rule_hash", title: "VERSION", keep: true, optional: 1, show: (cell) => String(cell ?? "").slice(0, 12) },
  {
    name: "title",
    title: "TITLE",
    least: 24,
    show: (cell, of) => {
      const reason = of("reason"), degraded = of("degraded");
      if (reason === null && degraded !== null) return { text: `degraded: ${degraded}`, style: "warning" };
      if (reason === null) return plainCell(cell);
      // The reason first: a long path would leave no room for it
      const line = of("line"), at = line === null ? of("file") : `${of("file")}:${line}:${of("column_number") ?? 1}`;
      const fault = of("file") === null ? String(reason) : `${reason} (${at})`;
      return { text: fault, style: "warning" };
    },
  },
];

function list(call: Call): Exit {
  atMostArguments(call, 0, "rules list");
  const rows = rulesOfAgent(call, findPlaces(call));
  const state = LIST_NAMES.indexOf("state"), severity = LIST_NAMES.indexOf("severity");
  const rank = (row: readonly Cell[]): number =>
    (row[state] === "active" ? 100 : 0) + SEVERITIES.findIndex((name) => name === row[severity]);
  rows.sort((a, b) => rank(b) - rank(a) || (String(a[0]) < String(b[0]) ? -1 : 1));
  const output = openRows(call, LIST_NAMES, LIST_SHOWN);
  for (const row of rows) output.add(row);
  output.end();
  const rejected = rows.filter((row) => row[state] === "rejected").length;
  const reasons = rows.filter((row) => row[state] === "active").map((row) => row[LIST_NAMES.indexOf("reason")]);
  const partial = reasons.filter((reason) => String(reason).startsWith(PARTIAL)).length;
  const kept = reasons.filter((reason) => reason !== null).length - partial;
  if (rejected > 0) call.note(`${counted(rejected, "rule")} rejected: nothing is found by what is not active`);
  if (partial > 0) call.note(`${counted(partial, "rule")} judged in part: the rest cannot be told on this host`);
  if (kept > 0) call.note(`${counted(kept, "rule")} active as before: the file is not right any more`);
  const degraded =
    rows.filter((row) => row[LIST_NAMES.indexOf("degraded")] !== null && row[state] !== "rejected").length;
  if (degraded > 0) {
    call.note(`${counted(degraded, "rule")} degraded: where nothing is found, something may have been missed`);
  }
  const { agent } = readStatuses(findPlaces(call).layout, call.now());
  if (agent.kind === "read" && agent.live) {
    suppressorNotes(agent.status.suppressors, call.now()).forEach((note, at) =>
      call.note(at === 0 ? `${note} (rules exceptions lists them)` : note)
    );
  }
  return EXIT.complete;
}

/** What the agent says now, else what it stored at its last start, else what the files hold. */
function rulesOfAgent(call: Call, places: Places): Cell[][] {
  const { agent } = readStatuses(places.layout, call.now());
  if (agent.kind === "read" && agent.live) {
    return agent.status.rules.map((rule) => [
      rule.id,
      rule.title,
      rule.severity,
      rule.state,
      rule.hits,
      rule.file,
      rule.line,
      rule.column,
      rule.reason,
      rule.lane,
      rule.hash,
      rule.degraded.length === 0 ? null : rule.degraded.join("; "),
      rule.suppressed,
    ]);
  }
  try {
    const store = Store.open(places.layout.store);
    try {
      const rows = store.rows(
        `SELECT rule_id, title, severity, state, NULL AS hits, file, line, column_number, reason, NULL AS lane,
           rule_hash, NULL AS degraded, NULL AS suppressed
         FROM detection_rules`,
      );
      call.note("The agent does not run: these are the rules of its last start, without hits");
      return rows;
    } finally {
      store[Symbol.dispose]();
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    call.note("The agent does not run and its store cannot be read: these are the rules of the files");
  }
  const { rules, refused } = checkRules(places.rulesDirs, call.readStdin, undefined, storeTables(places.layout.store));
  return [
    ...rules.map((rule): Cell[] => {
      const state = rule.enabled ? rule.status : "disabled";
      const missing = rule.missing.length === 0 ? null : PARTIAL + rule.missing.join("; "), { id, title, file } = rule;
      return [id, title, rule.severity, state, null, file, null, null, missing, laneOf(rule), rule.hash, null, null];
    }),
    ...refused.map(({ file, line, column, reason }): Cell[] => {
      return [file, "", "", "rejected", null, file, line, column, reason, null, null, null, null];
    }),
  ];
}

function validate(call: Call): Exit {
  const { rules, refused: own, exceptions } = checkRules(pathsOf(call), call.readStdin, undefined, tablesOf(call));
  const refused = [...own];
  // An exception may be for a rule that lies elsewhere, unless all are looked at
  if (call.arguments.length === 0) refused.push(...new ExceptionSet(exceptions, rules).faults);
  writeRefused(call, refused);
  const more = exceptions.length === 0 ? "" : ` and ${counted(exceptions.length, "exception")}`;
  call.note(`${counted(rules.length, "rule")}${more} right, ${refused.length} refused`);
  return refused.length === 0 ? EXIT.complete : EXIT.findings;
}

/** The tables that collectors brought to the store here. */
function tablesOf(call: Call): TableSet {
  return storeTables(findPlaces(call).layout.store);
}

function writeRefused(call: Call, refused: readonly RefusedRule[]): void {
  if (call.format === "table") {
    for (const rule of refused) call.out.write(printable(placed(rule)) + "\n");
    return;
  }
  const output = openMachine(call, ["file", "line", "column", "reason"]);
  for (const { file, line, column, reason } of refused) output.add([file, line, column, reason]);
  output.end();
}

function test(call: Call): Exit {
  const { rules, refused } = checkRules(pathsOf(call), call.readStdin, undefined, tablesOf(call));
  const results = rules.map((rule) => ({ rule, results: runRuleTests(rule) }));
  const all = results.flatMap(({ rule, results }) => results.map((result) => ({ rule, ...result })));
  const failed = all.filter((result) => !result.passed);
  if (call.format === "table") {
    for (const rule of refused) call.out.write(printable(placed(rule)) + "\n");
    for (const { rule, position, expected, fault } of failed) {
      const what = fault ??
        (expected ? "the rule must match this row and does not" : "the rule must not match this row");
      call.out.write(printable(placed({ file: rule.file, ...position, reason: `${rule.id}: ${what}` })) + "\n");
    }
  } else {
    const output = openMachine(call, ["rule_id", "file", "line", "column", "expected", "got", "fault", "passed"]);
    for (const { rule, position, expected, got, fault, passed } of all) {
      const { line, column } = position;
      const word = (match: boolean | null): string | null => match === null ? null : match ? "match" : "no_match";
      output.add([rule.id, rule.file, line, column, word(expected), word(got), fault, Number(passed)]);
    }
    output.end();
    for (const rule of refused) call.note(placed(rule));
  }
  for (const { rule, results: { length } } of results) {
    if (length === 0) call.note(`${rule.file}: ${rule.id} has no tests`);
  }
  const passed = all.length - failed.length;
  call.note(
    `${counted(rules.length, "rule")}, ${passed} of ${counted(all.length, "test")} passed` +
      (refused.length === 0 ? "" : `, ${counted(refused.length, "rule")} refused`),
  );
  return failed.length === 0 && refused.length === 0 ? EXIT.complete : EXIT.findings;
}

function openMachine(call: Call, names: readonly string[]): RowOutput {
  return openOutput(call.format, names, [], call.screen, (text) => call.out.write(text));
}

function pathsOf(call: Call): readonly string[] {
  return call.arguments.length > 0 ? call.arguments : findPlaces(call).rulesDirs;
}
