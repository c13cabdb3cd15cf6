import assert from "node:assert/strict";
import { AlertManager, type ManagerOptions } from "../../../agent/alerts/manager.ts";
import { fits, MuteError } from "../../../agent/alerts/mutes.ts";
import { acknowledge, AlertStateError, close, reopen } from "../../../agent/alerts/states.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Store } from "../../../agent/store/store.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import type { Alert } from "../../../proto/alert.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { execIdOf, newAlert, openTestStream, rows, start, TempDir } from "../support.ts";

const DAY = 86_400_000;

/** A store, a manager, and clocks that go as a test has them. */
class World implements Disposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  store!: Store;
  manager!: AlertManager;
  monotonic = 1_000;
  wall = 1_800_000_000_000;
  readonly counters = newCounters();
  readonly notices: string[] = [];
  #sequence = 0;

  constructor(readonly options: Partial<ManagerOptions> = {}) {
    this.open();
  }

  open(): void {
    this.store = new Store(this.path, ["file"]);
    this.manager = new AlertManager({
      windowMs: 300_000,
      rulePerMinute: 1_000,
      perMinute: 100_000,
      counters: this.counters,
      alerted: () => {},
      failed: (_, error) => {
        throw error;
      },
      notice: (text) => void this.notices.push(text),
      monotonic: () => this.monotonic,
      wall: () => this.wall,
      ...this.options,
    });
    this.manager.attach(this.store);
  }

  /** The agent ends and another begins, `ms` later by the clock of the day, which may have jumped meanwhile. */
  restart(ms: number): void {
    this.manager.detach();
    this.store.close();
    this.wall += ms;
    this.monotonic = 50; // another process has a clock of its own
    this.open();
  }

  pass(ms: number): void {
    this.monotonic += ms;
    this.wall += ms;
    this.manager.tick();
  }

  /** Commits hits; what the store holds of alerts after it. */
  hit(...hits: Partial<Alert>[]): readonly Alert[] {
    const alerts = hits.map((more) => {
      const id = ++this.#sequence;
      return newAlert(`odd@col:e:${id}`, { ruleId: "odd", ruleHash: "ab".repeat(32), time: this.wall, ...more });
    });
    const stream = openTestStream(this.store), lastSequence = stream.lastSequence + 1;
    const batch = { stream, lastSequence, events: [], snapshots: [], gaps: [], sources: null };
    return this.store.commit({ ...batch, alerts, taker: this.manager }, this.wall);
  }

  alerts(): Record<string, SqlValue>[] {
    return rows(this.path, "SELECT * FROM alerts ORDER BY rowid");
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.dir[Symbol.dispose]();
  }
}

const process = (pid: number): Partial<Alert> => ({ pid, execId: execIdOf(pid), dedupKey: execIdOf(pid) });

Deno.test("the same hit is one alert and, when its window ends, one summary with a true count", () => {
  using world = new World();
  assert.equal(world.hit({}).length, 1);
  for (let i = 0; i < 50; i++) assert.equal(world.hit({}, {}, {}).length, 0);
  world.pass(299_000);
  assert.equal(world.alerts().length, 1);
  world.pass(2_000);
  const [first, summary, ...more] = world.alerts();
  assert.deepEqual(more, []);
  assert.deepEqual([first!["kind"], summary!["kind"], summary!["repeat_count"]], ["alert", "summary", 150]);
  assert.equal(summary!["alert_id"], "odd@summary:col:e:1");
  assert.match(String(summary!["reason"]), /the same again, within 300 s/);
  assert.equal(world.store.owedDeliveries, 2);
  assert.deepEqual([world.counters.alerts_repeated, world.counters.alert_summaries], [150, 1]);
  assert.deepEqual(rows(world.path, "SELECT * FROM alert_windows"), []);
  // It goes on: another alert, which knows how often it was
  const [again] = world.hit({});
  assert.equal(again!.hitsBefore, 151);
});

Deno.test("a million identical hits are one alert, one summary and a true count; a second process is a second alert", () => {
  using world = new World();
  const batch: Partial<Alert>[] = Array.from({ length: 1_000 }, () => ({}));
  for (let i = 0; i < 1_000; i++) world.hit(...batch);
  world.hit(process(43));
  world.pass(300_001);
  const kinds = world.alerts().map((row) => [row["kind"], row["pid"], row["repeat_count"]]);
  assert.deepEqual(kinds, [["alert", 42, null], ["alert", 43, null], ["summary", 42, 999_999]]);
});

Deno.test("another version of a rule, and another rule, are not the same hit", () => {
  using world = new World();
  assert.equal(world.hit({}, { ruleHash: "cd".repeat(32) }, { ruleId: "even" }, {}).length, 3);
});

Deno.test("a restart within a window neither repeats the alert nor forgets the count", () => {
  using world = new World();
  world.hit({}, {});
  world.pass(100_000);
  world.hit({});
  world.restart(10_000);
  assert.equal(world.hit({}).length, 0);
  world.pass(189_000);
  assert.equal(world.alerts().length, 1);
  world.pass(2_000);
  assert.deepEqual(world.alerts().map((row) => row["repeat_count"]), [null, 3]);
});

for (const [name, jump] of [["back", -DAY], ["ahead", DAY]] as const) {
  Deno.test(`a clock that jumps a day ${name} while it runs neither floods nor mutes`, () => {
    using world = new World();
    world.hit({}, {});
    world.pass(100_000);
    world.wall += jump;
    world.manager.tick();
    assert.equal(world.hit({}).length, 0);
    assert.equal(world.alerts().length, 1);
    world.pass(200_001);
    assert.deepEqual(world.alerts().map((row) => row["repeat_count"]), [null, 2]);
    assert.equal(world.hit({}).length, 1);
  });

  Deno.test(`a clock that jumps a day ${name} over a restart costs one alert for each window at most`, () => {
    using world = new World();
    world.hit(process(1), process(2), process(1));
    world.restart(jump);
    const again = world.hit(process(1), process(1), process(2), process(2)).length;
    // Ahead, the windows are over: the summary, and each once. Back, they go on, no longer than they were.
    assert.equal(again, jump > 0 ? 3 : 0);
    world.pass(300_001);
    assert.equal(world.hit(process(1), process(2)).length, 2);
  });
}

Deno.test("a rule past its limit is summed up, and critical hits are alerts all the same", () => {
  using world = new World({ rulePerMinute: 10, perMinute: 1_000 });
  const hits = Array.from({ length: 100 }, (_, i) => process(i + 100));
  assert.equal(world.hit(...hits).length, 10);
  assert.equal(
    world.hit(...hits.map((hit) => ({ ...hit, ruleId: "dire", severity: "critical" as const }))).length,
    100,
  );
  world.pass(30_000);
  assert.equal(world.hit(...Array.from({ length: 20 }, (_, i) => process(i + 500))).length, 5);
  assert.equal(world.counters.alerts_limited, 90 + 15);
  world.pass(270_001);
  const [summary] = world.alerts().filter((row) => row["kind"] === "summary");
  assert.equal(summary!["repeat_count"], 105);
  assert.match(String(summary!["reason"]), /limit of 10 alerts a minute.*agent\.alert_rule_per_minute/);
});

Deno.test("all rules together have a limit, which one rule's silenced hits do not use up", () => {
  using world = new World({ rulePerMinute: 100, perMinute: 5 });
  world.manager.addMute(
    { kind: "silence", match: { fields: { rule: "loud" }, atMost: null } },
    "a test",
    60_000,
    "ann",
  );
  assert.equal(world.hit(...Array.from({ length: 50 }, (_, i) => ({ ...process(i), ruleId: "loud" }))).length, 50);
  assert.equal(world.store.owedDeliveries, 0);
  assert.equal(world.hit(...Array.from({ length: 10 }, (_, i) => ({ ...process(i), ruleId: `r${i}` }))).length, 5);
  world.restart(0);
  assert.equal(world.hit(process(99)).length, 0, "a restart does not fill the bucket");
});

Deno.test("a batch that is not stored changes nothing that is remembered", () => {
  using world = new World({ rulePerMinute: 3 });
  world.hit({});
  const stream = openTestStream(world.store);
  const bad = eventRow(start(1), 7, "col");
  bad[0] = "no number";
  const alerts = [1, 2, 3].flatMap((pid) => [newAlert(`odd@col:e:9${pid}`, { ...process(pid), ruleId: "odd" })]);
  const same = newAlert("odd@col:e:99", { ruleHash: "ab".repeat(32) });
  for (let i = 0; i < 3; i++) {
    const batch = {
      stream,
      lastSequence: 50,
      events: [],
      snapshots: [],
      gaps: [],
      sources: null,
      alerts: [...alerts, same],
    };
    const late = {
      ...world.manager,
      take: (...args: Parameters<AlertManager["take"]>) => {
        world.manager.take(...args);
        throw new Error("the disk is full");
      },
      committed: () => world.manager.committed(),
      rolledBack: () => world.manager.rolledBack(),
    };
    assert.throws(() => world.store.commit({ ...batch, taker: late }, 1), StoreError);
  }
  assert.equal(world.counters.alerts_repeated, 0);
  assert.equal(world.hit(process(1), process(2), process(3)).length, 2, "two tokens are left of three");
  world.pass(300_001);
  assert.deepEqual(
    world.alerts().filter((row) => row["kind"] === "summary").map((
      row,
    ) => [row["reason"] === null, row["repeat_count"]]),
    [[false, 1]],
  );
});

Deno.test("more windows than are kept end the oldest early, with its summary", () => {
  using world = new World({ rulePerMinute: 1_000_000, perMinute: 1_000_000 });
  world.hit(process(1), process(1));
  for (let at = 0; at < 20_000; at += 1_000) {
    world.hit(...Array.from({ length: 1_000 }, (_, i) => process(10 + at + i)));
  }
  assert.deepEqual(rows(world.path, "SELECT repeat_count FROM alerts WHERE kind = 'summary'"), [{ repeat_count: 1 }]);
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM alert_windows")[0]!["n"], 20_000);
});

Deno.test("a silence keeps alerts from the sinks, not from the store, over a restart, until it ends", () => {
  using world = new World();
  const id = world.manager.addMute(
    { kind: "silence", match: { fields: { rule: "od*", user: "root" }, atMost: "high" } },
    "maintenance",
    3_600_000,
    "ann",
  );
  world.hit(process(1), { ...process(2), severity: "critical" }, { ...process(3), userName: "bob" });
  assert.deepEqual(world.alerts().map((row) => row["muted_by"]), [id, null, null]);
  assert.equal(world.store.owedDeliveries, 2);
  world.restart(-DAY);
  world.hit(process(4));
  assert.equal(world.alerts().at(-1)!["muted_by"], id);
  world.pass(3_600_001);
  const [mute] = rows(world.path, "SELECT * FROM alert_mutes");
  assert.deepEqual([mute!["muted"], mute!["ended_time"] !== null, mute!["created_by"]], [2, true, "ann"]);
  assert.match(world.notices[0]!, /silence s\w+ \(maintenance\) ended; it kept 2 alerts from the sinks/);
  world.hit(process(5));
  assert.equal(world.alerts().at(-1)!["muted_by"], null);
  // A summary of what was silent is silent
  assert.ok(!world.alerts().some((row) => row["kind"] === "summary"));
});

Deno.test("a silence that is ended early ends at once, and must have terms, a reason and an end", () => {
  using world = new World();
  const match = { fields: { rule: "odd" }, atMost: null };
  const id = world.manager.addMute({ kind: "silence", match }, "x", 60_000, "ann");
  world.manager.endMute(id, "bob");
  assert.equal(world.hit({}).length, 1);
  assert.equal(world.store.owedDeliveries, 1);
  assert.deepEqual(rows(world.path, "SELECT ended_by FROM alert_mutes"), [{ ended_by: "bob" }]);
  const refuses = (words: RegExp, fields: Record<string, string>, reason = "x", ms = 60_000) =>
    assert.throws(
      () => world.manager.addMute({ kind: "silence", match: { fields, atMost: null } }, reason, ms, "ann"),
      (error) => error instanceof MuteError && words.test(error.message),
    );
  refuses(/nothing may mute everything/, {});
  refuses(/holds for everything/, { rule: "**" });
  refuses(/There is no field pid; there are rule, user/, { pid: "1" });
  refuses(/Say why/, { rule: "odd" }, " ");
  refuses(/It must end/, { rule: "odd" }, "x", Infinity);
  assert.throws(() => world.manager.endMute("s0", "ann"), /No silence or inhibition s0 holds/);
});

Deno.test("an inhibition mutes while another alert is fresh that agrees, and not what keeps it back", () => {
  using world = new World();
  world.manager.addMute(
    {
      kind: "inhibition",
      source: { fields: { rule: "upgrade" }, atMost: null },
      target: { fields: { rule: "*" + "d" }, atMost: "high" },
      equal: ["user"],
      freshMs: 60_000,
    },
    "package upgrades write everywhere",
    DAY,
    "ann",
  );
  const muted = (): SqlValue => world.alerts().at(-1)!["muted_by"]!;
  world.hit(process(1));
  assert.equal(muted(), null, "nothing is fresh yet");
  world.hit({ ...process(2), ruleId: "upgrade" });
  assert.equal(muted(), null);
  world.hit(process(3));
  assert.match(String(muted()), /^i/);
  world.hit({ ...process(4), userName: "bob" });
  assert.equal(muted(), null, "another user");
  world.restart(1_000);
  world.hit(process(5));
  assert.match(String(muted()), /^i/, "also after a restart");
  world.pass(60_001);
  world.hit(process(6));
  assert.equal(muted(), null, "no longer fresh");
});

Deno.test("fits() takes stars for any text, and nothing else", () => {
  for (const [pattern, text] of [["a*c", "abc"], ["a*c", "ac"], ["*", ""], ["a*b*c", "a-b-b-c"], ["*.?", "x.?"]]) {
    assert.ok(fits(pattern!, text!), `${pattern} ${text}`);
  }
  for (const [pattern, text] of [["a*c", "abcd"], ["ab*ba", "aba"], ["a*b*c", "acb"], ["?", "x"], ["", "x"]]) {
    assert.ok(!fits(pattern!, text!), `${pattern} ${text}`);
  }
});

Deno.test("an alert is acknowledged, closed and reopened, each step with who and what", () => {
  using world = new World();
  world.hit({}, {});
  const id = "odd@col:e:1", status = (): SqlValue => world.alerts()[0]!["status"]!;
  assert.equal(status(), "open");
  acknowledge(world.store, id, "ann", "I look", 7);
  assert.equal(world.hit({}).length, 0, "still the same");
  assert.throws(() => acknowledge(world.store, id, "bob", "", 8), AlertStateError);
  close(world.store, world.manager, id, "bob", "a test of ours", 9);
  assert.equal(status(), "closed");
  assert.equal(world.alerts().at(-1)!["repeat_count"], 2, "what was counted is told");
  assert.equal(world.hit({}).length, 1, "it came again");
  reopen(world.store, id, "ann", "", 10);
  assert.equal(status(), "open");
  assert.throws(() => close(world.store, world.manager, "none", "ann", "", 1), /There is no alert none/);
  assert.deepEqual(rows(world.path, "SELECT time, action, actor, text FROM alert_history"), [
    { time: 7, action: "acknowledged", actor: "ann", text: "I look" },
    { time: 9, action: "closed", actor: "bob", text: "a test of ours" },
    { time: 10, action: "reopened", actor: "ann", text: "" },
  ]);
});
