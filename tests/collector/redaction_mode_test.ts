import assert from "node:assert/strict";
import { loadSettings, type Settings } from "../../proto/config.ts";
import { ConfigError } from "../../proto/setting_values.ts";
import { describeRedaction, openRedaction } from "../../collector/redaction_mode.ts";
import { needs } from "../support/needs.ts";

const asRoot = needs({ root: true });

function settingsOf(file: string): Settings {
  const readFile = (path: string): string | null => path === file ? Deno.readTextFileSync(path) : null;
  return loadSettings({ flags: { state: "/nowhere", config: file }, env: {}, readFile });
}

async function inTemporary(test: (directory: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.chmod(directory, 0o755);
    test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function written(path: string, mode = 0o644): string {
  Deno.writeTextFileSync(path, `collector:\n  redaction: off\n`);
  Deno.chmodSync(path, mode);
  return path;
}

Deno.test("loadSettings() lets neither flag nor environment turn redaction off, and lets both leave it on", () => {
  const load = (flags: object, env: Record<string, string>): Settings =>
    loadSettings({ flags, env, readFile: (path) => path === "/etc/daemoneye/config.yaml" ? FILE : null });
  const FILE = "collector:\n  redaction: off\n";
  assert.equal(load({}, {}).collector.redaction, "off");
  assert.throws(() => load({ set: ["collector.redaction=off"] }, {}), (error: Error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /^flag --set collector.redaction: .* write it in \/etc\/daemoneye\/config.yaml/);
    return true;
  });
  assert.throws(() => load({}, { DAEMONEYE_COLLECTOR__REDACTION: "off" }), /^ConfigError: environment DAEMONEYE_/);
  assert.equal(load({ set: ["collector.redaction=on"] }, {}).collector.redaction, "on");
  assert.equal(load({}, { DAEMONEYE_COLLECTOR__REDACTION: "on" }).collector.redaction, "on");
  assert.throws(() => load({ set: ["collector.redaction=maybe"] }, {}), /one of on, off/);
});

Deno.test("openRedaction() takes the key, and masks without one that it cannot read", () =>
  inTemporary((directory) => {
    const settings = loadSettings({ flags: { state: "/nowhere" }, env: {}, readFile: () => null });
    const missing = openRedaction(settings, `${directory}/redaction.key`);
    assert.equal(missing.kind, "unkeyed");
    assert.match(describeRedaction(missing), /^on, but equal secrets cannot be matched: the key .* cannot be read/);
    Deno.writeTextFileSync(`${directory}/redaction.key`, "short\n");
    assert.match(describeRedaction(openRedaction(settings, `${directory}/redaction.key`)), /64 hexadecimal digits/);
    Deno.writeTextFileSync(`${directory}/redaction.key`, `${"5a".repeat(32)}\n`);
    const keyed = openRedaction(settings, `${directory}/redaction.key`);
    assert.ok(keyed.kind === "keyed");
    assert.match(keyed.digest("hunter2")!, /^[0-9a-f]{8}$/);
    assert.equal(describeRedaction(keyed), "on");
  }));

Deno.test({
  name: "openRedaction() is turned off by root's own file, below root's own directories",
  ignore: asRoot.ignore,
  fn: () =>
    inTemporary((directory) => {
      const mode = openRedaction(settingsOf(written(`${directory}/config.yaml`)), "/nowhere");
      assert.deepEqual(mode, { kind: "off", file: `${directory}/config.yaml` });
      assert.match(describeRedaction(mode), /^off by .*config.yaml: secrets .* are stored as they are$/);
    }),
});

Deno.test({
  name: "openRedaction() refuses to be turned off by what another than root could have written",
  ignore: asRoot.ignore,
  fn: () =>
    inTemporary((directory) => {
      const refuses = (path: string, pattern: RegExp): void => {
        assert.throws(() => openRedaction(settingsOf(path), "/nowhere"), (error: Error) => {
          assert.ok(error instanceof ConfigError, String(error));
          assert.match(error.message, pattern);
          assert.match(error.message, /write it in \/etc\/daemoneye\/config.yaml, or leave it on$/);
          return true;
        });
      };
      const file = `${directory}/config.yaml`;
      refuses(written(file, 0o664), /config.yaml can be written by others/);
      refuses(written(file, 0o646), /config.yaml can be written by others/);
      written(file);
      Deno.chownSync(file, 1234, 1234);
      refuses(file, /config.yaml belongs to user 1234/);
      Deno.chownSync(file, 0, 0);
      Deno.symlinkSync(file, `${directory}/link.yaml`);
      refuses(`${directory}/link.yaml`, /link.yaml is a symbolic link/);
      Deno.mkdirSync(`${directory}/sub`);
      written(`${directory}/sub/config.yaml`);
      Deno.symlinkSync(`${directory}/sub`, `${directory}/sub-link`);
      refuses(`${directory}/sub-link/config.yaml`, /sub-link is a symbolic link/);
      Deno.chmodSync(`${directory}/sub`, 0o777);
      refuses(`${directory}/sub/config.yaml`, /sub can be written by others/);
      Deno.chmodSync(`${directory}/sub`, 0o755);
      Deno.chownSync(`${directory}/sub`, 1234, 1234);
      refuses(`${directory}/sub/config.yaml`, /sub belongs to user 1234/);
    }),
});

Deno.test({
  name: "openRedaction() refuses an ordinary user's own file",
  ignore: !asRoot.ignore,
  fn: () =>
    inTemporary((directory) => {
      const settings = settingsOf(written(`${directory}/config.yaml`));
      assert.throws(() => openRedaction(settings, "/nowhere"), /belongs to user \d+/);
    }),
});
