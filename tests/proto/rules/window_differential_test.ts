// The window lane against plain SQL over everything that came: what a rule finds is what its query gives over the rows of
// its window at every trigger. Event by event both must be the same, in batches of any size no finding may be missing.
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../../../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import type { ValidatedRule } from "../../../proto/rules/rule.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";
import { Random } from "../../fuzz/random.ts";
import { eventCells, shown, take, windowRule } from "./window_support.ts";

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!;
const COLUMNS = tableNamed("process_events").columns;

/** Each with the WHERE by which an event starts it, and the columns of its evidence that name a finding. */
const RULES: readonly { rule: ValidatedRule; trigger: string; key: number; grows: boolean }[] = [
  {
    rule: windowRule(
      "group",
      "10s",
      "SELECT ppid, count(*) AS n FROM process_events WHERE event_type = 'stop' AND exit_code <> 0 GROUP BY ppid HAVING count(*) >= 4",
    ),
    trigger: "event_type = 'stop' AND exit_code <> 0",
    key: 1,
    grows: true,
  },
  {
    rule: windowRule(
      "distinct",
      "7s",
      "SELECT lower(name) AS who, user_id, count(DISTINCT pid) AS n FROM process_events WHERE event_type = 'start' AND name LIKE '%a%' GROUP BY who, user_id HAVING n > 2",
    ),
    trigger: "event_type = 'start' AND name LIKE '%a%'",
    key: 2,
    grows: true,
  },
  {
    rule: windowRule(
      "pair",
      "5s",
      `SELECT a.event_id AS a, b.event_id AS b FROM process_events AS a JOIN process_events AS b
         ON b.parent_exec_id = a.exec_id AND b.event_type = 'start' AND b.time >= a.time
       WHERE a.event_type = 'start' AND a.name IN ('curl', 'wget')`,
    ),
    trigger: "event_type = 'start'",
    key: 2,
    grows: true,
  },
  {
    rule: windowRule(
      "span",
      "5s",
      `SELECT a.event_id AS a, b.event_id AS b FROM process_events AS a JOIN process_events AS b USING (exec_id)
       WHERE a.event_type = 'start' AND b.event_type = 'stop' AND b.time - a.time < 300`,
    ),
    trigger: "event_type IN ('start', 'stop')",
    key: 2,
    grows: true,
  },
  {
    rule: windowRule(
      "absent",
      "4s",
      `SELECT a.event_id AS a FROM process_events AS a
       LEFT JOIN process_events AS b ON b.exec_id = a.exec_id AND b.event_type = 'stop'
       WHERE a.event_type = 'start' AND a.user_id = 0 AND b.event_id IS NULL`,
    ),
    trigger: "event_type = 'start' AND user_id = 0 OR event_type = 'stop'",
    key: 1,
    grows: false,
  },
  {
    rule: windowRule(
      "nested",
      "8s",
      `WITH busy AS (SELECT ppid AS parent, count(*) AS n FROM process_events WHERE event_type = 'start' GROUP BY ppid HAVING count(*) > 3)
       SELECT busy.parent AS parent, max(busy.n) AS n, count(*) AS failed FROM busy
       JOIN process_events AS s ON s.ppid = busy.parent WHERE s.event_type = 'stop' AND s.exit_code > 0 GROUP BY busy.parent`,
    ),
    trigger: "event_type = 'start' OR event_type = 'stop' AND exit_code > 0",
    key: 1,
    grows: true,
  },
];

function stream(random: Random, count: number): SqlValue[][] {
  let time = 1_700_000_000_000;
  return Array.from({ length: count }, (_, i) => {
    // Mostly forward, at times a pause longer than every window, at times late
    time += random.chance(0.01) ? 15_000 : random.below(400);
    const late = random.chance(0.15) ? random.below(12_000) : 0;
    const stop = random.chance(0.4);
    return eventCells(i + 1, time - late, {
      event_type: stop ? "stop" : "start",
      exec_id: `e${random.below(30)}`,
      parent_exec_id: `e${random.below(30)}`,
      name: ["curl", "wget", "bash", "Cat", null][random.below(5)]!,
      pid: random.below(6),
      ppid: random.below(4),
      user_id: random.below(3),
      exit_code: stop ? random.below(3) : null,
    });
  });
}

/** Findings by SQL over all that came, at every event that starts a rule, each key with the times that it was found at. */
class Oracle {
  readonly #db = new DatabaseSync(":memory:");
  #newest = -Infinity;
  readonly #raised = new Map<string, number>();

  constructor(readonly of: typeof RULES[number]) {
    this.#db.exec(`CREATE TABLE history (${COLUMNS.map(({ name, type }) => `${name} ${type}`).join(", ")})`);
    this.#db.exec("CREATE TABLE bound (low INTEGER); INSERT INTO bound VALUES (0)");
    this.#db.exec("CREATE VIEW process_events AS SELECT * FROM history WHERE time > (SELECT low FROM bound)");
  }

  take(row: readonly SqlValue[]): string[] {
    const time = row[TIME] as number, { rule, trigger, key } = this.of;
    this.#db.prepare(`INSERT INTO history VALUES (${COLUMNS.map(() => "?").join(", ")})`).run(...row);
    this.#newest = Math.max(this.#newest, time);
    const low = this.#newest - rule.windowMs!;
    if (time <= low) return [];
    const started = this.#db.prepare(`SELECT 1 FROM history WHERE event_id = ? AND (${trigger})`).get(row[0]!);
    if (started === undefined) return [];
    this.#db.prepare("UPDATE bound SET low = ?").run(low);
    const found: string[] = [];
    for (const answer of this.#db.prepare(rule.sql).iterate()) {
      const values = Object.values(answer), name = JSON.stringify(values.slice(0, key));
      const before = this.#raised.get(name);
      // The event that completes it is this one, or, of what was complete before this one came, is not newer.
      if (before !== undefined && (time < before + rule.windowMs!)) continue;
      this.#raised.set(name, time);
      found.push(`${rule.id} ${values.join(",")}`);
    }
    return found;
  }

  keys(): string[] {
    return [...this.#raised.keys()].sort();
  }
}

Deno.test("event by event the window lane finds what SQL over the whole history finds at that event", () => {
  for (const of of RULES.filter(({ rule }) => rule.id !== "absent")) {
    let found = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const oracle = new Oracle(of);
      using lane = new WindowLane([of.rule], { deadlineMs: 60_000 });
      for (const row of stream(new Random(seed), 500)) {
        const out = take(lane, [row]);
        assert.deepEqual(out.faults, []);
        const ours = shown(out).map((text) => text.replace(/ @\d+$/, "")).sort(), theirs = oracle.take(row).sort();
        // Of a group that was complete before, SQL counts this event as the one that raised it again.
        assert.deepEqual(ours, theirs, `${of.rule.id}, seed ${seed}, event ${row[0]}`);
        found += ours.length;
      }
    }
    assert(found > 20, `${of.rule.id} found ${found}: the stream proves nothing`);
  }
});

/** Keys by rule, of the lane over batches of at most so many events, and of SQL over the whole history. */
function* inBatches(
  seed: number,
  most: number,
): Generator<{ of: typeof RULES[number]; ours: string[]; theirs: string[] }> {
  const random = new Random(seed), rows = stream(random, 600);
  using lane = new WindowLane(RULES.map(({ rule }) => rule), { deadlineMs: 60_000 });
  const oracles = RULES.map((of) => new Oracle(of));
  const keys = new Map(RULES.map(({ rule }) => [rule.id, new Set<string>()]));
  for (let at = 0; at < rows.length;) {
    const batch = rows.slice(at, at += 1 + random.below(most));
    for (const row of batch) for (const oracle of oracles) oracle.take(row);
    for (const { rule, evidence } of take(lane, batch).findings) {
      const { key } = RULES.find((of) => of.rule === rule)!;
      keys.get(rule.id)!.add(JSON.stringify(Object.values(evidence).slice(0, key)));
    }
  }
  for (const [i, of] of RULES.entries()) {
    yield { of, ours: [...keys.get(of.rule.id)!].sort(), theirs: oracles[i]!.keys() };
  }
}

Deno.test("in batches of a few events and several rules at once, no finding is missing and none is invented", () => {
  for (let seed = 1; seed <= 6; seed++) {
    for (const { of: { rule, grows }, ours, theirs } of inBatches(seed, 16)) {
      if (grows) assert.deepEqual(ours, theirs, `${rule.id}, seed ${seed}`);
      // What is absent at one event of a batch may be there at its end.
      else assert(ours.every((key) => theirs.includes(key)), `${rule.id}, seed ${seed}`);
    }
  }
});

Deno.test("in batches of hundreds of events that span many windows no finding is missing", () => {
  for (let seed = 1; seed <= 6; seed++) {
    for (const { of: { rule, grows }, ours, theirs } of inBatches(seed, 300)) {
      const missing = grows ? theirs.filter((key) => !ours.includes(key)) : [];
      assert.deepEqual(missing, [], `${rule.id}, seed ${seed}`);
    }
  }
});
