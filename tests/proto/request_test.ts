import assert from "node:assert/strict";
import {
  decodeReply,
  decodeRequest,
  draftName,
  encodeReplyLine,
  encodeRequest,
  fileName,
  MAX_REPLY_BYTES,
  MAX_REQUEST_BYTES,
  parseFileName,
  type ReplyLine,
  type Request,
  RequestError,
} from "../../proto/request.ts";

const encoder = new TextEncoder();
const REQUEST: Request = {
  operation: "rules disable",
  arguments: { rule: "odd-thing", reason: "it is noisy: é", assignments: ["a=1", "b=2"] },
  time: 1_700_000_000_000,
  spool: "65024:739",
};

function refuses(text: string, reason: RegExp): void {
  assert.throws(() => decodeRequest(encoder.encode(text)), (error: Error) => {
    assert.ok(error instanceof RequestError, String(error));
    assert.match(error.message, reason);
    return true;
  }, text.slice(0, 100));
}

Deno.test("a request comes back as it was, and is one line that anybody can read", () => {
  const bytes = encodeRequest(REQUEST);
  assert.deepEqual(decodeRequest(bytes), REQUEST);
  assert.equal(
    new TextDecoder().decode(bytes),
    '{"arguments":{"assignments":["a=1","b=2"],"reason":"it is noisy: é","rule":"odd-thing"},' +
      '"operation":"rules disable","spool":"65024:739","time":1700000000000,"version":1}\n',
  );
});

Deno.test("a request that is cut anywhere is refused, and so is one with a flipped bit or what it was", () => {
  const bytes = encodeRequest(REQUEST);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeRequest(bytes.subarray(0, length)), RequestError, `cut at ${length}`);
  }
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    let decoded: Request;
    try {
      decoded = decodeRequest(changed);
    } catch (error) {
      assert.ok(error instanceof RequestError, String(error));
      continue;
    }
    assert.notDeepEqual(decoded, REQUEST);
  }
});

Deno.test("decodeRequest() refuses what is not of its form, and says what", () => {
  const members = {
    arguments: '"arguments":{}',
    operation: '"operation":"status"',
    spool: '"spool":"1:2"',
    time: '"time":1',
    version: '"version":1',
  };
  const text = (change: Partial<typeof members> = {}): string =>
    `{${Object.values({ ...members, ...change }).join()}}\n`;
  assert.equal(decodeRequest(encoder.encode(text())).operation, "status");
  refuses(text({ version: '"version":2' }), /version 2 is not understood here, only 1; ask with this agent's program/);
  refuses(text({ version: '"version":"1"' }), /version that it does not name/);
  refuses(text({ operation: '"operation":7' }), /names no operation/);
  refuses(text({ operation: `"operation":"${"x".repeat(65)}"` }), /names no operation/);
  refuses(text({ arguments: '"arguments":[]' }), /not texts by their names/);
  refuses(text({ arguments: '"arguments":{"a":1}' }), /not texts by their names/);
  refuses(text({ arguments: '"arguments":{"a":["b",["c"]]}' }), /not texts by their names/);
  refuses(text({ arguments: `"arguments":{"a":"${"x".repeat(4_097)}"}` }), /not texts by their names/);
  refuses(text({ spool: '"spool":"/tmp"' }), /names no spool/);
  refuses(text({ time: '"time":-1' }), /no time/);
  refuses(text({ time: '"time":1.5' }), /no time/);
  refuses(text({ version: '"version":1,"x":0' }), /no member "x"/);
  refuses(text({ operation: '"operation":"a","operation":"status"' }), /canonical/);
  refuses(text().trimEnd(), /canonical/);
  refuses(` ${text()}`, /canonical/);
  refuses("[]\n", /no JSON object/);
  refuses("null\n", /no JSON object/);
  refuses(`${"[".repeat(8_000)}${"]".repeat(8_000)}\n`, /no JSON object/);
  refuses(text({ arguments: `"arguments":{"a":${"[".repeat(3_000)}${"]".repeat(3_000)}}` }), /canonical/);
  refuses("\ufeff" + text(), /JSON/);
  refuses("x".repeat(MAX_REQUEST_BYTES + 1), /longer/);
  assert.throws(() => decodeRequest(Uint8Array.of(0xff, 0xfe)), RequestError);
  const long = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`a${i}`, "x".repeat(4_096)]));
  assert.throws(() => encodeRequest({ ...REQUEST, arguments: long }), /say less/);
});

Deno.test("file names have one form, and what has another is none", () => {
  const id = "0123456789abcdef".repeat(2);
  assert.deepEqual(parseFileName(fileName(id, "request")), { id, part: "request" });
  assert.deepEqual(parseFileName(fileName(id, "reply")), { id, part: "reply" });
  for (const name of [draftName(id), id, `${id}.other`, `${id}.request.`, `${id.toUpperCase()}.request`, "..", "a\n"]) {
    assert.equal(parseFileName(name), null, name);
  }
});

Deno.test("a reply is read line by line while it grows", () => {
  const lines: ReplyLine[] = [
    { kind: "taken", time: 5 },
    { kind: "progress", text: "half\nof it" },
    { kind: "ended", outcome: "done", text: "Done", value: { n: [1, null] }, degraded: false },
  ];
  const bytes = new Uint8Array(lines.flatMap((line) => [...encodeReplyLine(line)]));
  assert.deepEqual(decodeReply(bytes), lines);
  let seen = 0;
  for (let length = 0; length <= bytes.length; length++) {
    const found = decodeReply(bytes.subarray(0, length));
    assert.deepEqual(found, lines.slice(0, found.length));
    assert.ok(found.length >= seen);
    seen = found.length;
  }
  assert.equal(seen, 3);
  for (const text of ["x\n", "{}\n", '{"kind":"ended","outcome":"fine","text":""}\n', "null\n", '{"kind":"taken"}\n']) {
    assert.throws(() => decodeReply(encoder.encode(text)), RequestError, text);
  }
  assert.throws(() => decodeReply(new Uint8Array(MAX_REPLY_BYTES + 1)), RequestError);
});
