/** The CLI as a program of its own, under exactly the grants of its tier. */
import assert from "node:assert/strict";
import { StorageSource } from "../../collector/ledger/storage_source.ts";
import { proveEntry } from "../../proto/ledger/prove.ts";
import { BLAKE3, TestLedger } from "../collector/ledger/support.ts";
import { VKEY, writeLedger } from "../support/audit_world.ts";
import { CliProgram } from "../support/cli_program.ts";
import { needs } from "../support/needs.ts";
import { testProcess, TestState } from "../support/test_store.ts";

const RULE = `id: test-rule
title: A rule
description: For a test
severity: low
sql: SELECT pid FROM process_events WHERE name = 'nc'
tests:
  match:
    - { name: nc }
  no_match:
    - { name: cat }
`;

/** Every command, with every reader that it has. */
const COMMANDS: readonly (readonly string[])[] = [
  ["--help"],
  ["--version"],
  ["query", "--help"],
  ["health"],
  ["health", "--format", "json"],
  ["processes", "--all", "--plain"],
  ["events", "--since", "1d", "--color"],
  ["tree", "100"],
  ["alerts"],
  ["alerts", "1099511627777"],
  ["query", "SELECT count(*) AS n FROM process_events", "--format", "json"],
  ["query", "-", "--format", "csv"],
  ["query", "--schema"],
  ["shell"],
  ["process", "100"],
  ["timeline", "--alert", "1099511627777"],
  ["hunt", "rare-programs", "-p", "most=3"],
  ["export", "events"],
  ["rules", "list"],
  ["rules", "validate"],
  ["rules", "validate", "-"],
  ["rules", "test"],
  ["audit", "verify"],
  ["audit", "verify", "--against", "-", "--key", VKEY, "--format", "json"],
  ["audit", "show"],
  ["audit", "prove", "3"],
  ["audit", "check-proof", "-", "--key", VKEY],
  ["audit", "checkpoint"],
  ["audit", "checkpoint", "--qr"],
  ["audit", "checkpoint", "--proof-from", "3"],
];

const LEDGER = new TestLedger();
LEDGER.now = Date.now();
await LEDGER.open({ epochMs: 86_400_000 });
LEDGER.fill(5);
LEDGER.now = Date.now();
LEDGER.ledger.close();

function world(): TestState {
  const state = new TestState();
  state.live(Date.now());
  state.process(1, { ppid: 0 });
  state.process(100, { parent_exec_id: testProcess(1) });
  state.alert(state.event());
  writeLedger(state, LEDGER.storage);
  Deno.writeTextFileSync(`${state.layout.rules}/rule.yml`, RULE);
  Deno.writeTextFileSync(`${state.directory}/config.yaml`, `rules_dirs: [${state.layout.rules}]\n`);
  return state;
}

function stdinOf(args: readonly string[]): string {
  if (args[1] === "check-proof") return proveEntry(new StorageSource(LEDGER.storage), BLAKE3, 3);
  if (args[0] === "audit") return new TextDecoder().decode(LEDGER.storage.bytes("checkpoint"));
  return args[0] === "rules" ? RULE : "SELECT pid FROM processes";
}

Deno.test("The CLI runs every command with the grants of its tier, and asks for reading alone", async () => {
  using program = await CliProgram.make();
  using state = world();
  const audit = `${state.directory}/audit.jsonl`;
  for (const args of COMMANDS) {
    // As often as the daemons: a status grows stale within seconds
    state.writeStatus({ time: Date.now() }, { time: Date.now() });
    const { code, out, err } = await program.run(state, args, {
      stdin: stdinOf(args),
      env: { DENO_AUDIT_PERMISSIONS: audit },
    });
    assert.equal(code, 0, `${args.join(" ")}: ${err}`);
    assert.ok(out !== "" || args[1] === "validate" || args[1] === "test", args.join(" "));
  }
  const asked = Deno.readTextFileSync(audit).trim().split("\n").map((line) => JSON.parse(line));
  const kinds = new Set(asked.map(({ permission }) => permission));
  // The program itself is read before any permission counts; a bundle imports nothing
  assert.deepEqual([...kinds], ["read"]);
  const elsewhere = asked.map(({ value }) => String(value))
    .filter((path) => !path.startsWith(state.directory) && !path.startsWith("/etc/daemoneye/"));
  assert.deepEqual(elsewhere, []);
});

Deno.test("The CLI stays a reader of its files when everything is granted", async () => {
  using program = await CliProgram.make();
  using state = world();
  const before = contents(state.directory);
  for (const args of COMMANDS) {
    const { err } = await program.run(state, args, { stdin: stdinOf(args), flags: ["-A"] });
    assert.doesNotMatch(err, /Error/, args.join(" "));
  }
  assert.deepEqual(contents(state.directory), before);
});

/** Every file below a directory, without the shared memory of readers. */
function contents(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of Deno.readDirSync(directory)) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) Object.assign(found, contents(path));
    else if (!path.endsWith("-shm")) found[path] = Deno.readFileSync(path).toHex();
  }
  return found;
}

Deno.test("The CLI has no storage that writes to disk", async () => {
  using program = await CliProgram.make();
  const probe = `${program.directory}/probe.js`;
  Deno.writeTextFileSync(
    probe,
    `await import("./parts/main.js"); console.log(typeof localStorage, typeof sessionStorage, typeof caches);`,
  );
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-config", "--no-lock", "--no-prompt", `--allow-read=${program.directory}`, probe],
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "undefined undefined undefined\n");
});

Deno.test("The CLI says in words what it may not read, and how to hand it over", async () => {
  using program = await CliProgram.make();
  using state = world();
  const other = await program.run(state, ["health", "--state", "/root/elsewhere"]);
  assert.equal(other.code, 1, other.out);
  assert.match(other.out, /lies outside the directories that this program was started to read/);
  assert.equal(other.err, "");
  const rule = await program.run(state, ["rules", "validate", "/etc/hostname"]);
  assert.equal(rule.code, 1);
  assert.match(rule.err, /\/etc\/hostname cannot be read: it lies outside/);
  const config = await program.run(state, ["health", "--config", "/etc/hostname"]);
  assert.equal(config.code, 1);
  const proof = await program.run(state, ["audit", "check-proof", "/etc/hostname", "--key", VKEY]);
  assert.equal(proof.code, 1);
  assert.match(
    proof.err,
    /\/etc\/hostname cannot be read: it lies outside.*; or hand it over on standard input, as "-"/,
  );
  assert.match(config.err, /The configuration file \/etc\/hostname cannot be read: it lies outside/);
});

Deno.test({
  name: "The CLI ends quietly when the reader of its output goes away, and in words when the disk is full",
  ...needs({ programs: ["bash", "head"] }),
  async fn() {
    using program = await CliProgram.make();
    using state = world();
    for (let pid = 1_000; pid < 3_000; pid++) state.process(pid);
    const run = async (args: readonly string[], to: string): Promise<{ out: string; err: string }> => {
      const quoted = program.command(state, args).map((word) => `'${word}'`).join(" ");
      const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", `${quoted} ${to}`] }).output();
      const decoder = new TextDecoder();
      return { out: decoder.decode(stdout), err: decoder.decode(stderr) };
    };
    for (const format of ["table", "json", "jsonl", "csv"]) {
      const { out, err } = await run(["processes", "-f", format], "| head -n 2; echo ${PIPESTATUS[0]}");
      assert.match(out, /\n0\n$/);
      assert.equal(out.split("\n").length, 4);
      assert.equal(err, "");
    }
    const full = await run(["processes"], "> /dev/full; echo $?");
    assert.equal(full.out, "1\n");
    assert.match(full.err, /^The output cannot be written: No space left on device.*\n$/);
  },
});

Deno.test({
  name: "The CLI on a terminal uses its width and colour, and neither with NO_COLOR or --plain",
  ...needs({ programs: ["script"] }),
  async fn() {
    using program = await CliProgram.make();
    using state = world();
    const onTerminal = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
      const line = program.command(state, args).map((word) => `'${word}'`).join(" ");
      const { stdout } = await new Deno.Command("script", {
        args: ["-qec", `stty cols 70 rows 20; ${line}`, "/dev/null"],
        // From nothing: whoever runs the tests may have NO_COLOR set.
        clearEnv: true,
        env: { ...program.environment, ...env, TERM: "xterm" },
        stdin: "null",
      }).output();
      return new TextDecoder().decode(stdout);
    };
    const coloured = await onTerminal(["processes"]);
    assert.ok(coloured.includes("\x1b[1mPID\x1b[0m"));
    assert.ok(coloured.includes("─── "));
    // deno-lint-ignore no-control-regex
    const widest = Math.max(...coloured.split("\r\n").map((text) => text.replace(/\x1b\[[0-9;]*m/g, "").length));
    assert.ok(widest <= 70, `a line is ${widest} wide`);
    assert.ok(!(await onTerminal(["processes"], { NO_COLOR: "1" })).includes("\x1b"));
    const plain = await onTerminal(["processes", "--plain"]);
    assert.match(plain, /^[\x20-\x7e\r\n]*$/);
  },
});
