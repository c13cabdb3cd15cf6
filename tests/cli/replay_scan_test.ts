import assert from "node:assert/strict";
import { Partitions, Reclaimer } from "../../agent/store/partitions.ts";
import { rowFilter } from "../../cli/replay_filter.ts";
import { type Replay, replayRows } from "../../cli/replay_scan.ts";
import { Store } from "../../cli/store_reader.ts";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { COMPACT, FLAT } from "../../proto/partition_layout.ts";
import { guardSql, type RowQuery } from "../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../proto/rules/sql_refused.ts";
import { defineFunctions } from "../../proto/rules/user_functions.ts";
import { Random } from "../fuzz/random.ts";
import { randomRow, RandomWhere } from "../proto/rules/random_where.ts";
import { NOW, TestState } from "../support/test_store.ts";

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, LINE = PLACES.get("command_line")!, ARGV = PLACES.get("argv")!;

/** Rows of the kinds at which SQLite and JavaScript differ, in three partitions whose times overlap. */
function oddWorld(seed: number, rows: number): TestState {
  const state = new TestState(), random = new Random(seed);
  let partitions = new Partitions(state.db);
  for (let i = 0; i < rows; i++) {
    const row = randomRow(random, i);
    row[TIME] = 1_000 + (i * 37) % 500;
    const line = row[LINE];
    // As the pipeline has it, which is stored as arguments alone; or a line without the JSON of it
    if (typeof line === "string" && !random.oneIn(4)) row[ARGV] = JSON.stringify(line.split(" "));
    partitions.insert(row.map((cell) => typeof cell === "string" ? cell.toWellFormed() : cell) as SqlValue[]);
    if (i % Math.ceil(rows / 3) === 0 && i > 0) {
      partitions.committed();
      partitions.rotate(NOW);
      partitions = new Partitions(state.db);
    }
  }
  return state;
}

function replayed(store: Store, query: RowQuery, options: Partial<Parameters<typeof replayRows>[2]> = {}): Replay {
  return replayRows(store, query, {
    from: 0,
    until: NOW,
    examples: 3,
    deadlineMs: 600_000,
    exceptions: [],
    progress: () => {},
    ...options,
  });
}

function rowQuery(sql: string): RowQuery {
  return guardSql(sql, "rule").row!;
}

Deno.test("replayRows() finds what SQL finds, for conditions and rows of every kind", () => {
  using state = oddWorld(0x7e91, 240);
  defineFunctions(state.db, () => 0);
  using store = Store.open(state.layout.store);
  let filtered = 0, judged = 0, matching = 0;
  for (let number = 0; number < 250; number++) {
    const sql = new RandomWhere(new Random(0x51ce, number)).sql();
    let query: RowQuery;
    try {
      query = rowQuery(sql);
    } catch (error) {
      if (error instanceof SqlRefusedError) continue;
      throw error;
    }
    const { where, alias, translation: { form } } = query;
    const all = `FROM process_events AS "${alias}" WHERE (${where}\n)`;
    let expected: number, newest: unknown[];
    try {
      expected = state.db.prepare(`SELECT count(*) AS n ${all}`).get()!["n"] as number;
      newest = [...state.db.prepare(`SELECT event_id AS id ${all} ORDER BY time DESC, event_id DESC LIMIT 3`).iterate()]
        .map((row) => row["id"]);
    } catch {
      continue; // SQLite cannot compute it for some row: there is a test of that
    }
    const found = replayed(store, query);
    assert.deepEqual([found.events, found.matches, found.faults], [240, expected, 0], sql);
    assert.deepEqual(found.examples.map(({ eventId }) => eventId), newest, sql);
    judged += 1;
    matching += Number(expected > 0);
    if (form !== null && rowFilter(form, COMPACT) !== null) filtered += 1;
  }
  assert.ok(judged > 150 && matching > 80 && filtered > 30, `${judged} ${matching} ${filtered}`);
});

Deno.test("rowFilter() asks dictionaries once a row, and looks for many texts at once", () => {
  const filter = (where: string) => {
    const { translation: { form } } = rowQuery(`SELECT pid FROM process_events WHERE ${where}`);
    return rowFilter(form!, COMPACT);
  };
  const words = (where: string): string => {
    return filter(where)?.where((set) => `set${set}`, (place) => `has${place}`) ?? "anything";
  };
  assert.equal(words("pid = 7 AND name = 'sh' AND user_id = 0"), `(("e"."pid" = 7) AND set0)`);
  assert.deepEqual(filter("name = 'sh' AND pid = 7 AND user_id = 0")!.sets.map((set) => set.where), [
    `(("d"."name" = 'sh') AND ("d"."user_id" = 0))`,
  ]);
  assert.equal(words("command_line LIKE '%a b%'"), "e.arguments LIKE '%a_b%' ESCAPE '\\'");
  const five = ["aa", "bb", "cc", "dd", "e e"].map((text) => `command_line LIKE '%${text}%'`).join(" OR ");
  assert.equal(words(`name = 'sh' AND (${five})`), "(set0 AND has0(e.arguments))");
  const has = filter(five)!.functions[0]!;
  assert.deepEqual(["E\u001fE", "x E E", "e-e", ""].map(has), [true, true, false, false]);
  assert.equal(words("name = 'sh' OR command_line LIKE '%x%'"), "(set0 OR e.arguments LIKE '%x%' ESCAPE '\\')");
  // Nothing can be said
  assert.equal(words("command_line IS NULL OR pid = 7"), "anything");
  assert.equal(words("(command_line LIKE '%x%') IS NOT TRUE"), "anything");
  assert.equal(words("length(command_line) > 5"), "anything");
  assert.equal(rowFilter(rowQuery("SELECT pid FROM process_events WHERE pid = 7").translation.form!, FLAT), null);
});

Deno.test("replayRows() judges an event whose dictionary row came after the filter was made", () => {
  using state = new TestState();
  for (let i = 0; i < 20; i++) state.event({ time: NOW - 100_000 + i * 5_000, name: i % 2 === 0 ? "odd" : "sh" });
  using store = Store.open(state.layout.store);
  let added = false;
  const found = replayed(store, rowQuery("SELECT pid FROM process_events WHERE name LIKE 'odd%' AND pid > 0"), {
    until: NOW - 1,
    progress: () => {
      if (!added) state.event({ time: NOW - 6_000, name: "oddity" });
      added = true;
    },
  });
  assert.deepEqual([found.events, found.matches], [21, 11]);
});

Deno.test("replayRows() goes on when retention takes a partition away", () => {
  using state = new TestState();
  for (let i = 0; i < 10; i++) state.event({ time: NOW - 90_000 + i * 1_000 });
  new Partitions(state.db).rotate(NOW);
  state.reopenPartitions();
  for (let i = 0; i < 10; i++) state.event({ time: NOW - 80_000 + i * 7_000 });
  using store = Store.open(state.layout.store);
  let gone = false;
  const found = replayed(store, rowQuery("SELECT pid FROM process_events WHERE name = 'sh'"), {
    progress: () => {
      if (gone) return;
      gone = true;
      new Partitions(state.db).hideOldest();
      const reclaimer = new Reclaimer(state.db);
      while (reclaimer.pending) reclaimer.step();
    },
  });
  // The first slice had the first second of them
  assert.deepEqual([found.events, found.matches, found.to], [11, 11, NOW - 17_000]);
  assert.equal(found.examples.length, 3);
});

Deno.test("replayRows() stops when its time is up, and says where", () => {
  using state = oddWorld(1, 60);
  using store = Store.open(state.layout.store);
  const found = replayed(store, rowQuery("SELECT pid FROM process_events WHERE pid > 0"), { deadlineMs: -1 });
  assert.deepEqual([found.events, found.stopped], [0, 1_000]);
});
