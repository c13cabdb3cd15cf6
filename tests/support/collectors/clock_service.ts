/**
 * What the clock collector does of the agent's calls: says how it is, lists itself as its one process, watches for a time,
 * and has one setting, a word that goes into its events. Everything else it refuses by name.
 *
 * @module
 */
import { type Answer, Answering, failure, type RpcRequest, success } from "../../../mod.ts";

type Task = Extract<RpcRequest["payload"], { kind: "task" }>["task"];
type Update = Extract<RpcRequest["payload"], { kind: "config" }>["update"];

export const CLOCK_SETTING = "clock.tag";
const TAG = /^[a-z0-9]{1,16}$/;

export class ClockService {
  tag = "first";
  #version = 1;
  readonly answering = new Answering((call, signal) => this.#handle(call, signal), 12);

  constructor(private readonly id: string) {}

  async #handle({ operation, payload }: RpcRequest, signal: AbortSignal): Promise<Answer> {
    if (operation === "update_config" && payload.kind === "config") return this.#update(payload.update);
    if (operation === "execute_task" && payload.kind === "task") return await this.#task(payload.task, signal);
    switch (operation) {
      case "health_check": {
        const components = [{ name: "clock", state: "healthy", detail: `tag ${this.tag}` } as const];
        return success({ kind: "health", state: "healthy", components, uptimeMs: performance.now() });
      }
      case "get_capabilities":
        return success({
          kind: "capabilities",
          operations: ["health_check", "get_capabilities", "update_config", "execute_task"],
          taskTypes: ["enumerate_processes", "monitor_process_tree"],
          version: "1",
        });
      default:
        return failure("configuration", "UNSUPPORTED_OPERATION", `A clock does not ${operation}`);
    }
  }

  #update({ expectedVersion, validateOnly, changes }: Update): Answer {
    const names = Object.keys(changes), tag = changes[CLOCK_SETTING];
    if (expectedVersion !== 0 && expectedVersion !== this.#version) {
      return failure("configuration", "OTHER_VERSION", `It has version ${this.#version}`);
    }
    if (names.some((name) => name !== CLOCK_SETTING) || (tag !== undefined && !TAG.test(tag))) {
      return failure("configuration", "NOT_A_SETTING", `It has the setting ${CLOCK_SETTING}, a word, and no other`);
    }
    const changed = tag === undefined || tag === this.tag ? [] : [CLOCK_SETTING];
    if (!validateOnly && changed.length > 0) {
      this.tag = tag!;
      this.#version++;
    }
    return success({ kind: "config", version: this.#version, values: { [CLOCK_SETTING]: this.tag }, changed });
  }

  async #task({ taskId, metadata }: Task, signal: AbortSignal): Promise<Answer> {
    const ms = metadata === null ? 0 : Number(JSON.parse(metadata).duration_ms);
    if (ms > 0) {
      const { promise, resolve } = Promise.withResolvers<void>(), timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      clearTimeout(timer);
    }
    const process = {
      ...{ pid: Deno.pid, ppid: Deno.ppid, name: this.id, executablePath: Deno.execPath(), commandLine: [this.id] },
      ...{
        startTime: null,
        cpuUsage: null,
        memoryUsage: null,
        executableHash: null,
        hashAlgorithm: null,
        userId: null,
      },
      ...{ accessible: true, fileExists: true, collectionTime: Date.now(), fuzzyHash: null, onDiskMismatch: false },
      fuzzyHashDegraded: false,
    };
    const result = { taskId, success: true, errorMessage: null, processes: [process], hashResult: null };
    return success({ kind: "result", result });
  }
}
