import assert from "node:assert/strict";
import { openSinks } from "../../../../agent/alerts/sinks/open_sinks.ts";
import { Bus } from "../../../../agent/bus/bus.ts";
import { parseSinks } from "../../../../proto/sink_entries.ts";
import { TempDir } from "../../support.ts";

Deno.test("openSinks() says at once which file of a sink cannot be used, and leaves the sink there", () => {
  using dir = new TempDir();
  const open = `${dir.path}/open`;
  Deno.writeTextFileSync(open, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  Deno.chmodSync(open, 0o644);
  const entries = [
    { name: "hook", type: "webhook", url: "https://h", secret_files: [open, `${dir.path}/none`] },
    { name: "log", type: "syslog", address: "tls://h", ca_file: `${dir.path}/ca` },
    { name: "good", type: "syslog", address: "udp://h" },
  ];
  const notices: string[] = [];
  const sinks = openSinks(parseSinks(entries, (expected) => new Error(expected)), {
    host: "h",
    directory: dir.path,
    colour: false,
    bus: new Bus(),
    notice: (text) => notices.push(text),
  });
  assert.deepEqual(sinks.map(({ name }) => name), ["hook", "log", "good"]);
  assert.equal(notices.length, 3);
  assert.match(notices[0]!, /^the sink hook: .*\/open holds a secret and is open to every user; chmod o= /);
  assert.match(notices[1]!, /^the sink hook: .*\/none cannot be read/);
  assert.match(notices[2]!, /^the sink log: .*\/ca cannot be read/);
});
