/** Privileges are given up for good, so each case is a process of its own. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { type Ended, inProcess as run } from "../support/own_process.ts";

const MODULE = new URL("../../collector/privilege.ts", import.meta.url).href;

function inProcess(code: string): Promise<Ended> {
  return run(`import * as privilege from ${JSON.stringify(MODULE)};\n${code}`);
}

Deno.test({
  name: "dropPrivileges() leaves no thread with an id or a capability of root, and there is no way back",
  ...needs({ root: true }),
  async fn() {
    const { stdout, stderr } = await inProcess(`
      await Deno.readTextFile("/etc/hostname"); // threads of the pool exist now
      privilege.dropPrivileges({ userId: 65534, groupId: 65534 });
      console.log(privilege.proveUnprivileged(65534, 65534, false));
      console.log(privilege.effectiveUser());
      const { libc } = await import(${JSON.stringify(MODULE.replace("privilege.ts", "kernel/libc.ts"))});
      console.log(libc.setresuid(0, 0, 0));
      console.log(await Deno.readFile("/etc/shadow").then(() => "read", () => "refused"));
    `);
    const [proof, user, back, shadow] = stdout.trim().split("\n");
    assert.match(
      proof ?? "",
      /^all ([2-9]|\d\d+) threads run as user 65534 without any capability; NO FILTER OF SYSTEM CALLS/,
      stderr,
    );
    assert.deepEqual([user, back, shadow], ["65534", "-1", "refused"]);
  },
});

Deno.test({
  name: "dropPrivileges() refuses to stay root",
  ...needs({ root: true }),
  async fn() {
    const { code, stderr } = await inProcess(`privilege.dropPrivileges({ userId: 0, groupId: 0 });`);
    assert.notEqual(code, 0);
    assert.match(stderr, /must not keep running as root; set collector\.user/);
  },
});

Deno.test({
  name: "proveUnprivileged() finds a thread that kept what it must not have",
  ...needs({ root: true }),
  async fn() {
    // The raw system call changes the calling thread alone (setresuid, number 117 on x86-64 and 147 on arm64).
    const { code, stderr } = await inProcess(`
      await Deno.readTextFile("/etc/hostname");
      const { libc } = await import(${JSON.stringify(MODULE.replace("privilege.ts", "kernel/libc.ts"))});
      libc.syscall(Deno.build.arch === "aarch64" ? 147n : 117n, 65534n, 65534n, 65534n, 0n, 0n, 0n);
      privilege.proveUnprivileged(65534, null, false);
    `);
    assert.notEqual(code, 0);
    assert.match(stderr, /Thread \d+ runs as user 0/);
  },
});
