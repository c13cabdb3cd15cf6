import assert from "node:assert/strict";
import { alertNotes, MAX_WAITING } from "../../agent/ledger_notes.ts";
import { noteRequest, noteSettings, noteStop } from "../../agent/self_notes.ts";
import { ExportWatch } from "../../agent/export_watch.ts";
import { Store } from "../../agent/store/store.ts";
import { loadSettings, parseDaemonFlags } from "../../proto/config.ts";
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import { decodeStatement } from "../../proto/ledger/statement.ts";
import { newAlert, openTestStream, TempDir } from "./support.ts";

const HASH = "ab".repeat(32);

const notesOf = alertNotes;

Deno.test("notes of alerts are stored with them or not at all, once, and stay until they are entered", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  let store = new Store(path);
  const stream = openTestStream(store);
  const nothing = { events: [], snapshots: [], gaps: [], sources: null };
  const alerts = Array.from(
    { length: 90 },
    (_, at) => newAlert(`odd@col:e:${at}`, { collectorId: stream.collectorId, ruleHash: HASH }),
  );
  assert.throws(() =>
    store.commit({
      ...nothing,
      stream,
      lastSequence: 1,
      alerts,
      notesOf: (added) => {
        notesOf(added);
        throw new Error("a fault in between");
      },
    }, 1_000)
  );
  assert.equal(store.counters["ledger_notes_waiting"], 0);
  store.commit({ ...nothing, stream, lastSequence: 1, alerts, notesOf }, 1_000);
  // They come again, and are known.
  store.commit({ ...nothing, stream, lastSequence: 2, alerts, notesOf }, 1_001);
  store.close();
  store = new Store(path);
  const notes = store.notesFor(stream.collectorId);
  const said = notes.map(({ action, id, payload }) => {
    const { value, note } = decodeStatement("alert", payload);
    assert.deepEqual([action, note], ["alert", id]);
    return value.alerts;
  });
  assert.deepEqual(said.map(({ length }) => length), [40, 40, 10]);
  assert.deepEqual(said.flat().map(({ id }) => id), alerts.map(({ alertId }) => alertId));
  assert.deepEqual(store.notesFor("another"), []);
  store.forgetNotes(notes[1]!.id, "another");
  assert.equal(store.notesFor(stream.collectorId).length, 3);
  store.forgetNotes(notes[1]!.id, stream.collectorId);
  assert.deepEqual(store.notesFor(stream.collectorId).map(({ id }) => id), [notes[2]!.id]);
  // A clock that went back gives no number out again.
  store.note({ action: "exported", value: { what: "x", name: "y", time: 1, userId: null } }, 5);
  assert.ok(store.notesFor("another")[0]!.id > notes[2]!.id);
  store.close();
});

Deno.test("what finds no room among the notes is counted, and told when there is room", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`), stream = openTestStream(store);
  const alerts = Array.from(
    { length: MAX_WAITING },
    (_, at) => newAlert(`odd@col:e:${at}`, { collectorId: stream.collectorId, ruleHash: HASH }),
  );
  const nothing = { events: [], snapshots: [], gaps: [], sources: null };
  const each = (added: Parameters<typeof alertNotes>[0]) => added.flatMap((alert) => notesOf([alert]));
  store.commit({ ...nothing, stream, lastSequence: 1, alerts, notesOf: each }, 1_000);
  for (let at = 0; at < 3; at++) {
    store.note({ action: "exported", value: { what: "x", name: "y", time: 1, userId: null } }, 2_000 + at);
  }
  assert.equal(store.counters["ledger_notes_waiting"], MAX_WAITING);
  assert.equal(store.counters["ledger_notes_refused"], 3);
  store.forgetNotes(Number.MAX_SAFE_INTEGER, stream.collectorId);
  store.note({ action: "exported", value: { what: "x", name: "y", time: 1, userId: null } }, 3_000);
  const [told, next, ...more] = store.notesFor(stream.collectorId);
  const { count, from, to } = decodeStatement("suppressed", told!.payload).value;
  assert.deepEqual([told!.action, count, from, to], ["suppressed", 3, 2_000, 2_002]);
  assert.equal(next!.action, "exported");
  assert.deepEqual(more, []);
  store.close();
});

Deno.test("a note's number never comes again, whatever the clock does over a restart", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, numbers: number[] = [];
  for (const now of [9_000, 9_000, 3, 9_000]) {
    const store = new Store(path);
    store.note({ action: "exported", value: { what: "x", name: "y", time: 1, userId: null } }, now);
    const [{ id } = { id: 0 }] = store.notesFor("c");
    numbers.push(id);
    store.forgetNotes(id, "c");
    store.close();
  }
  assert.deepEqual(numbers, [9_216_000, 9_216_001, 9_216_002, 9_216_003]);
});

Deno.test("alerts with long ids are told by more notes, none is refused for the others' sake", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`), stream = openTestStream(store);
  const alerts = Array.from(
    { length: 100 },
    (_, at) => newAlert(`${"long-".repeat(180)}x@col:e:${at}`, { collectorId: stream.collectorId, ruleHash: HASH }),
  );
  store.commit({ events: [], snapshots: [], gaps: [], sources: null, stream, lastSequence: 1, alerts, notesOf }, 1_000);
  const ids = store.notesFor(stream.collectorId).flatMap(({ payload }) =>
    decodeStatement("alert", payload).value.alerts
  )
    .map(({ id }) => id);
  assert.deepEqual(ids, alerts.map(({ alertId }) => alertId));
  assert.equal(store.counters["ledger_notes_refused"], 0);
  store.close();
});

Deno.test("what a note says of those that found no room is told again when its transaction is undone", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`), stream = openTestStream(store);
  const nothing = { events: [], snapshots: [], gaps: [], sources: null };
  const alerts = Array.from(
    { length: MAX_WAITING + 2 },
    (_, at) => newAlert(`odd@col:e:${at}`, { collectorId: stream.collectorId, ruleHash: HASH }),
  );
  const each = (added: Parameters<typeof alertNotes>[0]) => added.flatMap((alert) => notesOf([alert]));
  store.commit({ ...nothing, stream, lastSequence: 1, alerts, notesOf: each }, 1_000);
  store.forgetNotes(Number.MAX_SAFE_INTEGER, stream.collectorId);
  const more = [newAlert("odd@col:e:more", { collectorId: stream.collectorId, ruleHash: HASH })];
  const undone = { ...nothing, stream, lastSequence: 2, alerts: more };
  const failing = {
    ...undone,
    get notesOf() {
      return (added: Parameters<typeof alertNotes>[0]) => {
        return [...notesOf(added), { action: "no such", value: {} } as never];
      };
    },
  };
  assert.throws(() => store.commit(failing, 2_000));
  assert.equal(store.counters["ledger_notes_waiting"], 0);
  store.commit({ ...undone, notesOf }, 3_000);
  const [told, alert] = store.notesFor(stream.collectorId);
  assert.deepEqual(decodeStatement("suppressed", told!.payload).value.count, 2);
  assert.equal(alert!.action, "alert");
  store.close();
});

Deno.test("the digest of an alert is of what the file has, without the head", () => {
  const alert = newAlert("odd@col:e:1", { evidence: { b: 1, a: "é" } });
  const head = { origin: "daemoneye/a", size: 4, root: "cm9vdA==" };
  const [one] = notesOf([alert]), [other] = notesOf([{ ...alert, ledger: head }]);
  assert.deepEqual(one, other);
  const { ledger: _, ...line } = JSON.parse(JSON.stringify({ ...alert, ledger: head }));
  const { ledger: __, ...own } = alert;
  assert.equal(canonicalJson(line), canonicalJson(own));
});

Deno.test("the agent says its settings when they are others than it said last, and what it was asked for", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const said = (...flags: string[]): string[] => {
    const store = new Store(path);
    const settings = loadSettings({
      flags: parseDaemonFlags(flags.flatMap((flag) => ["--set", flag])),
      env: {},
      readFile: () => null,
    });
    noteSettings(store, settings.values);
    noteSettings(store, settings.values);
    const notes = store.notesFor("c").map(({ action, payload }) => {
      const { value } = decodeStatement("configurationChanged", payload);
      return `${action} ${JSON.stringify(value.settings)}`;
    });
    store.forgetNotes(Number.MAX_SAFE_INTEGER, "c");
    store.close();
    return notes;
  };
  assert.equal(said().length, 1);
  assert.equal(said().length, 0);
  assert.deepEqual(said("agent.window_rows=5000"), ['configurationChanged {"agent.window_rows":"5000"}']);
  assert.equal(said().length, 1);
  const store = new Store(path);
  noteRequest(store, "load all rules again, by SIGHUP");
  assert.ok(!noteRequest(null, "nobody keeps this"));
  assert.ok(noteRequest(store, "x".repeat(5_000), "user 1000 (alice)", `refused: ${"y".repeat(5_000)}`));
  noteStop(store, "it was told to stop, by SIGTERM");
  noteStop(null, "nobody hears this");
  const [asked, long, stopped, ...more] = store.notesFor("c");
  assert.deepEqual([asked!.action, stopped!.action, more.length], ["request", "tierStopped", 0]);
  const { what, by, outcome } = decodeStatement("request", asked!.payload).value;
  assert.deepEqual([what, by, outcome], ["load all rules again, by SIGHUP", null, null]);
  const cut = decodeStatement("request", long!.payload).value;
  assert.deepEqual([cut.by, cut.what.length, cut.outcome!.length], ["user 1000 (alice)", 1_000, 1_000]);
  store.close();
});

Deno.test("ExportWatch notes each copy of the store once, over a restart as well", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, backup = `${dir.path}/backup`;
  let store = new Store(path);
  const exported = (): string[] =>
    store.notesFor("c").map(({ payload }) => {
      const { name, userId } = decodeStatement("exported", payload).value;
      assert.equal(userId, Deno.uid());
      return name;
    });
  let watch = new ExportWatch(backup);
  watch.attach(store);
  assert.deepEqual(exported(), []);
  Deno.mkdirSync(backup);
  for (const name of ["a.db", ".b.new", "a.db-wal"]) Deno.writeTextFileSync(`${backup}/${name}`, "x");
  watch.look();
  watch.look();
  assert.deepEqual(exported(), ["a.db"]);
  watch.detach();
  store.close();
  store = new Store(path);
  watch = new ExportWatch(backup);
  Deno.writeTextFileSync(`${backup}/c.db`, "x");
  Deno.utimeSync(`${backup}/c.db`, Date.now() / 1_000 + 5, Date.now() / 1_000 + 5);
  watch.attach(store);
  assert.deepEqual(exported(), ["a.db", "c.db"]);
  watch.detach();
  store.close();
});
