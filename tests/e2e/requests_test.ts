/** Requests of operators between real processes and real users: who may, what is done, what is recorded, what is hostile. */
import assert from "node:assert/strict";
import { principalsOf } from "../../deploy/principals.ts";
import { tierGrants } from "../../deploy/privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "../../deploy/runtime_flags.ts";
import { decodeReply, encodeRequest, fileName } from "../../proto/request.ts";
import type { StateLayout } from "../../proto/state_layout.ts";
import { BundledProgram } from "../support/bundled_program.ts";
import { needs } from "../support/needs.ts";
import { eventually } from "../support/patience.ts";
import { newStateDirectory, World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const ADMIN = 65_101, OTHER_ADMIN = 65_102, READER = 65_103;
const LIBC = "/lib/libc.so.6";
const asOthers = needs({ root: true, setpriv: true, programs: ["setpriv", "mkfifo", "ln"] });

interface Asked {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(command: readonly string[], env: Record<string, string> = {}): Promise<Asked> {
  const [program, ...args] = command, decoder = new TextDecoder();
  const { code, stdout, stderr } = await new Deno.Command(program!, { args, cwd: "/", env, stdin: "null" }).output();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function asUser(user: number, group: number): string[] {
  return ["setpriv", `--reuid=${user}`, `--regid=${user}`, `--groups=${group}`, "--no-new-privs", "--"];
}

/** People of this host, and the program that they ask with, under its own grants. */
class People implements AsyncDisposable {
  readonly #who = principalsOf(Deno.readTextFileSync("/etc/passwd"), Deno.readTextFileSync("/etc/group"));

  constructor(readonly layout: StateLayout, readonly program: BundledProgram) {}

  static async make(layout: StateLayout): Promise<People> {
    return new People(layout, await BundledProgram.make("agent/ask/main.ts"));
  }

  /** A shell of a user in the group of operators. */
  async shell(user: number, script: string): Promise<void> {
    const { code, stderr } = await run([...asUser(user, this.#who.adminGroup), "/bin/sh", "-ec", script]);
    assert.equal(code, 0, stderr);
  }

  ask(user: number, ...args: string[]): Promise<Asked> {
    const { adminGroup, readerGroup } = this.#who, { deno, directory, path } = this.program;
    const paths = { layout: this.layout, rulesDirs: [], configFiles: [], alertHosts: [], libc: LIBC };
    const command = [deno, "run", ...BUNDLE_FLAGS, ...grantFlags(tierGrants("ask", paths)), path];
    return run([
      ...asUser(user, user === READER ? readerGroup : adminGroup),
      ...command,
      ...["--state", this.layout.state, ...args],
    ], { DENO_DIR: `${directory}/deno_dir` });
  }

  /** What a program of one's own puts there as a user in the group. */
  async script(user: number, code: string): Promise<void> {
    const { deno, directory } = this.program, file = `${directory}/script.js`;
    await Deno.writeTextFile(file, code);
    const env = { DENO_DIR: `${directory}/deno_dir` };
    const { code: status, stderr } = await run([
      ...asUser(user, this.#who.adminGroup),
      ...[deno, "run", "-A", "-q", "--no-config", file],
    ], env);
    assert.equal(status, 0, stderr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

interface Entry {
  readonly what: string;
  readonly by: string | null;
  readonly outcome: string | null;
}

/** The requests in the ledger, as the CLI shows them. */
async function ledgered(world: World): Promise<Entry[]> {
  const { stdout } = await world.cli("audit", "show", "--action", "request", "-f", "json", "--limit", "1000");
  return (JSON.parse(stdout) as { payload: unknown }[]).map(({ payload }) =>
    (typeof payload === "string" ? JSON.parse(payload) : payload) as Entry
  );
}

Deno.test({
  name: "ask works for an operator and is refused for a reader; the ledger names who asked; it holds over a restart",
  ...asOthers,
  async fn() {
    const state = await newStateDirectory();
    try {
      const world = await World.start({ state });
      await using people = await People.make(world.layout);
      try {
        await usualDay(world, people);
      } finally {
        await world.stop();
      }
      const gone = await people.ask(ADMIN, "status");
      assert.equal(gone.code, 1);
      assert.match(gone.stderr, /Nobody took the request within 5 s, and it is taken back: the agent .* does not run/);
      assert.deepEqual([...Deno.readDirSync(world.layout.requests)], []);

      const again = await World.start({ state });
      try {
        const rule = again.agentStatus()!.rules.find(({ id }) => id === RULE)!;
        assert.equal(rule.state, "disabled");
        assert.match(rule.reason!, /a request of user 65101 .*: tried here/);
        const shown = JSON.parse((await people.ask(OTHER_ADMIN, "config", "show", "--json")).stdout);
        const kept = shown.value.settings.find(({ key }: { key: string }) => key === "agent.retention_hours");
        assert.deepEqual([kept.value, shown.value.version], [100, 1]);
        assert.match(kept.origin, /^request of user 65101/);
        const enabled = await people.ask(OTHER_ADMIN, "rules", "enable", RULE);
        assert.deepEqual([enabled.code, enabled.stdout], [0, `The rule ${RULE} is active\n`]);
        assert.equal((await people.ask(OTHER_ADMIN, "config", "revert")).code, 0);
        // The same by the other ways to it, as root
        const task = await run([
          Deno.execPath(),
          "run",
          "-A",
          "-q",
          `${ROOT}deploy/ask.ts`,
          "--state",
          state,
          "status",
        ]);
        assert.match(task.stdout, /asked for: 0 rules disabled, version 2 of settings/, task.stderr);
        const paths = { layout: again.layout, rulesDirs: [], configFiles: [], alertHosts: [], libc: LIBC };
        const within = await run([
          ...[Deno.execPath(), "run", "-q", "--no-check", ...grantFlags(tierGrants("agent", paths))],
          ...[`${ROOT}agent/main.ts`, "--state", state, "ask", "rules", "reload", "--json"],
        ]);
        assert.equal(JSON.parse(within.stdout).outcome, "done", within.stderr);
      } finally {
        await again.stop();
      }
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

const RULE = "reverse-shell-socket";

async function usualDay(world: World, people: People): Promise<void> {
  const status = await people.ask(ADMIN, "status", "--json");
  assert.equal(status.code, 0, status.stderr);
  const { outcome, value } = JSON.parse(status.stdout);
  assert.deepEqual([outcome, value.pid], ["done", world.agentStatus()!.pid]);

  const disabled = await people.ask(ADMIN, "rules", "disable", RULE, "--reason", "tried here");
  assert.deepEqual([disabled.code, disabled.stderr], [0, ""]);
  await world.until("the status has it", () => {
    return world.agentStatus()?.rules.find(({ id }) => id === RULE)?.state === "disabled";
  });
  const health = await world.cli("health");
  assert.match(health.stdout, new RegExp(`${RULE}: disabled by a request of user ${ADMIN} .*: tried here`));
  const listed = JSON.parse((await world.cli("rules", "list", "-f", "json")).stdout) as Record<string, string>[];
  assert.equal(listed.find((row) => row["rule_id"] === RULE)!["state"], "disabled");

  assert.equal((await people.ask(ADMIN, "config", "set", "agent.retention_hours=100")).code, 0);
  const wrong = await people.ask(ADMIN, "config", "set", "agent.retention_hours=0");
  assert.deepEqual([wrong.code, /must be a whole number from 1/.test(wrong.stderr)], [1, true]);
  const alone = await people.ask(ADMIN, "rules", "enable", "no-such-rule");
  assert.match(alone.stderr, /refused: There is no rule no-such-rule/);
  assert.equal((await people.ask(ADMIN, "rules", "enable")).code, 2);

  const alert = await raisedAlert(world);
  const acked = await people.ask(ADMIN, "alerts", "ack", alert, "--text", "it was this test");
  assert.deepEqual([acked.code, acked.stdout], [0, `The alert ${alert} is acknowledged\n`], acked.stderr);
  const shown = await world.cli("alerts", "show", alert);
  assert.match(shown.stdout, new RegExp(`acknowledged +\\S.* by user ${ADMIN}[^:]*: it was this test`));
  assert.match((await people.ask(ADMIN, "alerts", "ack", alert)).stderr, /is acknowledged already/);

  const reader = await people.ask(READER, "rules", "reload");
  assert.equal(reader.code, 1);
  assert.match(reader.stderr, /^ask: You may not ask: only members of the group daemoneye-admin \(number \d+\) may/);

  let entries: Entry[] = [];
  const outcomes = (): string[] =>
    entries.filter(({ by }) => by?.startsWith(`user ${ADMIN}`)).map(({ what, outcome }) =>
      `${what.split(" ").slice(0, 2).join(" ")}: ${outcome?.split(":")[0]}`
    );
  await eventually("the last request is in the ledger", async () => {
    entries = await ledgered(world);
    return outcomes().includes("alerts ack: refused");
  }, () => outcomes().join("\n"));
  assert.deepEqual(outcomes(), [
    "status: done",
    "rules disable: accepted",
    "rules disable: done",
    "config set: accepted",
    "config set: done",
    "config set: accepted",
    "config set: refused",
    "rules enable: accepted",
    "rules enable: refused",
    "alerts ack: accepted",
    "alerts ack: done",
    "alerts ack: accepted",
    "alerts ack: refused",
  ]);
  assert.equal(entries.filter(({ by }) => by?.startsWith(`user ${READER}`)).length, 0);
}

/** Has a program run that a rule of ours finds; the id of the alert. */
async function raisedAlert(world: World): Promise<string> {
  const path = `/tmp/daemoneye-implant-${Deno.pid}`; // rules of ours find what lies there directly
  await Deno.copyFile("/bin/true", path);
  try {
    await new Deno.Command(path).output();
    const ids = (): unknown[] =>
      world.query("SELECT alert_id FROM alerts WHERE executable_path = ?", path).map((row) => row["alert_id"]);
    await world.until("the alert is stored", () => ids().length > 0);
    return String(ids()[0]);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test({
  name: "hostile request files, ten thousand of them, cost nobody's events and no honest request",
  ...asOthers,
  async fn() {
    await using world = await World.start();
    await using people = await People.make(world.layout);
    const { requests } = world.layout, { dev, ino } = Deno.statSync(requests);
    const counted = (name: string): number => world.agentStatus()?.counters[name] ?? 0;
    const name = (): string => crypto.getRandomValues(new Uint8Array(16)).toHex();
    const request = encodeRequest({
      operation: "rules reload",
      arguments: {},
      time: Date.now(),
      spool: `${dev}:${ino}`,
    });
    const text = new TextDecoder().decode(request).trimEnd();

    const cut = name(), future = name(), foreign = name();
    await people.shell(
      ADMIN,
      `cd ${requests}; umask 022
       ln -s /etc/passwd ${name()}.request; ln -s ${world.layout.store} ${name()}.reply
       mkfifo ${name()}.request; mkdir ${name()}.request
       dd if=/dev/zero of=${name()}.request bs=1 count=0 seek=1G 2>/dev/null
       for f in ${cut} ${future}; do : > $f.reply; chmod 602 $f.reply; done
       printf '%s' '${text.slice(0, 40)}' > .${cut}; mv .${cut} ${cut}.request
       printf '%s\\n' '${text.replace('"version":1', '"version":7')}' > .${future}; mv .${future} ${future}.request
       n=${name()}; printf x > .$n; : > $n.reply; chmod 600 .$n; mv .$n $n.request`,
    );
    // A reader's own file, put there by root: its owner is no operator
    const moved = `${world.layout.run}/moved`;
    Deno.writeFileSync(moved, request);
    Deno.chownSync(moved, READER, READER);
    Deno.renameSync(moved, `${requests}/${fileName(foreign, "request")}`);
    const refusal = (id: string): string => {
      const [ending] = decodeReply(Deno.readFileSync(`${requests}/${fileName(id, "reply")}`)).slice(-1);
      return ending?.kind === "ended" ? `${ending.outcome}: ${ending.text}` : "";
    };
    await world.until("the cut one is answered", () => refusal(cut) === "refused: It is cut, or not JSON in UTF-8");
    await world.until("the future one is answered", () => /^refused: A request of version 7 /.test(refusal(future)));
    // Two links, a pipe, a directory, a gibibyte, an unreadable file, a reader's
    await world.until("the files are refused", () => counted("request_files_refused") === 7);
    assert.match(
      world.agentStatus()!.notices.map(({ text }) => text).join("\n"),
      new RegExp(`not proven to be in the group of operators, of user ${READER}`),
    );

    const since = world.agentStatus()!.collectors.map(({ connectedSince }) => connectedSince);
    const before = counted("request_files_refused"), tag = `during-${Deno.pid}`;
    const flood = people.script(
      ADMIN,
      `Deno.chdir(${JSON.stringify(requests)});
       const id = () => crypto.getRandomValues(new Uint8Array(16)).toHex();
       for (let i = 0; i < 10_000; i++) {
         if (i % 4 === 0) Deno.symlinkSync("/etc/shadow", id() + ".request");
         else if (i % 4 === 1) Deno.mkdirSync("d" + i);
         else if (i % 4 === 2) Deno.writeTextFileSync(id() + ".request", "x".repeat(i));
         else Deno.writeTextFileSync("f" + i, "");
       }`,
    );
    const during = await people.ask(OTHER_ADMIN, "status", "--timeout", "60s");
    assert.match(during.stdout, /the store takes what comes/, during.stderr);
    await new Deno.Command("/bin/true", { args: [tag] }).output();
    await world.until(
      "an event of meanwhile is stored",
      () => world.count("SELECT count(*) FROM process_events WHERE command_line LIKE ?", `%${tag}`) > 0,
    );
    await flood;
    await world.until("all are refused", () => counted("request_files_refused") >= before + 10_000);
    assert.equal((await people.ask(OTHER_ADMIN, "rules", "reload")).code, 0);
    await world.until(
      "the spool is empty but for replies",
      () => [...Deno.readDirSync(requests)].every((entry) => entry.name.endsWith(".reply")),
    );
    assert.equal(world.agentStatus()!.state, "running");
    // What a busy host loses of its own is in gaps; the collector's connection was never given up
    assert.deepEqual(world.agentStatus()!.collectors.map(({ connectedSince }) => connectedSince), since);
    assert.ok(world.agentStatus()!.noticeCount < 100, `${world.agentStatus()!.noticeCount} notices`);
  },
});
