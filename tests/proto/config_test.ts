import assert from "node:assert/strict";
import { loadSettings, parseDaemonFlags, settingsEnvironment, type SettingsInput } from "../../proto/config.ts";
import { ConfigError } from "../../proto/setting_values.ts";

function settle(input: Partial<SettingsInput> & { files?: Record<string, string> }): ReturnType<typeof loadSettings> {
  const files = input.files ?? {};
  return loadSettings({ flags: {}, env: {}, readFile: (path) => files[path] ?? null, ...input });
}

function refuses(input: Parameters<typeof settle>[0], pattern: RegExp): void {
  assert.throws(() => settle(input), (error) => error instanceof ConfigError && pattern.test(error.message));
}

Deno.test("loadSettings() gives defaults with their layer", () => {
  const settings = settle({});
  assert.equal(settings.stateDir, "/var/lib/daemoneye");
  assert.equal(settings.brokerSocket, "/run/daemoneye/broker.sock");
  assert.deepEqual(settings.rulesDirs, ["/var/lib/daemoneye/rules"]);
  assert.equal(settings.origins.get("collector.source"), "default");
});

Deno.test("loadSettings() lets flags beat environment, environment the user file, and that the system file", () => {
  const files = {
    "/etc/daemoneye/config.yaml":
      "collector:\n  poll_interval_ms: 2000\n  snapshot_interval_ms: 2000\n  wal_keep_ms: 2000\n  id: system\n",
    "/s/config.toml": '[collector]\nsnapshot_interval_ms = 3000\nwal_keep_ms = 3000\nid = "user"\n',
  };
  const env = { DAEMONEYE_COLLECTOR__WAL_KEEP_MS: "4000", DAEMONEYE_COLLECTOR__ID: "environment", PATH: "/bin" };
  const settings = settle({ files, env, flags: { state: "/s", set: ["collector.id=flag"] } });
  assert.equal(settings.collector.pollIntervalMs, 2000);
  assert.equal(settings.collector.snapshotIntervalMs, 3000);
  assert.equal(settings.collector.walKeepMs, 4000);
  assert.equal(settings.collector.id, "flag");
  assert.equal(settings.origins.get("collector.poll_interval_ms"), "/etc/daemoneye/config.yaml");
  assert.equal(settings.origins.get("collector.snapshot_interval_ms"), "/s/config.toml");
  assert.equal(
    settings.origins.get("collector.wal_keep_ms"),
    "environment DAEMONEYE_COLLECTOR__WAL_KEEP_MS",
  );
});

Deno.test("loadSettings() bounds what the collector remembers and tells", () => {
  const { collector } = settle({});
  assert.equal(collector.maxTrackedProcesses, 65_536);
  assert.deepEqual([collector.skipsKernelThreads, collector.memoryChangePercent, collector.cpuChangePercent], [
    false,
    0,
    0,
  ]);
  const set = (value: string): Parameters<typeof settle>[0] => ({ flags: { set: [`collector.${value}`] } });
  assert.equal(settle(set("max_tracked_processes=4194304")).collector.maxTrackedProcesses, 4_194_304);
  assert.equal(settle(set("skip_kernel_threads=yes")).collector.skipsKernelThreads, true);
  assert.equal(settle(set("cpu_change_percent=25")).collector.cpuChangePercent, 25);
  refuses(set("max_tracked_processes=999"), /from 1000 to 4194304/);
  refuses(set("max_tracked_processes=4194305"), /from 1000 to 4194304/);
  refuses(set("skip_kernel_threads=maybe"), /one of yes, no/);
  refuses(set("memory_change_percent=-1"), /from 0 to 1000000/);
});

Deno.test("loadSettings() reads JSON, and a YAML file of comments only", () => {
  assert.equal(
    settle({ flags: { config: "/c.json" }, files: { "/c.json": '{"agent":{"stdout":"json"}}' } }).agent.stdout,
    "json",
  );
  assert.equal(settle({ flags: { config: "/c.yaml" }, files: { "/c.yaml": "# nothing\n" } }).agent.stdout, "human");
});

Deno.test("loadSettings() honours DAEMONEYE_BROKER_SOCKET and DAEMONEYE_STATE_DIR", () => {
  const settings = settle({ env: { DAEMONEYE_BROKER_SOCKET: "/x/b.sock", DAEMONEYE_STATE_DIR: "/y" } });
  assert.equal(settings.brokerSocket, "/x/b.sock");
  assert.equal(settings.stateDir, "/y");
});

Deno.test("loadSettings() refuses what is wrong and says where it stands", () => {
  refuses({ flags: { set: ["collector.ring_bytes=5000"] } }, /flag --set collector\.ring_bytes.*power of two/);
  refuses({ flags: { set: ["collector.ring_bytes=1"] } }, /from 4096 to 1073741824 \(bytes/);
  refuses({ flags: { set: ["nonsense"] } }, /not KEY=VALUE/);
  refuses({ flags: { set: ["collector.nonsense=1"] } }, /no setting "collector\.nonsense"/);
  refuses({ flags: { set: ["__proto__=1"] } }, /no setting/);
  refuses(
    { env: { DAEMONEYE_AGENT__STDOUT: "xml" } },
    /environment DAEMONEYE_AGENT__STDOUT: .*one of human, json, none/,
  );
  refuses({ flags: { state: "relative" } }, /flag --state: state_dir must be an absolute path/);
  refuses({ flags: { state: "/a/../b" } }, /without '\.\.'/);
  refuses({ flags: { state: "/a,b" } }, /commas/);
  refuses({ flags: { state: "/" + "x".repeat(120) } }, /longer than 107 bytes; choose a shorter state directory/);
  refuses({ flags: { config: "/missing.yaml" } }, /does not exist; create it/);
  refuses({ flags: { config: "/c.yaml" }, files: { "/c.yaml": "a: [" } }, /\/c\.yaml cannot be understood/);
  refuses({ flags: { config: "/c.yaml" }, files: { "/c.yaml": "- 1\n" } }, /must hold settings by name/);
  refuses({ flags: { state: "/s" }, files: { "/s/config.yaml": "state_dir: /t\n" } }, /found through it/);
  refuses(
    { flags: { config: "/c.yaml" }, files: { "/c.yaml": "collector:\n  poll_interval_ms: 1.5\n" } },
    /\/c\.yaml: .*whole number/,
  );
});

Deno.test("settingsEnvironment() asks for each variable that can matter", () => {
  const env: Record<string, string> = { DAEMONEYE_STATE_DIR: "/s", DAEMONEYE_AGENT__STDOUT: "json", PATH: "/bin" };
  const found = settingsEnvironment((name) => env[name]);
  assert.deepEqual(found, { DAEMONEYE_STATE_DIR: "/s", DAEMONEYE_AGENT__STDOUT: "json" });
  assert.equal(settle({ env: found }).agent.stdout, "json");
});

Deno.test("parseDaemonFlags() refuses what it does not know", () => {
  assert.deepEqual(parseDaemonFlags(["--state", "/s", "--set", "a=b", "--set", "c=d"]).set, ["a=b", "c=d"]);
  assert.throws(() => parseDaemonFlags(["--frobnicate"]), ConfigError);
  assert.equal(parseDaemonFlags([], ["selftest"]).command, null);
  assert.equal(parseDaemonFlags(["selftest", "--state", "/s"], ["selftest"]).command, "selftest");
  for (const args of [["selftest"], ["self"], ["selftest", "selftest"]]) {
    assert.throws(
      () => parseDaemonFlags(args, args.length === 1 && args[0] === "selftest" ? [] : ["selftest"]),
      ConfigError,
    );
  }
});

Deno.test("the audit ledger is on, and only a configuration file can turn it off", () => {
  assert.equal(settle({}).collector.ledger, true);
  refuses({ flags: { set: ["collector.ledger=off"] } }, /turned off only by a configuration file that root owns/);
  refuses({ env: { DAEMONEYE_COLLECTOR__LEDGER: "off" } }, /turned off only by a configuration file/);
  const files = { "/etc/daemoneye/config.yaml": "collector:\n  ledger: 'off'\n  ledger_hash: sha256\n" };
  const { ledger, ledgerHash } = settle({ files }).collector;
  assert.deepEqual([ledger, ledgerHash], [false, "sha256"]);
  assert.equal(settle({ files }).values.get("collector.ledger"), "off");
});
