/**
 * What may be done to a process, and what came of it: plain data that operator, agent, collector and helper agree on.
 *
 * A process is named as events name it (boot, pid, start time), never by a bare pid. What comes over the wire is
 * checked by {@linkcode checkedRequest}; whether it is done is decided by the helper's policy alone.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";

/** What may be done to a process. */
export const RESPONSE_ACTIONS = ["stop", "resume", "kill", "trace", "evidence"] as const;
/**
 * `stop`, `resume`, `kill`: SIGSTOP, SIGCONT, SIGKILL. `trace`: samples of what `/proc` tells, for a time. `evidence`: a
 * copy of what `/proc` tells, and of the executable.
 */
export type ResponseAction = (typeof RESPONSE_ACTIONS)[number];

/** What a rule may ask for by itself: not to have a process go on, which is for the person who looked at it. */
export const RULE_ACTIONS = ["stop", "kill", "trace", "evidence"] as const satisfies readonly ResponseAction[];
/** What a rule may ask to be done to the process of its alert. */
export type RuleAction = (typeof RULE_ACTIONS)[number];

/** `dry_run`: it would have been done; `refused`: nothing was done; `failed`: something may have been. */
export const RESPONSE_OUTCOMES = ["done", "dry_run", "refused", "failed"] as const;
/** One of {@linkcode RESPONSE_OUTCOMES}. */
export type ResponseOutcome = (typeof RESPONSE_OUTCOMES)[number];

/** What is to be done to a process. */
export interface ResponseRequest {
  /** What is to be done. */
  readonly action: ResponseAction;
  /** `boot-pid-startTicks`: see `identity.ts`. */
  readonly process: string;
  /** Its descendants too. */
  readonly tree: boolean;
  /** Of a trace; 0 otherwise. */
  readonly seconds: number;
  /** The rule that it answers; empty for none. */
  readonly rule: string;
  /** No person asks, that rule does by itself. */
  readonly byRule: boolean;
  /** Who asks, as the agent has it. */
  readonly by: string;
  /** Why, for people. */
  readonly reason: string;
}

/** What came of it. */
export interface ResponseAnswer {
  /** Whether it was done. */
  readonly outcome: ResponseOutcome;
  /** For people. */
  readonly text: string;
  /** Names of the processes that it was done to, or would have been. */
  readonly processes: readonly string[];
  /** The file or directory that came of it; empty for none. */
  readonly place: string;
}

/** The name of a process; what follows names one of its executions and is not of interest here. */
export const PROCESS_NAME: RegExp = /^[0-9a-f]{8}-[1-9]\d{0,9}-\d{1,15}$/;
/** Longest time of one trace. */
export const MAX_TRACE_SECONDS = 3_600;
/** Processes that one answer names. */
export const MAX_ANSWERED = 256;
const MAX_NAME = 128, MAX_WORDS = 1_024, MAX_TEXT = 4_096;

export interface ProcessName {
  readonly boot: string;
  readonly pid: number;
  readonly startTicks: number;
}

/** The parts of a name that {@linkcode checkedRequest} let through. */
export function partsOf(process: string): ProcessName {
  const [boot, pid, startTicks] = process.split("-");
  return { boot: boot!, pid: Number(pid), startTicks: Number(startTicks) };
}

/** @throws {WireError} for what nobody asks for. */
export function checkedRequest(request: ResponseRequest): ResponseRequest {
  const { action, process, tree, seconds, rule, byRule, by, reason } = request;
  if (!PROCESS_NAME.test(process)) throw new WireError("A process is named by its boot, pid and start time");
  const isTrace = action === "trace";
  if (isTrace ? !(seconds >= 1 && seconds <= MAX_TRACE_SECONDS) : seconds !== 0) {
    throw new WireError(`A trace takes 1 to ${MAX_TRACE_SECONDS} s, and nothing else a time; not ${seconds}`);
  }
  if (tree && action === "evidence") throw new WireError("Evidence is of one process, not of a tree");
  if (byRule && (rule === "" || action === "resume")) {
    throw new WireError("A rule asks in its own name, and not to have a process go on");
  }
  if (rule.length > MAX_NAME || by.length > MAX_WORDS || reason.length > MAX_WORDS) {
    throw new WireError("A text of a response request is too long");
  }
  return request;
}

/** The answer in its bounds: texts and lists are cut, and the text says so. */
export function boundedAnswer(answer: ResponseAnswer): ResponseAnswer {
  const { processes, text, place } = answer, more = processes.length - MAX_ANSWERED;
  const words = more > 0 ? `${text} (${more} further processes are not listed)` : text;
  return {
    ...answer,
    text: words.slice(0, MAX_TEXT).toWellFormed(),
    processes: processes.slice(0, MAX_ANSWERED),
    place: place.slice(0, MAX_TEXT),
  };
}

/** @throws {WireError} for what no helper answers. */
export function checkedAnswer(answer: ResponseAnswer): ResponseAnswer {
  const { text, processes, place } = answer;
  if (text.length > MAX_TEXT || place.length > MAX_TEXT || processes.length > MAX_ANSWERED) {
    throw new WireError("A response answer is too long");
  }
  if (!processes.every((process) => PROCESS_NAME.test(process))) {
    throw new WireError("A response answer names something that is no process");
  }
  return answer;
}

export function refusal(text: string): ResponseAnswer {
  return { outcome: "refused", text, processes: [], place: "" };
}
