/** Sinks that change while the supervised tiers run, under the grants that the supervisor gave them at the start. */
import assert from "node:assert/strict";
import { FaultyServer, reads } from "../support/receivers/faulty_server.ts";
import { freePort } from "../support/receivers/receivers.ts";
import { World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

async function ask(world: World, ...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `${ROOT}deploy/ask.ts`, "--state", world.layout.state, ...args],
    stdin: "null",
  }).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("operators change sinks of the running system as far as its grants go, and are told what a start is needed for", async () => {
  let received = "";
  await using server = new FaultyServer([reads((text) => received += text)]);
  const entry = (port: number, more = ""): string =>
    `{ name: siem, type: syslog, address: "tcp://127.0.0.1:${port}"${more} }`;
  const config = (sinks: string): string => `agent:\n  sinks:\n    - ${sinks}\n`;
  await using world = await World.start({ config: config(entry(server.port)) });
  const write = (sinks: string): void => Deno.writeTextFileSync(`${world.layout.state}/config.yaml`, config(sinks));
  assert.match((await ask(world, "sinks", "check")).text, /can be taken: nothing has changed/);

  write(entry(server.port, ", format: cef"));
  const changed = await ask(world, "sinks", "reload");
  assert.deepEqual([changed.code, /loaded again: changed siem/.test(changed.text)], [0, true], changed.text);
  assert.equal((await ask(world, "sinks", "test", "siem")).code, 0);
  await world.until("the test alert came in the new format", () => / CEF:0\|DaemonEye\|.*\|test\|/.test(received));

  const other = freePort();
  write(entry(other));
  const flag = `the sink siem: the agent was not granted --allow-net=127.0.0.1:${other}`;
  for (const action of ["check", "reload"]) {
    const { code, text } = await ask(world, "sinks", action);
    assert.equal(code, 1);
    assert.ok(text.includes(flag), text);
  }
  Deno.kill(world.agentStatus()!.pid, "SIGHUP");
  await world.until("the notice says it too", () => {
    return world.agentStatus()!.notices.some(({ text }) => text.includes(`The sinks stay as they are: ${flag}`));
  });
  assert.equal((await ask(world, "sinks", "test", "siem")).code, 0, "the one that was there takes alerts as before");
  assert.equal(await world.stop(), 0);
});
