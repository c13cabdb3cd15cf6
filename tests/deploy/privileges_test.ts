/** The grants of every tier against a literal table, so that a widening shows in review. */
import assert from "node:assert/strict";
import {
  DPKG_INFO,
  type GRANT_KINDS,
  GrantError,
  installedPaths,
  LIBC_PATHS,
  namedPaths,
  PS_PATHS,
  type TierGrants,
  tierGrants,
  type TierPaths,
  TIERS,
  YARA_PATH,
} from "../../deploy/privileges.ts";
import { grantFlags } from "../../deploy/runtime_flags.ts";
import { LIBC_PATHS as COLLECTOR_LIBC_PATHS } from "../../collector/kernel/libc.ts";
import { PS_PATHS as COLLECTOR_PS_PATHS } from "../../collector/sources/ps_command.ts";
import { DPKG_INFO as ANALYZER_DPKG_INFO } from "../../collector/analyzer/packages.ts";
import { YARA_PATH as ANALYZER_YARA_PATH } from "../../collector/analyzer/yara.ts";
import { INSTALLED_STATE, stateLayout } from "../../proto/state_layout.ts";

const LIBC = "/lib/x86_64-linux-gnu/libc.so.6";

const paths: TierPaths = {
  layout: stateLayout("/s"),
  rulesDirs: ["/shipped/rules", "/s/rules"],
  configFiles: ["/s/config.yaml"],
  alertHosts: ["sink.example:8443"],
  libc: LIBC,
};

Deno.test("tierGrants() grants exactly what the table says", () => {
  assert.deepEqual(tierGrants("collector", paths), {
    read: [
      "/s/collector",
      "/s/run/collector.token",
      "/s/keys/redaction.key",
      "/s/keys/ledger.key",
      "/s/keys/ledger-next.key",
      "/s/run/broker.sock",
      "/s/run/hasher/hasher.sock",
      "/s/run/responder/responder.sock",
      "/s/config.yaml",
    ],
    write: ["/s/collector", "/s/run/broker.sock", "/s/run/hasher/hasher.sock", "/s/run/responder/responder.sock"],
    net: ["unix:/s/run/broker.sock", "unix:/s/run/hasher/hasher.sock", "unix:/s/run/responder/responder.sock"],
    env: ["DAEMONEYE_*"],
    sys: [],
    run: [],
    ffi: ["/lib/x86_64-linux-gnu/libc.so.6"],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("hasher", paths), {
    read: ["/s/run/hasher/hasher.sock", "/s/config.yaml"],
    write: ["/s/run/hasher/hasher.sock"],
    net: ["unix:/s/run/hasher/hasher.sock"],
    env: ["DAEMONEYE_*"],
    sys: [],
    run: [],
    ffi: ["/lib/x86_64-linux-gnu/libc.so.6"],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("responder", paths), {
    read: ["/s/run/responder/responder.sock", "/s/responses", "/s/config.yaml"],
    write: ["/s/run/responder/responder.sock", "/s/responses"],
    net: ["unix:/s/run/responder/responder.sock"],
    env: ["DAEMONEYE_*"],
    sys: [],
    run: [],
    ffi: ["/lib/x86_64-linux-gnu/libc.so.6"],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("analyzer", paths), {
    read: ["/s/run/broker.sock", "/s/rules/yara", "/var/lib/dpkg/info", "/s/config.yaml"],
    write: ["/s/run/broker.sock"],
    net: ["unix:/s/run/broker.sock"],
    env: ["DAEMONEYE_*"],
    sys: [],
    run: [],
    ffi: ["/lib/x86_64-linux-gnu/libc.so.6"],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("agent", paths), {
    read: [
      "/s/agent",
      "/s/run/collector.token",
      "/s/run/broker.sock",
      "/s/run/requests",
      "/shipped/rules",
      "/s/rules",
      "/s/config.yaml",
    ],
    write: ["/s/agent", "/s/run/broker.sock", "/s/run/requests"],
    net: ["unix:/s/run/broker.sock", "sink.example:8443"],
    env: ["DAEMONEYE_*"],
    sys: ["hostname", "statfs"],
    run: [],
    ffi: [],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("ask", paths), {
    read: ["/s/run/requests"],
    write: ["/s/run/requests"],
    net: [],
    env: [],
    sys: [],
    run: [],
    ffi: [],
    import: ["none.invalid:443"],
  });
  assert.deepEqual(tierGrants("cli", paths), {
    read: ["/s/agent", "/s/collector/status.pb", "/s/collector/ledger", "/shipped/rules", "/s/rules", "/s/config.yaml"],
    write: [],
    net: [],
    env: [],
    sys: [],
    run: [],
    ffi: [],
    import: ["none.invalid:443"],
  });
});

Deno.test("tierGrants() lets the analyzer run yara where it is, and nothing else", () => {
  assert.deepEqual(tierGrants("analyzer", { ...paths, yara: YARA_PATH }).run, ["/usr/bin/yara"]);
  assert.deepEqual(tierGrants("analyzer", { ...paths, yara: null }).run, []);
  assert.throws(() => tierGrants("analyzer", { ...paths, yara: "/bin/sh" }), GrantError);
  assert.equal(YARA_PATH, ANALYZER_YARA_PATH);
  assert.equal(DPKG_INFO, ANALYZER_DPKG_INFO);
});

Deno.test("tierGrants() follows a configured socket and alert file", () => {
  const moved = { ...paths, brokerSocket: "/run/other.sock", alertFile: "/var/log/alerts.jsonl" };
  assert.deepEqual(tierGrants("agent", moved).write, [
    "/s/agent",
    "/var/log/alerts.jsonl",
    "/run/other.sock",
    "/s/run/requests",
  ]);
  assert.deepEqual(tierGrants("collector", moved).net, [
    "unix:/run/other.sock",
    "unix:/s/run/hasher/hasher.sock",
    "unix:/s/run/responder/responder.sock",
  ]);
  assert.deepEqual(tierGrants("cli", moved).read.slice(0, 2), ["/s/agent", "/var/log/alerts.jsonl"]);
});

Deno.test("tierGrants() grants the agent, and nobody else, what its sinks need", () => {
  const sinks = {
    net: ["siem.example:6514", "10.0.0.1:514", "0.0.0.0:0", "unix:/run/log.sock", "unix:/s/agent/sink-a.sock"],
    read: ["/etc/daemoneye/ca.pem", "/run/log.sock"],
    write: ["/run/log.sock"],
  };
  const granted = { ...paths, sinks }, before = tierGrants("agent", paths), after = tierGrants("agent", granted);
  assert.deepEqual(after.net, [...before.net, ...sinks.net]);
  assert.deepEqual(after.read, [...before.read, ...sinks.read]);
  assert.deepEqual(after.write, [...before.write, ...sinks.write]);
  assert.deepEqual({ ...after, net: [], read: [], write: [] }, { ...before, net: [], read: [], write: [] });
  for (const tier of TIERS) {
    if (tier !== "agent") assert.deepEqual(tierGrants(tier, granted), tierGrants(tier, paths));
  }
  assert.ok(grantFlags(after).includes("--unstable-net"));
  assert.ok(!grantFlags(before).includes("--unstable-net"));
  for (
    const bad of [
      { net: ["siem.example"] },
      { net: ["0.0.0.0:1,evil.example:1"] },
      { net: ["unix:relative"] },
      { read: ["/etc,/root"] },
      { write: ["/a/../etc"] },
    ]
  ) {
    assert.throws(() => tierGrants("agent", { ...paths, sinks: { net: [], read: [], write: [], ...bad } }), GrantError);
  }
});

Deno.test("tierGrants() grants the collector ps where it is its source, and nobody anything else to run", () => {
  for (const ps of ["/usr/bin/ps", "/bin/ps"]) {
    const granted = { ...paths, ps };
    assert.deepEqual(tierGrants("collector", granted), { ...tierGrants("collector", paths), run: [ps] });
    for (const tier of ["agent", "cli"] as const) assert.deepEqual(tierGrants(tier, granted), tierGrants(tier, paths));
  }
  for (const ps of ["", "ps", "/bin/sh", "/usr/bin/ps,/bin/sh", "/usr/bin/../bin/ps"]) {
    assert.throws(() => tierGrants("collector", { ...paths, ps }), GrantError, ps);
  }
});

Deno.test("tierGrants() refuses a value that would change the meaning of a flag", () => {
  const refused = (change: Partial<TierPaths>): void =>
    TIERS.forEach((tier) => assert.throws(() => tierGrants(tier, { ...paths, ...change }), GrantError, tier));
  refused({ layout: stateLayout("/s,/etc") });
  refused({ layout: stateLayout("relative") });
  refused({ layout: stateLayout("/s/../etc") });
  refused({ layout: stateLayout("/s\n") });
  refused({ configFiles: [""] });
  refused({ alertFile: "alerts.jsonl" });
  for (
    const host of ["", "sink", "sink:0", "sink:65536", "a,b:1", "unix:/run/docker.sock", "http://sink:80", "*:443"]
  ) {
    assert.throws(() => tierGrants("agent", { ...paths, alertHosts: [host] }), GrantError, host);
  }
});

Deno.test("namedPaths() finds the files that a command line names, and no others", () => {
  const there = ["/home/a/monday.txt", "/home/a/proof", "/etc/keys", "/home/a/x,y"];
  const named = (...args: string[]): string[] => namedPaths(args, "/home/a", (path) => there.includes(path));
  assert.deepEqual(named("audit", "verify", "--against", "monday.txt", "--key=/etc/keys"), [there[0], there[2]]);
  assert.deepEqual(named("audit", "check-proof", "../a/proof", "--format", "json", "proof"), ["/home/a/proof"]);
  assert.deepEqual(named("query", "SELECT 1 FROM events", "-", "--plain", "x,y", "", "--", "absent"), []);
});

Deno.test("deno.json holds the grants of the installed system", () => {
  const config = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)));
  const sets = config.permissions as Record<string, Partial<Record<typeof GRANT_KINDS[number], string[]>>>;
  assert.deepEqual(Object.keys(sets), [...TIERS]);
  for (const tier of TIERS) {
    const grants = tierGrants(tier, installedPaths(LIBC)) as TierGrants;
    const granted = Object.fromEntries(Object.entries(grants).filter(([, list]) => list.length > 0));
    assert.deepEqual(sets[tier], granted, tier);
  }
});

Deno.test("paths that the tiers and the supervisor must agree on are the same", () => {
  assert.deepEqual(LIBC_PATHS[Deno.build.arch], COLLECTOR_LIBC_PATHS);
  assert.deepEqual(PS_PATHS, COLLECTOR_PS_PATHS);
  assert.equal(installedPaths(LIBC).layout.state, INSTALLED_STATE);
});
