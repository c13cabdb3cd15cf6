/** `deno task build`: what stands in executables and launchers, and that launchers do the whole job. */
import assert from "node:assert/strict";
import {
  executableDifferences,
  InspectionError,
  launcherDifferences,
  readEmbedded,
} from "../../deploy/executable_permissions.ts";
import { findLibc } from "../../deploy/launch.ts";
import { launcherCommand, launcherText } from "../../deploy/launcher.ts";
import { ordinaryPrincipals, principalsOf } from "../../deploy/principals.ts";
import { installedPaths, type Tier, tierGrants, type TierPaths, TIERS } from "../../deploy/privileges.ts";
import { prepareState } from "../../deploy/state_directory.ts";
import { asLimitedRoot, asSelf, asUser, COLLECTOR_CAPABILITIES } from "../../deploy/tier_command.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { denoForAll } from "../support/checkout.ts";
import { HeldProcess } from "../support/held_process.ts";
import { needs } from "../support/needs.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const decoder = new TextDecoder();
const asRoot = needs({ root: true, setpriv: true });

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(command: readonly string[], options: Deno.CommandOptions = {}): Promise<Result> {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program!, { args, stdin: "null", ...options }).output();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function build(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  return run([Deno.execPath(), "run", "-A", "--quiet", `${ROOT}deploy/build.ts`, ...args], { env });
}

/** A directory that other users can pass, as an installation is. */
async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-build-test-" }));
  await Deno.chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Sinks of a configuration, and what they are granted. */
const CONFIGURED = [
  { name: "siem", type: "syslog", address: "tls://siem.example", ca_file: "/etc/daemoneye/ca.pem" },
  { name: "near", type: "syslog", address: "udp://10.0.0.2" },
  { name: "log", type: "syslog", address: "unixgram:///run/systemd/journal/dev-log" },
];
const CONFIGURED_NEEDS = {
  net: [
    ...["siem.example:6514", "10.0.0.2:514", "0.0.0.0:0"],
    ...["unix:/run/systemd/journal/dev-log", "unix:/var/lib/daemoneye/agent/sink-log.sock"],
  ],
  read: ["/etc/daemoneye/ca.pem", "/run/systemd/journal/dev-log"],
  write: ["/run/systemd/journal/dev-log"],
};

Deno.test("build compiles exactly the grants of each tier into its executable", async (t) => {
  await using directory = await temporary();
  const sinks = ["sink.example:8443", "10.0.0.1:514"];
  // A whole Deno as base can be looked at, though not run as the program: see build.ts.
  const config = `${directory.path}/config.json`;
  Deno.writeTextFileSync(config, JSON.stringify({ agent: { sinks: CONFIGURED } }));
  const args = ["--out", directory.path, "--sinks", sinks.join(","), "--config", config];
  const result = await build(args, { DENORT_BIN: Deno.execPath() });
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stdout, /the permissions in each file are those of its tier/);
  assert.match(result.stdout, /DENORT_BIN is a whole Deno: these files can be inspected but not used/);
  const paths: TierPaths = { ...installedPaths(findLibc(), sinks), sinks: CONFIGURED_NEEDS };
  const executable = (tier: Tier): string => `${directory.path}/daemoneye-${tier}`;

  await t.step("as this test reads them", async () => {
    const { permissions, args } = await readEmbedded(executable("cli"));
    const granted = Object.entries(permissions).filter(([, value]) => value !== null);
    assert.deepEqual(Object.fromEntries(granted), {
      allow_read: tierGrants("cli", paths).read,
      allow_import: ["none.invalid:443"],
      prompt: false,
    });
    assert.deepEqual(args, []);
    const agent = (await readEmbedded(executable("agent"))).permissions;
    assert.deepEqual(agent["allow_net"], [
      "unix:/run/daemoneye/broker.sock",
      ...sinks,
      ...CONFIGURED_NEEDS.net,
    ]);
    assert.equal(agent["allow_ffi"], null);
    assert.equal(agent["allow_run"], null);
    assert.deepEqual((await readEmbedded(executable("collector"))).permissions["allow_ffi"], [findLibc()]);
  });

  await t.step("and a difference is found: other hosts, another tier's, a wider list", async () => {
    assert.deepEqual(await executableDifferences(executable("agent"), tierGrants("agent", paths)), []);
    const without = { ...paths, alertHosts: [] };
    const fewer = await executableDifferences(executable("agent"), tierGrants("agent", without));
    assert.equal(fewer.length, 1);
    assert.match(fewer[0]!, /allow_net is \["unix:.*","sink.example:8443","10.0.0.1:514",.*\], not \["unix:/);
    const other = await executableDifferences(executable("collector"), tierGrants("cli", paths));
    assert.deepEqual(other.map((text) => /: (allow_\w+) is/.exec(text)?.[1]).sort(), [
      "allow_env",
      "allow_ffi",
      "allow_net",
      "allow_read",
      "allow_write",
    ]);
    // `[]` in an executable means everything, not nothing.
    const everything = { ...tierGrants("cli", paths), write: [""] };
    assert.equal((await executableDifferences(executable("cli"), everything)).length, 1);
  });

  await t.step("and a file that is no compiled executable is refused", async () => {
    await assert.rejects(readEmbedded(`${ROOT}deno.json`), InspectionError);
  });
});

Deno.test("build without a base binary says what to do", async () => {
  await using directory = await temporary();
  const absent = await build(["--out", directory.path], { DENORT_BIN: `${directory.path}/none` });
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /^build: DENORT_BIN names .*\/none, which cannot be run; name a denort for /);
  // With an empty cache and a proxy that does not answer it cannot be fetched anywhere.
  await Deno.mkdir(`${directory.path}/dl`, { recursive: true });
  const unreachable = await build(["--out", directory.path], { HTTPS_PROXY: "http://127.0.0.1:1", DENORT_BIN: "" });
  if (unreachable.code !== 0) {
    assert.match(unreachable.stderr, /^build: .*(denort|DENORT_BIN)/);
    assert.match(unreachable.stderr, /launchers with --launcher|name a denort/);
  }
});

const grants = tierGrants("cli", installedPaths(findLibc()));

Deno.test("launcherText() survives odd paths, and launcherCommand() reads back what was written", () => {
  const paths: TierPaths = { ...installedPaths(findLibc()), layout: stateLayout("/srv/it's here/$HOME `x`") };
  const odd = tierGrants("cli", paths);
  const text = launcherText("console.log(1);\n", {
    tier: "cli",
    grants: odd,
    deno: "/opt/my deno/deno",
    denoDir: "/d",
    args: ["--state", "/srv/it's here/$HOME `x`"],
  });
  const command = launcherCommand(text)!;
  assert.equal(command.deno, "/opt/my deno/deno");
  assert.ok(command.flags.includes(`--allow-read=${odd.read.join(",")}`));
  assert.deepEqual(command.args, ["--state", "/srv/it's here/$HOME `x`"]);
  assert.equal(command.program, null);
  const apart = {
    tier: "cli",
    grants: odd,
    deno: "/d/deno",
    denoDir: "/d",
    program: "/it's/main.js",
    args: [],
  } as const;
  assert.equal(launcherCommand(launcherText("", apart))!.program, "/it's/main.js");
  assert.equal(launcherCommand("#!/bin/sh\nexec rm -rf /\n"), null);
});

Deno.test("the command line's launcher gives way: a question keeps some share, an export takes what nobody wants", async () => {
  await using directory = await temporary();
  const [deno, launcher] = [`${directory.path}/deno`, `${directory.path}/launcher`];
  const write = (path: string, text: string): void => Deno.writeTextFileSync(path, text, { mode: 0o755 });
  write(deno, "#!/bin/sh\n/usr/bin/chrt -p $$ | grep -o 'SCHED_[A-Z]*'\n/usr/bin/nice\n");
  write(launcher, launcherText("", { tier: "cli", grants, deno, denoDir: "/d", args: [] }));
  const runs = async (...args: string[]): Promise<string[]> => {
    const { stdout } = await new Deno.Command(launcher, { args }).output();
    return decoder.decode(stdout).trim().split("\n");
  };
  const own = Number(decoder.decode((await new Deno.Command("/usr/bin/nice").output()).stdout));
  const atMost = (nice: number): string => String(Math.min(19, own + nice));
  assert.deepEqual(await runs("hunt"), ["SCHED_OTHER", atMost(10)]);
  assert.deepEqual(await runs("export", "events"), ["SCHED_IDLE", atMost(19)]);
});

Deno.test("launcherDifferences() finds a flag that was added or taken away", async () => {
  await using directory = await temporary();
  const file = `${directory.path}/launcher`;
  const text = launcherText("", { tier: "cli", grants, deno: "/bin/deno", denoDir: "/d", args: [] });
  await Deno.writeTextFile(file, text);
  assert.deepEqual(await launcherDifferences(file, grants), []);
  await Deno.writeTextFile(file, text.replace("--no-prompt", "--no-prompt --allow-write"));
  assert.deepEqual(await launcherDifferences(file, grants), [`${file}: --allow-write is not a grant of the tier`]);
  await Deno.writeTextFile(file, text.replace("--no-remote ", ""));
  assert.deepEqual(await launcherDifferences(file, grants), [`${file}: --no-remote is missing`]);
  await Deno.writeTextFile(file, text.replace(`"$0"`, "/tmp/evil.js"));
  assert.deepEqual(await launcherDifferences(file, grants), [`${file}: it starts /tmp/evil.js`]);
  await Deno.writeTextFile(file, text.replace(`"$0"`, `-A "$0"`));
  assert.deepEqual(await launcherDifferences(file, grants), [`${file}: -A is not a grant of the tier`]);
});

Deno.test("launchers do the whole job under their grants, whatever stands around them", async (t) => {
  await using directory = await temporary();
  const state = `${directory.path}/state`, out = `${directory.path}/out`, layout = stateLayout(state);
  const rules = `${directory.path}/rules`;
  await run(["cp", "-r", `${ROOT}rules`, rules]);
  const deno = await denoForAll(`${directory.path}/bin`);
  const built = await build(["--launcher", "--state", state, "--rules", rules, "--out", out, "--deno", deno]);
  assert.equal(built.code, 0, built.stderr);
  const who = asRoot.ignore ? ordinaryPrincipals(Deno.uid()!, Deno.gid()!) : principalsOf("", "");
  prepareState(layout, who);

  await t.step("the environment and the working directory cannot change what runs", async () => {
    await Deno.writeTextFile(`${directory.path}/evil.cjs`, `require("fs").writeSync(1, "evil ran\\n")`);
    await Deno.writeTextFile(`${directory.path}/deno.json`, `{"imports":{"node:sqlite":"./evil.cjs"}}`);
    const env = { NODE_OPTIONS: `--require ${directory.path}/evil.cjs`, DENO_V8_FLAGS: "--help", OTEL_DENO: "true" };
    for (const tier of TIERS) {
      const { code, stdout } = await run([`${out}/daemoneye-${tier}`, "--version"], { env, cwd: directory.path });
      assert.equal(code, 0);
      assert.match(stdout, /^(daemoneye-\w+ )?\d+\.\d+\.\d+\n$/, tier);
    }
  });

  await t.step("a flag of Deno's on the command line reaches the program and grants nothing", async () => {
    const { code, stderr } = await run([`${out}/daemoneye-cli`, "--allow-all", "health"]);
    assert.equal(code, 2);
    assert.match(stderr, /--allow-all/);
  });

  const start = (command: readonly string[]): Deno.ChildProcess =>
    new Deno.Command(command[0]!, { args: command.slice(1), cwd: "/", stdin: "null", stdout: "null", stderr: "piped" })
      .spawn();
  const agentProgram = [`${out}/daemoneye-agent`];
  const identity = asRoot.ignore
    ? []
    : ["--set", `collector.user=${who.collector}`, "--set", `collector.group=${who.busGroup}`];
  const collectorProgram = [`${out}/daemoneye-collector`, ...identity];
  const agent = start(asRoot.ignore ? asSelf(agentProgram) : asUser(who.agent, who.busGroup, agentProgram));
  const collector = start(
    asRoot.ignore ? asSelf(collectorProgram) : asLimitedRoot(COLLECTOR_CAPABILITIES, collectorProgram),
  );
  const words = Promise.all([agent, collector].map((process) => process.stderr.text()));
  const cli = async (sql: string): Promise<Record<string, unknown>[]> => {
    const { stdout } = await run([`${out}/daemoneye-cli`, "query", sql, "--format", "json"]);
    return stdout === "" ? [] : JSON.parse(stdout);
  };
  const stop = async (signal: Deno.Signal): Promise<number[]> => {
    const codes: number[] = [];
    for (const process of [collector, agent]) {
      try {
        process.kill(signal);
      } catch {
        // It has ended: its code tells.
      }
      codes.push((await process.status).code);
    }
    return codes;
  };
  const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
    const end = performance.now() + PATIENCE_MS;
    while (!await holds()) {
      if (performance.now() > end) {
        await stop("SIGKILL");
        throw new Error(`It did not come about that ${what}\n${(await words).join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await t.step("they see a process, raise its alert and show it", async () => {
    await until("processes are stored", async () => (await cli("SELECT pid FROM processes LIMIT 1")).length === 1);
    const implant = `/tmp/daemoneye-launcher-${crypto.randomUUID()}`; // directly in /tmp: what a rule looks for
    await Deno.copyFile("/bin/sleep", implant);
    await using _ = new HeldProcess(implant, ["1000"]);
    const sql = `SELECT command_line FROM alerts WHERE executable_path = '${implant}'`;
    await until("the alert is there", async () => (await cli(sql)).length > 0);
    assert.deepEqual(await cli(sql), [{ command_line: `${implant} 1000` }]);
    await Deno.remove(implant);
  });
  await t.step("they stop on SIGTERM", async () => {
    assert.deepEqual(await stop("SIGTERM"), [0, 0]);
    await words;
  });
});
