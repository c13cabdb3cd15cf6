import assert from "node:assert/strict";
import { libcPath } from "../../../collector/kernel/libc.ts";
import { needs } from "../../support/needs.ts";

interface Looked {
  readonly pids: readonly number[];
  readonly own: boolean;
  readonly hiding: readonly string[];
}

/** What a collector sees in a pid namespace with one other process, the shell of pid 1, whose `/proc` has these options. */
async function look(options: string): Promise<{ before: Looked; after: Looked; again: Looked }> {
  const script = new URL("./hidden_processes.ts", import.meta.url).pathname;
  const deno = [Deno.execPath(), "run", "--no-prompt", "--no-lock", "--no-check", `--allow-ffi=${libcPath}`, script];
  const { success, stdout, stderr } = await new Deno.Command("unshare", {
    // A pid namespace too: before Linux 5.8 the options are those of all its mounts.
    args: [
      "--mount",
      "--pid",
      "--fork",
      "sh",
      "-c",
      `mount -t proc -o ${options} proc /proc && "$@"; exit $?`,
      "sh",
      ...deno,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

const wanted = needs({ root: true, mount: true, programs: ["unshare", "mount", "sh"] });

for (const [option, name] of [["1", "noaccess"], ["2", "invisible"]] as const) {
  Deno.test({
    name: `proc says that /proc hides processes from an ordinary user: hidepid=${option}`,
    ...wanted,
    async fn() {
      const { before, after, again } = await look(`hidepid=${option}`);
      assert.ok(before.pids.includes(1) && before.own, "the privileged see all");
      assert.ok(!after.pids.includes(1) && after.own, "and others themselves");
      const said = `/proc is mounted with hidepid=${name}: processes that the collector may not trace are not seen`;
      assert.deepEqual(before.hiding, [said]);
      // What may be listed and not be read is counted; what is invisible is not, in a pid namespace of many.
      assert.deepEqual(after.hiding, [option === "1" ? `${said}; there were 1 processes when that was noticed` : said]);
      assert.deepEqual(again.hiding, after.hiding, "the same words, so that it is said once");
    },
  });
}

Deno.test({
  name: "proc says nothing of hiding where /proc hides nothing",
  ...wanted,
  async fn() {
    const { before, after } = await look("rw");
    assert.ok(after.pids.includes(1));
    assert.deepEqual([before.hiding, after.hiding], [[], []]);
  },
});
