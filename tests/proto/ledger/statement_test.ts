import assert from "node:assert/strict";
import { canonicalJson } from "../../../proto/ledger/canonical_json.ts";
import { decodeStatement, encodeStatement, isStated, type Statements } from "../../../proto/ledger/statement.ts";
import { WireError } from "../../../proto/wire_error.ts";

const HASH = "ab".repeat(32);

const SAMPLES: Statements = {
  response: {
    what: "kill tree",
    process: "1a2b3c4d-812-99",
    by: "user 1000 (alice)",
    rule: "",
    reason: "it mines",
    outcome: "done",
    detail: "SIGKILL was sent",
    place: "",
    time: 1,
  },
  tierStarted: { tier: "collector", version: "0.1.0", pid: 7, source: "ebpf", time: 1 },
  tierStopped: { tier: "agent", pid: 7, time: 1, why: "it was told to" },
  confined: { tier: "collector", proof: "all 6 threads", retained: "" },
  configurationChanged: { digest: HASH, changed: ["collector.id"], settings: { "collector.id": "c" } },
  rulesChanged: { digest: HASH, active: 40, drafts: 2, rejected: 0, disabled: 1, paused: ["r"] },
  demandChanged: { given: ["executable_hash"], refused: ["environment.A"], passing: [], changes: 2, time: 1 },
  gap: { epoch: "e", sequence: 9, source: "ebpf", kind: "exec", from: 1, to: 2, count: null, reason: "lost" },
  suppressed: { what: "alerts", count: 3, from: 1, to: 2 },
  alert: { alerts: [{ id: "r@c:e:1", rule: HASH, hash: HASH }] },
  exported: { what: "backup", name: "a.db", time: 1, userId: 1_000 },
  request: { what: "rescan", by: "user 1000 (alice)", time: 1, outcome: "refused: no" },
  events: {
    epoch: "e",
    first: 1,
    last: 9,
    events: 8,
    root: new Uint8Array(32).fill(5),
    others: 1,
    othersRoot: new Uint8Array(32).fill(6),
  },
};

Deno.test("statements come back as they were written, with the number of their note", () => {
  for (const [action, value] of Object.entries(SAMPLES) as [keyof Statements, Statements[keyof Statements]][]) {
    assert.ok(isStated(action));
    for (const note of [null, 12]) {
      const payload = encodeStatement(action, value, note);
      assert.deepEqual(decodeStatement(action, payload), { action, value, note });
    }
  }
  assert.ok(!isStated("sealed") && !isStated("genesis"));
});

Deno.test("a payload that is no statement of its action is refused, whatever bit of it is turned", () => {
  for (const [action, value] of Object.entries(SAMPLES) as [keyof Statements, Statements[keyof Statements]][]) {
    const payload = encodeStatement(action, value);
    for (let length = 0; length < payload.length; length++) {
      assert.throws(() => decodeStatement(action, payload.subarray(0, length)), WireError);
    }
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const other = payload.slice();
      other[bit >>> 3]! ^= 1 << (bit & 7);
      try {
        assert.notDeepEqual(decodeStatement(action, other).value, value);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }
  }
  assert.throws(() => encodeStatement("gap", { ...SAMPLES.gap, reason: "x".repeat(20_000) }), WireError);
  assert.throws(() => encodeStatement("gap", { ...SAMPLES.gap, from: 0.5 }), WireError);
  assert.throws(
    () => encodeStatement("alert", { alerts: new Array(41).fill(SAMPLES.alert.alerts[0]) }),
    WireError,
  );
});

Deno.test("canonicalJson() gives the text of RFC 8785, section 3.2.3", () => {
  const value = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
  };
  assert.equal(
    canonicalJson(value),
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis",' +
      '"€":"Euro Sign","😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
  );
  assert.equal(canonicalJson([1e30, 4.5, 0.002, 1e-27, true, null]), "[1e+30,4.5,0.002,1e-27,true,null]");
  assert.throws(() => canonicalJson(NaN), RangeError);
});

Deno.test("what no writer makes is refused as such: numbers beyond all bounds, lists in lists in lists", () => {
  const deep = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  for (const more of ["1e309", "-1e309", deep(64), deep(7_000)]) {
    const text = `{"a":${more},"name":"n","time":1,"what":"w"}`;
    assert.throws(() => decodeStatement("exported", new TextEncoder().encode(text)), WireError, more.slice(0, 9));
  }
  const text = `{"a":${deep(60)},"name":"n","time":1,"what":"w"}`;
  assert.equal(decodeStatement("exported", new TextEncoder().encode(text)).value.name, "n");
});

Deno.test("what an earlier version did not say of a copy is not known", () => {
  const { value } = decodeStatement("exported", new TextEncoder().encode('{"name":"n","time":1,"what":"w"}'));
  assert.deepEqual(value, { what: "w", name: "n", time: 1, userId: null });
  const { value: asked } = decodeStatement("request", new TextEncoder().encode('{"by":null,"time":1,"what":"w"}'));
  assert.deepEqual(asked, { what: "w", by: null, time: 1, outcome: null });
});
