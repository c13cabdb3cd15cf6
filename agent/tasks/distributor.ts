/**
 * Gives tasks to collectors: to one by name, to one that can do it, or to all that can; and puts their results together.
 *
 * A collector can do a task if it is connected, heard from, registered for the task's domain and says that it has the
 * task. What fails for want of the collector (it went away, owes too many answers) is tried again, with another one where
 * there is one; what the collector refuses is not. A task has one time for all of that; then it has expired. Each try has
 * a number, and of a share one result counts: what comes later for it is dropped and counted (`rpc_late_replies`). Of
 * several results the one says who is missing from it and why: it is partial then.
 *
 * @module
 */
import type { Operation, RpcRequest, RpcResponse } from "../../proto/bus/rpc.ts";
import type { CollectorStanding } from "../../proto/status.ts";
import {
  type DetectionResult,
  type DetectionTask,
  type MonitoringDomain,
  type ProcessRecord,
  type TaskType,
} from "../../proto/task.ts";
import { type Candidate, type Placement, Placing } from "./placement.ts";

/** Tries of one share. */
const MAX_TRIES = 3;
/** Between two looks for a collector that can do it. */
const LOOK_MS = 250;
/** For the question what a collector can do. */
const CAPABILITIES_MS = 5_000;

/** The domain that a collector must see to have the task. */
const TASK_DOMAINS: Readonly<Record<TaskType, MonitoringDomain>> = {
  enumerate_processes: "process",
  check_process_hash: "process",
  monitor_process_tree: "process",
  verify_executable: "process",
  monitor_network_connections: "network",
  track_file_operations: "filesystem",
  collect_performance_metrics: "performance",
  analyze: "process",
};

export interface TaskWish extends Omit<DetectionTask, "taskId"> {
  /** A collector, `any` that can do it, or `all`. */
  readonly target: string;
  readonly placement: Placement;
  /** For everything: finding somebody, tries, the task. */
  readonly timeoutMs: number;
}

/** What one collector was given of a task, and what came of it. */
export interface Share {
  readonly collectorId: string;
  readonly tries: number;
  /** `null` without a result. */
  readonly result: DetectionResult | null;
  /** Why there is none, or what is wrong with it; empty where all is well. */
  readonly fault: string;
}

export interface TaskOutcome {
  readonly taskId: string;
  readonly shares: readonly Share[];
  /** Of all results, each once. */
  readonly processes: readonly ProcessRecord[];
  /** A part of those that were meant gave none. */
  readonly isPartial: boolean;
}

/** Nobody was given the task. */
export class NobodyError extends Error {
  override name = "NobodyError";
}

export interface DistributorOptions {
  readonly calls: {
    call(caller: string, request: RpcRequest, signal?: AbortSignal): Promise<RpcResponse>;
    load(target: string): number;
  };
  readonly standings: () => readonly CollectorStanding[];
}

/** A collector that cannot be given anything now, and why. */
interface Away {
  readonly collectorId: string;
  readonly away: string;
}

/** A collector, and why it will never do it, empty when it will; or why that is not known now. */
type Known = (Candidate & { readonly lacks: string }) | Away;

/** States of a collector that has no task now, in words. */
const AWAY: Readonly<Partial<Record<string, string>>> = {
  joined: "has not registered",
  degraded: "is not heard from",
  failed: "has failed",
};

export class Distributor {
  readonly #options: DistributorOptions;
  readonly #placing = new Placing();

  constructor(options: DistributorOptions) {
    this.#options = options;
  }

  /**
   * Runs a task for `caller`. `tell` is called with each step.
   *
   * @throws NobodyError when there is nobody to give it to
   */
  async run(
    caller: string,
    wish: TaskWish,
    tell: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<TaskOutcome> {
    const end = performance.now() + wish.timeoutMs, taskId = crypto.randomUUID();
    const { target, placement, timeoutMs: _, ...task } = wish;
    const share = (first: Candidate, others: boolean): Promise<Share> =>
      this.#share(caller, { ...task, taskId }, { first, others, placement, end }, tell, signal);
    const { able, away } = await this.#able(caller, wish, end, signal);
    if (target !== "all") {
      return outcomeOf(taskId, [await share(this.#placing.choose(able, placement), target === "any")]);
    }
    const missing = away.map(({ collectorId, away: fault }): Share => ({ collectorId, tries: 0, result: null, fault }));
    return outcomeOf(taskId, [...await Promise.all(able.map((each) => share(each, false))), ...missing]);
  }

  /**
   * Those that can do it, and those that may be able to and are away. While there are only the latter, it waits.
   *
   * @throws NobodyError
   */
  async #able(
    caller: string,
    { target, taskType }: Pick<TaskWish, "target" | "taskType">,
    end: number,
    signal?: AbortSignal,
  ): Promise<{ able: Candidate[]; away: Away[] }> {
    const isOne = target !== "any" && target !== "all", domain = TASK_DOMAINS[taskType];
    for (;;) {
      const known = this.#standing(domain).filter(({ collectorId }) => !isOne || collectorId === target);
      const asked = await Promise.all(known.map((each) => this.#ask(caller, each, taskType, end, signal)));
      const away = asked.filter((each) => "away" in each),
        able = asked.filter((each) => "lacks" in each && !each.lacks);
      if (able.length > 0) return { able: able as Candidate[], away };
      const why = asked.map((each) => `${each.collectorId} ${"away" in each ? each.away : each.lacks}`).join("; ");
      const none = isOne ? `there is no collector ${target} that sees` : "no collector sees";
      const nobody = `nobody can ${taskType.replaceAll("_", " ")}: ${why || `${none} the domain ${domain}`}`;
      if (away.length === 0) throw new NobodyError(nobody);
      if (signal?.aborted || performance.now() + LOOK_MS >= end) throw new NobodyError(`in the time given ${nobody}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** Collectors of a domain: who may be given something, with its weight, and who is away. */
  #standing(domain: MonitoringDomain): Known[] {
    return this.#options.standings().flatMap(
      ({ collectorId, connected, lifecycle: { state }, registration }): Known[] => {
        // One that is expected and has not come may be of the domain.
        if (registration !== null && !registration.domains.includes(domain)) return [];
        if (!connected || (state !== "running" && state !== "registered")) {
          const why = connected ? AWAY[state] ?? `is ${state}` : "is not connected";
          return state === "stopped" ? [] : [{ collectorId, away: why }];
        }
        const { kernelLevel, realtime, systemWide } = registration!;
        const weight = 1 + Number(kernelLevel) + Number(realtime) + Number(systemWide);
        return [{ collectorId, weight, load: this.#options.calls.load(collectorId), lacks: "" }];
      },
    );
  }

  /** Asks a collector whether it has the task. */
  async #ask(caller: string, each: Known, type: TaskType, end: number, signal?: AbortSignal): Promise<Known> {
    if ("away" in each) return each;
    const timeoutMs = Math.max(1, Math.min(CAPABILITIES_MS, Math.floor(end - performance.now())));
    const payload = { kind: "reason", text: "before a task" } as const, operation: Operation = "get_capabilities";
    const request = { operation, target: each.collectorId, timeoutMs, correlation: null, payload };
    const { outcome, error } = await this.#options.calls.call(caller, request, signal);
    if (outcome?.kind === "capabilities") {
      return outcome.taskTypes.includes(type) ? each : { ...each, lacks: "does not have that task" };
    }
    if (error?.code === "NO_CALLS") return { ...each, lacks: "takes no calls" };
    return { collectorId: each.collectorId, away: `does not say what it can do: ${error?.message ?? "no answer"}` };
  }

  /** One collector's part, with its tries. */
  async #share(
    caller: string,
    task: DetectionTask,
    how: { first: Candidate; others: boolean; placement: Placement; end: number },
    tell: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<Share> {
    let { collectorId } = how.first;
    for (let tries = 1;; tries++) {
      tell(`${collectorId} has it${tries === 1 ? "" : ` (try ${tries})`}`);
      const rest = Math.floor(how.end - performance.now()), share = { collectorId, tries };
      if (rest < 1) return { ...share, result: null, fault: "the task has expired" };
      // The same collector would take the same id for the task that it has.
      const payload = { kind: "task", task: { ...task, taskId: `${task.taskId}.${tries}` } } as const;
      const request = { operation: "execute_task", target: collectorId, timeoutMs: rest, correlation: null, payload };
      const response = await this.#options.calls.call(caller, request as RpcRequest, signal);
      const { status, error, outcome } = response;
      if (outcome?.kind === "result") {
        const result = { ...outcome.result, taskId: task.taskId };
        return { ...share, result, fault: result.success ? "" : result.errorMessage ?? error?.message ?? "it failed" };
      }
      const fault = error?.message ?? `it answers ${status} without a result`;
      if (tries === MAX_TRIES || !isForAnother(response)) return { ...share, result: null, fault };
      tell(`${collectorId} could not: ${fault}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      try {
        const wish = { target: how.others ? "any" : collectorId, taskType: task.taskType };
        const { able } = await this.#able(caller, wish, how.end, signal);
        const others = able.filter((each) => each.collectorId !== collectorId);
        ({ collectorId } = this.#placing.choose(others.length > 0 ? others : able, how.placement));
      } catch (error) {
        if (!(error instanceof NobodyError)) throw error;
        return { ...share, result: null, fault: `${fault}; then ${error.message}` };
      }
    }
  }
}

/** Whether it failed for want of the collector, so that another one or the same later may do it. */
function isForAnother({ status, error }: RpcResponse): boolean {
  if (status === "unavailable") return error?.code === "DISCONNECTED" || error?.code === "NOT_CONNECTED";
  return status === "error" && (error?.category === "communication" || error?.category === "resource");
}

/** One outcome of all shares: a process that several collectors see stands in it once, as the first has it. */
function outcomeOf(taskId: string, shares: readonly Share[]): TaskOutcome {
  const processes = new Map<string, ProcessRecord>();
  for (const { result } of shares) {
    for (const process of result?.processes ?? []) {
      const key = `${process.pid} ${process.startTime}`;
      if (!processes.has(key)) processes.set(key, process);
    }
  }
  return {
    taskId,
    shares,
    processes: [...processes.values()],
    isPartial: shares.some(({ result }) => result === null),
  };
}
