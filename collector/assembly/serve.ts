/**
 * The collector's life: what begins and ends when.
 *
 * @module
 */
import { MEMORY_LOOK_MS, MemoryKeeper } from "../../proto/memory.ts";
import { VERSION } from "../../proto/version.ts";
import { giveBackHeap } from "../kernel/heap.ts";
import { bootTimeNs } from "../kernel/libc.ts";
import { describeLastEnd } from "../last_end.ts";
import { settingsChange } from "../ledger/settings_change.ts";
import { describeRedaction } from "../redaction_mode.ts";
import type { CollectorParts } from "./parts.ts";

/** What the start left over is given back when the first events are through. */
const SETTLED_MS = 5_000;
/** With fewer waiting than this, no burst goes on. */
const QUIET_EVENTS = 500;

/** Reads the first process table, observes until it is told to stop, and leaves everything closed. */
export async function serve(parts: CollectorParts): Promise<void> {
  const { observation, recovered, ledger, publisher, hashing, responses } = parts;
  noticeStart(parts);
  stateStart(parts);
  tell(parts, await observation.begin(recovered.known));
  hearSignals(parts);
  keepMemory(parts);
  // Not earlier: watching does not wait for it, and what there is to enter until then waits in memory.
  await ledger.open();
  void ledger.settle();
  const publishing = publisher.run();
  void hashing.run();
  void responses.run();
  await observation.run();
  await end(parts, publishing);
}

function noticeStart({ opened, confined, recovered, observation, inputs: { redaction } }: CollectorParts): void {
  if (redaction.kind !== "keyed") observation.notice(`redaction is ${describeRedaction(redaction)}`);
  for (const { name, reason } of opened.ladder.unavailable) console.error(`collector: no ${name} source: ${reason}`);
  const { witness } = opened;
  if (witness.witness === null) console.error(`collector: completeness is not proven: ${witness.reason}`);
  const lastEnd = describeLastEnd(Deno.env.get("DAEMONEYE_LAST_END"));
  if (confined.notice !== "") observation.notice(confined.notice);
  if (lastEnd !== null) observation.notice(lastEnd);
  for (const notice of recovered.notices) observation.notice(notice);
}

/** What the ledger says of the start. */
function stateStart({ ledger, source, confined, inputs: { settings, layout } }: CollectorParts): void {
  const { kept, proof } = confined;
  const version = VERSION, pid = Deno.pid, rung = source.description.name;
  ledger.say("tierStarted", { tier: "collector", version, pid, source: rung, time: Date.now() });
  const retained = kept.capabilities === 0n ? "" : kept.words;
  ledger.say("confined", { tier: "collector", proof, retained });
  const changed = settingsChange(settings.values, layout.lastSettings);
  if (changed !== null) ledger.say("configurationChanged", changed.statement, changed.entered);
}

function tell({ source, opened, confined }: CollectorParts, processes: number): void {
  const seconds = (bootTimeNs() - opened.begun) / 1e9;
  console.error(`collector: ${source.description.name}: ${source.description.sees}; ${processes} processes now`);
  for (const missed of source.description.misses) console.error(`collector: missed: ${missed}`);
  console.error(`collector: ${confined.proof}; ready after ${seconds.toFixed(2)} s`);
}

function hearSignals({ stopping, observation }: CollectorParts): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stopping.cause !== "") Deno.exit(1); // told twice: leave at once
      stopping.cause = signal;
      observation.stop();
    });
  }
}

function keepMemory({ outbox }: CollectorParts): void {
  const memory = new MemoryKeeper({
    resident: () => Deno.memoryUsage().rss,
    giveBack: giveBackHeap,
    isQuiet: () => outbox.waiting < QUIET_EVENTS,
  });
  setTimeout(() => memory.settle(), SETTLED_MS);
  setInterval(() => memory.look(), MEMORY_LOOK_MS);
}

/** What the sources told goes on to the agent and onto the disk before anything is closed. */
async function end(parts: CollectorParts, publishing: Promise<void>): Promise<void> {
  const { stopping, publisher, outbox, ledger, observation } = parts;
  parts.hashing.stop();
  parts.responses.stop();
  parts.demands.close();
  await publisher.stop(stopping.deadlineMs, "the collector stops");
  await publishing;
  outbox.flush();
  ledger.close(stopping.cause === "" ? "its sources ended" : `it was told to stop, by ${stopping.cause}`);
  observation.sayStopped();
  outbox.close();
  parts.completeness.close();
  parts.source.close();
}
