import assert from "node:assert/strict";
import fc from "fast-check";
import type { AgentStatus } from "../../proto/status.ts";
import { decodeAgentStatus, encodeAgentStatus } from "../../proto/status_codec.ts";
import { SLOW_MS, type StatusChange, StatusImage } from "../../proto/status_image.ts";

const STATUS: AgentStatus = {
  bootId: "b",
  time: 1_732_166_400_123,
  uptimeMs: 1_000,
  pid: 77,
  userId: 0,
  version: "0.1.0",
  state: "running",
  memoryBytes: 90_000_000,
  cpuMs: 12.25,
  notices: [],
  noticeCount: 0,
  rules: [],
  suppressors: [],
  collectors: [],
  busClients: [],
  lifecycle: { state: "steadyState", since: 1, reason: "", history: [] },
  registry: [],
  supervised: [],
  storeBytes: 4,
  store: { state: "taking", reason: "", since: 0, freeBytes: 5, checkedTime: 0, check: "" },
  lastCommitTime: 5,
  counters: { events: 6 },
};

/** A file as its readers find it. */
class File {
  bytes = new Uint8Array();
  readonly image = new StatusImage<AgentStatus>({
    encode: (status) => encodeAgentStatus(status),
    still: (status, { store: { freeBytes } }) => ({ ...status, store: { ...status.store, freeBytes } }),
  });

  /** Makes a change; returns whether the file was replaced. */
  put({ at, bytes }: StatusChange): boolean {
    if (at === 0) this.bytes = bytes.slice();
    else this.bytes.set(bytes, at);
    return at === 0;
  }

  get status(): AgentStatus {
    return decodeAgentStatus(this.bytes);
  }
}

const number = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const signs = fc.record({
  time: number(2 ** 42),
  memoryBytes: number(2 ** 40),
  cpuMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
});
const text = fc.string({ unit: "binary", maxLength: 300 }).map((text) => text.toWellFormed());

Deno.test("StatusImage: the file says what was given, whatever is in it, and is replaced for all but signs of life", () => {
  const others = fc.record({ bootId: text, version: text, state: text, pid: number(2 ** 31), storeBytes: number(9) });
  const step = fc.record({ signs, other: fc.option(others), isSlow: fc.boolean(), isLooked: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
    const file = new File();
    let status = STATUS, wholeAt = -Infinity;
    for (const { signs, other, isSlow, isLooked } of steps) {
      status = { ...status, ...signs, ...other ?? {}, uptimeMs: status.uptimeMs + (isSlow ? SLOW_MS : 999) };
      const change = isLooked || other !== null ? null : file.image.live(status);
      if (file.put(change ?? file.image.next(status))) wholeAt = status.uptimeMs;
      assert.ok(status.uptimeMs - wholeAt < SLOW_MS);
      assert.deepEqual(file.status, status);
    }
  }));
});

Deno.test("StatusImage holds back what moves by itself, for five seconds, and nothing else", () => {
  const file = new File();
  const store = { ...STATUS.store, freeBytes: 9 };
  assert.equal(file.put(file.image.next(STATUS)), true);
  assert.equal(file.put(file.image.next({ ...STATUS, store, time: 7, uptimeMs: 5_999 })), false);
  assert.deepEqual(file.status, { ...STATUS, time: 7, uptimeMs: 5_999 });
  assert.equal(file.image.live({ ...STATUS, uptimeMs: 6_000 }), null);
  assert.equal(file.put(file.image.next({ ...STATUS, store, uptimeMs: 6_000 })), true);
  assert.equal(file.status.store.freeBytes, 9);
  assert.equal(file.put(file.image.next({ ...STATUS, store, uptimeMs: 6_001, counters: { events: 7 } })), true);
  assert.deepEqual(file.status.counters, { events: 7 });
});

Deno.test("StatusImage writes the whole file where a sign of life is zero, or the file was lost", () => {
  const file = new File();
  assert.equal(file.image.live(STATUS), null);
  file.put(file.image.next({ ...STATUS, cpuMs: 0 }));
  assert.equal(file.image.live(STATUS), null);
  assert.equal(file.put(file.image.next(STATUS)), true);
  assert.equal(file.put(file.image.next(STATUS)), false);
  file.image.forget();
  assert.equal(file.image.live(STATUS), null);
  assert.equal(file.put(file.image.next(STATUS)), true);
});
