/**
 * Asks for what rules want to be done to the processes of their alerts, in the rules' names.
 *
 * That something is asked for is stored with the alert, in its transaction, and what came of it is noted there; what had
 * no answer when the agent ended is told at the next start, and never asked for again: the process may be no danger any
 * more, or another one. The agent decides nothing. Whether anything is done is for the response helper's policy, and all
 * of it is in the collector's ledger. What waits is bounded, and so is how often is asked, so that a storm of alerts leaves
 * people their turn; what is too much is noted as not asked for.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { processOfExec } from "../../proto/identity.ts";
import { PROCESS_NAME, type ResponseAnswer, type ResponseOutcome } from "../../proto/response/action.ts";
import { responseWords, type RuleResponse } from "../../proto/rules/rule_responses.ts";
import type { Counters } from "../counters.ts";
import { askCollector, type Responding } from "../responding.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { TokenBucket } from "../token_bucket.ts";

/** Responses that wait to be asked for. */
const MAX_WAITING = 64;
/** Of a minute: a third of what the collector lets through, the rest is for people. */
const PER_MINUTE = 20;
/** Longest text that is kept of an answer. */
const MAX_TEXT = 2_048;

/** A response that is noted with its alert and has no answer yet. */
export interface AskedResponse {
  readonly entryId: number;
  readonly response: RuleResponse;
}

export interface RuleResponderOptions {
  readonly responsesOf: (ruleId: string) => readonly RuleResponse[];
  readonly responding: Responding;
  readonly store: () => Store | null;
  readonly failed: (store: Store, error: unknown) => void;
  readonly notice: (text: string) => void;
  readonly counters: Counters;
  /** Milliseconds on a clock that does not jump. */
  readonly monotonic?: () => number;
}

interface Waiting extends AskedResponse {
  readonly alert: Alert;
}

export class RuleResponder {
  readonly #options: RuleResponderOptions;
  readonly #monotonic: () => number;
  readonly #bucket: TokenBucket;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;

  constructor(options: RuleResponderOptions) {
    this.#options = options;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#bucket = new TokenBucket({ burst: PER_MINUTE, perSecond: PER_MINUTE / 60 }, this.#monotonic());
  }

  /** What a rule wants for each of its alerts. */
  responsesOf(ruleId: string): readonly RuleResponse[] {
    return this.#options.responsesOf(ruleId);
  }

  /** Says of what the last run asked for that nobody knows what came of it. @throws StoreError */
  attach(store: Store): void {
    const count = store.alerting(
      "The store did not take what became of responses",
      (tables) =>
        tables.loseResponses("the agent ended before there was an answer; the audit ledger has what came of it"),
      Date.now(),
    );
    if (count > 0) this.#options.notice(`of ${count} responses that rules asked for it is not known what came of them`);
  }

  /** Why a response to an alert that is about to be stored cannot be asked for; `null` where it can, and then it counts. */
  refusalOf({ execId }: Alert): string | null {
    if (!PROCESS_NAME.test(processOfExec(execId))) return "the alert names no process";
    if (this.#waiting.length >= MAX_WAITING) return `${MAX_WAITING} others wait to be asked for`;
    if (this.#bucket.take(this.#monotonic())) return null;
    return `rules have asked for ${PER_MINUTE} within a minute, which is the most`;
  }

  /** Asks for what is noted with an alert, in this order; `dropped` are noted as not asked for. Does not throw. */
  ask(alert: Alert, asked: readonly AskedResponse[], dropped: number): void {
    const { counters } = this.#options;
    counters.rule_responses += asked.length + dropped;
    counters.rule_responses_dropped += dropped;
    for (const each of asked) this.#waiting.push({ ...each, alert });
    this.#running ??= this.#run().finally(() => this.#running = null);
  }

  /** Waits for the answer that is under way, at most so long; what waits still is told at the next start. */
  async stop(deadlineMs: number): Promise<void> {
    this.#waiting.length = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([this.#running, deadline]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    // The commit that noted them is over, and whoever made it goes on first.
    await Promise.resolve();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { outcome, text, place } = await this.#respond(next), { counters } = this.#options;
      if (outcome === "refused") counters.rule_responses_refused++;
      else if (outcome === "failed") counters.rule_responses_failed++;
      this.#note(next, outcome, place === "" ? text : `${text}: ${place}`);
    }
  }

  async #respond({ alert, response }: Waiting): Promise<ResponseAnswer> {
    const { collectorId, ruleId, alertId, execId } = alert, by = `rule ${ruleId}`;
    const { action, tree, seconds } = response;
    const answer = await askCollector(this.#options.responding, collectorId, {
      ...{ action, tree, seconds, process: processOfExec(execId), rule: ruleId, byRule: true, by },
      reason: `alert ${alertId}`.slice(0, 1_000).toWellFormed(),
    });
    return answer.kind === "answer" ? answer.answer : { outcome: "failed", text: answer.why, processes: [], place: "" };
  }

  #note({ entryId, response }: AskedResponse, state: ResponseOutcome, text: string): void {
    const { store, failed } = this.#options, opened = store();
    if (opened === null) return; // it is told as lost when the store is back
    try {
      opened.alerting("The store did not take what became of a response", (tables) => {
        tables.answerResponse(entryId, state, `${responseWords(response)}: ${text}`.slice(0, MAX_TEXT).toWellFormed());
      }, Date.now());
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failed(opened, error);
    }
  }
}
