import assert from "node:assert/strict";
import { COMMON_OPTIONS, findCommand, meant, parseOptions } from "../../cli/arguments.ts";
import { UsageError } from "../../cli/command.ts";
import { COMMANDS } from "../../cli/commands.ts";

Deno.test("findCommand() finds the command before, between and behind options", () => {
  for (const line of ["health --state /x", "--state /x health", "--state /x --plain health -f csv", "-f csv health"]) {
    assert.equal(findCommand(line.split(" "), COMMANDS)?.name, "health", line);
  }
  assert.equal(findCommand(["--help"], COMMANDS), null);
  assert.equal(findCommand([], COMMANDS), null);
  assert.throws(() => findCommand(["--frmat", "csv", "health"], COMMANDS), /no option --frmat; did you mean --format/);
});

Deno.test("parseOptions() lets a query begin with a dash behind --", () => {
  const query = COMMANDS.find((command) => command.name === "query")!;
  assert.deepEqual(parseOptions(["query", "-f", "csv", "--", "-- all\nSELECT 1"], query).arguments, [
    "-- all\nSELECT 1",
  ]);
  assert.deepEqual(parseOptions(["query", "-"], query).arguments, ["-"]);
  assert.throws(() => parseOptions(["query", "--contains", "x"], query), UsageError);
});

Deno.test("The table of commands is sound: one kind and letter per option, helped, loadable, with examples", async () => {
  const kinds = new Map<string, string>(), letters = new Map<string, string>();
  for (const command of COMMANDS) {
    for (const [name, option] of Object.entries({ ...command.options, ...COMMON_OPTIONS })) {
      assert.equal(kinds.get(name) ?? option.type, option.type, name);
      kinds.set(name, option.type);
      if (option.short !== undefined) {
        assert.equal(letters.get(option.short) ?? name, name, `-${option.short}`);
        letters.set(option.short, name);
      }
      assert.equal(option.type === "string", option.value !== undefined, name);
    }
    assert.ok(command.examples.length > 0 && command.about !== "" && command.usage.length > 0, command.name);
    assert.equal(typeof await command.load(), "function");
    for (const [line] of command.examples) {
      const words = [...line.replace(/ [<|] .*/, "").matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);
      assert.equal(findCommand(words, COMMANDS), command, line);
      parseOptions(words, command);
    }
  }
});

Deno.test("meant() names what is near and nothing else", () => {
  const names = ["health", "processes", "events", "tree", "alerts", "query", "rules"];
  const expected: Record<string, string> = {
    helth: "health",
    proceses: "processes",
    event: "events",
    tere: "tree",
    Alerts: "alerts",
    rule: "rules",
    proc: "processes",
    xyzzy: "",
    "": "",
  };
  for (const [word, near] of Object.entries(expected)) {
    assert.equal(meant(word, names), near === "" ? "" : `; did you mean ${near}?`, word);
  }
  assert.equal(meant("x".repeat(100_000), names), "");
});
