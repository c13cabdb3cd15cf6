/**
 * The audit ledger in the running product: it verifies, whoever is killed, says what happened, and covers what is stored.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Alert, alertText } from "../../proto/alert.ts";
import { parseCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { checkEventProof, type DigestedEvent, proveEvent } from "../../proto/ledger/event_digest.ts";
import { loadHash } from "../../proto/ledger/hash.ts";
import type { Statements } from "../../proto/ledger/statement.ts";
import { STORED_COLUMNS, storedEvent } from "../../proto/ledger/stored_event.ts";
import type { Anchor } from "../../proto/ledger/verifier.ts";
import { entriesOf, type ReadEntry, verifyOnDisk } from "../support/ledger_on_disk.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const kernel = needs({ root: true, bpf: true });
const HASH = await loadHash("blake3");
const SECRET = /collector: {5}([0-9a-f]{64})\n/g;

async function storm(mark: string, count: number): Promise<void> {
  const loop = `i=0; while [ $i -lt ${count} ]; do /bin/true ${mark} $i; i=$((i+1)); done`;
  await new Deno.Command("/bin/sh", { args: ["-c", loop], stdin: "null" }).output();
}

/** Runs a program from a directory that a shipped rule finds odd. */
async function raiseAlert(): Promise<void> {
  const path = await Deno.makeTempFile({ dir: "/dev/shm", prefix: "implant-" });
  try {
    await Deno.copyFile("/bin/sleep", path);
    await Deno.chmod(path, 0o755);
    await new Deno.Command(path, { args: ["0.01"] }).output();
  } finally {
    await Deno.remove(path);
  }
}

function alertsOf(world: World): Alert[] {
  return Deno.readTextFileSync(world.layout.alertFile).split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line)
  );
}

function statements<A extends keyof Statements>(entries: readonly ReadEntry[], action: A): Statements[A][] {
  return entries.flatMap(({ said }) => said?.action === action ? [said.value as Statements[A]] : []);
}

/** Every event of the store is under a digest that its row gives again. Returns how many were looked at. */
function proveAll(world: World, entries: readonly ReadEntry[]): number {
  const digests = statements(entries, "events");
  const streams = world.query("SELECT stream, epoch FROM collectors");
  let proven = 0;
  for (const { stream, epoch } of streams) {
    const base = Number(stream) * 2 ** 40;
    const rows = world.query(
      `SELECT ${STORED_COLUMNS.join(", ")} FROM process_events WHERE event_id BETWEEN ? AND ? ORDER BY event_id`,
      base,
      base + 2 ** 40 - 1,
    );
    const events = rows.map((row): DigestedEvent => ({
      sequence: Number(row["event_id"]) - base,
      bytes: storedEvent(STORED_COLUMNS.map((name) => row[name]!)),
    }));
    const left = new Set(events.map(({ sequence }) => sequence));
    for (const digest of digests) {
      if (digest.epoch !== epoch) continue;
      const covered = events.filter(({ sequence }) => sequence >= digest.first && sequence <= digest.last);
      if (covered.length === 0) continue;
      for (const { sequence, bytes } of [covered[0]!, covered.at(-1)!]) {
        const proof = proveEvent(HASH, digest, sequence, covered);
        assert.deepEqual(checkEventProof(HASH, digest, sequence, proof), bytes);
      }
      for (const { sequence } of covered) left.delete(sequence);
      proven += covered.length;
    }
    assert.deepEqual([...left], [], `events of epoch ${epoch} that no digest covers`);
  }
  return proven;
}

Deno.test({
  name: "a day in the life of a ledger verifies, covers every event and alert, and its secret is shown once",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      let secret: Uint8Array;
      {
        await using world = await World.start({ state });
        const [shown, ...more] = [...world.stderr.matchAll(SECRET)];
        assert.deepEqual(more, []);
        secret = Uint8Array.fromHex(shown![1]!);
        const { notices } = world.collectorStatus()!;
        assert.ok(!notices.some(({ text }) => text.includes(shown![1]!)), "the secret is in the status");
        await storm("ledgered", 300);
        await raiseAlert();
        await world.until("the alert is delivered", () => alertsOf(world).length > 0, PATIENCE_MS);
        await world.until(
          "the alert is entered",
          () => statements(entriesOf(world.layout.ledger), "alert").length > 0,
          PATIENCE_MS,
        );
        assert.equal(await world.stop(), 0);

        const { ledger, alertFile } = world.layout, entries = entriesOf(ledger);
        const anchors = alertsOf(world).map((alert): Anchor => {
          assert.ok(alert.ledger !== null, `${alert.alertId} in ${alertFile} has no head`);
          return { size: alert.ledger.size, root: Uint8Array.fromBase64(alert.ledger.root) };
        });
        const verdict = await verifyOnDisk(ledger, { anchors, sealSecret: secret });
        assert.equal(verdict.fault, null);
        assert.equal(verdict.verified, entries.length);
        assert.equal(verdict.signed, entries.length);
        assert.ok(verdict.anchored > 0);
        assert.ok(proveAll(world, entries) > 300);
        const digests = statements(entries, "alert").flatMap(({ alerts }) => alerts);
        for (const alert of alertsOf(world)) {
          const digest = digests.find(({ id }) => id === alert.alertId);
          assert.equal(digest?.hash, createHash("sha256").update(alertText(alert)).digest("hex"));
        }
        for (const row of world.query("SELECT * FROM alerts")) assert.notEqual(row["ledger_root"], null);
        const actions = entries.map(({ action, actor }) => `${action} ${actor}`);
        for (
          const action of [
            "genesis ledger",
            "tierStarted collector",
            "tierStarted agent",
            "confined collector",
            "configurationChanged collector",
            "rulesChanged agent",
            "alert agent",
            "tierStopped collector",
          ]
        ) assert.ok(actions.includes(action), `${action} is not among ${actions.join(", ")}`);
      }
      {
        await using world = await World.start({
          state,
          set: ["collector.snapshot_interval_ms=29000", "collector.confinement=re-exec"],
        });
        assert.deepEqual([...world.stderr.matchAll(SECRET)], []);
        await world.until("the agent's end is entered", () => {
          return statements(entriesOf(world.layout.ledger), "tierStopped").some(({ tier }) => tier === "agent");
        }, PATIENCE_MS);
        const draft = "SELECT pid FROM process_events WHERE name = 'nobody'";
        const text = `id: tried\ntitle: T\ndescription: D\nseverity: low\nstatus: draft\nsql: ${draft}\n`;
        Deno.writeTextFileSync(`${world.layout.rules}/tried.yml`, text, { mode: 0o644 });
        Deno.kill(world.agentStatus()!.pid, "SIGHUP");
        await world.until("what was asked for is entered", () => {
          return statements(entriesOf(world.layout.ledger), "request").some(({ what }) => /by SIGHUP/.test(what));
        }, PATIENCE_MS);
        await world.until("the rule that came is entered", () => {
          return statements(entriesOf(world.layout.ledger), "rulesChanged").some(({ drafts }) => drafts === 1);
        }, PATIENCE_MS);
        await world.stop();
        const entries = entriesOf(world.layout.ledger);
        assert.equal((await verifyOnDisk(world.layout.ledger, { sealSecret: secret })).fault, null);
        const changes = (by: string) =>
          statements(entries.filter(({ actor }) => actor === by), "configurationChanged").map(({ changed }) => changed);
        const names = ["collector.confinement", "collector.snapshot_interval_ms"];
        assert.deepEqual(changes("collector"), [null, names]);
        // The agent's store remembers that they are others, and not which.
        assert.deepEqual(changes("agent"), [null, null]);
        const { pid } = world.agentStatus()!;
        const ends = statements(entries, "tierStopped").filter((end) => end.tier === "agent" && end.pid !== pid);
        assert.match(ends[0]!.why, /^it was told to stop, by SIG(INT|TERM)$/);
        assert.deepEqual(statements(entries, "rulesChanged").map(({ drafts }) => drafts), [0, 1]);
      }
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name:
    "a collector that is killed in a storm again and again leaves a ledger that verifies and goes on from what was signed",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start({ set: ["collector.ledger_checkpoint_ms=1000"] });
    const anchors: Anchor[] = [];
    let storming = true;
    const storms = (async () => {
      for (let at = 0; storming; at++) await storm(`killed${at}`, 50);
    })();
    try {
      for (let kill = 0; kill < 4; kill++) {
        const { pid, ledger: { signed } } = world.collectorStatus()!;
        await world.until("a checkpoint was made", () => world.collectorStatus()!.ledger.signed > signed, PATIENCE_MS);
        const { size, root } = parseCheckpoint(Deno.readFileSync(`${world.layout.ledger}/checkpoint`));
        anchors.push({ size, root });
        await raiseAlert();
        Deno.kill(pid, "SIGKILL");
        await world.until("it is there again", () => {
          const status = world.collectorStatus()!;
          return status.pid !== pid && status.connected && status.ledger.state === "on";
        }, PATIENCE_MS);
        const verdict = await verifyOnDisk(world.layout.ledger, { anchors }, true);
        assert.equal(verdict.fault, null, verdict.fault?.message);
        assert.equal(verdict.anchored, size);
      }
    } finally {
      storming = false;
      await storms;
    }
    // The collector may have been killed each time before it had read of the program from the kernel: then there is no
    // alert, and a gap tells of the time. This one nobody kills.
    const before = alertsOf(world).length;
    await raiseAlert();
    await world.until("an alert is delivered", () => alertsOf(world).length > before, PATIENCE_MS);
    await world.until("every alert is entered, once", () => {
      const ids = statements(entriesOf(world.layout.ledger), "alert").flatMap(({ alerts }) =>
        alerts.map(({ id }) => id)
      );
      assert.equal(new Set(ids).size, ids.length, "an alert was entered twice");
      const missing = alertsOf(world).filter(({ alertId }) => !ids.includes(alertId));
      assert.deepEqual(missing.map(({ alertId }) => alertId), [], "alerts that are not entered");
      return true;
    }, PATIENCE_MS);
    await world.stop();
    const entries = entriesOf(world.layout.ledger);
    const verdict = await verifyOnDisk(world.layout.ledger, { anchors });
    assert.equal(verdict.fault, null, verdict.fault?.message);
    assert.equal(statements(entries, "tierStarted").filter(({ tier }) => tier === "collector").length, 5);
    const seen = `${before} of the 4 programs whose collector was killed at once raised an alert`;
    console.log(`${proveAll(world, entries)} events, ${entries.length} entries; ${seen}`);
  },
});

Deno.test({
  name: "a ledger that is broken is left as it is and said, and the collector goes on",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      let directory: string;
      {
        await using world = await World.start({ state });
        directory = world.layout.ledger;
        await world.stop();
      }
      const { size } = Deno.statSync(`${directory}/entries-000000`);
      Deno.truncateSync(`${directory}/entries-000000`, size - 1);
      const before = contentOf(directory);
      await using world = await World.start({ state });
      assert.equal(world.collectorStatus()!.ledger.state, "broken");
      await storm("unledgered", 20);
      await world.until("events are stored", () => {
        return world.count("SELECT count(*) FROM process_events WHERE command_line LIKE '/bin/true unledgered %'") >=
          20;
      });
      const { code, stdout } = await world.cli("health");
      assert.equal(code, 3);
      assert.match(
        stdout,
        /nothing is ledgered: entries-000000 is 1 bytes shorter than what was signed; run audit verify/,
      );
      await world.stop();
      assert.deepEqual(contentOf(directory), before);
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

function contentOf(directory: string): Map<string, Uint8Array> {
  return new Map([...Deno.readDirSync(directory)].map(({ name }) => [name, Deno.readFileSync(`${directory}/${name}`)]));
}
