/**
 * Has one stage carried out by an analyser: the one that has the least to do, and another one when it goes away.
 *
 * An analyser is not trusted: what it answers is held against the tables before anybody sees it, and one that answers by
 * something else has failed at that stage.
 *
 * @module
 */
import {
  decodeStageRows,
  encodeStageRequest,
  StageError,
  type StageRequest,
  type StageRows,
} from "../../proto/analysis/stage.ts";
import type { RpcRequest, RpcResponse } from "../../proto/bus/rpc.ts";

export type StageOutcome =
  | { readonly state: "completed"; readonly analyzer: string; readonly rows: StageRows }
  | {
    /** `missing`: what it takes is not there. */
    readonly state: "failed" | "timed_out" | "missing" | "cancelled";
    readonly analyzer: string | null;
    readonly reason: string;
    /** Whether another try could come to something else. */
    readonly mayRetry: boolean;
  };

export interface ExecutorOptions {
  /** Analysers that are connected now. */
  readonly analyzers: () => readonly string[];
  readonly call: (request: RpcRequest, signal: AbortSignal) => Promise<RpcResponse>;
}

/** Analysers that one stage is given to, one after the other, when each goes away. */
const MAX_MOVES = 3;
/** What another try cannot mend. */
const FINAL: ReadonlySet<string> = new Set([
  "NOT_EXECUTABLE",
  "REPLACED",
  "TOO_LARGE",
  "INVALID_TASK",
  "UNSUPPORTED_TASK",
]);
/** The analyser went away, or never had it. */
const AWAY: ReadonlySet<string> = new Set(["DISCONNECTED", "NOT_CONNECTED", "NO_CALLS", "QUEUE_FULL", "BUSY"]);

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #running = new Map<string, number>();
  /** Stages that were given to another analyser. */
  moved = 0;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** Does not reject. */
  async run(taskId: string, stage: StageRequest, timeoutMs: number, signal: AbortSignal): Promise<StageOutcome> {
    const end = performance.now() + timeoutMs, tried = new Set<string>();
    for (;;) {
      const analyzer = this.#choose(tried);
      if (analyzer === null) {
        const reason = tried.size === 0 ? "no analyzer is connected" : `${[...tried].join(", ")} went away`;
        return { state: "failed", analyzer: [...tried].at(-1) ?? null, reason, mayRetry: true };
      }
      tried.add(analyzer);
      const left = Math.floor(end - performance.now());
      if (left < 1) return late(analyzer, timeoutMs);
      const response = await this.#call(analyzer, taskId, stage, left, signal);
      if (signal.aborted) return { state: "cancelled", analyzer, reason: "it was given up", mayRetry: false };
      const isAway = response.error !== null && AWAY.has(response.error.code);
      if (!isAway || tried.size >= MAX_MOVES) return outcomeOf(analyzer, stage, response, timeoutMs);
      this.moved++;
    }
  }

  #choose(tried: ReadonlySet<string>): string | null {
    const load = (id: string): number => this.#running.get(id) ?? 0;
    const free = this.#options.analyzers().filter((id) => !tried.has(id));
    return free.sort((a, b) => load(a) - load(b))[0] ?? null;
  }

  async #call(
    target: string,
    taskId: string,
    stage: StageRequest,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<RpcResponse> {
    const task = {
      taskId,
      taskType: "analyze",
      processFilter: null,
      hashCheck: null,
      metadata: encodeStageRequest(stage),
    } as const;
    this.#running.set(target, (this.#running.get(target) ?? 0) + 1);
    try {
      const payload = { kind: "task", task } as const;
      return await this.#options.call(
        { operation: "execute_task", target, timeoutMs, correlation: null, payload },
        signal,
      );
    } finally {
      const left = this.#running.get(target)! - 1;
      if (left === 0) this.#running.delete(target);
      else this.#running.set(target, left);
    }
  }
}

function outcomeOf(
  analyzer: string,
  { stage }: StageRequest,
  { status, error, outcome }: RpcResponse,
  timeoutMs: number,
): StageOutcome {
  if (status === "success" && outcome?.kind === "result") {
    try {
      return { state: "completed", analyzer, rows: decodeStageRows(stage, outcome.result.analysis ?? null) };
    } catch (error) {
      if (!(error instanceof StageError)) throw error;
      const reason = `its answer breaks the schema: ${error.message}`;
      return { state: "failed", analyzer, reason, mayRetry: false };
    }
  }
  if (error?.code === "ABSENT") return { state: "missing", analyzer, reason: error.message, mayRetry: false };
  if (error?.code === "TIMED_OUT") return { state: "timed_out", analyzer, reason: error.message, mayRetry: true };
  if (status === "timeout") return late(analyzer, timeoutMs);
  const reason = error === null ? `it answered ${status} without a result` : error.message;
  return { state: "failed", analyzer, reason, mayRetry: error !== null && !FINAL.has(error.code) };
}

function late(analyzer: string, timeoutMs: number): StageOutcome {
  return { state: "timed_out", analyzer, reason: `it did not end within ${timeoutMs} ms`, mayRetry: true };
}
