/**
 * Every way from a state to another that the tables of `proto/lifecycle_states.ts` have, driven by agents and collectors
 * that are processes of their own: a row that nothing drives fails here.
 */
import assert from "node:assert/strict";
import {
  AGENT_STATES,
  AGENT_TRANSITIONS,
  type Change,
  COLLECTOR_STATES,
  COLLECTOR_TRANSITIONS,
  MAX_HISTORY,
} from "../../proto/lifecycle_states.ts";
import { AgentProcess, AgentState } from "../agent/agent_process.ts";
import { until } from "../agent/support.ts";
import { Puppet } from "../support/collectors/puppet.ts";
import { PATIENCE_MS } from "../support/patience.ts";

/** On a busy machine a collector is degraded before its next step, and goes another way: then all is done once more. */
const ROUNDS = 5;

/** What was driven: of the agent and of collectors, as `FROM EVENT TO`. */
class Ways {
  readonly agent = new Set<string>();
  readonly collectors = new Set<string>();

  note(into: Set<string>, initial: string, history: readonly Change<string, string>[]): void {
    history.forEach(({ event, state }, i) => {
      if (i === 0 && history.length === MAX_HISTORY) return; // what was before it is forgotten
      into.add(`${i === 0 ? initial : history[i - 1]!.state} ${event} ${state}`);
    });
  }
}

/** An agent whose supervisor says whom to expect. */
class Watched implements AsyncDisposable {
  readonly #state: AgentState;
  readonly #puppets: Puppet[] = [];

  private constructor(
    readonly agent: AgentProcess,
    state: AgentState,
    readonly expected: readonly string[],
    readonly ways: Ways,
  ) {
    this.#state = state;
  }

  static async start(ways: Ways, expected: readonly string[], startupMs: number): Promise<Watched> {
    const state = new AgentState(), hello = { kind: "hello", nonce: "0f".repeat(16), collectors: expected };
    const set = [`agent.startup_timeout_ms=${startupMs}`];
    const agent = await AgentProcess.start(state, { set, input: `${JSON.stringify(hello)}\n` });
    return new Watched(agent, state, expected, ways);
  }

  puppet(name: string): Puppet {
    const puppet = new Puppet(this.#state.layout.brokerSocket, name);
    this.#puppets.push(puppet);
    return puppet;
  }

  /** The agent has said a thing of a collector so many times. */
  async said(name: string, what: string, times = 1): Promise<void> {
    const text = `collector ${name} ${what}`;
    await until(`the agent says: ${text}`, () => this.agent.stderr.split(text).length > times, PATIENCE_MS);
  }

  async reached(state: string): Promise<void> {
    await until(`the agent is ${state}`, () => this.agent.status().lifecycle.state === state, PATIENCE_MS);
  }

  /** Ends the agent, and notes how everything came to be. */
  async end(): Promise<void> {
    await this.agent.end("SIGTERM");
    const { lifecycle, registry } = this.agent.status();
    this.ways.note(this.ways.agent, "loading", lifecycle.history as Change<string, string>[]);
    for (const { collectorId, lifecycle } of registry) {
      const initial = this.expected.includes(collectorId) ? "expected" : "stopped";
      this.ways.note(this.ways.collectors, initial, lifecycle.history as Change<string, string>[]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const puppet of this.#puppets) await puppet[Symbol.asyncDispose]();
    await this.agent[Symbol.asyncDispose]();
    this.#state[Symbol.dispose]();
  }
}

/** It waits for one that never registers: nobody is told to begin. */
async function waiting(ways: Ways): Promise<void> {
  await using world = await Watched.start(ways, ["slow"], 600_000);
  const slow = world.puppet("slow"), early = world.puppet("early"), silent = world.puppet("silent");
  await silent.do("connect", "register", "mute");
  await slow.do("connect");
  await early.do("connect", "close");
  await world.said("early", "disconnected");
  await early.do("connect", "connect", "register", "connect", "register", "goodbye");
  await world.said("silent", "has failed");
  await silent.do("beat");
  await world.said("silent", "is heard from again");
  await world.end();
}

/** Its start fails, is made up for, and collectors fall silent, come again, and leave in every state. */
async function madeUp(ways: Ways): Promise<void> {
  await using world = await Watched.start(ways, ["first", "late"], 1_000);
  const first = world.puppet("first"), late = world.puppet("late");
  await first.do("connect", "register");
  await world.reached("startupFailed");
  await late.do("connect", "register");
  await world.reached("steadyState");
  await late.do("mute");
  await first.do("connect", "register", "mute");
  await world.said("first", "is degraded");
  await first.do("beat");
  await world.said("first", "is heard from again");
  await world.said("first", "is degraded", 2);
  await first.do("connect", "mute");
  await world.said("first", "is degraded", 3);
  await first.do("goodbye");
  await world.said("late", "has failed");
  await late.do("goodbye");
  await late.do("connect", "register", "goodbye");
  await world.end();
}

/** Nobody is expected: it is ready at once. */
async function alone(ways: Ways): Promise<void> {
  await using world = await Watched.start(ways, [], 600_000);
  await world.reached("steadyState");
  await world.end();
}

/** The one that it waits for does not come, and it is told to stop. */
async function inVain(ways: Ways): Promise<void> {
  await using world = await Watched.start(ways, ["never"], 1_000);
  await world.reached("startupFailed");
  await world.end();
}

Deno.test("every state and every way between states is driven between real processes", async () => {
  const ways = new Ways();
  const rows = (table: readonly { from: string; event: string; to: string }[]): string[] =>
    table.map(({ from, event, to }) => `${from} ${event} ${to}`);
  const notDriven = (table: string[], driven: Set<string>): string[] => table.filter((row) => !driven.has(row));
  const isLacking = (): boolean =>
    notDriven(rows(AGENT_TRANSITIONS), ways.agent).length > 0 ||
    notDriven(rows(COLLECTOR_TRANSITIONS), ways.collectors).length > 0;
  for (let round = 0; round < ROUNDS && isLacking(); round++) {
    await Promise.all([waiting(ways), madeUp(ways), alone(ways), inVain(ways)]);
  }
  assert.deepEqual(notDriven(rows(AGENT_TRANSITIONS), ways.agent), [], "ways of the agent that nothing drove");
  assert.deepEqual(
    notDriven(rows(COLLECTOR_TRANSITIONS), ways.collectors),
    [],
    "ways of collectors that nothing drove",
  );
  // And nothing moved by a way that no table has.
  assert.deepEqual(notDriven([...ways.agent], new Set(rows(AGENT_TRANSITIONS))), []);
  assert.deepEqual(notDriven([...ways.collectors], new Set(rows(COLLECTOR_TRANSITIONS))), []);
  const reached = (driven: Set<string>): string[] =>
    [...driven].flatMap((row) => [row.split(" ")[0]!, row.split(" ")[2]!]);
  const missing = (all: object, driven: Set<string>) =>
    Object.keys(all).filter((state) => !reached(driven).includes(state));
  assert.deepEqual([...missing(AGENT_STATES, ways.agent), ...missing(COLLECTOR_STATES, ways.collectors)], []);
});
