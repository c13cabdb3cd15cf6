/** Bundles in a process that may read one file and nothing else, as another user, far from the host. */
import assert from "node:assert/strict";
import { CliProgram } from "../../support/cli_program.ts";
import { cli } from "../../support/cli_run.ts";
import { intrusionWorld } from "../../support/intrusion_world.ts";
import { VKEY } from "../../support/audit_world.ts";

Deno.test("bundle verify, open and diff need the permission to read the bundle and no other, or none with standard input", async () => {
  using program = await CliProgram.make();
  using world = await intrusionWorld();
  const { bytes } = await cli(world.state, ["bundle", "--since", "7d"]);
  const path = `${program.directory}/case.dbundle`, log = `${program.directory}/audit.jsonl`;
  Deno.writeFileSync(path, bytes);
  const flags = ["--no-prompt", "--no-remote", `--allow-read=${path}`];
  const lines: readonly (readonly [args: readonly string[], words: RegExp])[] = [
    [["verify", path, "--key", VKEY], /with a ledger whose key was given/],
    [["open", path, "--", "query", "SELECT count(*) AS n FROM process_events", "-f", "csv"], /n\r\n12/],
    [["open", path, "--", "audit", "verify"], /verified to 5/],
    [["open", path, "--", "alerts"], /execution-from-odd-directory/],
    [["open", path, "--", "rules", "list"], /test-rule/],
    [["diff", path, path], /CHANGE/],
  ];
  for (const [args, words] of lines) {
    const env = { DENO_AUDIT_PERMISSIONS: log };
    const { code, out, err } = await program.run(world.state, ["bundle", ...args], { flags, env });
    assert.equal(code, 0, err);
    assert.match(out, words);
    const asked = Deno.readTextFileSync(log).trim().split("\n").map((line) => JSON.parse(line));
    // What was asked for is the bundle: neither the state of this host nor its configuration
    const beyond = asked.filter(({ permission, value }) => permission === "read" && value !== path);
    assert.deepEqual(
      beyond.map(({ value }) => value).filter((value) => !String(value).startsWith("/etc/daemoneye/")),
      [],
    );
    Deno.removeSync(log);
  }
  // Under the grants of the installed command line a file elsewhere comes on standard input
  for (const [args, words] of STDIN) {
    const line = [...program.command(world.state, ["bundle"]).map((word) => `'${word}'`), ...args].join(" ");
    const { code, stdout, stderr } = new Deno.Command("sh", {
      args: ["-c", `exec ${line} < '${path}'`],
      env: { ...program.environment, TZ: "UTC" },
      clearEnv: true,
    }).outputSync();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stdout), words);
  }
});

const STDIN: readonly (readonly [args: readonly string[], words: RegExp])[] = [
  [["verify", "-"], /12 events as they were logged/],
  [["open", "-", "--", "stats"], /2026-08-05T00/],
];
