/**
 * `rules exceptions`: what keeps hits of rules from being alerts, until when, and how often it did.
 *
 * @module
 */
import { type Exception, type ExceptionFile, EXCEPTIONS_NAME, parseExceptions } from "../proto/rules/exceptions.ts";
import { ExceptionSet } from "../proto/rules/exception_set.ts";
import { RuleError, type ValidatedRule } from "../proto/rules/rule.ts";
import { lastDay } from "../proto/rules/suppressor.ts";
import { isSigma } from "../proto/sigma/document.ts";
import type { SuppressorStatus } from "../proto/status.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { storeTables } from "./collected.ts";
import { openRows } from "./row_output.ts";
import { checkRules, listFiles, readText } from "./rule_files.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { count, counted } from "./units.ts";

const NAMES = [
  ...["id", "kind", "state", "suppressed", "last_time", "rules", "rule_ids", "expires", "author", "reason", "file"],
  "line",
];

const SHOWN: readonly ShownColumn[] = [
  { name: "id", title: "EXCEPTION", least: 20 },
  {
    name: "state",
    title: "STATE",
    keep: true,
    show: (cell) => ({ text: String(cell), style: cell === "active" ? "good" : "warning" }),
  },
  { name: "suppressed", title: "TOOK", keep: true },
  { name: "last_time", title: "LAST", keep: true, optional: 2, show: (cell) => cell === null ? "" : timeCell(cell) },
  { name: "rules", title: "RULES", keep: true, optional: 3 },
  { name: "expires", title: "UNTIL", keep: true, show: (cell) => cell === "never" ? "no end" : String(cell) },
  { name: "author", title: "BY", optional: 1 },
  { name: "reason", title: "REASON", show: (cell, of) => of("kind") === "filter" ? `filter: ${cell}` : String(cell) },
];

export function exceptions(call: Call): Exit {
  atMostArguments(call, 0, "rules exceptions");
  const found = suppressorsNow(call);
  const output = openRows(call, NAMES, SHOWN);
  for (const each of found.list) {
    const { id, kind, suppressed, lastTime, rules, byRule, expires, author, reason, file, line } = each;
    const took = found.isLive ? suppressed : null, ids = byRule.map(({ ruleId }) => ruleId).join(" ");
    const state = stateOf(each, call.now());
    output.add(
      [id, kind, state, took, lastTime, rules, ids, untilWords(expires), author, reason, file, line] as Cell[],
    );
  }
  output.end();
  for (const { message } of found.faults) call.note(message);
  if (found.list.length === 0) call.note("There are no exceptions: every hit of an active rule is an alert");
  else for (const note of suppressorNotes(found.list, call.now(), found.isLive)) call.note(note);
  return EXIT.complete;
}

/** What an exception is at a time: `active`, `expired`, or `unused` when it is for no rule. */
export function stateOf({ expires, rules }: SuppressorStatus, now: number): "active" | "expired" | "unused" {
  return expires !== null && expires <= now ? "expired" : rules === 0 ? "unused" : "active";
}

function untilWords(expires: number | null): string {
  return expires === null ? "never" : lastDay(expires);
}

/** What to say of all of them together. */
export function suppressorNotes(list: readonly SuppressorStatus[], now: number, isCounted = true): string[] {
  if (list.length === 0) return [];
  const took = list.reduce((sum, { suppressed }) => sum + suppressed, 0);
  const idle = list.filter((each) => each.suppressed === 0 && stateOf(each, now) === "active").length;
  const expired = list.filter((each) => stateOf(each, now) === "expired");
  const notes = !isCounted ? [] : [
    `${counted(list.length, "exception")} kept ${counted(took, "hit")} from being alerts since the agent's start` +
    (idle === 0 ? "" : `; ${count(idle)} of them none`),
  ];
  if (expired.length > 0) {
    notes.push(`${counted(expired.length, "exception has", "exceptions have")} expired: ${namesOf(expired)}`);
  }
  return notes;
}

export function namesOf(list: readonly SuppressorStatus[]): string {
  const names = list.slice(0, 5).map(({ id, expires }) => `${id} (held until ${untilWords(expires)})`).join(", ");
  return list.length > 5 ? `${names} and ${count(list.length - 5)} more` : names;
}

/** What the agent says, else what the files hold, without counts. */
function suppressorsNow(call: Call): { list: SuppressorStatus[]; faults: readonly RuleError[]; isLive: boolean } {
  const places = findPlaces(call), { agent } = readStatuses(places.layout, call.now());
  if (agent.kind === "read" && agent.live) return { list: [...agent.status.suppressors], faults: [], isLive: true };
  call.note("The agent does not run: these are the exceptions of the files, without what they took");
  const { rules, exceptions } = checkRules(
      places.rulesDirs,
      call.readStdin,
      undefined,
      storeTables(places.layout.store),
    ),
    set = new ExceptionSet(exceptions, rules);
  const list = set.applied(rules).map(({ by, rules }): SuppressorStatus => {
    const { kind, id, file, line, reason, author, expiresMs: expires } = by;
    const nothing = { suppressed: 0, lastTime: null, byRule: [] };
    return { ...{ kind, id, file, line, reason, author, expires, rules }, ...nothing };
  });
  return { list, faults: set.faults, isLive: false };
}

/** The exceptions for one rule, from the files of the rules directories; a file with a fault is told and left out. */
export function exceptionsFor(call: Call, rule: ValidatedRule, rulesDirs: readonly string[]): ExceptionSet {
  const found: Exception[] = [];
  for (const directory of rulesDirs) {
    for (const path of filesOf(directory)) {
      if (!EXCEPTIONS_NAME.test(path)) continue;
      const file = read(call, path);
      if (file !== null) found.push(...file.exceptions.filter((each) => isFor(each, rule)));
    }
  }
  return new ExceptionSet(found, [rule]);
}

/** A draft is looked at wherever it lies; rules directories need not be there for it. */
function filesOf(directory: string): string[] {
  try {
    return listFiles(directory);
  } catch {
    return [];
  }
}

function isFor({ rules }: Exception, { id, tags }: ValidatedRule): boolean {
  return rules === null || rules.some(({ name }) => name === id || tags.includes(name));
}

function read(call: Call, path: string): ExceptionFile | null {
  try {
    const text = readText(path);
    return isSigma(text) ? null : parseExceptions(text, path);
  } catch (error) {
    call.note(`Exceptions are left out: ${error instanceof RuleError ? error.message : `${path}: ${error}`}`);
    return null;
  }
}
