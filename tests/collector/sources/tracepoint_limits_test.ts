import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import { libcPath } from "../../../collector/kernel/libc.ts";
import {
  openTracepointSource,
  readTracepointKernel,
  type TracepointKernel,
} from "../../../collector/sources/tracepoint.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";
import { needs } from "../../support/needs.ts";
import { accountsForEveryRecord } from "../../support/kernel_count.ts";
import { Watch, withoutGroupDead } from "../../support/tracepoint_watch.ts";
import { argvOf, decode, one } from "../../support/source_watch.ts";

const bpf = needs({ bpf: true });

Deno.test({
  name: "tracepoint source accounts for every record when its ring overflows, per kind, exactly",
  ...bpf,
  async fn() {
    using watch = new Watch({ ringBytes: 65_536 });
    await accountsForEveryRecord(watch);
    // What was received goes on to be right.
    watch.records.length = 0;
    equal(one((await watch.run("/bin/true", ["after"])).execs).argv, argvOf("/bin/true", "after"));
  },
});

Deno.test({
  name: "tracepoint source hands over the other records when a receiver throws, and leaves nothing behind",
  ...bpf,
  async fn() {
    const descriptors = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = descriptors();
    const source = openTracepointSource({ ringBytes: 70_000 });
    await new Deno.Command("/bin/sh", { args: ["-c", "/bin/true 1; /bin/true 2"] }).output();
    const seen: string[] = [];
    throws(() =>
      source.drain((record) => {
        if (record.kind !== "exec") return;
        seen.push(decode(record.argv));
        throw new Error("receiver failed");
      }), /receiver failed/);
    for (const wanted of ["/bin/true\x001\0", "/bin/true\x002\0"]) ok(seen.includes(wanted));
    source.close();
    source.close();
    equal(descriptors(), before);
    const counters = source.counters();
    await new Deno.Command("/bin/true").output();
    equal([source.drain(() => {}), source.counters()], [0, counters]);
    await source.wait(1_000);
    for (const ringBytes of [0, 100, 2 ** 31, NaN]) throws(() => openTracepointSource({ ringBytes }), RangeError);
  },
});

Deno.test({
  name: "tracepoint source says what it does not know where the kernel's memory does not tell, and why it cannot be",
  ...bpf,
  async fn() {
    const kernel = readTracepointKernel();
    const nothing = {
      mm: kernel.layout.mm,
      startBoottime: null,
      exitCode: null,
      signal: null,
      cred: null,
      parent: null,
    };
    const bare = { ...kernel, layout: nothing };
    if (kernel.exit.fields.has("group_dead")) {
      using watch = new Watch({ readKernel: () => bare });
      ok(watch.source.description.unknownColumns.includes("exit_code"));
      const { execs, exits } = await watch.run("/bin/sh", ["-c", "exit 3"]);
      const exec = one(execs), exit = one(exits);
      equal(exec.argv, argvOf("/bin/sh", "-c", "exit 3"));
      equal([exec.userId, exec.startTime, exit.startTime, exit.exitStatus], [Deno.uid(), null, null, null]);
    }
    const reasonOf = (readKernel: () => TracepointKernel): string => {
      const before = [...Deno.readDirSync("/proc/self/fd")].length;
      let reason = "";
      throws(() => openTracepointSource({ readKernel }), (error) => {
        ok(error instanceof SourceUnavailableError && error.source === "tracepoint");
        reason = error.reason;
        return true;
      });
      equal([...Deno.readDirSync("/proc/self/fd")].length, before);
      return reason;
    };
    equal(
      reasonOf(() => ({ ...withoutGroupDead(), layout: nothing })),
      "the number of a process' threads is not found in this kernel's memory",
    );
    ok(/has no field pid$/.test(reasonOf(() => ({ ...kernel, newtask: { id: 5, fields: withoutPid(kernel) } }))));
    ok(/^the kernel refused tracepoint task_newtask: /.test(
      reasonOf(() => ({ ...kernel, newtask: { ...kernel.newtask, id: 65_000 } })),
    ));
  },
});

function withoutPid({ newtask }: TracepointKernel): TracepointKernel["newtask"]["fields"] {
  return new Map([...newtask.fields].filter(([name]) => name !== "pid"));
}

const UNPRIVILEGED = [
  ..."run --no-prompt --no-lock --no-check --no-config".split(" "),
  `--allow-ffi=${libcPath}`,
  new URL("./tracepoint_unprivileged.ts", import.meta.url).pathname,
];

Deno.test({
  name: "tracepoint source works on when every capability of every thread is gone, under the grant of libc alone",
  ...bpf,
  async fn() {
    const child = new Deno.Command(Deno.execPath(), { args: UNPRIVILEGED, stdin: "piped", stdout: "piped" }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    equal((await lines.read()).value, "dropped\n");
    for (const { name } of Deno.readDirSync(`/proc/${child.pid}/task`)) {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/task/${name}/status`);
      ok(/^Uid:\t65534\t65534\t65534\t65534$/m.test(status) && /^CapPrm:\t0+$/m.test(status), status);
    }
    const env = { SEEN_ONE: "yes" };
    await new Deno.Command("/bin/true", { args: ["seen without rights"], env }).output();
    await child.stdin.close();
    let text = "";
    for (let part = await lines.read(); !part.done; part = await lines.read()) text += part.value;
    equal((await child.status).code, 0);
    const { exec, fork, exit, processes, self, lost } = JSON.parse(text);
    equal([exec.argv, exec.executablePath], ["/bin/true\0seen without rights\0", "/bin/true"]);
    equal([exec.ppid, exec.userId, exec.context.environment], [Deno.pid, Deno.uid(), ["SEEN_ONE=yes"]]);
    equal([fork.ppid, exit.exitStatus, exit.startTime], [Deno.pid, 0, exec.startTime]);
    ok(processes > 5);
    equal([self, lost], [65534, { exec: 0, fork: 0, exit: 0 }]);
  },
});

Deno.test({
  name: "tracepoint source says why it is unavailable to who may not use it, and what would mend it",
  ...needs({ bpf: true, setpriv: true }),
  async fn() {
    const run = async (...privileges: string[]): Promise<string> => {
      const args = ["--reuid", "65534", "--regid", "65534", "--clear-groups", ...privileges, Deno.execPath()];
      const { stdout } = await new Deno.Command("setpriv", {
        args: [...args, ...UNPRIVILEGED],
        env: { HOME: "/nonexistent", DENO_DIR: "" },
        stdin: "null",
      }).output();
      return decode(stdout);
    };
    // Without rights, and with those of bpf(2) alone: tracefs is root's, or not mounted and not to be mounted.
    for (const privileges of [[], ["--inh-caps", "+bpf,+perfmon", "--ambient-caps", "+bpf,+perfmon"]]) {
      const text = await run(...privileges);
      ok(
        /^unavailable: tracepoint: the kernel's tracepoints cannot be looked up \(.*\); mount -t tracefs tracefs /.test(
          text,
        ),
        text,
      );
    }
  },
});
