/**
 * One analysis under way: its stages one after the other in the order of what they need, and the rows that come of them.
 *
 * A stage that does not complete is tried again as often as the chain says. What needs one that did not complete is skipped,
 * and so is what needs that; what does not goes on. Without an optional stage the analysis is partial; without another one it
 * has failed. Nothing in it waits longer than the chain's time.
 *
 * @module
 */
import type { Chain, ChainStage } from "../../proto/analysis/chain.ts";
import type { FactRow, Stage, StageRequest, StageRows } from "../../proto/analysis/stage.ts";
import { type Priority } from "../../proto/analysis/trigger.ts";
import { pause } from "../../proto/pause.ts";
import type { Executor, StageOutcome } from "./executor.ts";
import { startTickOf, type Target } from "./target.ts";

export type StageState =
  | "pending"
  | "running"
  | "completed"
  | "failed"
  | "timed_out"
  | "missing"
  | "skipped"
  | "cancelled";
export type AnalysisState = "running" | "completed" | "partial" | "failed" | "timed_out" | "cancelled";

/** What an analysis is asked for. */
export interface Order {
  readonly id: number;
  readonly time: number;
  readonly chain: Chain;
  readonly triggerId: string | null;
  readonly actor: string | null;
  readonly priority: Priority;
  readonly target: Target;
  readonly hits: number;
  /** The chains that led to it, the first one first. */
  readonly lineage: readonly string[];
}

interface StageStanding {
  state: StageState;
  reason: string | null;
  attempts: number;
  analyzer: string | null;
  startedTime: number | null;
  endedTime: number | null;
}

/** Before another try. */
const RETRY_MS = 500;

export interface RunOptions {
  readonly executor: Executor;
  /** Rows of the analysis have changed. */
  readonly changed: (run: Run) => void;
  readonly now?: () => number;
}

export class Run {
  readonly order: Order;
  readonly #options: RunOptions;
  readonly #now: () => number;
  readonly #standings: Map<Stage, StageStanding>;
  readonly #facts = new Map<string, FactRow>();
  readonly #lists = new Map<string, FactRow[]>();
  readonly #abort = new AbortController();
  readonly #startedTime: number;
  #endedTime: number | null = null;
  #isLate = false;
  #hash: string | null;

  constructor(order: Order, options: RunOptions) {
    this.order = order;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#startedTime = this.#now();
    this.#hash = order.target.hash;
    this.#standings = new Map(
      order.chain.stages.map(({ stage }) => [
        stage,
        { state: "pending", reason: null, attempts: 0, analyzer: null, startedTime: null, endedTime: null },
      ]),
    );
  }

  /** Carries out all stages; does not reject. */
  async carryOut(): Promise<void> {
    const { stages, timeoutMs } = this.order.chain;
    const timer = setTimeout(() => {
      this.#isLate = true;
      this.#abort.abort();
    }, timeoutMs);
    this.#options.changed(this);
    for (const stage of stages) await this.#stage(stage);
    clearTimeout(timer);
    this.#endedTime = this.#now();
    this.#options.changed(this);
  }

  /** Ends it: what runs is cancelled, what waits is not begun. */
  cancel(): void {
    this.#abort.abort();
  }

  get state(): AnalysisState {
    if (this.#endedTime === null) return "running";
    if (this.#isLate) return "timed_out";
    if (this.#abort.signal.aborted) return "cancelled";
    const { stages } = this.order.chain;
    const lacking = stages.filter(({ stage }) => this.#standings.get(stage)!.state !== "completed");
    if (lacking.length === 0) return "completed";
    return lacking.every((stage) => this.#isSpared(stage)) ? "partial" : "failed";
  }

  /** Why it is not complete, stage by stage. */
  get reason(): string | null {
    const words = [...this.#standings].filter(([, { reason }]) => reason !== null).map(([stage, standing]) =>
      `${stage} ${standing.state.replace("_", " ")}: ${standing.reason}`
    );
    if (this.#isLate) words.unshift(`it did not end within ${this.order.chain.timeoutMs} ms`);
    return words.length === 0 ? null : words.join("; ");
  }

  /** Rows of all tables, as they are now. */
  rows(): StageRows {
    const { id, time, chain, triggerId, actor, priority, target, hits, lineage } = this.order;
    const { path, inode, device, pid, execId, name, userName, eventId } = target;
    const through = [...this.#standings.values()].filter(({ endedTime }) => endedTime !== null).length;
    const common = { analysis_id: id, time: this.#startedTime, executable_path: path };
    const process = { pid, exec_id: execId };
    const facts = this.#facts.get("file_facts"), memory = this.#facts.get("memory_facts");
    return {
      analyses: [{
        analysis_id: id,
        time,
        chain_id: chain.id,
        trigger_id: triggerId,
        actor,
        priority,
        executable_path: path,
        inode,
        device,
        executable_hash: this.#hash,
        ...process,
        name,
        user_name: userName,
        event_id: eventId,
        hits,
        depth: lineage.length,
        lineage: JSON.stringify(lineage),
        state: this.state,
        reason: this.reason,
        progress: through / chain.stages.length,
        started_time: this.#startedTime,
        ended_time: this.#endedTime,
      }],
      analysis_stages: chain.stages.map(({ stage, isOptional }) => {
        const { state, reason, attempts, analyzer, startedTime, endedTime } = this.#standings.get(stage)!;
        return {
          ...{ analysis_id: id, stage, optional: Number(isOptional), state, reason, attempts, analyzer },
          started_time: startedTime,
          ended_time: endedTime,
        };
      }),
      file_facts: facts === undefined ? [] : [
        { executable_hash: this.#hash, ...facts, ...common, ...process, user_name: userName, event_id: eventId },
      ],
      file_strings: (this.#lists.get("file_strings") ?? []).map((row) => ({ ...row, analysis_id: id })),
      memory_facts: memory === undefined ? [] : [{ ...memory, ...common, ...process }],
      yara_matches: (this.#lists.get("yara_matches") ?? []).map((row) => {
        return { ...row, ...common, executable_hash: this.#hash };
      }),
    };
  }

  async #stage(stage: ChainStage): Promise<void> {
    const standing = this.#standings.get(stage.stage)!, { signal } = this.#abort;
    const unmet = stage.needs.find((need) => this.#standings.get(need)!.state !== "completed");
    const finish = (state: StageState, reason: string | null): void => {
      Object.assign(standing, { state, reason, endedTime: this.#now() });
    };
    if (signal.aborted) return finish("cancelled", "the analysis ended before it");
    if (unmet !== undefined) return finish("skipped", `it needs ${unmet}`);
    const request = this.#request(stage.stage);
    if (request === null) return finish("missing", "the event names no such file or process");
    Object.assign(standing, { state: "running", startedTime: this.#now() });
    for (;;) {
      standing.attempts++;
      const outcome = await this.#attempt(stage.stage, request, stage.timeoutMs);
      standing.analyzer = outcome.analyzer;
      if (outcome.state === "completed") {
        this.#take(outcome.rows);
        finish("completed", null);
        break;
      }
      if (!outcome.mayRetry || standing.attempts > stage.retries || signal.aborted) {
        finish(outcome.state, outcome.reason);
        break;
      }
      await pause(RETRY_MS, signal);
    }
    this.#options.changed(this);
  }

  #attempt(stage: Stage, request: StageRequest, timeoutMs: number): Promise<StageOutcome> {
    const { id } = this.order, { attempts } = this.#standings.get(stage)!;
    return this.#options.executor.run(`${id}-${stage}-${attempts}`, request, timeoutMs, this.#abort.signal);
  }

  #request(stage: Stage): StageRequest | null {
    const { path, device, inode, pid, execId, hash } = this.order.target;
    if (stage === "memory" ? pid === null : path === null) return null;
    // A path that a collector could not know is "(deleted)" or a memory file: there is no such file to be looked at.
    if (stage !== "memory" && (!path!.startsWith("/") || path!.split("/").includes(".."))) return null;
    if (stage === "memory") {
      return { stage, path: null, device: null, inode: null, pid, startTick: startTickOf(execId), hash: null };
    }
    return { stage, path, device, inode, pid: null, startTick: null, hash };
  }

  #take(rows: StageRows): void {
    for (const [table, found] of Object.entries(rows)) {
      if (table === "file_strings" || table === "yara_matches") this.#lists.set(table, [...found]);
      else this.#facts.set(table, { ...this.#facts.get(table), ...found[0] });
    }
    const hash = rows["file_facts"]?.[0]?.["executable_hash"];
    if (typeof hash === "string") this.#hash = hash;
  }

  /** Whether it may be lacking: it is optional, or skipped for one that is. */
  #isSpared({ stage, isOptional, needs }: ChainStage): boolean {
    if (isOptional) return true;
    if (this.#standings.get(stage)!.state !== "skipped") return false;
    const lacking = this.order.chain.stages.filter((each) =>
      needs.includes(each.stage) && this.#standings.get(each.stage)!.state !== "completed"
    );
    return lacking.every((each) => this.#isSpared(each));
  }
}
