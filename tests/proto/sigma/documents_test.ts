// Files of several documents, what is wrong with them, and what a document says about itself.
import assert from "node:assert/strict";
import { isSigma, parseSigma, splitDocuments } from "../../../proto/sigma/document.ts";
import { matches, ruleText, verdictsOf } from "./support.ts";

const BODY =
  "logsource:\n    category: process_creation\n    product: linux\ndetection:\n    a:\n        CommandLine: x\n    condition: a\n";
const rule = (title: string, more = ""): string => `title: ${title}\n${BODY}${more}`;

/** What is said of a file: line, column, verdict, first reason. */
function told(text: string): [number, number, string, string][] {
  return verdictsOf({ "f.yml": text }).map(({ line, column, verdict, reasons }) => [
    line,
    column,
    verdict,
    reasons[0]?.reason ?? "",
  ]);
}

Deno.test("documents of one file are told apart whatever stands in them", () => {
  const texts = (text: string): string[] => splitDocuments(text).map((piece) => piece.text);
  assert.deepEqual(texts("a: 1\n---\nb: 2\n"), ["a: 1\n", "---\nb: 2\n"]);
  assert.deepEqual(texts("---\na: |\n  --- no\n---\nb: 2"), ["---\na: |\n  --- no\n", "---\nb: 2"]);
  assert.deepEqual(texts("# one\n--- # two\na: 1\n...\n# nothing\n---\n\n"), ["--- # two\na: 1\n...\n"]);
  assert.deepEqual(texts("a: 1\n---b: 2\n"), ["a: 1\n---b: 2\n"]);
  assert.deepEqual(splitDocuments("# x\n---\na: 1\n---\nb: 1").map(({ line }) => line), [1, 3]);
  assert.deepEqual(texts(""), []);
});

Deno.test("a document that is broken keeps no other of its file from loading, and is told with its place", () => {
  const broken: [string, RegExp, number][] = [
    ["title: x\ntitle: y\n", /Duplicated mapping key/, 2],
    ["title: x\nlogsource:\n\tcategory: a\n", /[Tt]ab/, 3],
    ["title: 'x\n", /./, 2],
    ["title: &a x\nfoo: *a\n", /Anchors are not allowed/, 1],
    ["- title: x\n", /is a mapping of title/, 1],
    ["just words\n", /is a mapping of title/, 1],
    [`title: x\n${BODY.replace("condition: a", "condition: b")}`, /nothing named "b"/, 8],
    [`title: x\n${BODY.replace("CommandLine", "CommandLine|contain")}`, /"contain" is unknown/, 7],
    [`${BODY}`, /title is missing/, 1],
    [`title: x\n${BODY.replace(/logsource[\s\S]*?detection/, "detection")}`, /logsource is missing/, 1],
    [`title: x\nlogsource: linux\n${BODY.slice(BODY.indexOf("detection"))}`, /logsource is a mapping/, 2],
    ["title: x\nlogsource:\n    product: linux\n", /one of detection, correlation and filter/, 1],
    [`title: x\n${BODY}filter:\n    rules: [a]\n`, /not both/, 9],
    [`title: x\naction: global\n${BODY}`, /old form of several rules/, 2],
    [`title: x\nlevel: severe\n${BODY}`, /level is one of informational, low/, 2],
    [`title: x\nstatus: new\n${BODY}`, /status is one of stable/, 2],
    [`title: x\nid: a b\n${BODY}`, /id is a UUID/, 2],
    [`title: x\ntaxonomy: ecs\n${BODY}`, /taxonomy "ecs" is unknown/, 2],
    [`title: x\ndaemoneye:\n    test: {}\n${BODY}`, /Unknown key "test".*did you mean tests/, 3],
    [`title: x\ndaemoneye:\n    tests:\n        match: [{ nope: 1 }]\n${BODY}`, /no column "nope"/, 4],
  ];
  for (const [text, reason, line] of broken) {
    const found = told(`${rule("First")}---\n${text}---\n${rule("Last")}`);
    assert.deepEqual(
      found.map(([, , verdict]) => verdict),
      ["live", "unsupported", "unsupported"].with(2, "live"),
      text,
    );
    assert.match(found[1]![3], reason);
    assert.equal(found[1]![0], line + 9, text);
  }
});

Deno.test("a byte order mark, other line ends and an odd indent are no fault", () => {
  assert.deepEqual(told(`\ufeff${rule("x")}`).map(([, , verdict]) => verdict), ["live"]);
  assert.deepEqual(told(rule("x").replaceAll("\n", "\r\n")).map(([, , verdict]) => verdict), ["live"]);
  assert.deepEqual(told(rule("x").replaceAll("    ", " ")).map(([, , verdict]) => verdict), ["live"]);
});

Deno.test("a list of 5 MB is refused with its place, and the document after it loads", () => {
  const list = Array.from({ length: 200_000 }, (_, i) => `        - 'a value with the number ${i}'\n`).join("");
  const text = `${rule("First")}---\n# long\n${
    rule("Large").replace("CommandLine: x\n", `CommandLine:\n${list}`)
  }---\n${rule("Last")}`;
  assert(text.length > 5_000_000);
  const found = told(text);
  assert.deepEqual(found.map(([, , verdict]) => verdict), ["live", "unsupported", "live"]);
  assert.match(found[1]![3], /characters; 262144 are allowed/);
  assert.equal(found[1]![0], 11);
});

Deno.test("a file with nothing in it, or with too much, is told", () => {
  assert.match(told("# only words\n")[0]![3], /The file is empty/);
  const many = told(Array.from({ length: 1_001 }, () => "---\nx: 1\n").join(""));
  assert.match(many.at(-1)![3], /More than 1000 documents/);
});

Deno.test("what a rule says about itself is kept", () => {
  const text = rule("Some  Title", "").replace(
    "logsource:",
    "id: 0E95725D-7320-415D-80F7-004DA920FC11\nname: some_name\nstatus: experimental\ndescription: |\n    Two\n    lines\n" +
      "references:\n    - https://example.org/a\nauthor: A\ndate: 2024-01-02\nmodified: 2024/01/03\ntags:\n    - attack.T1059.004\n" +
      "    - cve.2021-44228\nfalsepositives: Unlikely\nlevel: critical\nfields: [User, CommandLine, Nowhere]\ncustom: [1, 2]\nlogsource:",
  );
  const [verdict] = verdictsOf({ "f.yml": text }), made = verdict!.rule!;
  assert.equal(verdict!.verdict, "live");
  assert.deepEqual(
    [
      made.id,
      made.title,
      made.description,
      made.severity,
      made.tags,
      made.references,
      made.falsePositives,
      made.status,
      made.enabled,
    ],
    [
      "0e95725d-7320-415d-80f7-004da920fc11",
      "Some  Title",
      "Two\nlines",
      "critical",
      ["attack.t1059.004", "cve.2021-44228"],
      ["https://example.org/a"],
      ["Unlikely"],
      "active",
      true,
    ],
  );
  assert.deepEqual(made.query!.row!.outputs.map(({ name }) => name), ["pid", "command_line", "user_name"]);
  assert.equal(made.idPosition.line, 2);
});

Deno.test("a rule without an id has one of its title, without a level medium severity", () => {
  const [verdict] = verdictsOf({
    "f.yml": rule('A: "strange" Title! (ÄÖ)'.replaceAll('"', "'")).replace("title: A:", "title: A -"),
  });
  assert.equal(verdict!.id, "sigma-a-strange-title");
  assert.equal(verdict!.rule!.severity, "medium");
});

Deno.test("a deprecated rule is a draft, one that its author marks unsupported is not supported", () => {
  const of = (status: string, more = "") => verdictsOf({ "f.yml": rule("x", `status: ${status}\n${more}`) })[0]!;
  assert.equal(of("deprecated").rule!.status, "draft");
  assert.equal(of("deprecated", "daemoneye:\n    status: active\n").rule!.status, "active");
  assert.equal(of("stable", "daemoneye:\n    enabled: false\n").rule!.enabled, false);
  assert.match(of("unsupported").reasons[0]!.reason, /Its author marks it unsupported/);
});

Deno.test("tests of a rule are rows of its kind of event", () => {
  const more = "daemoneye:\n    tests:\n        match:\n            - { command_line: x }\n        no_match:\n" +
    "            - { command_line: x, event_type: stop }\n";
  const { rule: made } = verdictsOf({ "f.yml": rule("x", more) })[0]!;
  assert.deepEqual([made!.tests.match.length, made!.tests.noMatch.length], [1, 1]);
  const at = made!.tests.match[0]!;
  assert.equal(at.position.line, 12);
  assert.equal(at.values.includes("start"), true);
});

Deno.test("control characters and long texts do not reach the alerts", () => {
  const text = rule("x").replace("title: x", `title: "a\\x1b[31mb"\ndescription: ${"d".repeat(9_000)}`);
  const { rule: made } = verdictsOf({ "f.yml": text })[0]!;
  assert.equal(made!.title, "a [31mb");
  assert.equal(made!.description.length, 4_096);
});

Deno.test("log sources: what this host has no events of says so", () => {
  const of = (source: string) => verdictsOf({ "f.yml": ruleText("a:\n    Image: x\ncondition: a", "", source) })[0]!;
  const none = (source: string, reason: RegExp): void => {
    const { verdict, reasons } = of(source);
    assert.equal(verdict, "unsupported", source);
    assert.match(reasons[0]!.reason, reason);
    assert.equal(reasons[0]!.line, 3);
  };
  assert.equal(of("category: process_creation").verdict, "live");
  assert.equal(of("category: process_termination").verdict, "live");
  none("category: file_event", /category: file_event, product: linux: files that are made.*no events of it yet/);
  none("category: network_connection", /connections: this host has no events/);
  none("service: auditd", /audit system: this host has no events/);
  none("service: sshd", /\(product: linux, service: sshd\) is not seen by this program/);
  const windows = ruleText("a:\n    Image: x\ncondition: a").replace("product: linux", "product: windows");
  assert.match(verdictsOf({ "f.yml": windows })[0]!.reasons[0]!.reason, /is not of a Linux host/);
  const generic = ruleText("a:\n    Image: x\ncondition: a").replace("    product: linux\n", "");
  assert.equal(verdictsOf({ "f.yml": generic })[0]!.verdict, "live");
});

Deno.test("process_termination is the end of a process", () => {
  const text = ruleText("a:\n    exit_code|gt: 0\ncondition: a", "", "category: process_termination");
  const { rule: made } = verdictsOf({ "f.yml": text })[0]!;
  assert.deepEqual(matches(made!, [{ event_type: "stop", exit_code: 1 }, { event_type: "start", exit_code: 1 }]), [
    true,
    false,
  ]);
});

Deno.test("a mapping of the operator's names fields, log sources and placeholders", () => {
  const mapping =
    "fields:\n    ExecName: name\n    CommandLine: parent_command_line\nlogsources:\n    - product: linux\n" +
    "      service: auditd\n      events: start\n";
  const text = ruleText("a:\n    ExecName: sh\n    CommandLine|contains: x\ncondition: a", "", "service: auditd");
  const [verdict] = verdictsOf({ "f.yml": text, "sigma-mapping.yml": mapping });
  assert.equal(verdict!.verdict, "live");
  assert.deepEqual(
    matches(verdict!.rule!, [{ name: "sh", parent_command_line: "x" }, { name: "sh", command_line: "x" }]),
    [
      true,
      false,
    ],
  );
  const other = verdictsOf({ "f.yml": text, "sigma-mapping.yml": mapping + "placeholders:\n    a: b\n" });
  assert.notEqual(other[0]!.rule!.hash, verdict!.rule!.hash, "what the mapping says is part of the version");
  const plain = ruleText("a:\n    Image: sh\ncondition: a");
  assert.equal(
    verdictsOf({ "f.yml": plain, "sigma-mapping.yml": mapping })[0]!.rule!.hash,
    parseSigma(plain, "f.yml").hash,
    "a rule that does not use it keeps the hash of its file",
  );
});

Deno.test("faults of a mapping are told with their place", () => {
  const faulty: [string, RegExp, number][] = [
    ["fields:\n    A: nope\n", /no column "nope"/, 2],
    ["fields:\n    A: comand_line\n", /did you mean command_line/, 2],
    ["field:\n    A: name\n", /Unknown key "field"; did you mean fields/, 1],
    ["logsources:\n    - product: linux\n", /which events answer it/, 2],
    ["logsources:\n    - { events: start }\n", /has a category, a product or a service/, 2],
    ["logsources:\n    - { product: linux, category: process_creation, events: stop }\n", /is built in/, 2],
    ["placeholders:\n    'a b': x\n", /A placeholder has letters/, 2],
    ["placeholders:\n    a: []\n", /1 to 1000 values/, 2],
    ["placeholders:\n    a: 5\n", /is a text/, 2],
    ["- 1\n", /has fields, logsources, placeholders/, 1],
  ];
  for (const [text, reason, line] of faulty) {
    assert.throws(
      () => verdictsOf({ "sigma-mapping.yml": text }),
      (error: { reason: string; line: number }) => reason.test(error.reason) && error.line === line,
      text,
    );
  }
});

Deno.test("a Sigma file is told from one of our own form", () => {
  assert.equal(isSigma(rule("x")), true);
  assert.equal(isSigma("title: x\ncorrelation:\n    type: temporal\n"), true);
  assert.equal(isSigma("title: x\nfilter:\n    rules: any\nlogsource:\n"), true);
  assert.equal(
    isSigma("id: x\nseverity: low\nsql: |\n  SELECT pid FROM process_events WHERE\n  detection = 1\n"),
    false,
  );
  assert.equal(isSigma("id: x\nseverity: low\ncorrelation:\n    a: 1\n"), false);
});
