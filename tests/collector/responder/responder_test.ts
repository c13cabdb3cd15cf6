/** Each response on real processes: what is done, what is refused, and that a refusal has done nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Target } from "../../../collector/responder/target.ts";
import { needs } from "../../support/needs.ts";
import { BOOT, childrenOf, nameOfPid, ResponderWorld, stateOf, until } from "./world.ts";

const ENFORCE = "mode: enforce\nactions: [stop, resume, kill, trace, evidence]\n" +
  "limits: { per_minute: 600, per_rule_per_minute: 600 }\n";
const programs = needs({ programs: ["sleep", "sh"] });

Deno.test({
  name: "stop, resume and kill do it to the process that is named",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const { pid, status } = world.sleep(), name = nameOfPid(pid);
    const stopped = await world.respond(pid, { action: "stop" });
    assert.deepEqual(stopped, {
      outcome: "done",
      text: `SIGSTOP was sent to process ${pid} (sleep)`,
      processes: [name],
      place: "",
    });
    assert.equal(stateOf(pid), "stopped");
    assert.equal((await world.respond(pid, { action: "resume" })).outcome, "done");
    await until("it sleeps again", () => stateOf(pid) === "sleeping");
    const killed = await world.respond(pid);
    assert.deepEqual([killed.outcome, killed.text], ["done", `SIGKILL was sent to process ${pid} (sleep)`]);
    assert.equal((await status).signal, "SIGKILL");
  },
});

Deno.test({
  name: "a family is stopped and ended with all below it, as far as the policy's number goes",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(`${ENFORCE}`);
    const { root, children } = await world.family(), all = [root.pid, ...children];
    world.policy = ENFORCE.replace("limits: {", "limits: { max_processes: 2,");
    const tooMany = await world.respond(root.pid, { tree: true });
    assert.deepEqual([tooMany.outcome, tooMany.text], [
      "refused",
      "The family has more than 2 processes, which is what the policy allows (max_processes)",
    ]);
    assert.deepEqual(all.map(stateOf), ["sleeping", "sleeping", "sleeping"]);
    world.policy = ENFORCE;
    const stopped = await world.respond(root.pid, { action: "stop", tree: true });
    assert.deepEqual(stopped.processes, all.map(nameOfPid));
    assert.deepEqual(all.map(stateOf), ["stopped", "stopped", "stopped"]);
    assert.equal((await world.respond(root.pid, { action: "resume", tree: true })).outcome, "done");
    await until("they all sleep again", () => all.every((pid) => stateOf(pid) === "sleeping"));
    const killed = await world.respond(root.pid, { tree: true });
    assert.equal(killed.outcome, "done", killed.text);
    assert.equal((await root.status).signal, "SIGKILL");
    await until("the children are gone", () => children.every((pid) => [null, "zombie"].includes(stateOf(pid))));
  },
});

Deno.test({
  name: "a family that starts others without end does not get away",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE.replace("limits: {", "limits: { max_processes: 64,"));
    const script = "while :; do sleep 0.05; done & while :; do sleep 0.05; done & wait";
    const root = world.keep(new Deno.Command("/bin/sh", { args: ["-c", script], stdin: "null" }).spawn());
    await until("it has begun", () => Deno.readTextFileSync(`/proc/${root.pid}/task/${root.pid}/children`) !== "");
    const loops = Deno.readTextFileSync(`/proc/${root.pid}/task/${root.pid}/children`).trim().split(" ").map(Number);
    const { outcome, processes, text } = await world.respond(root.pid, { tree: true });
    assert.equal(outcome, "done", text);
    assert.ok(processes.length >= 3, text);
    assert.equal((await root.status).signal, "SIGKILL");
    await until("its loops are gone", () => loops.every((pid) => [null, "zombie"].includes(stateOf(pid))));
  },
});

Deno.test({
  name: "a dry run says what it would have done, and does nothing",
  ...programs,
  async fn() {
    const all = "actions: [stop, resume, kill, trace, evidence]\n";
    await using world = await ResponderWorld.make(all, { held: new Set(), canWrite: false });
    const { root } = await world.family();
    for (const action of ["stop", "resume", "kill"] as const) {
      const { outcome, text, processes } = await world.respond(root.pid, { action, tree: true });
      assert.equal(outcome, "dry_run");
      assert.match(text, /^Dry run, nothing was done: SIG\w+ would have been sent to process \d+ \(sh\) and 2 of its/);
      assert.equal(processes.length, 3);
    }
    const trace = await world.respond(root.pid, { action: "trace", seconds: 5 });
    assert.match(trace.text, /^Dry run, nothing was done: a trace of 5 s would have been begun/);
    assert.equal((await world.respond(root.pid, { action: "evidence" })).outcome, "dry_run");
    assert.deepEqual([root.pid, ...childrenOf(root.pid)].map(stateOf), ["sleeping", "sleeping", "sleeping"]);
    assert.deepEqual([...Deno.readDirSync(world.directory)], []);
  },
});

Deno.test({
  name: "what is protected is refused, each for its reason, also as a member of a family",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const { root, children } = await world.family(), { pid } = world.sleep();
    const refuses = async (pid: number, why: RegExp, change: Parameters<typeof world.respond>[1] = {}) => {
      for (const action of ["stop", "kill", "resume"] as const) {
        const { outcome, text, processes } = await world.respond(pid, { action, ...change });
        assert.equal(outcome, "refused", text);
        assert.match(text, why);
        assert.deepEqual(processes, []);
      }
    };
    await refuses(1, /^process 1 \(.*\) is protected: it is the first process of the host$/);
    await refuses(world.helper, /DaemonEye, or what DaemonEye was started from/);
    await refuses(world.supervisor.pid, /what DaemonEye was started from/);
    await refuses(Deno.pid, /what DaemonEye was started from/);
    const tier = childrenOf(world.supervisor.pid).find((child) => child !== world.helper)!;
    await refuses(tier, /is protected: it is DaemonEye: its supervisor started it/);
    await refuses(Deno.pid, /is protected/, { tree: true });

    world.policy = `${ENFORCE}protect: { names: [sl*p] }`;
    await refuses(pid, /is protected: the policy protects processes named sleep$/);
    await refuses(root.pid, /^process \d+ \(sleep\) is protected/, { tree: true });
    const path = Deno.realPathSync(`/proc/${pid}/exe`);
    world.policy = `${ENFORCE}protect: { paths: [${path}] }`;
    await refuses(pid, new RegExp(`the policy protects processes of ${path}$`));
    world.policy = `${ENFORCE}protect: { users: [${Deno.uid()}] }`;
    await refuses(pid, /the policy protects processes of user \d+$/);
    assert.deepEqual([pid, root.pid, ...children].map(stateOf), ["sleeping", "sleeping", "sleeping", "sleeping"]);
    assert.deepEqual([world.helper, tier].map(stateOf), ["sleeping", "sleeping"]);

    await using ours = await ResponderWorld.make(ENFORCE, {
      ourselves: { users: new Set([Deno.uid()!]), pid: world.helper, parentOf: () => 1 },
    });
    const { text } = await ours.respond(pid);
    assert.match(text, /it runs as user \d+, which is DaemonEye's$/);
  },
});

Deno.test({
  name: "threads of the kernel are refused",
  ...needs({ root: true, programs: ["sleep", "sh"] }),
  async fn() {
    const thread = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name))
      .find((pid) => pid > 1 && Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ")[1] === "2");
    if (thread === undefined) return; // a container shows none
    await using world = await ResponderWorld.make(ENFORCE);
    assert.match((await world.respond(thread)).text, /is protected: it is a thread of the kernel$/);
  },
});

Deno.test({
  name: "another process with the same number, one of another boot, one that is gone and a thread are refused",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const { pid } = world.sleep(), [boot, , ticks] = nameOfPid(pid).split("-");
    const reused = await world.respond(pid, { process: `${boot}-${pid}-${Number(ticks) - 1}` });
    assert.deepEqual([reused.outcome, reused.text], [
      "refused",
      `${pid} is the number of another process by now: that one is ${boot}-${pid}-${ticks}`,
    ]);
    const other = boot === "00000000" ? "11111111" : "00000000";
    assert.match((await world.respond(pid, { process: `${other}-${pid}-${ticks}` })).text, /another boot/);
    const gone = world.sleep(), name = nameOfPid(gone.pid);
    gone.kill("SIGKILL");
    await gone.status;
    assert.match((await world.respond(pid, { process: name })).text, /^no process has the number \d+ any more$/);
    const thread = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => Number(name))
      .find((tid) => tid !== Deno.pid)!;
    assert.match((await world.respond(pid, { process: `${BOOT}-${thread}-1` })).text, /^no process has the number/);
    assert.equal(stateOf(pid), "sleeping");
  },
});

Deno.test({
  name: "a process that is held is no other one once it has ended",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const child = world.sleep(), target = Target.open(child.pid)!;
    try {
      assert.ok(target.isThere() && !target.hasEnded());
      child.kill("SIGKILL");
      await child.status;
      assert.ok(target.hasEnded() && !target.isThere());
      assert.equal(target.facts(), null);
      assert.equal(target.link("exe"), null);
      assert.throws(() => target.signal(9), /ESRCH/);
    } finally {
      target.close();
    }
  },
});

Deno.test({
  name: "what the policy does not allow, or the process was not started for, is refused",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make("mode: enforce\nactions: [stop]", {
      held: new Set(),
      canWrite: false,
    });
    const { pid } = world.sleep();
    assert.equal((await world.respond(pid)).text, "the policy does not allow kill; it allows stop");
    assert.match((await world.respond(pid, { action: "stop" })).text, /which lacks kill; restart DaemonEye$/);
    world.policy = "mode: enforce\nactions: [trace]\ntrace: { max_seconds: 5 }";
    assert.match((await world.respond(pid, { action: "trace", seconds: 5 })).text, /lacks sys_ptrace, dac_read_search/);
    world.policy = "actions: [trace]\ntrace: { max_seconds: 5 }";
    assert.equal(
      (await world.respond(pid, { action: "trace", seconds: 6 })).text,
      "the policy allows traces of 5 s",
    );
    world.policy = "mode: never";
    assert.match((await world.respond(pid)).text, /^line 1: it must be one of dry-run, enforce$/);
    // It may just have begun.
    await until("it sleeps on", () => stateOf(pid) === "sleeping");
  },
});

Deno.test({
  name: "so many a minute and so many for a rule, of those that were not refused; a minute later again",
  ...programs,
  async fn() {
    const limits = "limits: { per_minute: 3, per_rule_per_minute: 2 }\nprotect: { names: [sh] }\n";
    await using world = await ResponderWorld.make(`actions: [kill]\n${limits}`);
    const { pid } = world.sleep(), { root } = await world.family();
    const outcomes: string[] = [];
    const ask = async (pid: number, rule: string): Promise<string> => {
      const { outcome, text } = await world.respond(pid, { rule });
      outcomes.push(outcome);
      return text;
    };
    await ask(root.pid, "a"); // protected: it does not count
    await ask(pid, "a");
    await ask(pid, "a");
    assert.equal(await ask(pid, "a"), "2 for rule a were given within a minute; the policy allows 2");
    await ask(pid, "b");
    assert.equal(await ask(pid, "c"), "3 were given within a minute; the policy allows 3");
    world.now = 60_000;
    await ask(pid, "a");
    assert.deepEqual(outcomes, ["refused", "dry_run", "dry_run", "refused", "dry_run", "refused", "dry_run"]);
  },
});

Deno.test({
  name: "a rule gets by itself what the policy gives to rules: nothing, a dry run, or the thing itself",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const { pid } = world.sleep(), { root } = await world.family(), [boot, , ticks] = nameOfPid(pid).split("-");
    const by = { rule: "crypto-miner", byRule: true } as const;
    const asks = async (change: Parameters<typeof world.respond>[1] = {}): Promise<string> => {
      const { outcome, text } = await world.respond(pid, { action: "stop", ...by, ...change });
      return `${outcome}: ${text}`;
    };
    const nothing = "refused: the policy does not let the rule crypto-miner ask for anything by itself (rules.ids)";
    assert.equal(await asks(), nothing);
    world.policy = `${ENFORCE}rules: { ids: [other, crypto], actions: [stop, kill], mode: enforce }`;
    assert.equal(await asks(), nothing);
    world.policy = `${ENFORCE}rules: { ids: [crypto-*], actions: [evidence], mode: enforce }`;
    assert.equal(await asks(), "refused: the policy does not let rules ask for stop by themselves (rules.actions)");
    world.policy = `${ENFORCE}rules: { ids: [crypto-*], actions: [stop] }`;
    assert.match(await asks(), /^dry_run: Dry run, nothing was done: SIGSTOP would have been sent/);
    world.policy = "actions: [stop]\nrules: { ids: [crypto-*], actions: [stop], mode: enforce }";
    assert.match(await asks(), /^dry_run: /);
    await until("it sleeps on", () => stateOf(pid) === "sleeping");

    const rules = "rules: { ids: [crypto-*], actions: [stop, kill], mode: enforce, per_minute: 2 }\n";
    world.policy = `${ENFORCE}${rules}protect: { names: [sh] }`;
    assert.match(
      await asks({ process: `${boot}-${pid}-${Number(ticks) - 1}` }),
      /^refused: \d+ is the number of another/,
    );
    assert.match(await asks({ process: nameOfPid(root.pid) }), /^refused: process \d+ \(sh\) is protected/);
    assert.match(await asks({ process: nameOfPid(1) }), /^refused: process 1 \(.*\) is protected/);
    assert.match(await asks({ process: nameOfPid(world.helper) }), /^refused: .* is protected/);
    await until("it sleeps on", () => stateOf(pid) === "sleeping");
    world.now += 60_000; // what was a dry run above counted too
    assert.match(await asks(), /^done: SIGSTOP was sent/);
    assert.equal(stateOf(pid), "stopped");
    await asks();
    assert.equal(await asks(), "refused: 2 were given within a minute; the policy allows 2");
    // People have their own number of responses.
    assert.equal((await world.respond(pid, { action: "resume", rule: "crypto-miner" })).outcome, "done");
  },
});

Deno.test({
  name: "evidence is a directory of what /proc tells, with secrets masked and each part in the manifest by its digest",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(ENFORCE);
    const child = world.sleep({ DB_PASSWORD: "hunter2hunter2", HOME: "/tmp" });
    const { outcome, text, place, processes } = await world.respond(child.pid, { action: "evidence", rule: "odd" });
    assert.equal(outcome, "done", text);
    assert.deepEqual(processes, [nameOfPid(child.pid)]);
    assert.match(place, new RegExp(`^${world.directory}/evidence-\\d{8}T\\d{6}Z-${processes[0]}-[0-9a-f]{4}$`));
    const bytes = Deno.readFileSync(`${place}/manifest.json`), manifest = JSON.parse(new TextDecoder().decode(bytes));
    const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
    assert.ok(text.includes(`SHA-256 of its manifest ${sha256(bytes)}`), text);
    const names = [...Deno.readDirSync(place)].map(({ name }) => name).sort();
    const parts = manifest.parts as { name: string; bytes: number; sha256: string; isCut: boolean; masked: number }[];
    assert.deepEqual([...parts.map(({ name }) => name), "manifest.json"].sort(), names);
    for (const part of parts) {
      const copy = Deno.readFileSync(`${place}/${part.name}`);
      assert.deepEqual([part.bytes, part.sha256, part.isCut], [copy.length, sha256(copy), false], part.name);
    }
    for (const name of ["status", "maps", "cmdline", "environ", "cgroup", "fd.json", "links.json", "executable"]) {
      assert.ok(names.includes(name), `${name} is missing: ${JSON.stringify(manifest.missing)}`);
    }
    assert.deepEqual(Deno.readFileSync(`${place}/executable`), Deno.readFileSync(Deno.realPathSync("/bin/sleep")));
    const words = Deno.readTextFileSync(`${place}/cmdline`).split("\0");
    assert.deepEqual([words[0]!.endsWith("sleep"), ...words.slice(1)], [true, "1000", ""]);
    const environment = Deno.readTextFileSync(`${place}/environ`);
    assert.match(environment, /HOME=\/tmp/);
    assert.match(environment, /DB_PASSWORD=\[REDACTED/);
    assert.ok(!environment.includes("hunter2"));
    assert.equal(parts.find(({ name }) => name === "environ")!.masked, 1);
    assert.equal(manifest.request.rule, "odd");
    assert.equal(JSON.parse(Deno.readTextFileSync(`${place}/links.json`)).exe, Deno.realPathSync("/bin/sleep"));
    assert.ok(JSON.parse(Deno.readTextFileSync(`${place}/fd.json`)).some(({ fd }: { fd: number }) => fd === 1));
    assert.equal(stateOf(child.pid), "sleeping");

    world.policy = `${ENFORCE}evidence: { max_executable_bytes: 1000, environment: no }`;
    const less = await world.respond(child.pid, { action: "evidence" });
    assert.equal(Deno.statSync(`${less.place}/executable`).size, 1_000);
    const cut = JSON.parse(Deno.readTextFileSync(`${less.place}/manifest.json`)).parts as typeof parts;
    assert.equal(cut.find(({ name }) => name === "executable")!.isCut, true);
    assert.ok(!cut.some(({ name }) => name === "environ"));
    world.policy = `${ENFORCE}max_output_bytes: 1048576`;
    const full = await world.respond(child.pid, { action: "evidence" });
    assert.equal(full.outcome, "refused");
    assert.match(full.text, /beyond max_output_bytes \(1048576\); move away what is not needed any more$/);
    assert.ok([...Deno.readDirSync(world.directory)].every(({ name }) => !name.startsWith(".")));
  },
});

Deno.test({
  name: "a trace has what changes in a family, who is born into it and who ends, and ends by itself",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(`${ENFORCE}trace: { interval_ms: 50 }`);
    const file = `${world.directory}/opened`, go = `${world.directory}/go`;
    Deno.writeTextFileSync(file, "");
    const script = `cd /usr; while [ ! -e ${go} ]; do sleep 0.02; done; exec 7<${file}; sleep 0.4; sleep 0.4`;
    const root = world.keep(new Deno.Command("/bin/sh", { args: ["-c", script], stdin: "null" }).spawn());
    const name = nameOfPid(root.pid);
    const { outcome, place, text } = await world.respond(root.pid, { action: "trace", tree: true, seconds: 60 });
    assert.equal(outcome, "done", text);
    Deno.writeTextFileSync(go, "");
    await root.status;
    await until("the trace is over", () => world.ended.length === 1);
    const [end] = world.ended;
    assert.match(
      end!.text,
      /^The trace ended as all of its processes have ended: \d+ samples of \d+ processes, \d+ bytes$/,
    );
    assert.equal(end!.place, place);
    const lines = Deno.readTextFileSync(place).trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(lines[0].what, "samples of /proc, differences to the sample before");
    assert.equal(lines[0].request.process, name);
    const own = lines.filter(({ process }) => process === name);
    const has = (what: string, holds: (line: Record<string, unknown>) => boolean): void =>
      assert.ok(own.some(holds), `${what}\n${Deno.readTextFileSync(place)}`);
    has("its name and executable", ({ name, executable }) => name === "sh" && typeof executable === "string");
    has("its directory", ({ directory }) => directory === "/usr");
    has("the file that it opened", ({ opened }) => Array.isArray(opened) && opened.includes(`7: ${file}`));
    has("what it mapped", ({ mapped }) => Array.isArray(mapped) && mapped.some((path) => /^r.xp \//.test(path)));
    has("its system call", ({ call }) => typeof call === "string" && /^(wait4|waitid|read)\(/.test(call));
    has("its end", ({ event }) => event === "ended");
    assert.ok(lines.some(({ event, parent }) => event === "found" && parent === root.pid), "a child was found");
    assert.equal(lines.at(-1).ended, "all of its processes have ended");
  },
});

Deno.test({
  name: "a trace ends when its time is over, when its file is full and when the helper stops",
  ...programs,
  async fn() {
    await using world = await ResponderWorld.make(`${ENFORCE}trace: { interval_ms: 50, max_bytes: 65536 }`);
    const { pid } = world.sleep();
    await world.respond(pid, { action: "trace", seconds: 1 });
    await until("its time is over", () => world.ended.length === 1);
    assert.match(world.ended[0]!.text, /^The trace ended as its time was over: \d+ samples of 1 processes/);
    // A shell that opens files all the time fills it.
    const script = "i=0; while :; do exec 7</usr/lib; exec 7</usr/bin; i=$((i+1)); done";
    const busy = world.keep(new Deno.Command("/bin/sh", { args: ["-c", script], stdin: "null" }).spawn());
    world.policy = `${ENFORCE}trace: { interval_ms: 50, max_bytes: 65536, max_seconds: 3600 }`;
    for (let i = 0; i < 4; i++) {
      assert.equal(
        (await world.respond(i === 0 ? busy.pid : pid, { action: "trace", seconds: 3_600 })).outcome,
        "done",
      );
    }
    const more = await world.respond(pid, { action: "trace", seconds: 5 });
    assert.deepEqual([more.outcome, more.text], ["refused", "4 traces are under way already"]);
    await world.responder.stop();
    assert.equal(world.ended.length, 5);
    for (const { text, place } of world.ended.slice(1)) {
      assert.match(text, /^The trace ended as (the response helper was told to stop|the file has reached max_bytes):/);
      assert.ok(Deno.statSync(place).size <= 65_536);
      assert.ok(JSON.parse(Deno.readTextFileSync(place).trim().split("\n").at(-1)!).ended !== undefined);
    }
    assert.equal(stateOf(pid), "sleeping");
  },
});
