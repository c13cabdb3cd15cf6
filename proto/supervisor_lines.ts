/**
 * What agent and supervisor say to each other, a line each.
 *
 * The supervisor writes JSON to the agent's standard input. The agent asks by a line of its standard error, which the
 * supervisor reads anyway; each begins with a number that the supervisor chose at this start of the agent, so that no text
 * that the agent prints of others can be taken for one. What may be asked is closed: an action and a collector's name, no
 * path and no argument.
 *
 * @module
 */
import type { SupervisedProcess } from "./status.ts";

const SUPERVISION_ACTIONS = ["start", "stop", "restart"] as const;
export type SupervisionAction = typeof SUPERVISION_ACTIONS[number];

/** What became of a request. */
export interface SupervisionReply {
  readonly accepted: boolean;
  /** What was done, or why nothing was. */
  readonly detail: string;
}

export type SupervisorLine =
  /** First of all. `collectors` are the names of those that it starts. */
  | { readonly kind: "hello"; readonly nonce: string; readonly collectors: readonly string[] }
  | ({ readonly kind: "reply"; readonly id: number } & SupervisionReply)
  | { readonly kind: "processes"; readonly processes: readonly SupervisedProcess[] };

export interface SupervisionRequest {
  readonly id: number;
  readonly action: SupervisionAction;
  readonly collectorId: string;
}

/** Longest line in either direction. */
export const MAX_SUPERVISOR_LINE = 65_536;

const REQUEST = /^supervise ([0-9a-f]{32}) ([1-9]\d{0,8}) (start|stop|restart) ([A-Za-z0-9._+-]{1,64})$/;

/** A request as a line. */
export function requestLine(nonce: string, { id, action, collectorId }: SupervisionRequest): string {
  return `supervise ${nonce} ${id} ${action} ${collectorId}`;
}

/** The request that a line is; `null` for a line that is none, or that does not know the number. */
export function readRequestLine(nonce: string, line: string): SupervisionRequest | null {
  const found = REQUEST.exec(line);
  if (found === null || found[1] !== nonce) return null;
  const action = SUPERVISION_ACTIONS.find((each) => each === found[3])!;
  return { id: Number(found[2]), action, collectorId: found[4]! };
}

/** What the supervisor says; `null` for a line that no supervisor of this version writes. */
export function readSupervisorLine(line: string): SupervisorLine | null {
  try {
    const said = JSON.parse(line) as SupervisorLine;
    switch (said?.kind) {
      case "hello":
        return typeof said.nonce === "string" && isTexts(said.collectors) ? said : null;
      case "reply":
        return Number.isInteger(said.id) && typeof said.accepted === "boolean" && typeof said.detail === "string"
          ? said
          : null;
      case "processes":
        return Array.isArray(said.processes) && said.processes.every(isProcess) ? said : null;
      default:
        return null;
    }
  } catch {
    return null;
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isProcess(value: unknown): value is SupervisedProcess {
  if (typeof value !== "object" || value === null) return false;
  const { name, state, lastEnd, pid, restarts, budget, nextStart } = value as Record<string, unknown>;
  return isTexts([name, state, lastEnd]) &&
    [pid, restarts, budget, nextStart].every((number) => Number.isSafeInteger(number) && (number as number) >= 0);
}
