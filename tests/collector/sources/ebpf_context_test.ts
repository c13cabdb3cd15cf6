import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { libc } from "../../../collector/kernel/libc.ts";
import type { RawContext } from "../../../collector/sources/source.ts";
import { compileC } from "../../support/compile_c.ts";
import { contextOf, memfd, temporaryDirectory, Watch } from "../../support/ebpf_watch.ts";
import { one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";
import { groupPath, procFacts } from "../../support/proc_facts.ts";

const bpf = needs({ bpf: true });
const bpfAndGcc = needs({ bpf: true, root: true, programs: ["gcc"] });
const ARRANGE = new URL("../../support/c/arrange.c", import.meta.url);

/** What a child has from this process, as `/proc` tells it. */
function inherited(): Partial<RawContext> {
  const facts = procFacts(Deno.pid, [])!;
  const names = [
    "savedUserId",
    "effectiveGroupId",
    "savedGroupId",
    "loginUserId",
    "sessionId",
    "tty",
    "effectiveCapabilities",
    "userNamespace",
    "pidNamespace",
    "mountNamespace",
    "networkNamespace",
    "cgroupPath",
  ] as const;
  return Object.fromEntries(names.map((name) => [name, facts[name]]));
}

Deno.test({
  name: "ebpf source tells the circumstances of every one of 1,000 short processes",
  ...bpf,
  async fn() {
    using watch = new Watch({ environment: ["MARK"] });
    await using place = await temporaryDirectory();
    const { pid } = await watch.run("/bin/sh", ["-c", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done"], {
      cwd: place.path,
      env: { MARK: "kept", UNMARKED: "not" },
    });
    const execs = watch.of("exec").filter(({ ppid }) => ppid === pid);
    equal(execs.length, 1000);
    const expected = inherited();
    for (const exec of execs) {
      const { cgroupId, ...context } = contextOf(exec);
      equal(exec.namespacePid, exec.pid);
      ok(cgroupId !== null);
      equal(context, {
        ...expected,
        cwd: place.path,
        interpreterPath: null,
        scriptPath: null,
        stdinKind: "null",
        stdoutKind: "pipe",
        environment: ["MARK=kept"],
        environmentCut: false,
      });
    }
    const forks = watch.of("fork").filter(({ ppid }) => ppid === pid);
    ok(forks.length >= 1000);
    for (const fork of forks) equal([fork.namespacePid, fork.pidNamespace], [fork.pid, expected.pidNamespace]);
    equal([watch.source.counters().damaged, watch.of("loss")], [0, []]);
  },
});

Deno.test({
  name: "ebpf source tells what standard input and output lead to",
  ...bpfAndGcc,
  async fn() {
    await using program = await compileC(await Deno.readTextFile(ARRANGE), ["-pthread"]);
    await using place = await temporaryDirectory();
    using watch = new Watch();
    for (const [way, kind] of Object.entries({ socket: "socket", eventfd: "anonymous", directory: "directory" })) {
      const { execs } = await watch.run(program.path, [way, "/bin/sh", "-c", "exit 0"]);
      equal([execs.length, execs[1]!.name, contextOf(execs[1]).stdinKind], [2, "sh", kind]);
    }
    equal(contextOf((await watch.run(program.path, ["closed", "/bin/true"])).execs[1]).stdinKind, "none");
    const of = async (redirections: string): Promise<unknown[]> => {
      const { execs } = await watch.run("/bin/sh", ["-c", `exec /bin/true ${redirections}`], { cwd: place.path });
      const { stdinKind, stdoutKind } = contextOf(execs[1]);
      return [stdinKind, stdoutKind];
    };
    equal(await of("</dev/null >file"), ["null", "file"]);
    equal(await of("</dev/zero >&-"), ["device", "none"]);
    equal(await of("<file >/dev/null"), ["file", "null"]);
    equal(await of("</dev/ptmx"), ["tty", "pipe"]);
  },
});

Deno.test({
  name: "ebpf source tells a script and its interpreter, however it was named",
  ...bpfAndGcc,
  async fn() {
    await using program = await compileC(await Deno.readTextFile(ARRANGE), ["-pthread"]);
    await using place = await temporaryDirectory();
    using watch = new Watch();
    const script = `${place.path}/run`;
    await Deno.writeTextFile(script, "#! /bin/sh -e\nexit 0\n", { mode: 0o755 });
    await Deno.writeTextFile(`${place.path}/envrun`, "#!/usr/bin/env sh\nexit 0\n", { mode: 0o755 });
    await Deno.writeTextFile(`${place.path}/nested`, `#!${script}\n`, { mode: 0o755 });
    const of = async (command: string, args: string[]): Promise<unknown[]> => {
      const { execs } = await watch.run(command, args, { cwd: place.path });
      return execs.map((exec) => [contextOf(exec).scriptPath, contextOf(exec).interpreterPath]);
    };
    const none = [null, null];
    equal(await of(script, []), [[script, "/bin/sh"]]);
    equal(await of("/bin/sh", ["-c", "exec ./run"]), [none, [script, "/bin/sh"]]);
    equal(await of("/bin/sh", ["-c", "cd / && exec ../run"]), [none]);
    equal(await of("/bin/sh", ["-c", "mkdir d && cd d && exec ../run"]), [none, [
      `${place.path}/d/../run`,
      "/bin/sh",
    ]]);
    // env starts the shell, which is given the script as an argument.
    equal(await of(`${place.path}/envrun`, []), [[`${place.path}/envrun`, "/usr/bin/env"], none]);
    equal(await of(`${place.path}/nested`, []), [[`${place.path}/nested`, "/bin/sh"]]);
    const [opened, interpreter] = (await of(program.path, ["opened", script])).at(-1) as [string, string];
    ok(/^\/dev\/fd\/\d+$/.test(opened), opened);
    equal(interpreter, "/bin/sh");
    equal(await of("/bin/true", []), [none]);
    equal(watch.source.counters().damaged, 0);
  },
});

Deno.test({
  name: "ebpf source tells the circumstances of memory-only and deleted executables, in a directory that is gone",
  ...bpf,
  async fn() {
    using watch = new Watch();
    await using place = await temporaryDirectory();
    const { execs } = await watch.run("/bin/sh", [
      "-c",
      "mkdir gone && cp /bin/true gone/true && cd gone && exec 3<true && rm true && rmdir ../gone && exec /proc/self/fd/3",
    ], { cwd: place.path });
    const exec = execs.at(-1)!;
    equal([exec.executablePath, contextOf(exec).cwd], [
      `${place.path}/gone/true (deleted)`,
      `${place.path}/gone (deleted)`,
    ]);
    const memory = memfd("evil", Deno.readFileSync("/bin/true"));
    try {
      const exec = one((await watch.run(`/proc/${Deno.pid}/fd/${memory}`, [], { cwd: "/" })).execs);
      equal([exec.executablePath, contextOf(exec).cwd], ["/memfd:evil (deleted)", "/"]);
      const { scriptPath, cgroupPath } = contextOf(exec);
      equal([scriptPath, cgroupPath], [null, inherited().cgroupPath]);
    } finally {
      libc.close(memory);
    }
  },
});

Deno.test({
  name: "ebpf source tells the namespaces of a process in ones of its own, and its pid there",
  ...needs({ bpf: true, mount: true, programs: ["unshare"] }),
  async fn() {
    using watch = new Watch();
    const script = "readlink /proc/self/ns/mnt; exec readlink /proc/self/ns/net";
    const { pid, output } = await watch.run("unshare", ["-m", "-n", "-p", "--fork", "/bin/sh", "-c", script]);
    const inodes = [...output.matchAll(/\d+/g)].map(([digits]) => Number(digits));
    const init = watch.of("fork").find(({ ppid }) => ppid === pid)!;
    const execs = watch.of("exec", init.pid), [shell, last] = execs;
    equal(execs.length, 2);
    equal([shell!.name, last!.name, shell!.namespacePid, last!.namespacePid], ["sh", "readlink", 1, 1]);
    equal([contextOf(last).mountNamespace, contextOf(last).networkNamespace], inodes);
    const { pidNamespace, mountNamespace } = inherited();
    ok(contextOf(last).pidNamespace !== pidNamespace && contextOf(last).mountNamespace !== mountNamespace);
    // The fork knew already; so does the one of the shell's first child.
    equal([init.namespacePid, init.pidNamespace], [1, contextOf(shell).pidNamespace]);
    const child = watch.of("fork").find(({ ppid }) => ppid === init.pid)!;
    equal([child.namespacePid, child.pidNamespace], [2, init.pidNamespace]);
  },
});

Deno.test({
  name: "ebpf source tells capabilities and saved ids as an execve leaves them",
  ...needs({ bpf: true, root: true }),
  async fn() {
    using watch = new Watch();
    await using place = await temporaryDirectory();
    await Deno.copyFile("/bin/true", `${place.path}/as-other`);
    await Deno.chown(`${place.path}/as-other`, 65532, 65531);
    await Deno.chmod(`${place.path}/as-other`, 0o6755);
    const other = one((await watch.run(`${place.path}/as-other`, [], { uid: 65534, gid: 65533 })).execs);
    const { savedUserId, effectiveGroupId, savedGroupId, effectiveCapabilities } = contextOf(other);
    equal([other.userId, savedUserId, other.groupId, effectiveGroupId, savedGroupId], [
      65534,
      65532,
      65533,
      65531,
      65531,
    ]);
    equal(effectiveCapabilities, 0);
    const { execs } = await watch.run("/bin/true");
    equal(contextOf(one(execs)).effectiveCapabilities, inherited().effectiveCapabilities);
  },
});

/** Where the control groups of version 2 are. */
const groupRoot = /^\S+ (\S+) cgroup2 /m.exec(Deno.readTextFileSync("/proc/mounts"))?.[1];
if (groupRoot === undefined) console.error("cannot run here: cgroup2: no file system of it is mounted");

Deno.test({
  name: "ebpf source tells the control group, by path and by inode",
  ignore: bpfAndGcc.ignore || groupRoot === undefined,
  async fn() {
    const root = groupRoot!;
    await using program = await compileC(await Deno.readTextFile(ARRANGE), ["-pthread"]);
    using watch = new Watch();
    const own = /^0::(.*)$/m.exec(Deno.readTextFileSync("/proc/self/cgroup"))![1]!;
    const name = `daemoneye-test-${Deno.pid}`,
      outer = `${root}${own === "/" ? "" : own}/${name}`,
      inner = `${outer}/in ner`;
    await Deno.mkdir(inner, { recursive: true });
    try {
      const { execs } = await watch.run(program.path, ["cgroup", `${inner}/cgroup.procs`, "/bin/true"]);
      const { cgroupPath, cgroupId } = contextOf(execs[1]);
      equal([cgroupPath, cgroupId], [inner.slice(root.length), Deno.statSync(inner).ino]);
    } finally {
      for (const path of [inner, outer]) Deno.removeSync(path);
    }
    equal(
      contextOf(one((await watch.run("/bin/true")).execs)).cgroupPath,
      groupPath(Deno.readTextFileSync("/proc/self/cgroup")),
    );
  },
});

Deno.test({
  name: "ebpf source gives the variables that are asked for, says when there were more, and gives none unasked",
  ...bpf,
  async fn() {
    using watch = new Watch({ environment: ["LD_*", "EXACT"] });
    const env = { LD_BIND_NOW: "1", EXACT: "a b", INEXACT: "no" };
    const run = async (env: Record<string, string>, of = watch): Promise<RawContext> =>
      contextOf(one((await of.run("/bin/true", [], { env, clearEnv: true })).execs));
    const selected = await run(env);
    equal([[...selected.environment!].sort(), selected.environmentCut], [["EXACT=a b", "LD_BIND_NOW=1"], false]);
    const empty = await run({});
    equal([empty.environment, empty.environmentCut], [[], false]);
    const padding = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`PAD${n}`, "p".repeat(10_000)]));
    const cut = await run({ ...padding, ...env });
    equal(cut.environmentCut, true);
    const large = await run({ PAD: "p".repeat(20_000), EXACT: "far" });
    equal([large.environment, large.environmentCut], [["EXACT=far"], false]);
    using without = new Watch();
    const { environment, environmentCut } = await run(env, without);
    equal([environment, environmentCut, without.source.description.unknownColumns], [null, false, []]);
    equal(watch.source.counters().damaged, 0);

    const seen = (await watch.source.snapshot()).find(({ pid }) => pid === Deno.pid)!;
    ok(seen.context!.environment !== null);
    const later = (await watch.source.snapshot()).find(({ pid }) => pid === Deno.pid)!;
    equal([later.context!.environment, watch.source.look(Deno.pid)!.context!.environment], [null, null]);
  },
});
