/** `deno task start` with the real tiers: users, files, signals, restarts, and what it says. */
import assert from "node:assert/strict";
import { ordinaryPlaceOf, placeOf, PLACES } from "../../deploy/place.ts";
import { FIXED_IDS } from "../../deploy/principals.ts";
import { copyCheckout, copyDenoDir, denoForAll, processesWith, Start, succeed } from "../support/checkout.ts";
import { HeldProcess } from "../support/held_process.ts";
import { needs } from "../support/needs.ts";

const asRoot = needs({ root: true, setpriv: true });
const withMounts = needs({ root: true, setpriv: true, mount: true });
const withBpf = needs({ root: true, bpf: true });

/** Ids and capabilities of every thread of a process, each as one line. */
function credentials(pid: number): { users: string[]; groups: string[]; capabilities: string[]; noNewPrivs: string[] } {
  const threads = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) =>
    Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`)
  );
  const all = (
    pattern: RegExp,
  ): string[] => [...new Set(threads.map((text) => pattern.exec(text)?.[1]?.trim() ?? "?"))];
  return {
    users: all(/^Uid:\t(.*)$/m),
    groups: all(/^Gid:\t(.*)$/m),
    capabilities: [...new Set([...all(/^CapEff:\t(.*)$/m), ...all(/^CapPrm:\t(.*)$/m), ...all(/^CapInh:\t(.*)$/m)])],
    noNewPrivs: all(/^NoNewPrivs:\t(.*)$/m),
  };
}

const same = (id: number): string[] => [`${id}\t${id}\t${id}\t${id}`];
const NO_CAPABILITIES = ["0000000000000000"];

let common: Promise<Checkout> | undefined;
Deno.test.afterAll(async () => await (await common)?.[Symbol.asyncDispose]());

/** A copy of the checkout in a directory that only its owner can pass, and everything that is made for it. */
class Checkout implements AsyncDisposable {
  private constructor(readonly directory: string, readonly path: string) {}

  static async make(): Promise<Checkout> {
    const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-start-" }));
    await copyCheckout(`${directory}/checkout`);
    return new Checkout(directory, `${directory}/checkout`);
  }

  /** One in which tests start one after the other, each without state: programs are made once for a checkout. */
  static async common(): Promise<Checkout> {
    const checkout = await (common ??= Checkout.make());
    await Deno.remove(`${checkout.path}/.daemoneye`, { recursive: true }).catch(() => {});
    assert.throws(() => Deno.lstatSync(`${checkout.path}/.daemoneye`), Deno.errors.NotFound);
    await Deno.chmod(checkout.directory, 0o700);
    return checkout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.directory, { recursive: true });
    for (const place of [placeOf(this.path), ordinaryPlaceOf(this.path)]) {
      if (place !== null) await Deno.remove(place, { recursive: true }).catch(() => {});
    }
  }
}

Deno.test({
  name:
    "start as root in a checkout that only root can read: both tiers run unprivileged, and state is in the checkout",
  ignore: withMounts.ignore,
  async fn(t) {
    const checkout = await Checkout.common();
    assert.equal(Deno.statSync(checkout.directory).mode! & 0o777, 0o700);
    await using start = new Start({ checkout: checkout.path });
    await start.connected();
    const collector = start.collectorStatus()!, agent = start.agentStatus()!;

    await t.step("every thread of the tiers has its own user, the bus as its group, and no capability", () => {
      for (const [pid, user] of [[collector.pid, FIXED_IDS.collector], [agent.pid, FIXED_IDS.agent]] as const) {
        const found = credentials(pid);
        assert.deepEqual(found.users, same(user));
        assert.deepEqual(found.groups, same(FIXED_IDS.bus));
        assert.deepEqual(found.capabilities, NO_CAPABILITIES);
        assert.deepEqual(found.noNewPrivs, ["1"]);
      }
    });

    await t.step("files have the owners and modes of docs/privileges.md", () => {
      const look = (path: string): string => {
        const { uid, gid, mode } = Deno.lstatSync(path);
        return `${uid}:${gid} ${(mode! & 0o7777).toString(8)}`;
      };
      const { layout } = start, { agent, bus, collector, reader } = FIXED_IDS;
      assert.equal(look(layout.brokerSocket), `${agent}:${bus} 660`);
      assert.equal(look(layout.token), `0:${bus} 640`);
      assert.equal(look(layout.store), `${agent}:${reader} 640`);
      assert.equal(look(layout.agentStatus), `${agent}:${reader} 640`);
      assert.equal(look(layout.collectorStatus), `${collector}:${reader} 640`);
      assert.equal(look(`${layout.state}/agent.lock`), "0:0 600");
    });

    await t.step("no tier can write what it is started from", async () => {
      const place = placeOf(checkout.path);
      for (const user of [FIXED_IDS.collector, FIXED_IDS.agent]) {
        const asTier = ["--reuid", String(user), "--regid", String(FIXED_IDS.bus), "--clear-groups", "--"];
        // Beside it places of others come and go.
        const own = await succeed("setpriv", ...asTier, "find", place, "-writable", "-not", "-type", "l");
        const above = await succeed("setpriv", ...asTier, "find", PLACES, "-maxdepth", "0", "-writable");
        assert.equal(own + above, "");
      }
    });

    await t.step("the token is in no environment and on no command line", () => {
      const token = Deno.readTextFileSync(start.layout.token).trim();
      for (const pid of [collector.pid, agent.pid, start.process.pid]) {
        for (const file of ["environ", "cmdline"]) {
          assert.ok(!Deno.readTextFileSync(`/proc/${pid}/${file}`).includes(token));
        }
      }
    });

    await t.step("it shows what it watches", async () => {
      await start.until("processes are shown", () => /watching \d+ processes; newest: .+ \(\d+\)/.test(start.stderr));
    });

    await t.step("a second start on the same state says so", async () => {
      await using second = new Start({ checkout: checkout.path });
      assert.equal(await second.ended(), 1);
      assert.match(
        second.stderr,
        /The agent of .*\/\.daemoneye runs already, started by process \d+; stop that first, or use/,
      );
    });

    await t.step("Ctrl-C ends it cleanly and leaves no process and no socket", async () => {
      assert.equal(await start.end("SIGINT"), 0);
      assert.match(start.stderr, /stopping\n[^]*stopped\n$/);
      assert.deepEqual(processesWith(checkout.path), []);
      assert.deepEqual(processesWith(placeOf(checkout.path)), []);
      assert.throws(() => Deno.lstatSync(start.layout.brokerSocket), Deno.errors.NotFound);
    });
  },
});

Deno.test({
  name: "start as root uses the kernel's events from the first process on",
  ignore: withBpf.ignore,
  async fn() {
    const checkout = await Checkout.common();
    await Deno.chmod(checkout.directory, 0o755);
    await using start = new Start({ checkout: checkout.path, args: ["--events"] });
    await start.connected();
    assert.match(start.stderr, /^collector: ebpf: /m);
    assert.doesNotMatch(start.stderr, /cannot pass the way/, "a directory that all can pass needs no namespace");
    await succeed("/bin/true", "seen-by-start");
    await start.until("the process is shown", () => /^start \d+ root \/bin\/true seen-by-start$/m.test(start.stderr));
    await start.until("its end is shown", () => /^stop \d+ root code 0 \/bin\/true seen-by-start$/m.test(start.stderr));
    assert.equal(start.stdout.includes("seen-by-start"), false, "stdout is for alerts");
  },
});

Deno.test("start brings a killed tier back and says why, stops on SIGTERM, and leaves nothing after SIGKILL", async (t) => {
  const checkout = await Checkout.common();
  await Deno.chmod(checkout.directory, 0o755);
  await t.step("a killed agent and a killed collector come back", async () => {
    await using start = new Start({ checkout: checkout.path });
    await start.connected();
    const agent = start.agentStatus()!.pid, collector = start.collectorStatus()!.pid;
    Deno.kill(agent, "SIGKILL");
    Deno.kill(collector, "SIGKILL");
    await start.until("both run again", () => {
      const status = start.collectorStatus();
      return start.agentStatus()!.pid !== agent && status!.pid !== collector && status!.connected;
    });
    assert.match(start.stderr, /the agent ended \(signal SIGKILL\); it starts again in 0.5 s/);
    assert.match(start.stderr, /the collector ended \(signal SIGKILL\); it starts again in 0.5 s/);
    assert.equal(await start.end("SIGTERM"), 0);
  });
  await t.step("SIGKILL of the supervisor ends the tiers", async () => {
    await using start = new Start({ checkout: checkout.path });
    await start.connected();
    const pids = [start.agentStatus()!.pid, start.collectorStatus()!.pid];
    await start.end("SIGKILL");
    await start.until("no tier runs", () => pids.every((pid) => !runs(pid)), true);
  });
  await t.step("a tier that hangs is killed by a second signal", async () => {
    await using start = new Start({ checkout: checkout.path });
    await start.connected();
    const collector = start.collectorStatus()!.pid;
    Deno.kill(collector, "SIGSTOP"); // it will not answer SIGTERM
    start.process.kill("SIGINT");
    await start.until("it stops", () => start.stderr.includes("stopping"));
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    assert.equal(await start.end("SIGINT"), 1, "at once: after the deadline it would be 0");
    await start.until("the collector is gone", () => !runs(collector), true);
  });
});

Deno.test({
  name: "start as an ordinary user runs both tiers as that user and says what is missed",
  async fn(t) {
    await using own = asRoot.ignore ? null : await Checkout.make();
    const checkout = own ?? await Checkout.common();
    const user = asRoot.ignore ? Deno.uid()! : 12345;
    const prefix = asRoot.ignore
      ? []
      : ["/usr/bin/setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--inh-caps=-all", "--"];
    const deno = await denoForAll(`${checkout.directory}/bin`);
    let env = {};
    if (own !== null) {
      await copyDenoDir(`${checkout.directory}/deno_dir`);
      await succeed("chown", "-R", `${user}:${user}`, checkout.directory);
      env = { DENO_DIR: `${checkout.directory}/deno_dir`, HOME: checkout.directory };
    }
    await using start = new Start({ checkout: checkout.path, deno, prefix, env, args: ["--events"] });
    await start.connected();
    await t.step("both tiers are that user without capabilities", () => {
      for (const { pid } of [start.collectorStatus()!, start.agentStatus()!]) {
        const found = credentials(pid);
        assert.deepEqual(found.users, same(user));
        assert.deepEqual(found.capabilities, NO_CAPABILITIES);
      }
    });
    await t.step("it says so, and which sources it could not get and why", () => {
      assert.match(start.stderr, new RegExp(`started as user ${user}, so both tiers run as that user`));
      assert.match(start.stderr, /^collector: no ebpf source: .+/m);
      assert.match(start.stderr, /^collector: missed: .+/m);
    });
    await t.step("it sees processes", async () => {
      await using _ = new HeldProcess("/bin/sleep", ["1000.25"]);
      await start.until("the process is shown", () => /^start \d+ \S+ \/bin\/sleep 1000.25$/m.test(start.stderr));
    });
    await t.step("Ctrl-C ends it", async () => {
      assert.equal(await start.end("SIGINT"), 0);
      assert.deepEqual(processesWith(checkout.path), []);
    });
    await t.step({
      name: "root refuses the state directory that the user left, with the mend",
      ignore: asRoot.ignore,
      async fn() {
        await using refused = new Start({ checkout: checkout.path });
        assert.equal(await refused.ended(), 1);
        assert.match(
          refused.stderr,
          /belongs to user 12345, but this is user 0.*; remove it, or name another directory/,
        );
      },
    });
  },
});

Deno.test({
  name: "start as an ordinary user in a checkout of root's says what to do",
  ignore: asRoot.ignore,
  async fn() {
    await using checkout = await Checkout.make();
    await Deno.chmod(checkout.directory, 0o755);
    await copyDenoDir(`${checkout.directory}/deno_dir`);
    await using start = new Start({
      checkout: checkout.path,
      deno: await denoForAll(`${checkout.directory}/bin`),
      prefix: ["/usr/bin/setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--"],
      env: { DENO_DIR: `${checkout.directory}/deno_dir`, HOME: "/" },
    });
    assert.equal(await start.ended(), 1);
    assert.match(start.stderr, /user 12345 may not write .*; start from a checkout of your own, or name a directory/);
  },
});

Deno.test({
  name: "start as the root of a container does what it can, and says what it cannot",
  ignore: withMounts.ignore,
  async fn(t) {
    const checkout = await Checkout.common();
    const without = (capability: string): string[] => [
      "/usr/bin/setpriv",
      `--bounding-set=-${capability}`,
      "--inh-caps=-all",
      "--",
    ];
    await t.step("no mounting: it says where the state could be", async () => {
      await using start = new Start({ checkout: checkout.path, prefix: without("sys_admin") });
      assert.equal(await start.ended(), 1);
      assert.match(
        start.stderr,
        /^start: The users of the tiers cannot pass the way to .*\(unshare: .*\); keep the state where/,
      );
    });
    await t.step("no change of user: it says what to allow", async () => {
      await using start = new Start({ checkout: checkout.path, prefix: without("setuid") });
      assert.equal(await start.ended(), 1);
      assert.match(
        start.stderr,
        /^start: Started as root, which may not become user 64172 .*\(setpriv: .*\); in a container/,
      );
    });
    await t.step("no right to read every file: the hasher goes on without it and says so", async () => {
      await Deno.chmod(checkout.directory, 0o755);
      await using start = new Start({ checkout: checkout.path, prefix: without("dac_read_search") });
      await start.connected();
      await start.until(
        "the collector knows it",
        () =>
          start.collectorStatus()!.sources.some(({ name, misses }) =>
            name === "hasher" && /the hasher runs without CAP_DAC_READ_SEARCH$/.test(misses.join())
          ),
      );
      assert.match(start.stderr, /^hasher: all \d+ threads run as user 64175 without any capability/m);
      assert.equal(await start.end("SIGINT"), 0);
    });
    await t.step("no eBPF: it takes the next source and says so", async () => {
      await Deno.chmod(checkout.directory, 0o755);
      await using start = new Start({ checkout: checkout.path, prefix: without("bpf,-perfmon,-sys_admin") });
      await start.connected();
      assert.match(start.stderr, /^collector: no ebpf source: /m);
      assert.deepEqual(credentials(start.collectorStatus()!.pid).capabilities, NO_CAPABILITIES);
      assert.equal(await start.end("SIGINT"), 0);
    });
  },
});

Deno.test("start answers a bad flag, a bad setting and a missing parent in words", async (t) => {
  const run = async (...args: string[]): Promise<{ code: number; text: string }> => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", new URL("../../deploy/start.ts", import.meta.url).pathname, ...args],
      stdin: "null",
    }).output();
    return { code, text: new TextDecoder().decode(stderr) };
  };
  await t.step("a flag that there is not", async () => {
    const { code, text } = await run("--verbose");
    assert.equal(code, 2);
    assert.match(text, /--verbose[^]*deno task start \[--state DIR\]/);
  });
  await t.step("a state directory without a parent", async () => {
    const { code, text } = await run("--state", "/no/such/place");
    assert.equal(code, 1);
    assert.equal(text.trim().split("\n").length, 1);
    assert.match(
      text,
      /^start: The state directory \/no\/such\/place cannot be made: \/no\/such does not exist; make it, or/,
    );
  });
  await t.step({
    name: "a configuration that only root can read",
    ignore: asRoot.ignore,
    async fn() {
      const directory = await Deno.makeTempDir();
      await Deno.writeTextFile(`${directory}/mine.yaml`, "collector:\n  source: proc\n");
      const { code, text } = await run("--state", `${directory}/state`, "--config", `${directory}/mine.yaml`);
      assert.equal(code, 1);
      assert.match(
        text,
        /^start: The configuration .*\/mine.yaml cannot be read by user 64172, as which the agent runs; make it/,
      );
      await Deno.remove(directory, { recursive: true });
    },
  });
  await t.step("a setting out of its range", async () => {
    const directory = await Deno.makeTempDir();
    const { code, text } = await run("--state", `${directory}/state`, "--set", "collector.ring_bytes=5");
    assert.equal(code, 1);
    assert.match(text, /^start: flag --set collector.ring_bytes: collector.ring_bytes must be a whole number from/);
    await Deno.remove(directory, { recursive: true });
  });
});

function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
