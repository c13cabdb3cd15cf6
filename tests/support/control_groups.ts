/**
 * Control groups of a test's own, and processes in them and in new namespaces: what a container is made of.
 *
 * The hierarchy is mounted once more at a place of the test's own, so nothing depends on what is mounted where. Groups
 * are made below one that bears the test's name, and are gone again when the test has ended.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Namespaces by the flags of unshare(1). */
export type Namespaces = readonly ("--mount" | "--pid" | "--net" | "--user")[];

export class ControlGroups implements AsyncDisposable {
  #made: string[] = [];

  private constructor(readonly place: string, readonly root: string) {}

  static async make(): Promise<ControlGroups> {
    const place = await Deno.makeTempDir({ prefix: "daemoneye-cgroup-" });
    await command("mount", "-t", "cgroup2", "none", place);
    return new ControlGroups(place, `daemoneye-test-${crypto.randomUUID()}`);
  }

  /** Makes a group and those above it; `path` begins with a slash and is below that of the test. */
  async add(path: string): Promise<void> {
    let group = this.place;
    for (const name of `${this.root}${path}`.split("/")) {
      group += `/${name}`;
      try {
        await Deno.mkdir(group);
        this.#made.push(group);
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
    }
  }

  /**
   * Starts a shell in a group and in new namespaces, with `tag` as its first argument. It ends when its standard input
   * is closed.
   */
  start(path: string, namespaces: Namespaces, tag: string): Deno.ChildProcess {
    const enter = 'echo $$ > "$1" && shift && exec "$@"';
    const inner = ["unshare", "--fork", "--kill-child", ...namespaces, "--", "/bin/sh", "-c", "read line", tag];
    return new Deno.Command("/bin/sh", {
      args: ["-c", enter, "sh", `${this.place}/${this.root}${path}/cgroup.procs`, ...inner],
      stdin: "piped",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const group of this.#made.reverse()) {
      const end = performance.now() + 20_000;
      for (;;) {
        try {
          await Deno.remove(group);
          break;
        } catch (error) {
          // Busy until the kernel has forgotten the last process in it.
          if (performance.now() > end) throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    }
    await command("umount", this.place);
    await Deno.remove(this.place);
  }
}

async function command(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  assert.ok(success, `${program}: ${new TextDecoder().decode(stderr)}`);
}
