import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Demand, isListed, isVariable, MAX_DEMANDED_VARIABLES, MAX_STANDINGS } from "../../proto/demand.ts";
import { AttributeDemandSchema, DemandAnswerSchema, EnvelopeSchema } from "../../proto/gen/ipc_pb.ts";
import { decodeMessage, encodeMessage } from "../../proto/wire.ts";
import { WireError } from "../../proto/wire_error.ts";

function request(demand: Demand): Uint8Array {
  return encodeMessage({ kind: "request", id: 1, body: { kind: "demand", demand } });
}

/** As somebody writes it who checks nothing. */
function written(version: number, variables: readonly string[]): Uint8Array {
  const value = create(AttributeDemandSchema, { version, hashes: true, variables: [...variables] });
  const body = { case: "request", value: { id: 1, body: { case: "demand", value } } } as const;
  return toBinary(EnvelopeSchema, create(EnvelopeSchema, { body }));
}

const most = Array.from({ length: MAX_DEMANDED_VARIABLES }, (_, i) => `V${String(i).padStart(3, "0")}`);

Deno.test("a demand of as many variables as are allowed passes, and one more does not", () => {
  const decoded = decodeMessage(request({ hashes: false, variables: most }));
  assert.ok(decoded.kind === "request" && decoded.body.kind === "demand");
  assert.deepEqual(decoded.body.demand, { hashes: false, variables: most });
  assert.throws(() => request({ hashes: false, variables: [...most, "W"] }), /at most 48/);
  assert.throws(() => decodeMessage(written(1, [...most, "W"])), WireError);
});

Deno.test("a demand names variables that can be, in order and once, and nothing that stands for several", () => {
  const long = `L${"X".repeat(127)}`;
  assert.doesNotThrow(() => decodeMessage(written(1, ["A", "B", long, "_"])));
  for (const names of [["B", "A"], ["A", "A"], ["A*"], ["*"], [""], ["1A"], ["A=B"], ["A.B"], ["Ä"], [`${long}X`]]) {
    assert.throws(() => decodeMessage(written(1, names)), WireError, names.join());
  }
});

Deno.test("a demand of another version is known as one, and is not taken for this one", () => {
  for (const version of [0, 2, 0xffffffff]) {
    const decoded = decodeMessage(written(version, ["not in this one's form"]));
    assert.ok(decoded.kind === "request" && decoded.body.kind === "otherDemand");
  }
});

Deno.test("an answer tells of known attributes in known states, and of not too many", () => {
  const reply = (attributes: { attribute: string; state: string; reason: string; since: bigint }[]): Uint8Array => {
    const value = create(DemandAnswerSchema, { attributes });
    const body = { case: "reply", value: { id: 1, body: { case: "demand", value } } } as const;
    return toBinary(EnvelopeSchema, create(EnvelopeSchema, { body }));
  };
  const good = { attribute: "environment.A", state: "demanded", reason: "", since: 1n };
  assert.doesNotThrow(() => decodeMessage(reply(new Array(MAX_STANDINGS).fill(good))));
  assert.throws(() => decodeMessage(reply(new Array(MAX_STANDINGS + 1).fill(good))), WireError);
  for (
    const bad of [{ attribute: "environment." }, { attribute: "argv" }, { state: "given" }, { since: 2n ** 60n }, {
      reason: "x".repeat(513),
    }]
  ) assert.throws(() => decodeMessage(reply([{ ...good, ...bad }])), WireError, JSON.stringify(Object.keys(bad)));
});

Deno.test("isListed() knows names and begins of names", () => {
  const list = ["LD_*", "PATH"];
  const listed = (names: string[]): boolean[] => names.map((name) => isListed(name, list));
  assert.deepEqual(listed(["LD_", "LD_PRELOAD", "PATH", "PATHS", "LD", "path"]), [
    true,
    true,
    true,
    ...Array(3).fill(false),
  ]);
  assert.ok(isListed("ANY", ["*"]) && !isListed("ANY", []));
  assert.deepEqual(["A", "_a1", "", "a-b", "1", "A "].map(isVariable), [true, true, false, false, false, false]);
});
