/** What rules ask for: noted with the alert in its transaction, asked for once, and what came of it. */
import assert from "node:assert/strict";
import { AlertManager } from "../../../agent/alerts/manager.ts";
import { RuleResponder } from "../../../agent/alerts/rule_responder.ts";
import { newCounters } from "../../../agent/counters.ts";
import { Store } from "../../../agent/store/store.ts";
import type { RpcRequest, RpcResponse } from "../../../proto/bus/rpc.ts";
import type { Alert } from "../../../proto/alert.ts";
import type { ResponseAnswer, ResponseRequest } from "../../../proto/response/action.ts";
import type { RuleResponse } from "../../../proto/rules/rule_responses.ts";
import { execIdOf, newAlert, openTestStream, rows, TempDir, until } from "../support.ts";

const DONE: ResponseAnswer = { outcome: "done", text: "SIGSTOP was sent", processes: [], place: "" };

class World implements Disposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  store!: Store;
  manager!: AlertManager;
  responder!: RuleResponder;
  readonly counters = newCounters();
  readonly notices: string[] = [];
  readonly asked: { readonly target: string; readonly request: ResponseRequest }[] = [];
  wanted: readonly RuleResponse[] = [{ action: "stop", tree: true, seconds: 0 }];
  /** What comes back; an error in words where it is a text, nothing while it is `null`. */
  answer: ResponseAnswer | string | null = DONE;
  monotonic = 1_000;
  #number = 0;

  constructor() {
    this.open();
  }

  open(): void {
    this.store = new Store(this.path, ["file"]);
    const { counters } = this,
      failed = (_: Store, error: unknown): never => {
        throw error;
      };
    const notice = (text: string): void => void this.notices.push(text);
    this.responder = new RuleResponder({
      responsesOf: () => this.wanted,
      responding: { collectors: () => ["col"], call: (_, request) => this.#call(request) },
      store: () => this.store,
      ...{ failed, notice, counters },
      monotonic: () => this.monotonic,
    });
    this.manager = new AlertManager({
      ...{ windowMs: 300_000, rulePerMinute: 100, perMinute: 1_000, counters, failed, notice },
      alerted: () => {},
      responder: this.responder,
    });
    this.manager.attach(this.store);
    this.responder.attach(this.store);
  }

  restart(): void {
    this.store.close();
    this.open();
  }

  hit(more: Partial<Alert> = {}): void {
    const number = ++this.#number, stream = openTestStream(this.store), lastSequence = stream.lastSequence + 1;
    const execId = `1a2b3c4d-${number}-99-1`;
    const alert = newAlert(`odd@col:e:${number}`, {
      ruleId: "odd",
      execId,
      dedupKey: execId,
      collectorId: "col",
      ...more,
    });
    const batch = { stream, lastSequence, events: [], snapshots: [], gaps: [], sources: null };
    this.store.commit({ ...batch, alerts: [alert], taker: this.manager }, 1);
  }

  /** Action and text of each entry, in order. */
  history(): string[] {
    return rows(this.path, "SELECT action, actor, text FROM alert_history ORDER BY entry_id")
      .map(({ action, actor, text }) => `${action} / ${actor} / ${text}`);
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.dir[Symbol.dispose]();
  }

  #call({ target, payload }: RpcRequest): Promise<RpcResponse> {
    const { request } = payload as { request: ResponseRequest }, { answer } = this;
    this.asked.push({ target, request });
    if (answer === null) return new Promise(() => {});
    return Promise.resolve(
      typeof answer === "string" ? { error: { message: answer } } : { outcome: { kind: "response", answer } },
    ) as unknown as Promise<RpcResponse>;
  }
}

Deno.test("what a rule asks for is asked of the alert's collector in the rule's name, and noted with the alert", async () => {
  using world = new World();
  world.wanted = [{ action: "stop", tree: true, seconds: 0 }, { action: "trace", tree: false, seconds: 30 }];
  world.hit();
  assert.deepEqual(world.history(), [
    "response asked / rule odd / stop with its descendants",
    "response asked / rule odd / trace for 30 s",
  ]);
  await until("both are answered", () => !world.history().join().includes("asked"));
  assert.deepEqual(world.asked.map(({ target, request }) => [target, request]), [
    ["col", {
      ...{
        action: "stop",
        tree: true,
        seconds: 0,
        process: "1a2b3c4d-1-99",
        rule: "odd",
        byRule: true,
        by: "rule odd",
      },
      reason: "alert odd@col:e:1",
    }],
    ["col", {
      ...{ action: "trace", tree: false, seconds: 30, process: "1a2b3c4d-1-99", rule: "odd", byRule: true },
      ...{ by: "rule odd", reason: "alert odd@col:e:1" },
    }],
  ]);
  assert.deepEqual(world.history(), [
    "response done / rule odd / stop with its descendants: SIGSTOP was sent",
    "response done / rule odd / trace for 30 s: SIGSTOP was sent",
  ]);
  // The same again is the same alert
  world.hit({ execId: "1a2b3c4d-1-99-1", dedupKey: "1a2b3c4d-1-99-1" });
  assert.equal(world.history().length, 2);
  world.wanted = [];
  world.hit();
  assert.equal(world.history().length, 2);
  assert.equal(world.counters.rule_responses, 2);
});

Deno.test("a refusal, a failure and a collector that is away are told with the alert", async () => {
  using world = new World();
  world.answer = { outcome: "refused", text: "the policy does not let the rule odd", processes: [], place: "" };
  world.hit();
  await until("it is refused", () => world.history()[0]!.startsWith("response refused"));
  world.answer = "unavailable: collector col is not connected";
  world.hit();
  await until("it failed", () => world.history()[1]!.startsWith("response failed"));
  world.answer = { outcome: "dry_run", text: "Dry run, nothing was done", processes: [], place: "/x" };
  world.hit();
  await until("it is a dry run", () => world.history()[2]!.startsWith("response dry run"));
  assert.deepEqual(world.history(), [
    "response refused / rule odd / stop with its descendants: the policy does not let the rule odd",
    "response failed / rule odd / stop with its descendants: unavailable: collector col is not connected",
    "response dry run / rule odd / stop with its descendants: Dry run, nothing was done: /x",
  ]);
  const { rule_responses: all, rule_responses_refused: refused, rule_responses_failed: failed } = world.counters;
  assert.deepEqual([all, refused, failed], [3, 1, 1]);
});

Deno.test("nothing is asked for an alert that is muted or names no process, nor more than twenty times a minute", async () => {
  using world = new World();
  const id = world.manager.addMute(
    { kind: "silence", match: { fields: { rule: "odd" }, atMost: null } },
    "a test",
    60_000,
    "ann",
  );
  world.hit();
  world.manager.endMute(id, "ann");
  world.hit({ execId: "", dedupKey: "none" });
  for (let i = 0; i < 30; i++) world.hit({ severity: "critical" });
  await until(
    "twenty are answered",
    () => world.history().filter((line) => line.startsWith("response done")).length === 20,
  );
  assert.equal(world.asked.length, 20);
  const left = world.history().filter((line) => !line.startsWith("response done"));
  assert.equal(left[0], `response not asked / rule odd / stop with its descendants: it is muted by ${id}`);
  assert.equal(left[1], "response not asked / rule odd / stop with its descendants: the alert names no process");
  assert.match(left[2]!, /^response not asked .*: rules have asked for 20 within a minute, which is the most$/);
  assert.equal(left.length, 12);
  assert.deepEqual([world.counters.rule_responses, world.counters.rule_responses_dropped], [32, 12]);
  world.monotonic += 60_000;
  world.hit();
  await until("one more is asked", () => world.asked.length === 21);
});

Deno.test("what had no answer when the agent ended is told, and not asked for again", async () => {
  using world = new World();
  world.answer = null;
  world.hit();
  world.hit();
  await until("the first is asked", () => world.asked.length === 1);
  world.restart();
  const lost = "the agent ended before there was an answer; the audit ledger has what came of it";
  assert.deepEqual(world.history(), [
    `response failed / rule odd / stop with its descendants: ${lost}`,
    `response failed / rule odd / stop with its descendants: ${lost}`,
  ]);
  assert.equal(world.asked.length, 1);
  assert.deepEqual(world.notices, ["of 2 responses that rules asked for it is not known what came of them"]);
  world.answer = DONE;
  world.hit();
  await until("a new one is asked", () => world.asked.length === 2);
});

Deno.test("what is not stored is not asked for", async () => {
  using world = new World();
  world.hit();
  await until("it is answered", () => world.history()[0]!.startsWith("response done"));
  const taker = {
    take: (...args: Parameters<AlertManager["take"]>) => {
      world.manager.take(...args);
      throw new RangeError("the transaction fails");
    },
    committed: () => world.manager.committed(),
    rolledBack: () => world.manager.rolledBack(),
  };
  const stream = openTestStream(world.store), lastSequence = stream.lastSequence + 1;
  const batch = { stream, lastSequence, events: [], snapshots: [], gaps: [], sources: null };
  const alert = newAlert("odd@col:e:99", { ruleId: "odd", execId: execIdOf(99), dedupKey: "x" });
  assert.throws(() => world.store.commit({ ...batch, alerts: [alert], taker }, 1));
  world.hit();
  await until("the next one is asked", () => world.asked.length === 2);
  assert.equal(world.history().length, 2);
  assert.deepEqual(world.asked.map(({ request }) => request.reason), ["alert odd@col:e:1", "alert odd@col:e:2"]);
});
