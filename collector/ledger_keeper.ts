/**
 * The audit ledger in the running collector: opens it, enters what happens, signs, and goes on without it where it must.
 *
 * Watching never waits for the ledger. One that is broken, of another host or of another version is left as it is and
 * said; the collector then works and ledgers nothing. While its disk takes nothing, entries wait, those that find no room
 * are counted, and the ledger says how many. Everything that it says of the collector is the collector's own word;
 * what the agent claims bears the agent's name.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Action } from "../proto/ledger/entry.ts";
import { type HashName, type LedgerHash, ledgerHash, loadHash } from "../proto/ledger/hash.ts";
import type { LedgerHeader } from "../proto/ledger/header.ts";
import { formatVkey } from "../proto/ledger/note.ts";
import { encodeStatement, type StatedAction, type Statements } from "../proto/ledger/statement.ts";
import type { LedgerStatus } from "../proto/status.ts";
import type { LedgerHead, LedgerNotes } from "../proto/messages.ts";
import { decodeMessage } from "../proto/wire.ts";
import { WireError } from "../proto/wire_error.ts";
import { VERSION } from "../proto/version.ts";
import { Backlog } from "./ledger/backlog.ts";
import { LedgerBrokenError } from "./ledger/broken.ts";
import { Coverage, DIGEST_MS } from "./ledger/coverage.ts";
import { type SigningKeys } from "./ledger/keys.ts";
import { Ledger, type LedgerOptions } from "./ledger/ledger.ts";
import { NoteBook } from "./ledger/note_book.ts";
import { AGENT } from "./ledger/recollection.ts";
import type { WriteAheadLog } from "./wal/log.ts";
import type { TakenRecord } from "./wal/log_options.ts";
import { type Storage, StorageError } from "./wal/storage.ts";

export interface LedgerKeeperOptions extends Pick<LedgerOptions, "host" | "bootId" | "clock" | "notice" | "random"> {
  readonly isOn: boolean;
  /** Where it is, for people. */
  readonly place: string;
  /** The directories, made when they are not there. @throws StorageError */
  readonly storage: () => Storage;
  readonly secrets: () => Storage;
  readonly hash: HashName;
  /** The keys, or why there are none. */
  readonly keys: SigningKeys | { readonly fault: string };
  readonly checkpointMs: number;
  /** The log whose records are under digests. */
  readonly log: () => WriteAheadLog;
  /** Shows lines to the person who starts it, and to nobody else. */
  readonly show: (lines: readonly string[]) => void;
  /** There is a new checkpoint. */
  readonly published: (head: LedgerHead) => void;
  /** The agent's notes up to this number are in the ledger, on disk. */
  readonly entered: (id: number) => void;
}

/** Actor of what the collector says. */
const COLLECTOR = "collector";
const FIRST_TRY_MS = 10_000, LAST_TRY_MS = 600_000;
/** Statements that wait for the ledger to be opened. */
const MAX_EARLY = 4_096;
/** Record of a gap: field 6 of an envelope. */
const GAP_TAG = 50;

interface Early {
  readonly action: StatedAction;
  readonly payload: Uint8Array;
}

export class LedgerKeeper {
  readonly #options: LedgerKeeperOptions;
  readonly #coverage = new Coverage();
  readonly #notes: NoteBook;
  #state: "on" | "off" | "waiting" | "broken";
  #trouble = "";
  #ledger: Ledger | null = null;
  #storage: Storage | null = null;
  #hash: LedgerHash | null = null;
  #early: Early[] = [];
  /** Statements that found no place before the ledger was open, from when to when. */
  #lost = { count: 0, from: 0, to: 0 };
  #tryAt = 0;
  #tryMs = FIRST_TRY_MS;
  #digestAt = -Infinity;
  #head: LedgerHead | null = null;
  #checkpointTime = 0;
  /** Number of the last note that was entered, and whose being on disk was not told. */
  #entered: number | null = null;
  #hasher: number | null = null;
  #closed: LedgerStatus | null = null;
  #suppressed = { count: 0, told: 0, from: 0 };
  #opening = false;
  #setBackAt = -Infinity;
  /** To be called when everything that was said is on disk. */
  #whenDurable: (() => void)[] = [];
  /** What an earlier run left. */
  readonly #backlog: Backlog;

  constructor(options: LedgerKeeperOptions) {
    this.#options = options;
    this.#state = options.isOn ? "waiting" : "off";
    this.#notes = new NoteBook(() => this.#elapsed());
    this.#backlog = new Backlog({
      coverage: this.#coverage,
      notes: this.#notes,
      log: options.log,
      say: (action, value) => this.say(action, value),
      notice: options.notice,
      elapsed: () => this.#elapsed(),
      now: () => this.#now(),
    });
    if (!options.isOn) this.#trouble = "it is turned off by configuration: nothing is ledgered";
  }

  /** For the write-ahead log: every record that it takes. */
  readonly taken: TakenRecord = (epoch, first, count, payload) => {
    if (this.#state === "off" || this.#state === "broken") return;
    this.#coverage.taken(epoch, first, count, payload);
    if (payload[0] === GAP_TAG) this.#sayGap(epoch, payload);
  };

  /** The newest checkpoint; `null` before the first. */
  get head(): LedgerHead | null {
    return this.#head;
  }

  get status(): LedgerStatus {
    if (this.#closed !== null) return this.#closed;
    const { place } = this.#options, ledger = this.#ledger?.status ?? null;
    const broken = ledger?.fault
      ? `it is not written: ${ledger.fault}; free or mend its disk, it goes on by itself`
      : "";
    const faults = this.#coverage.faults;
    const unread = faults > 0 ? `${faults} records of the log could not be put under a digest` : "";
    return {
      state: this.#state,
      place,
      trouble: [this.#trouble, broken, unread].filter((words) => words !== "").join("; "),
      origin: this.#ledger?.header.key.name ?? "",
      size: ledger?.size ?? 0,
      signed: ledger?.signed ?? 0,
      checkpointTime: this.#checkpointTime,
      sealedEpochs: ledger?.sealedEpochs ?? 0,
      pendingBytes: ledger?.pendingBytes ?? 0,
      refused: (ledger?.refused ?? 0) + this.#lost.count,
      faults: ledger?.faults ?? 0,
    };
  }

  /** Opens the ledger, or begins to wait for its disk; never throws for what is on the disk. */
  async open(): Promise<void> {
    const { isOn, hash, keys } = this.#options;
    if (!isOn) return;
    if ("fault" in keys) return this.#break(keys.fault);
    if (this.#hash === null) {
      this.#hash = await loadBulkHash(hash);
      this.#coverage.begin(this.#hash);
    }
    await this.#try(this.#hash, keys);
  }

  /** Enters what an earlier run left; called again by {@linkcode tick} as long as the log or the ledger cannot be read. */
  async settle(): Promise<void> {
    const ledger = this.#ledger, storage = this.#storage;
    if (ledger !== null && storage !== null) await this.#backlog.settle(ledger, storage);
  }

  /** Enters a statement of the collector's; `entered` is called once it is on disk. */
  say<A extends StatedAction>(action: A, value: Statements[A], entered?: () => void): void {
    if (this.#state === "off") return;
    if (entered !== undefined) this.#whenDurable.push(entered);
    let payload: Uint8Array;
    try {
      payload = encodeStatement(action, value);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#lose();
      return this.#options.notice(`ledger: ${action} cannot be entered: ${error.message}`);
    }
    if (this.#ledger !== null) this.#append(this.#ledger, action, COLLECTOR, payload);
    else if (this.#state === "waiting" && this.#early.length < MAX_EARLY) this.#early.push({ action, payload });
    else this.#lose();
  }

  /** Says how many suspicious executions were only counted, since start; they are told once a minute at most. */
  suppressed(count: number): void {
    const now = this.#now();
    if (count > this.#suppressed.count && this.#suppressed.count === this.#suppressed.told) this.#suppressed.from = now;
    this.#suppressed.count = count;
    const more = count - this.#suppressed.told;
    if (more === 0 || now - this.#suppressed.from < 60_000) return;
    this.#suppressed.told = count;
    this.say("suppressed", {
      what: "suspicious executions that were only counted",
      count: more,
      from: this.#suppressed.from,
      to: now,
    });
  }

  /** Notes of the agent, to be entered by and by. @throws WireError for what is none. */
  receive({ notes }: LedgerNotes): void {
    this.#notes.receive(notes);
  }

  /** The agent's connection ended. */
  disconnected(): void {
    this.#notes.forget();
    this.#entered = null;
  }

  /** Says that the agent's store has less than it had acknowledged; once a minute at most, however often it says so. */
  agentSetBack(stored: number, acknowledged: number): void {
    const elapsed = this.#elapsed(), now = this.#now();
    if (elapsed - this.#setBackAt < 60_000) return;
    this.#setBackAt = elapsed;
    const what = `the agent's store was set back: it has ${stored} of the log and had acknowledged ${acknowledged}`;
    this.say("suppressed", { what, count: acknowledged - stored, from: now, to: now });
  }

  /** Says which process the hasher is now; `null` while there is none. */
  hasher(pid: number | null): void {
    if (pid === this.#hasher) return;
    const time = this.#now();
    if (this.#hasher !== null) {
      this.say("tierStopped", { tier: "hasher", pid: this.#hasher, time, why: "its connection ended" });
    }
    if (pid !== null) this.say("tierStarted", { tier: "hasher", version: VERSION, pid, source: null, time });
    this.#hasher = pid;
  }

  /** What time asks for, once a second. */
  tick(): void {
    // Without a ledger the agent need not keep what nobody will enter.
    if (this.#state === "off") return this.#tell(this.#notes.enter(() => true));
    const ledger = this.#ledger, now = this.#elapsed();
    if (ledger === null) return this.#tryAgain(now);
    if (!this.#backlog.isSettled) {
      this.#holdDigest(now);
      void this.settle();
      return this.#turn(ledger);
    }
    if (now - this.#digestAt >= DIGEST_MS) this.#digest(now);
    else for (const digest of this.#coverage.ready(this.#options.log())) this.say("events", digest);
    const entered = this.#notes.enter(({ action, payload }) => this.#append(ledger, action, AGENT, payload));
    this.#entered = entered ?? this.#entered;
    this.#turn(ledger);
  }

  #turn(ledger: Ledger): void {
    ledger.tick();
    const { size, durable } = ledger.status;
    if (durable === size) {
      for (const done of this.#whenDurable.splice(0)) done();
      this.#tell(this.#entered);
      this.#entered = null;
    }
    this.#publish(ledger);
  }

  /** Enters the rest, and signs. */
  close(why: string): void {
    const ledger = this.#ledger;
    if (ledger === null) return;
    if (this.#backlog.isSettled) this.#digest(this.#elapsed());
    this.say("tierStopped", { tier: "collector", pid: Deno.pid, time: this.#now(), why });
    ledger.close();
    const { size, durable } = ledger.status;
    if (durable === size) { for (const done of this.#whenDurable.splice(0)) done(); }
    this.#publish(ledger);
    this.#closed = this.status;
    this.#ledger = null;
    this.#state = "off";
  }

  #tell(entered: number | null): void {
    if (entered !== null) this.#options.entered(entered);
  }

  /** Milliseconds that never go back: no clock that was set keeps the ledger waiting. */
  #elapsed(): number {
    return Number(this.#options.clock.monotonicNs() / 1_000_000n);
  }

  #now(): number {
    return Math.max(0, Math.floor(this.#options.clock.wallMs()));
  }

  #holdDigest(now: number): void {
    if (now - this.#digestAt < DIGEST_MS) return;
    this.#digestAt = now;
    this.#coverage.hold(this.#options.log());
  }

  #digest(now: number): void {
    this.#digestAt = now;
    for (const digest of this.#coverage.take(this.#options.log())) this.say("events", digest);
  }

  #append(ledger: Ledger, action: Action, actor: string, payload: Uint8Array): boolean {
    if (action === "genesis" || action === "sealed" || action === "keyRotated") throw new TypeError(`Not ${action}`);
    return ledger.append(action, actor, payload) !== null;
  }

  #publish(ledger: Ledger): void {
    const { published } = ledger;
    if (published === null || published.size === this.#head?.size) return;
    this.#checkpointTime = this.#now();
    this.#head = { kind: "ledgerHead", origin: ledger.header.key.name, ...published };
    this.#options.published(this.#head);
  }

  #sayGap(epoch: string, payload: Uint8Array): void {
    const message = decodeMessage(payload);
    if (message.kind !== "gap") return;
    const { sequence, gap: { source, recordKind: kind, from, to, count, reason } } = message;
    this.say("gap", { epoch, sequence, source, kind, from: Math.round(from), to: Math.round(to), count, reason });
  }

  #lose(): void {
    const now = this.#now();
    if (this.#lost.count === 0) this.#lost.from = now;
    this.#lost.count += 1;
    this.#lost.to = now;
  }

  #break(why: string): void {
    this.#state = "broken";
    this.#trouble = `nothing is ledgered: ${why}`;
    this.#lost.count += this.#early.length;
    this.#early = [];
    this.#options.notice(`ledger: ${this.#trouble}`);
  }

  #tryAgain(now: number): void {
    const { keys } = this.#options;
    if (this.#state !== "waiting" || this.#hash === null || this.#opening || "fault" in keys) return;
    this.#holdDigest(now);
    if (now < this.#tryAt) return;
    void this.#try(this.#hash, keys);
  }

  async #try(hash: LedgerHash, keys: SigningKeys): Promise<void> {
    const { storage, secrets, host, bootId, clock, notice, checkpointMs, random } = this.#options;
    this.#opening = true;
    try {
      const suffix = crypto.getRandomValues(new Uint8Array(4)).toHex();
      this.#storage = storage();
      const ledger = await Ledger.open({
        storage: this.#storage,
        secrets: secrets(),
        hash,
        keys,
        // Another ledger of this host and key has another name: no two checkpoints of one name contradict each other.
        origin: `daemoneye/${host.slice(0, 16)}/${suffix}`,
        host,
        bootId,
        clock,
        notice,
        checkpointMs,
        showSecret: (secret, header) => this.#showSecret(secret, header),
        ...random === undefined ? {} : { random },
      });
      this.#ledger = ledger;
      this.#state = "on";
      this.#trouble = "";
      this.#tellEarly(ledger);
      this.#publish(ledger);
    } catch (error) {
      if (error instanceof LedgerBrokenError) {
        return this.#break(`${error.message}, and start the collector again (${this.#options.place})`);
      }
      if (!(error instanceof StorageError)) throw error;
      const trouble = `it cannot be opened: ${error.message}; mend ${this.#options.place}, it is tried again by itself`;
      if (trouble !== this.#trouble) notice(`ledger: ${trouble}`);
      this.#trouble = trouble;
      this.#tryAt = this.#elapsed() + this.#tryMs;
      this.#tryMs = Math.min(2 * this.#tryMs, LAST_TRY_MS);
    } finally {
      this.#opening = false;
    }
  }

  #tellEarly(ledger: Ledger): void {
    const early = this.#early, { count } = this.#lost;
    this.#early = [];
    for (const { action, payload } of early) this.#append(ledger, action, COLLECTOR, payload);
    if (count > 0) ledger.append("refused", "ledger", new TextEncoder().encode(JSON.stringify(this.#lost)));
  }

  #showSecret(secret: Uint8Array, header: LedgerHeader): void {
    this.#options.show([
      "A new audit ledger begins. This is its seal secret, shown now and never again, and stored nowhere:",
      "",
      `    ${secret.toHex()}`,
      "",
      "Write it down and keep it away from this host. With it, 'cli audit verify' finds whatever was rewritten in the",
      "ledger before root was taken over, to a quarter of an hour; without it, whoever becomes root can rewrite all of it.",
      `Keep this key with it, by which the ledger is known: ${formatVkey(header.key)}`,
    ]);
    secret.fill(0);
  }
}

/** As `loadHash`, with the runtime's own SHA-256, which is the faster one for groups of events. */
async function loadBulkHash(name: HashName): Promise<LedgerHash> {
  if (name === "blake3") return await loadHash(name);
  return ledgerHash(name, (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()));
}
