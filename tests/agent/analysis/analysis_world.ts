/** Analyses from the event to the alert, with analysers that do what a test says. */
import assert from "node:assert/strict";
import { Analyses } from "../../../agent/analysis/analyses.ts";
import { Executor } from "../../../agent/analysis/executor.ts";
import { Journal } from "../../../agent/journal.ts";
import { Store } from "../../../agent/store/store.ts";
import type { Alert } from "../../../proto/alert.ts";
import { readPlan } from "../../../proto/analysis/plan.ts";
import { decodeStageRequest, encodeStageRows, type Stage, type StageRows } from "../../../proto/analysis/stage.ts";
import { responseTo } from "../../../proto/bus/answering.ts";
import { type Answer, failure, type RpcRequest, type RpcResponse, success } from "../../../proto/bus/rpc.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { rows, start, TempDir, until } from "../support.ts";

export const CHAIN = `chain: executable
title: t
timeout: 5s
stages:
  - { stage: hash, timeout: 1s, retries: 1 }
  - { stage: elf, needs: [hash], timeout: 1s }
  - { stage: strings, needs: [elf], timeout: 1s, optional: true }
  - { stage: yara, needs: [hash], timeout: 1s, optional: true }
`;
export const TRIGGER = `trigger: new-one
title: t
chain: executable
per_minute: 600
again_after: 1h
when: { path: [/opt/] }
`;
export const RULE = `id: packed-one
title: packed
description: d
severity: high
sql: SELECT f.packer, y.rule FROM file_facts AS f LEFT JOIN yara_matches AS y ON y.analysis_id = f.analysis_id WHERE f.packer = 'UPX'
`;
export const HASH = "a".repeat(64);
export const ROWS: Readonly<Record<Stage, StageRows>> = {
  hash: { file_facts: [{ executable_hash: HASH, size: 10, kind: "elf" }] },
  elf: { file_facts: [{ packer: "UPX", entropy: 7.9 }] },
  package: { file_facts: [{ package_state: "unowned" }] },
  strings: { file_facts: [{ string_count: 1 }], file_strings: [{ place: 1, kind: "url", text: "x", position: 0 }] },
  memory: { memory_facts: [{ mappings: 3 }] },
  yara: { yara_matches: [{ rule: "a:b", tags: "[]" }] },
};

type Answers = Partial<Record<Stage, (signal: AbortSignal, target: string) => Answer | Promise<Answer>>>;

/** A store, and analyses in it whose analysers answer what a test says. */
export class World implements AsyncDisposable {
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

/** What a stage answers that found these rows. */
export function found(rows: StageRows, text = encodeStageRows(rows)): Answer {
  const result = { taskId: "1", success: true, errorMessage: null, processes: [], hashResult: null, analysis: text };
  return success({ kind: "result", result });
}

/** Of a stage that hangs. */
export const never = (): Promise<Answer> => new Promise(() => {});
