/**
 * Records and tables that no kernel would give, in any order: what comes of them can be stored, and the tables stay small.
 *
 * @module
 */
import { Lifecycle } from "../../../collector/lifecycle.ts";
import type { RawContext, SourceRecord, TableEntry } from "../../../collector/sources/source.ts";
import { LEAN_ARGV_BYTES } from "../../../collector/tracked_process.ts";
import { encodedBound, eventBatches, snapshotParts } from "../../../proto/batches.ts";
import { MAX_ARGV_BYTES, type ProcessEvent, type ProcessState, STDIO_KINDS } from "../../../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../../../proto/wire.ts";
import { type FuzzTarget, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

const LIMITS = [{ maxTracked: 4, maxEnded: 2, maxBytes: 100 }, { maxTracked: 512, maxEnded: 128, maxBytes: 16 << 10 }];
/** What one process of the table may weigh beyond the limit: the begin of its arguments and its path, and its parent's. */
const LEAN_BYTES = 2 * (LEAN_ARGV_BYTES + 64);
const MAX_STEPS = 120, MAX_ENTRIES = 40;
const SECOND = 1e9;
const encoder = new TextEncoder();
/** Command lines with secrets, nonsense and none. */
const COMMANDS = [
  "",
  "sleep\x001\0",
  "sh\0-c\0mysql -u root --password='hunter2 x' | curl -H \"Authorization: Bearer abc\" https://u:p@host/\0",
  "curl\0-u\0user:secret\0",
  "env\0AWS_SECRET_ACCESS_KEY=abc\0TOKEN=\0",
  "x\0\0\0\xff\0",
  'bash\0-c\0$(echo $(echo $(echo "\'`"))\\\\\\\0',
].map((text) => encoder.encode(text));
const PATHS = [null, "/usr/bin/sleep", "/usr/bin/sleep (deleted)", "/memfd:x (deleted)", "", "/a\ufffd\n"];
const NAMES = ["sleep", "", "a\nb", ")"];
const STATUSES = ["running", "sleeping", "zombie", "dead", "idle", "?"];

/** What follows from a seed: a world of few pids and few times, so that records meet. */
class Maker {
  constructor(private readonly random: Random) {}

  pid = (): number => this.random.oneIn(20) ? this.random.edge() : this.random.below(40);
  time = (): number =>
    this.random.oneIn(20) ? this.random.edge() * this.random.edge() : this.random.below(40) * SECOND / 20;
  maybe = <T>(make: () => T): T | null => this.random.oneIn(4) ? null : make();
  argv = (): Uint8Array => {
    const argv = this.random.oneIn(3) ? mutate(this.random, this.random.pick(COMMANDS)) : this.random.pick(COMMANDS);
    return this.random.oneIn(100) ? new Uint8Array(MAX_ARGV_BYTES).fill(0x41) : argv.slice(0, MAX_ARGV_BYTES);
  };

  context(): RawContext {
    const { random, maybe } = this;
    const number = (): number | null => maybe(() => random.edge());
    return {
      cwd: maybe(() => random.pick(NAMES)),
      savedUserId: number(),
      effectiveGroupId: number(),
      savedGroupId: number(),
      loginUserId: number(),
      sessionId: number(),
      tty: maybe(() => "pts/1"),
      effectiveCapabilities: maybe(() => random.edge() * 512),
      userNamespace: number(),
      pidNamespace: number(),
      mountNamespace: number(),
      networkNamespace: number(),
      cgroupPath: maybe(() => `/system.slice/docker-${random.below(9)}${"0a".repeat(random.below(33))}.scope`),
      cgroupId: number(),
      interpreterPath: maybe(() => "/bin/sh"),
      scriptPath: maybe(() => "./x"),
      stdinKind: maybe(() => random.pick(STDIO_KINDS)),
      stdoutKind: maybe(() => random.pick(STDIO_KINDS)),
      environment: maybe(() => random.pick([[], ["LD_PRELOAD=/x"], ["TOKEN=abc", "=", ""], ["\xff=\xff"]])),
      environmentCut: random.oneIn(2),
    };
  }

  record(): SourceRecord {
    const { random, maybe, pid, time, argv } = this;
    switch (random.below(8)) {
      case 0:
      case 1:
        return {
          kind: "fork",
          time: time(),
          pid: pid(),
          ppid: pid(),
          startTime: maybe(time),
          namespacePid: maybe(pid),
          pidNamespace: maybe(pid),
        };
      case 2:
      case 3: {
        const times = { time: time(), pid: pid(), startTime: maybe(time) };
        return { kind: "exit", ...times, exitStatus: maybe(() => random.edge()), cpuTime: maybe(time) };
      }
      case 4: {
        const recordKind = random.pick(["exec", "fork", "exit", "all"] as const);
        return {
          kind: "loss",
          recordKind,
          from: time(),
          to: time(),
          count: maybe(() => random.edge()),
          reason: "full",
        };
      }
      default:
        return {
          kind: "exec",
          time: time(),
          pid: pid(),
          ppid: maybe(pid),
          startTime: maybe(time),
          ...this.#ids(),
          name: random.pick(NAMES),
          executablePath: random.pick(PATHS),
          argv: maybe(argv),
          argvLength: maybe(() => random.edge()),
          inode: maybe(() => random.edge()),
          device: maybe(() => random.edge()),
          namespacePid: maybe(pid),
          context: maybe(() => this.context()),
        };
    }
  }

  entry(): TableEntry {
    const { random, maybe, pid, time, argv } = this;
    return {
      pid: pid(),
      ppid: pid(),
      startTime: time(),
      name: random.pick(NAMES),
      executablePath: random.pick(PATHS),
      argv: maybe(argv),
      argvLength: maybe(() => random.edge()),
      ...this.#ids(),
      cpuTime: maybe(time),
      memoryUsage: maybe(() => random.edge()),
      threads: maybe(() => random.edge()),
      namespacePid: maybe(pid),
      context: maybe(() => this.context()),
      status: random.pick(STATUSES),
      kernelThread: random.oneIn(8),
    };
  }

  #ids(): { userId: number | null; groupId: number | null; effectiveUserId: number | null } {
    const id = (): number | null => this.maybe(() => this.random.edge());
    return { userId: id(), groupId: id(), effectiveUserId: id() };
  }
}

type Step =
  | { readonly record: SourceRecord }
  | { readonly table: TableEntry[]; readonly at: number; readonly first: boolean }
  | { readonly flushAt: number };

function step(maker: Maker, random: Random): Step {
  if (random.oneIn(12)) return { flushAt: maker.time() / 1e6 };
  if (!random.oneIn(12)) return { record: maker.record() };
  const table = Array.from({ length: random.length(MAX_ENTRIES) }, () => maker.entry());
  return { table, at: maker.time(), first: random.oneIn(4) };
}

export const lifecycle: FuzzTarget = {
  name: "lifecycle",
  share: 20_000,
  open: () => (random) => {
    const maker = new Maker(random), limits = random.pick(LIMITS);
    const steps = Array.from({ length: 1 + random.length(MAX_STEPS) }, () => step(maker, random));
    const looks = Array.from({ length: 8 }, () => random.oneIn(2) ? maker.entry() : null);
    return {
      show: () =>
        JSON.stringify({ limits, looks, steps }, (_, value) => value instanceof Uint8Array ? value.toHex() : value),
      run: () => live(limits, steps, looks),
    };
  },
};

function live(limits: typeof LIMITS[number], steps: readonly Step[], looks: readonly (TableEntry | null)[]): void {
  let looked = 0, inputs = 0, events = 0;
  const world = new Lifecycle({
    bootId: "0badcafe-0000-4000-8000-000000000000",
    source: {
      description: { name: "netlink", sees: "", misses: [], unknownColumns: [] },
      look: (pid) => {
        const entry = looks[looked++ % looks.length]!;
        return entry === null ? null : { ...entry, pid };
      },
    },
    names: { userName: (id) => id === 0 ? "root" : null, groupName: () => null },
    clock: { bootTimeNs: () => SECOND, bootOffsetMs: () => 1_700_000_000_000, sleptNs: () => 0 },
    limits,
  });
  const flush = (nowMs: number): void => {
    const flushed = world.flush(nowMs);
    events += flushed.events.length;
    for (const event of flushed.events) checkEvent(event);
    for (const batch of eventBatches(flushed.events)) {
      decodeMessage(encodeMessage({ kind: "events", firstSequence: 1, events: batch }));
    }
    for (const gap of flushed.gaps) decodeMessage(encodeMessage({ kind: "gap", sequence: 1, gap }));
  };
  for (const step of steps) {
    if ("record" in step) {
      inputs++;
      world.receive(step.record);
    } else if ("table" in step) {
      inputs += step.table.length + world.tracked;
      const { table, at, first } = step;
      const states = first ? world.baseline(table, at) : world.reconcile(table, at);
      must(states.length <= table.length, "a state for an entry at most");
      for (const processes of snapshotParts(states)) {
        decodeMessage(encodeMessage({ kind: "snapshot", sequence: 1, time: 1, part: 0, last: true, processes }));
      }
      for (const state of states) checkName(state);
    } else flush(step.flushAt);
    must(world.tracked <= limits.maxTracked, `${world.tracked} processes are kept`);
    const most = limits.maxBytes + (limits.maxTracked + limits.maxEnded) * LEAN_BYTES;
    must(world.retainedBytes >= 0 && world.retainedBytes <= most, `${world.retainedBytes} bytes are kept`);
  }
  flush(Number.MAX_SAFE_INTEGER);
  // A record may show that the process before it ended, and that it began.
  must(events <= 4 * inputs, `${events} events come of ${inputs} facts`);
}

function checkEvent(event: ProcessEvent): void {
  checkName(event);
  const body = encodeMessage({ kind: "events", firstSequence: 1, events: [event] });
  must(encodedBound(event) + 64 >= body.length, "the bound of an event's bytes holds");
  must(event.parentExecId !== event.execId, "a process is not its own parent");
}

function checkName({ execId }: ProcessEvent | ProcessState): void {
  must(/^0badcafe-\d+-\d+(-\d+)?$/.test(execId), `${execId} is a name`);
}
