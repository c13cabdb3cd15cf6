import assert from "node:assert/strict";
import { isSystemPath, type ManagerRun, PackageManagers, whileRan } from "../../collector/package_managers.ts";
import { BLANK_CONTEXT, blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";

const NOW = 1_700_000_000_000;
const ns = (ms: number): number => ms * 1e6;

function start(more: Partial<ProcessEvent> = {}): ProcessEvent {
  return {
    ...blankProcessEvent("start", NOW, "boot-9-1", 9),
    executablePath: "/usr/bin/dpkg",
    executableKind: "file",
    effectiveUserId: 0,
    ...more,
  };
}

Deno.test("what changes while a package manager runs is its doing, and nothing before or after", () => {
  const managers = new PackageManagers();
  assert.equal(managers.during(ns(NOW)), null);
  managers.started(start());
  const run = managers.during(ns(NOW + 60_000));
  assert.deepEqual(run, { name: "dpkg", pid: 9, from: NOW });
  assert.equal(whileRan(run!), "while dpkg (process 9) ran");
  managers.ended(8, NOW + 5);
  managers.ended(9, NOW + 1_000);
  managers.ended(9, NOW + 90_000);
  for (
    const [at, is] of [[-21, false], [-20, true], [0, true], [1_000, true], [1_020, true], [1_021, false]] as const
  ) {
    assert.equal(managers.during(ns(NOW + at)) !== null, is, `${at} ms`);
  }
  assert.equal(managers.during(null), null, "a time that is not known");
  assert.deepEqual(managers.runs(), [{ name: "dpkg", pid: 9, from: NOW, to: NOW + 1_000 }]);
});

Deno.test("a package manager ends with its next program, and when its pid is another's", () => {
  const managers = new PackageManagers();
  managers.started(start());
  managers.started(start({ reason: "fork", pid: 10 })); // a child of it that runs the same
  managers.started(start({ time: NOW + 10, executablePath: "/usr/bin/dpkg-query", reason: "exec" }));
  assert.equal(managers.during(ns(NOW + 100)), null);
  managers.started(start({ time: NOW + 200, reason: "late" }));
  assert.equal(managers.during(ns(NOW + 300)), null, "it has ended, nobody knows when");
  managers.started(start({ time: NOW + 5_000, startTime: NOW + 4_000, reason: "snapshot" }));
  assert.notEqual(managers.during(ns(NOW + 4_500)), null, "it began before the table that shows it");
});

Deno.test("only root's own package manager counts, in the host's mounts and from the place of its package", () => {
  const counts = (more: Partial<ProcessEvent>): boolean => {
    const managers = new PackageManagers();
    managers.started(start(more));
    return managers.during(ns(NOW + 1)) !== null;
  };
  for (const path of ["/usr/bin/rpm", "/usr/bin/pacman", "/sbin/apk", "/usr/bin/zypper", "/usr/bin/dnf5"]) {
    assert.ok(counts({ executablePath: path }), path);
  }
  for (const path of ["/tmp/dpkg", "/usr/local/bin/dpkg", "/srv/root/usr/bin/dpkg", "/usr/bin/apt-get", null]) {
    assert.ok(!counts({ executablePath: path }), String(path));
  }
  assert.ok(!counts({ effectiveUserId: 1_000 }));
  assert.ok(!counts({ effectiveUserId: null }), "not known");
  for (const executableKind of ["foreign", "deleted", "memfd", null] as const) assert.ok(!counts({ executableKind }));
  const script = (scriptPath: string, executablePath: string): boolean =>
    counts({ executablePath, context: { ...BLANK_CONTEXT, scriptPath } });
  assert.ok(script("/usr/bin/dnf", "/usr/bin/python3.11"));
  assert.ok(script("/usr/bin/yum", "/usr/libexec/platform-python3.6"));
  assert.ok(!script("/usr/bin/dnf", "/srv/root/usr/bin/python3.11"), "another root has another dnf");
  assert.ok(!script("/home/me/dnf", "/usr/bin/python3.11"));
  assert.ok(!script("/usr/bin/dnf", "/usr/bin/bash"));
});

Deno.test("runs are bounded: the oldest are forgotten; they can be kept and taken over", () => {
  const managers = new PackageManagers();
  const end = 5_000;
  for (let i = 0; i < end; i++) {
    managers.started(start({ time: NOW + i * 1_000, pid: i + 1 }));
    managers.ended(i + 1, NOW + i * 1_000 + 10);
  }
  assert.equal(managers.endedCount, end);
  const runs = managers.runs();
  assert.equal(runs.length, 4_096);
  assert.deepEqual(runs.map(({ pid }) => pid), Array.from({ length: 4_096 }, (_, i) => end - 4_096 + i + 1));
  assert.equal(managers.during(ns(NOW)), null, "forgotten");
  const next = new PackageManagers();
  next.restore(runs);
  assert.deepEqual(next.runs(), runs);
  assert.equal(next.endedCount, 0, "they are kept already");
  assert.equal(next.during(ns(NOW + 4_999_005))!.pid, end);

  const many = new PackageManagers();
  for (let pid = 1; pid <= 300; pid++) many.started(start({ time: NOW + pid, pid }));
  assert.equal(many.runs().length, 300 - 256, "more at once than any host has: the oldest ended");
  many.endAll(NOW + 1_000);
  assert.equal(many.runs().length, 300);
  assert.equal(many.runs().every(({ from, to }: ManagerRun) => from <= to), true);
});

Deno.test("isSystemPath() takes where packages put programs", () => {
  for (const path of ["/usr/bin/x", "/bin/x", "/opt/x/y", "/usr/local/bin/x", "/etc/init.d/x"]) {
    assert.ok(isSystemPath(path));
  }
  for (const path of ["/home/x", "/tmp/usr/bin/x", "/var/lib/x", "/usrx/y", "/root/bin/x"]) {
    assert.ok(!isSystemPath(path));
  }
});
