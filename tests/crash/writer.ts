/**
 * A collector without sources: the real outbox, log and publisher, fed with known events as fast as it is told.
 *
 * `writer.ts SETTINGS` with the JSON of {@linkcode WriterSettings}. Says on stdout, line by line, what it was told:
 * `about N R`, then `durable N R` when everything up to its event N is on disk, of which R were refused and counted;
 * `acknowledged EPOCH S`; `notice TEXT`. The line is written before anything else happens, so whoever kills it knows all
 * that it knew. It ends when its stdin does, once everything is delivered.
 *
 * @module
 */
import { LogKeeper } from "../../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../../collector/outbox.ts";
import { Publisher } from "../../collector/publisher.ts";
import { answerRequest } from "../../collector/requests.ts";
import { DiskHome } from "../../collector/wal/home.ts";
import { addKnown } from "./known_events.ts";

export interface WriterSettings {
  readonly wal: string;
  readonly socket: string;
  readonly token: string;
  /** Which life of the writer this is, from 1. */
  readonly life: number;
  /** Events of one step, and milliseconds between two. */
  readonly events: number;
  readonly pauseMs: number;
  /** After so many steps it adds nothing more; 0: never. */
  readonly steps: number;
  readonly totalBytes: number;
  readonly segmentBytes: number;
  readonly memoryBytes: number;
  readonly keepMs: number;
}

const TEND_MS = 250;

async function main(settings: WriterSettings): Promise<void> {
  const { life, events, pauseMs, steps } = settings;
  const keeper = new LogKeeper({
    home: new DiskHome(settings.wal),
    host: "crash-host",
    collectorId: "crash",
    totalBytes: settings.totalBytes,
    segmentBytes: settings.segmentBytes,
    keepMs: settings.keepMs,
    memoryBytes: settings.memoryBytes,
    clock: () => performance.now(),
    now: Date.now,
    gapRecord: refusalRecord,
    notice: (text) => say(`notice ${text}`),
  });
  const outbox = new Outbox(keeper);
  say(`opened ${outbox.epoch} ${outbox.lastSequence} ${outbox.place}`);
  const publisher = new Publisher(outbox, {
    connect: () => Deno.connect({ transport: "unix", path: settings.socket }),
    token: settings.token,
    collectorId: "crash",
    bootId: "c0ffee00-0000-4000-8000-000000000000",
    source: "ebpf",
    checkPeer: () => {},
    answer: (body) => answerRequest(body, "ebpf", () => []),
    notice: (text) => say(`notice ${text}`),
  });
  const publishing = publisher.run();
  let ending = false;
  void (async () => {
    for await (const _ of Deno.stdin.readable) {
      // only its end counts
    }
    ending = true;
  })();

  let number = 0, done = 0, tended = performance.now(), promised = "", acknowledged = 0, epoch = outbox.epoch;
  const begin = outbox.status.refused;
  const flush = (): boolean => {
    const words = `${number} ${outbox.status.refused - begin}`;
    if (words !== promised) say(`about ${words}`);
    if (!outbox.flush()) return false;
    if (words !== promised && keeper.isDurable) say(`durable ${promised = words}`);
    publisher.poke();
    return true;
  };
  for (;;) {
    const isDone = ending || (steps > 0 && done >= steps);
    if (!isDone) {
      addKnown(outbox, life, number + 1, number + events, Date.now());
      number += events;
      done += 1;
    }
    const isFlushed = flush();
    if (outbox.acknowledged !== acknowledged || outbox.epoch !== epoch) {
      acknowledged = outbox.acknowledged;
      epoch = outbox.epoch;
      say(`acknowledged ${epoch} ${acknowledged}`);
    }
    if (performance.now() - tended >= TEND_MS) {
      outbox.tend();
      tended = performance.now();
    }
    if (isDone && ending && isFlushed && outbox.waiting === 0) break;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  await publisher.stop(1_000, "the writer ends");
  await publishing;
  outbox.close();
  const { faults, refused, missing, damaged } = outbox.status;
  say(`ended ${JSON.stringify({ faults, refused, missing, damaged })}`);
  Deno.exit(0);
}

const encoder = new TextEncoder();
/** What a test has writes fail with. */
const FAULTS = ["EIO", "ENOSPC"];

/** A write that a test has fail is done again: what is said counts. */
function say(line: string): void {
  for (let rest = encoder.encode(line + "\n"); rest.length > 0;) {
    try {
      rest = rest.subarray(Deno.stdout.writeSync(rest));
    } catch (error) {
      if (!FAULTS.includes((error as { code?: string }).code ?? "")) throw error;
    }
  }
}

await main(JSON.parse(Deno.args[0]!) as WriterSettings);
