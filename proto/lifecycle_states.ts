/**
 * The states of the agent and of a collector as the agent sees it, and every way from one to another.
 *
 * These tables are the only place that says so: the agent moves by them, the status files and `health` show their names,
 * and `docs/states.md` is made from them. A change that no row allows does not happen, and the caller is told.
 *
 * @module
 */

export const AGENT_STATES = {
  loading: "it reads its rules, takes its store into use, and waits for the collectors that it expects",
  ready: "every collector that it expects has registered",
  steadyState: "it has told the collectors to begin; whoever registers later is told at once",
  startupFailed: "some expected collector did not register in time; the others are served all the same",
  shuttingDown: "it was told to stop",
} as const;
export type AgentState = keyof typeof AGENT_STATES;
export type AgentEvent = "allRegistered" | "begun" | "timedOut" | "stopAsked";

export const COLLECTOR_STATES = {
  expected: "it is to be there and has not connected since the agent's start",
  joined: "it has proven itself and has not registered; one of an earlier version never does",
  registered: "it has said what it can see, and the agent believes it",
  running: "it was told to begin, and its heartbeats come",
  degraded: "it has missed a heartbeat",
  failed: "it has missed three heartbeats, or never came; what it would have seen may be missing",
  stopped: "it said goodbye, or its supervisor says that it was asked to stop it",
} as const;
export type CollectorState = keyof typeof COLLECTOR_STATES;
export type CollectorEvent = "joined" | "registered" | "begun" | "missed" | "gaveUp" | "heard" | "left";

/** One way from a state to another. */
export interface Transition<State extends string, Event extends string> {
  readonly from: State;
  readonly event: Event;
  readonly to: State;
}

const way = <State extends string, Event extends string>(
  from: readonly State[],
  event: Event,
  to: State,
): Transition<State, Event>[] => from.map((state) => ({ from: state, event, to }));

/** What the events of the agent are, for people. */
export const AGENT_EVENTS: Readonly<Record<AgentEvent, string>> = {
  allRegistered: "the store is in use, and the last expected collector registers",
  begun: "the collectors are told to begin",
  timedOut: "agent.startup_timeout_ms have passed since its store is in use",
  stopAsked: "SIGTERM or SIGINT",
};

export const AGENT_TRANSITIONS: readonly Transition<AgentState, AgentEvent>[] = [
  ...way<AgentState, AgentEvent>(["loading", "startupFailed"], "allRegistered", "ready"),
  ...way<AgentState, AgentEvent>(["ready"], "begun", "steadyState"),
  ...way<AgentState, AgentEvent>(["loading"], "timedOut", "startupFailed"),
  // Not from ready: it lasts for the one step in which the collectors are told.
  ...way<AgentState, AgentEvent>(["loading", "steadyState", "startupFailed"], "stopAsked", "shuttingDown"),
];

export const COLLECTOR_EVENTS: Readonly<Record<CollectorEvent, string>> = {
  joined: "it connects and proves itself",
  registered: "its registration is accepted",
  begun: "the agent is in its steady state and has told it to begin",
  missed: "nothing came for 110 % of its interval",
  gaveUp: "the third heartbeat in a row is missed, or the time for the start has passed",
  heard: "something comes from it again",
  left:
    "it says goodbye, or its supervisor has stopped it; it takes its registration back, or its connection ends before it registered",
};

export const COLLECTOR_TRANSITIONS: readonly Transition<CollectorState, CollectorEvent>[] = [
  ...way<CollectorState, CollectorEvent>(
    ["expected", "joined", "registered", "running", "degraded", "failed", "stopped"],
    "joined",
    "joined",
  ),
  ...way<CollectorState, CollectorEvent>(["joined"], "registered", "registered"),
  ...way<CollectorState, CollectorEvent>(["registered"], "begun", "running"),
  ...way<CollectorState, CollectorEvent>(["joined", "registered", "running"], "missed", "degraded"),
  ...way<CollectorState, CollectorEvent>(["expected", "degraded"], "gaveUp", "failed"),
  ...way<CollectorState, CollectorEvent>(["degraded", "failed"], "heard", "registered"),
  ...way<CollectorState, CollectorEvent>(["joined", "registered", "running", "degraded", "failed"], "left", "stopped"),
];

/** A change that happened. */
export interface Change<State extends string, Event extends string> {
  /** Unix milliseconds. */
  readonly time: number;
  readonly event: Event;
  readonly state: State;
}

/** Changes that a machine remembers. */
export const MAX_HISTORY = 16;

/** A state that moves by a table of transitions, and the last changes of it. */
export class StateMachine<State extends string, Event extends string> {
  readonly #table: readonly Transition<State, Event>[];
  #state: State;
  #since: number;
  #history: Change<State, Event>[] = [];

  /** @param now Unix milliseconds */
  constructor(table: readonly Transition<State, Event>[], initial: State, now: number) {
    this.#table = table;
    this.#state = initial;
    this.#since = now;
  }

  get state(): State {
    return this.#state;
  }

  /** Since when, in Unix milliseconds. */
  get since(): number {
    return this.#since;
  }

  /** The last {@linkcode MAX_HISTORY} changes, newest last. */
  get history(): readonly Change<State, Event>[] {
    return this.#history;
  }

  /** Moves by the row for this state and event; `false`, and nothing changes, when there is none. */
  take(event: Event, now: number): boolean {
    const found = this.#table.find((each) => each.from === this.#state && each.event === event);
    if (found === undefined) return false;
    this.#state = found.to;
    this.#since = now;
    this.#history = [...this.#history, { time: now, event, state: found.to }].slice(-MAX_HISTORY);
    return true;
  }
}
