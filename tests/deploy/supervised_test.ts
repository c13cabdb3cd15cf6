/** The supervision of a process, tried on shell scripts that behave badly. */
import assert from "node:assert/strict";
import { Backoff } from "../../deploy/backoff.ts";
import { Guard } from "../../deploy/guard.ts";
import { describeEnd } from "../../deploy/last_end.ts";
import { lines, MAX_LINE_LENGTH } from "../../deploy/lines.ts";
import { Supervised } from "../../deploy/supervised.ts";
import { needs } from "../support/needs.ts";
import { eventually, PATIENCE_MS } from "../support/patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

class Watched {
  readonly guard = new Guard();
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly ends: string[] = [];
  readonly supervised: Supervised;

  constructor(script: string, env: Record<string, string> = {}) {
    this.supervised = new Supervised({
      name: "script",
      command: ["/bin/sh", "-c", script],
      env,
      guard: this.guard,
      onStdout: (line) => this.out.push(line),
      onStderr: (line) => this.err.push(line),
      onEnd: (sentence) => this.ends.push(sentence),
    });
    this.supervised.start();
  }

  async until(holds: () => boolean): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > end) throw new Error(`It did not happen: ${JSON.stringify(this)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    await this.supervised.stop();
    await this.guard.close();
  }
}

Deno.test("Backoff doubles from half a second to half a minute, and forgets after a minute of health", () => {
  const backoff = new Backoff();
  const waits = Array.from({ length: 8 }, () => backoff.after(10));
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  assert.equal(backoff.after(59_999), 30_000);
  assert.equal(backoff.after(60_000), 500);
  assert.equal(backoff.after(10), 1_000);
});

Deno.test("Supervised starts a process again and says how it ended", async () => {
  const watched = new Watched("echo started; exit 7");
  await watched.until(() => watched.out.length >= 2);
  await watched.stop();
  assert.match(watched.ends[0]!, /^the script ended \(exit code 7\); it starts again in 0.5 s$/);
});

Deno.test("Supervised names the signal that ended a process", async () => {
  const watched = new Watched("kill -SEGV $$");
  await watched.until(() => watched.ends.length >= 1);
  await watched.stop();
  assert.match(watched.ends[0]!, /ended \(signal SIGSEGV\)/);
});

Deno.test("Supervised says that a program is missing, and keeps trying", async () => {
  const guard = new Guard(), ends: string[] = [];
  const supervised = new Supervised({
    name: "ghost",
    command: ["/no/such/program"],
    env: {},
    guard,
    onStdout: () => {},
    onStderr: () => {},
    onEnd: (sentence) => ends.push(sentence),
  });
  supervised.start();
  await eventually("it says so", () => ends.length > 0);
  await supervised.stop();
  await guard.close();
  assert.match(ends[0]!, /^the ghost ended \(could not be started: .*\); it starts again in 0.5 s$/);
});

Deno.test("Supervised.stop() lets a process end by itself and does not start it again", async () => {
  const watched = new Watched("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
  await watched.until(() => watched.out.includes("ready"));
  await watched.stop();
  assert.deepEqual(watched.out, ["ready", "bye"]);
  assert.deepEqual(watched.ends, []);
  assert.equal(watched.supervised.pid, null);
});

Deno.test("Supervised.stop() kills a process that does not listen, after its deadline", async () => {
  const watched = new Watched("trap '' TERM; echo ready; exec sleep 60");
  await watched.until(() => watched.out.includes("ready"));
  const began = performance.now();
  await watched.stop();
  const took = performance.now() - began;
  assert.ok(took >= 4_900 && took < 55_000, `${took} ms`);
});

Deno.test("Supervised.stop() ends the wait before a restart", async () => {
  const watched = new Watched("exit 1");
  await watched.until(() => watched.ends.length >= 3); // the next start would be two seconds away
  const { promise, resolve } = Promise.withResolvers<string>(), timer = setTimeout(() => resolve("it waited"), 1_900);
  assert.equal(await Promise.race([watched.stop().then(() => "it ended"), promise]), "it ended");
  clearTimeout(timer);
});

Deno.test("Supervised gives a process no terminal, no standard input and no environment but its own", async () => {
  const watched = new Watched('env; read x || echo "no input"; ps -o sid= -p $$ | tr -d " "; echo $$; echo done', {
    A: "1",
  });
  await watched.until(() => watched.out.includes("done"));
  await watched.stop();
  const [sid, pid] = watched.out.slice(-3, -1);
  assert.equal(sid, pid, "it leads a session of its own");
  assert.ok(watched.out.includes("no input"));
  const variables = watched.out.filter((line) => /^[A-Z_]+=/.test(line)).map((line) => line.split("=")[0]);
  assert.deepEqual(variables.filter((name) => name !== "PWD" && name !== "_" && name !== "OLDPWD"), ["A"]);
});

Deno.test("lines() cuts at newlines, bounds a line, and escapes what a terminal would obey", async () => {
  const encoder = new TextEncoder();
  const stream = ReadableStream.from([
    encoder.encode("one\ntw"),
    encoder.encode("o\n\x1b[31mred\n"),
    encoder.encode("x".repeat(MAX_LINE_LENGTH)),
    encoder.encode("y".repeat(50) + "\nlast"),
  ]);
  const found: string[] = [];
  for await (const line of lines(stream)) found.push(line);
  assert.deepEqual(found, [
    "one",
    "two",
    "\\x1b[31mred",
    `${"x".repeat(MAX_LINE_LENGTH)} (50 more characters)`,
    "last",
  ]);
});

Deno.test("a supervisor killed by SIGKILL leaves no process behind, also none that changed its user", async () => {
  // Its child ignores SIGTERM and has no parent-death signal, as a collector that changed its user.
  const program = `
    import { Guard } from "${ROOT}deploy/guard.ts";
    import { Supervised } from "${ROOT}deploy/supervised.ts";
    const quiet = () => {};
    const supervised = new Supervised({ name: "x", env: {}, guard: new Guard(), onStdout: (l) => console.log(l),
      onStderr: quiet, onEnd: quiet, command: ["/bin/sh", "-c", "trap '' TERM; echo $$; exec sleep 60"] });
    supervised.start();`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, program);
  const supervisor = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-config", file],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = supervisor.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  assert.ok(pid > 1 && alive(pid));
  supervisor.kill("SIGKILL");
  await supervisor.status;
  const end = performance.now() + PATIENCE_MS;
  while (alive(pid)) {
    assert.ok(performance.now() < end, "the process outlived its supervisor");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await reader.cancel();
  await Deno.remove(file);
});

function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

Deno.test("Supervised tells the next run how the last one ended, and the first nothing", async () => {
  const watched = new Watched('echo "[$DAEMONEYE_LAST_END]"; kill -9 $$');
  await watched.until(() => watched.out.length >= 2);
  await watched.stop();
  assert.deepEqual(watched.out.slice(0, 2), ["[]", "[SIGKILL]"]);
});

const LOG =
  '[1.5] audit: type=1326 audit(1.1:2): uid=5 pid=77 comm="deno" exe="/d" sig=31 arch=c000003e syscall=41 compat=0\n';

Deno.test("describeEnd() takes from the kernel's log by which call a process was ended, or says where to look", async () => {
  const end = (log: string | null) => describeEnd({ code: 159, signal: "SIGSYS" }, 77, () => Promise.resolve(log));
  assert.deepEqual(await end(LOG + LOG.replace("41", "425") + LOG.replace("pid=77", "pid=78").replace("41", "9")), {
    words: "signal SIGSYS: the kernel refused it system call 425",
    variable: "SIGSYS 425",
  });
  for (const log of [null, "", LOG.replace("sig=31", "sig=0"), LOG.replace("pid=77", "pid=777")]) {
    const { words, variable } = await end(log);
    assert.equal(variable, "SIGSYS");
    assert.match(words, /ausearch -m SECCOMP -p 77$/);
  }
  assert.deepEqual(await describeEnd({ code: 3, signal: null }, 1), { words: "exit code 3", variable: "code 3" });
});

Deno.test({
  name: "a collector's program that its filter ends is told of with the call, on the terminal and to its next run",
  ...needs({ root: true, audit: true, programs: ["dmesg"] }),
  async fn() {
    const modules = new URL("../../collector/kernel/", import.meta.url).href;
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(
      file,
      `import { installFilter } from "${modules}seccomp.ts";
       import { libc } from "${modules}libc.ts";
       console.log("[" + (Deno.env.get("DAEMONEYE_LAST_END") ?? "") + "]");
       installFilter({ refused: "kill", processes: false });
       libc.syscall(425n, 0n, 0n, 0n, 0n, 0n, 0n);`,
    );
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const watched = new Watched(
      `exec ${Deno.execPath()} run -A -q --no-check --config ${config} ${file}`,
      { DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno` },
    );
    try {
      await watched.until(() => watched.out.length >= 2);
    } finally {
      await watched.stop();
      await Deno.remove(file);
    }
    // An audit daemon takes the records away from the kernel's log.
    const isKnown = watched.out[1] === "[SIGSYS 425]";
    assert.ok(isKnown || watched.out[1] === "[SIGSYS]", watched.out.join());
    assert.match(watched.ends[0]!, isKnown ? /signal SIGSYS: .*system call 425\)/ : /signal SIGSYS: .*ausearch/);
  },
});
