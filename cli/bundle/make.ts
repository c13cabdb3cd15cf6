/**
 * `bundle`: a state, or a time of it, as one file on standard output.
 *
 * What "now" is comes from the state itself, not from the clock: the newest thing that it knows, unless `--time` says
 * otherwise. So the same state gives the same bytes, and `--since 7d` means the last seven days of what there is.
 *
 * @module
 */
import { PROGRAM } from "../help.ts";
import { VERSION } from "../../proto/version.ts";
import { LedgerDirectory } from "../audit/ledger_directory.ts";
import { momentOption, timeRange } from "../arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import { gapsWithin, lossWords, removedWithin, tellCoverage } from "../coverage.ts";
import { findSettings } from "../settings.ts";
import { readStatuses, statusBytes } from "../status_reader.ts";
import { Store } from "../store_reader.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { bytes as byteWords, count, counted, span, type TimeRange } from "../units.ts";
import { addCollected, addConfiguration, addRules, addStore, hostOf, newestTime } from "./contents.ts";
import { addLedger, type NewestCheckpoint, newestCheckpoint } from "./ledger_copy.ts";
import type { ReadLedger } from "../held_state.ts";
import { formatVkey } from "../../proto/ledger/note.ts";
import { type Manifest, NO_LEDGER } from "./manifest.ts";
import { statusMember } from "./members.ts";
import { MAX_SEED_TEXT, readSigner } from "./note.ts";
import { BundleWriter } from "./writer.ts";

export function makeBundle(call: Call): Exit {
  if (call.screen.columns !== null) {
    throw new UsageError(`A bundle is no text for a terminal; write it to a file: ${PROGRAM} bundle > case.dbundle`);
  }
  if (call.format !== "table") throw new UsageError("A bundle has one form; bundle has no other --format");
  const name = call.values["sign"] as string | undefined;
  const signer = name === undefined ? null : readSigner(name, call.readStdin(MAX_SEED_TEXT));
  const settings = findSettings(call), layout = stateLayout(settings.stateDir);
  using store = Store.open(layout.store);
  const now = call.now(), statuses = readStatuses(layout, now);
  const tiers = (["agent", "collector"] as const).map((tier) => ({ tier, reading: statuses[tier] }));
  const stated = tiers.flatMap(({ reading }) => reading.kind === "read" ? [reading.status.time] : []);
  const time = momentOption(call, "time") ?? Math.max(newestTime(store) ?? 0, ...stated);
  const asked = timeRange({ ...call, now: () => time });
  const range = { from: asked.from, until: Math.min(asked.until ?? time, time) };

  const writer = new BundleWriter((bytes) => call.out.writeBytes(bytes)), began = call.now();
  const told = (table: string, rows: number): void => {
    call.out.flush();
    call.progress(`${table}: ${counted(rows, "row")}, ${byteWords(writer.length)} after ${span(call.now() - began)}`);
  };
  const given = addStore(writer, store, range, told);
  const lacks = [...coverage(store, range), ...store.leftOut, ...addRules(writer, settings.rulesDirs)];
  addConfiguration(writer, settings);
  // A row's time is its collector's word and may be ahead of what is now: only who asks for an end leaves such rows out
  addCollected(writer, store, { from: range.from, until: asked.until }, told);
  for (const { tier } of tiers) {
    const content = statusBytes(tier === "agent" ? layout.agentStatus : layout.collectorStatus);
    if (content instanceof Uint8Array) writer.add(statusMember(tier), content, null);
    else lacks.push(`The status of the ${tier} is left out: ${content.kind === "absent" ? "absent" : content.reason}`);
  }
  const ledger = ledgerOf(call, writer, lacks);
  const head = { product: VERSION, time, host: hostOf(store), asked, given, lacks, ledger };
  writer.end(head, signer);
  call.out.flush();
  call.progress(null);

  for (const lack of lacks) call.note(lack);
  const isBlind = tellCoverage(call, store, statuses, range);
  call.note(`${byteWords(writer.length)} written; check it by: ${PROGRAM} bundle verify FILE`);
  if (signer !== null) call.note(`Signed by ${formatVkey(signer.key)}; give that to whoever is to verify it`);
  return lacks.length > 0 || isBlind ? EXIT.degraded : EXIT.complete;
}

/** What was not seen or kept, as the bundle is to say it wherever it is read. */
function coverage(store: Store, range: TimeRange): string[] {
  const gaps = gapsWithin(store, range), removed = removedWithin(store, range), lacks: string[] = [];
  const at = (time: number): string => new Date(time).toISOString();
  if (gaps !== null) {
    const loss = lossWords(gaps);
    lacks.push(
      `Not everything was seen: ${counted(gaps.gaps, "gap")} from ${at(gaps.from)} to ${at(gaps.to)}` +
        (loss === "" ? "" : `, ${loss}`),
    );
  }
  if (removed !== null) {
    const reach = removed.to === null ? "" : ` up to ${at(removed.to)}`;
    lacks.push(`Not everything was kept: ${count(removed.events)} events${reach} had been removed`);
  }
  return lacks;
}

/** The ledger in its place; `null` where there is none that could be read. */
function ledgerOf(call: Call, writer: BundleWriter, lacks: string[]): Manifest["ledger"] {
  if (call.values["no-ledger"] === true) return null;
  let source: ReadLedger;
  let checkpoint: NewestCheckpoint;
  try {
    source = LedgerDirectory.of(call);
    checkpoint = newestCheckpoint(source);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    lacks.push(`${NO_LEDGER}${error.message}`);
    return null;
  }
  try {
    addLedger(writer, source, checkpoint, (text) => {
      call.out.flush();
      call.progress(text);
    });
    const { origin, size, root } = checkpoint;
    return { origin, size, root: root.toBase64() };
  } finally {
    source[Symbol.dispose]();
  }
}
