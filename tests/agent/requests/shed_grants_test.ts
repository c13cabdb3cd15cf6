/** `daemoneye-agent ask` within the agent's program: what is left of the agent's grants. */
import assert from "node:assert/strict";
import { tierGrants } from "../../../deploy/privileges.ts";
import { grantFlags } from "../../../deploy/runtime_flags.ts";
import { installedPaths } from "../../../deploy/privileges.ts";
import { INSTALLED_STATE, stateLayout } from "../../../proto/state_layout.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

Deno.test("shedGrants() leaves of the agent's grants the request spool alone", async () => {
  const grants = tierGrants("agent", installedPaths("/lib/libc.so.6", ["sink.example:8443"]));
  const asked = [
    ...grants.read.map((path) => ({ name: "read", path })),
    ...grants.write.map((path) => ({ name: "write", path })),
    ...["net", "env", "sys", "run", "ffi"].map((name) => ({ name })),
    { name: "net", host: "sink.example:8443" },
    { name: "env", variable: "DAEMONEYE_CONFIG" },
  ];
  const code = `
    import { shedGrants } from "${ROOT}agent/commands.ts";
    import { stateLayout } from "${ROOT}proto/state_layout.ts";
    const asked = ${JSON.stringify(asked)};
    const look = () => asked.filter((each) => Deno.permissions.querySync(each).state === "granted");
    const before = look().length;
    shedGrants(stateLayout(${JSON.stringify(INSTALLED_STATE)}));
    console.log(JSON.stringify({ before, after: look() }));`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-check", "--config", `${ROOT}deno.json`, ...grantFlags(grants), file],
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert.notEqual(text, "", new TextDecoder().decode(stderr));
    const { before, after } = JSON.parse(text);
    assert.ok(before >= grants.read.length + grants.write.length + 2, `${before} were granted`);
    const { requests } = stateLayout(INSTALLED_STATE);
    assert.deepEqual(after, [{ name: "read", path: requests }, { name: "write", path: requests }]);
  } finally {
    await Deno.remove(file);
  }
});
