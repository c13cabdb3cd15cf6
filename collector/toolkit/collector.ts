/**
 * The runtime of a collector: several sources into one stream, on disk before it is offered, to the agent and again
 * until the agent has it.
 *
 * It is made of the parts of this project's own sensor: the same write-ahead log, outbox, publisher and session. The agent is
 * not trusted (`publisher.ts` says in what way), sources are trusted as code of this process and not in what they put.
 * A disk that takes nothing, an agent that is away and a source that fails are states that it goes on in; what is lost
 * in any of them becomes a gap.
 *
 * @module
 */
import { RPC_VERSION } from "../../proto/bus/rpc.ts";
import type { Connection } from "../../proto/channel.ts";
import { NoticeLog } from "../../proto/notice_log.ts";
import type { Gap } from "../../proto/process_event.ts";
import { DEFAULT_HEARTBEAT_MS, type Registration, tableSchema } from "../../proto/registration.ts";
import { changeFault, descriptorFault, type TableDescriptor, timeIndex } from "../../proto/table_descriptor.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { ReplyBody, RequestBody } from "../../proto/messages.ts";
import { encodeMessage } from "../../proto/wire.ts";
import { LiveSettings } from "../calls/live_settings.ts";
import { collectorService } from "../calls/service.ts";
import { kindOf } from "../carry.ts";
import { LogKeeper } from "../log_keeper.ts";
import { Outbox } from "../outbox.ts";
import { Publisher } from "../publisher.ts";
import { DiskHome } from "../wal/home.ts";
import type { Tally } from "../wal/shedding.ts";
import type { EventSource } from "./event_source.ts";
import { runnerHealth, unsupportedTasks } from "./collector_calls.ts";
import { readPositions, writePositions } from "./position_file.ts";
import { SourceRunner } from "./source_runner.ts";

/** Most sources of one collector. */
export const MAX_SOURCES = 16;
const SOURCE_NAME = /^[a-z][a-z0-9_-]{0,31}$/, NAME = /^[A-Za-z0-9._+-]{1,64}$/;
/** A collector that may not read the boot's id says this. */
const NO_BOOT_ID = "00000000-0000-0000-0000-000000000000";
/** Share of the log at which sources are asked to wait, and below which they go on. */
const FULL = 0.7, FREE = 0.5;
const TICK_MS = 1_000;
/** How often it is written that the collector runs. */
const ALIVE_MS = 5_000;
const STOP_DEADLINE_MS = 2_000;

/** Of a collector; what is left out is as said. */
export interface CollectorOptions {
  /** Its name, by which the agent knows it and its token: 1 to 64 letters, digits or `. _ + -`. */
  readonly id: string;
  /** What kind of collector it is, of the same letters. */
  readonly type: string;
  /** Its own version, of the same letters. */
  readonly version: string;
  /** 1 to 16, with names of their own. */
  readonly sources: readonly EventSource[];
  /** A directory of its own, which it may read and write: log and positions are there. */
  readonly stateDirectory: string;
  /** Opens a connection to the agent's socket. */
  readonly connect: () => Promise<Connection>;
  /** The token: in hexadecimal, 64 digits. */
  readonly token: string;
  /** Bytes that the log may take on disk; 64 MiB. */
  readonly logBytes?: number;
  /** Rows of one source that may wait to be written; 1,000. One that does not wait for room may have twice that. */
  readonly bufferRows?: number;
  /** Longest time that a row waits for others, in milliseconds; 100. */
  readonly batchMs?: number;
  /** Time between two heartbeats, in milliseconds; 5,000. */
  readonly heartbeatMs?: number;
  /** Longest time between two tries to reach the agent, in milliseconds; 5,000. */
  readonly retryMs?: number;
  /** The id of the boot, as the kernel has it; zeros say that it is not known. */
  readonly bootId?: string;
  /** Whether the agent may end it; no. */
  readonly obeysShutdown?: boolean;
  /** Told what an operator should know, one line each; by default standard error. */
  readonly notice?: (text: string) => void;
}

/** What a collector counts of itself, since its start. */
export interface CollectorCounts {
  /** Rows that were put, and taken by the log. */
  readonly rows: number;
  /** Rows that were none of their table. */
  readonly refused: number;
  /** Rows for which there was no room: in memory, and in the log. */
  readonly dropped: number;
  /** Numbers that the agent has not acknowledged. */
  readonly waiting: number;
  /** Connections to the agent, so far. */
  readonly connections: number;
  /** Whether it is connected now. */
  readonly isConnected: boolean;
}

/**
 * Runs sources and carries what they see to the agent.
 *
 * @example A collector of one source, run until a signal comes: see {@linkcode runCollector}, which does what most want.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #runners: readonly SourceRunner[];
  readonly #outbox: Outbox;
  readonly #publisher: Publisher;
  readonly #notices = new NoticeLog();
  readonly #positions: Map<string, unknown>;
  readonly #positionFile: string;
  readonly #registration: Registration;
  readonly #began = Date.now();
  readonly #lastRan: number | null;
  #isFull = false;
  #batch: ReturnType<typeof setTimeout> | undefined;
  #tick: ReturnType<typeof setInterval> | undefined;
  #publishing: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #said = "";
  #aliveAt = 0;
  #rows = 0;
  #unlogged = 0;
  #positionFault = "";
  #ended!: () => void;
  /** Resolves when the collector has stopped. */
  readonly ended: Promise<void> = new Promise((resolve) => this.#ended = resolve);

  /**
   * Opens the log and what was remembered; nothing is started yet.
   *
   * @throws RangeError for options that cannot be, such as tables that are none
   */
  constructor(options: CollectorOptions) {
    this.#options = options;
    const tables = checkOptions(options),
      { id, sources, stateDirectory } = options,
      bufferRows = options.bufferRows ?? 1_000;
    Deno.mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    this.#positionFile = `${stateDirectory}/positions.json`;
    const { positions, time } = readPositions(this.#positionFile);
    this.#positions = new Map(sources.map(({ name }) => [name, positions.get(name) ?? null]));
    this.#lastRan = time;
    const notice = (text: string): void => this.#notice(text);
    const keeper = new LogKeeper({
      home: new DiskHome(`${stateDirectory}/wal`),
      // Whose log it is, the directory says: a host's id cannot be read with a collector's grants
      host: "any",
      collectorId: id,
      totalBytes: options.logBytes ?? 64 << 20,
      segmentBytes: 4 << 20,
      keepMs: 60_000,
      memoryBytes: 8 << 20,
      clock: () => performance.now(),
      now: Date.now,
      gapRecord,
      notice,
    });
    this.#outbox = new Outbox(keeper);
    this.#runners = sources.map((source) =>
      new SourceRunner(source, {
        bufferRows,
        position: this.#positions.get(source.name),
        hasRoom: () => !this.#isFull,
        wake: () => this.#wake(),
        notice,
      })
    );
    this.#registration = {
      collectorType: options.type,
      domains: [],
      kernelLevel: false,
      realtime: sources.some(({ capabilities }) => capabilities.realtime),
      systemWide: sources.some(({ capabilities }) => capabilities.systemWide),
      tables: tables.map(tableSchema),
      heartbeatMs: options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS,
      keepsLedger: false,
    };
    this.#publisher = new Publisher(this.#outbox, {
      connect: options.connect,
      token: options.token,
      collectorId: id,
      bootId: options.bootId ?? NO_BOOT_ID,
      source: sources[0]!.name,
      softwareVersion: options.version,
      registration: this.#registration,
      ...options.retryMs === undefined ? {} : { lastRetryMs: options.retryMs },
      checkPeer: () => {}, // whose the socket is, only native code could ask: both sides prove the token instead
      answer: (body) => this.#answer(body),
      carryOut: collectorService({
        collectorId: id,
        tasks: unsupportedTasks,
        taskTypes: [],
        settings: new LiveSettings({ settings: {}, changed: () => {} }),
        health: () => runnerHealth(this.statuses(), this.#outbox.status, this.#outbox.trouble),
        pause: (isPaused) => this.#publisher.isPaused = isPaused,
        respond: null,
        shutdown: options.obeysShutdown === true ? (_, reason) => void this.stop(`the agent asks: ${reason}`) : null,
        notice,
      }),
      notice,
    });
  }

  /** Starts the sources, and connects as often as it must. Resolves when each source was started once. */
  async start(): Promise<void> {
    const { sources } = this.#options;
    if (this.#lastRan !== null) {
      for (const { name, capabilities } of sources) {
        if (capabilities.resumes) continue;
        const gap = { source: name, recordKind: "all", from: Math.min(this.#lastRan, this.#began), to: this.#began };
        this.#outbox.addGap({ ...gap, count: null, reason: `the collector ${this.#options.id} did not run` });
      }
    }
    this.#remember(this.#began);
    this.#publishing = this.#publisher.run();
    this.#tick = setInterval(() => this.#tend(), TICK_MS);
    await Promise.all(this.#runners.map((runner) => runner.start()));
    this.#tend();
  }

  /** How each source is. */
  statuses(): SourceStatus[] {
    return this.#runners.map((runner) => runner.status());
  }

  /** What it counts of itself. */
  get counts(): CollectorCounts {
    const sum = (of: (runner: SourceRunner) => number): number =>
      this.#runners.reduce((all, each) => all + of(each), 0);
    return {
      rows: this.#rows,
      refused: sum(({ refused }) => refused),
      dropped: sum(({ dropped }) => dropped) + this.#unlogged,
      waiting: this.#outbox.waiting + sum(({ waiting }) => waiting),
      connections: this.#publisher.connections,
      isConnected: this.#publisher.connected,
    };
  }

  /** The newest notices, one line each. */
  get notices(): readonly string[] {
    return this.#notices.notices.map(({ text }) => text);
  }

  /**
   * Stops the sources, puts what they put on disk, sends what it can in two seconds, says goodbye and closes the log. What
   * was not sent is there for the next run.
   */
  stop(reason: string = "the collector stops"): Promise<void> {
    return this.#stopping ??= this.#stop(reason);
  }

  async #stop(reason: string): Promise<void> {
    clearInterval(this.#tick);
    await Promise.all(this.#runners.map((runner) => runner.stop()));
    this.#drain();
    if (this.#publishing !== null) {
      await this.#publisher.stop(STOP_DEADLINE_MS, reason);
      await this.#publishing;
    }
    this.#outbox.flush();
    this.#remember(Date.now());
    this.#outbox.close();
    clearTimeout(this.#batch);
    this.#ended();
  }

  #wake(): void {
    this.#batch ??= setTimeout(() => this.#drain(), this.#options.batchMs ?? 100);
  }

  /** Takes what the sources put, has it on disk, remembers how far they are, and offers it. */
  #drain(): void {
    clearTimeout(this.#batch);
    this.#batch = undefined;
    const outbox = this.#outbox;
    for (const runner of this.#runners) {
      const { rows, gaps } = runner.take();
      for (const each of rows) {
        const taken = outbox.addRows(each.table, each.rows);
        this.#rows += taken;
        this.#unlogged += each.rows.length - taken;
      }
      for (const gap of gaps) outbox.addGap(gap);
    }
    const isOnDisk = outbox.flush() && outbox.place !== "memory";
    this.#feelPressure();
    let isMoved = false;
    // Positions of rows that only memory has would be ahead of what a crash leaves
    for (const runner of isOnDisk ? this.#runners : []) {
      const kept = runner.takePosition();
      if (kept === null) continue;
      this.#positions.set(runner.name, kept.position);
      isMoved = true;
    }
    if (isMoved) this.#remember(Date.now());
    this.#publisher.poke();
  }

  #feelPressure(): void {
    const { load } = this.#outbox, isFull = load >= (this.#isFull ? FREE : FULL);
    if (isFull !== this.#isFull) {
      this.#notice(isFull ? "what waits takes 70 % of the log: sources are asked to wait" : "sources may go on");
    }
    this.#isFull = isFull;
    for (const runner of this.#runners) runner.release();
  }

  #tend(): void {
    const statuses = this.statuses(), said = JSON.stringify(statuses);
    if (said !== this.#said) {
      this.#said = said;
      this.#outbox.addSources(statuses, Date.now());
    }
    this.#drain();
    this.#outbox.tend();
    if (Date.now() - this.#aliveAt >= ALIVE_MS) this.#remember(Date.now());
  }

  #remember(time: number): void {
    this.#aliveAt = time;
    try {
      writePositions(this.#positionFile, this.#positions, time);
      this.#positionFault = "";
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#positionFault) this.#notice(`positions cannot be kept, rows may come again: ${fault}`);
      this.#positionFault = fault;
    }
  }

  #answer(body: RequestBody): ReplyBody {
    if (body.kind !== "capabilities") return { kind: "error", reason: `This collector does not answer ${body.kind}` };
    const { domains, kernelLevel, realtime, systemWide } = this.#registration;
    return {
      kind: "capabilities",
      success: body.domains.length === 0,
      ...{ domains, kernelLevel, realtime, systemWide },
      errorMessage: body.domains.length === 0 ? null : `No source for ${body.domains.join(", ")}`,
      serverVersion: this.#options.version,
      demandVersion: 0,
      rpcVersion: RPC_VERSION,
    };
  }

  #notice(text: string): void {
    const said = this.#notices.add(text, Date.now());
    (this.#options.notice ?? ((line) => console.error(`${this.#options.id}: ${line}`)))(said);
  }
}

/** The tables of all sources, each once. @throws RangeError */
function checkOptions({ id, type, version, sources }: CollectorOptions): TableDescriptor[] {
  for (const [what, name] of Object.entries({ id, type, version })) {
    if (!NAME.test(name)) throw new RangeError(`A collector's ${what} is 1 to 64 letters, digits or one of . _ + -`);
  }
  if (sources.length === 0 || sources.length > MAX_SOURCES) {
    throw new RangeError(`A collector has 1 to ${MAX_SOURCES} sources, not ${sources.length}`);
  }
  const names = new Set<string>(), tables = new Map<string, TableDescriptor>();
  for (const source of sources) {
    if (!SOURCE_NAME.test(source.name)) {
      throw new RangeError("A source's name is 1 to 32 lower-case letters, digits, _ or -, a letter first");
    }
    if (names.has(source.name)) throw new RangeError(`Two sources are named ${source.name}`);
    names.add(source.name);
    for (const table of source.tables) {
      const before = tables.get(table.name), fault = descriptorFault(table);
      if (fault !== null) throw new RangeError(`Source ${source.name}: ${fault}`);
      if (before !== undefined && (before.version !== table.version || changeFault(before, table) !== null)) {
        throw new RangeError(`Two sources describe ${table.name} in two ways`);
      }
      tables.set(table.name, table);
    }
  }
  for (const name of tables.keys()) {
    if (!tables.has(timeIndex(name))) continue;
    throw new RangeError(`${timeIndex(name)} is the name of the index of the table ${name}; choose another`);
  }
  return [...tables.values()];
}

/** The record that tells of items for which the log had no room. */
function gapRecord(sequence: number, { itemClass, count, from, to }: Tally): { kind: number; payload: Uint8Array } {
  const what = itemClass === "start" ? "rows" : "gaps and reports of sources";
  const reason = `the write-ahead log had no room for ${what}: the agent did not take them, or the disk did not`;
  const gap: Gap = { source: "collector", recordKind: "all", from, to, count, reason };
  return { kind: kindOf("note"), payload: encodeMessage({ kind: "gap", sequence, gap }) };
}
