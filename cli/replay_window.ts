/**
 * Judges stored events by a rule over several of them, as the agent would have: by its own lane, with the bounds that
 * the agent sets it, in the order of time.
 *
 * Only events that meet one of the rule's conditions are read, with the columns that it names. The lane gets them in
 * batches that are short against the window, so that what was found when is what it would have been; and it begins early
 * enough for the first window to be whole. What is asked about a rule of the type `first_seen` begins with what it would
 * have learned.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import { formsOf } from "../proto/rules/correlation.ts";
import type { Form } from "../proto/rules/predicate.ts";
import { formSql } from "../proto/rules/predicate_sql.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { type Finding, newWindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { WindowLane } from "../proto/rules/window_lane.ts";
import type { Cell } from "./output.ts";
import { partsWithin } from "./replay_part.ts";
import { type Example, nextTime, orGone, type Replay, type ReplayOptions, slices } from "./replay_scan.ts";
import type { Store } from "./store_reader.ts";

/** A batch spans no more than this part of the window, and has no more rows. */
const SHARE_OF_WINDOW = 20, BATCH_ROWS = 500;

const PLACES = columnPlaces("process_events"), WIDTH = PLACES.size;
const EVENT_ID = PLACES.get("event_id")!, TIME = PLACES.get("time")!;

/** What was found; faults are evaluations that did not run to their end. */
export interface WindowReplay extends Replay {
  /** Findings that were not raised because they had been within the window. */
  readonly suppressed: number;
  readonly evaluations: number;
  /** Milliseconds that all evaluations took. */
  readonly cpuMs: number;
  /** Why findings may be missing or wrong. */
  readonly reasons: readonly string[];
  /** Columns that the rule reads. */
  readonly columns: ReadonlySet<string>;
}

export interface WindowReplayOptions extends ReplayOptions {
  /** What the agent gives a rule: milliseconds of one evaluation, and rows of all windows together. */
  readonly ruleDeadlineMs: number;
  readonly windowRows: number;
}

/** Judges the stored events of a time by a rule over several. @throws StoreError */
export function replayWindow(store: Store, rule: ValidatedRule, options: WindowReplayOptions): WindowReplay {
  const { from, until, deadlineMs, progress } = options, { correlation, window } = rule;
  using judge = new Judge(rule, options);
  const bases = window?.bases ?? formsOf(correlation!), alias = "process_events";
  const form: Form = bases.length === 1 ? bases[0]! : { kind: "or", items: bases };
  const parts = partsWithin(
    store,
    { alias, where: formSql(form, alias), excepted: null, form },
    from - judge.before,
    until,
  );
  const columns = [...judge.columns], begin = nextTime(parts, from, until);
  const walk = slices(parts, deadlineMs, (start, end) => {
    const rows: Cell[][] = [];
    let events = 0;
    for (const part of parts) {
      if (part.last < start || part.first > end) continue;
      orGone(() => {
        const count = part.events(start, end);
        events += count;
        if (end >= from) judge.events += start >= from ? count : part.events(from, end);
        for (const row of part.rows(columns, start, end)) rows.push(row);
      });
      if (part.last <= end) part.close();
    }
    judge.take(rows, end);
    return events;
  });
  let step = walk.next();
  for (; !step.done; step = walk.next()) progress(step.value, judge.events, judge.matches);
  const { last, stopped } = step.value;
  if (stopped === null && last !== null) judge.take([], until);
  return { ...judge.result(), from: begin, to: last, stopped };
}

class Judge implements Disposable {
  events = 0;
  matches = 0;
  #suppressed = 0;
  #excepted = 0;
  #faults = 0;
  #fault: string | null = null;
  readonly #rule: ValidatedRule;
  readonly #from: number;
  readonly #most: number;
  readonly #lane: WindowLane;
  readonly #cost = { evaluations: 0, rows: 0, matches: 0, cpuMs: 0 };
  readonly #places: readonly number[];
  readonly columns: ReadonlySet<string>;
  readonly #reasons = new Set<string>();
  /** The newest findings, oldest first. */
  readonly #newest: Example[] = [];

  constructor(rule: ValidatedRule, options: WindowReplayOptions) {
    const { from, examples, exceptions, ruleDeadlineMs, windowRows } = options;
    this.#rule = rule;
    this.#from = from;
    this.#most = examples;
    this.#lane = new WindowLane([rule], {
      deadlineMs: ruleDeadlineMs,
      maxRows: windowRows,
      suppressorsOf: () => exceptions,
      costOf: () => this.#cost,
    });
    this.columns = new Set(["event_id", "time", ...this.#lane.columns]);
    this.#places = [...this.columns].map((column) => PLACES.get(column)!);
  }

  /** Milliseconds before the time that is asked for from which on events matter to it. */
  get before(): number {
    const { correlation } = this.#rule;
    return correlation?.kind === "first_seen" ? correlation.windowMs : this.#lane.windowMs;
  }

  /** Judges rows of a time that follows the one before, and ends at `passed`. */
  take(found: readonly Cell[][], passed: number): void {
    const rows = found.map((cells) => this.#whole(cells));
    rows.sort((a, b) => (a[TIME] as number) - (b[TIME] as number) || (a[EVENT_ID] as number) - (b[EVENT_ID] as number));
    const span = Math.max(1, Math.floor(this.#rule.windowMs! / SHARE_OF_WINDOW));
    for (let at = 0; at < rows.length;) {
      const until = (rows[at]![TIME] as number) + span;
      let end = at + 1;
      while (end < rows.length && end - at < BATCH_ROWS && (rows[end]![TIME] as number) < until) end += 1;
      this.#judge(rows.slice(at, end), -Infinity);
      at = end;
    }
    // Time passes also where nothing can take part
    if (this.#lane.due <= passed) this.#judge([], passed);
  }

  /** A row in the catalog's order, of which only what the rule names is there. */
  #whole(cells: readonly Cell[]): SqlValue[] {
    const row: SqlValue[] = new Array(WIDTH).fill(null);
    for (let i = 0; i < cells.length; i++) {
      const value = cells[i]!;
      row[this.#places[i]!] = typeof value === "bigint" ? Number(value) : value as SqlValue;
    }
    return row;
  }

  #judge(rows: readonly SqlValue[][], passed: number): void {
    const out = newWindowEvaluation();
    for (const _ of this.#lane.judge(rows, Infinity, out, new Set(), passed));
    this.#lane.commit();
    this.#suppressed += out.suppressed;
    for (const { time } of out.excepted) if (time >= this.#from) this.#excepted += 1;
    for (const { reason } of out.faults) {
      this.#faults += 1;
      this.#fault = reason;
    }
    for (const finding of out.findings) if (finding.time >= this.#from) this.#found(finding);
    if (this.#lane.newest < this.#from) return;
    for (const reason of this.#lane.reasons(this.#rule)) this.#reasons.add(reason);
  }

  #found({ cells, time, evidence }: Finding): void {
    this.matches += 1;
    this.#newest.push({ eventId: cells[EVENT_ID] as number, time, evidence });
    if (this.#newest.length > this.#most) this.#newest.shift();
  }

  result(): Omit<WindowReplay, "from" | "to" | "stopped"> {
    const { evaluations, cpuMs } = this.#cost;
    return {
      events: this.events,
      matches: this.matches,
      suppressed: this.#suppressed,
      excepted: this.#excepted,
      evaluations,
      faults: this.#faults,
      fault: this.#fault,
      cpuMs: Math.round(cpuMs),
      // Of evaluations that were cut there is a count
      reasons: [...this.#reasons].filter((reason) => !reason.startsWith("its last evaluation")),
      examples: this.#newest.toReversed(),
      columns: this.columns,
    };
  }

  [Symbol.dispose](): void {
    this.#lane[Symbol.dispose]();
  }
}
