/**
 * A copy of this checkout for a test, and `deno task start` run in it as a person would.
 *
 * @module
 */
import { dirname } from "node:path";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import type { AgentStatus, CollectorStatus } from "../../proto/status.ts";
import { decodeAgentStatus, decodeCollectorStatus } from "../../proto/status_codec.ts";
import { PATIENCE_MS } from "./patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const LEFT_OUT = new Set([".git", ".daemoneye", "dist", "node_modules"]);

/** Copies the tree as it is, changes not yet committed included. */
export async function copyCheckout(directory: string): Promise<void> {
  const names = [...Deno.readDirSync(ROOT)].map(({ name }) => name).filter((name) => !LEFT_OUT.has(name));
  await Deno.mkdir(directory, { recursive: true });
  await succeed("cp", "-r", "--", ...names.map((name) => `${ROOT}${name}`), directory);
}

/** Copies what the runtime downloaded for bundling, so that nothing needs to be downloaded again. */
export async function copyDenoDir(directory: string): Promise<void> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: "/" }).output();
  const { denoDir } = JSON.parse(new TextDecoder().decode(stdout)) as { denoDir: string };
  await Deno.mkdir(directory, { recursive: true });
  await succeed("cp", "-r", "--reflink=auto", "--", `${denoDir}/npm`, `${denoDir}/dl`, directory);
}

/** A Deno that every user can execute: the one that runs the test, or a copy of it in `directory`. */
export async function denoForAll(directory: string): Promise<string> {
  const deno = await Deno.realPath(Deno.execPath());
  for (let path = deno; path !== "/"; path = dirname(path)) {
    if (((await Deno.stat(path)).mode! & 0o001) !== 0) continue;
    await Deno.mkdir(directory, { recursive: true });
    await Deno.copyFile(deno, `${directory}/deno`);
    await Deno.chmod(`${directory}/deno`, 0o755);
    return `${directory}/deno`;
  }
  return deno;
}

export async function succeed(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

export interface StartOptions {
  readonly checkout: string;
  readonly state?: string;
  readonly deno?: string;
  /** In front of the command: another user, for one. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** A `deno task start` that runs. Ended, by force where it must be, when it goes out of scope. */
export class Start implements AsyncDisposable {
  readonly layout: StateLayout;
  readonly process: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  stdout = "";
  stderr = "";
  #code: number | null = null;

  constructor({ checkout, state, deno = Deno.execPath(), prefix = [], env = {}, args = [] }: StartOptions) {
    this.layout = stateLayout(state ?? `${checkout}/.daemoneye`);
    const command = [...prefix, deno, "run", "-A", "--quiet", `${checkout}/deploy/start.ts`];
    if (state !== undefined) command.push("--state", state);
    const [program, ...rest] = [...command, ...args];
    this.process = new Deno.Command(program!, {
      args: rest,
      cwd: "/",
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const gather = async (stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) keep(decoder.decode(chunk, { stream: true }));
    };
    void this.process.status.then(({ code }) => this.#code = code);
    this.#reading = Promise.all([
      gather(this.process.stdout, (text) => this.stdout += text),
      gather(this.process.stderr, (text) => this.stderr += text),
    ]);
  }

  collectorStatus(): CollectorStatus | null {
    return readIfThere(this.layout.collectorStatus, decodeCollectorStatus);
  }

  agentStatus(): AgentStatus | null {
    return readIfThere(this.layout.agentStatus, decodeAgentStatus);
  }

  /** Waits until both tiers run and are connected. */
  connected(): Promise<void> {
    return this.until("both tiers run and are connected", () => {
      const collector = this.collectorStatus();
      return collector !== null && collector.connected && collector.state === "running" &&
        this.agentStatus()?.state === "running";
    });
  }

  /** Waits, and gives up early when it ends meanwhile, unless that is what is `asked` for. */
  async until(what: string, holds: () => boolean, asked = false): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > end || (this.#code !== null && !asked)) {
        const why = this.#code === null ? "" : `, as it ended with ${this.#code}`;
        throw new Error(`It did not come about that ${what}${why}\n${this.stderr}${this.stdout}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Ends it by a signal and returns its exit code. */
  async end(signal: Deno.Signal): Promise<number> {
    this.process.kill(signal);
    const { code } = await this.process.status;
    await this.#reading;
    return code;
  }

  /** Waits for it to end by itself. */
  async ended(): Promise<number> {
    const { code } = await this.process.status;
    await this.#reading;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.process.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.ended();
  }
}

/** Processes that run now and have `text` in their command line. */
export function processesWith(text: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    try {
      if (Deno.readTextFileSync(`/proc/${name}/cmdline`).includes(text)) found.push(Number(name));
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

function readIfThere<T>(path: string, decode: (bytes: Uint8Array) => T): T | null {
  try {
    return decode(Deno.readFileSync(path));
  } catch {
    return null;
  }
}
