/**
 * `audit verify`: does the ledger hold, and how far does what was kept elsewhere vouch for it?
 *
 * @module
 */
import { parseCheckpoint, type SignedCheckpoint, verifyCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { type Verdict, verifyLedger } from "../../proto/ledger/directory.ts";
import { HASH_BYTES } from "../../proto/ledger/hash.ts";
import { CHECKPOINT_NAME } from "../../proto/ledger/layout.ts";
import { formatVkey, MAX_NOTE_BYTES, type NoteKey } from "../../proto/ledger/note.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type Call, EXIT, type Exit } from "../command.ts";
import { openOutput } from "../output.ts";
import { record, type RecordLine } from "../record.ts";
import { safeJson } from "../safe_json.ts";
import type { Style } from "../screen.ts";
import { count, counted, localTime, span } from "../units.ts";
import type { ReadLedger } from "../held_state.ts";
import { Inputs, type KeptHead } from "./inputs.ts";
import { LedgerDirectory } from "./ledger_directory.ts";

/** What came of a head that was kept. */
interface CheckedHead extends KeptHead {
  /** Why it does not vouch for this ledger; `null` when it does. */
  readonly problem: string | null;
  /** Names of keys that have signed it. */
  readonly signedBy: readonly string[];
  /** Nobody who is known yet has signed it. */
  readonly unknown: boolean;
}

/** The largest tree that a witness has cosigned, of those that were given. */
interface WitnessWord {
  readonly key: NoteKey;
  readonly size: number | null;
  /** Unix milliseconds. */
  readonly time: number | null;
}

type Status = "verified" | "tail-unproven" | "unwitnessed" | "broken" | "refused";

interface AuditReport {
  readonly verdict: Verdict;
  readonly heads: readonly CheckedHead[];
  readonly witnesses: readonly WitnessWord[];
  readonly status: Status;
  /** Whether seals could be checked. */
  readonly secretGiven: boolean;
}

const STYLES: Readonly<Record<Status, Style>> = {
  verified: "good",
  "tail-unproven": "warning",
  unwitnessed: "warning",
  broken: "worst",
  refused: "worst",
};

export async function verify(call: Call): Promise<Exit> {
  const inputs = new Inputs(call), keys = inputs.keys("key"), witnesses = inputs.keys("witness");
  const kept = inputs.heads(), sealSecret = inputs.secret();
  using source = LedgerDirectory.of(call);
  const first = firstKey(source), trusted = first === null ? keys : [...keys, first];
  // What is not this ledger's own cannot speak against it. Who else may have signed is known when it is verified.
  const early = await Promise.all(kept.map((head) => checkHead(head, first, trusted, witnesses)));
  const verdict = await verifyLedger({
    source,
    now: call.now(),
    keys: [...keys, ...witnesses],
    anchors: early.filter(({ problem, unknown }) => problem === null || unknown),
    sealSecret,
    progress: (done, signed) => call.progress(`verified ${count(done)} of ${count(signed)} entries`),
  });
  sealSecret?.fill(0);
  const known = [...trusted, ...verdict.keys];
  const heads = await Promise.all(kept.map((head) => checkHead(head, first, known, witnesses)));
  const words = await Promise.all(witnesses.map((key) => wordOf(key, heads, verdict, source)));
  const status = statusOf(verdict, heads, words), secretGiven = sealSecret !== null;
  const report = { verdict, heads, witnesses: words, status, secretGiven };
  show(call, report);
  switch (report.status) {
    case "verified":
      return EXIT.complete;
    case "tail-unproven":
    case "unwitnessed":
      return EXIT.degraded;
    case "broken":
    case "refused":
      return EXIT.findings;
  }
}

function statusOf(verdict: Verdict, heads: readonly CheckedHead[], witnesses: readonly WitnessWord[]): Status {
  if (verdict.fault !== null) return "broken";
  if (heads.some(({ problem }) => problem !== null)) return "refused";
  if (verdict.stale) return "tail-unproven";
  return witnesses.some(({ size }) => size === null) ? "unwitnessed" : "verified";
}

/** The key that the ledger began with; `null` when the header cannot be read, which the verdict says. */
function firstKey(source: ReadLedger): NoteKey | null {
  try {
    return readHeader(source).key;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** Root and size of heads are compared while the ledger is verified; here it is who has signed them. */
async function checkHead(
  head: KeptHead,
  first: NoteKey | null,
  keys: readonly NoteKey[],
  witnesses: readonly NoteKey[],
): Promise<CheckedHead> {
  const { checkpoint } = head,
    is = (problem: string | null, signedBy: readonly string[] = []): CheckedHead => {
      return { ...head, problem, signedBy, unknown: false };
    };
  if (checkpoint === null) return is(null);
  if (first !== null && checkpoint.origin !== first.name) {
    return is(`it is of ${checkpoint.origin}, and this ledger is of ${first.name}`);
  }
  const bySome = (list: readonly NoteKey[]): boolean =>
    list.some(({ name, id }) => checkpoint.note.signatures.some((each) => each.name === name && each.id === id));
  if (!bySome(keys)) return { ...is("no key of this ledger has signed it"), unknown: true };
  try {
    const signatures = await verifyCheckpoint(checkpoint, [...keys, ...witnesses]);
    return is(null, signatures.map(({ key }) => `${key.name} (${key.id})`));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return is(error.message);
  }
}

/** What a witness has cosigned: heads that were kept, and the checkpoint that lies with the ledger. */
async function wordOf(
  key: NoteKey,
  heads: readonly CheckedHead[],
  verdict: Verdict,
  source: ReadLedger,
): Promise<WitnessWord> {
  const checkpoints = heads.flatMap(({ checkpoint, problem }) => {
    return checkpoint === null || problem !== null ? [] : [checkpoint];
  });
  if (verdict.fault === null) checkpoints.push(publishedCheckpoint(source));
  let best: WitnessWord = { key, size: null, time: null };
  for (const checkpoint of checkpoints) {
    const time = await cosignedAt(checkpoint, key);
    if (time !== null && checkpoint.size > (best.size ?? -1)) best = { key, size: checkpoint.size, time: time * 1_000 };
  }
  return best;
}

/** The checkpoint that was verified: the file is still open. */
function publishedCheckpoint(source: ReadLedger): SignedCheckpoint {
  const bytes = new Uint8Array(MAX_NOTE_BYTES);
  return parseCheckpoint(bytes.subarray(0, source.read(CHECKPOINT_NAME, 0, bytes)));
}

async function cosignedAt(checkpoint: SignedCheckpoint, key: NoteKey): Promise<number | null> {
  try {
    return (await verifyCheckpoint(checkpoint, [key]))[0]!.time;
  } catch (error) {
    if (error instanceof WireError) return null; // a wrong one has been told already
    throw error;
  }
}

/** `verified to N, anchored to M, tail unproven for T`. */
function sentence({ verified, anchored, unprovenMs, fault }: Verdict): string {
  if (fault !== null) return `verified to ${count(verified)}, anchored to ${count(anchored)}`;
  const tail = unprovenMs === null
    ? "nothing from outside of this host proves any of it"
    : `tail unproven for ${span(unprovenMs)}`;
  return `verified to ${count(verified)}, anchored to ${count(anchored)}, ${tail}`;
}

function headline({ verdict, heads, witnesses, status }: AuditReport): string {
  const held = sentence(verdict);
  switch (status) {
    case "broken":
      return `BROKEN: ${verdict.fault!.message}; ${held}`;
    case "refused": {
      const { name, problem } = heads.find((head) => head.problem !== null)!;
      return `REFUSED: ${name} does not vouch for this ledger: ${problem}; ${held}`;
    }
    case "tail-unproven":
      return `TAIL-UNPROVEN: the last seal is older than two epochs; ${held}`;
    case "unwitnessed":
      return `UNWITNESSED: ${witnesses.find(({ size }) => size === null)!.key.name} has cosigned nothing here; ${held}`;
    case "verified":
      return held;
  }
}

function show(call: Call, report: AuditReport): void {
  if (call.format === "table") return showTable(call, report);
  const machine = machineReport(report);
  if (call.format === "json") return call.out.write(`${safeJson(machine, 2)}\n`);
  if (call.format === "jsonl") return call.out.write(`${safeJson(machine)}\n`);
  const { status, verified, anchored, signed, sealed, tail_unproven_ms, stale, fault } = machine;
  const row = {
    status,
    verified,
    anchored,
    signed,
    sealed,
    tail_unproven_ms,
    stale: Number(stale),
    first_bad_entry: fault?.sequence ?? null,
    reason: fault?.reason ?? null,
    text: headline(report),
  };
  const output = openOutput(call.format, Object.keys(row), [], call.screen, (text) => call.out.write(text));
  output.add(Object.values(row));
  output.end();
}

function machineReport({ verdict, heads, witnesses, status }: AuditReport) {
  const { fault, header, keys } = verdict;
  return {
    status,
    ledger: header === null ? null : {
      id: header.id.toHex(),
      origin: header.key.name,
      host: header.host,
      hash: header.hash,
      created: header.created,
      epoch_ms: header.epochMs,
    },
    verified: verdict.verified,
    anchored: verdict.anchored,
    signed: verdict.signed,
    sealed: verdict.sealed,
    tail_unproven_ms: verdict.unprovenMs,
    stale: verdict.stale,
    fault: fault === null ? null : { reason: fault.reason, sequence: fault.sequence, text: fault.message },
    keys: keys.map(formatVkey),
    key_known: verdict.keyKnown,
    against: heads.map(({ name, size, root, signedBy, problem }) => {
      return { name, size, root: root.toHex(), signed_by: signedBy, problem };
    }),
    witnesses: witnesses.map(({ key, size, time }) => ({ key: formatVkey(key), size, time })),
    remarks: verdict.remarks,
  };
}

function showTable(call: Call, report: AuditReport): void {
  const { verdict, heads, witnesses, status, secretGiven } = report;
  const { header, keys, fault } = verdict, { marks } = call.screen;
  const mark = status === "verified" ? marks.good : STYLES[status] === "warning" ? marks.bad : marks.worst;
  const lines: RecordLine[] = [];
  if (header !== null) {
    lines.push(["host", header.host], ["ledger", `${header.key.name}, begun ${localTime(header.created, "s")}`]);
    lines.push(["proofs", `${header.hash}, hashes of ${HASH_BYTES} bytes`]);
  }
  if (keys.length > 0) {
    lines.push(["key", formatVkey(keys.at(-1)!)]);
    if (verdict.keyKnown) lines.push(["", "known from elsewhere", "good"]);
    if (keys.length > 1) {
      lines.push(["", `changed ${counted(keys.length - 1, "time")}, each key signed by the one before`]);
    }
  }
  lines.push([
    "verified",
    `the first ${counted(verdict.verified, "entry", "entries")}, ${count(verdict.signed)} signed`,
  ]);
  if (fault !== null) lines.push(["fault", fault.message, "worst"]);
  for (const { name, size, signedBy, problem } of heads) {
    const by = signedBy.length === 0 ? "" : `, signed by ${signedBy.join(", ")}`;
    if (problem !== null) lines.push(["against", `${name}: ${problem}`, "worst"]);
    else if (fault === null) lines.push(["against", `${name}: holds for the first ${count(size)}${by}`, "good"]);
  }
  for (const { key, size, time } of witnesses) {
    const said = size === null
      ? "has cosigned neither the checkpoint of this ledger nor one of --against"
      : `cosigned the first ${count(size)} at ${localTime(time!, "s")}`;
    lines.push(["witness", `${key.name}: ${said}`, size === null ? "warning" : "good"]);
  }
  if (header !== null && fault === null) {
    const seals = verdict.sealed > 0
      ? `the first ${count(verdict.sealed)}, checked with the keys of their epochs (${span(header.epochMs)} each)`
      : secretGiven
      ? `nothing yet: no epoch (${span(header.epochMs)}) has ended`
      : `not checked: --secret-file gives the secret that was shown when the ledger was made`;
    lines.push(["sealed", seals]);
  }
  record(call, `${mark} ${headline(report)}`, STYLES[status], lines);
  for (const remark of verdict.remarks) call.note(remark);
  if (verdict.unprovenMs === null && fault === null) {
    call.note("Keep checkpoints elsewhere (audit checkpoint), and give one with --against: only that shows a rewrite");
  }
}
