/** Analyses through the whole system: a new binary is seen, hashed, looked into, matched by YARA, and raises an alert. */
import assert from "node:assert/strict";
import { principalsOf } from "../../deploy/principals.ts";
import { processesWith } from "../support/checkout.ts";
import { needs } from "../support/needs.ts";
import { readThreadStatuses } from "../support/threads.ts";
import { newStateDirectory, World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** As the shipped trigger, for the programs of this test alone: others run on this host meanwhile. */
const TRIGGER = (closed: string): string =>
  `trigger: new-here
title: A new program of this test
chain: executable
when:
  sql: |
    SELECT event_id FROM process_events
    WHERE event_type = 'modify' AND executable_hash IS NOT NULL AND executable_path LIKE '${closed}/%'
`;
const RULE = 'rule marked : demo { strings: $a = "a mark of this test" condition: $a }';

/** A program that is nowhere else: a small one, with something behind its end. */
async function plant(path: string, tail: string): Promise<void> {
  const bytes = await Deno.readFile("/bin/true");
  await Deno.writeFile(`${path}.new`, new Uint8Array([...bytes, ...new TextEncoder().encode(`\0${tail}\0`)]));
  await Deno.chmod(`${path}.new`, 0o700);
  await Deno.rename(`${path}.new`, path);
}

async function ask(world: World, ...words: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `${ROOT}deploy/ask.ts`, "--state", world.layout.state, ...words],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

function analyzers(world: World): number[] {
  return processesWith(world.layout.state).filter((pid) => {
    try {
      return Deno.readTextFileSync(`/proc/${pid}/cmdline`).endsWith("\0analyzer\0");
    } catch {
      return false; // it ended meanwhile
    }
  });
}

Deno.test({
  name: "a new binary is seen, hashed, looked into, matched by YARA, and a rule over the result raises an alert",
  ...needs({ root: true, setpriv: true, bpf: true, programs: ["yara"] }),
  async fn(t) {
    const state = await newStateDirectory(), closed = `${state}/closed`;
    await Deno.mkdir(`${state}/rules/yara`, { recursive: true });
    await Deno.writeTextFile(`${state}/rules/yara/test.yar`, RULE);
    await Deno.mkdir(closed, { mode: 0o700 });
    await Deno.mkdir(`${state}/rules/analysis`);
    for (const name of ["executable.yml", "process.yml", "yara-match.yml"]) {
      await Deno.copyFile(`${ROOT}rules/analysis/${name}`, `${state}/rules/analysis/${name}`);
    }
    await Deno.writeTextFile(`${state}/rules/analysis/new-here.yml`, TRIGGER(closed));
    const options = { set: ["analysis=on", `rules_dirs=${state}/rules`], state };
    try {
      await using world = await World.start(options);
      const connected = (): boolean => world.agentStatus()?.counters["analyzers_connected"] === 1;
      await world.until("the analyzer is connected", connected);

      await t.step("every thread of the analyzer is its own user's, with two capabilities, under a filter", () => {
        const [pid] = analyzers(world), who = principalsOf(readText("/etc/passwd"), readText("/etc/group"));
        for (const status of readThreadStatuses(pid!)) {
          const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)![1]!.trim();
          assert.deepEqual(field("Uid").split("\t"), Array(4).fill(String(who.analyzer)));
          assert.deepEqual(field("Gid").split("\t"), Array(4).fill(String(who.busGroup)));
          for (const set of ["CapEff", "CapPrm", "CapBnd"]) assert.equal(field(set), "0000000000080004", set);
          assert.deepEqual([field("NoNewPrivs"), field("Seccomp"), field("Groups")], ["1", "2", ""]);
        }
      });

      await t.step("a program that only root may read, from its first start to the alert", async () => {
        const path = `${closed}/program`;
        await plant(path, "a mark of this test: stratum+tcp://pool.example:3333");
        assert.ok((await new Deno.Command(path).output()).success);
        await world.until(
          "its analysis has ended",
          () =>
            world.count("SELECT count(*) FROM analyses WHERE executable_path = ? AND ended_time IS NOT NULL", path) ===
              1,
        );
        const [analysis] = world.query("SELECT * FROM analyses WHERE executable_path = ?", path);
        assert.deepEqual(
          [analysis!["state"], analysis!["trigger_id"]],
          ["completed", "new-here"],
          `${analysis!["reason"]}`,
        );
        const [facts] = world.query("SELECT * FROM file_facts WHERE executable_path = ?", path);
        assert.deepEqual([facts!["kind"], facts!["hash_matches"], facts!["package_state"]], ["elf", 1, "unowned"]);
        assert.equal(world.count("SELECT count(*) FROM file_strings WHERE text LIKE 'a mark%stratum+tcp://%'"), 1);
        await world.until(
          "the alert is stored",
          () => world.count("SELECT count(*) FROM alerts WHERE rule_id = 'yara-match'") === 1,
        );
        const [alert] = world.query("SELECT * FROM alerts WHERE rule_id = 'yara-match'");
        assert.equal(alert!["executable_path"], path);
        assert.match(String(alert!["evidence"]), /"rule":"test:marked"/);
        assert.equal(world.count("SELECT count(*) FROM process_events WHERE event_id = ?", alert!["event_id"]!), 1);
      });

      await t.step(
        "an operator asks for a file and for a process, and learns nothing of what is no program",
        async () => {
          const file = await ask(world, "analyze", "file", `${closed}/program`);
          assert.equal(file.code, 0, file.text);
          assert.match(file.text, /yara: test:marked/);
          const secret = await ask(world, "analyze", "file", "/etc/shadow");
          assert.equal(secret.code, 1);
          assert.match(secret.text, /neither an ELF file nor a script/);
          const none = await ask(world, "analyze", "file", `${closed}/nothing`);
          assert.match(none.text, /hash: failed, The file is not there any more/);
          // One that certainly goes on.
          await world.until(
            "the store knows this process",
            () => world.count("SELECT count(*) FROM processes WHERE end_time IS NULL AND pid = ?", Deno.pid) > 0,
          );
          const memory = await ask(world, "analyze", "process", String(Deno.pid));
          assert.match(memory.text, /memory: completed/, memory.text);
        },
      );

      await t.step(
        "an analyzer that is killed comes back, and its analysis ends with a reason or is carried out",
        async () => {
          const registrations = (): number =>
            world.agentStatus()?.registry.find(({ source }) => source === "analyzer")?.registrations ?? 0;
          const [pid] = analyzers(world), before = registrations();
          assert.ok(before > 0);
          const asked = ask(world, "analyze", "file", `${closed}/program`);
          Deno.kill(pid!, "SIGKILL");
          assert.match((await asked).text, /analysis \d+ is (?:completed|partial|failed)/);
          // What the status says of connections may be of the time before.
          await world.until("another one is connected", () => registrations() > before && connected());
          const again = await ask(world, "analyze", "file", `${closed}/program`);
          assert.equal(again.code, 0, again.text);
        },
      );
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

function readText(path: string): string {
  return Deno.readTextFileSync(path);
}
