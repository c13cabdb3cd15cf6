/**
 * `baseline` and `diff`: what is usual on a host, and what is new on it.
 *
 * A baseline is the set of programs, hashes, parents and users that the store has seen start. `diff` shows what was first
 * seen after a date, or what is not in a baseline that was kept, also one of another host.
 *
 * @module
 */
import { gateSql } from "../proto/rules/sql_gate.ts";
import { atMostArguments, choiceOption, timeRange } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { fileProblem } from "./file_problem.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { parserFor } from "./sql_parser.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { count, counted, localTime, type TimeRange } from "./units.ts";

/** What is told apart, as expressions over `process_events`. */
const KINDS = {
  program: "executable_path",
  hash: "executable_hash",
  parent: "parent_name || ' > ' || name",
  user: "coalesce(user_name, user_id)",
  use: "coalesce(user_name, user_id) || ' > ' || executable_path",
} as const;
type Kind = keyof typeof KINDS;

const NAMES = ["kind", "value", "starts", "first_seen", "last_seen"];
/** Longest baseline that is read. */
const MAX_BASELINE_BYTES = 268_435_456;
/** Separates kind and value in the key of a set; no JSON text of one line holds it. */
const SEPARATOR = "\n";

export async function baseline(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "baseline");
  return await write(call, timeRange(call), () => true, null);
}

export async function diff(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "diff");
  const against = call.values["against"] as string | undefined, { from, until } = timeRange(call);
  if ((from === null) === (against === undefined)) throw new UsageError("diff takes --since WHEN or --against FILE");
  if (against !== undefined) {
    const known = parseBaseline(readBaseline(call, against));
    return await write(call, { from: null, until }, ([kind, value]) => !known.has(`${kind}${SEPARATOR}${value}`), null);
  }
  return await write(call, { from: null, until }, (row) => Number(row[3]) >= from!, from!);
}

/** Rows of each kind that are wanted; the newest first in a diff. */
async function write(
  call: Call,
  range: TimeRange,
  isWanted: (row: readonly Cell[]) => boolean,
  since: number | null,
): Promise<Exit> {
  const only = choiceOption(call, "kind", Object.keys(KINDS) as Kind[]), { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const output = openRows(call, NAMES, SHOWN);
  const bounds = [
    ...range.from === null ? [] : [` AND time >= ${Math.floor(range.from)}`],
    ...range.until === null ? [] : [` AND time <= ${Math.floor(range.until)}`],
  ].join("");
  let written = 0;
  for (const [kind, sql] of Object.entries(KINDS) as [Kind, string][]) {
    if (only !== null && only !== kind) continue;
    call.progress(`looking at ${kind}s`);
    call.out.hold();
    // As a person's query, so that events which are alike are counted together (`sql_grouped.ts`)
    const asked = `SELECT '${kind}', ${sql} AS value, count(*), min(time) AS first, max(time) FROM process_events
       WHERE event_type = 'start' AND ${sql} IS NOT NULL${bounds} GROUP BY value ORDER BY first DESC, value`;
    const query = gateSql(asked, "hunt", await parserFor(asked, new Map()));
    for (const row of store.hunt(query).rows) {
      if (!isWanted(row)) continue;
      output.add(row);
      written += 1;
    }
  }
  output.end();
  call.progress(null);
  call.out.flush();
  let isBlind = false;
  if (since !== null) {
    const [oldest] = store.rows("SELECT time FROM process_events ORDER BY time LIMIT 1");
    isBlind = oldest !== undefined && Number(oldest[0]) >= since;
    if (isBlind) {
      call.note(`The store knows nothing before ${localTime(Number(oldest![0]), "s")}: all of it looks new`);
    }
  }
  if (written === 0) call.note("Nothing of that");
  else call.note(`${counted(written, "line")}`);
  const told = { from: since ?? range.from, until: range.until };
  const lacking = tellCoverage(call, store, readStatuses(layout, call.now()), told);
  return isBlind || lacking ? EXIT.degraded : EXIT.complete;
}

function readBaseline(call: Call, path: string): string {
  if (path === "-") return new TextDecoder().decode(call.readStdin(MAX_BASELINE_BYTES));
  const problem = fileProblem(path);
  if (problem === null) return Deno.readTextFileSync(path);
  const why = problem === "absent" ? "there is no such file" : problem;
  throw new CommandError(`The baseline ${path} cannot be read: ${why}; or hand it over on standard input, as "-"`);
}

/** The keys of a baseline in JSON lines. @throws CommandError with the line that is none */
export function parseBaseline(text: string): Set<string> {
  const known = new Set<string>();
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      row = null;
    }
    const { kind, value } = (row ?? {}) as { kind?: unknown; value?: unknown };
    if (typeof kind !== "string" || (typeof value !== "string" && typeof value !== "number")) {
      throw new CommandError(`Line ${at + 1} is not one of baseline --format jsonl`);
    }
    known.add(`${kind}${SEPARATOR}${value}`);
  }
  return known;
}

const SHOWN: readonly ShownColumn[] = [
  { name: "kind", title: "KIND", keep: true },
  { name: "first_seen", title: "FIRST", keep: true, show: (cell) => timeCell(cell, "s") },
  { name: "last_seen", title: "LAST", keep: true, optional: 1, show: (cell) => timeCell(cell, "s") },
  { name: "starts", title: "STARTS", keep: true, show: (cell) => ({ text: count(Number(cell)), number: true }) },
  { name: "value", title: "VALUE", least: 16 },
];
