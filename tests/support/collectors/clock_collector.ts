/**
 * A collector for tests, made of what `mod.ts` gives: sees one event every so many milliseconds of the wall clock.
 *
 * Each event has a number that the time alone gives, so a test knows which there must be. What it sees is in its log, a
 * file of lines, before it is sent; what came while it did not run it never saw, and says so by a gap. It takes the agent's
 * calls (`clock_service.ts`). Told `--lie`, it registers a table that no collector fills; told `--measure`, it writes into
 * LOG.times how long the agent took to acknowledge what it sent and to answer a call (`clock_times.ts`).
 *
 * `clock_collector.ts LOG FIRST PERIOD [--lie] [--measure]`: the log's path, the time of event 0 in Unix milliseconds, the
 * period. Its token is the first line of standard input; name and socket come from the environment, as the supervisor
 * gives them.
 *
 * @module
 */
import {
  blankProcessEvent,
  bootTag,
  Channel,
  CollectorSession,
  execId,
  type Gap,
  joinArgv,
  type ProcessEvent,
  processTables,
  type Registration,
} from "../../../mod.ts";
import { ClockService } from "./clock_service.ts";
import { ClockTimes } from "./clock_times.ts";

type Item = { readonly event: number } | { readonly gap: Gap };

const [path, first, period] = Deno.args;
const FIRST = Number(first), PERIOD_MS = Number(period), RETRY_MS = 100;
const id = Deno.env.get("DAEMONEYE_COLLECTOR_ID")!, socket = Deno.env.get("DAEMONEYE_BROKER_SOCKET")!;
const bootId = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
const token = await readToken();
const registration: Registration = {
  collectorType: "clock",
  domains: ["process"],
  kernelLevel: false,
  realtime: true,
  systemWide: false,
  tables: Deno.args.includes("--lie") ? [{ name: "alerts", version: 1, columns: [] }] : processTables([]),
  heartbeatMs: 1_000,
  keepsLedger: false,
};

const service = new ClockService(id), times = Deno.args.includes("--measure") ? new ClockTimes(`${path}.times`) : null;
const { epoch, items } = openLog();
const numberAt = (time: number): number => Math.floor((time - FIRST) / PERIOD_MS);
const timeOf = (number: number): number => FIRST + number * PERIOD_MS;
let next = 0;
for (const item of items) next = "event" in item ? item.event + 1 : numberAt(item.gap.to);
let session: CollectorSession | null = null, sent = 0, stopping = false;

if (numberAt(Date.now()) > next) {
  const to = numberAt(Date.now()), reason = `events ${next} to ${to - 1} came while it did not run`;
  const gap = { source: "collector", recordKind: "all", from: timeOf(next), to: timeOf(to), count: to - next, reason };
  keep({ gap });
  next = to;
}
const ticking = setInterval(() => {
  for (const now = numberAt(Date.now()); next < now; next++) keep({ event: next });
  send();
}, PERIOD_MS);
Deno.addSignalListener("SIGTERM", () => {
  stopping = true;
  clearInterval(ticking);
  void (session?.leave("told to stop") ?? Promise.resolve()).then(() => Deno.exit(0));
});
while (!stopping) {
  try {
    await serve();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}`);
  }
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

async function serve(): Promise<void> {
  const channel = new Channel(await Deno.connect({ transport: "unix", path: socket }));
  const identity = { collectorId: id, epoch, bootId, softwareVersion: "1", source: "clock" };
  const acknowledged = (sequence: number): void => {
    times?.acknowledged(sequence);
    send();
  };
  const calls = service.answering;
  const joined = await CollectorSession.join(channel, { token, identity, registration, acknowledged, calls });
  session = joined;
  sent = joined.acknowledged;
  times?.connected(channel);
  send();
  try {
    await joined.run();
  } finally {
    session = null;
    times?.disconnected();
  }
}

/** Sends what is in the log and was not sent on this connection, as far as the agent takes it. */
function send(): void {
  if (session === null) return;
  for (; sent < items.length && sent < session.mayReach; sent++) {
    const item = items[sent]!, sequence = sent + 1;
    const message = "event" in item
      ? { kind: "events" as const, firstSequence: sequence, events: [eventOf(item.event)] }
      : { kind: "gap" as const, sequence, gap: item.gap };
    times?.sent(sequence);
    session.send(message).catch(() => {}); // the session's own end says why
  }
}

function eventOf(number: number): ProcessEvent {
  // Each clock has processes of its own.
  const pid = 1_000_000 * id.charCodeAt(id.length - 1) + number;
  return {
    ...blankProcessEvent("start", timeOf(number), execId(bootTag(bootId), pid, number, null), pid),
    name: `${id}-${number}`,
    argv: joinArgv([id, String(number), service.tag]),
    source: "clock",
  };
}

/** On disk as far as a killed process needs it: the kernel has it. */
function keep(item: Item): void {
  Deno.writeTextFileSync(path!, `${JSON.stringify(item)}\n`, { append: true });
  items.push(item);
}

function openLog(): { epoch: string; items: Item[] } {
  let text = "";
  try {
    text = Deno.readTextFileSync(path!);
  } catch {
    // the first start
  }
  // A torn last line is the mark of a kill; what it held is not known to anybody.
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line !== "");
  if (lines.length === 0) lines.push(JSON.stringify(crypto.randomUUID()));
  Deno.writeTextFileSync(path!, lines.map((line) => `${line}\n`).join(""));
  return { epoch: JSON.parse(lines[0]!), items: lines.slice(1).map((line) => JSON.parse(line)) };
}

async function readToken(): Promise<string> {
  const chunks: string[] = [];
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream() as never)) {
    chunks.push(chunk as unknown as string);
  }
  return chunks.join("").trim();
}
