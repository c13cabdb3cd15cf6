/**
 * What ends the tiers when the supervisor cannot: a shell that reads process ids from a pipe of the supervisor's.
 *
 * The kernel closes the pipe when the supervisor ends in whatever way, SIGKILL included; then the shell sends SIGTERM to
 * the processes it was last told of, and SIGKILL to those that have not gone some seconds later. A parent-death signal
 * alone does not do, since the collector loses it when it changes its user.
 *
 * @module
 */

// Each line is the whole list. A process that ended is taken off before its number can be given to another one.
const SCRIPT = `
pids=
while read -r line; do pids=$line; done
[ -z "$pids" ] && exit 0
kill -TERM $pids 2>/dev/null
waited=0
while [ $waited -lt 50 ] && kill -0 $pids 2>/dev/null; do sleep 0.1; waited=$((waited + 1)); done
kill -KILL $pids 2>/dev/null
exit 0
`;

export class Guard {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #pids = new Set<number>();

  constructor() {
    this.#process = new Deno.Command("/bin/sh", {
      args: ["-c", SCRIPT, "daemoneye-guard"],
      cwd: "/",
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin" },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      // A session of its own: what ends the supervisor's terminal or group must not end its guard.
      detached: true,
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
  }

  watch(pid: number): void {
    this.#pids.add(pid);
    this.#tell();
  }

  forget(pid: number): void {
    this.#pids.delete(pid);
    this.#tell();
  }

  /** Ends the guard, once no tier runs any more. */
  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  #tell(): void {
    // A guard that was killed leaves the parent-death signal as the only one: nothing to be done about it here.
    this.#input.write(new TextEncoder().encode(`${[...this.#pids].join(" ")}\n`)).catch(() => {});
  }
}
