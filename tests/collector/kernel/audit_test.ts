import assert from "node:assert/strict";
import { parseRefusal } from "../../../collector/kernel/audit.ts";
import { namedSyscall, syscallName } from "../../../collector/kernel/syscall_names.ts";
import { SYSCALL_NAMES, syscallNumber } from "../../../collector/kernel/syscalls.ts";
import { needs } from "../../support/needs.ts";
import { inProcess } from "../../support/own_process.ts";

const MODULES = new URL("../../../collector/kernel/", import.meta.url).href;

/** As Linux 6.18 wrote it. */
const RECORD = "audit(1795260471.346:27): auid=4294967295 uid=64171 gid=64170 ses=4294967295 pid=9675 " +
  'comm="tokio-rt-worker" exe="/opt/deno" sig=0 arch=c000003e syscall=41 compat=0 ip=0x7fceddcc6829 code=0x50000';

Deno.test("parseRefusal() reads a record of the kernel's, whatever a thread calls itself", () => {
  const refusal = { pid: 9675, userId: 64171, thread: "tokio-rt-worker", call: 41, signal: 0 };
  assert.deepEqual(parseRefusal(RECORD), refusal);
  const hexadecimal = RECORD.replace('"tokio-rt-worker"', "56382044656661756C74576F726B");
  assert.equal(parseRefusal(hexadecimal)?.thread, "V8 DefaultWork");
  // The kernel quotes what holds a space or a quote, so what is in quotes is no field.
  assert.deepEqual(parseRefusal(RECORD.replace("tokio-rt-worker", "pid=1 sig=9")), {
    ...refusal,
    thread: "pid=1 sig=9",
  });
  assert.equal(parseRefusal(RECORD.replace("sig=0", "sig=31"))?.signal, 31);
  assert.equal(parseRefusal(RECORD.replace(" pid=", " subj=deno (enforce) pid="))?.pid, 9675);
  assert.equal(parseRefusal(RECORD.replace('"/opt/deno"', "(null)"))?.call, 41);
});

Deno.test("parseRefusal() takes no other text for a record", () => {
  assert.equal(parseRefusal(""), null);
  assert.equal(parseRefusal('audit(1.1:1): argc=3 a0="pid=1" syscall=41 '), null);
  const end = RECORD.indexOf(" compat=");
  for (let length = 0; length <= end; length++) assert.equal(parseRefusal(RECORD.slice(0, length)), null, `${length}`);
});

Deno.test("syscallName() agrees with the numbers that are used, on both processors", () => {
  for (const architecture of ["x86_64", "aarch64"] as const) {
    for (const name of SYSCALL_NAMES) {
      const number = syscallNumber(name, architecture);
      if (number !== null) assert.equal(syscallName(number, architecture), name);
    }
  }
  assert.equal(namedSyscall(425), "io_uring_setup (425)");
  assert.equal(namedSyscall(423, "x86_64"), "number 423");
  assert.equal(namedSyscall(250, "aarch64"), "number 250");
});

Deno.test({
  name: "every refused call of every thread comes as a record, what is refused by design and other records do not",
  ...needs({ root: true, audit: true }),
  async fn() {
    const { stdout, stderr } = await inProcess(`
      import { installFilter } from "${MODULES}seccomp.ts";
      import { RefusalSocket } from "${MODULES}audit.ts";
      import { libc } from "${MODULES}libc.ts";
      import { syscallNumber } from "${MODULES}syscalls.ts";
      await Deno.readTextFile("/etc/hostname");
      const socket = new RefusalSocket();
      const detached = new Uint8Array(4);
      const fd = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name))
        .find((n) => { try { return libc.setsockopt(n, 1, 27, detached, 4) < 0 && Deno.readLinkSync("/proc/self/fd/" + n).startsWith("socket:"); } catch { return false; } });
      console.log("filter stays: " + (fd !== undefined));
      const canary = 0x2123_4567;
      installFilter({ refused: "errno", processes: false, canary });
      const call = (number) => libc.syscall(BigInt(number), 2n, 1n, 0n, 0n, 0n, 0n);
      const later = (number) => libc.syscallAsync(BigInt(number), 2n, 1n, 0n, 0n, 0n, 0n);
      for (let i = 0; i < 3; i++) call(syscallNumber("socket"));
      await later(syscallNumber("io_uring_setup"));
      call(syscallNumber("clone3"));
      await Promise.all(Array.from({ length: 60 }, () => Deno.readTextFile("/etc/hostname"))); // threads
      call(canary);
      const heard = [];
      for (let tries = 0; tries < 1_200 && !heard.some(({ call }) => call === canary); tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        socket.read((refusal) => { if (refusal.pid === Deno.pid) heard.push(refusal); });
      }
      console.log(JSON.stringify(heard.map(({ call, signal, userId }) => [call, signal, userId])));
      console.log(heard.map(({ thread }) => thread.length > 0).join());
      Deno.exit(0);
    `);
    const socket = syscallNumber("socket")!, ring = syscallNumber("io_uring_setup")!;
    const [filter, heard, named] = stdout.trim().split("\n");
    assert.equal(filter, "filter stays: true", stderr);
    assert.deepEqual(
      JSON.parse(heard!),
      [socket, socket, socket, ring, 0x2123_4567].map((call) => [call, 0, Deno.uid()]),
    );
    assert.equal(named, "true,true,true,true,true");
  },
});
