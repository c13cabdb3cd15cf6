/**
 * A request spool with an agent's desk behind it, in this process, and who asks beside it.
 *
 * @module
 */
import { askAgent, type AskOptions } from "../../../agent/ask/spool_client.ts";
import { type Counters, newCounters } from "../../../agent/counters.ts";
import { Journal } from "../../../agent/journal.ts";
import { Desk } from "../../../agent/requests/desk.ts";
import { type Operation, operation, RefusedError } from "../../../agent/requests/operation.ts";
import type { Services } from "../../../agent/requests/services.ts";
import { Spool } from "../../../agent/requests/spool.ts";
import { draftName, encodeRequest, type Ending, fileName, type Request } from "../../../proto/request.ts";
import { TempDir } from "../support.ts";

/** What the desk of these tests can do. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  "say": operation({
    summary: "says it again",
    arguments: { text: { kind: "word", required: true, help: "what", form: /^[a-z]+$/ } },
    changes: false,
    run: ({ text }, { actor, progress }) => {
      progress("half");
      return { text, value: { user: actor.userId } };
    },
  }),
  "change": operation({
    summary: "changes something",
    arguments: {},
    changes: true,
    run: () => ({ text: "changed" }),
  }),
  "fall": operation({
    summary: "fails",
    arguments: {},
    changes: true,
    run: () => Promise.reject(new Error("it fell")),
  }),
  "decline": operation({
    summary: "refuses",
    arguments: {},
    changes: true,
    run: () => {
      throw new RefusedError("not today");
    },
  }),
  "watch": operation({
    summary: "ends when nobody waits for it",
    arguments: {},
    changes: false,
    run: (_, { signal, progress }) => {
      progress("watching");
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("nobody waits"))));
    },
  }),
  "wait": operation({ summary: "never ends", arguments: {}, changes: false, run: () => new Promise(() => {}) }),
};

export interface SpoolOptions {
  readonly leftMs?: number;
  readonly deadlineMs?: number;
}

export class SpoolWorld implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly directory = `${this.dir.path}/requests`;
  readonly lines: string[] = [];
  readonly journal = new Journal((line) => this.lines.push(line));
  readonly counters: Counters = newCounters();
  /** What the ledger got: what, by whom, outcome. */
  readonly notes: (readonly [string, string, string])[] = [];
  readonly counts: (readonly [string, number])[] = [];
  /** Whether it takes notes. */
  isLedgered = true;
  readonly desk: Desk;
  readonly spool: Spool;

  constructor({ leftMs, deadlineMs }: SpoolOptions = {}) {
    Deno.mkdirSync(this.directory);
    Deno.chmodSync(this.directory, 0o3730);
    const { journal, counters } = this;
    this.desk = new Desk({
      services: {} as Services,
      journal,
      counters,
      note: (...note) => this.isLedgered && this.notes.push(note) > 0,
      noteCount: (what, count) => void this.counts.push([what, count]),
      nameOf: (userId) => userId === Deno.uid() ? "tester" : null,
      operations: OPERATIONS,
      ...deadlineMs === undefined ? {} : { deadlineMs },
    });
    this.spool = new Spool({
      directory: this.directory,
      journal,
      take: (file) => this.desk.take(file),
      refuse: (fault, userId) => this.desk.refuseFile(fault, userId),
      lookMs: 20,
      ...leftMs === undefined ? {} : { leftMs },
    });
  }

  /** Asks as an operator does. */
  ask(operation: string, args: Request["arguments"] = {}, more: Partial<AskOptions> = {}): Promise<Ending> {
    return askAgent({ spool: this.directory, operation, arguments: args, timeoutMs: 60_000, takenMs: 50_000, ...more });
  }

  get id(): string {
    const { dev, ino } = Deno.statSync(this.directory);
    return `${dev}:${ino}`;
  }

  /** A request as it should be, changed in parts. */
  request(change: Partial<Request> = {}): Uint8Array<ArrayBuffer> {
    return encodeRequest({ operation: "change", arguments: {}, time: Date.now(), spool: this.id, ...change });
  }

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  /** Puts bytes there as a request, beside an empty reply; the number of both. */
  put(bytes: Uint8Array): string {
    const id = newId();
    Deno.writeFileSync(this.path(fileName(id, "reply")), new Uint8Array(), { mode: 0o600 });
    Deno.writeFileSync(this.path(draftName(id)), bytes, { mode: 0o600 });
    Deno.renameSync(this.path(draftName(id)), this.path(fileName(id, "request")));
    return id;
  }

  reply(id: string): string {
    return Deno.readTextFileSync(this.path(fileName(id, "reply")));
  }

  names(): string[] {
    return [...Deno.readDirSync(this.directory)].map(({ name }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.spool.stop();
    await this.desk.stop(0);
    this.dir[Symbol.dispose]();
  }
}

export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}
