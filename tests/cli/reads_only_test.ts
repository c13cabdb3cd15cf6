/** Every command, in a process of its own under the grants of its tier, with the runtime's audit of permissions on. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { COMMANDS } from "../../cli/commands.ts";
import { CliProgram, NOBODY } from "../support/cli_program.ts";
import { WORLDS } from "../support/cli_worlds.ts";
import { needs } from "../support/needs.ts";
import { TestTerminal } from "../support/tmux.ts";

/** Variables that the runtime reads for itself and lets every program read: no permission is needed for them. */
const FREE_VARIABLES = new Set(["NO_COLOR", "FORCE_COLOR", "NODE_DEBUG", "NODE_OPTIONS"]);

const BASELINE = '{"kind":"program","value":"/bin/sh"}\n';
/** Command lines by command; those that need a terminal stand apart. */
const LINES: Readonly<Record<string, readonly Line[]>> = {
  health: [[["health"]], [["health", "-f", "json"]], [["health", "--check"]], [["health", "--prometheus"]]],
  processes: [[["processes", "--all", "--wide"]]],
  events: [[["events", "--since", "1d", "-f", "line"]]],
  tree: [[["tree", "900", "--all"]], [["tree", "--alert", "1099511627778"]]],
  process: [[["process", "903", "-f", "json"]]],
  timeline: [[["timeline", "--alert", "1099511627778"]], [["timeline", "--user", "alice"]]],
  alerts: [[["alerts"]], [["alerts", "1099511627778"]], [["alerts", "stats"]], [["alerts", "dead"]]],
  sinks: [[["sinks"]]],
  gaps: [[["gaps"]]],
  query: [[["query", "SELECT count(*) AS n FROM process_events"]], [["query", "--osquery", "SELECT * FROM users"]], [[
    "query",
    "--explain",
    "SELECT :a FROM gaps",
    "-p",
    "a=1",
  ]]],
  shell: [[["shell"], "SELECT count(*) FROM alerts;\n.tables\n"]],
  hunt: [[["hunt", "list"]], [["hunt", "run-from-temporary"]]],
  stats: [[["stats", "--by", "program"]]],
  baseline: [[["baseline", "-f", "jsonl"]]],
  diff: [[["diff", "--since", "1h"]], [["diff", "--against", "-"], BASELINE]],
  report: [[["report"]], [["report", "--since", "1d", "--redact"]]],
  export: [[["export", "events"]], [["export", "alerts", "-f", "csv"]], [["export", "gaps", "--salvage"]]],
  sources: [[["sources"]]],
  collectors: [[["collectors"]]],
  rules: [
    ...[[["rules", "list"]], [["rules", "validate"]], [["rules", "test"]], [["rules", "cost"]]] as const,
    ...[[["rules", "coverage"]], [["rules", "exceptions"]], [["rules", "new", "mine"]]] as const,
  ],
  audit: [
    ...[[["audit", "show"]], [["audit", "verify"]], [["audit", "prove", "1"]]] as const,
    ...[[["audit", "event", "1099511627778"]], [["audit", "checkpoint"]]] as const,
  ],
  bundle: [[["bundle", "--since", "1d"]], [["bundle", "verify", "-"], "no bundle"], [
    ["bundle", "open", "-"],
    "no bundle",
  ]],
  config: [[["config", "show"]], [["config", "check"]]],
  doctor: [[["doctor"]]],
  completions: [[["completions", "bash"]]],
  man: [[["man"]]],
  version: [[["version"]]],
  watch: [[["watch", "--back", "1d", "--for", "1ms"]]],
  top: [],
};

type Line = readonly [args: readonly string[], stdin?: string];
const PROGRAM: readonly Line[] = [[["--help"]], [["--version"]]];

function linesOf({ name }: { readonly name: string }): readonly Line[] {
  return LINES[name] ?? [];
}

Deno.test("every command is among those whose permissions are looked at", () => {
  assert.deepEqual(COMMANDS.map(({ name }) => name).filter((name) => !(name in LINES)), []);
  assert.deepEqual(Object.keys(LINES).filter((name) => !COMMANDS.some((command) => command.name === name)), []);
});

Deno.test({
  name: "The CLI asks for nothing but to read, and leaves the state directory of another user as it was, byte for byte",
  ...needs({ root: true, setpriv: true }),
  fn: everyCommand,
});

async function everyCommand(t: Deno.TestContext): Promise<void> {
  using program = await CliProgram.make();
  using state = WORLDS["watched"]!();
  // As a reader of the group has it: to read, and not to write
  for (const suffix of ["", "-wal", "-shm"]) Deno.chmodSync(state.layout.store + suffix, 0o644);
  const before = contents(state.directory), logs = Deno.makeTempDirSync({ prefix: "daemoneye-audit-" });
  Deno.chmodSync(logs, 0o777);
  for (const [args, stdin] of [...COMMANDS.flatMap(linesOf), ...PROGRAM]) {
    await t.step(args.join(" "), async () => {
      const log = `${logs}/audit.jsonl`;
      const { code, err } = await program.run(state, args, {
        user: NOBODY,
        env: { DENO_AUDIT_PERMISSIONS: log },
        ...(stdin === undefined ? {} : { stdin }),
      });
      assert.ok((code !== 2 || args.length === 1) && !/NotCapable|\n {4}at /.test(err), err);
      checkAudit(log);
      assert.deepEqual(contents(state.directory), before);
    });
  }
  Deno.removeSync(logs, { recursive: true });
}

Deno.test({
  name: "top, watch and shell at a terminal ask for nothing but to read, and leave the state directory as it was",
  ...needs({ programs: ["tmux", "stty"] }),
  async fn() {
    using program = await CliProgram.make();
    using state = WORLDS["watched"]!();
    // SQLite marks its readers in the shared memory where it may write
    const files = () => Object.entries(contents(state.directory)).filter(([path]) => !path.endsWith("-shm"));
    const before = files(), log = `${program.directory}/audit.jsonl`;
    for (const [name, screen] of [["top", /sorted by/], ["watch", /0 lines/], ["shell", /daemoneye>$/]] as const) {
      const environment = Object.entries({ ...program.environment, DENO_AUDIT_PERMISSIONS: log });
      const command = [
        "env",
        ...environment.map(([name, value]) => `${name}=${value}`),
        ...program.command(state, [name]),
      ];
      await using terminal = await TestTerminal.run(command);
      await terminal.shows(screen);
      if (name === "shell") {
        await terminal.type("select count(*) from alerts;");
        await terminal.press("Enter");
        await terminal.shows(/\n +2\n/);
      }
      await terminal.press(name === "shell" ? "C-d" : "q");
      await terminal.shows(/ended 0\nicanon echo/);
      checkAudit(log);
      assert.deepEqual(files(), before);
    }
  },
});

/** Everything that the runtime was asked for; then forgotten. */
function checkAudit(log: string): void {
  const lines = Deno.readTextFileSync(log).trim().split("\n").filter((line) => line !== "");
  const asked = lines.map((line) => JSON.parse(line) as { permission: string; value: unknown });
  const beyond = asked.filter(({ permission, value }) =>
    permission !== "read" && !(permission === "env" && FREE_VARIABLES.has(String(value)))
  );
  assert.deepEqual(beyond, []);
  Deno.removeSync(log);
}

/** Hash, mode and time of every file of a directory, by path. */
function contents(directory: string, found: Record<string, string> = {}): Record<string, string> {
  for (const entry of Deno.readDirSync(directory)) {
    const path = `${directory}/${entry.name}`, { mode, mtime } = Deno.lstatSync(path);
    if (entry.isDirectory) contents(path, found);
    const hash = entry.isFile ? createHash("sha256").update(Deno.readFileSync(path)).digest("hex") : "";
    found[path] = `${mode} ${mtime?.getTime()} ${hash}`;
  }
  return found;
}
