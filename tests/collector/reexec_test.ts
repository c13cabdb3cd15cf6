/** The collector's sources across an execution of the program anew: see `tests/support/inheriting.ts`. */
import assert from "node:assert/strict";
import { BundledProgram } from "../support/bundled_program.ts";
import { needs } from "../support/needs.ts";
import { inProcess } from "../support/own_process.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const USER = 64171, GROUP = 64170;

interface Told {
  readonly seen: readonly string[];
  readonly proof: string;
  readonly unavailable: readonly string[];
  readonly lost: { readonly lost: Readonly<Record<string, number>>; readonly overruns: number };
  readonly name: string;
  readonly misses: readonly string[];
  readonly parent: string | null;
  readonly arguments: number;
  readonly look: string | null;
}

/** Starts it, and programs from when its source is open until it has executed itself again: how many, and what it says. */
async function acrossExecution(
  source: string,
  prefix: readonly string[] = [],
): Promise<{ started: number; told: Told }> {
  await using program = await BundledProgram.make("tests/support/inheriting.ts");
  const text = `across-${crypto.randomUUID()}`;
  const child = program.command([source, `${USER}`, `${GROUP}`, text], prefix).spawn();
  let said = "";
  const errors = new Response(child.stderr).text();
  const reading = (async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) said += chunk;
  })();
  let ended = false;
  const status = child.status.then((status) => (ended = true, status));
  while (!said.includes("opened") && !ended) await new Promise((resolve) => setTimeout(resolve, 1));
  let started = 0, after = 0;
  while (after < 20 && !ended) {
    if (said.includes("again")) after++;
    await new Deno.Command("/bin/true", { args: [text, `${started++}`], stdin: "null" }).output();
  }
  await child.stdin.close();
  const { code } = await status;
  await reading;
  assert.equal(code, 0, said + await errors);
  await errors;
  return { started, told: JSON.parse(said.trim().split("\n").at(-1)!) as Told };
}

for (const source of ["auto", "ebpf", "tracepoint"]) {
  Deno.test({
    name: `no process is missed between two executions, and the table is whole after them: source ${source}`,
    ...needs({ root: true, bpf: true }),
    async fn() {
      const { started, told } = await acrossExecution(source);
      assert.deepEqual(told.seen, Array.from({ length: started }, (_, i) => `${i}`), JSON.stringify(told));
      assert.deepEqual(told.lost.lost, { exec: 0, fork: 0, exit: 0 });
      assert.match(told.proof, /^all \d+ threads run as user 64171 without any capability, under a filter/);
      assert.equal(told.name, source === "auto" ? "ebpf" : source);
      assert.deepEqual(told.unavailable, []);
      assert.ok(told.parent !== null && told.look === told.parent, "it looks at processes still");
      assert.ok(told.arguments > 1);
    },
  });
}

Deno.test({
  name: "the process connector's socket is listened to on across an execution",
  ...needs({ root: true, netlink: true }),
  async fn() {
    const { started, told } = await acrossExecution("netlink");
    // Of a process that is gone when its message is read nobody knows the arguments: most of these.
    assert.equal(told.lost.overruns, 0);
    assert.equal(told.name, "netlink");
    assert.ok(started >= 20 && told.arguments > 1);
  },
});

Deno.test({
  name: "a collector that never is root opens the best source with two capabilities, and has none of them afterwards",
  ...needs({ root: true, bpf: true, programs: ["setpriv"] }),
  async fn() {
    const capabilities = "+bpf,+perfmon";
    const { started, told } = await acrossExecution("ebpf", [
      ...["setpriv", `--reuid=${USER}`, `--regid=${GROUP}`, "--clear-groups", "--no-new-privs"],
      ...[`--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`, "--"],
    ]);
    assert.deepEqual(told.seen, Array.from({ length: started }, (_, i) => `${i}`));
    assert.match(told.proof, /^all \d+ threads run as user 64171 without any capability, under a filter/);
    assert.equal(told.name, "ebpf");
  },
});

Deno.test({
  name: "a collector that is root, or is given something else, takes nothing over",
  ...needs({ root: true }),
  async fn() {
    const module = JSON.stringify(`file://${ROOT}collector/reexec.ts`);
    const root = await inProcess(`
      import { takeInheritance } from ${module};
      takeInheritance(["--set", "a=b", "--inherited=3"]);
    `);
    assert.match(root.stderr, /--inherited is what a collector without root gives itself/);
    const other = await inProcess(`
      import { takeInheritance } from ${module};
      import { dropPrivileges } from ${module.replace("reexec.ts", "privilege.ts")};
      dropPrivileges({ userId: 64171, groupId: 64170 });
      console.log(JSON.stringify(takeInheritance(["--inherited=3", "--help"]).args));
      takeInheritance(["--inherited=0"]);
    `);
    assert.equal(other.stdout.trim(), '["--inherited=3","--help"]');
    assert.match(other.stderr, /Descriptor 0 is not what was handed over/);
  },
});
