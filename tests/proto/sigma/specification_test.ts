// Every example of the specification's pages on rules and modifiers, in their order, each with what it matches and what not.
import assert from "node:assert/strict";
import { MAPPING } from "./specification.ts";
import { holds, matches, refuses, type Row, verdictsOf } from "./support.ts";

const all = (detection: string, yes: readonly Row[], no: readonly Row[]): void => holds(detection, yes, no, MAPPING);
const line = (command_line: string | null): Row => ({ command_line });
const lines = (...texts: string[]): Row[] => texts.map(line);
/** One item of the field CommandLine. */
const item = (modifiers: string, value: string): string =>
  `selection:\n    CommandLine${modifiers}: ${value}\ncondition: selection`;

// Rules

Deno.test("rules: the example of a simple rule", () => {
  const [verdict] = verdictsOf({
    "sigma-mapping.yml": MAPPING,
    "whoami.yml": `title: Whoami Execution
description: Detects a whoami.exe execution
references:
      - https://speakerdeck.com/heirhabarov/hunting-for-privilege-escalation-in-windows-environment
author: Florian Roth
date: 2019-10-23
logsource:
    category: process_creation
    product: windows
detection:
    selection:
        Image: 'C:\\Windows\\System32\\whoami.exe'
    condition: selection
level: high
`,
  });
  assert.deepEqual([verdict!.verdict, verdict!.rule!.severity, verdict!.title], ["live", "high", "Whoami Execution"]);
  const image = (executable_path: string | null): Row => ({ executable_path });
  assert.deepEqual(
    matches(verdict!.rule!, [
      image("C:\\Windows\\System32\\whoami.exe"),
      image("c:\\windows\\system32\\WHOAMI.EXE"),
      image("C:\\Windows\\whoami.exe"),
      image(null),
    ]),
    [true, true, false, false],
  );
});

Deno.test("rules: wildcards", () => {
  all(item("", "'prog?.exe'"), lines("progA.exe", "progB.exe"), lines("prog.exe", "progAB.exe"));
  all(
    item("", "'antivirus_V*.exe'"),
    lines("antivirus_V1.exe", "antivirus_V21.2.1.exe"),
    lines("antivirus_1.exe", "antivirus_V1.dll"),
  );
});

Deno.test("rules: escaping, each of its five sentences", () => {
  for (const plain of ["'C:\\Windows'", "'C:\\\\Windows'"]) {
    all(item("", plain), lines("C:\\Windows"), lines("C:Windows", "C:\\\\Windows"));
  }
  all(item("", "'a\\*'"), lines("a*"), lines("ab", "a\\*"));
  all(item("", "'a\\?'"), lines("a?"), lines("ab", "a\\?"));
  all(item("", "'a\\\\*'"), lines("a\\", "a\\b"), lines("a*", "ab"));
  all(item("", "'a\\\\\\*'"), lines("a\\*"), lines("a\\b", "a*"));
  for (const two of ["'a\\\\\\b'", "'a\\\\\\\\b'"]) all(item("", two), lines("a\\\\b"), lines("a\\b", "a\\\\\\b"));
});

Deno.test("rules: lists of texts, and of maps", () => {
  all(
    "keywords:\n    - 'EVILSERVICE'\n    - 'svchost.exe -n evil'\ncondition: keywords",
    lines("start EvilService now", "svchost.exe -n evil"),
    lines("evil service", "svchost.exe -n"),
  );
  all(
    "selection:\n    - Image|endswith: '\\\\example.exe'\n    - Description|contains: 'Test executable'\n" +
      "condition: selection",
    [{ executable_path: "C:\\example.exe" }, { cwd: "a Test executable." }],
    [{ executable_path: "C:\\example.exe.bak" }, { executable_path: "example.exe" }, { cwd: "Test" }],
  );
});

Deno.test("rules: maps", () => {
  all(
    "selection:\n    EventLog: Security\n    EventID:\n        - 517\n        - 1102\ncondition: selection",
    [{ cgroup_path: "Security", pid: 517 }, { cgroup_path: "security", pid: 1102 }],
    [{ cgroup_path: "Security", pid: 518 }, { cgroup_path: "System", pid: 517 }, { pid: 517 }],
  );
  const ticket = { cgroup_path: "Security", pid: 4769, tty: "0x40810000", container_id: "0x17" };
  all(
    "selection:\n    EventLog: Security\n    EventID: 4769\n    TicketOptions: '0x40810000'\n" +
      "    TicketEncryption: '0x17'\ncondition: selection",
    [ticket],
    [{ ...ticket, container_id: "0x12" }, { ...ticket, tty: "1082195968" }, { ...ticket, pid: 4768 }],
  );
});

Deno.test("rules: null, the empty text, and existence", () => {
  all(
    "selection:\n    EventID: 4738\nfilter:\n    PasswordLastSet: null\ncondition: selection and not filter",
    [{ pid: 4738, reason: "x" }, { pid: 4738, reason: "" }],
    [{ pid: 4738, reason: null }, { pid: 4739, reason: "x" }],
  );
  all(item("", "''"), lines(""), [line(null), line(" ")]);
  all(
    "selection:\n    EventID: 4738\n    PasswordLastSet|exists: true\ncondition: selection",
    [{ pid: 4738, reason: "x" }, { pid: 4738, reason: "" }],
    [{ pid: 4738, reason: null }, { pid: 4739, reason: "x" }],
  );
});

Deno.test("rules: modifiers are chained, and applied in the order given", () => {
  all("selection:\n    fieldname|base64|contains: value\ncondition: selection", lines(`x ${btoa("value")} y`), [
    ...lines("value", btoa("other")),
  ]);
});

Deno.test("rules: placeholders, plain and escaped percent characters, and those that are standard", () => {
  all(item("|expand", "'%Servers%'"), lines("srv1", "SRV"), lines("xsrv1", "%Servers%"));
  all(item("", "'%name%'"), lines("%name%"), lines("alice", "bob"));
  all(item("|expand", "'%name%'"), lines("alice", "bob"), lines("%name%", "eve"));
  all(item("|expand", "'\\%plain%name%'"), lines("%plainalice", "%plainbob"), lines("alice", "%plain%name%"));
  all(
    item("|expand", "['%Administrators%', '%JumpServers%', '%Workstations%', '%DomainControllers%']"),
    lines("root", "adm_x", "jump1", "ws-7", "dc1", "dc2"),
    lines("bob", "ws", "dc3"),
  );
  refuses(item("|expand", "'%Servers%'"), /placeholder %Servers% has no values/, 2);
});

Deno.test("rules: keywords, one of them or all", () => {
  all(
    "mimikatz_keywords:\n    - 'event::clear'\n    - 'event::drop'\ncondition: mimikatz_keywords",
    [...lines("a event::clear b"), { parent_command_line: "EVENT::DROP" }],
    lines("event", "clear"),
  );
  all(
    "keywords_cmdlet:\n    '|all':\n        - 'OabVirtualDirectory'\n        - ' -ExternalUrl '\n" +
      "condition: keywords_cmdlet",
    lines("Set-OabVirtualDirectory -ExternalUrl x"),
    lines("Set-OabVirtualDirectory", "a -ExternalUrl b"),
  );
});

// Conditions

/** Names of parts, each of which asks for its own letter. */
function parts(condition: string, ...names: string[]): string {
  const letters = "abcdefgh";
  const each = names.map((name, i) => `${name}:\n    CommandLine|contains: '${letters[i]}'\n`);
  return `${each.join("")}condition: ${condition}`;
}

Deno.test("conditions: each example", () => {
  all(parts("keywords1 or keywords2", "keywords1", "keywords2"), lines("a", "b", "ab"), lines("x"));
  all(parts("1 of them", "one", "two", "_example"), lines("a", "b"), lines("c", "x"));
  all(parts("all of them", "one", "two", "_example"), lines("ab", "abc"), lines("a", "ac", "bc"));
  all(parts("all of selection*", "selection1", "selection2", "other"), lines("ab"), lines("a", "bc"));
  all(
    parts("1 of selection* and keywords", "selection1", "selection2", "keywords"),
    lines("ac", "bc"),
    lines("ab", "c"),
  );
  all(
    parts("1 of selection* and not 1 of filter*", "selection1", "selection2", "filter_a", "filter_b"),
    lines("a", "b"),
    lines("ac", "bd", "cd"),
  );
  all(parts("keywords and not filters", "keywords", "filters"), lines("a"), [...lines("ab", "b"), line(null)]);
  all(
    parts("selection1 and (keywords1 or keywords2)", "selection1", "keywords1", "keywords2"),
    lines("ab", "ac"),
    lines("a", "bc"),
  );
});

Deno.test("conditions: wildcards of names at any place, the order of binding, and a list", () => {
  all(parts("all of *_x", "one_x", "two_x", "three"), lines("ab"), lines("a", "bc"));
  all(parts("1 of s*_x", "sel_x", "some_x", "sel_y"), lines("a", "b"), lines("c"));
  all(parts("one or two and not three", "one", "two", "three"), lines("a", "ac", "b"), lines("bc", "c"));
  all(parts("not 1 of sel* or three", "sel1", "sel2", "three"), lines("x", "ac"), lines("a", "b"));
  all(parts("not (one or two)", "one", "two"), lines("x"), lines("a", "b"));
  all(parts("[one and two, three]", "one", "two", "three"), lines("ab", "c"), lines("a", "b"));
});

// Modifiers

Deno.test("modifiers: all is and where a list is or, whatever the order of the values", () => {
  all(item("|contains", "[' -a ', ' -b ']"), lines("x -a y", "x -b y"), lines("x"));
  all(item("|contains|all", "[' -a ', ' -b ']"), lines("x -a  -b y", "x -b  -a y"), lines("x -a y", "x -b y"));
});

Deno.test("modifiers: startswith, endswith and contains are what wildcards were", () => {
  for (const each of [item("|startswith", "adm"), item("", "'adm*'")]) all(each, lines("adm", "ADMx"), lines("xadm"));
  for (const each of [item("|endswith", "'\\cmd.exe'"), item("", "'*\\cmd.exe'")]) {
    all(each, lines("C:\\cmd.exe", "\\CMD.EXE"), lines("cmd.exe", "\\cmd.exe x"));
  }
  for (const each of [item("|contains", "adm"), item("", "'*adm*'")]) all(each, lines("adm", "xADMy"), lines("ad m"));
});

Deno.test("modifiers: exists, cased and neq, of texts and of numbers", () => {
  all(item("|exists", "true"), lines("", "x"), [line(null)]);
  all(item("|exists", "false"), [line(null)], lines("", "x"));
  all(item("|cased", "Abc"), lines("Abc"), lines("abc", "ABC"));
  all(item("", "Abc"), lines("abc", "ABC"), lines("ab"));
  all(item("|neq", "Abc"), [...lines("x", ""), line(null)], lines("abc"));
  all(item("|neq", "[a, b]"), lines("c"), lines("a", "b"));
  all("selection:\n    EventID|neq: 4\ncondition: selection", [{ pid: 5 }, { pid: null }], [{ pid: 4 }]);
});

Deno.test("modifiers: windash makes all permutations of the five dashes", () => {
  const dashes = ["-", "/", "\u2013", "\u2014", "\u2015"];
  const two = dashes.flatMap((first) => dashes.map((second) => `cmd ${first}a x ${second}b`));
  for (const written of dashes) {
    all(item("|windash|contains", `' ${written}a x ${written}b'`), lines(...two), lines("cmd a x b", "cmd +a x -b"));
  }
});

Deno.test("modifiers: re has each of its metacharacters, and counts case unless i", () => {
  const of = (expression: string): string => item("|re", `'${expression}'`);
  all(of("a.c"), lines("xabcx"), lines("ac", "ABC", "a\nc"));
  all(of("^ab"), lines("abc"), lines("xab"));
  all(of("ab$"), lines("xab"), lines("abx"));
  all(of("^ab*c$"), lines("ac", "abbc"), lines("abd"));
  all(of("^ab+c$"), lines("abc", "abbc"), lines("ac"));
  all(of("^ab?c$"), lines("ac", "abc"), lines("abbc"));
  all(of("^ab{2,3}c$"), lines("abbc", "abbbc"), lines("abc", "abbbbc"));
  all(of("^[a-c]$"), lines("a", "c"), lines("d", "A"));
  all(of("^[^a-c]$"), lines("d", "A"), lines("a"));
  all(of("^(ab)+$"), lines("ab", "abab"), lines("aba"));
  all(of("^(ab|cd)$"), lines("ab", "cd"), lines("ad"));
  all(item("|re|i", "'^ab$'"), lines("AB", "ab"), lines("abc"));
  all(item("|re|m", "'^b$'"), lines("a\nb"), lines("ab"));
  all(item("|re|s", "'a.b'"), lines("a\nb"), lines("ab"));
  for (const unsupported of ["a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", "(?>a)b"]) {
    refuses(of(unsupported), /regular expression|look-around/i, 2);
  }
});

Deno.test("modifiers: base64, and base64offset at each of three shifts", () => {
  all(item("|base64", "cmd"), lines("Y21k"), lines("cmd", "Y21j"));
  const shifted = ["", "x", "xy"].map((before) => btoa(`${before}/bin/sh -i`));
  all(item("|base64offset|contains", "'/bin/sh'"), lines(...shifted), lines("/bin/sh", btoa("/bin/ksh")));
});

Deno.test("modifiers: the bytes of cmd in each form of UTF-16", () => {
  const bytes: readonly (readonly [string, readonly number[]])[] = [
    ["utf16le", [0x63, 0, 0x6d, 0, 0x64, 0]],
    ["wide", [0x63, 0, 0x6d, 0, 0x64, 0]],
    ["utf16be", [0, 0x63, 0, 0x6d, 0, 0x64]],
    ["utf16", [0xff, 0xfe, 0x63, 0, 0x6d, 0, 0x64, 0]],
  ];
  for (const [name, expected] of bytes) {
    const others = bytes.filter(([, some]) => `${some}` !== `${expected}`);
    const form = (some: readonly number[]): string => Uint8Array.from(some).toBase64();
    all(item(`|${name}|base64`, "cmd"), lines(form(expected)), lines(...others.map(([, some]) => form(some)), "cmd"));
  }
});

Deno.test("modifiers: numbers", () => {
  const of = (modifier: string): string => `selection:\n    EventID|${modifier}: 10\ncondition: selection`;
  const ids = (...numbers: number[]): Row[] => numbers.map((pid) => ({ pid }));
  all(of("lt"), ids(9), ids(10, 11));
  all(of("lte"), ids(9, 10), ids(11));
  all(of("gt"), ids(11), ids(9, 10));
  all(of("gte"), ids(10, 11), ids(9));
  all(of("neq"), ids(9, 11), ids(10));
});

Deno.test("modifiers: parts of a time, at both ends of what they may be", () => {
  const of = (part: string, value: number): string => `selection:\n    UtcTime|${part}: ${value}\ncondition: selection`;
  const at = (...texts: string[]): Row[] => texts.map((text) => ({ time: Date.parse(`${text}Z`) }));
  all(of("minute", 0), at("2025-03-01T10:00:59"), at("2025-03-01T10:01:00"));
  all(of("minute", 59), at("2025-03-01T10:59:00"), at("2025-03-01T10:58:59"));
  all(of("hour", 0), at("2025-03-01T00:59:59"), at("2025-03-01T01:00:00"));
  all(of("hour", 23), at("2025-03-01T23:00:00"), at("2025-03-01T22:59:59"));
  all(of("day", 1), at("2025-03-01T00:00:00"), at("2025-02-28T23:59:59"));
  all(of("day", 31), at("2025-03-31T12:00:00"), at("2025-03-30T23:59:59", "2025-04-01T00:00:00"));
  all(of("week", 1), at("2025-01-01T00:00:00", "2024-12-30T00:00:00"), at("2025-01-06T00:00:00"));
  all(of("week", 52), at("2025-12-28T23:59:59"), at("2025-12-29T00:00:00", "2025-12-21T23:59:59"));
  all(of("month", 1), at("2025-01-31T23:59:59"), at("2025-02-01T00:00:00"));
  all(of("month", 12), at("2025-12-01T00:00:00"), at("2025-11-30T23:59:59"));
  all(of("year", 2025), at("2025-01-01T00:00:00"), at("2024-12-31T23:59:59"));
});

Deno.test("modifiers: cidr, of IPv4 and of IPv6", () => {
  const of = (network: string): string => `selection:\n    DestinationIp|cidr: '${network}'\ncondition: selection`;
  const ip = (...addresses: (string | null)[]): Row[] => addresses.map((script_path) => ({ script_path }));
  all(of("10.0.0.0/8"), ip("10.0.0.1", "10.255.255.255"), ip("11.0.0.1", "9.255.255.255", "", null));
  all(of("2001:db8::/32"), ip("2001:db8::1", "2001:0db8:ffff::"), ip("2001:db9::1", "10.0.0.1"));
});

Deno.test("modifiers: fieldref, alone and with neq", () => {
  const pair = (command_line: string, executable_path: string | null): Row => ({ command_line, executable_path });
  all(item("|fieldref", "Image"), [pair("/a", "/A")], [pair("/a", "/b"), pair("/a", null)]);
  all(item("|fieldref|neq", "Image"), [pair("/a", "/b"), pair("/a", null)], [pair("/a", "/A")]);
});
