// Every example of the specification's pages on correlations and filters, in their order, with what is found and what not.
import assert from "node:assert/strict";
import type { SqlValue } from "../../../proto/event_row.ts";
import type { ValidatedRule } from "../../../proto/rules/rule.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";
import { eventCells, take } from "../rules/window_support.ts";
import { MAPPING } from "./specification.ts";
import { matches, verdictsOf } from "./support.ts";

type Event = readonly [seconds: number, cells: Readonly<Record<string, SqlValue>>];

const BRUTE = `title: Single failed login
id: 5638f7c0-ac70-491d-8465-2a65075e0d86
name: failed_login
logsource: { product: windows, service: security }
detection:
    selection:
        EventID:
            - 529
            - 4625
    condition: selection
---
title: Successful login
id: 4d0a2c83-c62c-4ed4-b475-c7e23a9269b8
name: successful_login
logsource: { product: windows, service: security }
detection:
    selection:
        EventID:
            - 528
            - 4624
    condition: selection
`;

/** The correlation of these documents with this title. */
function correlation(documents: string, title: string): ValidatedRule {
  const verdicts = verdictsOf({ "sigma-mapping.yml": MAPPING, "f.yml": documents });
  const verdict = verdicts.find((each) => each.title === title)!;
  assert.deepEqual([verdict.verdict, verdict.reasons.map(({ message }) => message)], ["live", []]);
  return verdict.rule!;
}

/** Seconds at which it finds something in events that come one by one. */
function findings(rule: ValidatedRule, events: readonly Event[]): number[] {
  using lane = new WindowLane([rule], { deadlineMs: 60_000 });
  return events.flatMap(([seconds, cells], i) => {
    const row = eventCells(i + 1, seconds * 1_000, { event_type: "start", exec_id: `e${i}`, ...cells });
    const out = take(lane, [row]);
    assert.deepEqual(out.faults, []);
    return out.findings.map(({ time }) => time / 1_000);
  });
}

const times = (count: number, event: (i: number) => Event): Event[] =>
  Array.from({ length: count }, (_, i) => event(i));
const failed = { pid: 4625 }, succeeded = { pid: 4624 };

Deno.test("correlations: rules are called by id and by name", () => {
  const rule = correlation(
    `${BRUTE}---
title: login brute force
id: 0e95725d-7320-415d-80f7-004da920fc11
correlation:
    type: event_count
    rules:
        - 5638f7c0-ac70-491d-8465-2a65075e0d86 # ID of the rule
        - successful_login # its name
    group-by: [User]
    timespan: 90m
    condition:
        gte: 2
`,
    "login brute force",
  );
  const of = (cells: object, user = "bob") => ({ ...cells, user_name: user });
  assert.deepEqual(findings(rule, [[0, of(failed)], [5_399, of(succeeded)]]), [5_399]);
  assert.deepEqual(findings(rule, [[0, of(failed)], [5_400, of(succeeded)]]), [], "1h30 is over");
  assert.deepEqual(findings(rule, [[0, of(failed)], [1, of(succeeded, "eve")]]), [], "another user");
});

Deno.test("correlations: each criterion, and a range of two", () => {
  const of = (condition: string): ValidatedRule =>
    correlation(
      `${BRUTE}---
title: counted
id: 0e95725d-7320-415d-80f7-004da920fc11
correlation:
    type: event_count
    rules: [failed_login]
    group-by: [User]
    timespan: 1h
    condition:
${condition.split("\n").map((each) => `        ${each}`).join("\n")}
`,
      "counted",
    );
  const first = (condition: string, count: number): number | undefined =>
    findings(of(condition), times(count, (i) => [i, { ...failed, user_name: "bob" }]))[0];
  assert.deepEqual([first("gte: 100", 99), first("gte: 100", 100)], [undefined, 99]);
  assert.deepEqual([first("gt: 3", 3), first("gt: 3", 4)], [undefined, 3]);
  assert.deepEqual([first("eq: 3", 2), first("eq: 3", 3)], [undefined, 2]);
  assert.deepEqual([first("lt: 3", 1), first("lt: 1", 5)], [0, undefined]);
  assert.deepEqual([first("lte: 1", 1), first("lte: 0", 5)], [0, undefined]);
  assert.deepEqual([first("neq: 1", 1), first("neq: 1", 2)], [undefined, 1]);
  assert.deepEqual([first("gt: 100\nlte: 200", 100), first("gt: 100\nlte: 200", 101)], [undefined, 100]);
  assert.deepEqual(first("gt: 200\nlte: 200", 300), undefined);
});

const MANY = (name = "") =>
  `---
title: Many failed logins
id: 0e95725d-7320-415d-80f7-004da920fc11${name}
correlation:
    type: event_count
    rules:
        - 5638f7c0-ac70-491d-8465-2a65075e0d86
    group-by:
        - ComputerName
    timespan: 1h
    condition:
        gte: 100
`;

Deno.test("correlations: event_count, a hundred failed logins to a host in an hour", () => {
  const rule = correlation(BRUTE + MANY(), "Many failed logins");
  const on = (host: string) => ({ ...failed, container_id: host });
  assert.deepEqual(findings(rule, times(100, (i) => [i * 36, on("h1")])), [99 * 36]);
  assert.deepEqual(findings(rule, times(99, (i) => [i, on("h1")])), [], "one fewer");
  assert.deepEqual(findings(rule, times(100, (i) => [i * 37, on("h1")])), [], "in more than an hour");
  assert.deepEqual(findings(rule, times(100, (i) => [i, on(i % 2 === 0 ? "h1" : "h2")])), [], "to two hosts");
  assert.deepEqual(findings(rule, times(100, (i) => [i, { ...succeeded, container_id: "h1" }])), [], "they succeed");
});

Deno.test("correlations: value_count, a hundred user accounts by source and destination in a day", () => {
  const rule = correlation(
    `${BRUTE}---
title: Failed login
id: 0e95725d-7320-415d-80f7-004da920fc12
correlation:
    type: value_count
    rules:
        - 5638f7c0-ac70-491d-8465-2a65075e0d86
    group-by:
        - ComputerName
        - WorkstationName
    timespan: 1d
    condition:
        field: User
        gte: 100
`,
    "Failed login",
  );
  const on = (user: number, from = "w1") => ({ ...failed, container_id: "h1", tty: from, user_name: `u${user}` });
  assert.deepEqual(findings(rule, times(100, (i) => [i * 800, on(i)])), [99 * 800]);
  assert.deepEqual(findings(rule, times(300, (i) => [i, on(i % 99)])), [], "of 99");
  assert.deepEqual(findings(rule, times(100, (i) => [i, on(i, `w${i % 2}`)])), [], "from two sources");
  assert.deepEqual(findings(rule, times(100, (i) => [i * 900, on(i)])), [], "in more than a day");
});

const RECON = ["a", "b", "c"].map((word) =>
  `---
title: recon ${word}
id: 00000000-0000-4000-8000-00000000000${word}
name: recon_cmd_${word}
logsource: { product: linux, category: process_creation }
detection: { s: { CommandLine: ${word} }, condition: s }
`
).join("");

Deno.test("correlations: temporal, three commands in any order on one host by one user within five minutes", () => {
  const rule = correlation(
    `${RECON}---
title: recon
id: 0e95725d-7320-415d-80f7-004da920fc13
correlation:
    type: temporal
    rules:
        - recon_cmd_a
        - recon_cmd_b
        - recon_cmd_c
    group-by:
        - ComputerName
        - User
    timespan: 5m
`,
    "recon",
  );
  const ran = (command_line: string, user_name = "bob", container_id = "h1") => ({
    command_line,
    user_name,
    container_id,
  });
  for (const order of ["abc", "acb", "bac", "bca", "cab", "cba"]) {
    assert.deepEqual(findings(rule, [...order].map((word, i): Event => [i * 149, ran(word)])), [298], order);
  }
  assert.deepEqual(findings(rule, [[0, ran("a")], [1, ran("b")], [2, ran("b")]]), [], "one is missing");
  assert.deepEqual(findings(rule, [[0, ran("a")], [1, ran("b")], [300, ran("c")]]), [], "too late");
  assert.deepEqual(findings(rule, [[0, ran("a")], [1, ran("b")], [2, ran("c", "eve")]]), [], "another user");
  assert.deepEqual(findings(rule, [[0, ran("a")], [1, ran("b")], [2, ran("c", "bob", "h2")]]), [], "another host");
  // The time frame has no boundaries of its own: five minutes are any five
  assert.deepEqual(findings(rule, [[290, ran("a")], [300, ran("b")], [589, ran("c")]]), [589]);
});

Deno.test("correlations: temporal_ordered uses its own group-by, whatever that of a correlation in it is", () => {
  const rule = correlation(
    `${BRUTE}${MANY("\nname: many_failed_logins")}---
title: then a success
id: 0e95725d-7320-415d-80f7-004da920fc14
correlation:
    type: temporal_ordered
    rules:
        - many_failed_logins
        - successful_login
    group-by:
        - User
    timespan: 1h
`,
    "then a success",
  );
  const login = (of: object, user_name: string, container_id = "h1") => ({ ...of, user_name, container_id });
  const hundred = times(100, (i) => [i, login(failed, "bob")]);
  assert.deepEqual(findings(rule, [...hundred, [200, login(succeeded, "bob")]]), [200]);
  assert.deepEqual(findings(rule, [...hundred, [200, login(succeeded, "bob", "h2")]]), [200], "wherever it is");
  assert.deepEqual(findings(rule, [...hundred, [200, login(succeeded, "eve")]]), [], "another user");
  assert.deepEqual(findings(rule, [...hundred, [3_700, login(succeeded, "bob")]]), [], "too late");
  const before: Event[] = [[0, login(succeeded, "bob")], ...hundred.map(([at, cells]): Event => [at + 1, cells])];
  assert.deepEqual(findings(rule, before), [], "the other way round");
});

Deno.test("correlations: aliases name one address in fields of different names", () => {
  const rule = correlation(
    `title: e
name: internal_error
logsource: { product: linux, category: process_creation }
detection:
    selection:
        http.response.status_code: 500
    condition: selection
---
title: n
name: new_network_connection
logsource: { product: linux, category: process_creation }
detection:
    selection:
        event.category: network
        event.type: connection
        event.outcome: success
    condition: selection
---
title: aliased
id: 0e95725d-7320-415d-80f7-004da920fc15
correlation:
    type: temporal
    rules:
        - internal_error
        - new_network_connection
    group-by:
        - internal_ip
        - remote_ip
    timespan: 10s
    aliases:
        internal_ip:
            internal_error: destination.ip
            new_network_connection: source.ip
        remote_ip:
            internal_error: source.ip
            new_network_connection: destination.ip
`,
    "aliased",
  );
  const error = (destination: string, source: string) => ({ exit_code: 500, cwd: destination, tty: source });
  const connection = (destination: string, source: string) => ({
    ...{ name: "network", reason: "connection", severity: "success" },
    ...{ cwd: destination, tty: source },
  });
  assert.deepEqual(findings(rule, [[0, error("10.1", "9.9")], [9, connection("9.9", "10.1")]]), [9]);
  assert.deepEqual(
    findings(rule, [[0, error("10.1", "9.9")], [9, connection("10.1", "9.9")]]),
    [],
    "not turned around",
  );
  assert.deepEqual(findings(rule, [[0, error("10.1", "9.9")], [9, connection("9.8", "10.1")]]), [], "another remote");
  assert.deepEqual(findings(rule, [[0, error("10.1", "9.9")], [10, connection("9.9", "10.1")]]), [], "too late");
});

Deno.test("correlations: the whole example, several documents, names and a chain", () => {
  const documents = `title: Correlation - Multiple Failed Logins Followed by Successful Login
id: b180ead8-d58f-40b2-ae54-c8940995b9b6
status: experimental
description: Detects multiple failed logins by a single user followed by a successful login of that user
references:
    - https://reference.com
author: Florian Roth (Nextron Systems)
date: 2023-06-16
correlation:
    type: temporal_ordered
    rules:
        - multiple_failed_login
        - successful_login
    group-by:
        - User
    timespan: 10m
falsepositives:
    - Unlikely
level: high
---
title: Multiple failed logons
id: a8418a5a-5fc4-46b5-b23b-6c73beb19d41
description: Detects multiple failed logins within a certain amount of time
name: multiple_failed_login
correlation:
    type: event_count
    rules:
        - failed_login
    group-by:
        - User
    timespan: 10m
    condition:
        gte: 10
---
${BRUTE}`;
  const rule = correlation(documents, "Correlation - Multiple Failed Logins Followed by Successful Login");
  assert.equal(rule.severity, "high");
  const login = (of: object, user_name = "bob") => ({ ...of, user_name });
  const ten = times(10, (i) => [i * 60, login({ pid: i % 2 === 0 ? 529 : 4625 })]);
  assert.deepEqual(findings(rule, [...ten, [1_139, login({ pid: 528 })]]), [1_139]);
  assert.deepEqual(findings(rule, [...ten, [1_140, login(succeeded)]]), [], "too late");
  assert.deepEqual(findings(rule, [...ten.slice(1), [600, login(succeeded)]]), [], "nine");
  assert.deepEqual(findings(rule, [...ten, [700, login(succeeded, "eve")]]), [], "another user");
  const slow = times(10, (i) => [i * 67, login(failed)]);
  assert.deepEqual(findings(rule, [...slow, [700, login(succeeded)]]), [], "the tenth too late");
  // Unless it says so, none of them raises an alert but the outermost
  const verdicts = verdictsOf({ "sigma-mapping.yml": MAPPING, "f.yml": documents });
  assert.deepEqual(verdicts.map((each) => each.rule!.status), ["active", "draft", "draft", "draft"]);
});

Deno.test("correlations: groups by several fields are of all of them together", () => {
  const rule = correlation(
    `${BRUTE}---
title: pairs
id: 0e95725d-7320-415d-80f7-004da920fc16
correlation:
    type: event_count
    rules: [failed_login]
    group-by:
        - TargetUserName
        - TargetDomainName
    timespan: 30s
    condition:
        gte: 2
`,
    "pairs",
  );
  const of = (user_name: string, group_name: string) => ({ ...failed, user_name, group_name });
  assert.deepEqual(findings(rule, [[0, of("bob", "d1")], [29, of("bob", "d1")]]), [29]);
  assert.deepEqual(findings(rule, [[0, of("bob", "d1")], [1, of("bob", "d2")], [2, of("eve", "d1")]]), []);
});

Deno.test("filters: the example keeps administrators out of two rules, and of no other", () => {
  const rule = (id: string, title: string): string =>
    `title: ${title}
id: ${id}
logsource: { product: windows, category: process_creation }
detection: { selection: { CommandLine|contains: rar }, condition: selection }
`;
  const filter = `title: Filter Administrator account
description: The valid administrator account start with adm_
logsource:
    category: process_creation
    product: windows
filter:
    rules:
        - 6f3e2987-db24-4c78-a860-b4f4095a7095 # Data Compressed - rar.exe
        - df0841c0-9846-4e9f-ad8a-7df91571771b # Login on jump host
    selection:
        User|startswith: 'adm_'
    condition: selection
`;
  const verdicts = verdictsOf({
    "sigma-mapping.yml": MAPPING,
    "a.yml": rule("6f3e2987-db24-4c78-a860-b4f4095a7095", "Data Compressed"),
    "b.yml": rule("df0841c0-9846-4e9f-ad8a-7df91571771b", "Login on jump host"),
    "c.yml": rule("df0841c0-9846-4e9f-ad8a-7df91571771c", "Another"),
    "mf_filter.yml": filter,
  });
  assert.deepEqual(verdicts.map(({ verdict }) => verdict), ["live", "live", "live", "live"]);
  const rows = ["bob", "adm_bob", "ADM_", null].map((user_name) => ({ user_name, command_line: "rar a" }));
  const found = verdicts.flatMap((each) => each.kind === "rule" ? [matches(each.rule!, rows)] : []);
  const kept = [true, false, false, true];
  assert.deepEqual(found, [kept, kept, [true, true, true, true]]);
});
