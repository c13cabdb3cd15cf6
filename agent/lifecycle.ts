/**
 * The agent's own state, and the start in three phases: it loads, it waits until every expected collector has registered,
 * it tells them to begin.
 *
 * What comes is stored and judged from the moment that the store is in use, whatever the phase: a collector that does not
 * come must not blind the others. So an agent whose start failed goes on, says who is missing, and is ready when they come.
 *
 * @module
 */
import { AGENT_TRANSITIONS, type AgentEvent, type AgentState, StateMachine } from "../proto/lifecycle_states.ts";
import type { LifecycleStatus } from "../proto/status.ts";
import type { Registry } from "./collectors/registry.ts";
import type { Journal } from "./journal.ts";

export class AgentLifecycle {
  readonly #machine = new StateMachine<AgentState, AgentEvent>(AGENT_TRANSITIONS, "loading", Date.now());
  readonly #registry: Registry;
  readonly #journal: Journal;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isInUse = false;
  #reason = "";

  /** @param timeoutMs time for all to register, from when they can */
  constructor(registry: Registry, journal: Journal, private readonly timeoutMs: number) {
    this.#registry = registry;
    this.#journal = journal;
  }

  get state(): AgentState {
    return this.#machine.state;
  }

  /** The rules judge and the store takes: phase one is over. */
  inUse(): void {
    if (this.#isInUse) return; // a store that comes back begins nothing anew
    this.#isInUse = true;
    this.check();
    if (this.state === "loading") this.#timer = setTimeout(() => this.#timedOut(), this.timeoutMs);
  }

  /** To be called when a collector has registered. */
  check(): void {
    if (!this.#isInUse || this.#registry.pending().length > 0) return;
    if (!this.#machine.take("allRegistered", Date.now())) return;
    clearTimeout(this.#timer);
    this.#reason = "";
    this.#registry.begin();
    this.#machine.take("begun", Date.now());
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#reason = "";
    this.#machine.take("stopAsked", Date.now());
  }

  status(): LifecycleStatus {
    const { state, since, history } = this.#machine;
    const pending = state === "loading" && this.#isInUse ? `it waits for ${this.#registry.pending().join(", ")}` : "";
    return { state, since, reason: this.#reason || pending, history };
  }

  #timedOut(): void {
    const pending = this.#registry.pending(), seconds = this.timeoutMs / 1000;
    if (!this.#machine.take("timedOut", Date.now())) return;
    this.#reason = `${pending.join(", ")} did not register within ${seconds} s; see what the supervisor says of it`;
    this.#registry.giveUp(pending);
    this.#journal.notice(`the start failed: ${this.#reason}`);
  }
}
