/**
 * `audit prove` and `audit check-proof`: one entry, proven in one file, for somebody who has nothing but the key.
 *
 * @module
 */
import { commandLine, splitArgv } from "../../proto/argv.ts";
import { parseCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { decodeEntry } from "../../proto/ledger/entry.ts";
import {
  checkEventEvidence,
  isEventEvidence,
  MAX_EVENT_PROOF_BYTES,
  parseEventEvidence,
  type ProvenEvent,
} from "../../proto/ledger/event_proof.ts";
import { HASH_NAMES, type HashName, loadHash } from "../../proto/ledger/hash.ts";
import { formatVkey, type NoteKey } from "../../proto/ledger/note.ts";
import { verifyInclusion } from "../../proto/ledger/proofs.ts";
import { proveEntry, readCheckpoint, readHeader } from "../../proto/ledger/prove.ts";
import { checkProof, parseProof, type ProvenEntry, readExtra } from "../../proto/ledger/tlog_proof.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import { openOutput } from "../output.ts";
import { record, type RecordLine } from "../record.ts";
import { safeJson } from "../safe_json.ts";
import { count, localTime } from "../units.ts";
import type { ReadLedger } from "../held_state.ts";
import { Inputs } from "./inputs.ts";
import { LedgerDirectory } from "./ledger_directory.ts";
import { payloadText, payloadWords } from "./payloads.ts";

export async function prove(call: Call): Promise<Exit> {
  const sequence = sequenceOf(call.arguments[0]!);
  if (call.values["output"] !== undefined) {
    throw new UsageError(
      `This program may write no file, so the proof goes to standard output: audit prove ${sequence} > FILE`,
    );
  }
  if (call.format !== "table") throw new UsageError("A proof has one form; audit prove has no other --format");
  using source = LedgerDirectory.of(call);
  let proof: string | null;
  try {
    proof = await provenText(source, sequence);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`Entry ${sequence} cannot be proven: ${error.message}`, { cause: error });
  }
  if (proof === null) {
    call.note(`The ledger's files make no proof of entry ${sequence}; audit verify says what is wrong with them`);
    return EXIT.findings;
  }
  call.out.write(proof);
  return EXIT.complete;
}

/**
 * The proof of an entry; `null` when the files make one that does not hold: better said here than to whoever is given it.
 *
 * @throws CommandError for an entry that is not signed
 * @throws WireError
 */
export async function provenText(source: ReadLedger, sequence: number): Promise<string | null> {
  const header = readHeader(source), hash = await loadHash(header.hash), { size } = readCheckpoint(source);
  if (sequence >= size) {
    throw new CommandError(
      `Entry ${sequence} is not signed: the newest checkpoint has ${count(size)} entries; a later one may have it`,
    );
  }
  const proof = proveEntry(source, hash, sequence);
  const { hashes, extra, checkpoint } = parseProof(new TextEncoder().encode(proof));
  const { root, size: signed } = parseCheckpoint(checkpoint), { entry } = readExtra(extra!);
  const holds = verifyInclusion(hash, hashes, sequence, signed, hash.leaf(entry), root);
  return holds && decodeEntry(entry).sequence === sequence ? proof : null;
}

export async function checkProofFile(call: Call): Promise<Exit> {
  const path = call.arguments[0]!, name = path === "-" ? "stdin" : path;
  const inputs = new Inputs(call), keys = inputs.keys("key"), witnesses = inputs.keys("witness");
  if (keys.length === 0) throw new UsageError("audit check-proof needs --key, the ledger's verifier key or its file");
  const bytes = inputs.read(path, MAX_EVENT_PROOF_BYTES, "the proof");
  try {
    const { extra } = parseProof(isEventEvidence(bytes) ? parseEventEvidence(bytes).entry : bytes);
    if (extra !== null) decodeEntry(readExtra(extra).entry);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`${name} is no proof that can be read: ${error.message}`, { cause: error });
  }
  try {
    const { proven, hash } = await checkWithEitherHash(bytes, [...keys, ...witnesses]);
    const missing = witnesses.find(({ id }) => !proven.signatures.some(({ key }) => key.id === id));
    if (missing !== undefined) throw new WireError(`${missing.name} has not cosigned its checkpoint`);
    show(call, proven, hash);
    return EXIT.complete;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    call.note(`REFUSED: ${name} proves nothing: ${error.message}`);
    return EXIT.findings;
  }
}

/**
 * A proof does not say which hash its tree uses. Either may be tried: to find an entry that another root proves by one
 * of them takes a collision of that one.
 */
async function checkWithEitherHash(
  bytes: Uint8Array,
  keys: readonly NoteKey[],
): Promise<{ readonly proven: ProvenEntry & Partial<ProvenEvent>; readonly hash: HashName }> {
  const check = isEventEvidence(bytes) ? checkEventEvidence : checkProof;
  let fault: unknown;
  for (const hash of HASH_NAMES) {
    try {
      return { proven: await check(bytes, keys, await loadHash(hash)), hash };
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      fault ??= error;
    }
  }
  throw fault;
}

function show(call: Call, proven: ProvenEntry & Partial<ProvenEvent>, hash: HashName): void {
  const { entry, payload, checkpoint, signatures, event, sequence } = proven;
  const text = payload === null ? null : payloadText(entry.action, payload.bytes);
  if (call.format === "table") {
    const lines: RecordLine[] = [
      ["entry", `number ${count(entry.sequence)} of the ledger ${checkpoint.origin}`],
      ["time", localTime(entry.wallMs)],
      ["actor", entry.actor],
      ["action", entry.action],
      ["payload", text === null ? "not shown by this proof" : payloadWords(text)],
      ["tree", `${count(checkpoint.size)} entries, ${hash}`],
      ...signatures.map(({ key, time }): RecordLine => {
        return time === null
          ? ["signed", formatVkey(key), "good"]
          : ["cosigned", `${key.name} at ${localTime(time * 1_000, "s")}`, "good"];
      }),
    ];
    if (event !== undefined) {
      lines.unshift(
        ["event", `${event.kind} of pid ${event.pid}, ${event.name}, at ${localTime(event.time)}`],
        ["command", event.argv === null ? null : commandLine(splitArgv(event.argv))],
        ["executable", event.executablePath],
        ["sequence", `${count(sequence!)} of the collector's log`],
      );
    }
    const what = event === undefined ? `${entry.action} by ${entry.actor}` : `${event.kind} of ${event.name}`;
    return record(call, `${call.screen.marks.good} proven: ${what}`, "good", lines);
  }
  const machine = {
    sequence: entry.sequence,
    time: entry.wallMs,
    action: entry.action,
    actor: entry.actor,
    payload: text,
    origin: checkpoint.origin,
    size: checkpoint.size,
    root: checkpoint.root.toHex(),
    hash,
    ledger: entry.ledgerId.toHex(),
    boot_id: entry.bootId.toHex(),
    event: event === undefined ? null : safeJson({
      sequence,
      kind: event.kind,
      time: event.time,
      exec_id: event.execId,
      pid: event.pid,
      name: event.name,
      executable_path: event.executablePath,
      command_line: event.argv === null ? null : commandLine(splitArgv(event.argv)),
      user_id: event.userId,
    }),
  };
  const signed = signatures.map(({ key, time }) => ({ key: formatVkey(key), cosigned: time }));
  if (call.format === "csv" || call.format === "line") {
    const row = { ...machine, signed_by: signed.map(({ key }) => key).join(" ") };
    const output = openOutput(call.format, Object.keys(row), [], call.screen, (text) => call.out.write(text));
    output.add(Object.values(row));
    return output.end();
  }
  const whole = { ...machine, event: machine.event === null ? null : JSON.parse(machine.event), signatures: signed };
  call.out.write(`${safeJson(whole, call.format === "json" ? 2 : undefined)}\n`);
}

function sequenceOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`An entry is named by its number, from 0 on, and not by ${text}`);
  return Number(text);
}
