import assert from "node:assert/strict";
import { helpText, parseAsking, UsageError } from "../../../agent/ask/arguments.ts";
import { splitAsk } from "../../../agent/commands.ts";
import { OPERATIONS } from "../../../agent/requests/operations.ts";
import { Rate } from "../../../agent/requests/rate.ts";
import { decodeRequest, encodeRequest } from "../../../proto/request.ts";

function asking(line: string) {
  const found = parseAsking(line.split(" "));
  assert.ok(typeof found === "object");
  return found;
}

Deno.test("a command line is understood by the table of operations", () => {
  assert.deepEqual(asking("status"), {
    state: "/var/lib/daemoneye",
    json: false,
    timeoutMs: 300_000,
    operation: "status",
    arguments: {},
  });
  assert.deepEqual(asking("--state /s rules disable odd-rule --reason noisy --json --timeout 30s"), {
    state: "/s",
    json: true,
    timeoutMs: 30_000,
    operation: "rules disable",
    arguments: { rule: "odd-rule", reason: "noisy" },
  });
  assert.deepEqual(asking("config set agent.retention_hours=1 agent.max_connections=2").arguments, {
    assignments: ["agent.retention_hours=1", "agent.max_connections=2"],
  });
  assert.deepEqual(asking("config revert --to 3").arguments, { to: "3" });
  assert.equal(parseAsking(["rules", "--help"]), "help");
  assert.equal(parseAsking(["--version"]), "version");
});

Deno.test("a command line that is not right says what would be", () => {
  const refuses = (line: string, reason: RegExp): void => {
    assert.throws(() => parseAsking(line === "" ? [] : line.split(" ")), (error: Error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, reason);
      return true;
    }, line);
  };
  refuses("", /--help lists it/);
  refuses("rules relaod", /no operation "rules relaod"; did you mean rules reload\?/);
  refuses("__proto__", /no operation/);
  refuses("rules disable odd", /--reason TEXT is missing: why, .*: rules disable RULE --reason TEXT$/);
  refuses("rules disable --reason x", /RULE is missing/);
  refuses("rules enable a b", /takes no "b"/);
  refuses("status --reason x", /status takes no --reason/);
  refuses("status --nothing", /--nothing/);
  refuses("config set retention", /assignments is not what it should be: KEY=VALUE/);
  refuses("config set", /ASSIGNMENTS\.\.\. is missing/);
  refuses("config revert --to x", /to is not what it should be/);
  refuses("status --timeout soon", /--timeout is a time such as 30s/);
});

Deno.test("every operation stands in the help, and its name and arguments fit a request", () => {
  const help = helpText();
  for (const [name, { summary, arguments: args }] of Object.entries(OPERATIONS)) {
    assert.ok(help.includes(`  ${name}`) && help.includes(summary), name);
    assert.match(name, /^[a-z]+(?: [a-z]+){0,2}$/);
    const given = Object.fromEntries(Object.keys(args).map((each) => [each, "x"]));
    const request = { operation: name, arguments: given, time: 1, spool: "1:1" };
    assert.deepEqual(decodeRequest(encodeRequest(request)), request);
    // An option is one of all operations, beside those of the program
    for (const each of Object.keys(args)) assert.ok(!["state", "json", "timeout", "help", "version"].includes(each));
    const places = Object.values(args).filter(({ kind }) => kind !== "option");
    assert.ok(places.slice(0, -1).every(({ kind }) => kind === "word"), `${name} takes several words at its end`);
  }
});

Deno.test("splitAsk() finds the command ask among the agent's flags, and nowhere else", () => {
  assert.deepEqual(splitAsk(["ask", "status"]), ["status"]);
  assert.deepEqual(splitAsk(["--state", "/s", "--set", "a=b", "ask", "status", "--json"]), [
    "--state",
    "/s",
    "status",
    "--json",
  ]);
  assert.deepEqual(splitAsk(["--state=/s", "ask"]), ["--state", "/s"]);
  for (const args of [[], ["backup"], ["--state", "ask"], ["--version", "ask"], ["backup", "ask"]]) {
    assert.equal(splitAsk(args), null, args.join(" "));
  }
});

Deno.test("Rate gives each user so many at once and then so many a second, and remembers a bounded number", () => {
  let now = 0;
  const rate = new Rate(3, 2, () => now);
  const taken = (userId: number, tries: number): number =>
    Array.from({ length: tries }, () => rate.take(userId)).filter(Boolean).length;
  assert.deepEqual([taken(1, 10), taken(2, 1)], [3, 1]);
  now = 1_000;
  assert.deepEqual([taken(1, 10), taken(2, 10)], [2, 3]);
  for (let user = 10; user < 2_000; user++) rate.take(user);
  assert.equal(taken(1, 10), 3);
});
