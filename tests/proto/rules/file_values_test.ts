// Names of files as values of a correlation: what is one, how many there may be, and what a rule says of them.
import assert from "node:assert/strict";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { correlationWords } from "../../../proto/rules/correlation_words.ts";
import { filesOf, MAX_FILES } from "../../../proto/rules/file_values.ts";
import { RuleError } from "../../../proto/rules/rule.ts";
import { FILES_CUT } from "../../../proto/rules/window_evaluation.ts";
import { correlationRule, found, open } from "./correlation_support.ts";
import { eventCells, take } from "./window_support.ts";

const PLACES = columnPlaces("process_events");
const COMMAND = PLACES.get("command_line")!, PATH = PLACES.get("executable_path")!, SCRIPT = PLACES.get("script_path")!;

function words(command_line: string | null): readonly string[] {
  return filesOf(eventCells(1, 1, { command_line }), { kind: "file", places: [COMMAND], words: true }).names;
}

Deno.test("filesOf() takes the last part of each word, once", () => {
  const cases: readonly (readonly [string | null, readonly string[]])[] = [
    ["curl -so /tmp/x http://203.0.113.9/y", ["curl", "x", "y"]],
    ["wget  http://h/a.sh?token=1/2#z\t--output-document=/tmp/b", ["wget", "a.sh", "b"]],
    ["wget http://h/ http://h .. . / --x -y --z= --w=/", ["wget", "h"]],
    ["a a /x/a", ["a"]],
    ["x y=/z/1 =2", ["x", "1", "=2"]],
    ["", []],
    [null, []],
  ];
  for (const [line, names] of cases) assert.deepEqual(words(line), names, String(line));
  assert.deepEqual(words(`a ${"b".repeat(255)} ${"c".repeat(256)}`), ["a", "b".repeat(255)]);
});

Deno.test("filesOf() takes the last part of a path from the first column that has one", () => {
  const of = (cells: Readonly<Record<string, SqlValue>>): readonly string[] =>
    filesOf(eventCells(1, 1, cells), { kind: "file", places: [SCRIPT, PATH], words: false }).names;
  assert.deepEqual(of({ script_path: "/root/s.sh", executable_path: "/usr/bin/dash" }), ["s.sh"]);
  assert.deepEqual(of({ executable_path: "/tmp/a b" }), ["a b"]);
  assert.deepEqual(of({ executable_path: "/tmp/x (deleted)" }), ["x (deleted)"]);
  assert.deepEqual(of({ script_path: "", executable_path: "/x" }), [], "an empty text is a value");
  assert.deepEqual(of({}), []);
});

const FETCHED = `type: sequence
events:
  fetched: name = 'curl'
  ran: name <> 'curl'
by:
  - user_id
  - file: { fetched: files of command_line, ran: file of script_path or executable_path }
within: 5m`;

Deno.test("an event is of a group for each file that it names, and alone of those that the other names too", () => {
  const rule = correlationRule("fetched", FETCHED);
  using lane = open(rule);
  const curl = (id: number, time: number, command_line: string, user_id = 7) =>
    eventCells(id, time, { name: "curl", command_line, user_id, exec_id: `e${id}` });
  const run = (id: number, time: number, executable_path: string, user_id = 7) =>
    eventCells(id, time, { name: "x", executable_path, user_id, exec_id: `e${id}` });
  assert.deepEqual(found(take(lane, [curl(1, 1_000, "curl -so /tmp/x http://h/y")])), []);
  assert.equal(lane.rows, 3, "curl, x and y");
  assert.deepEqual(found(take(lane, [run(2, 2_000, "/tmp/z"), run(3, 2_000, "/tmp/x", 8)])), []);
  const out = take(lane, [run(4, 3_000, "/opt/x")]);
  assert.deepEqual(found(out), ["@3000 7,x"]);
  assert.deepEqual(out.findings[0]!.evidence["exec_ids"], '["e1","e4"]');
  assert.deepEqual(found(take(lane, [run(5, 4_000, "/opt/y")])), ["@4000 7,y"], "another file is another finding");
  assert.deepEqual(found(take(lane, [run(6, 301_000, "/opt/y")])), [], "its time is over");
  assert.deepEqual(lane.reasons(rule), []);
});

Deno.test("names past the most are left out, and the verdict says so", () => {
  const rule = correlationRule("fetched", FETCHED);
  using lane = open(rule);
  const line = Array.from({ length: MAX_FILES + 1 }, (_, i) => `f${i}`).join(" ");
  take(lane, [eventCells(1, 1_000, { name: "curl", command_line: line, user_id: 7 })]);
  assert.equal(lane.rows, MAX_FILES);
  assert.deepEqual(lane.reasons(rule), [FILES_CUT]);
  const names = [`/f${MAX_FILES}`, `/f${MAX_FILES - 1}`];
  const rows = names.map((executable_path, i) => eventCells(2 + i, 2_000, { executable_path, user_id: 7, name: "x" }));
  assert.deepEqual(found(take(lane, rows)), [`@2000 7,f${MAX_FILES - 1}`]);
});

Deno.test("a batch that is undone leaves none of its names, and a restart has them again", () => {
  const rule = correlationRule("fetched", FETCHED);
  const rows = [
    eventCells(1, 1_000, { name: "curl", command_line: "curl -O http://h/y", user_id: 7 }),
    eventCells(2, 2_000, { name: "y", executable_path: "/tmp/y", user_id: 7 }),
  ];
  using lane = open(rule);
  take(lane, [eventCells(9, 500, { name: "z", executable_path: "/z", user_id: 7 })]);
  for (const _ of lane.judge([rows[0]!], Infinity, take(lane, []))) { /* and not kept */ }
  lane.rollback();
  assert.equal(lane.rows, 1);
  assert.deepEqual(found(take(lane, [rows[1]!])), []);
  using after = open(rule);
  after.clear(1_500);
  assert(after.restore(rows[0]!));
  assert.deepEqual(found(take(after, [rows[1]!])), ["@2000 7,y"]);
  assert.deepEqual(
    [...lane.columns].filter((name) => /path|command/.test(name)),
    ["command_line", "script_path", "executable_path"],
  );
});

Deno.test("what names of files cannot do is refused, and what they can is told in words", () => {
  const refused = (text: string): string => {
    try {
      correlationRule("bad-one", text);
    } catch (error) {
      if (error instanceof RuleError) return error.reason;
      throw error;
    }
    return "";
  };
  const count = (by: string): string => `type: count\nof: name = 'a'\nwithin: 5m\nat_least: 2\nby:\n  - ${by}`;
  assert.equal(refused(count("{ file: { event: file of executable_path } }")), "");
  assert.match(refused(count("file of executable_path")), /a name of their own/);
  assert.match(
    refused(count("{ file: { event: file of executable_pth } }")),
    /no column executable_pth; did you mean executable_path/,
  );
  assert.match(refused(count("{ file: { event: file of pid } }")), /columns of texts/);
  assert.match(
    refused("type: distinct\nof: pid = 1\nwithin: 5m\nat_least: 2\nvalue: files of command_line"),
    /no value/,
  );
  assert.match(
    refused(
      "type: first_seen\nof: pid = 1\nforget_after: 9d\nlearn: 1d\nby: [{ f: { event: file of executable_path } }]",
    ),
    /first_seen is not by names of files/,
  );
  const inner = "type: together\nevents:\n  a:\n    type: count\n    of: pid = 1\n    within: 5m\n    at_least: 2\n" +
    "  b: pid = 2\nby: [{ f: { a: file of executable_path, b: file of executable_path } }]\nwithin: 5m";
  assert.match(refused(inner), /stands alone/);
  assert.deepEqual(correlationWords(correlationRule("fetched", FETCHED).correlation!).slice(0, 3), [
    "fetched, then ran within 5m:",
    "  each user_id, file for itself",
    "  file is of fetched the last part of each word of command_line, of ran the last part of script_path or executable_path",
  ]);
});
