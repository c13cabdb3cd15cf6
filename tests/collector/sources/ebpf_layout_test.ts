import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { BpfAssembler, R0, R10 } from "../../../collector/kernel/bpf_assembler.ts";
import { type Btf, readKernelBtf } from "../../../collector/kernel/btf.ts";
import { readContextLayout, unknownColumns } from "../../../collector/kernel/context_layout.ts";
import { PROCESS_PROGRAMS } from "../../../collector/kernel/process_programs.ts";
import type { RawContext } from "../../../collector/sources/source.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import { contextOf, temporaryDirectory, typesWithout, Watch } from "../../support/ebpf_watch.ts";
import { argvOf, one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";
import { procFacts } from "../../support/proc_facts.ts";

const bpf = needs({ bpf: true });

/** A member that each part of a context cannot do without, and the columns and fields that it fills. */
const PARTS: Readonly<Record<string, readonly [columns: string[], fields: (keyof RawContext)[]]>> = {
  "cred.suid": [["saved_user_id"], ["savedUserId"]],
  "cred.egid": [["effective_group_id"], ["effectiveGroupId"]],
  "cred.sgid": [["saved_group_id"], ["savedGroupId"]],
  "cred.cap_effective": [["effective_capabilities"], ["effectiveCapabilities"]],
  "cred.user_ns": [["user_namespace"], ["userNamespace"]],
  "nsproxy.mnt_ns": [["mount_namespace"], ["mountNamespace"]],
  "net.ns.inum": [["network_namespace"], ["networkNamespace"]],
  "task_struct.loginuid": [["login_user_id"], ["loginUserId"]],
  "task_struct.sessionid": [["session_id"], ["sessionId"]],
  "pid.level": [["namespace_pid", "pid_namespace"], ["pidNamespace"]],
  "fs_struct.pwd.dentry": [["cwd"], ["cwd"]],
  "css_set.dfl_cgrp": [["cgroup_path", "cgroup_id", "container_id", "container_runtime", "pod_id"], [
    "cgroupPath",
    "cgroupId",
  ]],
  "tty_struct.name": [["tty"], ["tty"]],
  "inode.i_rdev": [["stdin_kind", "stdout_kind"], ["stdinKind", "stdoutKind"]],
  "linux_binprm.interp": [["interpreter_path", "script_path"], ["interpreterPath", "scriptPath"]],
  "mm_struct.env_end": [["environment"], ["environment"]],
};

const COLUMNS = new Set(tableNamed("process_events").columns.map(({ name }) => name));

Deno.test({
  name: "ebpf source leaves out what a kernel lacks, and names the columns that stay empty",
  ...bpf,
  async fn() {
    await using place = await temporaryDirectory();
    await Deno.writeTextFile(`${place.path}/run`, "#!/bin/sh\n", { mode: 0o755 });
    const check = async (lacking: string[]): Promise<void> => {
      using watch = new Watch({ environment: ["HOME"], readTypes: typesWithout((path) => lacking.includes(path)) });
      const columns = lacking.flatMap((member) => PARTS[member]![0]),
        fields = lacking.flatMap((member) => PARTS[member]![1]);
      const { unknownColumns, misses } = watch.source.description;
      equal([[...unknownColumns].sort(), misses], [columns.toSorted(), []]);
      for (const column of unknownColumns) ok(COLUMNS.has(column), column);
      const { execs, forks } = await watch.run(`${place.path}/run`, [], { cwd: place.path });
      const exec = one(execs), context = contextOf(exec);
      equal(exec.executablePath, Deno.realPathSync("/bin/sh"));
      for (const field of fields) equal(context[field], null, field);
      if (!fields.includes("cwd")) equal(context.cwd, place.path);
      if (!fields.includes("scriptPath")) {
        equal(context.scriptPath, `${place.path}/run`);
      }
      equal(one(forks).namespacePid, fields.includes("pidNamespace") ? null : exec.pid);
      const entry = (await watch.source.snapshot()).find(({ pid }) => pid === Deno.pid)!;
      for (const field of fields) equal(entry.context![field], null, field);
      if (!fields.includes("cwd")) equal(entry.context!.cwd, Deno.cwd());
      equal(watch.source.counters().damaged, 0);
    };
    for (const [member, [columns]] of Object.entries(PARTS)) {
      const btf = typesWithout((path) => path === member)();
      equal(unknownColumns(readContextLayout(btf)).sort(), columns.toSorted());
      btf.release();
    }
    // Loading programs takes its time: half of the parts, the other half, all.
    const members = Object.keys(PARTS);
    for (const parity of [0, 1]) await check(members.filter((_, index) => index % 2 === parity));
    await check(members);
  },
});

Deno.test({
  name: "ebpf source finds members by the names that other kernels have",
  ...bpf,
  async fn() {
    const [now, other] = readKernelBtf().has("kernfs_node.parent")
      ? ["kernfs_node.parent", "kernfs_node.__parent"]
      : ["kernfs_node.__parent", "kernfs_node.parent"];
    using watch = new Watch({ readTypes: typesWithout((path) => path === now, { [other]: now }) });
    equal(watch.source.description.unknownColumns, []);
    equal(contextOf(one((await watch.run("/bin/true")).execs)).cgroupPath, procFacts(Deno.pid, [])!.cgroupPath);
  },
});

Deno.test({
  name: "ebpf source sees lives without circumstances, and says so, where the verifier refuses the whole program",
  ...bpf,
  async fn() {
    const exec = PROCESS_PROGRAMS[0]!, build = exec.build;
    // A program as a verifier sees it that does not accept the context: one that leaves its frame.
    const refused = new BpfAssembler().storeConstant(8, R10, 8, 0).moveConstant(R0, 0).exit().assemble();
    Object.assign(exec, {
      build: ((layout, maps) => layout.context.cwd === null ? build(layout, maps) : refused) as typeof build,
    });
    try {
      using watch = new Watch({ environment: ["HOME"] });
      const { misses, unknownColumns } = watch.source.description;
      equal(misses.length, 1);
      ok(
        misses[0]!.startsWith("Circumstances of processes are not read at their start: the kernel refused"),
        misses[0],
      );
      equal([...unknownColumns].sort(), Object.values(PARTS).flatMap(([columns]) => columns).sort());
      const seen = one((await watch.run("/bin/true", ["x"])).execs);
      equal([seen.executablePath, seen.argv], [Deno.realPathSync("/bin/true"), argvOf("/bin/true", "x")]);
      equal(Object.values(contextOf(seen)).filter((value) => value !== null), [false]);
      // The table's programs were not refused.
      equal(watch.source.look(Deno.pid)!.context!.cwd, Deno.cwd());
    } finally {
      Object.assign(exec, { build });
    }
  },
});

Deno.test({
  name: "ebpf source gives a table without circumstances where the verifier refuses their part",
  ...bpf,
  async fn() {
    const readTypes = (): Btf => {
      const btf = readKernelBtf(), offsetOf = btf.offsetOf.bind(btf);
      // Outside of the structure: loads by type are refused, probes read on.
      btf.offsetOf = (path) => path === "cred.suid" ? 30_000 : offsetOf(path);
      return btf;
    };
    using watch = new Watch({ readTypes });
    equal(watch.source.description.misses, []);
    const entry = (await watch.source.snapshot()).find(({ pid }) => pid === Deno.pid)!;
    equal([entry.context!.cwd, entry.namespacePid, entry.argv], [null, null, Deno.readFileSync("/proc/self/cmdline")]);
    equal(contextOf(one((await watch.run("/bin/true", [], { cwd: "/" })).execs)).cwd, "/");
  },
});
