/** The runtime and its conformance suite, on a source that counts and on sources that do it wrong. */
import assert from "node:assert/strict";
import { Collector } from "../../../collector/toolkit/collector.ts";
import { ConformanceError, testCollector } from "../../../collector/toolkit/conformance.ts";
import type { EventSource, Sink } from "../../../collector/toolkit/event_source.ts";
import { TestAgent } from "../../../collector/toolkit/test_agent.ts";
import type { TableDescriptor } from "../../../proto/table_descriptor.ts";

const ALL = ["run", "ffi", "net", "read", "write", "env", "sys"] as const;

const TICKS: TableDescriptor = {
  name: "ticks",
  version: 1,
  description: "Numbers",
  columns: [{ name: "number", type: "INTEGER", description: "from 0" }],
};

/** Puts the next number whenever it is told, and waits for room; goes on where it was. */
class Counting implements EventSource {
  static told = 0;
  readonly name: string = "counting";
  readonly capabilities = { realtime: false, systemWide: false, resumes: true };
  readonly tables: readonly TableDescriptor[] = [TICKS];
  protected sink: Sink | null = null;
  #loop: Promise<void> = Promise.resolve();
  #next = 0;

  start(sink: Sink): void {
    this.sink = sink;
    this.#next = typeof sink.position === "number" ? sink.position : 0;
    this.#loop = this.#run(sink);
  }

  async #run(sink: Sink): Promise<void> {
    while (!sink.signal.aborted && this.sink === sink) {
      await sink.ready();
      if (this.#next < Counting.told) this.put(sink, this.#next++);
      sink.keep(this.#next);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  protected put(sink: Sink, number: number): void {
    sink.put("ticks", { number });
  }

  async stop(): Promise<void> {
    this.sink = null;
    await this.#loop;
  }

  health(): ReturnType<EventSource["health"]> {
    return { state: "active", detail: `${this.#next} told`, misses: [] };
  }
}

class TestDirectory implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "daemoneye-toolkit-" });
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

function collectorOf(source: EventSource, agent: TestAgent, directory: string, more = {}): Collector {
  const { connect, token } = agent, id = { id: "t", type: "t", version: "1" };
  return new Collector({
    ...{ ...id, sources: [source], stateDirectory: `${directory}/state`, connect, token, batchMs: 5 },
    ...{ notice: () => {}, ...more },
  });
}

async function until(is: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 20_000; !is();) {
    if (performance.now() > end) assert.fail(what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const numbers = (agent: TestAgent): unknown[] => agent.rows.map(({ row }) => row.values[0]);

Deno.test("a source that keeps to its contract passes the suite", async () => {
  using directory = new TestDirectory();
  const stimulate = (): void => void Counting.told++;
  const results = await testCollector(() => new Counting(), { directory: directory.path, stimulate, allows: ALL });
  assert.deepEqual(results.map(({ fault }) => fault), results.map(() => null));
  assert.equal(results.length, 8);
});

Deno.test("the suite finds what sources do wrong", async (t) => {
  const stimulate = (): void => void Counting.told++;
  const finds = (name: string, make: () => EventSource, expected: RegExp): Promise<boolean> =>
    t.step(name, async () => {
      using directory = new TestDirectory();
      const trying = testCollector(make, { directory: directory.path, stimulate, allows: ALL, patienceMs: 1_500 });
      await assert.rejects(trying, (error: Error) => {
        assert.ok(error instanceof ConformanceError);
        assert.match(error.message, expected);
        return true;
      });
    });
  class Wrong extends Counting {
    protected override put(sink: Sink, number: number): void {
      sink.put("ticks", { number });
      sink.put("ticks", { number: "text" });
    }
  }
  await finds("a row that is none", () => new Wrong(), /schema: \d+ rows were none of their tables/);
  class Late extends Counting {
    override start(sink: Sink): void {
      super.start(sink);
      throw new Error("no such log");
    }
  }
  await finds("a start that fails", () => new Late(), /lifecycle: a row comes: not within/);
  class Flood extends Counting {
    protected override put(sink: Sink, number: number): void {
      for (let i = 0; i < 20; i++) sink.put("ticks", { number });
    }
  }
  await finds("one that does not wait", () => new Flood(), /backpressure: \d+ rows were dropped/);
  class Nameless extends Counting {
    override readonly tables = [{ ...TICKS, name: "alerts" }];
  }
  await finds("a table of the store's own", () => new Nameless(), /description: .*alerts/);
});

Deno.test("the suite finds wide grants", {
  permissions: { read: true, write: true },
}, async () => {
  using directory = new TestDirectory();
  const stimulate = (): void => void Counting.told++;
  const trying = testCollector(() => new Counting(), { directory: directory.path, stimulate });
  await assert.rejects(trying, /permissions: granted without bounds: read, write/);
});

Deno.test("what was seen while the agent was away comes later, once and in order", async () => {
  using directory = new TestDirectory();
  Counting.told = 50;
  const away = new TestAgent(), agent = new TestAgent();
  away.misdeed = "slam";
  const first = collectorOf(new Counting(), away, directory.path);
  await first.start();
  await until(() => first.counts.rows === 50, "all rows are in the log");
  await first.stop();
  Counting.told = 70;
  const second = collectorOf(new Counting(), agent, directory.path);
  await second.start();
  await until(() => agent.rows.length === 70, "all rows come");
  await second.stop();
  assert.deepEqual(numbers(agent), Array.from({ length: 70 }, (_, i) => i));
});

Deno.test("a log without room has the source wait, and loses nothing of one that waits", async () => {
  using directory = new TestDirectory();
  Counting.told = 0;
  class Long extends Counting {
    override readonly tables = [{ ...TICKS, columns: [{ name: "text", type: "TEXT" as const, description: "" }] }];
    protected override put(sink: Sink, number: number): void {
      sink.put("ticks", { text: `${number}:`.padEnd(30_000, "x") });
    }
  }
  const agent = new TestAgent(), notices: string[] = [];
  agent.misdeed = "mute";
  const more = { logBytes: 1 << 20, notice: (text: string) => void notices.push(text) };
  const collector = collectorOf(new Long(), agent, directory.path, more);
  await collector.start();
  Counting.told = 100;
  await until(() => notices.some((text) => /asked to wait/.test(text)), "sources are asked to wait");
  agent.misdeed = "none";
  agent.drop();
  await until(() => agent.rows.length === 100, "all rows come");
  await collector.stop();
  assert.deepEqual(numbers(agent).map((text) => parseInt(String(text))), Array.from({ length: 100 }, (_, i) => i));
  assert.deepEqual(collector.counts.dropped, 0);
});

Deno.test("rows that are none, and rows without room, are counted and in gaps", async () => {
  using directory = new TestDirectory();
  class Wild extends Counting {
    override start(sink: Sink): void {
      sink.put("ticks", { number: 1.5 });
      sink.put("ticks", { nothing: 1 });
      sink.put("others", { number: 1 });
      for (let i = 0; i < 5_000; i++) sink.put("ticks", { number: i });
    }
  }
  const agent = new TestAgent(), collector = collectorOf(new Wild(), agent, directory.path);
  await collector.start();
  await until(() => agent.gaps.length >= 4 && agent.rows.length >= 2_000, "rows and gaps come");
  await collector.stop();
  assert.equal(agent.rows.length, 2_000);
  assert.deepEqual(agent.gaps.map(({ count }) => count), [1, 1, 1, 3_000]);
  assert.equal(collector.counts.refused, 3);
  assert.equal(collector.counts.dropped, 3_000);
  assert.match(collector.statuses()[0]!.misses.join(), /^$/); // stopped: it says nothing of its own
});

Deno.test("a source that fails is started again; what it missed is a gap unless it goes on where it was", async () => {
  using directory = new TestDirectory();
  class Failing extends Counting {
    override readonly capabilities = { realtime: true, systemWide: false, resumes: false };
    starts = 0;
    override start(sink: Sink): void {
      if (++this.starts === 1) throw new Error("the device is \x1b[31mbusy");
      super.start(sink);
    }
  }
  Counting.told = 3;
  const agent = new TestAgent(), source = new Failing(), collector = collectorOf(source, agent, directory.path);
  await collector.start();
  assert.match(collector.statuses()[0]!.detail, /device is \\x1b\[31mbusy/);
  await until(() => agent.rows.length === 3 && agent.gaps.length === 1, "it goes on");
  assert.match(agent.gaps[0]!.reason, /had failed/);
  await collector.stop();
  const again = collectorOf(new Failing(), agent, directory.path);
  await again.start();
  await until(() => agent.gaps.some(({ reason }) => /did not run/.test(reason)), "the time between two runs is a gap");
  await again.stop();
});

Deno.test("options that cannot be are refused with the reason", () => {
  using directory = new TestDirectory();
  const agent = new TestAgent();
  const refuses = (source: Partial<EventSource>, more: object, words: RegExp): void => {
    const made = Object.assign(new Counting(), source);
    assert.throws(() => collectorOf(made, agent, directory.path, more), words);
  };
  refuses({ name: "A b" }, {}, /source's name/);
  refuses({}, { id: "a b" }, /collector's id/);
  refuses({}, { sources: [] }, /1 to 16 sources/);
  refuses({}, { sources: [new Counting(), new Counting()] }, /Two sources are named counting/);
  refuses({ tables: [{ ...TICKS, columns: [] }] }, {}, /has 0 columns/);
  refuses(
    { tables: [{ ...TICKS, name: "ticks_time" }, TICKS] },
    {},
    /ticks_time is the name of the index of the table ticks/,
  );
});
