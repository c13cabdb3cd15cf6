/**
 * A process that lives until a test has seen what it waits for: a polling rung on a starved machine misses one that lives
 * for a fixed time, however long.
 *
 * @module
 */

/** A script of a shell that keeps its arguments as its own until its process is ended. */
export const WAITING_SHELL = "read -r _; exit 0";

export class HeldProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = new Deno.Command(program, {
      args: [...args],
      env: { ...env },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended already
    }
    await this.#child.status;
    await this.#child.stdin.abort().catch(() => {});
  }
}
