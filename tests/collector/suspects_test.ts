/**
 * Suspicious behaviour, done for real and seen by the best source; and ordinary work, in which there is none.
 */
import assert from "node:assert/strict";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { readBootId } from "../../collector/kernel/procfs.ts";
import { openEbpfSource } from "../../collector/sources/ebpf.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { compileC } from "../support/compile_c.ts";
import { needs } from "../support/needs.ts";

const PATIENCE_MS = 10_000;
const SUSPECTS = await Deno.readTextFile(new URL("../support/c/suspects.c", import.meta.url));
const USER = 64_321;

/** The best source and a lifecycle, and of its events those about descendants of one process. */
class Watch {
  readonly #source = openEbpfSource({ ringBytes: 32 << 20, environment: [] });
  readonly #lifecycle = new Lifecycle({ bootId: readBootId(), source: this.#source });
  readonly #events: ProcessEvent[] = [];

  static async open(): Promise<Watch> {
    const watch = new Watch();
    watch.#lifecycle.baseline(await watch.#source.snapshot());
    return watch;
  }

  /** Runs a command, and returns the events of it and of all that it starts. */
  async run(command: string, args: string[], options: Deno.CommandOptions = {}): Promise<ProcessEvent[]> {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "piped", ...options })
      .spawn();
    let ended = false;
    const output = child.output().finally(() => ended = true);
    const isStop = (event: ProcessEvent): boolean => event.kind === "stop" && event.pid === child.pid;
    let deadline = Infinity;
    while (!this.#events.some(isStop)) {
      await this.#take();
      if (ended && deadline === Infinity) deadline = performance.now() + PATIENCE_MS;
      assert.ok(performance.now() < deadline, "the end of the command is seen");
    }
    const { success, stderr } = await output;
    assert.ok(success, `${command}: ${new TextDecoder().decode(stderr)}`);
    assert.equal(this.#source.counters().lost.exec, 0);
    // A fork without a program is told after its children.
    const events = this.#events.splice(0), pids = new Set([child.pid]);
    for (let known = 0; known < pids.size;) {
      known = pids.size;
      for (const { pid, ppid } of events) if (ppid !== null && pids.has(ppid)) pids.add(pid);
    }
    return events.filter(({ pid }) => pids.has(pid));
  }

  [Symbol.dispose](): void {
    this.#source.close();
  }

  async #take(): Promise<void> {
    await this.#source.wait(50);
    this.#source.drain((record) => this.#lifecycle.receive(record));
    this.#events.push(...this.#lifecycle.flush(Date.now()).events);
  }
}

function marks(events: readonly ProcessEvent[]): string[] {
  return events.filter((e) => e.kind === "suspicious").map((e) => `${e.severity}: ${e.reason}`);
}

Deno.test({
  name: "each suspicious behaviour is produced for real and told once, with its reason",
  ...needs({ root: true, bpf: true, programs: ["gcc"] }),
  async fn() {
    await using compiled = await compileC(SUSPECTS);
    // Where not everybody may write.
    const directory = await Deno.makeTempDir({ dir: "/var/lib", prefix: "daemoneye-test-" });
    const shared = await Deno.makeTempDir({ dir: "/tmp" });
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using watch = await Watch.open();
    try {
      await Deno.chmod(directory, 0o755);
      const suspects = `${directory}/suspects`, lent = `${directory}/lent`;
      for (const path of [suspects, lent]) {
        await Deno.copyFile(compiled.path, path);
        await Deno.chmod(path, 0o755);
      }
      await Deno.copyFile("/bin/true", `${shared}/true`);
      const run = async (...args: string[]): Promise<string[]> => marks(await watch.run(suspects, args));

      assert.deepEqual(await run("memory", "/bin/true"), [
        "high: it runs from memory (memfd:suspect), not from a file",
      ]);
      assert.deepEqual(await run("deleted", "/bin/true", `${directory}/gone`), [
        `high: it runs from ${directory}/gone, which was deleted before`,
      ]);
      assert.deepEqual(marks(await watch.run(`${shared}/true`, [])), [
        `medium: it runs from /tmp, where everybody may write: ${shared}/true`,
      ]);
      const [disguised, ...more] = await run("disguise", "/bin/true");
      assert.match(disguised!, /^high: its arguments are those of a kernel thread, but it runs \/(usr\/)?bin\/true$/);
      assert.deepEqual(more, []);
      const { port } = listener.addr as Deno.NetAddr;
      assert.deepEqual(await run("network", String(port), "/bin/sh"), [
        "high: it is a shell, and its standard input is a socket of the network (address family 2)",
      ]);
      (await listener.accept()).close();
      assert.deepEqual(await run("local", "/bin/sh"), [], "a socket within the host is everyday");
      assert.deepEqual(await run("lend", lent), []);
      assert.deepEqual(await run("become", String(USER), lent, "gain", "/bin/true"), [
        `high: it became root out of user ${USER}, and its file sets no user`,
      ]);
      assert.deepEqual(await run("become", String(USER), "/bin/su", "--version"), [], "su sets its user");
    } finally {
      await Deno.remove(directory, { recursive: true });
      await Deno.remove(shared, { recursive: true });
    }
  },
});

/** A package with scripts, a build, version control, shells, archives, a log rotated, a job given to a server's child. */
const ORDINARY = `
set -eu
mkdir -p package/DEBIAN package/usr/share/daemoneye-test; cd package
printf 'Package: daemoneye-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <n@example>\\nDescription: test\\n' > DEBIAN/control
printf '#!/bin/sh\\nset -e\\ncat /etc/passwd | sort | head -3 > /dev/null\\n' > DEBIAN/postinst; chmod 755 DEBIAN/postinst
cp DEBIAN/postinst DEBIAN/prerm; echo hello > usr/share/daemoneye-test/file; cd ..
dpkg-deb --build package test.deb > /dev/null
dpkg -i test.deb > /dev/null; dpkg -s daemoneye-test > /dev/null; dpkg -P daemoneye-test > /dev/null
apt-get -qq -s install coreutils > /dev/null
mkdir build; cd build
for name in one two three; do printf 'int %s(void) { return 1; }\\n' $name > $name.c; done
printf 'int one(void); int main(void) { return one() - 1; }\\n' > main.c
printf 'all: program\\n\\t./program\\nprogram: main.o one.o two.o three.o\\n\\tgcc -o program $^\\nclean:\\n\\trm -f *.o program\\n' > Makefile
make -j2 > /dev/null; make clean > /dev/null; cd ..
git init -q repository; cd repository
git config user.email n@example; git config user.name n
cp ../build/*.c .; git add .; git commit -qm first; git checkout -qb other; echo >> one.c; git commit -qam second
git checkout -q -; git merge -q other; git log --oneline > /dev/null; git gc -q; cd ..
git clone -q repository clone
(for i in 1 2 3; do echo "$i" | tr 1 2 | sed s/2/3/ | awk '{ print $1 }'; done) > log
printf '#!/bin/bash\\ntrue\\n' > script; chmod 755 script; ./script; bash script; env -i /bin/sh -c 'true; id > /dev/null'
mv log log.1; : > log; gzip log.1; tar czf all.tgz build repository; tar tzf all.tgz > /dev/null
find . -name '*.c' -exec grep -l main {} + > /dev/null
su nobody -s /bin/sh -c 'id > /dev/null'
crontab -l > /dev/null 2>&1 || true
if command -v npx > /dev/null; then npx --version > /dev/null; fi
if command -v node > /dev/null; then node -e 'require("child_process").execSync("id; true")'; fi
if command -v logrotate > /dev/null; then
  echo "$PWD/log { copytruncate
compress
postrotate
true
endscript
}" > rotate.conf; chmod 644 rotate.conf; logrotate -f -s "$PWD/state" rotate.conf || true
fi
t=$(mktemp); printf '#!/bin/sh\\ntrue\\n' > "$t"; chmod 700 "$t"; "$t"; rm "$t"
`;

Deno.test({
  name: "a stretch of ordinary work is told without anything above low",
  ...needs({ root: true, bpf: true, programs: ["gcc", "make", "git", "dpkg-deb", "apt-get", "su"] }),
  async fn() {
    const directory = await Deno.makeTempDir({ dir: "/var/lib", prefix: "daemoneye-test-" });
    using watch = await Watch.open();
    try {
      const events = await watch.run("bash", ["-c", ORDINARY], { cwd: directory });
      const programs = new Set(events.filter((e) => e.kind === "start" && e.reason !== "fork").map((e) => e.name));
      const found = events.filter((e) => e.kind === "suspicious");
      console.log(
        `ordinary work: ${events.length} events of ${programs.size} programs: ${[...programs].sort().join(" ")}`,
      );
      console.log(`suspicious in it: ${marks(found).join("; ") || "nothing"}`);
      for (
        const name of ["dpkg", "daemoneye-test.", "apt-get", "make", "cc1", "ld", "git", "su", "gzip", "tar", "sed"]
      ) {
        assert.ok(programs.has(name), `${name} was seen`);
      }
      assert.deepEqual(marks(found.filter(({ severity }) => severity !== "low" && severity !== "info")), []);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});
