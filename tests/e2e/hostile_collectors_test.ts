/**
 * Collectors that lie, double themselves, take another's name, tear their rows, and never answer, each a process of its
 * own beside an honest one: what is wrong is refused, counted and shown, and the honest one is stored and answered.
 */
import assert from "node:assert/strict";
import { askAgent } from "../../agent/ask/spool_client.ts";
import type { Ending } from "../../proto/request.ts";
import { AgentProcess, AgentState } from "../agent/agent_process.ts";
import { rows, until } from "../agent/support.ts";
import { MAX_HEARTBEAT_MS } from "../../proto/registration.ts";
import { Puppet, type PuppetOptions } from "../support/collectors/puppet.ts";
import { eventually, PATIENCE_MS } from "../support/patience.ts";

Deno.test("collectors that do what they should not are cut off one by one, and an honest one goes on", async (t) => {
  using state = new AgentState();
  Deno.chmodSync(state.layout.requests, 0o3730);
  await using agent = await AgentProcess.start(state);
  await using stack = new AsyncDisposableStack();
  // On a busy machine no heartbeat is missed, which would let others in.
  const puppet = (name: string, options: PuppetOptions = {}): Puppet =>
    stack.use(new Puppet(state.layout.brokerSocket, name, { heartbeatMs: MAX_HEARTBEAT_MS, ...options }));
  const good = puppet("good"), bad = puppet("bad"), mute = puppet("mute");
  const standing = (name: string) => agent.status().registry.find(({ collectorId }) => collectorId === name);
  const counter = (name: string): number => agent.status().counters[name] ?? 0;
  let sent = 0;
  /** Whatever the others do: its events are stored, and no connection of it ends. */
  const goodGoesOn = async (): Promise<void> => {
    await good.do("send 3", "call health_check");
    sent += 3;
    assert.equal(agent.stderr.split("collector good connected").length, 2);
  };
  const ask = (operation: string, args: Record<string, string>): Promise<Ending> =>
    askAgent({ spool: state.layout.requests, operation, arguments: args, timeoutMs: PATIENCE_MS });

  await good.do("connect", "register");
  await goodGoesOn();

  await t.step("one that registers twice", async () => {
    await bad.do("connect", "register");
    assert.match(await bad.try("register"), /^fault the connection ended/);
    await until("it is shown", () => /registers twice/.test(standing("bad")?.refusal ?? ""), PATIENCE_MS);
    await until("it is counted", () => counter("refused_duplicate") === 1, PATIENCE_MS);
    await goodGoesOn();
  });

  await t.step("one that sends rows of a table that it did not register", async () => {
    await bad.do("connect e1 network", "register");
    assert.match(await bad.try("send 1"), /^fault the connection ended/);
    await until("it is counted", () => counter("refused_capabilities") === 1, PATIENCE_MS);
    await goodGoesOn();
  });

  await t.step("one whose rows end in the middle", async () => {
    await bad.do("connect", "register", "tear", "ended");
    await until("it is counted", () => counter("connections_failed") === 1, PATIENCE_MS);
    await until("it is said", () => /the connection of collector bad ended: /.test(agent.stderr), PATIENCE_MS);
    await goodGoesOn();
  });

  await t.step("one that takes another's name with its own token, or as a second process", async () => {
    const thief = puppet("good", { tokenOf: "thief" }), twin = puppet("good");
    assert.match(await thief.try("connect"), /does not know the token/);
    await until("it is counted", () => counter("refused_identity") === 1, PATIENCE_MS);
    assert.match(await twin.try("connect e2"), /Another collector good is registered and alive/);
    await until("it is counted", () => counter("refused_duplicate") === 2, PATIENCE_MS);
    await goodGoesOn();
  });

  await t.step("one that sends a handshake again", async () => {
    await bad.do("connect", "replay", "goodbye");
    await until("it is counted", () => counter("refused_identity") === 2, PATIENCE_MS);
    await goodGoesOn();
  });

  await t.step("one that has a task and never answers, and one that goes away with it", async () => {
    await good.do("tasks answer");
    await mute.do("connect", "register", "tasks never");
    const task = (more: Record<string, string>): Promise<Ending> =>
      ask("task", { type: "enumerate_processes", within: "1s", ...more });
    // Each again where the machine is so busy that the task's time is over before it is with its collector.
    let ending!: Ending;
    const ends = (what: string, holds: () => boolean, more: Record<string, string>, ...first: string[]) =>
      eventually(what, async () => {
        await mute.do(...first);
        ending = await task(more);
        return holds();
      }, () => `${ending.outcome}: ${ending.text}`);
    const fails = (words: RegExp) => (): boolean => {
      assert.equal(ending.outcome, "failed");
      return words.test(ending.text);
    };
    const never = /^mute: no result: execute_task did not end within \d+ ms$/;
    await ends("it never answers", fails(never), { target: "mute" });
    await ends("the other one answers", () => ending.outcome === "done", { target: "all" });
    assert.deepEqual([ending.degraded, (ending.value as { partial: boolean }).partial], [true, true]);
    assert.match(ending.text, /partial: 1 of 2 collectors gave a result/);
    await ends("it goes away", fails(/went away/), { target: "mute" }, "connect", "register", "tasks leave");
    await mute.do("connect", "register");
    const words = async (): Promise<string> => {
      const { outcome, text } = await task({ placement: "round-robin", within: "20s" });
      return `${outcome}: ${text.split("\n")[0]}`;
    };
    assert.equal(await words(), "done: good: 0 processes");
    assert.equal(await words(), "done: good: 0 processes at try 2");
    await goodGoesOn();
  });

  await t.step(
    "what a collector asks of an agent that stands still ends by its time or when it no longer waits",
    async () => {
      await bad.do("connect", "call register");
      assert.match(await bad.try("call register"), /registers twice/);
      await bad.do("call get_capabilities", "call health_check", "call deregister");
      assert.match(await bad.try("call deregister"), /not registered/);
      assert.match(await bad.try("call restart"), /may not ask for restart/);
      agent.kill("SIGSTOP");
      for (const operation of ["register", "deregister", "health_check", "get_capabilities"]) {
        assert.match(await bad.try(`call ${operation} 200`), /^fault The peer did not answer for too long/);
        assert.match(await bad.try(`call ${operation} cancel`), /^fault cancelled/);
      }
      agent.kill("SIGCONT");
      await goodGoesOn();
    },
  );

  await t.step("all of the honest one is stored, once, and nothing of the others", () => {
    const stored = rows(state.layout.store, "SELECT collector_id, count(*) AS n FROM process_events GROUP BY 1");
    assert.deepEqual(stored.map((row) => ({ ...row })), [{ collector_id: "good", n: sent }]);
    assert.equal(standing("good")!.refused, 2, "what others tried under its name");
  });
});
