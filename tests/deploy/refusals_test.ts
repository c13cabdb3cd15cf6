/** Each tier under its own grants tries everything; what is not in its list is refused, for every kind of permission. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { findLibc, findPs } from "../../deploy/launch.ts";
import { type Tier, tierGrants, type TierPaths, TIERS } from "../../deploy/privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "../../deploy/runtime_flags.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { needs } from "../support/needs.ts";
import type { Ground } from "./probe.ts";

const PROBE = new URL("probe.ts", import.meta.url).pathname;

/**
 * All that a tier may do. Every other act of the probe must be refused.
 *
 * The acts "through a link" are what Deno gives and we do not want: it follows a symbolic link that is already in a
 * granted directory. None of the tiers can make one by Deno's means ("make a symbolic link", "link to a foreign file"),
 * and what a link leads to is still fenced by the user that the tier runs as.
 */
const MAY: Readonly<Record<Tier, readonly string[]>> = {
  collector: [
    "read collector's directory",
    "read collector's status",
    "read collector's ledger",
    "read token",
    "read configuration",
    "read broker socket's metadata",
    "write collector's directory",
    "write collector's ledger",
    "read a foreign file through a link in the collector's directory",
    "write a foreign file through a link in the collector's directory",
    "connect to the broker socket",
    "read a setting's variable",
    "open the C library",
  ],
  hasher: [
    "read configuration",
    "read a setting's variable",
    "open the C library",
  ],
  responder: [
    "read configuration",
    "read a setting's variable",
    "open the C library",
  ],
  analyzer: [
    "read configuration",
    "read broker socket's metadata",
    "connect to the broker socket",
    "read a setting's variable",
    "open the C library",
  ],
  agent: [
    "read agent's directory",
    "read token",
    "read rules",
    "read configuration",
    "read broker socket's metadata",
    "write agent's directory",
    "write requests",
    "read a foreign file through a link in the agent's directory",
    "write a foreign file through a link in the agent's directory",
    "connect to the broker socket",
    "connect by TCP",
    "connect by TCP by node",
    "fetch by HTTP",
    "open a WebSocket",
    "read a setting's variable",
    "read the host's name",
    "read the host's name by node",
  ],
  ask: [
    "write requests",
  ],
  cli: [
    "read collector's status",
    "read collector's ledger",
    "read agent's directory",
    "read a foreign file through a link in the agent's directory",
    "read rules",
    "read configuration",
  ],
};

/** The hosts that `deno run` names as its default for `--allow-import`. */
function importHosts(): string[] {
  const { stdout } = new Deno.Command(Deno.execPath(), { args: ["bundle", "--help"], env: { NO_COLOR: "1" } })
    .outputSync();
  const [, hosts = ""] =
    /Allow importing from remote hosts.*?Default value: (\S+)/s.exec(new TextDecoder().decode(stdout)) ?? [];
  return hosts.split(",").filter((host) => host !== "");
}

Deno.test("each tier may do what it is granted and nothing else", async (t) => {
  await using world = await ProbeWorld.make(importHosts());
  assert.ok(world.ground.importHosts.length >= 5, "this Deno names the hosts that it would import from");
  for (const tier of TIERS) {
    await t.step(tier, async () => {
      const results = await world.probe(tier);
      const allowed = Object.keys(results).filter((act) => results[act] === "ok").sort();
      assert.deepEqual(allowed, [...MAY[tier]].sort());
      for (const [act, result] of Object.entries(results)) {
        if (result !== "ok" && result !== "refused") assertRefusedOtherwise(act, result);
      }
      if (allowed.includes("write requests")) Deno.removeSync(`${world.ground.requests}/new`);
      assert.deepEqual(world.untouched(), [], "acts that were reported as refused left no trace");
    });
  }
  assert.deepEqual(world.requests.filter((path) => path.includes("module")), [], "no module was asked for");
});

Deno.test({
  name: "a collector whose source is ps may run that and nothing more",
  ...needs({ programs: ["ps"] }),
  async fn() {
    await using world = await ProbeWorld.make([]);
    const results = await world.probe("collector", { ps: findPs() });
    const allowed = Object.keys(results).filter((act) => results[act] === "ok").sort();
    assert.deepEqual(allowed, [...MAY.collector, "run ps"].sort());
    // Deno lets nobody preload a library into a program who may not run every program.
    assert.equal(results["run ps with a library of one's own"], "refused");
    assert.deepEqual(world.untouched(), []);
  },
});

Deno.test("the probe finds its way to everything when it is granted everything", async () => {
  await using world = await ProbeWorld.make([]); // no hosts: nothing here goes out to the network
  const results = await world.probe(null);
  // So a refusal above is the grants' doing, and nothing else's.
  const failed = Object.entries(results).filter(([act, result]) =>
    // A user that /etc/passwd does not name has no entry to be read.
    result !== "ok" && !(act === "read the user by node" && result === "NotFound: Failed to get user info")
  );
  assert.deepEqual(failed, [[
    "import from npm",
    "TypeError: npm specifiers were requested; but --no-npm is specified",
  ]]);
});

/** Refusals that do not come as NotCapable: imports, where `--no-remote` comes first, and SQLite's own limit. */
function assertRefusedOtherwise(act: string, result: string): void {
  const expected = act.startsWith("import ")
    ? /^TypeError: .*(--no-remote|--no-npm|Requires import access|Requires read access)/s
    : act === "read by attaching a foreign database"
    ? /^Error: too many attached databases - max 0$/
    : /^refused$/;
  assert.match(result, expected, act);
}

class ProbeWorld implements AsyncDisposable {
  private constructor(
    readonly ground: Ground,
    readonly paths: TierPaths,
    /** Paths that the HTTP server was asked for. */
    readonly requests: readonly string[],
    readonly closing: AsyncDisposableStack,
  ) {}

  static async make(importHosts: readonly string[]): Promise<ProbeWorld> {
    const closing = new AsyncDisposableStack();
    const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-probe-" }));
    closing.defer(() => Deno.remove(directory, { recursive: true }));
    const layout = stateLayout(`${directory}/state`), foreign = `${directory}/foreign`;
    for (const path of [layout.collector, layout.agent, layout.requests, layout.rules, foreign]) {
      await Deno.mkdir(path, { recursive: true });
    }
    const requests: string[] = [];
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      requests.push(new URL(request.url).pathname);
      if (request.headers.get("upgrade") === "websocket") return Deno.upgradeWebSocket(request).response;
      return new Response("export {}", { headers: { "content-type": "text/javascript" } });
    });
    closing.defer(() => server.shutdown());
    for (const path of [layout.brokerSocket, `${foreign}/socket`]) {
      const listener = Deno.listen({ transport: "unix", path });
      closing.defer(() => listener.close());
      (async () => {
        for await (const connection of listener) connection.close();
      })().catch(() => {});
    }
    const ground: Ground = {
      collectorDir: layout.collector,
      agentDir: layout.agent,
      collectorStatus: layout.collectorStatus,
      ledgerFile: `${layout.ledger}/checkpoint`,
      token: layout.token,
      rulesDir: layout.rules,
      configFile: `${layout.state}/config.yaml`,
      requests: layout.requests,
      foreignFile: `${directory}/foreign.txt`,
      foreignDir: foreign,
      linkName: "link",
      brokerSocket: layout.brokerSocket,
      foreignSocket: `${foreign}/socket`,
      newSocket: `${layout.run}/new.sock`,
      port: server.addr.port,
      libc: findLibc(),
      otherLibrary: findLibc().replace("libc.so.6", "libm.so.6"),
      importHosts,
    };
    await Deno.mkdir(layout.ledger);
    const files = [ground.token, ground.collectorStatus, ground.ledgerFile, ground.configFile, ground.foreignFile];
    for (const path of [...files, `${foreign}/module.js`, `${layout.rules}/a.yml`]) await Deno.writeTextFile(path, "");
    for (const path of [layout.collector, layout.agent]) await Deno.symlink(ground.foreignFile, `${path}/link`);
    using db = new DatabaseSync(`${foreign}/db`);
    db.exec("CREATE TABLE t (a)");
    const paths: TierPaths = {
      layout,
      rulesDirs: [layout.rules],
      configFiles: [ground.configFile],
      alertHosts: [`127.0.0.1:${ground.port}`],
      libc: ground.libc,
    };
    return new ProbeWorld(ground, paths, requests, closing);
  }

  /** Runs the probe under the grants of a tier, or under all permissions. */
  async probe(tier: Tier | null, change: Partial<TierPaths> = {}): Promise<Record<string, string>> {
    const grants = tier === null ? ["--allow-all"] : grantFlags(tierGrants(tier, { ...this.paths, ...change }));
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...BUNDLE_FLAGS, ...grants, PROBE, JSON.stringify(this.ground)],
      env: { DAEMONEYE_PROBE: "1" },
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert.notEqual(text, "", new TextDecoder().decode(stderr));
    return JSON.parse(text);
  }

  /** What a refused act changed after all. */
  untouched(): string[] {
    const { foreignFile, foreignDir, rulesDir, requests, newSocket, configFile } = this.ground;
    const traces = [`${foreignFile}.moved`, `${foreignDir}/new`, `${foreignDir}/new.db`, `${rulesDir}/new.yml`];
    const there = [...traces, `${requests}/new`, newSocket].filter(exists);
    const missing = [foreignFile, configFile, `${foreignDir}/db`].filter((path) => !exists(path));
    if (exists(foreignFile) && (Deno.statSync(foreignFile).mode! & 0o777) === 0o777) {
      there.push("mode of the foreign file");
    }
    return [...there, ...missing];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.closing.disposeAsync();
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
