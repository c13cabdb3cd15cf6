/**
 * SIGKILL, again and again, on the real collector of a whole system under a storm of processes.
 *
 * After each kill its log is read as it was left: everything in it must be stored in the end, under whatever it was seen,
 * and nothing twice; the numbers have no hole; and for the time that nobody looked there is a gap. Needs root and eBPF.
 *
 * @module
 */
import { LogKeeper } from "../../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../../collector/outbox.ts";
import { readHostName } from "../../collector/host_name.ts";
import { DiskHome } from "../../collector/wal/home.ts";
import { TempDir } from "../agent/support.ts";
import { Random } from "../fuzz/random.ts";
import { messages } from "../support/test_log.ts";
import { newStateDirectory, World } from "../support/world.ts";

const PATIENCE_MS = 90_000;
/** The supervisor waits longer after each end: after so many it is started anew itself. */
const KILLS_OF_ONE_SUPERVISOR = 4;
/** A collector lives at most so long in the storm. */
const MAX_LIFE_MS = 1_500;

export interface CollectorCycles {
  readonly killed: number;
  /** Events that the logs of killed collectors held. */
  readonly left: number;
  /** Of those, the ones that are not stored; and events that are stored twice. */
  readonly lost: number;
  readonly doubled: number;
  /** Numbers that the agent never got. */
  readonly holes: number;
  readonly stored: number;
  /** Gaps for the times without a collector. */
  readonly gaps: number;
}

export const TWICE = `SELECT exec_id, event_type, count(*) AS n FROM process_events
  WHERE event_type IN ('start', 'stop') GROUP BY exec_id, event_type HAVING n > 1`;

/** Runs so many cycles. @throws when something that must happen does not */
export async function collectorCycles(
  cycles: number,
  seed: number,
  say: (text: string) => void,
): Promise<CollectorCycles> {
  const random = new Random(seed), state = await newStateDirectory(), left = new Set<string>();
  let killed = 0;
  try {
    const counts = async (): Promise<Omit<CollectorCycles, "killed" | "left">> => {
      await using world = await World.start({ state });
      await delivered(world);
      await world.until("each kill is a gap", () => gapsOf(world) >= killed, PATIENCE_MS);
      const stored = new Set(
        world.query("SELECT exec_id || ' ' || event_type AS name FROM process_events").map(({ name }) => String(name)),
      );
      return {
        lost: [...left].filter((name) => !stored.has(name)).length,
        doubled: world.query(TWICE).length,
        holes: world.count("SELECT coalesce(sum(count), 0) FROM gaps WHERE source = 'transport'"),
        stored: stored.size,
        gaps: gapsOf(world),
      };
    };
    while (killed < cycles) {
      await using world = await World.start({ state });
      using _ = new Storm();
      for (let i = 0; i < KILLS_OF_ONE_SUPERVISOR && killed < cycles; i++) {
        await new Promise((resolve) => setTimeout(resolve, random.below(MAX_LIFE_MS)));
        const { pid } = world.collectorStatus()!, before = left.size;
        // Half of them die while the agent stands still, so that much waits.
        const agent = random.chance(0.5) ? world.agentStatus()!.pid : null;
        if (agent !== null) {
          Deno.kill(agent, "SIGSTOP");
          await new Promise((resolve) => setTimeout(resolve, 200 + random.below(MAX_LIFE_MS)));
        }
        world.supervisor.kill("SIGSTOP");
        try {
          Deno.kill(pid, "SIGKILL");
          await gone(pid);
          for (const name of readLog(world.layout.wal)) left.add(name);
          killed += 1;
        } finally {
          world.supervisor.kill("SIGCONT");
          if (agent !== null) Deno.kill(agent, "SIGCONT");
        }
        await world.until("another collector is connected", () => {
          const status = world.collectorStatus()!;
          return status.pid !== pid && status.connected;
        }, PATIENCE_MS);
        say(`kill ${killed}: the log held ${left.size - before} events more`);
      }
    }
    return { killed, left: left.size, ...await counts() };
  } finally {
    await Deno.remove(state, { recursive: true });
  }
}

function gapsOf(world: World): number {
  return world.count("SELECT count(*) FROM gaps WHERE reason LIKE 'the collector ended without a word%'");
}

/** When the agent has everything up to now. */
async function delivered(world: World): Promise<void> {
  const { lastSequence } = world.collectorStatus()!;
  await world.until(
    "all is stored",
    () => world.collectorStatus()!.acknowledgedSequence >= lastSequence,
    PATIENCE_MS,
  );
}

/** A killed process is there until the supervisor, which stands still, has looked: but then it is a zombie. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => ") Z");
    if (stat.slice(stat.lastIndexOf(")")).startsWith(") Z")) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Events of a log that nobody writes, from a copy of it. */
function readLog(wal: string): string[] {
  using directory = new TempDir();
  const place = `${directory.path}/wal`;
  const { success } = new Deno.Command("cp", { args: ["-r", wal, place] }).outputSync();
  if (!success) throw new Error(`${wal} cannot be copied`);
  const outbox = new Outbox(
    new LogKeeper({
      home: new DiskHome(place),
      host: readHostName(),
      collectorId: "procmond",
      totalBytes: 268_435_456,
      segmentBytes: 8_388_608,
      keepMs: 3_600_000,
      memoryBytes: 33_554_432,
      clock: () => performance.now(),
      now: Date.now,
      gapRecord: refusalRecord,
      notice: () => {},
    }),
  );
  outbox.flush();
  try {
    return messages(outbox, 0).flatMap((message) =>
      message.kind === "events" ? message.events.map(({ execId, kind }) => `${execId} ${kind}`) : []
    );
  } finally {
    outbox.close();
  }
}

/** Processes that begin and end without end, two at a time. */
class Storm implements Disposable {
  readonly #shells = Array.from({ length: 2 }, () =>
    new Deno.Command("/bin/sh", {
      args: ["-c", "while :; do /bin/true storm; done"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn());

  [Symbol.dispose](): void {
    for (const shell of this.#shells) shell.kill("SIGKILL");
  }
}
