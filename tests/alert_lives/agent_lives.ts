/**
 * SIGKILL at random moments on the agent itself while it takes events, raises alerts and delivers them, again and again;
 * then everything is counted.
 *
 * What each event raises follows from its number alone. The sinks are the agent's own file, a log server that often turns
 * a connection away or ends it early, and one that is never there.
 *
 * @module
 */
import assert from "node:assert/strict";
import net from "node:net";
import { AlertManager } from "../../agent/alerts/manager.ts";
import { newCounters } from "../../agent/counters.ts";
import { Store } from "../../agent/store/store.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { AgentProcess, AgentState, alertIds } from "../agent/agent_process.ts";
import { TestCollector } from "../agent/broker/test_collector.ts";
import { checkStore, rows, start, until } from "../agent/support.ts";
import { freePort } from "../support/receivers/receivers.ts";

/** From the moment that it has stored something a life lasts at most so long; one in eight ends while it starts. */
const MAX_LIFE_MS = 400, MAX_START_MS = 700, STARTING_SHARE = 1 / 8;
/** Events that may be under way. */
const MAX_OPEN = 200;
const PATIENCE_MS = 60_000;

/** Of every event one is a hit: of a rule whose hits are alerts each, of one that is one alert, or of a silenced one. */
const RULES = ["each", "same", "quiet"] as const;
type RuleId = (typeof RULES)[number];

function ruleOf(number: number): RuleId {
  return number % 7 === 0 ? "quiet" : number % 3 === 0 ? "same" : "each";
}

function ruleText(id: RuleId): string {
  const same = id === "same" ? "alert: { key: [], window: 24h }\n" : "";
  return `id: ${id}\ntitle: T\ndescription: D\nseverity: critical\n${same}sql: |\n  SELECT event_id, pid, name ` +
    `FROM process_events WHERE event_type = 'start' AND name = '${id}'\n`;
}

function eventOf(number: number): ProcessEvent {
  return start(number, { name: ruleOf(number) });
}

function idOf(number: number): string {
  return `${ruleOf(number)}@col:epoch-1:${number}`;
}

export interface AgentOutcome {
  readonly cycles: number;
  /** Events that the store has. */
  readonly events: number;
  readonly sent: number;
  /** Copies of alerts that the log server has beyond the first, under the same ids. */
  readonly copies: number;
}

/** Throws what does not hold. */
export async function agentLives(cycles: number): Promise<AgentOutcome> {
  using state = new AgentState(Object.fromEntries(RULES.map((id) => [`${id}.yml`, ruleText(id)])));
  const { store: path } = state.layout;
  await using log = new FlakyServer();
  const port = await log.listen();
  const sinks = [
    { name: "log", type: "syslog", address: `tcp://127.0.0.1:${port}`, timeout_ms: 10_000 },
    { name: "down", type: "syslog", address: `tcp://127.0.0.1:${freePort()}` },
  ];
  silence(path);
  let failures = 0, events = 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const agent = await AgentProcess.start(state, { sinks, atOnce: true });
    if (cycle > 0 && Math.random() < STARTING_SHARE) await pause(Math.random() * MAX_START_MS);
    else {
      await until(
        "the agent listens",
        () => agent.stderr.includes("listening on") || agent.ended !== null,
        PATIENCE_MS,
      );
      const life = { isOver: false, hasBegun: false }, feeding = feed(state, life);
      await until("the agent stores something", () => life.hasBegun || agent.ended !== null, PATIENCE_MS);
      await pause(Math.random() * MAX_LIFE_MS);
      life.isOver = true;
      if (agent.ended !== null) throw new Error(`The agent ended in life ${cycle}: ${agent.stderr}`);
      agent.kill("SIGKILL");
      await feeding;
    }
    await agent.end("SIGKILL");
    assert.doesNotMatch(agent.stderr, /damaged|not closed cleanly|cannot be read/, `life ${cycle}`);
    const stored = Number(rows(path, "SELECT max(last_sequence) AS n FROM collectors")[0]?.["n"] ?? 0);
    assert.ok(stored >= events, "commits do not go back");
    events = stored;
    // The breaker of the sink that is down never forgets
    const [down] = rows(path, "SELECT state, failures FROM alert_sinks WHERE sink = 'down'");
    const now = Number(down?.["failures"] ?? 0);
    assert.ok(now >= failures, `the breaker knew of ${failures} failures and knows of ${now}`);
    assert.ok(now < 5 || down!["state"] === "open", `${down?.["state"]} after ${now} failures`);
    failures = now;
  }
  {
    log.isKind = true;
    await using last = await AgentProcess.start(state, { sinks });
    const owed = (): unknown =>
      rows(path, "SELECT count(*) AS n FROM alert_deliveries WHERE state = 'pending' AND sink <> 'down'")[0]!["n"];
    // What the breaker has left to wait is waited for
    await until("all is delivered", () => owed() === 0, 3 * PATIENCE_MS);
    assert.equal((await last.end()).code, 0, last.stderr);
  }
  checkStore(path);
  return { cycles, events, ...checkAlerts(state, events, log.received) };
}

/** Each alert is where it must be, as often as it must be, and what is known of repeats and silences is true. */
function checkAlerts(state: AgentState, events: number, received: readonly string[]): { sent: number; copies: number } {
  const { store: path, alertFile } = state.layout;
  const numbers = Array.from({ length: events }, (_, i) => i + 1);
  const of = (rule: RuleId): number[] => numbers.filter((number) => ruleOf(number) === rule);
  const sent = [...of("each"), ...of("same").slice(0, 1)].map(idOf).sort();
  const ids = (where: string): unknown[] =>
    rows(path, `SELECT alert_id FROM alerts WHERE ${where} ORDER BY alert_id`).map((row) => row["alert_id"]);
  assert.deepEqual(ids("muted_by IS NULL"), sent, "the store");
  const muted = of("quiet").map(idOf).sort();
  assert.deepEqual(ids("muted_by = (SELECT mute_id FROM alert_mutes WHERE ended_time IS NULL)"), muted, "silenced");
  assert.equal(rows(path, "SELECT muted FROM alert_mutes")[0]!["muted"], muted.length);
  const [window] = rows(path, "SELECT sum(count) AS n FROM alert_windows WHERE rule_id = 'same'");
  assert.equal(window!["n"] ?? 0, Math.max(0, of("same").length - 1), "repeats");
  const hits = rows(path, "SELECT rule_id, hits FROM alert_rules ORDER BY rule_id");
  const expected = RULES.toSorted().map((rule) => ({ rule_id: rule, hits: of(rule).length })).filter(({ hits }) =>
    hits
  );
  assert.deepEqual(hits, expected);

  const lines = sent.length === 0 ? [] : alertIds(Deno.readTextFileSync(alertFile));
  assert.deepEqual(lines.toSorted(), sent, "the file, each once");
  const got = received.flatMap((text) => [...text.matchAll(/ alertId="([^"]+)"[^\]]*\]/g)].map(([, id]) => id!));
  assert.deepEqual([...new Set(got)].sort(), sent, "the log server, each at least once");
  return { sent: sent.length, copies: got.length - sent.length };
}

/** A log server that takes what comes; or, unless it is kind, turns it away at times, or goes away in the middle of it. */
class FlakyServer implements AsyncDisposable {
  isKind = false;
  /** What each connection brought. */
  readonly received: string[] = [];
  // As programs close a socket: with bytes unread the kernel answers with a reset. Deno's own connections say a proper
  // end before, which nothing that hears it can tell from that of a server which has read everything.
  readonly #server = net.createServer({ pauseOnConnect: true }, (socket) => this.#take(socket));
  readonly #open = new Set<net.Socket>();

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as net.AddressInfo).port;
  }

  #take(socket: net.Socket): void {
    const chance = this.isKind ? 1 : Math.random();
    socket.on("error", () => {}); // the agent was killed
    if (chance < 0.15) return void socket.destroy();
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    const place = this.received.push("") - 1, decoder = new TextDecoder();
    socket.on("data", (bytes) => {
      this.received[place] += decoder.decode(chance < 0.3 ? bytes.subarray(0, 512) : bytes, { stream: true });
      if (chance < 0.3) socket.resetAndDestroy();
    });
    socket.resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** Sends events from where the agent stopped, until it is gone. */
async function feed(state: AgentState, life: { readonly isOver: boolean; hasBegun: boolean }): Promise<void> {
  try {
    using collector = await TestCollector.join(state.layout.brokerSocket);
    const first = collector.acknowledged + 1;
    let next = first;
    while (!life.isOver && !collector.ended) {
      life.hasBegun ||= collector.acknowledged >= first;
      if (next - collector.acknowledged < MAX_OPEN) {
        const events = Array.from({ length: 1 + Math.floor(Math.random() * 5) }, (_, i) => eventOf(next + i));
        await collector.send(next, events);
        next += events.length;
      }
      await pause(Math.random() * 4);
    }
  } catch {
    // It was killed within the handshake or a frame.
  }
}

/** As an operator asked for it before. */
function silence(path: string): void {
  const store = new Store(path, []),
    manager = new AlertManager({
      ...{ windowMs: 300_000, rulePerMinute: 60, perMinute: 600, counters: newCounters() },
      ...{ alerted: () => {}, failed: () => {}, notice: () => {} },
    });
  manager.attach(store);
  manager.addMute({ kind: "silence", match: { fields: { rule: "quiet" }, atMost: null } }, "a test", 86_400_000, "ann");
  store.close();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
