import assert from "node:assert/strict";
import fc from "fast-check";
import { parseConnectorEvent, visitConnectorEvent } from "../../../collector/kernel/netlink.ts";

/** A message of the process connector, as `drivers/connector/cn_proc.c` builds it. */
function message(what: number, data: readonly number[], change: (view: DataView) => void = () => {}): DataView {
  const view = new DataView(new ArrayBuffer(76));
  view.setUint32(0, 76, true); // nlmsg_len
  view.setUint16(4, 3, true); // NLMSG_DONE
  view.setUint32(16, 1, true); // CN_IDX_PROC
  view.setUint32(20, 1, true); // CN_VAL_PROC
  view.setUint16(32, 40, true); // sizeof(struct proc_event)
  view.setUint32(36, what, true);
  view.setUint32(40, 1, true); // processor
  view.setBigUint64(44, 5_000_000_123n, true);
  data.forEach((word, index) => view.setUint32(52 + index * 4, word, true));
  change(view);
  return view;
}

Deno.test("parseConnectorEvent() reads fork, exec and exit", () => {
  const time = 5_000_000_123;
  assert.deepEqual(parseConnectorEvent(message(1, [10, 10, 20, 20]), 0, 76, 0), {
    kind: "fork",
    time,
    pid: 20,
    tgid: 20,
    ppid: 10,
  });
  assert.deepEqual(parseConnectorEvent(message(1, [11, 10, 21, 10]), 0, 76, 0), {
    kind: "fork",
    time,
    pid: 21,
    tgid: 10,
    ppid: 10,
  });
  assert.deepEqual(parseConnectorEvent(message(2, [20, 20]), 0, 76, 7_000), {
    kind: "exec",
    time: time + 7_000,
    pid: 20,
    tgid: 20,
  });
  assert.deepEqual(parseConnectorEvent(message(0x8000_0000, [20, 20, 0x300, 17, 10, 10]), 0, 76, 0), {
    kind: "exit",
    time,
    pid: 20,
    tgid: 20,
    exitStatus: 0x300,
  });
  assert.deepEqual(parseConnectorEvent(message(0, [1]), 0, 76, 0), { kind: "answer", error: 1 });
});

Deno.test("parseConnectorEvent() passes over what is none of it", () => {
  assert.equal(parseConnectorEvent(message(4, [1, 1, 0, 0]), 0, 76, 0), null, "a change of uid");
  assert.equal(parseConnectorEvent(message(2, [1, 1], (v) => v.setUint32(16, 2, true)), 0, 76, 0), null, "other index");
  assert.equal(parseConnectorEvent(message(2, [1, 1], (v) => v.setUint32(20, 2, true)), 0, 76, 0), null, "other value");
  assert.equal(parseConnectorEvent(message(2, [1, 1], (v) => v.setUint32(0, 77, true)), 0, 76, 0), null, "cut");
  for (let length = 0; length < 60; length++) assert.equal(parseConnectorEvent(message(2, [1, 1]), 0, length, 0), null);
  fc.assert(fc.property(fc.uint8Array({ minLength: 128, maxLength: 128 }), fc.integer({ min: 0, max: 128 }), (b, n) => {
    parseConnectorEvent(new DataView(b.buffer, b.byteOffset, b.length), 0, n, 0);
  }));
});

Deno.test("visitConnectorEvent() tells what parseConnectorEvent() does, of any bytes", () => {
  const said = (view: DataView, length: number): unknown[] => {
    const calls: unknown[] = [];
    visitConnectorEvent(view, 0, length, 7_000, {
      fork: (time, pid, tgid, ppid) => calls.push({ kind: "fork", time, pid, tgid, ppid }),
      exec: (time, tgid) => calls.push({ kind: "exec", time, tgid }),
      exit: (time, pid, tgid) => calls.push({ kind: "exit", time, pid, tgid }),
    });
    return calls;
  };
  const expected = (view: DataView, length: number): unknown[] => {
    const event = parseConnectorEvent(view, 0, length, 7_000);
    if (event === null || event.kind === "answer") return [];
    const { kind, time, pid, tgid } = event;
    if (event.kind === "fork") return [{ kind, time, pid, tgid, ppid: event.ppid }];
    return [kind === "exec" ? { kind, time, tgid } : { kind, time, pid, tgid }];
  };
  for (const what of [0, 1, 2, 4, 0x8000_0000]) {
    const view = message(what, [10, 10, 20, 21]);
    for (let length = 0; length <= 76; length++) assert.deepEqual(said(view, length), expected(view, length));
  }
  const fork = { kind: "fork", time: 5_000_007_123, pid: 20, tgid: 21, ppid: 11 };
  assert.deepEqual(said(message(1, [10, 11, 20, 21]), 76), [fork]);
  fc.assert(fc.property(fc.uint8Array({ minLength: 76, maxLength: 76 }), fc.nat(75), (bytes, at) => {
    const view = message(2, [20, 20]);
    view.setUint8(at, bytes[at]!);
    assert.deepEqual(said(view, 76), expected(view, 76));
  }));
});
