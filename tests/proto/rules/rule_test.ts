import assert from "node:assert/strict";
import fc from "fast-check";
import { columnPlaces } from "../../../proto/event_row.ts";
import { MAX_RULE_LENGTH, RuleError, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";

const RULE = `id: netcat-shell
title: Netcat runs a shell
description: |
  Someone on the network gets a shell.
severity: high
tags: [attack.t1059.004]
references:
  - https://example.org/
false_positives:
  - None
sql: |
  -- what is looked for
  SELECT pid, name
  FROM process_events
  WHERE event_type = 'start'
    AND name = 'nc'
tests:
  match:
    - { event_type: start, name: nc, pid: 7 }
  no_match:
    - event_type: start
      name: ncdu
    - { event_type: start, name: ~ }
`;

/** The rule with a piece replaced is refused, at that place. */
function refuses(piece: string, by: string, reason: RegExp, line: number, column: number): void {
  assert(RULE.includes(piece), piece);
  refusesText(RULE.replace(piece, by), reason, line, column);
}

function refusesText(text: string, reason: RegExp, line: number, column: number): void {
  assert.throws(() => validateRule(parseRule(text, "rules/x.yml")), (error) => {
    assert(error instanceof RuleError, String(error));
    assert.match(error.reason, reason);
    assert.equal(`${error.line}:${error.column}`, `${line}:${column}`, error.message);
    assert.equal(error.message, `rules/x.yml:${line}:${column}: ${error.reason}`);
    assert.equal(error.file, "rules/x.yml");
    return true;
  });
}

Deno.test("parseRule() reads every key", () => {
  const rule = validateRule(parseRule(RULE, "x.yml"));
  assert.equal(rule.id, "netcat-shell");
  assert.equal(rule.title, "Netcat runs a shell");
  assert.equal(rule.description, "Someone on the network gets a shell.");
  assert.equal(rule.severity, "high");
  assert.deepEqual(rule.tags, ["attack.t1059.004"]);
  assert.deepEqual(rule.references, ["https://example.org/"]);
  assert.deepEqual(rule.falsePositives, ["None"]);
  assert.equal(rule.enabled, true);
  assert.deepEqual(rule.query!.row!.outputs.map((output) => output.name), ["pid", "name"]);
  const places = columnPlaces("process_events");
  const [row] = rule.tests.match;
  assert.deepEqual(
    ["event_type", "name", "pid", "ppid"].map((column) => row!.values[places.get(column)!]),
    ["start", "nc", 7, null],
  );
  assert.equal(row!.values.length, places.size);
  assert.deepEqual(rule.tests.noMatch.map((row) => row.position.line), [21, 23]);
});

Deno.test("parseRule() takes a rule without the optional keys, and one that is switched off", () => {
  const text = "id: abc\ntitle: t\ndescription: d\nseverity: low\nsql: SELECT pid FROM process_events WHERE pid = 1\n";
  const rule = validateRule(parseRule(text, "x.yml"));
  assert.deepEqual([rule.tags, rule.references, rule.falsePositives, rule.tests], [[], [], [], {
    match: [],
    noMatch: [],
  }]);
  assert.equal(parseRule(text + "enabled: false\n", "x.yml").enabled, false);
});

Deno.test("parseRule() names the key that is unknown, missing or of the wrong form, and its place", () => {
  refuses("severity:", "severty:", /Unknown key "severty"; did you mean severity\?/, 5, 1);
  refuses("title: Netcat runs a shell\n", "", /The key title is missing/, 1, 1);
  refuses("sql: |", "query: |", /Unknown key "query"/, 11, 1);
  refuses("id: netcat-shell", "id: Netcat Shell", /id has 3 to 64 lower-case/, 1, 5);
  refuses("id: netcat-shell", "id: nc", /id has 3 to 64/, 1, 5);
  refuses("id: netcat-shell", "id: 123", /id is a text/, 1, 5);
  refuses("id: netcat-shell", `id: ${"a".repeat(65)}`, /id has 65 characters; 64 are allowed/, 1, 5);
  refuses("severity: high", "severity: severe", /severity is one of info, low, medium, high, critical/, 5, 11);
  refuses("[attack.t1059.004]", "attack.t1059.004", /tags is a list/, 6, 7);
  refuses("[attack.t1059.004]", "[fine, Not Fine]", /A tag has lower-case/, 6, 14);
  refuses("- https://example.org/", "- 5", /Each of references is a text/, 8, 5);
  refuses("title: Netcat runs a shell", "title: ''", /title is empty/, 2, 9);
  refuses("title: Netcat runs a shell", "title:", /title is a text/, 2, 1);
  refuses("title: Netcat runs a shell", 'title: "a\\nb"', /title is one line/, 2, 9);
  refuses("title: Netcat runs a shell", 'title: "a\\u001b[31m"', /control character/, 2, 9);
  refuses("severity: high", "severity: high\nenabled: 1", /enabled is true or false/, 6, 10);
  refuses("  match:", "  matches:", /Unknown key "matches"; tests has match and no_match/, 18, 3);
  refuses("severity: high", "severity: high\nseverity: low", /duplicated mapping key/i, 6, 1);
  refuses("title: Netcat", "title: &a Netcat", /Anchors/, 2, 9);
  refusesText("- a\n- b\n", /A rule file is a mapping/, 1, 1);
  refusesText(`# ${"x".repeat(MAX_RULE_LENGTH)}`, /are allowed/, 1, 1);
  refusesText(RULE + "x".repeat(10_485_760), /The file has 104[0-9]+ characters; 262144 are allowed/, 1, 1);
  refuses("title: Netcat runs a shell", "title: {a: b}", /title is a text/, 2, 8);
  refuses("sql: |", "sql: 5\nx: |", /Unknown key "x"/, 12, 1);
  refuses("tags: [attack.t1059.004]", `tags: [${"a,".repeat(33)}]`, /tags is a list of at most 32/, 6, 7);
  refuses("    - { event_type: start, name: nc, pid: 7 }", "    - {}\n".repeat(201).trimEnd(), /at most 200/, 19, 5);
  refuses("description: |", "description: !!binary |", /Tags/, 3, 14);
});

Deno.test("parseRule() checks the columns and values of test rows", () => {
  refuses("pid: 7", "pidd: 7", /process_events has no column "pidd"; did you mean p?pid\?/, 19, 38);
  refuses("pid: 7", "pid: seven", /The column pid holds a whole number/, 19, 43);
  refuses("pid: 7", "pid: 7.5", /whole number/, 19, 43);
  refuses("pid: 7", "pid: true", /whole number/, 19, 43);
  refuses("pid: 7", "pid: 99999999999999999999", /whole number/, 19, 43);
  refuses("name: ncdu", "name: 12", /The column name holds a text; put a number into quotes/, 22, 13);
  refuses("name: ncdu", "duration_ms: soon", /duration_ms holds a number/, 22, 20);
  refuses("name: ncdu", "name: [a]", /holds a text/, 22, 13);
  refuses("    - { event_type: start, name: nc, pid: 7 }", "    - nc", /A test row is a mapping/, 19, 7);
});

Deno.test("validateRule() points at the place in the file where the query is at fault", () => {
  refuses("SELECT pid, name", "SELECT pid, nmae", /There is no column nmae; did you mean name\?/, 13, 15);
  refuses("FROM process_events", "FROM processes", /A rule reads process_events, not processes/, 14, 8);
  refuses("AND name = 'nc'", "AND load_extension('x')", /The function load_extension is not allowed/, 16, 9);
  refuses("AND name = 'nc'", "AND name GLOB 'nc'", /The operator GLOB/, 16, 9);
  refuses("AND name = 'nc'", "AND AND name = 'nc'", /"AND" is not expected here/, 16, 9);
  refuses("AND name = 'nc'", "GROUP BY name", /a rule over several rows names its window/, 16, 5);
  refuses("AND name = 'nc'", "AND name = 'nc", /text is not closed/, 16, 16);
  const sql = "SELECT pid FROM process_events WHERE pid = 1";
  const inline = RULE.replace(/sql: \|[^]*?(?=tests:)/, `sql: ${sql}\n`);
  assert.doesNotThrow(() => validateRule(parseRule(inline, "x.yml")));
  refusesText(inline.replace("pid = 1", "pdi = 1"), /no column pdi/, 11, 43);
  refusesText(inline.replace(sql, `"SELECT \\"pid\\" FROM process_events WHERE pdi = 1"`), /no column pdi/, 11, 48);
  refusesText(
    inline.replace(sql, `'SELECT pid FROM process_events WHERE name = ''a'' AND pdi = 1'`),
    /no column pdi/,
    11,
    61,
  );
  refusesText(inline.replace(sql, `${sql}\n  AND name = 'x'`), /literal block: sql: \|/, 11, 6);
  refusesText(RULE.replace("sql: |", "sql: >"), /literal block: sql: \|/, 12, 1);
});

Deno.test("parseRule() ends every text with a rule or a RuleError", () => {
  fc.assert(
    fc.property(fc.nat(RULE.length), fc.nat(60), fc.string({ maxLength: 8 }), (at, length, by) => {
      const text = RULE.slice(0, at) + by + RULE.slice(at + length);
      try {
        validateRule(parseRule(text, "x.yml"));
      } catch (error) {
        assert(error instanceof RuleError, `${text}\n${error}`);
        assert(error.line >= 1 && error.column >= 1 && error.line <= text.split("\n").length + 1);
      }
    }),
    { numRuns: 1_500 },
  );
});
