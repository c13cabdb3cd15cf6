// Texts, lists, maps, keywords, null, conditions and what may be left out: the specification's pages on rules.
import assert from "node:assert/strict";
import { holds, matches, refuses, verdictOn } from "./support.ts";

const line = (command_line: string | null) => ({ command_line });
const lines = (...texts: string[]) => texts.map(line);
const value = (text: string): string => `selection:\n    CommandLine: ${text}\ncondition: selection`;

Deno.test("* is any text and ? one character", () => {
  holds(value("'prog?.exe'"), lines("progA.exe", "progé.exe"), lines("prog.exe", "progAB.exe"));
  holds(
    value("'antivirus_V*.exe'"),
    lines("antivirus_V1.exe", "antivirus_V21.2.1.exe", "antivirus_V.exe"),
    lines("antivirus_1.exe"),
  );
  holds(value("'a*b?c*'"), lines("abxc", "a..b.c..", "aaabbxcc"), lines("abc", "xabxc"));
  holds(value("'*'"), lines("", "x"), [line(null)]);
  holds(value("'a%b_c'"), lines("a%b_c"), lines("axxbyc"));
});

Deno.test("a backslash escapes wildcards and itself, and is one before anything else", () => {
  holds(value("'C:\\x'"), lines("C:\\x"), lines("C:x"));
  holds(value("'C:\\\\x'"), lines("C:\\x"), lines("C:\\\\x"));
  holds(value("'a\\*b\\?'"), lines("a*b?"), lines("axb?", "a\\*b\\?"));
  holds(value("'a\\\\*'"), lines("a\\", "a\\bc"), lines("a*", "a"));
  holds(value("'a\\\\\\*'"), lines("a\\*"), lines("a\\bc"));
  holds(value("'a\\\\\\b'"), lines("a\\\\b"), lines("a\\b"));
  holds(value("'a\\\\\\\\b'"), lines("a\\\\b"), lines("a\\b"));
});

Deno.test("a list of texts is any of them, a map all of its fields, a list of maps any of the maps", () => {
  const security = "selection:\n    Image: /bin/a\n    ProcessId:\n        - 517\n        - 1102\ncondition: selection";
  holds(security, [{ executable_path: "/bin/a", pid: 517 }, { executable_path: "/BIN/A", pid: 1102 }], [
    { executable_path: "/bin/a", pid: 518 },
    { executable_path: "/bin/b", pid: 517 },
  ]);
  const maps =
    "selection:\n    - Image|endswith: '/example'\n    - CommandLine|contains: 'Test executable'\n      User: root\n" +
    "condition: selection";
  holds(maps, [{ executable_path: "/x/example" }, { command_line: "a test EXECUTABLE", user_name: "root" }], [
    { command_line: "test executable", user_name: "bob" },
    { executable_path: "/example/x" },
  ]);
});

Deno.test("keywords are looked for in every text of the event, one of a list or all of it", () => {
  holds("keywords:\n    - EVILSERVICE\n    - 'svchost.exe -n evil'\ncondition: keywords", [
    { command_line: "x evilservice y" },
    { parent_command_line: "Svchost.exe -n Evil" },
    { executable_path: "/opt/evilservice" },
  ], [{ command_line: "evil service" }, { environment: '{"A":"evilservice"}' }, { container_id: "evilservice" }]);
  holds("keywords:\n    '|all':\n        - OabVirtualDirectory\n        - ' -ExternalUrl '\ncondition: keywords", [
    { command_line: "set-oabvirtualdirectory -ExternalUrl x" },
    { command_line: "a -ExternalUrl b", parent_command_line: "OabVirtualDirectory" },
  ], [{ command_line: "a -ExternalUrl b" }]);
  holds("one: lone word\ncondition: one", lines("a lone word here"), lines("a word"));
  holds("one:\n    - 4711\n    - 'a*b'\ncondition: one", lines("pid 4711", "xaYYbz"), lines("471", "ba"));
  holds("one:\n    '|re': 'a[0-9]b'\ncondition: one", [{ name: "xa1bx" }], [{ name: "ab" }]);
});

Deno.test("a list of texts and maps is any of its keywords and maps", () => {
  const mixed = "one:\n    - lonely\n    - Image: /bin/x\n    - other\ncondition: one";
  holds(mixed, [{ name: "lonely" }, { executable_path: "/bin/x" }, { command_line: "an other" }], [{
    executable_path: "/bin/xy",
  }]);
});

Deno.test("null is a field without a value, '' one with an empty text", () => {
  holds(value("null"), [line(null)], lines("", "x"));
  holds(value("''"), lines(""), [line(null), line("x")]);
  holds(value("[null, '', x]"), [line(null), ...lines("", "X")], lines("y"));
  holds("selection:\n    ProcessId: 4738\nfilter:\n    CommandLine: null\ncondition: selection and not filter", [
    { pid: 4738, command_line: "x" },
    { pid: 4738, command_line: "" },
  ], [{ pid: 4738, command_line: null }, { pid: 1, command_line: "x" }]);
  refuses("selection:\n    CommandLine|contains: null\ncondition: selection", /null goes with/, 2);
});

Deno.test("a number is the number in a column of numbers, and as it is written in a column of texts", () => {
  holds("selection:\n    ProcessId: 0x10\ncondition: selection", [{ pid: 16 }], [{ pid: 10 }]);
  holds(value("0x10"), lines("0x10"), lines("16"));
  holds(value("1.10"), lines("1.10"), lines("1.1"));
  holds(value("true"), lines("True"), lines("1"));
  holds("selection:\n    ProcessId: '4*'\ncondition: selection", [{ pid: 4 }, { pid: 47 }], [{ pid: 14 }, {
    pid: null,
  }]);
  holds("selection:\n    file_exists: false\ncondition: selection", [{ file_exists: 0 }], [{ file_exists: 1 }, {
    file_exists: null,
  }]);
  holds("selection:\n    file_exists: 'True'\ncondition: selection", [{ file_exists: 1 }], [{ file_exists: 0 }]);
  refuses("selection:\n    ProcessId: abc\ncondition: selection", /pid is a whole number and never "abc"/, 2);
  refuses("selection:\n    ProcessId: 123456789012345678\ncondition: selection", /digits/, 2);
  refuses("selection:\n    duration_ms: '1*'\ncondition: selection", /number with a fraction/, 2);
});

const THREE = "a:\n    CommandLine|contains: a\nb:\n    CommandLine|contains: b\nc:\n    CommandLine|contains: c\n" +
  "_d:\n    CommandLine|contains: d\ncondition: ";

Deno.test("conditions: or binds least, then and, then not; parentheses change it", () => {
  holds(`${THREE}a or b and c`, lines("a", "bc"), lines("b", "c"));
  holds(`${THREE}(a or b) and c`, lines("ac", "bc"), lines("a", "ab"));
  holds(`${THREE}not a and b`, lines("b"), [...lines("ab", "c"), line(null)]);
  holds(`${THREE}not (a and b)`, [...lines("a", "b", ""), line(null)], lines("ab"));
  holds(`${THREE}not not a`, lines("a"), [...lines("b"), line(null)]);
  holds(`${THREE}A or B`.replace("A or B", "a OR b AND NOT c"), lines("a", "b"), lines("bc"));
});

Deno.test("conditions: 1, any, all and N of them or of a pattern of names", () => {
  holds(`${THREE}1 of them`, lines("a", "b", "c"), lines("d"));
  holds(`${THREE}any of them and not _d`, lines("a"), lines("ad", "d"));
  holds(`${THREE}all of them`, lines("abc"), lines("ab", "bcd"));
  holds(`${THREE}2 of them`, lines("ab", "ac", "bc", "abc"), [...lines("a", "d", ""), line(null)]);
  holds(`${THREE}not 2 of them`, [...lines("a", "d", ""), line(null)], lines("ab", "abc"));
  holds(`${THREE}1 of _*`, lines("d"), lines("abc"));
  holds(`${THREE}all of *`, lines("abcd"), lines("abc"));
  const named = "selection_a_x:\n    CommandLine|contains: a\nselection_b_x:\n    CommandLine|contains: b\n" +
    "filter_main:\n    CommandLine|contains: c\nfilter_optional:\n    User: root\ncondition: ";
  holds(`${named}all of selection* and not 1 of filter*`, lines("ab"), [...lines("abc", "a"), {
    command_line: "ab",
    user_name: "root",
  }]);
  holds(`${named}1 of sel*_x and not filter_main`, lines("a", "b"), lines("ac"));
  holds(`${named}all of selection_*_x`, lines("ab"), lines("a"));
});

Deno.test("conditions: a list of them is any of them", () => {
  holds(`${THREE}[a and b, c]`, lines("ab", "c"), lines("a", "b"));
});

Deno.test("conditions that cannot be understood are refused with their place", () => {
  const last = 9;
  refuses(`${THREE}a and`, /A name of the detection is expected at the end/, last);
  refuses(`${THREE}a b`, /and, or or the end is expected here, not "b"/, last);
  refuses(`${THREE}(a or b`, /A closing parenthesis is expected at the end/, last);
  refuses(`${THREE}a)`, /and, or or the end is expected/, last);
  refuses(`${THREE}a and e`, /The detection has nothing named "e"; it has a, b, c, _d/, last);
  refuses(`${THREE}1 of e*`, /Nothing of the detection is named like "e\*"/, last);
  refuses(`${THREE}5 of them`, /5 of 3 cannot be/, last);
  refuses(`${THREE}0 of them`, /0 of 3 cannot be/, last);
  refuses(`${THREE}1 of`, /A pattern of names/, last);
  refuses(`${THREE}a | count() > 5`, /write a correlation instead/, last);
  refuses(`${THREE}${"(".repeat(40)}a${")".repeat(40)}`, /within each other/, last);
  refuses(`${THREE}''`, /A name of the detection is expected/, last);
  refuses("a:\n    CommandLine: x\ntimeframe: 5m\ncondition: a", /timeframe/, 3);
  const { reasons } = verdictOn(`${THREE}a and nope`);
  assert.deepEqual([reasons[0]!.line, reasons[0]!.column], [15, 22]);
});

Deno.test("forms of a detection without a meaning are refused with their place", () => {
  refuses("a: []\ncondition: a", /The list is empty/, 1);
  refuses("a:\n    CommandLine: []\ncondition: a", /The list is empty/, 2);
  refuses("a: {}\ncondition: a", /The mapping is empty/, 1);
  refuses("a:\n    CommandLine:\n        x: 1\ncondition: a", /A value is a text/, 3);
  refuses("a:\n    - [x]\ncondition: a", /list within a list/, 2);
  refuses("a:\n    CommandLine: [[x]]\ncondition: a", /A value is a text/, 2);
  refuses("condition: a", /Nothing is looked for/);
  refuses("a:\n    CommandLine: x", /The condition is missing/);
  refuses("a:\n    CommandLine: x\ncondition: 5", /A condition is a text/, 3);
  refuses('a:\n    CommandLine: "x\\0y"\ncondition: a', /NUL/, 2);
});

const NOWHERE = "ok:\n    CommandLine|contains: ok\nbad:\n    Nowhere: x\ncondition: ";

Deno.test("what cannot be told is never taken for false: it is left out only where less matches then", () => {
  const partial = (condition: string, yes: readonly string[], no: readonly string[]): void => {
    const { verdict, reasons, rule } = verdictOn(NOWHERE + condition);
    assert.equal(verdict, "partial", condition);
    assert.match(reasons[0]!.reason, /The field "Nowhere" is in no event of this host/);
    assert.equal(reasons[0]!.line, 10);
    assert.match(rule!.missing[0]!, /Nowhere.*line 10/);
    assert.deepEqual(matches(rule!, lines(...yes, ...no)), [...yes.map(() => true), ...no.map(() => false)], condition);
  };
  partial("ok or bad", ["ok"], ["x"]);
  partial("1 of *", ["ok"], ["x"]);
  partial("[ok, bad]", ["ok"], ["x"]);
  partial("not (ok and bad)", ["x"], ["ok"]);
  refuses(`${NOWHERE}bad`, /Nowhere/, 4);
  refuses(`${NOWHERE}not bad`, /Nowhere/, 4);
  refuses(`${NOWHERE}ok and bad`, /Nowhere/, 4);
  refuses(`${NOWHERE}ok and not bad`, /Nowhere/, 4);
  refuses(`${NOWHERE}not (ok or bad)`, /Nowhere/, 4);
  refuses(`${NOWHERE}all of *`, /Nowhere/, 4);
  refuses(`${NOWHERE}not 1 of *`, /Nowhere/, 4);
});

Deno.test("a value that cannot be asked for drops out of a list, and takes all of it with it under not", () => {
  const list = "a:\n    CommandLine|re:\n        - 'x+y'\n        - 'x(?=y)'\ncondition: ";
  const { verdict, reasons, rule } = verdictOn(`${list}a`);
  assert.equal(verdict, "partial");
  assert.deepEqual([reasons.length, reasons[0]!.line], [1, 10]);
  assert.deepEqual(matches(rule!, lines("xxy", "x")), [true, false]);
  refuses(`${list}not a`, /look-around/, 4);
  refuses(list.replace("|re", "|re|neq") + "a", /look-around/, 4);
  refuses(list.replace("|re", "|re|all") + "a", /look-around/, 4);
  const turned = verdictOn(`${list.replace("|re", "|re|neq|all")}a`);
  assert.equal(turned.verdict, "partial");
  assert.deepEqual(matches(turned.rule!, lines("xxy", "x")), [false, true]);
});

Deno.test("some of several: what is missing does not count, and under not nothing may be missing", () => {
  const four = THREE.replace("condition: ", "e:\n    Nowhere: x\ncondition: ");
  const { verdict, rule } = verdictOn(`${four}2 of them`);
  assert.equal(verdict, "partial");
  assert.deepEqual(matches(rule!, lines("ab", "a")), [true, false]);
  refuses(`${four}not 2 of them`, /Nowhere/);
});

Deno.test("a part that no condition names may hold what cannot be told", () => {
  holds(`${NOWHERE}ok`, lines("ok"), lines("x"));
});

Deno.test("a field may be named as its column, and a near miss is told", () => {
  holds("a:\n    container_id|startswith: ab\ncondition: a", [{ container_id: "ABC" }], [{ container_id: null }]);
  refuses("a:\n    CommandLin: x\ncondition: a", /did you mean CommandLine/, 2);
  refuses("a:\n    IntegrityLevel: High\ncondition: a", /IntegrityLevel is not seen: only processes of Windows/, 2);
});

Deno.test("only events of the log source match", () => {
  const { rule } = verdictOn(value("x"));
  const rows = ["start", "stop", "modify", "suspicious"].map((event_type) => ({ event_type, command_line: "x" }));
  assert.deepEqual(matches(rule!, rows), [true, false, false, false]);
});

Deno.test("long values: a simple text is looked for whatever its length, one with wildcards is refused", () => {
  const long = "aB".repeat(600);
  for (const [key, inside] of [["contains", "x{}y"], ["startswith", "{}y"], ["endswith", "x{}"]] as const) {
    const [yes, no] = [inside.replace("{}", long.toUpperCase()), inside.replace("{}", long.slice(1))];
    holds(`a:\n    CommandLine|${key}: ${long}\ncondition: a`, lines(yes), lines(no));
  }
  holds(`a:\n    CommandLine: ${long}\ncondition: a`, lines(long.toLowerCase()), lines(`${long}x`));
  refuses(`a:\n    CommandLine: '${long}*${long}'\ncondition: a`, /more than 500 bytes/);
  refuses(`a:\n    CommandLine: '${"x".repeat(5000)}'\ncondition: a`, /5000 characters; 4096 are allowed/, 2);
});

Deno.test("a rule that would be too large says so", () => {
  const values = (count: number): string =>
    Array.from({ length: count }, (_, i) => `        - 'value number ${i}'`).join("\n");
  holds(`a:\n    CommandLine:\n${values(1_000)}\ncondition: a`, lines("value number 999"), lines("value number 1000"));
  refuses(
    `a:\n    CommandLine:\n${values(3_000)}\ncondition: a`,
    /As a query it has [0-9]+ bytes; 120000 are the most/,
  );
});
