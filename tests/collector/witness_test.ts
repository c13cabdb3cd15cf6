import assert from "node:assert/strict";
import { Completeness } from "../../collector/completeness.ts";
import { bootTimeNs } from "../../collector/kernel/libc.ts";
import { RECEIVE_BUFFER_BYTES } from "../../collector/kernel/netlink.ts";
import { readForkCount } from "../../collector/kernel/procfs.ts";
import type { Findings } from "../../collector/round.ts";
import { openEbpfSource } from "../../collector/sources/ebpf.ts";
import { openNetlinkSource } from "../../collector/sources/netlink.ts";
import type { ProcessSource, SourceRecord } from "../../collector/sources/source.ts";
import { openTracepointSource } from "../../collector/sources/tracepoint.ts";
import { openWitness } from "../../collector/witness.ts";
import { compileC } from "../support/compile_c.ts";
import { needs } from "../support/needs.ts";

const INTERVAL_MS = 2_000;
const STORM = await Deno.readTextFile(new URL("../../bench/support/storm.c", import.meta.url));
const TINY = await Deno.readTextFile(new URL("../../bench/support/tiny.c", import.meta.url));

const showAll = (): boolean => false;

/** A real source beside the real second one, both drained as the collector does; `hides` says which records vanish. */
class Watch {
  readonly completeness: Completeness;
  readonly found: Findings[] = [];
  /** Forks by process 1, which are not in what was found: kernels of sandboxes run no eBPF in it. */
  ofFirst = 0;
  readonly #source: ProcessSource;
  readonly #hides: (record: SourceRecord) => boolean;

  private constructor(source: ProcessSource, hides: (record: SourceRecord) => boolean, bufferBytes: number) {
    this.#source = source;
    this.#hides = hides;
    const opened = openWitness(source, bufferBytes);
    assert.ok(opened.witness !== null, "the second source opens");
    this.completeness = new Completeness({ source, opened, intervalMs: INTERVAL_MS, readForkCount });
  }

  static async open(
    source: ProcessSource,
    hides: (record: SourceRecord) => boolean = showAll,
    bufferBytes: number = RECEIVE_BUFFER_BYTES,
  ): Promise<Watch> {
    const watch = new Watch(source, hides, bufferBytes);
    watch.completeness.learnThreads(await source.snapshot());
    await watch.rounds(3); // both have begun by then
    return watch;
  }

  get lost(): number {
    const { exec, fork, exit } = this.#source.counters().lost;
    return exec + fork + exit;
  }

  /** Watches while `work` goes on, and for as long as it takes to tell of all of it. */
  async during(work: Promise<unknown>): Promise<void> {
    let done = false;
    const ended = work.finally(() => done = true);
    while (!done) await this.#turn();
    await ended;
    await this.rounds(5);
  }

  async rounds(count: number): Promise<void> {
    const end = this.#roundsPassed() + count;
    while (this.#roundsPassed() < end) await this.#turn();
  }

  [Symbol.dispose](): void {
    this.completeness.close();
    this.#source.close();
  }

  #passed = 0;
  #last = performance.now();

  /** Rounds that must have passed by the clock that they are told by. */
  #roundsPassed(): number {
    const now = performance.now();
    if (now - this.#last >= INTERVAL_MS / 2) {
      this.#passed++;
      this.#last = now;
    }
    return this.#passed;
  }

  async #turn(): Promise<void> {
    await this.#source.wait(50);
    await new Promise((resolve) => setTimeout(resolve, 10));
    this.#source.drain((record) => {
      if (!this.#hides(record)) this.completeness.first(record);
    });
    const findings = this.completeness.advance(performance.now(), bootTimeNs());
    if (findings !== null) this.#take(findings);
  }

  #take({ differences, gaps, notices }: Findings): void {
    const isOthers = ({ loss }: Findings["gaps"][number]): boolean => !loss.reason.endsWith("; process 1 made them");
    for (const { loss } of gaps.filter((gap) => !isOthers(gap))) this.ofFirst += loss.count!;
    const others = {
      differences: differences.filter(({ isOfFirst }) => !isOfFirst),
      gaps: gaps.filter(isOthers),
      notices,
    };
    if (Object.values(others).some((found) => found.length > 0)) this.found.push(others);
  }
}

async function storm(count: number): Promise<void> {
  await using program = await compileC(STORM);
  await using child = await compileC(TINY, ["-static", "-nostdlib"]);
  const { success } = await new Deno.Command(program.path, {
    args: [String(count), "2", "storm", child.path],
    stdout: "null",
  }).output();
  assert.ok(success);
}

Deno.test({
  name: "a storm of 20,000 processes is seen whole by two sources, on both rungs that read the kernel",
  ...needs({ bpf: true, netlink: true, programs: ["gcc"] }),
  async fn() {
    for (const open of [openEbpfSource, openTracepointSource]) {
      using watch = await Watch.open(open({ ringBytes: 32 << 20, environment: [] }));
      await watch.during(storm(20_000));
      assert.equal(watch.lost, 0);
      const { records_matched, records_missed, records_unconfirmed } = watch.completeness.counters();
      assert.deepEqual([watch.found, records_missed, records_unconfirmed], [[], watch.ofFirst, 0]);
      assert.ok(records_matched! >= 60_000, `${records_matched} records`);
      if (watch.ofFirst > 0) continue;
      assert.match(watch.completeness.status(performance.now()).detail, /^100 % of \d+ records of the last hour/);
      assert.equal(watch.completeness.status(performance.now()).state, "proven");
    }
  },
});

Deno.test({
  name: "a process that is hidden from the first source is named",
  ...needs({ bpf: true, netlink: true }),
  async fn() {
    let hidden = 0;
    using watch = await Watch.open(
      openEbpfSource({ ringBytes: 8 << 20, environment: [] }),
      (record) => record.kind !== "loss" && record.pid === hidden,
    );
    const child = new Deno.Command("sleep", { args: ["0.2"] }).spawn();
    hidden = child.pid;
    await watch.during(child.status);
    const differences = watch.found.flatMap((found) => found.differences);
    assert.deepEqual(differences.map(({ pid, seenBy, missedBy }) => [pid, seenBy, missedBy]), [
      [hidden, "netlink", "ebpf"],
      ...differences.slice(1).map(() => [hidden, "netlink", "ebpf"]), // its exit comes in a later round
    ]);
    const gaps = watch.found.flatMap((found) => found.gaps);
    assert.ok(gaps.every(({ source, loss }) => source === "ebpf" && loss.count === 1));
    assert.equal(watch.completeness.status(performance.now()).state, "differs");
  },
});

Deno.test({
  name: "what a ring of one page cannot hold is exactly what the second source saw alone, and no suspicion",
  ...needs({ bpf: true, netlink: true, programs: ["gcc"] }),
  async fn() {
    using watch = await Watch.open(openEbpfSource({ ringBytes: 4_096, environment: [] }));
    // The host goes on losing records in so small a ring: what was just lost is not compared yet.
    const open = (): number => watch.lost + watch.ofFirst - watch.completeness.counters()["records_missed"]!;
    const settled = async (wanted: (now: number, last: number) => boolean): Promise<number> => {
      let last = open();
      for (let tries = 0; tries < 40; tries++) {
        await watch.rounds(3);
        const now = open();
        if (wanted(now, last)) return now;
        last = now;
      }
      assert.fail(`${last} lost records are not among what the second source saw alone`);
    };
    // Lost before the second source had begun.
    const before = await settled((now, last) => now === last), lost = watch.lost;
    await watch.during(storm(3_000));
    assert.ok(watch.lost > lost + 1_000, "the ring was full");
    assert.equal(await settled((now) => now === before), before);
    const { records_missed, records_unconfirmed, missed_and_counted } = watch.completeness.counters();
    assert.deepEqual([missed_and_counted! + watch.ofFirst, records_unconfirmed], [records_missed, 0]);
    assert.deepEqual(watch.found, []);
  },
});

Deno.test({
  name: "what the second source cannot hold makes a time incomparable, and accuses nobody",
  ...needs({ bpf: true, netlink: true, programs: ["gcc"] }),
  async fn() {
    using watch = await Watch.open(openEbpfSource({ ringBytes: 32 << 20, environment: [] }), showAll, 4_096);
    await watch.during(storm(3_000));
    assert.deepEqual(watch.found.flatMap(({ differences, gaps }) => [...differences, ...gaps]), []);
    assert.match(watch.found.flatMap(({ notices }) => notices).join(), /the socket of netlink was full/);
    assert.ok(watch.completeness.counters()["rounds_incomparable"]! > 0);
  },
});

/** First threads that end early, threads that begin a program, many threads that end at once. */
const THREADS = `
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *rest(void *unused) { usleep(30000); return unused; }
static void *last(void *unused) { usleep(60000); exit(3); return unused; }
static void *begin(void *program) { execl(program, "tiny", (char *)0); return 0; }
static void many(int count, void *(*run)(void *), void *with) {
  pthread_t thread;
  while (count-- > 0) pthread_create(&thread, 0, run, with);
}
int main(int count, char **arguments) {
  (void)count;
  for (int turn = 0; turn < 30; turn++) {
    if (fork() == 0) switch (turn % 3) {
      case 0: many(3, rest, 0); many(1, last, 0); pthread_exit(0);
      case 1: many(3, rest, 0); many(1, begin, arguments[1]); pause();
      case 2: many(8, rest, 0); usleep(1000); exit(0);
    }
  }
  while (wait(0) > 0);
  return 0;
}`;

Deno.test({
  name: "processes of many threads make no difference, however their threads end",
  ...needs({ bpf: true, netlink: true, programs: ["gcc"] }),
  async fn() {
    await using program = await compileC(THREADS, ["-pthread"]);
    await using child = await compileC(TINY, ["-static", "-nostdlib"]);
    using watch = await Watch.open(openEbpfSource({ ringBytes: 8 << 20, environment: [] }));
    const run = async (): Promise<void> => {
      assert.ok((await new Deno.Command(program.path, { args: [child.path] }).output()).success);
    };
    await watch.during(run());
    assert.deepEqual(watch.found, []);
    if (watch.ofFirst === 0) assert.equal(watch.completeness.status(performance.now()).state, "proven");
  },
});

Deno.test({
  name: "openWitness() says why there is nothing to compare",
  ...needs({ netlink: true }),
  fn() {
    const source = openNetlinkSource();
    try {
      const opened = openWitness(source);
      assert.equal(opened.witness, null);
      assert.match((opened as { reason: string }).reason, /^the source netlink sees too little itself to be compared$/);
    } finally {
      source.close();
    }
  },
});
