import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { type Btf, readKernelBtf } from "../../../collector/kernel/btf.ts";
import { libc } from "../../../collector/kernel/libc.ts";
import type { ExecRecord } from "../../../collector/sources/source.ts";
import { memfd, typesWithout, Watch } from "../../support/ebpf_watch.ts";
import { argvOf, one } from "../../support/source_watch.ts";
import { needs } from "../../support/needs.ts";

const bpf = needs({ bpf: true });
const bpfAndMounts = needs({ bpf: true, mount: true, programs: ["unshare", "mount"] });

Deno.test({
  name: "ebpf source gives the path of the executable, whatever way it was reached",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.mkdir(`${directory}/a/b c/ünï\n`, { recursive: true });
      const program = `${directory}/a/b c/ünï\n/true`;
      await Deno.copyFile("/bin/true", program);
      await Deno.symlink(program, `${directory}/link`);
      equal(one((await watch.run(program)).execs).executablePath, program);
      equal(one((await watch.run(`${directory}/link`)).execs).executablePath, program);
      equal(
        (await watch.run("/bin/sh", ["-c", "cd 'a/b c' && exec ./ünï?/true"], { cwd: directory })).execs[1]
          ?.executablePath,
        program,
      );
      await Deno.writeTextFile(`${directory}/script`, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
      equal(one((await watch.run(`${directory}/script`)).execs).executablePath, Deno.realPathSync("/bin/sh"));
      const bytes = await watch.run("/bin/sh", ["-c", `f="$(printf '\\377')"; cp /bin/true "./$f" && exec "./$f"`], {
        cwd: directory,
      });
      equal(bytes.execs.at(-1)?.executablePath, `${directory}/\ufffd`);
      equal(watch.source.counters().damaged, 0);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "ebpf source gives the path across mounts and bind mounts as the kernel does",
  ...bpfAndMounts,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      const script = `
        set -e
        mkdir -p source/deep target mnt
        cp "$(readlink -f /usr/bin/readlink)" source/deep/readlink
        mount --bind source/deep target
        target/readlink /proc/self/exe
        mount -t tmpfs none mnt
        mkdir mnt/in && cp source/deep/readlink mnt/in/readlink
        mnt/in/readlink /proc/self/exe
        touch file && mount --bind source/deep/readlink file
        ./file /proc/self/exe`;
      const { output } = await watch.run("unshare", ["-m", "sh", "-c", script], { cwd: directory });
      const expected = ["target/readlink", "mnt/in/readlink", "file"].map((path) => `${directory}/${path}`);
      equal(output.trim().split("\n"), expected);
      const seen = watch.of("exec").filter((exec) =>
        exec.argv !== null && new TextDecoder().decode(exec.argv).endsWith("\0/proc/self/exe\0")
      );
      equal(seen.map((exec) => exec.executablePath), expected);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "ebpf source marks deleted and memory-only executables",
  ...bpf,
  async fn() {
    using watch = new Watch();
    const directory = Deno.realPathSync(await Deno.makeTempDir());
    try {
      await Deno.copyFile("/bin/true", `${directory}/gone`);
      await Deno.chmod(`${directory}/gone`, 0o755);
      const deleted = await watch.run("/bin/sh", ["-c", "exec 3<gone; rm gone; exec /proc/self/fd/3 x"], {
        cwd: directory,
      });
      const exec = deleted.execs.at(-1)!;
      equal([exec.executablePath, exec.argv], [`${directory}/gone (deleted)`, argvOf("/proc/self/fd/3", "x")]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
    const memory = memfd("evil", Deno.readFileSync("/bin/true"));
    try {
      const exec = one((await watch.run(`/proc/${Deno.pid}/fd/${memory}`, ["y"])).execs);
      equal(exec.executablePath, "/memfd:evil (deleted)");
      ok(exec.inode! > 0);
    } finally {
      libc.close(memory);
    }
    equal(watch.source.counters().damaged, 0);
  },
});

/** By how its loops are kept from going on for ever: the types of this kernel, with or without the verifier's budget. */
const LOOPS = { budget: readKernelBtf, counter: typesWithout((path) => path.endsWith("may_goto_depth")) };

for (const [form, readTypes] of Object.entries(LOOPS)) {
  Deno.test({
    name: `ebpf source, loops kept by ${form}, gives deep paths whole, and says null and damaged for deeper ones`,
    ...bpf,
    fn: () => deepPaths(readTypes),
  });
}
async function deepPaths(readTypes: () => Btf): Promise<void> {
  const types = readTypes(), walksOn = types.has("bpf_verifier_state.may_goto_depth");
  types.release();
  using watch = new Watch({ readTypes });
  const directory = Deno.realPathSync(await Deno.makeTempDir());
  const run = async (levels: number, name: string): Promise<ExecRecord> => {
    const script =
      `i=0; while [ $i -lt ${levels} ]; do mkdir -p ${name} && cd -P ${name} || exit 1; i=$((i+1)); done; cp /bin/true . && exec ./true`;
    const { execs } = await watch.run("/bin/sh", ["-c", script], { cwd: directory });
    return execs.at(-1)!;
  };
  try {
    equal((await run(200, "d")).executablePath, `${directory}${"/d".repeat(200)}/true`);
    const long = "n".repeat(250);
    equal((await run(14, long)).executablePath, `${directory}${`/${long}`.repeat(14)}/true`);
    equal(watch.source.counters().damaged, 0);
    for (const [levels, name] of [[300, "e"], [20, "m".repeat(250)]] as const) {
      const exec = await run(levels, name);
      const path = walksOn && levels === 300 ? `${directory}${"/e".repeat(300)}/true` : null;
      equal([exec.executablePath, exec.argv, exec.name], [path, argvOf("./true"), "true"]);
    }
    // The shells made directories in such directories too.
    const cut = watch.of("exec").filter((exec) => exec.executablePath === null || exec.context!.cwd === null);
    ok(cut.length > 2);
    equal(watch.source.counters().damaged, cut.length);
  } finally {
    // Longer than PATH_MAX: only what goes by descriptors can remove it.
    await new Deno.Command("rm", { args: ["-rf", directory] }).output();
  }
}
