import assert from "node:assert/strict";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { MOST_A_MINUTE } from "../../collector/repetitions.ts";
import { type ExecRecord, NOTHING_KNOWN, type RawContext } from "../../collector/sources/source.ts";
import { BOOT_MS, entry, exec, exit, fork, MS, S, TestWorld } from "../support/lifecycle_world.ts";

type Mark = [number, string | null, string | null];

function marks(events: readonly ProcessEvent[]): Mark[] {
  return events.filter((e) => e.kind === "suspicious").map((e) => [e.pid, e.severity, e.reason]);
}

/** What is said of one execution. */
function judged(more: Partial<ExecRecord>, parent: Partial<ExecRecord> = {}): Mark[] {
  const world = new TestWorld();
  world.receive(exec(5, 1, 10 * S, { executablePath: "/usr/bin/bash", name: "bash", ...parent })).events();
  return marks(world.receive(fork(50, 5, 20 * S), exec(50, 5, 20 * S + MS, { startTime: 20 * S, ...more })).events());
}

const context = (more: Partial<RawContext>): RawContext => ({ ...NOTHING_KNOWN, ...more });

Deno.test("a program from memory is marked, one of a container runtime as ordinary", () => {
  const reason = "it runs from memory (memfd:x), not from a file";
  assert.deepEqual(judged({ executablePath: "/memfd:x (deleted)" }), [[50, "high", reason]]);
  const copy = "/memfd:runc_cloned:/proc/self/exe (deleted)";
  assert.equal(judged({ executablePath: copy }, { executablePath: "/usr/bin/runc" })[0]![1], "low");
  assert.equal(judged({ executablePath: copy })[0]![1], "high", "the name alone is nobody's");
  assert.equal(judged({ executablePath: copy }, { executablePath: "/home/x/usr/bin/runc" })[0]![1], "high");
  assert.deepEqual(judged({ executablePath: "/memfd:x" }), [], "a directory of that name");
});

Deno.test("a program of a deleted file is marked, one that a table shows later is not", () => {
  assert.deepEqual(judged({ executablePath: "/opt/x (deleted)" }), [
    [50, "high", "it runs from /opt/x, which was deleted before"],
  ]);
  const world = new TestWorld();
  world.lifecycle.baseline([entry(1, 0)], S);
  world.lifecycle.reconcile([
    entry(1, 0),
    entry(60, 20 * S, { executablePath: "/usr/sbin/upgraded (deleted)" }),
    entry(61, 20 * S, { executablePath: "/memfd:x (deleted)" }),
    entry(62, 20 * S, { executablePath: "/dev/shm/x" }),
  ], 30 * S);
  assert.deepEqual(marks(world.events()).map(([pid, severity]) => [pid, severity]), [[61, "high"], [62, "medium"]]);
});

Deno.test("a system's program that its package manager deleted is no more than ordinary when it begins anew", () => {
  const again = (path: string, changedMs: number | null): Mark[] => {
    const world = new TestWorld();
    const dpkg = { executablePath: "/usr/bin/dpkg", effectiveUserId: 0, startTime: 20 * S };
    world.receive(exec(40, 1, 20 * S, dpkg), exit(40, 22 * S, 20 * S));
    const changeTime = changedMs === null ? null : (BOOT_MS + changedMs) * 1e6;
    return marks(world.receive(exec(50, 1, 30 * S, { executablePath: `${path} (deleted)`, changeTime })).events());
  };
  const reason = "it runs from /usr/bin/served, which was deleted before";
  assert.deepEqual(again("/usr/bin/served", 21_000), [[50, "low", `${reason}, while dpkg (process 40) ran`]]);
  assert.deepEqual(again("/usr/bin/served", 25_000), [[50, "high", reason]]);
  assert.deepEqual(again("/usr/bin/served", null), [[50, "high", reason]], "not known");
  assert.equal(again("/home/me/served", 21_000)[0]![1], "high", "anybody can wait for it to run");
});

Deno.test("a program in a directory that everybody may write to is marked, a script there is not", () => {
  for (const directory of ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/user/1000"]) {
    const path = `${directory}/.x/y`;
    assert.deepEqual(judged({ executablePath: path }), [
      [50, "medium", `it runs from ${directory}, where everybody may write: ${path}`],
    ]);
  }
  for (const path of ["/tmpfs/x", "/home/me/tmp/x", "/usr/tmp/x", "/run/user/x", "/var/tmpx/y", "/tmp"]) {
    assert.deepEqual(judged({ executablePath: path }), [], path);
  }
  const script = context({ scriptPath: "/tmp/x.sh", interpreterPath: "/bin/sh" });
  assert.deepEqual(judged({ executablePath: "/usr/bin/dash", context: script }), []);
  const go = { executablePath: "/tmp/go-build123/b001/exe/main" };
  assert.equal(judged(go, { executablePath: "/usr/lib/go-1.22/bin/go" })[0]![1], "low");
  assert.equal(judged(go)[0]![1], "medium");
});

Deno.test("root out of another user is marked where neither the file nor the process could give it", () => {
  const user = {
    userId: 1000,
    effectiveUserId: 1000,
    context: context({ savedUserId: 1000, effectiveCapabilities: 0 }),
  };
  const root = { userId: 0, effectiveUserId: 0, setsUserId: false };
  const found = judged(root, user);
  assert.deepEqual(found, [[50, "high", "it became root out of user 1000, and its file sets no user"]]);
  assert.equal(judged({ ...root, userId: 1000 }, user).length, 1, "the effective user counts");
  const setuid = { ...root, setsUserId: true };
  assert.match(judged(setuid, user)[0]![2]!, /its real user is root too, which no file sets/);
  assert.deepEqual(judged({ ...setuid, userId: 1000 }, user), [], "su");

  const blank = { userId: 1000, effectiveUserId: 0 };
  assert.deepEqual(judged(blank, user), [], "a source that does not know the file");
  const able = (more: Partial<RawContext>): Mark[] =>
    judged(root, { ...user, context: context({ savedUserId: 1000, effectiveCapabilities: 0, ...more }) });
  assert.deepEqual(able({ savedUserId: 0 }), [], "it could go back");
  assert.deepEqual(able({ effectiveCapabilities: 2 ** 40 + 2 ** 7 }), [], "it may set its user");
  assert.equal(able({ effectiveCapabilities: 2 ** 40 }).length, 1);
  assert.equal(able({ effectiveCapabilities: 2 ** 41 - 1, userNamespace: 77 }).length, 1, "only in its namespace");
  assert.deepEqual(able({ savedUserId: null }), [], "not known");
  assert.deepEqual(judged(root, { ...user, context: null }), [], "not known");
  assert.deepEqual(judged({ ...root, effectiveUserId: 1000, userId: 1000 }, user), []);
  assert.deepEqual(judged(root, { ...user, userId: 0 }), [], "a root that had lent itself");
});

Deno.test("a shell that takes commands from the network is marked", () => {
  const shell = (more: Partial<RawContext>, path = "/usr/bin/bash"): Mark[] =>
    judged({ executablePath: path, name: "sh", context: context({ stdinKind: "socket", ...more }) });
  assert.deepEqual(shell({ stdinFamily: 2 }), [
    [50, "high", "it is a shell, and its standard input is a socket of the network (address family 2)"],
  ]);
  for (const path of ["/bin/sh", "/usr/bin/dash", "/usr/bin/zsh", "/bin/busybox", "/bin/busybox.static"]) {
    assert.equal(shell({ stdinFamily: 10 }, path)[0]![1], "high", path);
  }
  assert.deepEqual(shell({ stdinFamily: 1 }), [], "Node.js and sshd do that");
  assert.equal(shell({})[0]![1], "low", "of a source that does not know");
  assert.equal(shell({ stdinFamily: 2, scriptPath: "/srv/cgi" })[0]![1], "medium", "given by another shell");
  const served = (more: Partial<RawContext>): Mark[] =>
    judged({ executablePath: "/usr/bin/dash", context: context({ stdinKind: "socket", stdinFamily: 2, ...more }) }, {
      executablePath: "/usr/sbin/xinetd",
    });
  assert.equal(served({ scriptPath: "/srv/cgi" })[0]![1], "low", "a server's small helper");
  assert.equal(served({})[0]![1], "high", "a server that was taken over");
  assert.deepEqual(shell({ stdinFamily: 2, stdinKind: "pipe" }), []);
  assert.deepEqual(shell({ stdinFamily: 2 }, "/usr/bin/python3"), []);
});

Deno.test("each execution is marked once, each of a process by itself, and a fork is none", () => {
  const world = new TestWorld();
  const bad = { startTime: 20 * S, executablePath: "/dev/shm/x (deleted)" };
  const events = world.receive(
    exec(50, 1, 20 * S, bad),
    fork(51, 50, 21 * S),
    exec(50, 1, 22 * S, { ...bad, executablePath: "/dev/shm/y" }),
  ).events(Date.now());
  assert.deepEqual(marks(events).map(([pid, severity]) => [pid, severity]), [
    [50, "high"],
    [50, "medium"],
    [50, "medium"],
  ]);
});

Deno.test("a name that only kernel threads have is marked on a process that runs a file", () => {
  const reason = "its name is that of a kernel thread (kdevtmpfsi), but it runs /opt/kdevtmpfsi";
  assert.deepEqual(judged({ name: "kdevtmpfsi", executablePath: "/opt/kdevtmpfsi" }), [[50, "high", reason]]);
  for (const name of ["irqbalance", "mdadm", "kmod", "kwin_x11", "kdeinit5", "migrate"]) {
    assert.deepEqual(judged({ name }), [], name);
  }
});

Deno.test("ids of a table that was read after the record was made accuse nobody", () => {
  const user = { userId: 64_172, effectiveUserId: 64_172 };
  const context = { ...NOTHING_KNOWN, savedUserId: 64_172, effectiveCapabilities: 0 };
  const root = { userId: 0, effectiveUserId: 0, setsUserId: false };
  const world = new TestWorld();
  world.nowNs = 90 * S;
  // setpriv begins, and has become another user when the table is read; the record of its own start comes after that.
  world.receive(exec(5, 1, 10 * S, root), fork(50, 5, 20 * S)).events();
  world.lifecycle.reconcile([
    entry(5, 10 * S, { ...user, context }),
    entry(50, 20 * S, { ...user, context }),
  ], 21 * S);
  world.receive(exec(50, 5, 22 * S, { ...root, startTime: 20 * S }));
  // Nor does a child that its parent made before it became that user.
  world.receive(fork(51, 5, 23 * S), exec(51, 5, 95 * S, { ...root, startTime: 23 * S }));
  assert.deepEqual(marks(world.events()), []);
  world.nowNs = 100 * S;
  world.receive(fork(52, 5, 95 * S), exec(52, 5, 96 * S, { ...root, startTime: 95 * S }));
  assert.deepEqual(marks(world.events()).map(([pid]) => pid), [52], "after the table it is known");
});

Deno.test("a program that is begun again and again is marked some times a minute, and counted", () => {
  const world = new TestWorld();
  const begin = (first: number, count: number, time: number, path = "/tmp/x"): Mark[] => {
    for (let pid = first; pid < first + count; pid++) {
      world.receive(exec(pid, 1, time * S, { executablePath: path, startTime: time * S }));
    }
    return marks(world.events());
  };
  const reason = "it runs from /tmp, where everybody may write: /tmp/x";
  const told = begin(1_000, 500, 10);
  assert.equal(told.length, MOST_A_MINUTE);
  assert.ok(told.every(([, , said]) => said === reason));
  assert.equal(world.lifecycle.repeated, 500 - MOST_A_MINUTE);
  assert.equal(begin(2_000, 1, 11, "/tmp/y").length, 1, "another program is another matter");
  assert.deepEqual(begin(3_000, 2, 70), [
    [3_000, "medium", `${reason}; ${500 - MOST_A_MINUTE} more times in the minutes before`],
    [3_001, "medium", reason],
  ]);
  assert.equal(begin(4_000, 50, 71, "/memfd:x (deleted)").length, 50, "what is worse is always told");
});
