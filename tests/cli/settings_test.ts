import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { TestState } from "../support/test_store.ts";

Deno.test("The CLI finds state and rules by flag and file, the flag before the file", async () => {
  using state = new TestState();
  state.live();
  const config = `${state.directory}/my.toml`;
  Deno.writeTextFileSync(config, `state_dir = "${state.directory}"\n[collector]\nid = "other"\n`);
  assert.equal((await cli(null, ["health", "--config", config])).code, 0);
  assert.equal((await cli(null, ["health", "--config", config, "--state", "/nonexistent"])).code, 1);
  assert.equal((await cli(null, ["health", "--set", `state_dir=${state.directory}`])).code, 0);
});

Deno.test("The CLI takes a relative state directory", async () => {
  using state = new TestState();
  state.live();
  const before = Deno.cwd();
  try {
    Deno.chdir(state.directory);
    assert.equal((await cli(null, ["health", "--state", "."])).code, 0);
  } finally {
    Deno.chdir(before);
  }
});

Deno.test("The CLI says where a bad setting stands", async () => {
  using state = new TestState();
  const config = `${state.directory}/config.yaml`;
  Deno.writeTextFileSync(config, "agent: { max_connections: 0 }\n");
  const found = await cli(state, ["health"]);
  assert.equal(found.code, 1);
  assert.match(found.err, /config\.yaml: agent\.max_connections must be a whole number from 1 to 1000/);
  Deno.removeSync(config);
  const flag = await cli(state, ["health", "--set", "rules_dirs=relative"]);
  assert.equal(flag.code, 2);
  assert.match(flag.err, /flag --set rules_dirs: rules_dirs must be an absolute path/);
});
