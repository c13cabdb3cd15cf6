/**
 * What `deno task start` shows of the running system: read from the status files and the store as any reader does.
 *
 * A process of its own, with the CLI's grants, as a user that owns nothing, so that the supervisor, which is root, never
 * parses a file that a tier wrote. Its stdout are lines of a keyword and a text: `status`, `say` or `event`.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { printable } from "../proto/printable.ts";
import { type StateLayout, stateLayout } from "../proto/state_layout.ts";
import { type AgentStatus, type CollectorStatus, STALE_AFTER_MS, type TierStatus } from "../proto/status.ts";
import { decodeAgentStatus, decodeCollectorStatus } from "../proto/status_codec.ts";

/** Between two looks: until the first processes were shown, while events are shown, and from then on. */
const EAGER_MS = 100, SHOWING_MS = 250, STEADY_MS = 1_000;
/** Process starts that are shown although nobody asked for every event, to show that it works. */
const FIRST_STARTS = 10;
/** Events of one look, so that a storm does not hold it. */
const MAX_EVENTS = 2_000;
/** Larger status files are not read; a daemon's own is far smaller. */
const MAX_STATUS_BYTES = 4_194_304;
/** Length at which a command line is cut in a line for people. */
const MAX_COMMAND = 160;

const number = new Intl.NumberFormat("en-US");

class Viewer {
  readonly #layout: StateLayout;
  readonly #every: boolean;
  readonly #since: number;
  #introduced = false;
  #shownStarts = 0;
  #status = "";
  #lastEvent: number | null = null;
  #rate = { time: 0, events: 0, perSecond: 0 };
  readonly #agent = new StatusReader(decodeAgentStatus);
  readonly #collector = new StatusReader(decodeCollectorStatus);
  /** What the store's log was when the store was read last. */
  #logMark = "";

  constructor(layout: StateLayout, every: boolean, since: number) {
    this.#layout = layout;
    this.#every = every;
    this.#since = since;
  }

  async run(): Promise<void> {
    for (;;) {
      const agent = this.#agent.read(this.#layout.agentStatus);
      const collector = this.#collector.read(this.#layout.collectorStatus);
      if (agent !== null) this.#readStore();
      const status = this.#summary(agent, collector);
      if (status !== this.#status) say("status", this.#status = status);
      const wait = !this.#introduced ? EAGER_MS : this.#wantsEvents() ? SHOWING_MS : STEADY_MS;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  #wantsEvents(): boolean {
    return this.#every || this.#shownStarts < FIRST_STARTS;
  }

  #readStore(): void {
    if (this.#introduced && !this.#wantsEvents()) return;
    // Each commit writes to it, and to open a store where nothing happens costs more than all else here.
    const mark = markOf(`${this.#layout.store}-wal`);
    if (this.#introduced && mark !== null && mark === this.#logMark) return;
    this.#logMark = mark ?? "";
    let store: DatabaseSync | undefined;
    try {
      store = new DatabaseSync(this.#layout.store, { readOnly: true });
      if (!this.#introduced) this.#introduce(store);
      if (this.#wantsEvents()) this.#showEvents(store);
    } catch {
      // The agent has not made it yet, or is replacing it; looked at again in a moment. Its faults are told by the agent.
    } finally {
      store?.close();
    }
  }

  #introduce(store: DatabaseSync): void {
    const count = one(store, "SELECT count(*) AS n FROM processes WHERE end_time IS NULL");
    if (count === 0) return;
    const newest = store.prepare(
      "SELECT pid, name FROM processes WHERE end_time IS NULL AND kernel_thread IS NOT 1 ORDER BY start_time DESC LIMIT 6",
    ).iterate();
    const names = [...newest].map(({ pid, name }) => `${name ?? "?"} (${pid})`).join(", ");
    say("say", `watching ${number.format(count)} processes; newest: ${names}`);
    this.#introduced = true;
  }

  #showEvents(store: DatabaseSync): void {
    this.#lastEvent ??= one(
      store,
      "SELECT coalesce((SELECT event_id FROM process_events WHERE time < ? ORDER BY event_id DESC LIMIT 1), 0) AS n",
      this.#since,
    );
    const kinds = this.#every ? "" : "AND event_type = 'start'";
    const limit = this.#every ? MAX_EVENTS : FIRST_STARTS - this.#shownStarts;
    const events = store.prepare(
      `SELECT event_id, event_type, pid, ppid, name, user_name, user_id, command_line, executable_path, exit_code,
         exit_signal, duration_ms
       FROM process_events WHERE event_id > ? ${kinds} ORDER BY event_id LIMIT ${limit}`,
    ).iterate(this.#lastEvent);
    for (const event of events) {
      this.#lastEvent = Number(event["event_id"]);
      say("event", describe(event));
      if (event["event_type"] !== "start" || this.#every) continue;
      if (++this.#shownStarts === FIRST_STARTS) {
        say("say", "further processes are counted and stored; --events shows each, 'deno task cli events' lists them");
      }
    }
  }

  #summary(agent: AgentStatus | null, collector: CollectorStatus | null): string {
    if (agent === null) return "waiting for the agent";
    if (collector === null) return "waiting for the collector";
    const count = (name: string): number => agent.counters[name] ?? 0;
    const events = count("events"), passed = agent.time - this.#rate.time;
    if (passed >= 900) {
      const more = this.#rate.time === 0 ? 0 : Math.max(0, events - this.#rate.events);
      this.#rate = { time: agent.time, events, perSecond: more * 1000 / passed };
    }
    const parts = [
      `${number.format(collector.trackedProcesses)} processes`,
      `${number.format(events)} events`,
      `${number.format(Math.round(this.#rate.perSecond))}/s`,
      `${number.format(count("alerts"))} alerts`,
      `${number.format(count("gaps"))} gaps`,
      `${number.format(collector.queuedEvents)} queued`,
    ];
    if (!collector.connected) parts.push("not connected");
    return parts.join("  ");
  }
}

/** Reads the status of a daemon again and again. */
class StatusReader<T extends TierStatus> {
  readonly #decode: (bytes: Uint8Array) => T;
  #mark: string | null = null;
  #status: T | null = null;

  constructor(decode: (bytes: Uint8Array) => T) {
    this.#decode = decode;
  }

  /** What it said a moment ago, else `null`. */
  read(path: string): T | null {
    try {
      const mark = markOf(path);
      if (mark === null || mark !== this.#mark) {
        this.#status = null;
        this.#mark = mark;
        const { isFile, size } = Deno.statSync(path);
        if (isFile && size <= MAX_STATUS_BYTES) this.#status = this.#decode(Deno.readFileSync(path));
      }
    } catch {
      // not written yet, or damaged: the CLI's health tells more
    }
    const status = this.#status;
    if (status === null || status.state === "stopped") return null;
    return Math.abs(Date.now() - status.time) <= STALE_AFTER_MS ? status : null;
  }
}

/** Changes with the file, or with what is written to it; `null` where there is none. */
function markOf(path: string): string | null {
  try {
    const { ino, size, mtime } = Deno.statSync(path);
    return `${ino} ${size} ${mtime?.getTime()}`;
  } catch {
    return null;
  }
}

function one(store: DatabaseSync, sql: string, ...parameters: number[]): number {
  return Number(store.prepare(sql).get(...parameters)?.["n"] ?? 0);
}

function describe(event: Readonly<Record<string, unknown>>): string {
  const who = `${event["pid"]} ${event["user_name"] ?? event["user_id"] ?? "?"}`;
  // A process that ended before it could be read has none of these.
  const command = String(event["command_line"] || event["executable_path"] || event["name"] || "(unknown)");
  const cut = command.length > MAX_COMMAND ? `${command.slice(0, MAX_COMMAND)}…` : command;
  if (event["event_type"] !== "stop") return `${event["event_type"]} ${who} ${cut}`;
  const how = event["exit_signal"] !== null ? `signal ${event["exit_signal"]}` : `code ${event["exit_code"] ?? "?"}`;
  return `stop ${who} ${how} ${cut}`;
}

const encoder = new TextEncoder();

/** One line to the supervisor; when it no longer reads, this program has no purpose. */
function say(keyword: "status" | "say" | "event", text: string): void {
  try {
    const bytes = encoder.encode(`${keyword} ${printable(text)}\n`);
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch {
    Deno.exit(0);
  }
}

const { values } = parseArgs({
  options: {
    state: { type: "string" },
    since: { type: "string" },
    events: { type: "boolean", default: false },
    // Asked for when its bundle is analysed ahead of its first run.
    version: { type: "boolean", default: false },
  },
});
if (!values.version) {
  if (values.state === undefined) throw new TypeError("--state must name the state directory");
  await new Viewer(stateLayout(values.state), values.events, Number(values.since ?? 0)).run();
}
