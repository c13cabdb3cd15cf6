import assert from "node:assert/strict";
import { describeLastEnd } from "../../collector/last_end.ts";
import { newCanary, type OpenedRefusals, openRefusals, Refusals } from "../../collector/refusals.ts";
import type { Refusal } from "../../collector/kernel/audit.ts";

const CANARY = 0x2000_0001, HASHER_USER = 64175, MINUTE = 60_000;

/** A collector whose kernel says what a test does. */
class Heard {
  waiting: Refusal[] = [];
  overruns = 0;
  fault: Error | null = null;
  hasher: number | null = null;
  called: number[] = [];
  readonly refusals: Refusals;

  constructor(opened?: OpenedRefusals) {
    const reader = {
      read: (receive: (refusal: Refusal) => void) => {
        if (this.fault !== null) throw this.fault;
        for (const refusal of this.waiting.splice(0)) receive(refusal);
        const overruns = this.overruns;
        this.overruns = 0;
        return { overruns, damaged: 0 };
      },
    };
    this.refusals = new Refusals({
      opened: opened ?? { reader, canary: CANARY },
      hasherPid: () => this.hasher,
      hasherUser: HASHER_USER,
      call: (number) => this.called.push(number),
    });
  }

  refuse(call: number, more: Partial<Refusal> = {}): void {
    this.waiting.push({ pid: Deno.pid, userId: 64171, thread: "deno", call, signal: 0, ...more });
  }
}

Deno.test("a refused call is counted each time, and told of with name, number and thread once a minute", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY);
  assert.deepEqual(refusals.look(1), []);
  for (let i = 0; i < 3; i++) heard.refuse(425, { thread: "tokio-rt-worker" });
  const [first, ...none] = refusals.look(2);
  assert.match(
    first!,
    /refused the collector system call io_uring_setup \(425\), in thread "tokio-rt-worker", 3 times;/,
  );
  assert.deepEqual(none, []);
  for (let i = 0; i < 500; i++) heard.refuse(425);
  heard.refuse(41);
  const others = refusals.look(MINUTE - 1);
  assert.equal(others.length, 1, "another call is not kept waiting by this one");
  assert.match(others[0]!, /socket \(41\), in thread "deno", 1 time;/);
  assert.match(refusals.look(MINUTE + 2)[0]!, /io_uring_setup \(425\).* 500 times more, 503 in all;/);
  assert.deepEqual(refusals.look(9 * MINUTE), []);
  assert.equal(refusals.counters()["refused_system_calls"], 504);
});

Deno.test("hostile code that makes numbers up floods nobody, and all of it is counted", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY);
  for (let call = 1_000; call < 6_000; call++) heard.refuse(call);
  let notices = 0, last: string[] = [];
  for (let now = 1; now < MINUTE; now += 1_000) notices += refusals.look(now).length;
  assert.equal(notices, 10);
  for (let now = MINUTE; now < 60 * MINUTE; now += 1_000) {
    const told = refusals.look(now);
    if (told.length > 0) last = told;
    notices += told.length;
  }
  assert.equal(notices, 257, "each that was told apart, and the rest");
  assert.match(last.at(-1)!, /system calls of other numbers, .* 4744 times/);
  assert.equal(refusals.counters()["refused_system_calls"], 5_000);
});

Deno.test("the hasher's calls are told as its own, once it is known who it is, and nobody else's are", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY);
  heard.refuse(42, { pid: 77, userId: HASHER_USER, thread: "deno" });
  heard.refuse(42, { pid: 78, userId: HASHER_USER }); // a selftest's, as that user
  heard.refuse(42, { pid: 79, userId: 1000 });
  assert.deepEqual(refusals.look(1), []);
  heard.hasher = 77;
  const [notice, ...none] = refusals.look(2);
  assert.match(notice!, /refused the hasher system call connect \(42\), in thread "deno", 1 time; it goes on without/);
  assert.deepEqual(none, []);
  heard.refuse(41, { pid: 77, userId: HASHER_USER, signal: 31 });
  assert.match(refusals.look(3)[0]!, /refused the hasher system call socket \(41\), .* and ended it with signal 31/);
  assert.deepEqual(refusals.look(2 * MINUTE), []);
  heard.hasher = 78;
  assert.deepEqual(refusals.look(10 * MINUTE), [], "what was claimed by nobody is forgotten");
  assert.deepEqual(refusals.counters(), {
    refused_system_calls: 0,
    hasher_refused_system_calls: 2,
    refusal_overruns: 0,
    damaged_refusals: 0,
  });
});

Deno.test("in a pid namespace of its own the collector knows itself by the call that does not exist", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY, { pid: Deno.pid + 4711 });
  heard.refuse(41, { pid: Deno.pid + 4711 });
  heard.refuse(41, { pid: Deno.pid });
  heard.refuse(41, { pid: 5, userId: HASHER_USER });
  assert.equal(refusals.look(1).length, 2);
  assert.equal(refusals.counters()["refused_system_calls"], 1);
  assert.equal(refusals.counters()["hasher_refused_system_calls"], 1);
});

Deno.test("a kernel that records nothing is told of, and no count is shown that would be a lie", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  assert.deepEqual(heard.called, [CANARY]);
  assert.deepEqual(refusals.look(10_000), []);
  assert.equal(refusals.status().state, "active");
  const [notice] = refusals.look(10_001);
  assert.match(notice!, /^refused system calls are not counted: the kernel records none; /);
  assert.equal(refusals.status().state, "unavailable");
  assert.equal(refusals.status().detail, notice);
  assert.deepEqual(refusals.counters(), {});
  assert.deepEqual(refusals.look(10_002), [], "once");
  heard.refuse(CANARY);
  refusals.look(10_003);
  assert.equal(refusals.status().state, "active", "it was late");
});

Deno.test("that records come is tried again every day", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY);
  refusals.look(1);
  const day = 24 * 60 * MINUTE;
  refusals.look(day);
  assert.equal(heard.called.length, 1);
  refusals.look(day + 1);
  assert.equal(heard.called.length, 2);
  assert.match(refusals.look(day + 10_002)[0]!, /the kernel records none/);
});

Deno.test("records that were lost, and a reader that fails, are told of once", () => {
  const heard = new Heard(), { refusals } = heard;
  refusals.begin(0);
  heard.refuse(CANARY);
  heard.overruns = 2;
  assert.match(refusals.look(1)[0]!, /there were more than are counted/);
  assert.equal(refusals.status().misses.length, 1);
  heard.overruns = 1;
  assert.deepEqual(refusals.look(2), []);
  assert.equal(refusals.counters()["refusal_overruns"], 3);
  heard.fault = new Error("the socket broke");
  assert.match(refusals.look(3)[0]!, /not counted any more: the socket broke/);
  assert.deepEqual(refusals.look(4), []);
  assert.match(refusals.status().detail, /not counted: the socket broke/);
});

Deno.test("without a filter, or without the right to listen, the status says so", () => {
  const off = new Heard(openRefusals("off"));
  off.refusals.begin(0);
  assert.deepEqual([off.called, off.refusals.look(1), off.refusals.counters()], [[], [], {}]);
  assert.match(off.refusals.status().detail, /collector\.syscall_filter is off/);
});

Deno.test("newCanary() is a number that no call has and x32 has not either", () => {
  for (let i = 0; i < 1_000; i++) {
    const number = newCanary();
    assert.ok(number >= 0x2000_0000 && number < 0x3000_0000, `${number}`);
  }
});

Deno.test("describeLastEnd() says how the last run ended, and repeats nothing that is not of the supervisor's form", () => {
  assert.equal(describeLastEnd(undefined), null);
  assert.match(
    describeLastEnd("SIGSYS 425")!,
    /by SIGSYS, as the kernel refused it system call io_uring_setup \(425\);/,
  );
  assert.match(describeLastEnd("SIGSYS")!, /a system call that is not known here/);
  assert.equal(describeLastEnd("SIGKILL"), "the last run was ended by signal SIGKILL");
  assert.equal(describeLastEnd("code 1"), "the last run ended by itself, with exit code 1");
  assert.match(describeLastEnd("code 1; \x1b[31m")!, /cannot be read from DAEMONEYE_LAST_END$/);
});
