import assert from "node:assert/strict";
import { COMMANDS } from "../../cli/commands.ts";
import { runCommandLine } from "../../cli/dispatch.ts";
import { formWords } from "../../proto/rules/form_words.ts";
import { rowQuery, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { cli } from "../support/cli_run.ts";
import { AGENT, NOW, TestState } from "../support/test_store.ts";

const HEAD = "title: A rule\ndescription: For a test\nseverity: low\n";
const DRAFT = `id: odd-one\n${HEAD}status: draft\nsql: |
  SELECT pid, upper(name) AS loud FROM process_events e
  WHERE e.name LIKE 'odd%' AND (command_line LIKE '%--quiet%') IS NOT TRUE
`;
const JSON_RULE = `id: json-one\n${HEAD}sql: |
  SELECT pid FROM process_events WHERE json_extract(argv, '$[1]') = '-c'
`;

/** A host with `count` events, every seventh of which is odd. */
function world(count = 700): TestState {
  const state = new TestState();
  state.live();
  for (let i = 0; i < count; i++) {
    const odd = i % 7 === 0;
    state.event({
      pid: i + 1,
      name: odd ? "Oddity" : "sh",
      command_line: odd && i % 2 === 0 ? "oddity --quiet" : "sh -c true",
      // Many in one millisecond, and long times with none
      time: NOW - 86_400_000 + Math.floor(i / 50) * 3_600_000,
    });
  }
  return state;
}

Deno.test("rules replay finds what SQL finds in the same rows, and shows the newest with their evidence", async () => {
  using state = world();
  const [expected] = [
    ...state.db.prepare(
      `SELECT count(*) AS n, max(event_id) AS newest FROM process_events
     WHERE name LIKE 'odd%' AND (command_line LIKE '%--quiet%') IS NOT TRUE`,
    ).iterate(),
  ];
  const { code, out } = await cli(state, ["rules", "replay", "-", "-f", "json", "--limit", "3"], { stdin: DRAFT });
  const answer = JSON.parse(out);
  assert.equal(code, 0);
  assert.deepEqual(
    [answer.rule_id, answer.events, answer.matches, answer.state, answer.reasons],
    ["odd-one", 700, expected!["n"], "complete", []],
  );
  assert.equal(answer.rule_hash, parseRule(DRAFT, "x").hash);
  assert.equal(answer.examples.length, 3);
  assert.equal(answer.examples[0].event_id, expected!["newest"]);
  assert.deepEqual(answer.examples[0].evidence, { pid: answer.examples[0].pid, loud: "ODDITY" });
  const table = await cli(state, ["rules", "replay", "-", "--limit", "1"], { stdin: DRAFT });
  assert.match(table.err, /odd-one would have fired 50 times in 700 events from .*\nShown are the newest 1;/);
});

Deno.test("rules replay looks only at the time that is asked for, both ends included", async () => {
  using state = world();
  for (
    const [args, events] of [[["--since", "24h"], 700], [["--since", "12h"], 100], [[
      "--since",
      "25h",
      "--until",
      "24h",
    ], 50]] as const
  ) {
    const { out } = await cli(state, ["rules", "replay", "-", "-f", "json", ...args], { stdin: DRAFT });
    assert.equal(JSON.parse(out).events, events, args.join(" "));
  }
  const none = await cli(state, ["rules", "replay", "-", "--since", "30d", "--until", "29d"], { stdin: DRAFT });
  assert.match(none.err, /no event is stored of that time/);
});

Deno.test("rules replay judges the rows around one that cannot be judged, and says that one could not", async () => {
  using state = world(60);
  const time = NOW - 86_400_000;
  state.event({ name: "broken", argv: "no JSON", time });
  state.event({ name: "fine", argv: '["x","-c"]', time });
  const { out, code } = await cli(state, ["rules", "replay", "-", "-f", "json"], { stdin: JSON_RULE });
  const answer = JSON.parse(out);
  assert.deepEqual([code, answer.events, answer.matches, answer.faults, answer.state], [3, 62, 61, 1, "degraded"]);
  assert.match(answer.reasons[0], /1 event could not be judged: malformed JSON/);
});

Deno.test("rules replay says what was not seen, kept or filled, and exits with 3", async () => {
  using state = world(10);
  state.gap(1, NOW - 5_000, NOW - 4_000, 12);
  state.insert("retention", {
    removal_id: 1,
    time: NOW,
    table_name: "process_events",
    from_time: NOW - 400_000_000,
    to_time: NOW - 300_000_000,
    count: 9,
    reason: "age",
  });
  state.insert("sources", {
    collector_id: "procmond",
    name: "proc",
    state: "active",
    unknown_columns: '["name","inode"]',
  });
  const { out, code } = await cli(state, ["rules", "replay", "-", "-f", "json"], { stdin: DRAFT });
  const { reasons } = JSON.parse(out);
  assert.equal(code, 3);
  assert.match(reasons[0], /the source proc does not fill name, which odd-one reads/);
  assert.match(reasons[1], /not everything is kept: 9 events/);
  assert.match(reasons[2], /not everything was seen: 1 gap .*12 records lost/);
  assert.equal(reasons.length, 3);
  const later = await cli(state, ["rules", "replay", "-", "--since", "3d", "--until", "1d"], { stdin: DRAFT });
  assert.doesNotMatch(later.err, /not everything was/);
});

Deno.test("rules replay says of variables when they were captured, as far as the collector knows", async () => {
  using state = world(10);
  const rule = (name: string): string =>
    DRAFT.replace("WHERE e.name", `WHERE coalesce(environment ->> '${name}', '') = '' AND e.name`);
  const reasons = async (name: string): Promise<string[]> => {
    const { out, code } = await cli(state, ["rules", "replay", "-", "-f", "json"], { stdin: rule(name) });
    const answer = JSON.parse(out);
    assert.equal(code, answer.reasons.length === 0 ? 0 : 3);
    return answer.reasons;
  };
  const standing = (attribute: string, status: "configured" | "demanded" | "refused", since = 0) =>
    ({ attribute, state: status, reason: "LD_*, TERM", since }) as const;
  state.writeStatus({}, {
    attributes: [
      standing("environment", "configured"),
      standing("environment.OLD", "demanded", 1),
      standing("environment.NEW", "demanded", NOW - 1_000),
      standing("environment.NO", "refused"),
    ],
  });
  assert.deepEqual([await reasons("LD_PRELOAD"), await reasons("TERM"), await reasons("OLD")], [[], [], []]);
  assert.match((await reasons("NEW")).join(), /^environment\.NEW is collected only since 2026/);
  for (const name of ["NO", "NEVER_ASKED"]) {
    assert.match((await reasons(name)).join(), new RegExp(`^environment\\.${name} is in events only while a rule`));
  }
});

Deno.test("rules explain says what a rule needs of the collector", async () => {
  using state = world(5);
  const asks = DRAFT.replace(
    "WHERE e.name",
    "WHERE executable_hash = 'ab' AND environment ->> 'GIT_SSH' = 'x' AND e.name",
  );
  const needs = async (stdin: string): Promise<string[]> =>
    JSON.parse((await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin })).out).needs;
  assert.deepEqual(await needs(asks), ["executable_hash", "environment.GIT_SSH"]);
  assert.deepEqual(await needs(DRAFT), []);
  assert.match(
    (await needs(DRAFT.replace("WHERE e.name", "WHERE environment LIKE '%x%' AND e.name"))).join(),
    /no variable is named/,
  );
  const table = await cli(state, ["rules", "explain", "-"], { stdin: asks });
  assert.match(table.out, /needs +executable_hash, environment\.GIT_SSH, asked of the collector/);
});

Deno.test("rules replay takes the id of a rule, and says which were meant", async () => {
  using state = world(20);
  Deno.writeTextFileSync(`${state.layout.rules}/a.yml`, DRAFT);
  Deno.writeTextFileSync(`${state.layout.rules}/broken.yml`, "id: [");
  Deno.writeTextFileSync(`${state.layout.rules}/overrides.yml`, "overrides: []");
  const found = await cli(state, ["rules", "replay", "odd-one", "-f", "json"]);
  assert.equal(JSON.parse(found.out).events, 20);
  const missed = await cli(state, ["rules", "replay", "odd-won"]);
  assert.equal(missed.code, 1);
  assert.match(missed.err, /There is no rule odd-won in .*did you mean odd-one\?/);
  const wrong = await cli(state, ["rules", "replay", `${state.layout.rules}/broken.yml`]);
  assert.match(wrong.err, /broken\.yml:1:\d+: /);
});

Deno.test("rules replay shows how far it is on a terminal, and takes that away", async () => {
  using state = world(20);
  const pieces: string[] = [], decoder = new TextDecoder();
  const sink = { writeSync: (bytes: Uint8Array) => (pieces.push(decoder.decode(bytes)), bytes.length) };
  await runCommandLine(["--state", state.directory, "rules", "replay", "-"], COMMANDS, {
    stdout: { writeSync: (bytes) => bytes.length },
    stderr: sink,
    stderrTerminal: true,
    columns: 80,
    color: false,
    now: () => NOW,
    readStdin: () => new TextEncoder().encode(DRAFT),
  });
  const shown = pieces.filter((piece) => piece.startsWith("\r"));
  const clear = "\r\u001b[K";
  assert.ok(shown[0]!.startsWith(clear));
  assert.match(shown[0]!.slice(clear.length), /^\d+ % of the time, \d+ events, \d+ match/);
  assert.equal(shown.at(-1), clear);
});

Deno.test("rules explain says lane, condition, literals and cost; of a rule for SQLite, why and its plan", async () => {
  using state = world(50);
  const { out } = await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: DRAFT });
  const answer = JSON.parse(out);
  assert.deepEqual([answer.lane, answer.state, answer.plan], ["stream", "draft", null]);
  assert.deepEqual(answer.predicate, [
    "all of:",
    '  name starts with "odd"',
    '  it is not true (NULL counts) that command_line contains "--quiet"',
  ]);
  assert.deepEqual([answer.literals, answer.further_literals], [['name contains "odd"'], null]);
  const two =
    `id: two\n${HEAD}sql: SELECT pid FROM process_events WHERE name = 'odd' AND command_line LIKE '%--zap %'\n`;
  const both = JSON.parse((await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: two })).out);
  assert.deepEqual(
    [both.literals[0], both.further_literals[0]].sort(),
    ['command_line contains "--zap "', 'name is "odd"'],
  );
  assert.deepEqual([answer.cost.events, answer.cost.candidates, answer.cost.matches], [50, 8, 4]);
  assert.ok(answer.cost.microsecondsPerEvent > 0);
  const sql = JSON.parse((await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: JSON_RULE })).out);
  assert.match(sql.lane, /^sql: /);
  assert.deepEqual([sql.predicate, sql.plan], [null, ["SCAN process_events"]]);
  const over = `id: burst\n${HEAD}window: 5m\nsql: |
  SELECT ppid, count(*) AS n FROM process_events WHERE path_basename(executable_path) = 'sh' GROUP BY ppid HAVING count(*) > 2
`;
  const window = JSON.parse((await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: over })).out);
  assert.deepEqual([window.lane, window.predicate, window.slow], ["window: 5m", null, []]);
  assert.deepEqual([window.cost.events, window.cost.matches, window.cost.held], [50, 1, 50]);
  const product = `id: pairs\n${HEAD}window: 5m\nsql: |
  SELECT a.pid AS p, b.pid AS q FROM process_events a JOIN process_events b ON b.name LIKE 'sh%' AND b.pid + a.pid > 9
  WHERE a.name LIKE 'ls%'
`;
  const slow = JSON.parse((await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: product })).out);
  assert.match(slow.slow.join(), /^SCAN process_events \(condition \d\): once for each row before it/);
  assert.match(window.plan.join(), /SCAN process_events/);
  const table = await cli(state, ["rules", "explain", "-"], { stdin: DRAFT });
  assert.match(table.out, /it matches an event of which[^]*name starts with "odd"[^]*literals by which/);
});

Deno.test("formWords() has words for every shape of a pattern and every kind of condition", () => {
  const words = (where: string): string => {
    const text = `id: abc\n${HEAD}sql: |\n  SELECT pid FROM process_events WHERE ${where}\n`;
    return formWords(rowQuery(validateRule(parseRule(text, "x.yml"))).translation.form!).join(" / ");
  };
  assert.equal(words("name LIKE 'a'"), 'name is "a"');
  assert.equal(words("name LIKE '%a'"), 'name ends with "a"');
  assert.equal(words("name LIKE 'a%b'"), 'name has the shape "a" … "b"');
  assert.equal(words("name LIKE '_a'"), 'name has the shape ? "a"');
  assert.equal(words("name IN ('a', 'B') OR pid <> 3"), 'any of: /   name is one of "a", "B" /   pid is not 3');
  assert.equal(words("NOT (tty IS NULL)"), "it is false (and not NULL) that tty is NULL");
  assert.equal(words("exit_code BETWEEN 1 AND 3"), "exit_code is from 1 to 3");
  assert.equal(words("length(name) > 3"), "length(name) > 3");
});

Deno.test("rules cost lists the dearest first, and says when the agent does not run", async () => {
  using state = new TestState();
  state.live();
  const [rule] = AGENT.rules;
  const dear = { ...rule!, id: "dear-rule", cpuMs: 1_000, rows: 2_000, evaluations: 50, matches: 3, state: "draft" };
  state.writeStatus({ rules: [rule!, dear] }, null);
  const { out, code } = await cli(state, ["rules", "cost", "-f", "csv"]);
  assert.equal(code, 0);
  const lines = out.trimEnd().split("\r\n");
  assert.match(lines[1]!, /^dear-rule,stream,draft,50,3,2,2000,1000,500000,(ab){32}$/);
  assert.match(lines[2]!, /^test-rule,stream,active,120,2,2,40000,12\.5,313,/);
  const stale = await cli(state, ["rules", "cost"], { now: NOW + 60_000 });
  assert.equal(stale.code, 3);
  assert.match(stale.err, /does not run or does not answer/);
});

Deno.test("rules new prints a rule that holds, is a draft, and whose tests pass", async () => {
  const made = await cli(null, ["rules", "new", "my-own-rule"]);
  assert.equal(made.code, 0);
  assert.equal(parseRule(made.out, "x").status, "draft");
  const tested = await cli(null, ["rules", "test", "-"], { stdin: made.out });
  assert.deepEqual([tested.code, tested.err], [0, "1 rule, 5 of 5 tests passed\n"]);
  assert.equal((await cli(null, ["rules", "new", "My Rule"])).code, 1);
  assert.equal((await cli(null, ["rules", "new"])).code, 2);
});

const CORRELATION = `id: two-odd\n${HEAD}correlation:
  type: count
  of: name LIKE 'odd%' AND (command_line LIKE '%--quiet%') IS NOT TRUE
  within: 1h
  at_least: 2
`;
const OVER_SQL = `id: two-sql\n${HEAD}window: 1h\nsql: |
  SELECT name, count(*) AS n FROM process_events WHERE name LIKE 'odd%'
    AND (command_line LIKE '%--quiet%') IS NOT TRUE GROUP BY name HAVING count(*) >= 2
`;
const NEVER = `id: no-answer\n${HEAD}correlation:
  type: absence
  events: { question: "name LIKE 'odd%'", answer: "name = 'answer'" }
  of: question
  not_followed_by: answer
  within: 10m
`;

Deno.test("rules replay judges rules over several events as the agent would have, in SQL or as a correlation", async () => {
  using state = world();
  // Fifty events of one millisecond every hour, of which seven or eight are odd and half of those quiet
  for (const [rule, id, shown] of [[CORRELATION, "two-odd", "count"], [OVER_SQL, "two-sql", "n"]] as const) {
    const { out, code } = await cli(state, ["rules", "replay", "-", "-f", "json", "--limit", "3"], { stdin: rule });
    const answer = JSON.parse(out);
    assert.deepEqual([code, answer.rule_id, answer.events, answer.matches, answer.state], [0, id, 700, 14, "complete"]);
    assert.equal(answer.examples.length, 3);
    assert(answer.examples[0].time > answer.examples[1].time);
    assert(answer.examples[0].evidence[shown] >= 2, JSON.stringify(answer.examples[0]));
  }
  const half = await cli(state, ["rules", "replay", "-", "-f", "json", "--since", "12h"], { stdin: CORRELATION });
  assert.deepEqual([JSON.parse(half.out).events, JSON.parse(half.out).matches], [100, 2]);
  const never = await cli(state, ["rules", "replay", "-", "-f", "json"], { stdin: NEVER });
  assert.equal(JSON.parse(never.out).matches, 14, never.err);
  const table = await cli(state, ["rules", "replay", "-", "--limit", "1"], { stdin: CORRELATION });
  assert.match(table.err, /two-odd would have fired 14 times in 700 events from/);
});

Deno.test("rules explain tells a correlation in words, rules new begins one, and rules validate and test take it", async () => {
  using state = world(50);
  const { out } = await cli(state, ["rules", "explain", "-", "-f", "json"], { stdin: CORRELATION });
  const answer = JSON.parse(out);
  assert.equal(answer.lane, "correlation: at least 2 events within 1h");
  assert.equal(answer.predicate[0], "at least 2 events within 1h:");
  const text = await cli(state, ["rules", "explain", "-", "--plain"], { stdin: CORRELATION });
  assert.match(text.out, /it finds/);
  const made = await cli(state, ["rules", "new", "my-sequence", "sequence"]);
  const tested = await cli(state, ["rules", "test", "-"], { stdin: made.out });
  assert.deepEqual([made.code, tested.code], [0, 0], tested.err);
  const wrong = await cli(state, ["rules", "validate", "-"], { stdin: made.out.replace("within:", "wihtin:") });
  assert.equal(wrong.code, 4);
  assert.match(wrong.out + wrong.err, /:\d+:3.*no key|A sequence has no key "wihtin"; did you mean within/);
  const unknown = await cli(state, ["rules", "new", "my-sequence", "seqence"]);
  assert.match(unknown.err, /did you mean sequence/);
});
