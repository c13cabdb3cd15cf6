/**
 * Responses, on the collector's side: each in the audit ledger before it is asked of the helper, and once more with what
 * came of it.
 *
 * The agent names who asks, and is believed in that no further than the ledger says: `by` is what it claims. The ledger
 * comes first: while it takes nothing, nothing is done. Whether anything is done at all is for the helper's policy.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import type { Statements } from "../proto/ledger/statement.ts";
import { printable } from "../proto/printable.ts";
import { refusal, type ResponseAnswer, type ResponseRequest } from "../proto/response/action.ts";
import type { SourceStatus } from "../proto/status.ts";
import { VERSION } from "../proto/version.ts";
import type { LedgerKeeper } from "./ledger_keeper.ts";
import { peersOf } from "./kernel/peer.ts";
import { peerCheck } from "./peer_check.ts";
import { ResponderClient } from "./responder_client.ts";

/** The name under which the helper stands among the sources. */
const NAME = "responder";
/** How long the ledger may take to have an entry on disk. */
const LEDGER_MS = 10_000;
/** Requests of a minute that are entered one by one; further ones are refused and entered as a count. */
const MAX_ENTERED = 60, MINUTE_MS = 60_000;
/** Longest text of a statement's member. */
const MAX_TEXT = 1_000;

export interface ResponsesOptions {
  /** `null` where there is no helper. */
  readonly client: Pick<ResponderClient, "ask" | "run" | "stop" | "greeting" | "mayBeAway" | "fault"> | null;
  readonly ledger: Pick<LedgerKeeper, "say" | "tick" | "status">;
  readonly ledgerMs?: number;
}

export class Responses {
  readonly #options: ResponsesOptions;
  readonly #entered: number[] = [];
  #uncounted = { count: 0, from: 0 };
  readonly #counts = { responses_asked: 0, responses_done: 0, responses_refused: 0, responses_failed: 0 };

  constructor(options: ResponsesOptions) {
    this.#options = options;
  }

  /** Has it done, or says why not; does not throw. */
  async respond(request: ResponseRequest): Promise<ResponseAnswer> {
    this.#counts.responses_asked++;
    const answer = await this.#respond(request);
    if (answer.outcome === "refused") this.#counts.responses_refused++;
    else if (answer.outcome === "failed") this.#counts.responses_failed++;
    else this.#counts.responses_done++;
    return answer;
  }

  /** Enters that something which was begun is over. */
  ended(request: ResponseRequest, answer: ResponseAnswer): void {
    this.#say(request, `ended: ${answer.outcome}`, answer);
  }

  counters(): Readonly<Record<string, number>> {
    return this.#options.client === null ? {} : this.#counts;
  }

  /** `null` where there is no helper: nobody misses what nobody asked for. */
  status(): SourceStatus | null {
    const { client } = this.#options;
    if (client === null) return null;
    const { greeting } = client, state = "active", unknownColumns: readonly string[] = [];
    if (greeting === null) {
      const misses = client.mayBeAway
        ? []
        : [`nothing can be responded: the helper cannot be reached (${client.fault})`];
      return { name: NAME, state, detail: "the response helper is not connected", misses, unknownColumns };
    }
    const { sees, policy, fault } = greeting;
    const misses = fault === "" ? [] : [`nothing is responded: ${fault}`];
    return {
      name: NAME,
      state,
      detail: `responds: ${policy === "" ? "nothing" : policy}; ${sees}`,
      misses,
      unknownColumns,
    };
  }

  run(): Promise<void> {
    return this.#options.client?.run() ?? Promise.resolve();
  }

  stop(): void {
    this.#options.client?.stop();
    this.#tellUncounted();
  }

  async #respond(request: ResponseRequest): Promise<ResponseAnswer> {
    const { client, ledger } = this.#options;
    if (!this.#takeTurn()) return refusal(`more than ${MAX_ENTERED} responses were asked for within a minute`);
    const answered = (answer: ResponseAnswer): ResponseAnswer => {
      this.#say(request, answer.outcome, answer);
      return answer;
    };
    if (client === null) {
      return answered(refusal("responses are off: there is no policy for them; see docs/response.md"));
    }
    const { state } = ledger.status;
    if (state !== "on") {
      return answered(refusal(`the audit ledger is ${state}, and nothing is done that it does not have`));
    }
    if (!await this.#isEntered(request)) {
      return answered(refusal("the audit ledger does not take it now, and nothing is done that it does not have"));
    }
    return answered(await client.ask(request));
  }

  /** Whether the ledger has it on disk that this was asked for. */
  async #isEntered(request: ResponseRequest): Promise<boolean> {
    const { ledger, ledgerMs = LEDGER_MS } = this.#options;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    ledger.say("response", statementOf(request, "asked", "", ""), () => resolve(true));
    const timer = setTimeout(() => resolve(false), ledgerMs);
    ledger.tick(); // not to wait for the second to be over
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #say(request: ResponseRequest, outcome: string, { text, place }: ResponseAnswer): void {
    this.#options.ledger.say("response", statementOf(request, outcome, text, place));
  }

  #takeTurn(): boolean {
    const now = performance.now(), entered = this.#entered;
    while (entered.length > 0 && now - entered[0]! >= MINUTE_MS) entered.shift();
    if (entered.length < MAX_ENTERED) {
      this.#tellUncounted();
      entered.push(now);
      return true;
    }
    if (this.#uncounted.count++ === 0) this.#uncounted.from = Date.now();
    return false;
  }

  #tellUncounted(): void {
    const { count, from } = this.#uncounted;
    if (count === 0) return;
    this.#uncounted = { count: 0, from: 0 };
    const what = "responses that were asked for too fast, and refused";
    this.#options.ledger.say("suppressed", { what, count, from, to: Date.now() });
  }
}

/** The helper's client where one is configured, and what it takes. */
export function openResponses(
  { collector }: Settings,
  socket: string,
  ledger: ResponsesOptions["ledger"],
  notice: (text: string) => void,
): Responses {
  if (collector.responderUser === "") return new Responses({ client: null, ledger });
  const isRight = peerCheck(socket, collector.responderUser), tier = NAME;
  let pid = 0;
  const responses: Responses = new Responses({
    ledger,
    client: new ResponderClient({
      socket,
      checkPeer: () => {
        isRight();
        pid = peersOf(socket)[0]?.pid ?? 0;
      },
      ended: (request, answer) => responses.ended(request, answer),
      greeted: ({ sees, policy, fault }) => {
        const words = (fault === "" ? policy : fault).slice(0, MAX_TEXT), time = Date.now();
        notice(`responses: ${words}`);
        ledger.say("tierStarted", { tier, version: VERSION, pid, source: null, time });
        // With the policy that it began under.
        ledger.say("confined", { tier, proof: sees.slice(0, MAX_TEXT), retained: words });
      },
      left: () => ledger.say("tierStopped", { tier, pid, time: Date.now(), why: "its connection ended" }),
      notice,
    }),
  });
  return responses;
}

function statementOf(request: ResponseRequest, outcome: string, text: string, place: string): Statements["response"] {
  const { action, process, tree, seconds, rule, by, reason } = request;
  const cut = (words: string): string => printable(words).slice(0, MAX_TEXT).toWellFormed();
  return {
    what: `${action}${tree ? " tree" : ""}${seconds === 0 ? "" : ` ${seconds} s`}`,
    process,
    by: cut(by),
    rule: cut(rule),
    reason: cut(reason),
    outcome,
    detail: cut(text),
    place: cut(place),
    time: Date.now(),
  };
}
