/** A filter is for good, so each case is a process of its own. */
import assert from "node:assert/strict";
import { filterProgram, quietProgram } from "../../../collector/kernel/seccomp.ts";
import { needs } from "../../support/needs.ts";
import { inProcess } from "../../support/own_process.ts";

const MODULES = new URL("../../../collector/kernel/", import.meta.url).href;
const PRELUDE = `
  import { installFilter, forbidDumps } from "${MODULES}seccomp.ts";
  import { libc, cString, errno, addressOf } from "${MODULES}libc.ts";
  import { syscallNumber } from "${MODULES}syscalls.ts";
  await Deno.readTextFile("/etc/hostname"); // threads of the pool exist now
  const attempt = async (name, act) => {
    try {
      console.log(name + ": " + await act());
    } catch (error) {
      console.log(name + ": " + error.message.split("\\n")[0]);
    }
  };
`;

Deno.test("filterProgram() ends within the kernel's limit and every jump stays in it", () => {
  for (const architecture of ["x86_64", "aarch64"] as const) {
    for (
      const [role, processes] of [
        ...[["collector", false], ["collector", true], ["hasher", false]] as const,
        ...[["responder", false], ["responder_writing", false]] as const,
      ]
    ) {
      const options = { refused: "errno", processes, role, canary: 0x2fff_ffff } as const;
      const quiet = quietProgram(options, architecture);
      assert.equal(quiet === null, processes);
      for (const program of [filterProgram(options, 77, architecture), ...(quiet === null ? [] : [quiet])]) {
        const view = new DataView(program.buffer), count = program.length / 8;
        assert.ok(count < 4096);
        for (let i = 0; i < count; i++) {
          const isJump = (view.getUint16(i * 8, true) & 7) === 5;
          if (isJump) assert.ok(i + 1 + Math.max(view.getUint8(i * 8 + 2), view.getUint8(i * 8 + 3)) < count);
        }
        assert.equal(view.getUint16((count - 1) * 8, true), 6, "the last instruction returns");
      }
    }
  }
});

Deno.test({
  name: "a filtered process works on, and the kernel refuses all that it has no need of, in every thread",
  ...needs({ programs: ["sh"] }),
  async fn() {
    const { stdout, stderr } = await inProcess(`${PRELUDE}
      const directory = await Deno.makeTempDir();
      forbidDumps();
      installFilter({ refused: "errno", processes: false });
      await attempt("write", () => Deno.writeTextFile(directory + "/a", "x").then(() => "done"));
      await attempt("rename", () => Deno.rename(directory + "/a", directory + "/b").then(() => "done"));
      await attempt("unix", () => new Promise((resolve, reject) => {
        Deno.connect({ transport: "unix", path: directory + "/none.sock" }).then(resolve, reject);
      }));
      await attempt("many", async () => {
        await Promise.all(Array.from({ length: 100 }, () => Deno.readTextFile("/etc/hostname")));
        const junk = [];
        for (let i = 0; i < 3e6; i++) junk.push({ i });
        return "done";
      });
      await attempt("worker", () => new Promise((resolve) => {
        const worker = new Worker("data:application/javascript,self.postMessage('done');self.close()", { type: "module" });
        worker.onmessage = ({ data }) => resolve(data);
      }));
      await attempt("exec", () => new Deno.Command("/bin/sh", { args: ["-c", "true"] }).output().then(() => "RAN"));
      await attempt("tcp", () => Deno.connect({ hostname: "127.0.0.1", port: 22 }).then(() => "CONNECTED"));
      await attempt("listen", async () => (Deno.listen({ port: 0 }), "LISTENS"));
      const raw = (number, ...args) => {
        const a = [0n, 0n, 0n, 0n, 0n, 0n].map((zero, i) => BigInt(args[i] ?? 0));
        return libc.syscall(BigInt(number), ...a) < 0 ? "errno " + errno() : "WENT THROUGH";
      };
      await attempt("ptrace", () => raw(syscallNumber("ptrace"), 16, 1));
      await attempt("setuid", () => libc.setresuid(0, 0, 0) < 0 ? "errno " + errno() : "WENT THROUGH");
      await attempt("capset", () => raw(syscallNumber("capset"), 0, 0));
      await attempt("program load", () => raw(syscallNumber("bpf"), 5, 0, 0));
      await attempt("netlink", () => libc.socket(16, 3, 11) < 0 ? "errno " + errno() : "OPENED");
      await attempt("kill", () => raw(syscallNumber("kill"), 1, 0));
      Deno.exit(0);
    `);
    assert.deepEqual(stdout.trim().split("\n"), [
      "write: done",
      "rename: done",
      "unix: No such file or directory (os error 2)",
      "many: done",
      "worker: done",
      "exec: Failed to spawn '/bin/sh': Operation not permitted (os error 1)",
      "tcp: Operation not permitted (os error 1)",
      "listen: Operation not permitted (os error 1)",
      "ptrace: errno 1",
      "setuid: errno 1",
      "capset: errno 1",
      "program load: errno 1",
      "netlink: errno 1",
      "kill: errno 1",
    ], stderr);
  },
});

Deno.test({
  name: "a filtered hasher reads and serves, and can open nothing for writing, make no socket and change no name",
  ...needs({}),
  async fn() {
    const { stdout, stderr } = await inProcess(`${PRELUDE}
      const directory = await Deno.makeTempDir();
      const listener = Deno.listen({ transport: "unix", path: directory + "/sock" });
      const client = await Deno.connect({ transport: "unix", path: directory + "/sock" });
      await Deno.writeTextFile(directory + "/a", "x");
      installFilter({ refused: "errno", processes: false, role: "hasher" });
      await attempt("read", () => Deno.readTextFile(directory + "/a"));
      await attempt("serve", async () => {
        const server = await listener.accept();
        await client.write(new Uint8Array(3));
        return server.read(new Uint8Array(9));
      });
      await attempt("worker threads", () => Promise.all(Array.from({ length: 50 }, () => Deno.readTextFile("/etc/hostname"))).then(() => "done"));
      const raw = (name, ...args) => {
        const a = [0n, 0n, 0n, 0n, 0n, 0n].map((zero, i) => BigInt.asUintN(64, BigInt(args[i] ?? 0)));
        return libc.syscall(BigInt(syscallNumber(name)), ...a) < 0 ? "errno " + errno() : "WENT THROUGH";
      };
      const file = cString(directory + "/a"), path = addressOf(file);
      for (const [name, flags] of Object.entries({ O_WRONLY: 1, O_RDWR: 2, O_CREAT: 64, O_TRUNC: 512, O_APPEND: 1024, O_TMPFILE: 0o20200000 })) {
        await attempt(name, () => raw("openat", -100, path, flags, 384));
      }
      for (const name of ["unlinkat", "renameat2", "mkdirat", "fchmod", "ftruncate", "pwrite64", "socket", "connect", "socketpair", "bpf", "execve", "kill", "ptrace"]) {
        await attempt(name, () => raw(name, -1, path));
      }
      await attempt("read again", () => Deno.readTextFile(directory + "/a"));
      if (file.length === 0) throw 0;
      Deno.exit(0);
    `);
    assert.deepEqual(
      stdout.trim().split("\n"),
      [
        "read: x",
        "serve: 3",
        "worker threads: done",
        ...["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"].map((name) => `${name}: errno 1`),
        ...["unlinkat", "renameat2", "mkdirat", "fchmod", "ftruncate", "pwrite64", "socket", "connect", "socketpair"],
        ...["bpf", "execve", "kill", "ptrace"],
        "read again: x",
      ].map((line) => line.includes(": ") ? line : `${line}: errno 1`),
      stderr,
    );
  },
});

Deno.test({
  name: "a filtered response helper sends its four signals and no other, and makes files only where it copies",
  ...needs({}),
  async fn() {
    const attempts = `
      const directory = await Deno.makeTempDir();
      await Deno.writeTextFile(directory + "/a", "x");
      installFilter({ refused: "errno", processes: false, role: ROLE });
      const raw = (name, ...args) => {
        const a = [0n, 0n, 0n, 0n, 0n, 0n].map((zero, i) => BigInt.asUintN(64, BigInt(args[i] ?? 0)));
        const result = libc.syscall(BigInt(syscallNumber(name)), ...a);
        return result < 0 ? "errno " + errno() : result;
      };
      await attempt("read", () => Deno.readTextFile(directory + "/a"));
      await attempt("write", () => Deno.writeTextFile(directory + "/b", "x").then(() => "done"));
      await attempt("mkdir", () => Deno.mkdir(directory + "/d").then(() => "done"));
      await attempt("rename", () => Deno.rename(directory + "/a", directory + "/c").then(() => "done"));
      const self = raw("pidfd_open", Deno.pid);
      console.log("pidfd: " + (self > 2));
      for (const signal of [0, 18]) await attempt("signal " + signal, () => raw("pidfd_send_signal", self, signal));
      for (const signal of [1, 2, 10, 15]) await attempt("signal " + signal, () => raw("pidfd_send_signal", self, signal));
      for (const name of NAMES) await attempt(name, () => raw(name, -1, -1));
      Deno.exit(0);`;
    const names = ["unlinkat", "fchmod", "socket", "connect", "bpf", "execve", "kill", "ptrace", "process_vm_readv"];
    const signals = [
      "pidfd: true",
      "signal 0: 0",
      "signal 18: 0",
      ...[1, 2, 10, 15].map((n) => `signal ${n}: errno 1`),
    ];
    const no = "Operation not permitted (os error 1)";
    for (
      const [role, files] of [
        ["responder", [`write: ${no}`, `mkdir: ${no}`, `rename: ${no}`]],
        ["responder_writing", ["write: done", "mkdir: done", "rename: done"]],
      ] as const
    ) {
      const code = attempts.replace("ROLE", JSON.stringify(role)).replace("NAMES", JSON.stringify(names));
      const { stdout, stderr } = await inProcess(PRELUDE + code);
      const lines = stdout.trim().split("\n").map((line) => line.replace(/(\(os error 1\)).*/, "$1"));
      assert.deepEqual(lines, ["read: x", ...files, ...signals, ...names.map((name) => `${name}: errno 1`)], stderr);
    }
  },
});

Deno.test({
  name: "a process that may start others does, and one that is to die for a refused call dies",
  ...needs({ programs: ["sh"] }),
  async fn() {
    const may = await inProcess(`${PRELUDE}
      installFilter({ refused: "errno", processes: true });
      await attempt("exec", () => new Deno.Command("/bin/sh", { args: ["-c", "exit 3"] }).output().then(({ code }) => code));
    `);
    assert.equal(may.stdout.trim(), "exec: 3", may.stderr);
    const dies = await inProcess(`${PRELUDE}
      installFilter({ refused: "kill", processes: false });
      console.log("alive");
      libc.socket(2, 1, 0);
      console.log("STILL ALIVE");
    `);
    assert.equal(dies.stdout.trim(), "alive");
    assert.equal(dies.signal, "SIGSYS");
  },
});

Deno.test("forbidDumps() leaves no core and no way to trace the process, also for its own user", async () => {
  const { stdout } = await inProcess(`${PRELUDE}
    forbidDumps();
    const raw = (operation) => libc.syscall(BigInt(syscallNumber("prctl")), BigInt(operation), 0n, 0n, 0n, 0n, 0n);
    console.log(raw(3));
    const status = await Deno.readTextFile("/proc/self/limits");
    console.log(/^Max core file size +(\\S+) +(\\S+)/m.exec(status).slice(1).join(" "));
  `);
  assert.deepEqual(stdout.trim().split("\n"), ["0", "0 0"]);
});
