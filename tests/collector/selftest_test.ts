import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { inProcess } from "../support/own_process.ts";

const START = new URL("../../deploy/start.ts", import.meta.url).pathname;

async function selftest(...settings: string[]): Promise<{ code: number; text: string; said: string }> {
  return await selftestOf(null, ...settings);
}

/** With a configuration file of root's. */
async function selftestOf(
  config: string | null,
  ...settings: string[]
): Promise<{ code: number; text: string; said: string }> {
  const state = await Deno.makeTempDir();
  try {
    if (config !== null) {
      await Deno.chmod(state, 0o755);
      await Deno.mkdir(`${state}/s`, { mode: 0o755 });
      await Deno.writeTextFile(`${state}/s/config.yaml`, config);
    }
    const set = settings.flatMap((setting) => ["--set", setting]);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", START, "--only", "collector", "selftest", "--state", `${state}/s`, ...set],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout), said: decoder.decode(stderr) };
  } finally {
    await Deno.remove(state, { recursive: true });
  }
}

Deno.test({
  name: "selftest finds nothing that is not declared, in any thread, on the best source and on the polling one",
  ...needs({ programs: ["setpriv"] }),
  async fn() {
    for (const source of ["auto", "proc"]) {
      const { code, text, said } = await selftest(`collector.source=${source}`, "collector.confinement=in-process");
      assert.equal(code, 0, text + said);
      assert.match(text, /nothing but what is declared\nThe hasher:\n[^]*\nnothing but what is declared\n$/);
      assert.match(text, /^ {2}ok {3}create a file in \/tmp: refused$/m);
      assert.match(text, /^ {2}ok {3}make a Unix socket: refused$/m);
      if (Deno.uid() === 0) {
        assert.match(text, /^ {2}ok {3}read a file of root's, to hash it: possible$/m);
        assert.match(
          text,
          /^ {2}ok {3}thread \d+: user 64175, group 64175, capabilities 4, bounding set 4, no_new_privs on/m,
        );
      }
      assert.ok([...text.matchAll(/^ {2}ok {3}thread \d+: .*system calls filtered$/gm)].length > 2, text);
      assert.doesNotMatch(text, /FAIL/);
    }
  },
});

Deno.test({
  name: "selftest finds still less after another execution, from every source that can be had",
  ...needs({ root: true, landlock: true, programs: ["setpriv", "ps"] }),
  async fn() {
    for (const source of ["auto", "tracepoint", "netlink", "proc", "ps"]) {
      const { code, text, said } = await selftest("collector.confinement=re-exec", `collector.source=${source}`);
      // Every host has these three; the others may be refused, in words.
      if (!["auto", "proc", "ps"].includes(source) && /Source \w+ is unavailable: /.test(said)) continue;
      assert.equal(code, 0, text + said);
      assert.match(text, /^ {2}ok {3}thread \d+: .*capabilities 0, bounding set 0, .*system calls filtered$/m);
      assert.match(text, /^ {2}ok {3}read the program sh, as everybody may: refused$/m);
      assert.doesNotMatch(text, /FAIL/);
    }
  },
});

Deno.test({
  name: "selftest fails when more is possible than declared, and names it",
  ...needs({ programs: ["setpriv"] }),
  async fn() {
    const { code, text, said } = await selftest("collector.syscall_filter=off");
    assert.equal(code, 1, text + said);
    assert.match(text, /^ {2}FAIL thread \d+: .*NOT FILTERED$/m);
    assert.match(text, /^ {2}FAIL make a TCP socket: possible$/m);
    assert.match(text, /^ {2}FAIL execute a program: possible$/m);
    assert.match(text, /\d+ findings\n$/);
  },
});

Deno.test({
  name: "selftest knows of the one capability that configuration keeps, and what it is good for",
  ...needs({ root: true, programs: ["setpriv"] }),
  async fn() {
    for (const source of ["proc", "tracepoint", "auto"]) {
      const config = `collector:\n  keep_ptrace: yes\n  confinement: re-exec\n  source: ${source}\n`;
      const { code, text, said } = await selftestOf(config);
      if (source === "tracepoint" && /Source \w+ is unavailable: /.test(said)) continue;
      assert.equal(code, 0, text + said);
      const isKept = /the source is (proc|tracepoint|netlink)/.test(text);
      assert.equal(/^Declared to be kept: with CAP_SYS_PTRACE and no other/m.test(text), isKept);
      assert.match(text, isKept ? /capabilities 80000, bounding set 0, / : /capabilities 0, bounding set 0, /);
      assert.match(text, new RegExp(`see which program root runs: ${isKept ? "possible" : "refused"}`));
      assert.doesNotMatch(text, /FAIL/);
    }
    const place = await selftestOf("collector:\n  keep_ptrace: yes\n");
    assert.notEqual(place.code, 0);
    assert.match(place.said, /keep_ptrace keeps a capability in every thread, which takes .* re-exec/);
  },
});

const COLLECTOR = new URL("../../collector/", import.meta.url).href;

Deno.test({
  name: "selftest fails when one thread holds one capability more, or one call more is let through",
  ...needs({ root: true }),
  async fn() {
    const prelude = `
      import { dropPrivileges } from "${COLLECTOR}privilege.ts";
      import { confine } from "${COLLECTOR}confinement.ts";
      import { installFilter } from "${COLLECTOR}kernel/seccomp.ts";
      import { libc, NativeArena } from "${COLLECTOR}kernel/libc.ts";
      import { SYSCALL } from "${COLLECTOR}kernel/syscalls.ts";
      import { openProcSource } from "${COLLECTOR}sources/proc.ts";
      import { Refusals } from "${COLLECTOR}refusals.ts";
      import { NOTHING } from "${COLLECTOR}privilege.ts";
      import { selftest } from "${COLLECTOR}selftest.ts";
      await Deno.readTextFile("/etc/hostname"); // threads of the pool exist now
      const test = async () => {
        const refusals = new Refusals({ opened: { reader: null, reason: "none" }, hasherPid: () => null, hasherUser: 1 });
        const options = { userId: 64171, isSecond: false, beganAsRoot: true, startsProcesses: false, kept: NOTHING, sources: [], refusals };
        const source = openProcSource({ intervalMs: 1000 });
        console.log("findings: " + await selftest(source, options, console.log));
        Deno.exit(0);
      };`;
    const confined = (more: string): string => `
      confine({ user: "64171", group: "64170", confinement: "in-process", syscallFilter: "errno", mayOpen: [],
        isSecond: false, beganAsRoot: true, startsProcesses: ${more} });
      await test();`;
    const right = await inProcess(prelude + confined("false"));
    assert.match(right.stdout, /^findings: 0$/m, right.stdout + right.stderr);
    const call = await inProcess(prelude + confined("true"));
    assert.match(call.stdout, /^ {2}FAIL execute a program: possible$/m, call.stderr);
    assert.doesNotMatch(call.stdout, /^findings: 0$/m);
    // One thread, this one, keeps CAP_SYS_PTRACE over its change of user.
    const capability = await inProcess(`${prelude}
      const prctl = (a, b) => libc.syscall(BigInt(SYSCALL.prctl), a, b, 0n, 0n, 0n, 0n);
      prctl(8n, 1n);
      dropPrivileges({ userId: 64171, groupId: 64170 });
      const arena = new NativeArena(4096), words = (...all) => arena.place(new Uint8Array(new Uint32Array(all).buffer));
      if (libc.syscall(BigInt(SYSCALL.capset), words(0x20080522, 0), words(0x80000, 0x80000, 0, 0, 0, 0), 0n, 0n, 0n, 0n) < 0) throw 0;
      installFilter({ refused: "errno", processes: false });
      await test();`);
    const failed = [...capability.stdout.matchAll(/^ {2}FAIL thread \d+: .*capabilities 80000, /gm)];
    assert.equal(failed.length, 1, capability.stdout + capability.stderr);
    assert.match(capability.stdout, /^ {2}FAIL see which program root runs: possible/m);
  },
});
