/**
 * `bundle verify`: does every bit of a bundle hold, who has signed it, and what does the ledger in it prove?
 *
 * Nothing is asked but the file, and the keys that were given: it works on any machine.
 *
 * @module
 */
import { type Verdict, verifyLedger } from "../../proto/ledger/directory.ts";
import { sameBytes } from "../../proto/ledger/hash.ts";
import { formatVkey, type NoteKey } from "../../proto/ledger/note.ts";
import { Inputs } from "../audit/inputs.ts";
import { type Call, EXIT, type Exit, UsageError } from "../command.ts";
import { openOutput } from "../output.ts";
import { record, type RecordLine } from "../record.ts";
import { safeJson } from "../safe_json.ts";
import { bytes as byteWords, count, counted, localTime } from "../units.ts";
import { BundleLedger } from "./bundle_ledger.ts";
import { checkEvents, type EventVerdict } from "./event_check.ts";
import { type Manifest, NewerBundleError, rowCounts, type Span } from "./manifest.ts";
import { NOTE_NAME } from "./members.ts";
import { BundleReader } from "./reader.ts";
import { BundleRefusedError } from "./bundle_refused.ts";
import { openSource } from "./source.ts";

interface Refusal {
  readonly member: string;
  readonly reason: string;
}

interface BundleVerdict {
  /** Why it is refused; `null` when everything holds. */
  readonly refused: Refusal | null;
  /** `null` when not even that could be read. */
  readonly manifest: Manifest | null;
  readonly size: number;
  /** Of the keys that were given, whether one is the signer's, and whether one is the ledger's. */
  readonly signerKnown: boolean;
  readonly ledgerKnown: boolean;
  readonly ledger: Verdict | null;
  readonly events: EventVerdict | null;
}

export async function verify(call: Call): Promise<Exit> {
  const [path, extra] = call.arguments;
  if (path === undefined || extra !== undefined) throw new UsageError("bundle verify takes one FILE, or -");
  const keys = new Inputs(call).keys("key");
  using source = openSource(call, path);
  const verdict = await judge(call, keys, () => BundleReader.open(source), source.size);
  call.progress(null);
  show(call, source.name, verdict);
  if (verdict.refused !== null) return EXIT.findings;
  if (keys.length === 0) {
    const { manifest } = verdict;
    call.note(
      manifest!.signer === null && manifest!.ledger === null
        ? "Nobody has signed it: it is whole, and whoever made it may have put anything into it"
        : "The keys are its own word; give those that you know from elsewhere by --key",
    );
  }
  return EXIT.complete;
}

async function judge(
  call: Call,
  keys: readonly NoteKey[],
  open: () => Promise<BundleReader>,
  size: number,
): Promise<BundleVerdict> {
  let verdict: BundleVerdict = {
    refused: null,
    manifest: null,
    size,
    signerKnown: false,
    ledgerKnown: false,
    ledger: null,
    events: null,
  };
  const refuse = (member: string, reason: string): BundleVerdict => ({ ...verdict, refused: { member, reason } });
  try {
    const reader = await open(), { manifest } = reader, signer = manifest.signer;
    verdict = { ...verdict, manifest, signerKnown: signer !== null && keys.some((key) => isSame(key, signer)) };
    checkMembers(call, reader);
    const source = BundleLedger.of(reader);
    const ledger = source === null ? null : await verifyLedger({
      source,
      now: manifest.time,
      progress: (done, signed) => call.progress(`the ledger: verified ${count(done)} of ${count(signed)} entries`),
    });
    const signers = ledger?.keys ?? [];
    verdict = { ...verdict, ledger, ledgerKnown: signers.some((own) => keys.some((key) => isSame(key, own))) };
    if (ledger !== null && ledger.fault !== null) return refuse("ledger", ledger.fault.message);
    if (ledger !== null && ledger.signed !== manifest.ledger!.size) {
      return refuse("ledger", `${count(ledger.signed)} entries are signed, the manifest says ${manifest.ledger!.size}`);
    }
    const stranger = keys.find((key) =>
      ![...signers, ...signer === null ? [] : [signer]].some((own) => isSame(key, own))
    );
    if (stranger !== undefined) {
      return refuse(NOTE_NAME, `${stranger.name} (${stranger.id}) has signed neither the bundle nor the ledger in it`);
    }
    if (ledger === null) return verdict;
    const events = await checkEvents(reader, (done) => call.progress(`held ${count(done)} events against the ledger`));
    verdict = { ...verdict, events };
    if (events.altered === 0) return verdict;
    const words = `${counted(events.altered, "event")} are not as they were logged; the first under entry`;
    return refuse(events.member!, `${words} ${count(events.entry!)} of the ledger`);
  } catch (error) {
    if (error instanceof NewerBundleError) return refuse("the bundle", error.message);
    if (!(error instanceof BundleRefusedError)) throw error;
    return refuse(error.member, error.reason);
  }
}

function isSame(a: NoteKey, b: NoteKey): boolean {
  return a.name === b.name && a.type === b.type && sameBytes(a.publicKey, b.publicKey);
}

/** Hash, length and form of every member, and of every row. @throws BundleRefusedError */
export function checkMembers(call: Call, reader: BundleReader): void {
  const { members } = reader.manifest;
  // Descriptions of tables of which there is no row, too
  void reader.collected;
  for (const [at, member] of members.entries()) {
    call.progress(`checked ${at} of ${counted(members.length, "member")}`);
    if (reader.tableOf(member) === null) reader.content(member);
    else for (const _ of reader.rows(member));
  }
}

function headline({ refused, manifest, signerKnown, ledgerKnown }: BundleVerdict): string {
  if (refused !== null) return `REFUSED: ${refused.member}: ${refused.reason}`;
  const { signer } = manifest!, by = signer === null ? null : `signed by ${signer.name}`;
  if (signerKnown) return `verified, ${by}, whose key was given`;
  const known = ledgerKnown ? ", with a ledger whose key was given" : "";
  return `whole${by === null ? ", not signed" : `, ${by}, whom nobody vouches for here`}${known}`;
}

function show(call: Call, name: string, verdict: BundleVerdict): void {
  const { refused, manifest } = verdict;
  if (call.format === "table") {
    const mark = refused === null ? call.screen.marks.good : call.screen.marks.worst;
    const style = refused === null ? verdict.signerKnown || verdict.ledgerKnown ? "good" : "warning" : "worst";
    return record(call, `${mark} ${headline(verdict)}`, style, manifest === null ? [["bundle", name]] : lines(verdict));
  }
  const machine = machineVerdict(verdict);
  if (call.format === "json") return call.out.write(`${safeJson(machine, 2)}\n`);
  if (call.format === "jsonl") return call.out.write(`${safeJson(machine)}\n`);
  const row = {
    status: machine.status,
    member: refused?.member ?? null,
    reason: refused?.reason ?? null,
    time: manifest?.time ?? null,
    signer: machine.signer,
    signer_known: Number(verdict.signerKnown),
    ledger_known: Number(verdict.ledgerKnown),
    ledger_entries: verdict.ledger?.verified ?? null,
    events_proven: verdict.events?.proven ?? null,
  };
  const output = openOutput(call.format, Object.keys(row), [], call.screen, (text) => call.out.write(text));
  output.add(Object.values(row));
  output.end();
}

function machineVerdict({ refused, manifest, signerKnown, ledgerKnown, ledger, events }: BundleVerdict) {
  return {
    status: refused === null ? "verified" : "refused",
    refused,
    product: manifest?.product ?? null,
    host: manifest?.host ?? null,
    time: manifest?.time ?? null,
    asked: manifest?.asked ?? null,
    given: manifest?.given ?? null,
    lacks: manifest?.lacks ?? [],
    rows: manifest === null ? {} : Object.fromEntries(rowCounts(manifest.members)),
    signer: manifest === null || manifest.signer === null ? null : formatVkey(manifest.signer),
    signer_known: signerKnown,
    ledger: ledger === null ? null : {
      origin: manifest?.ledger?.origin ?? null,
      verified: ledger.verified,
      signed: ledger.signed,
      keys: ledger.keys.map(formatVkey),
      key_known: ledgerKnown,
      fault: ledger.fault?.message ?? null,
    },
    events,
  };
}

function lines({ manifest, size, signerKnown, ledgerKnown, ledger, events }: BundleVerdict): RecordLine[] {
  const { host, product, time, asked, given, members, lacks, signer } = manifest!;
  const rows = [...rowCounts(members)].map(([table, n]) => `${count(n)} ${table}`).join(", ");
  const known = (is: boolean): RecordLine =>
    is ? ["", "a key that was given", "good"] : ["", "its own word", "warning"];
  return [
    ["host", host],
    ["made by", `daemoneye ${product}, of the state at ${localTime(time, "s")}`],
    ["asked for", asked.from === null && asked.until === null ? "everything" : spanWords(asked)],
    ["events", given.from === null ? "none" : spanWords(given)],
    ["rows", rows],
    ["size", `${byteWords(size)}, ${counted(members.length, "member")}`],
    ...lacks.map((lack): RecordLine => ["lacks", lack, "warning"]),
    ["signed by", signer === null ? "nobody" : formatVkey(signer), signer === null ? "warning" : undefined],
    ...signer === null ? [] : [known(signerKnown)],
    ...ledgerLines(manifest!, ledger, ledgerKnown ? known(true) : known(false)),
    ...events === null ? [] : [eventLine(events)],
  ];
}

function ledgerLines(manifest: Manifest, ledger: Verdict | null, known: RecordLine): RecordLine[] {
  if (ledger === null) return [["ledger", manifest.ledger === null ? "none" : "not looked at"]];
  const said =
    `${manifest.ledger!.origin}: ${counted(ledger.verified, "entry", "entries")} hold, ${count(ledger.signed)} ` +
    "signed";
  return [["ledger", said], ...ledger.keys.map((key): RecordLine => ["its key", formatVkey(key)]), known];
}

function eventLine({ proven, partial, uncovered, altered }: EventVerdict): RecordLine {
  const parts = [
    `${counted(proven, "event")} as ${proven === 1 ? "it was" : "they were"} logged`,
    ...partial === 0 ? [] : [`${count(partial)} with others that are not here`],
    ...uncovered === 0 ? [] : [`${count(uncovered)} under no entry`],
    ...altered === 0 ? [] : [`${count(altered)} NOT`],
  ];
  return ["proven", parts.join(", "), altered === 0 ? "good" : "worst"];
}

function spanWords({ from, until }: Span): string {
  const begin = from === null ? "the beginning" : localTime(from, "s");
  return `${begin} to ${until === null ? "the end" : localTime(until, "s")}`;
}
