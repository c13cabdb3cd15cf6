/** Analyses from the event to the alert, with analysers that do what a test says; what each failure comes to. */
import assert from "node:assert/strict";
import { Analyses } from "../../../agent/analysis/analyses.ts";
import { Executor } from "../../../agent/analysis/executor.ts";
import { targetOfPath } from "../../../agent/analysis/target.ts";
import { Journal } from "../../../agent/journal.ts";
import { Store } from "../../../agent/store/store.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import type { Alert } from "../../../proto/alert.ts";
import { readPlan } from "../../../proto/analysis/plan.ts";
import { decodeStageRequest, encodeStageRows, type Stage, type StageRows } from "../../../proto/analysis/stage.ts";
import { responseTo } from "../../../proto/bus/answering.ts";
import { type Answer, failure, type RpcRequest, type RpcResponse, success } from "../../../proto/bus/rpc.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { rows, start, TempDir, until } from "../support.ts";

const CHAIN = `chain: executable
title: t
timeout: 5s
stages:
  - { stage: hash, timeout: 1s, retries: 1 }
  - { stage: elf, needs: [hash], timeout: 1s }
  - { stage: strings, needs: [elf], timeout: 1s, optional: true }
  - { stage: yara, needs: [hash], timeout: 1s, optional: true }
`;
const TRIGGER = `trigger: new-one
title: t
chain: executable
per_minute: 600
again_after: 1h
when: { path: [/opt/] }
`;
const RULE = `id: packed-one
title: packed
description: d
severity: high
sql: SELECT f.packer, y.rule FROM file_facts AS f LEFT JOIN yara_matches AS y ON y.analysis_id = f.analysis_id WHERE f.packer = 'UPX'
`;
const HASH = "a".repeat(64);
const ROWS: Readonly<Record<Stage, StageRows>> = {
  hash: { file_facts: [{ executable_hash: HASH, size: 10, kind: "elf" }] },
  elf: { file_facts: [{ packer: "UPX", entropy: 7.9 }] },
  package: { file_facts: [{ package_state: "unowned" }] },
  strings: { file_facts: [{ string_count: 1 }], file_strings: [{ place: 1, kind: "url", text: "x", position: 0 }] },
  memory: { memory_facts: [{ mappings: 3 }] },
  yara: { yara_matches: [{ rule: "a:b", tags: "[]" }] },
};

type Answers = Partial<Record<Stage, (signal: AbortSignal, target: string) => Answer | Promise<Answer>>>;

class World implements AsyncDisposable {
  readonly #dir = new TempDir();
  readonly path = `${this.#dir.path}/events.db`;
  readonly store = new Store(this.path);
  readonly alerts: Alert[] = [];
  readonly calls: { readonly stage: Stage; readonly target: string }[] = [];
  analyzers: string[] = ["one"];
  answers: Answers = {};
  readonly analyses: Analyses;
  #event = 0;
  #judged = Promise.resolve();
  #isClosed = false;

  constructor(files: readonly string[] = [CHAIN, TRIGGER, RULE]) {
    const executor = new Executor({
      analyzers: () => this.analyzers,
      call: (request, signal) => this.#call(request, signal),
    });
    this.analyses = new Analyses({
      executor,
      journal: new Journal(() => {}),
      store: () => this.#isClosed ? null : this.store,
      failed: (_, error) => assert.fail(String(error)),
      raise: (store, alerts) => {
        const added = store.addAlerts(alerts, undefined, Date.now());
        this.alerts.push(...added);
      },
    });
    const plan = readPlan(files.map((text, i) => [`${i}.yml`, text]));
    assert.deepEqual(plan.rejected, []);
    this.analyses.use(plan);
    this.analyses.attach(this.store);
  }

  /** An event of a file; by default another file each time. */
  saw(path = `/opt/p${++this.#event}`, more: object = {}): void {
    const event = { ...start(++this.#event), executablePath: path, inode: this.#event, device: 1, ...more };
    const rows = [eventRow(event, 2 ** 40 + this.#event, "col")];
    this.#judged = this.#judged.then(() => this.batch(rows));
  }

  /** Judges a batch, and takes it for stored. */
  async batch(rows: readonly SqlValue[][]): Promise<void> {
    (await this.analyses.judge(rows))();
  }

  async ended(count = 1): Promise<void> {
    await until(`${count} analyses ended`, () => {
      return this.rows("analyses").filter((row) => row["ended_time"] !== null).length >= count;
    });
    await until("none runs", () => this.analyses.counters["analysis_running"] === 0);
  }

  rows(table: string): Record<string, SqlValue>[] {
    return rows(this.path, `SELECT * FROM ${table} ORDER BY analysis_id`);
  }

  stages(): Record<string, string> {
    return Object.fromEntries(this.rows("analysis_stages").map(({ stage, state }) => [stage, state])) as never;
  }

  async #call(request: RpcRequest, signal: AbortSignal): Promise<RpcResponse> {
    assert.ok(request.payload.kind === "task");
    const { stage } = decodeStageRequest(request.payload.task.metadata), { target } = request;
    this.calls.push({ stage, target });
    const given = this.answers[stage]?.(signal, target) ?? found(ROWS[stage]);
    const timer = Promise.withResolvers<Answer>();
    const id = setTimeout(() => timer.resolve(failure("timeout", "DEADLINE_EXCEEDED", "late")), request.timeoutMs);
    const ended = (): void => timer.resolve(failure("communication", "CANCELLED", "cancelled"));
    signal.addEventListener("abort", ended);
    const answer = await Promise.race([given, timer.promise]);
    clearTimeout(id);
    signal.removeEventListener("abort", ended);
    return responseTo(request, answer, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.analyses.stop();
    this.#isClosed = true;
    this.store.close();
    this.#dir[Symbol.dispose]();
  }
}

function found(rows: StageRows, text = encodeStageRows(rows)): Answer {
  const result = { taskId: "1", success: true, errorMessage: null, processes: [], hashResult: null, analysis: text };
  return success({ kind: "result", result });
}

const never = (): Promise<Answer> => new Promise(() => {});

Deno.test("An event sets a chain going, its rows are stored, and a rule over them raises an alert on that event", async () => {
  await using world = new World();
  world.saw("/opt/evil", { executableHash: HASH });
  await world.ended();
  const [analysis] = world.rows("analyses") as [Record<string, SqlValue>];
  assert.deepEqual(
    [analysis["state"], analysis["reason"], analysis["progress"], analysis["trigger_id"], analysis["hits"]],
    ["completed", null, 1, "new-one", 1],
  );
  assert.deepEqual(world.stages(), { hash: "completed", elf: "completed", strings: "completed", yara: "completed" });
  const [facts] = world.rows("file_facts") as [Record<string, SqlValue>];
  assert.deepEqual(
    [facts["packer"], facts["size"], facts["executable_hash"], facts["executable_path"], facts["string_count"]],
    ["UPX", 10, HASH, "/opt/evil", 1],
  );
  assert.equal(world.rows("file_strings").length, 1);
  assert.equal(world.rows("yara_matches")[0]!["executable_hash"], HASH);
  const [alert] = world.alerts as [Alert];
  assert.equal(world.alerts.length, 1);
  assert.deepEqual([alert.ruleId, alert.severity, alert.executablePath, alert.eventId], [
    "packed-one",
    "high",
    "/opt/evil",
    analysis["event_id"],
  ]);
  assert.deepEqual([alert.evidence["packer"], alert.evidence["rule"], alert.evidence["analysis_id"]], [
    "UPX",
    "a:b",
    1,
  ]);
  assert.ok(alert.completeness.complete);
});

Deno.test("A stage that fails is tried again as often as the chain says, and what needs it is skipped", async () => {
  await using world = new World();
  world.answers = { hash: () => failure("resource", "NOT_READ", "the disk is broken") };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "failed", elf: "skipped", strings: "skipped", yara: "skipped" });
  assert.equal(world.rows("analyses")[0]!["state"], "failed");
  assert.match(
    String(world.rows("analyses")[0]!["reason"]),
    /hash failed: the disk is broken; elf skipped: it needs hash/,
  );
  assert.deepEqual(world.calls.map(({ stage }) => stage), ["hash", "hash"]);
  assert.equal(world.analyses.counters["analyses_failed"], 1);
});

Deno.test("A failure that another try cannot mend is tried once; one that goes away is got over", async () => {
  await using world = new World();
  world.answers = { hash: () => failure("resource", "REPLACED", "another file") };
  world.saw();
  await world.ended(1);
  assert.equal(world.calls.length, 1);
  let tries = 0;
  world.answers = { hash: () => ++tries === 1 ? failure("resource", "NOT_READ", "busy") : found(ROWS.hash) };
  world.saw();
  await world.ended(2);
  assert.equal(world.rows("analyses")[1]!["state"], "completed");
  assert.equal(
    world.rows("analysis_stages").find((row) => row["analysis_id"] === 2 && row["stage"] === "hash")!["attempts"],
    2,
  );
});

Deno.test("A stage that hangs is timed out, and an optional one leaves the analysis partial and its alert incomplete", async () => {
  await using world = new World();
  world.answers = { yara: never };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "completed", elf: "completed", strings: "completed", yara: "timed_out" });
  assert.equal(world.rows("analyses")[0]!["state"], "partial");
  assert.deepEqual(world.alerts[0]!.completeness.reasons, [
    "analysis 1: yara timed out: it did not end within 1000 ms",
  ]);
  assert.equal(world.alerts[0]!.evidence["rule"], null);
});

Deno.test("A stage that hangs and is needed fails the analysis, which ends all the same", async () => {
  await using world = new World();
  world.answers = { elf: never };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "completed", elf: "timed_out", strings: "skipped", yara: "completed" });
  assert.equal(world.rows("analyses")[0]!["state"], "failed");
});

Deno.test("A stage that is missing is stated, and the analysis is partial", async () => {
  await using world = new World();
  world.answers = { yara: () => failure("unavailable", "ABSENT", "yara is not installed here") };
  world.saw();
  await world.ended();
  assert.equal(world.stages()["yara"], "missing");
  assert.equal(world.rows("analyses")[0]!["state"], "partial");
  assert.equal(world.alerts.length, 1);
});

/** What becomes of the shipped chain when one of its stages does not complete: states of its stages, and of all. */
const WITHOUT: Readonly<Record<string, readonly [skipped: readonly Stage[], analysis: string]>> = {
  hash: [["elf", "package", "strings", "yara"], "failed"],
  elf: [["strings"], "failed"],
  package: [[], "partial"],
  strings: [[], "partial"],
  yara: [[], "partial"],
};
const WAYS: Readonly<Record<string, () => Answer | Promise<Answer>>> = {
  failed: () => failure("resource", "NOT_READ", "the disk is broken"),
  timed_out: () => new Promise(() => {}),
  missing: () => failure("unavailable", "ABSENT", "it is not installed here"),
};

Deno.test("Each stage of the shipped chain failing, hanging and missing has the stated result", async () => {
  const chain = Deno.readTextFileSync(new URL("../../../rules/analysis/executable.yml", import.meta.url));
  const stages = Object.keys(WITHOUT) as Stage[];
  assert.deepEqual([...chain.matchAll(/stage: (\w+)/g)].map(([, stage]) => stage), stages, "all stages are here");
  const quick = chain.replaceAll(/timeout: [23]0s/g, "timeout: 1s");
  await Promise.all(stages.flatMap((stage) =>
    Object.entries(WAYS).map(async ([way, answer]) => {
      await using world = new World([quick, TRIGGER, RULE]);
      world.answers = { [stage]: answer };
      world.saw();
      await world.ended();
      const [skipped, state] = WITHOUT[stage]!, what = `${stage} ${way}`;
      const expected = stages.map((
        each,
      ) => [each, each === stage ? way : skipped.includes(each) ? "skipped" : "completed"]);
      assert.deepEqual(world.stages(), Object.fromEntries(expected), what);
      const [analysis] = world.rows("analyses") as [Record<string, SqlValue>];
      assert.equal(analysis["state"], state, what);
      assert.ok(String(analysis["reason"]).includes(`${stage} ${way.replace("_", " ")}: `), what);
      // What was found without it is judged, and the alert says what is missing
      const found = !["hash", "elf"].includes(stage);
      assert.equal(world.alerts.length, Number(found), what);
      if (found) assert.match(world.alerts[0]!.completeness.reasons.join(), new RegExp(stage), what);
    })
  ));
});

Deno.test("An answer that breaks the schema fails its stage, and none of it is stored", async () => {
  await using world = new World();
  world.answers = {
    elf: () => found({}, '{"file_facts":[{"packer":7}]}'),
    strings: () => found({}, '{"alerts":[{}]}'),
  };
  world.saw();
  await world.ended();
  const elf = world.rows("analysis_stages").find(({ stage }) => stage === "elf")!;
  assert.match(String(elf["reason"]), /breaks the schema: packer of file_facts is no TEXT/);
  assert.equal(world.rows("file_facts")[0]!["packer"], null);
  assert.equal(world.alerts.length, 0);
});

Deno.test("A chain's time ends all of it", async () => {
  await using world = new World([
    CHAIN.replace("timeout: 5s", "timeout: 1s").replaceAll("timeout: 1s }", "timeout: 30s }"),
    TRIGGER,
  ]);
  world.answers = { elf: never };
  world.saw();
  await world.ended();
  assert.equal(world.rows("analyses")[0]!["state"], "timed_out");
  assert.equal(world.stages()["yara"], "cancelled");
});

Deno.test("Without an analyzer a stage fails with that reason; a task moves when its analyzer goes away", async () => {
  await using world = new World();
  world.analyzers = [];
  world.saw();
  await world.ended(1);
  assert.match(String(world.rows("analyses")[0]!["reason"]), /no analyzer is connected/);
  world.analyzers = ["one", "two"];
  world.answers = {
    hash: (_, target) => target === "one" ? failure("unavailable", "DISCONNECTED", "gone") : found(ROWS.hash),
  };
  world.saw();
  await world.ended(2);
  assert.equal(world.rows("analyses")[1]!["state"], "completed");
  assert.equal(world.analyses.counters["analysis_moved"], 1);
});

Deno.test("Two analyzers share what there is to do", async () => {
  await using world = new World();
  world.analyzers = ["one", "two"];
  const both = Promise.withResolvers<void>();
  let waiting = 0;
  world.answers = {
    hash: async () => {
      if (++waiting === 2) both.resolve();
      await both.promise;
      return found(ROWS.hash);
    },
  };
  world.saw();
  world.saw();
  await world.ended(2);
  assert.deepEqual(world.calls.filter(({ stage }) => stage === "hash").map(({ target }) => target).sort(), [
    "one",
    "two",
  ]);
});

const SECOND = "chain: second\ntitle: t\nstages: [{ stage: yara, timeout: 1s }]\n";
const AFTER = `trigger: deeper
title: t
chain: second
after: [executable]
when: { results: "SELECT packer FROM file_facts WHERE packer = 'UPX'" }
`;

Deno.test("A result may set another chain going, which knows where it came from", async () => {
  await using world = new World([CHAIN, TRIGGER, SECOND, AFTER]);
  world.saw();
  await world.ended(2);
  const [, second] = world.rows("analyses") as [unknown, Record<string, SqlValue>];
  assert.deepEqual([second["chain_id"], second["depth"], second["lineage"]], ["second", 1, '["executable"]']);
  assert.equal(second["executable_hash"], HASH, "the hash that was found goes on with it");
});

Deno.test("A chain that an analysis came from is not begun again, even where the files changed meanwhile", async () => {
  await using world = new World([CHAIN, TRIGGER, SECOND, AFTER]);
  const gate = Promise.withResolvers<void>();
  let isSecond = false;
  world.answers = {
    yara: async () => {
      if (isSecond) await gate.promise;
      isSecond = true;
      return found(ROWS.yara);
    },
  };
  world.saw();
  await until("the second runs", () => world.calls.filter(({ stage }) => stage === "yara").length === 2);
  const back = AFTER.replace("deeper", "back").replace("chain: second", "chain: executable")
    .replace("[executable]", "[second]").replace(
      "SELECT packer FROM file_facts WHERE packer = 'UPX'",
      "SELECT rule FROM yara_matches",
    );
  world.analyses.use(readPlan([["a", CHAIN], ["b", SECOND], ["c", back]]));
  gate.resolve();
  await world.ended(2);
  assert.equal(world.analyses.counters["analysis_cycles"], 1);
  assert.equal(world.rows("analyses").length, 2);
});

Deno.test("A person's request is carried out at once and whatever was found before; an unknown chain is refused", async () => {
  await using world = new World();
  world.saw("/opt/a");
  await world.ended(1);
  const run = await world.analyses.ask("executable", targetOfPath("/opt/a"), "user 7 (ann)");
  assert.equal(run!.state, "completed");
  const row = world.rows("analyses")[1]!;
  assert.deepEqual([row["actor"], row["trigger_id"], row["priority"], row["event_id"]], [
    "user 7 (ann)",
    null,
    "critical",
    null,
  ]);
  assert.equal(world.alerts.length, 2);
  assert.equal(world.alerts[1]!.executablePath, "/opt/a");
  await assert.rejects(
    world.analyses.ask("nonsense", targetOfPath("/x"), "me"),
    /There is no chain nonsense; there are executable/,
  );
});

Deno.test("What was under way when the agent ended is cancelled in the store, and numbers go on", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, first = new Store(path);
  first.analysing("put", (tables) => tables.put(41, { analyses: [{ analysis_id: 41, state: "running" }] }));
  first.close();
  await using world = new World();
  const second = new Store(path);
  world.analyses.detach();
  world.analyses.attach(second);
  assert.deepEqual(rows(path, "SELECT analysis_id, state FROM analyses"), [{ analysis_id: 41, state: "cancelled" }]);
  second.close();
  world.saw();
  await world.ended();
  assert.equal(world.rows("analyses")[0]!["analysis_id"], 42);
});

Deno.test("The store keeps so many analyses and lets go of the oldest with all their rows", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path);
  store.analysing("put", (tables) => {
    for (const id of [1, 2, 9, 15, 5_006, 10_007, 15_008, 20_009]) {
      tables.put(id, { analyses: [{ analysis_id: id }], file_facts: [{ analysis_id: id }] });
    }
  });
  const kept = rows(path, "SELECT analysis_id AS id FROM file_facts ORDER BY 1").map(({ id }) => id);
  assert.deepEqual(kept, [15, 5_006, 10_007, 15_008, 20_009]);
  store.close();
  assert.throws(() => store.analysing("put", () => {}), StoreError);
});

Deno.test("A storm of 100,000 hits is one request a file, bounded, and forgotten piece by piece", async () => {
  await using world = new World([CHAIN, TRIGGER]);
  world.answers = { hash: never };
  const row = (i: number): SqlValue[] => {
    const event = { ...start(1), executablePath: `/opt/${i % 5_000}`, inode: i % 5_000, device: 1 };
    return eventRow({ ...event, argv: new Uint8Array(2_000).fill(97) }, 2 ** 40 + i, "col");
  };
  const gc = (globalThis as { gc?: () => void }).gc,
    used = (): number => {
      gc?.();
      return Deno.memoryUsage().heapUsed / 2 ** 20;
    };
  const began = performance.now(), before = used();
  let half = 0;
  for (let i = 0; i < 100_000; i += 500) {
    await world.batch(Array.from({ length: 500 }, (_, at) => row(i + at)));
    if (i === 50_000) half = used();
    if (i % 10_000 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const { counters } = world.analyses, after = used();
  console.log(
    `storm: 100,000 hits in ${Math.round(performance.now() - began)} ms; waiting ${counters["analysis_waiting"]}, ` +
      `repeated ${counters["analysis_repeated"]}, limited ${counters["analysis_limited"]}, dropped ${
        counters["analysis_dropped"]
      }; ` +
      `heap ${before.toFixed(1)}, ${half.toFixed(1)}, ${after.toFixed(1)} MiB`,
  );
  // On a busy host a batch may not be judged in its time, which is told.
  const hits = counters["analysis_hits"]!, faults = counters["analysis_faults"]!;
  assert.ok(hits <= 100_000 && hits >= 100_000 - 500 * faults, `${hits} hits, ${faults} faults`);
  const running = counters["analysis_running"]!, begun = counters["analyses_begun"]!;
  assert.equal(running, 2);
  assert.equal(
    counters["analysis_waiting"]! + begun + counters["analysis_repeated"]! + counters["analysis_limited"]! +
      counters["analysis_dropped"]!,
    hits,
  );
  assert.ok(counters["analysis_waiting"]! <= 1_000 && counters["analysis_remembered"]! <= 20_000);
  assert.equal(counters["analysis_short"], 1);
});
