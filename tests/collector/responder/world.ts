/**
 * Real processes for tests of responses, and a responder that works on them within the test.
 *
 * @module
 */
import assert from "node:assert/strict";
import { OutputDirectory } from "../../../collector/responder/output.ts";
import { parentOf } from "../../../collector/responder/protection.ts";
import { ResponseRates } from "../../../collector/responder/rates.ts";
import { Responder, type ResponderOptions } from "../../../collector/responder/responder.ts";
import { readBootId, readProcess } from "../../../collector/kernel/procfs.ts";
import { bootTag, processId, TICK_NS } from "../../../proto/identity.ts";
import type { ResponseAnswer, ResponseRequest } from "../../../proto/response/action.ts";
import { parsePolicy, type ResponseCapability } from "../../../proto/response/policy.ts";
import { PATIENCE_MS } from "../../support/patience.ts";

export const BOOT_ID: string = readBootId();
export const BOOT: string = bootTag(BOOT_ID);
const ALL: readonly ResponseCapability[] = ["kill", "sys_ptrace", "dac_read_search"];
/** The name of a process that runs now. */
export function nameOfPid(pid: number): string {
  const process = readProcess(pid);
  assert.ok(process !== null, `process ${pid} is not there`);
  return processId(BOOT, pid, process.startTime / TICK_NS);
}

export function stateOf(pid: number): string | null {
  return readProcess(pid, { argv: false, context: false })?.status ?? null;
}

export async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !holds(); await new Promise((done) => setTimeout(done, 10))) {
    assert.ok(performance.now() < end, `it did not come about that ${what}`);
  }
}

export class ResponderWorld implements AsyncDisposable {
  readonly directory: string = Deno.makeTempDirSync({ prefix: "daemoneye-responses-" });
  readonly responder: Responder;
  readonly ended: ResponseAnswer[] = [];
  /** A process that stands for the helper; its parent is a shell that stands for the supervisor. */
  readonly helper: number;
  readonly #children: Deno.ChildProcess[] = [];
  now = 0;

  private constructor(public policy: string, helper: number, options: Partial<ResponderOptions>) {
    this.helper = helper;
    this.responder = new Responder({
      ...{ boot: BOOT, bootId: BOOT_ID, held: new Set(ALL), canWrite: true },
      policy: () => parsePolicy(this.policy),
      ourselves: { users: new Set(), pid: helper, parentOf },
      output: new OutputDirectory(this.directory),
      rates: new ResponseRates(() => this.now),
      ruleRates: new ResponseRates(() => this.now),
      ...options,
    });
  }

  static async make(policy: string, options: Partial<ResponderOptions> = {}): Promise<ResponderWorld> {
    const supervisor = startFamily();
    let helper: number | undefined;
    await until("the supervisor has started two", () => {
      [helper] = childrenOf(supervisor.pid);
      return childrenOf(supervisor.pid).length === 2;
    });
    const world = new ResponderWorld(policy, helper!, options);
    world.#children.push(supervisor);
    return world;
  }

  get supervisor(): Deno.ChildProcess {
    return this.#children[0]!;
  }

  /** A process that does nothing, with these variables. */
  sleep(env: Record<string, string> = {}): Deno.ChildProcess {
    return this.keep(new Deno.Command("sleep", { args: ["1000"], env, clearEnv: true, stdin: "null" }).spawn());
  }

  /** A shell with two that do nothing below it. */
  async family(): Promise<{ root: Deno.ChildProcess; children: number[] }> {
    const root = this.keep(startFamily());
    await until("the shell has started two", () => childrenOf(root.pid).length === 2);
    return { root, children: childrenOf(root.pid) };
  }

  keep(child: Deno.ChildProcess): Deno.ChildProcess {
    this.#children.push(child);
    return child;
  }

  respond(pid: number, request: Partial<ResponseRequest> = {}): Promise<ResponseAnswer> {
    return this.responder.respond({
      ...{
        action: "kill",
        tree: false,
        seconds: 0,
        rule: "",
        byRule: false,
        by: "user 1000 (alice)",
        reason: "a test",
      },
      process: request.process ?? nameOfPid(pid),
      ...request,
    }, (answer) => this.ended.push(answer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.responder.stop();
    for (const child of this.#children) {
      for (const pid of [...allChildrenOf(child.pid), child.pid]) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch {
          // It has ended.
        }
      }
      await child.status;
    }
    await Deno.remove(this.directory, { recursive: true });
  }
}

function startFamily(): Deno.ChildProcess {
  const script = "sleep 1000 & sleep 1001 & wait";
  return new Deno.Command("/bin/sh", { args: ["-c", script], stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

/** Those below a process that runs, by their numbers. */
function allChildrenOf(pid: number): number[] {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`);
    return text.trim().split(" ").filter((word) => word !== "").map(Number);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Those that sleep below a process. */
export function childrenOf(pid: number): number[] {
  return allChildrenOf(pid)
    .filter((child) => readProcess(child, { argv: false, context: false })?.name === "sleep");
}
