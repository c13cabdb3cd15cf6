/**
 * A whole DaemonEye for an end-to-end test: the real supervisor, tiers, permissions and storage on a state directory of
 * its own, started as `deno task start` starts it.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import type { AgentStatus, CollectorStatus } from "../../proto/status.ts";
import { decodeAgentStatus, decodeCollectorStatus } from "../../proto/status_codec.ts";
import { PATIENCE_MS } from "./patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const decoder = new TextDecoder();

export interface WorldOptions {
  /** YAML of the state directory's config file. */
  readonly config?: string;
  /** `KEY=VALUE` each: settings of the test itself, that no environment of the run beats. */
  readonly set?: readonly string[];
  /** Existing state directory to start on again. */
  readonly state?: string;
  /** How long the start may take. */
  readonly patienceMs?: number;
}

export class World implements AsyncDisposable {
  #stdout = "";
  #stderr = "";
  readonly #reading: Promise<unknown>;

  private constructor(
    readonly layout: StateLayout,
    readonly supervisor: Deno.ChildProcess,
    readonly ownsState: boolean,
  ) {
    const gather = async (stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> => {
      for await (const chunk of stream) keep(decoder.decode(chunk, { stream: true }));
    };
    this.#reading = Promise.all([
      gather(supervisor.stdout, (text) => this.#stdout += text),
      gather(supervisor.stderr, (text) => this.#stderr += text),
    ]);
  }

  /** Starts a world and waits until the agent stores what the collector sees. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const state = options.state ?? await newStateDirectory();
    if (options.config !== undefined) await Deno.writeTextFile(`${state}/config.yaml`, options.config);
    const flags = (options.set ?? []).flatMap((setting) => ["--set", setting]);
    // One that was killed on this state left its last words.
    const layout = stateLayout(state), former = [collectorStatusOf(layout)?.pid, agentStatusOf(layout)?.pid];
    const supervisor = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", `${ROOT}deploy/start.ts`, "--state", state, ...flags],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const world = new World(layout, supervisor, options.state === undefined);
    try {
      await world.until("the collector is connected and its first snapshot stored", () => {
        const status = world.collectorStatus(), agent = world.agentStatus();
        return status !== null && !former.includes(status.pid) && status.state === "running" && status.connected &&
          status.acknowledgedSequence >= 2 && agent !== null && !former.includes(agent.pid) &&
          agent.collectors.length >= 1;
      }, options.patienceMs);
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  get stdout(): string {
    return this.#stdout;
  }
  get stderr(): string {
    return this.#stderr;
  }

  collectorStatus(): CollectorStatus | null {
    return collectorStatusOf(this.layout);
  }
  agentStatus(): AgentStatus | null {
    return agentStatusOf(this.layout);
  }

  /** Rows of the store, read as the CLI reads it. */
  query(sql: string, ...parameters: (string | number)[]): Record<string, string | number | null>[] {
    const db = new DatabaseSync(this.layout.store, { readOnly: true });
    try {
      return [...db.prepare(sql).iterate(...parameters)] as Record<string, string | number | null>[];
    } finally {
      db.close();
    }
  }

  /** The single number that a query gives. */
  count(sql: string, ...parameters: (string | number)[]): number {
    return Number(Object.values(this.query(sql, ...parameters)[0] ?? {})[0] ?? 0);
  }

  /** Runs the CLI under its own grants. */
  async cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const output = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        `--allow-read=${this.layout.state},${ROOT}rules`,
        "--allow-import=none.invalid:443",
        `${ROOT}cli/main.ts`,
        ...args,
        "--state",
        this.layout.state,
      ],
      stdin: "null",
    }).output();
    return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
  }

  /** Waits until `holds`, or fails naming what did not come about. */
  async until(what: string, holds: () => boolean, patience: number = PATIENCE_MS): Promise<void> {
    const end = Date.now() + patience;
    for (;;) {
      let fault = "";
      try {
        if (holds()) return;
      } catch (error) {
        fault = ` (${error instanceof Error ? error.message : error})`;
      }
      if (Date.now() > end) {
        throw new Error(`It did not come about that ${what}${fault}\n${this.#stderr}\n${this.#stdout}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Stops as Ctrl-C does, and returns the supervisor's exit code. */
  async stop(): Promise<number> {
    try {
      this.supervisor.kill("SIGINT");
    } catch {
      // it has ended already
    }
    const { code } = await this.supervisor.status;
    await this.#reading;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.ownsState) await Deno.remove(this.layout.state, { recursive: true });
  }
}

/** A fresh state directory that every user can reach: the tiers run as users of their own. */
export async function newStateDirectory(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-test-" });
  await Deno.chmod(directory, 0o755);
  return directory;
}

function collectorStatusOf(layout: StateLayout): CollectorStatus | null {
  return readIfThere(layout.collectorStatus, decodeCollectorStatus);
}

function agentStatusOf(layout: StateLayout): AgentStatus | null {
  return readIfThere(layout.agentStatus, decodeAgentStatus);
}

function readIfThere<T>(path: string, decode: (bytes: Uint8Array) => T): T | null {
  try {
    return decode(Deno.readFileSync(path));
  } catch {
    return null;
  }
}
