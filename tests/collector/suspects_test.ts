/**
 * Suspicious behaviour, done for real and seen by the best source. Ordinary work, in which there is none, is in
 * `tests/e2e/ordinary_test.ts`.
 */
import assert from "node:assert/strict";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { readBootId } from "../../collector/kernel/procfs.ts";
import { openEbpfSource } from "../../collector/sources/ebpf.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { compileC } from "../support/compile_c.ts";
import { needs } from "../support/needs.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const SUSPECTS = await Deno.readTextFile(new URL("../support/c/suspects.c", import.meta.url));
const USER = 64_321;

/** The best source and a lifecycle, and of its events those about descendants of one process. */
class Watch {
  readonly #source = openEbpfSource({ ringBytes: 32 << 20, environment: [] });
  readonly #lifecycle = new Lifecycle({ bootId: readBootId(), source: this.#source });
  readonly #events: ProcessEvent[] = [];

  static async open(): Promise<Watch> {
    const watch = new Watch();
    watch.#lifecycle.baseline(await watch.#source.snapshot());
    return watch;
  }

  /** Runs a command, and returns the events of it and of all that it starts. */
  async run(command: string, args: string[], options: Deno.CommandOptions = {}): Promise<ProcessEvent[]> {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "piped", ...options })
      .spawn();
    let ended = false;
    const output = child.output().finally(() => ended = true);
    const isStop = (event: ProcessEvent): boolean => event.kind === "stop" && event.pid === child.pid;
    let deadline = Infinity;
    while (!this.#events.some(isStop)) {
      await this.#take();
      if (ended && deadline === Infinity) deadline = performance.now() + PATIENCE_MS;
      assert.ok(performance.now() < deadline, "the end of the command is seen");
    }
    const { success, stderr } = await output;
    assert.ok(success, `${command}: ${new TextDecoder().decode(stderr)}`);
    assert.equal(this.#source.counters().lost.exec, 0);
    // A fork without a program is told after its children.
    const events = this.#events.splice(0), pids = new Set([child.pid]);
    for (let known = 0; known < pids.size;) {
      known = pids.size;
      for (const { pid, ppid } of events) if (ppid !== null && pids.has(ppid)) pids.add(pid);
    }
    return events.filter(({ pid }) => pids.has(pid));
  }

  [Symbol.dispose](): void {
    this.#source.close();
  }

  async #take(): Promise<void> {
    await this.#source.wait(50);
    this.#source.drain((record) => this.#lifecycle.receive(record));
    this.#events.push(...this.#lifecycle.flush(Date.now()).events);
  }
}

function marks(events: readonly ProcessEvent[]): string[] {
  return events.filter((e) => e.kind === "suspicious").map((e) => `${e.severity}: ${e.reason}`);
}

Deno.test({
  name: "each suspicious behaviour is produced for real and told once, with its reason",
  ...needs({ root: true, bpf: true, programs: ["gcc"] }),
  async fn() {
    await using compiled = await compileC(SUSPECTS);
    // Where not everybody may write.
    const directory = await Deno.makeTempDir({ dir: "/var/lib", prefix: "daemoneye-test-" });
    const shared = await Deno.makeTempDir({ dir: "/tmp" });
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using watch = await Watch.open();
    try {
      await Deno.chmod(directory, 0o755);
      const suspects = `${directory}/suspects`, lent = `${directory}/lent`;
      for (const path of [suspects, lent]) {
        await Deno.copyFile(compiled.path, path);
        await Deno.chmod(path, 0o755);
      }
      await Deno.copyFile("/bin/true", `${shared}/true`);
      const run = async (...args: string[]): Promise<string[]> => marks(await watch.run(suspects, args));

      assert.deepEqual(await run("memory", "/bin/true"), [
        "high: it runs from memory (memfd:suspect), not from a file",
      ]);
      assert.deepEqual(await run("deleted", "/bin/true", `${directory}/gone`), [
        `high: it runs from ${directory}/gone, which was deleted before`,
      ]);
      assert.deepEqual(marks(await watch.run(`${shared}/true`, [])), [
        `medium: it runs from /tmp, where everybody may write: ${shared}/true`,
      ]);
      const [disguised, ...more] = await run("disguise", "/bin/true");
      assert.match(disguised!, /^high: its arguments are those of a kernel thread, but it runs \/(usr\/)?bin\/true$/);
      assert.deepEqual(more, []);
      const { port } = listener.addr as Deno.NetAddr;
      assert.deepEqual(await run("network", String(port), "/bin/sh"), [
        "high: it is a shell, and its standard input is a socket of the network (address family 2)",
      ]);
      (await listener.accept()).close();
      assert.deepEqual(await run("local", "/bin/sh"), [], "a socket within the host is everyday");
      assert.deepEqual(await run("lend", lent), []);
      assert.deepEqual(await run("become", String(USER), lent, "gain", "/bin/true"), [
        `high: it became root out of user ${USER}, and its file sets no user`,
      ]);
      assert.deepEqual(await run("become", String(USER), "/bin/su", "--version"), [], "su sets its user");
    } finally {
      await Deno.remove(directory, { recursive: true });
      await Deno.remove(shared, { recursive: true });
    }
  },
});

Deno.test({
  name: "a start in the future is told once: the kernel's clock is ahead of that of whoever looks",
  ...needs({ root: true, bpf: true, programs: ["unshare"] }),
  async fn() {
    const program = new URL("sources/displaced_clock.ts", import.meta.url).pathname;
    const { success, stdout, stderr } = await new Deno.Command("unshare", {
      // A time namespace holds for the children of who makes it.
      args: ["--time", "--boottime", "-60", "--fork", Deno.execPath(), "run", "-A", "--quiet", program],
      stdin: "null",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const [mark, ...more] = JSON.parse(new TextDecoder().decode(stdout));
    assert.deepEqual([mark.severity, more], ["high", []]);
    // As much as the clocks differ, but for the time until it is seen.
    assert.match(mark.reason, /^its start time lies (?:60\.0|[1-5]\d\.\d) s in the future$/);
    assert.match(mark.executablePath, /\/true$/);
  },
});
