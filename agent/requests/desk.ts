/**
 * Where requests are judged, done and answered.
 *
 * Each is entered into the audit ledger with who asked and what came of it: one that changes something before it is done,
 * and when that note cannot be kept it is refused. Changes are made one at a time, in the order in which they came. What
 * an operation throws is its answer; nothing that a request holds ends the agent. Who asks too often is counted, not
 * served. An operation is told when who asked has gone; what it may leave undone it then ends. A reply that cannot be written changes nothing of what is done.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import {
  decodeRequest,
  encodeReplyLine,
  type Ending,
  MAX_REPLY_BYTES,
  type ReplyLine,
  type Request,
  REQUEST_LIFE_MS,
  RequestError,
} from "../../proto/request.ts";
import { suggestion } from "../../proto/rules/sql_refused.ts";
import type { Counters } from "../counters.ts";
import type { Journal } from "../journal.ts";
import { Turn } from "../turn.ts";
import { type Actor, actorWords, FailedError, type Operation, RefusedError, requestWords } from "./operation.ts";
import { OPERATIONS } from "./operations.ts";
import { Rate } from "./rate.ts";
import { Refusals } from "./refusals.ts";
import type { Services } from "./services.ts";
import type { TakenFile } from "./spool.ts";
import { FILE_FAULTS, type FileFault, timely } from "./spool_file.ts";

/** Requests under way; more are refused. */
const MAX_UNDER_WAY = 32;
/** Of one user: at once, and then a second. */
const BURST = 60, PER_SECOND = 2;
/** What takes longer is answered as failed, and may still go on. */
const DEADLINE_MS = 120_000;
const MAX_PROGRESS = 256;
/** How often it is looked whether who asked still waits. */
const LOOK_MS = 500;

export interface DeskOptions {
  readonly services: Services;
  readonly journal: Journal;
  readonly counters: Counters;
  /** Enters a request into the ledger; whether that is kept. */
  readonly note: (what: string, by: string, outcome: string) => boolean;
  /** Enters a count. */
  readonly noteCount: (what: string, count: number, from: number, to: number) => void;
  /** The name of a user, `null` when it is not known. */
  readonly nameOf: (userId: number) => string | null;
  readonly operations?: Readonly<Record<string, Operation>>;
  readonly deadlineMs?: number;
}

export class Desk {
  readonly #options: DeskOptions;
  readonly #operations: Readonly<Record<string, Operation>>;
  readonly #rate = new Rate(BURST, PER_SECOND);
  readonly #refusals: Refusals;
  readonly #changes = new Turn();
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#operations = options.operations ?? OPERATIONS;
    this.#refusals = new Refusals({ journal: options.journal, note: options.noteCount });
  }

  /** Takes a request, does it and answers. */
  take(file: TakenFile): void {
    this.#options.counters.requests += 1;
    const work = this.#serve(file).catch((error) => {
      // The reply's file system, as all else is an answer
      this.#options.journal.notice(`a request of user ${file.userId} could not be answered: ${words(error)}`);
    }).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  /** Counts a file that is no request. */
  refuseFile(fault: FileFault, userId: number | null): void {
    const { counters } = this.#options;
    if (fault === "late") {
      counters.request_files_expired += 1;
      return;
    }
    counters.request_files_refused += 1;
    this.#refusals.add(`files in the request spool, ${FILE_FAULTS[fault]}, of user ${userId ?? "unknown"}`);
  }

  /** Waits a while for what is under way, and tells what waits to be told. */
  async stop(deadlineMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([Promise.allSettled(this.#underWay), late]);
    clearTimeout(timer);
    this.#refusals.flush();
  }

  async #serve({ bytes, userId, spool, reply }: TakenFile): Promise<void> {
    const { counters } = this.#options, answer = new Reply(reply);
    try {
      if (!this.#rate.take(userId) || this.#underWay.size > MAX_UNDER_WAY) {
        counters.requests_refused += 1;
        this.#refusals.add(`requests that came too fast, of user ${userId}`);
        return await answer.end({ outcome: "refused", text: "Too many requests at once; ask again in a while" });
      }
      const actor = { userId, name: this.#options.nameOf(userId) };
      const ending = await this.#judge(bytes, spool, actor, answer);
      if (ending.outcome === "refused") counters.requests_refused += 1;
      if (ending.outcome === "failed") counters.requests_failed += 1;
      await answer.end(ending);
    } finally {
      await answer.close();
    }
  }

  async #judge(bytes: Uint8Array, spool: string, actor: Actor, answer: Reply): Promise<Partial<Ending> & Outcomes> {
    const by = actorWords(actor), { journal, note } = this.#options;
    const refused = (what: string, text: string): Outcomes => {
      journal.say(`${by} asked for ${what}: refused: ${text}`);
      note(what, by, `refused: ${text}`);
      return { outcome: "refused", text };
    };
    let request: Request;
    try {
      request = decodeRequest(bytes);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      return refused("what cannot be understood", error.message);
    }
    const what = requestWords(request.operation, request.arguments), age = Date.now() - request.time;
    const operation = Object.hasOwn(this.#operations, request.operation) ? this.#operations[request.operation]! : null;
    if (operation === null) {
      const near = suggestion(request.operation, Object.keys(this.#operations));
      return refused(what, `There is no operation ${JSON.stringify(request.operation)}${near}`);
    }
    if (request.spool !== spool) return refused(what, "It was written for another spool; ask where the agent is");
    if (Math.abs(age) > REQUEST_LIFE_MS) {
      return refused(what, `It is ${Math.round(age / 1_000)} s old, and done only within ${REQUEST_LIFE_MS / 1_000} s`);
    }
    await answer.write({ kind: "taken", time: Date.now() });
    // The order of notes is that of what is done
    if (!operation.changes) return await this.#run(operation, request, what, actor, answer);
    const change = async (): Promise<Partial<Ending> & Outcomes> => {
      if (!note(what, by, "accepted")) {
        return refused(
          what,
          "The audit ledger's notes are not kept now, so nothing is changed; see the agent's health",
        );
      }
      return await this.#run(operation, request, what, actor, answer);
    };
    return operation.isElsewhere === true ? await change() : await this.#changes.run(change);
  }

  async #run(
    operation: Operation,
    request: Request,
    what: string,
    actor: Actor,
    answer: Reply,
  ): Promise<Partial<Ending> & Outcomes> {
    const { services, journal, note, deadlineMs = DEADLINE_MS } = this.#options, by = actorWords(actor);
    const ended = (outcome: Outcomes): Outcomes => {
      const text = outcome.outcome === "done" ? "done" : `${outcome.outcome}: ${outcome.text}`;
      journal.say(`${by} asked for ${what}: ${text}`);
      note(what, by, text);
      return outcome;
    };
    const progress = (text: string): void => void answer.progress(text);
    const abort = new AbortController(), { signal } = abort;
    const looking = setInterval(() => void answer.isWaitedFor().then((is) => is || abort.abort()), LOOK_MS);
    try {
      const running = Promise.resolve(operation.run(request.arguments, { actor, services, progress, signal }));
      const tooLate = (): Error =>
        new FailedError(`It has not ended within ${deadlineMs / 1_000} s, and may still go on; see the agent's health`);
      const { text, value = null, degraded = false } = await timely(running, deadlineMs, tooLate);
      return { ...ended({ outcome: "done", text }), value, degraded };
    } catch (error) {
      return ended({ outcome: error instanceof RefusedError ? "refused" : "failed", text: words(error) });
    } finally {
      clearInterval(looking);
      abort.abort();
    }
  }
}

type Outcomes = Pick<Ending, "outcome" | "text">;

/** A reply while it is written: bounded, in order, ended once. */
class Reply {
  #bytes = 0;
  #lines = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(private readonly file: FileHandle) {}

  /** Writes a line after those before it. */
  write(line: ReplyLine): Promise<void> {
    const bytes = encodeReplyLine(line);
    this.#bytes += bytes.length;
    return this.#last = this.#last.then(async () => {
      for (let at = 0; at < bytes.length;) {
        at += (await timely(this.file.write(bytes, at, bytes.length - at, null))).bytesWritten;
      }
    });
  }

  /** Tells how far it is; a disk that is full loses that and no more. */
  progress(text: string): void {
    if (++this.#lines <= MAX_PROGRESS) this.write({ kind: "progress", text: text.slice(0, 1_000) }).catch(() => {});
  }

  /** Who asks takes the reply's name away when it does not wait any more. */
  async isWaitedFor(): Promise<boolean> {
    try {
      return (await timely(this.file.stat())).nlink > 0;
    } catch {
      return true; // closed just now, or a file system that does not answer: the deadline holds
    }
  }

  async end({ outcome, text, value = null, degraded = false }: Partial<Ending> & Outcomes): Promise<void> {
    const line: Ending = { kind: "ended", outcome, text: text.slice(0, MAX_REPLY_BYTES / 8), value, degraded };
    const isLong = this.#bytes + encodeReplyLine(line).length > MAX_REPLY_BYTES;
    await this.write(isLong ? { ...line, value: null, text: `${line.text}\n(the rest is too long)` } : line);
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
    await this.file.close();
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
