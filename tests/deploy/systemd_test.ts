/** Units for systemd: what they give is what the supervisor gives, and systemd's own programs take them. */
import assert from "node:assert/strict";
import { principalsOf } from "../../deploy/principals.ts";
import type { Tier } from "../../deploy/privileges.ts";
import { TIER_UMASK } from "../../deploy/ownership.ts";
import { prepareState } from "../../deploy/state_directory.ts";
import {
  asLimitedRoot,
  asUser,
  asUserWith,
  COLLECTOR_CAPABILITIES,
  HASHER_CAPABILITY,
} from "../../deploy/tier_command.ts";
import { systemdFiles } from "../../deploy/units.ts";
import { INSTALLED_STATE, type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import { TempDir } from "../agent/support.ts";
import { needs } from "../support/needs.ts";

const DIRECTORY = new URL("../../deploy/systemd/", import.meta.url).pathname;
const SYSUSERS = new URL("../../deploy/sysusers.conf", import.meta.url).pathname;

async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${program} ${args.join(" ")}: ${out}${err}`);
  return out! + err!;
}

/** The settings of a unit's service, by name; the last one of a name. */
function serviceOf(tier: Tier): Map<string, string> {
  const lines = systemdFiles()[`daemoneye-${tier}.service`]!.split("[Service]\n")[1]!.split("\n");
  return new Map(
    lines.filter((line) => line.includes("=")).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

/** The bounding set of a `setpriv` command, as a unit writes it. */
function boundingSet(command: readonly string[]): string {
  const flag = command.find((word) => word.startsWith("--bounding-set="))!;
  return flag.split("=")[1]!.split(",").slice(1).map((name) => `CAP_${name.slice(1).toUpperCase()}`).join(" ");
}

Deno.test("deploy/systemd is what the tables say", () => {
  const made = systemdFiles();
  assert.deepEqual([...Deno.readDirSync(DIRECTORY)].map(({ name }) => name).sort(), Object.keys(made).sort());
  for (const [name, text] of Object.entries(made)) {
    assert.equal(Deno.readTextFileSync(`${DIRECTORY}${name}`), text, name);
  }
  assert.equal(Deno.statSync(`${DIRECTORY}daemoneye-secrets`).mode! & 0o111, 0o111);
});

Deno.test("each unit gives its daemon the capabilities that the supervisor gives it, and no way to more", () => {
  const collector = serviceOf("collector"), hasher = serviceOf("hasher"), agent = serviceOf("agent");
  assert.equal(collector.get("CapabilityBoundingSet"), boundingSet(asLimitedRoot(COLLECTOR_CAPABILITIES, [])));
  assert.equal(hasher.get("CapabilityBoundingSet"), boundingSet(asUserWith([HASHER_CAPABILITY], 1, 1, [])));
  assert.equal(hasher.get("AmbientCapabilities"), hasher.get("CapabilityBoundingSet"));
  assert.equal(agent.get("CapabilityBoundingSet"), boundingSet(asUser(1, 1, [])));
  assert.equal(agent.get("AmbientCapabilities"), "");
  for (const service of [collector, hasher, agent]) {
    assert.equal(service.get("NoNewPrivileges"), "yes");
    assert.equal(parseInt(service.get("UMask")!, 8), TIER_UMASK);
  }
  assert.equal(collector.has("User"), false);
  assert.match(collector.get("ExecStart")!, / --set collector\.user=daemoneye-collector /);
  assert.deepEqual([hasher.get("User"), agent.get("User")], ["daemoneye-hasher", "daemoneye-agent"]);
});

Deno.test({
  name: "systemd-analyze takes every unit",
  ...needs({ programs: ["systemd-analyze"] }),
  async fn() {
    using dir = new TempDir();
    const units = Object.entries(systemdFiles()).filter(([name]) => name.endsWith(".service"));
    for (const [name, text] of units) {
      // The programs are not installed here.
      Deno.writeTextFileSync(`${dir.path}/${name}`, text.replace(/^ExecStart=\S+/m, "ExecStart=/bin/true"));
    }
    const said = await run("systemd-analyze", "verify", "--man=no", ...units.map(([name]) => `${dir.path}/${name}`));
    assert.deepEqual(said.split("\n").filter((line) => line.includes("daemoneye")), []);
  },
});

Deno.test({
  name: "users, directories and secrets made by systemd's programs are those that the supervisor would make",
  ...needs({ root: true, programs: ["systemd-sysusers", "systemd-tmpfiles"] }),
  async fn() {
    using dir = new TempDir();
    const root = dir.path,
      under = (layout: StateLayout): StateLayout =>
        Object.fromEntries(
          Object.entries(layout).map(([name, path]) => [name, `${root}${path}`]),
        ) as unknown as StateLayout;
    Deno.chmodSync(root, 0o755);
    for (const path of ["etc", "var", "var/lib", "run"]) Deno.mkdirSync(`${root}/${path}`);
    await run("systemd-sysusers", `--root=${root}`, SYSUSERS);
    await run("systemd-tmpfiles", "--create", `--root=${root}`, `${DIRECTORY}daemoneye-tmpfiles.conf`);
    await run(`${DIRECTORY}daemoneye-secrets`, root);
    const layout = under(stateLayout(INSTALLED_STATE));
    const who = principalsOf(Deno.readTextFileSync(`${root}/etc/passwd`), Deno.readTextFileSync(`${root}/etc/group`));
    const paths = [
      layout.state,
      layout.run,
      layout.requests,
      layout.hasher,
      layout.collector,
      layout.agent,
      layout.rules,
    ];
    const secrets = [layout.token, layout.redactionKey, layout.ledgerKey];
    const look = () =>
      [...paths, layout.keys, ...secrets].map((path) => {
        const { uid, gid, mode, ino } = Deno.lstatSync(path);
        return [path, uid, gid, (mode! & 0o7777).toString(8), ino];
      });
    const before = look();
    // It mends what is not right, and makes a secret anew that another could have read or written.
    prepareState(layout, who);
    assert.deepEqual(before, look());
    const texts = secrets.map((path) => Deno.readTextFileSync(path));
    await run(`${DIRECTORY}daemoneye-secrets`, root);
    assert.deepEqual(secrets.map((path) => Deno.readTextFileSync(path)), texts, "a second run makes none anew");
    assert.equal(new Set(texts).size, 3);
  },
});
