/**
 * The product's collector as a process, started as `deno task collector` starts it, and this process as its agent's
 * broker, which calls it and notes what each call came to.
 *
 * @module
 */
import { type Operation, PAYLOAD_OF, type RpcPayload, type RpcRequest, type RpcResponse } from "../../proto/bus/rpc.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import type { CollectorStatus } from "../../proto/status.ts";
import { decodeCollectorStatus } from "../../proto/status_codec.ts";
import { type DetectionTask, TASK_TYPES } from "../../proto/task.ts";
import { BusWorld } from "../agent/bus/bus_world.ts";
import { PATIENCE_MS } from "./patience.ts";
import { newStateDirectory } from "./world.ts";

const START = new URL("../../deploy/start.ts", import.meta.url).pathname;

const NEVER = new AbortController().signal;
/** What a call can come to. */
export const ENDS = { success: "works", timeout: "timeout", cancelled: "cancellation", error: "failure" } as const;
export type End = typeof ENDS[keyof typeof ENDS];
export class CollectorWorld implements AsyncDisposable {
  readonly layout: StateLayout;
  stderr = "";
  broker!: BusWorld;
  /** What each operation and each type of task came to in this test. */
  readonly ends = new Map<string, Set<End>>();
  readonly #supervisor: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  private constructor(state: string) {
    this.layout = stateLayout(state);
    const set = ["collector.agent_user=", "collector.obeys_shutdown=yes"].flatMap((each) => ["--set", each]);
    this.#supervisor = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", START, "--only", "collector", "--state", state, ...set],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const decoder = new TextDecoder(), { stderr } = this.#supervisor;
    this.#reading = (async () => {
      for await (const chunk of stderr) this.stderr += decoder.decode(chunk, { stream: true });
    })();
  }

  static async start(): Promise<CollectorWorld> {
    const world = new CollectorWorld(await newStateDirectory());
    await world.until("there is a token", () => Deno.statSync(world.layout.token).size > 0);
    const token = Deno.readTextFileSync(world.layout.token).trim();
    world.broker = await BusWorld.begin({}, { token }, {}, world.layout.brokerSocket);
    Deno.chmodSync(world.layout.brokerSocket, 0o666);
    await world.connected();
    return world;
  }

  /** A collector takes calls, other than the one of this epoch. Returns its epoch. */
  async connected(before = ""): Promise<string> {
    let epoch = before;
    await this.until("a collector takes calls", () => {
      epoch = this.broker.broker.connections().at(-1)?.epoch ?? before;
      return epoch !== before && this.broker.broker.target("procmond")?.rpcVersion === 1;
    });
    return epoch;
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        if (holds()) return;
      } catch {
        // not yet
      }
      if (Date.now() > end) {
        throw new Error(`It did not come about that ${what}\n${this.stderr}\n${this.broker?.lines.join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  status(): CollectorStatus {
    return decodeCollectorStatus(Deno.readFileSync(this.layout.collectorStatus));
  }

  counter(name: string): number {
    return this.status().counters[name] ?? 0;
  }

  call(operation: Operation, more: Partial<RpcRequest> = {}, signal = NEVER): Promise<RpcResponse> {
    const payloads: Partial<Record<RpcPayload["kind"], RpcPayload>> = {
      reason: { kind: "reason", text: "a test" },
      config: { kind: "config", update: { expectedVersion: 0, validateOnly: false, changes: {} } },
      registration: {
        kind: "registration",
        registration: { collectorType: "", version: "", capabilities: [], heartbeatIntervalMs: 1 },
      },
    };
    const payload = payloads[PAYLOAD_OF[operation]] ?? { kind: "reason", text: "" };
    const request = { operation, target: "procmond", timeoutMs: PATIENCE_MS, correlation: null, payload, ...more };
    return this.broker.calls.call("test", request, signal).then((response) => {
      const { status } = response, end = status === "unavailable" || status === "in_progress" ? "error" : status;
      this.#note(operation, ENDS[end]);
      if (request.payload.kind === "task") this.#note(request.payload.task.taskType, ENDS[end]);
      return response;
    });
  }

  #note(name: string, end: End): void {
    this.ends.set(name, (this.ends.get(name) ?? new Set()).add(end));
  }

  /** Does something while the collector stands still. */
  async frozen(act: () => Promise<void>): Promise<void> {
    const { pid } = this.status();
    Deno.kill(pid, "SIGSTOP");
    try {
      await act();
    } finally {
      Deno.kill(pid, "SIGCONT");
    }
  }

  /** Calls of all these operations, and tasks of all types, at once. */
  callAll(operations: readonly Operation[], more: Partial<RpcRequest>, signal = NEVER): Promise<RpcResponse[]> {
    const calls = operations.filter((operation) => operation !== "execute_task")
      .map((operation) => this.call(operation, more, signal));
    const tasks = operations.includes("execute_task")
      ? TASK_TYPES.map((taskType) => this.task({ taskType }, more.timeoutMs, signal))
      : [];
    return Promise.all([...calls, ...tasks]);
  }

  task(more: Partial<DetectionTask>, timeoutMs = PATIENCE_MS, signal = NEVER): Promise<RpcResponse> {
    const taskId = crypto.randomUUID();
    const task: DetectionTask = {
      taskId,
      taskType: "enumerate_processes",
      processFilter: null,
      hashCheck: null,
      metadata: null,
      ...more,
    };
    return this.call("execute_task", { payload: { kind: "task", task }, timeoutMs }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#supervisor.kill("SIGINT");
    } catch {
      // it has ended already
    }
    await this.#supervisor.status;
    await this.#reading;
    await this.broker?.[Symbol.asyncDispose]();
    await Deno.remove(this.layout.state, { recursive: true });
  }
}
