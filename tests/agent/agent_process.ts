/**
 * The real agent as a process of its own, under its own grants, on a state directory of its own.
 *
 * @module
 */
import { tierGrants } from "../../deploy/privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "../../deploy/runtime_flags.ts";
import { allNeeds } from "../../proto/sink_needs.ts";
import { parseSinks } from "../../proto/sink_entries.ts";
import type { SinkEntry } from "../../proto/sink_settings.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import type { AgentStatus } from "../../proto/status.ts";
import { decodeAgentStatus } from "../../proto/status_codec.ts";
import { TOKEN } from "./broker/test_collector.ts";
import { TempDir, until } from "./support.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A rule that hits each start of a program of this name. */
export const EVIL = "evil";
export const EVIL_RULE = `id: evil-starts
title: Evil starts
description: A test's rule
severity: critical
tags: [attack.t1059]
sql: |
  SELECT event_id, pid, name, command_line FROM process_events WHERE event_type = 'start' AND name = '${EVIL}'
tests:
  match:
    - { event_type: "start", name: "${EVIL}" }
  no_match:
    - { event_type: "start", name: "good" }
`;

/** A state directory with token and rules, as the supervisor lays it out. */
export class AgentState implements Disposable {
  readonly #dir = new TempDir();
  readonly layout: StateLayout = stateLayout(this.#dir.path);

  constructor(rules: Readonly<Record<string, string>> = { "evil.yml": EVIL_RULE }) {
    const { run, requests, agent, rules: own } = this.layout;
    for (const directory of [run, requests, agent, own]) Deno.mkdirSync(directory);
    Deno.writeTextFileSync(this.layout.token, TOKEN + "\n");
    for (const [name, text] of Object.entries(rules)) Deno.writeTextFileSync(`${this.layout.rules}/${name}`, text);
  }

  [Symbol.dispose](): void {
    this.#dir[Symbol.dispose]();
  }
}

export interface AgentOptions {
  /** Settings as `KEY=VALUE`. */
  readonly set?: readonly string[];
  /** Goes before the program, as `setpriv` does. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A bundle to run in place of the sources, which not every user can read. */
  readonly bundle?: string;
  /** Ready when it listens unless it is expected to end first. */
  readonly expectEnd?: boolean;
  /** Resolves as soon as it runs, ready or not. */
  readonly atOnce?: boolean;
  /** Entries of `agent.sinks`, which it is granted unless said otherwise. */
  readonly sinks?: readonly SinkEntry[];
  readonly sinksGranted?: boolean;
  /** A configuration file, which it may read. */
  readonly config?: string;
  /** Sinks that it is granted beside those that are set. */
  readonly granted?: readonly SinkEntry[];
  /** What it finds on its standard input, which then stays open. */
  readonly input?: string;
  /** More words of the command line. */
  readonly args?: readonly string[];
}

export class AgentProcess implements AsyncDisposable {
  stdout = "";
  stderr = "";
  ended: Deno.CommandStatus | null = null;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  #input: WritableStreamDefaultWriter<Uint8Array> | null = null;

  private constructor(readonly layout: StateLayout, options: AgentOptions) {
    const sinks = options.sinksGranted === false ? [] : parseSinks(
      [...options.sinks ?? [], ...options.granted ?? []],
      (text) => new Error(text),
    );
    const grants = tierGrants("agent", {
      sinks: allNeeds(sinks, layout.agent),
      layout,
      rulesDirs: [layout.rules],
      configFiles: options.config === undefined ? [] : [options.config],
      alertHosts: [],
      libc: "/lib/libc.so.6",
    });
    const listed = options.sinks === undefined ? [] : [`agent.sinks=${JSON.stringify(options.sinks)}`];
    const set = ["agent.stdout=json", ...listed, ...options.set ?? []].flatMap((assignment) => ["--set", assignment]);
    const [program, ...args] = [
      ...options.prefix ?? [],
      Deno.execPath(),
      "run",
      ...options.bundle === undefined ? ["--quiet", "--no-check"] : BUNDLE_FLAGS,
      ...grantFlags(grants),
      options.bundle ?? `${ROOT}agent/main.ts`,
      "--state",
      layout.state,
      ...options.config === undefined ? [] : ["--config", options.config],
      ...set,
      ...options.args ?? [],
    ];
    this.#child = new Deno.Command(program!, {
      args,
      env: { NO_COLOR: "1", ...options.env },
      stdin: options.input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (options.input !== undefined) {
      this.#input = this.#child.stdin.getWriter();
      this.#input.write(new TextEncoder().encode(options.input)).catch(() => {});
    }
    const gather = async (stream: ReadableStream<Uint8Array>, keep: (text: string) => void): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) keep(decoder.decode(chunk, { stream: true }));
    };
    this.#reading = Promise.all([
      gather(this.#child.stdout, (text) => this.stdout += text),
      gather(this.#child.stderr, (text) => this.stderr += text),
      this.#child.status.then((status) => this.ended = status),
    ]);
  }

  static async start(state: AgentState, options: AgentOptions = {}): Promise<AgentProcess> {
    const agent = new AgentProcess(state.layout, options);
    if (options.atOnce) return agent;
    const ready = options.expectEnd ? () => agent.ended !== null : () => agent.stderr.includes("listening on");
    try {
      await until("the agent is ready", () => ready() || agent.ended !== null);
    } catch (error) {
      agent.kill("SIGKILL");
      throw error;
    }
    if (!ready()) throw new Error(`The agent ended: ${agent.stderr}`);
    return agent;
  }

  get pid(): number {
    return this.#child.pid;
  }

  status(): AgentStatus {
    return decodeAgentStatus(Deno.readFileSync(this.layout.agentStatus));
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // it has ended
    }
  }

  /** Sends a signal and waits for the end. */
  async end(signal: Deno.Signal = "SIGTERM"): Promise<Deno.CommandStatus> {
    this.kill(signal);
    await this.#input?.close().catch(() => {});
    await this.#reading;
    return this.ended!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}

/** Ids of the alerts in a file of them. */
export function alertIds(text: string): string[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).alertId as string);
}
