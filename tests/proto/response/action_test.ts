/** Requests and answers between their forms, and what is none. */
import assert from "node:assert/strict";
import {
  boundedAnswer,
  checkedRequest,
  MAX_ANSWERED,
  partsOf,
  type ResponseAnswer,
  type ResponseRequest,
} from "../../../proto/response/action.ts";
import {
  readResponseAnswer,
  readResponseRequest,
  writeResponseAnswer,
  writeResponseRequest,
} from "../../../proto/response/codec.ts";
import { WireError } from "../../../proto/wire_error.ts";

const REQUEST: ResponseRequest = {
  action: "trace",
  process: "1a2b3c4d-812-99",
  tree: true,
  seconds: 30,
  rule: "odd",
  byRule: true,
  by: "user 1000 (alice)",
  reason: "it mines",
};
const ANSWER: ResponseAnswer = { outcome: "failed", text: "it went", processes: ["1a2b3c4d-812-99"], place: "/s/a" };

Deno.test("requests and answers come back as they went", () => {
  assert.deepEqual(readResponseRequest(writeResponseRequest(REQUEST)), REQUEST);
  assert.deepEqual(readResponseAnswer(writeResponseAnswer(ANSWER)), ANSWER);
  assert.deepEqual(partsOf(REQUEST.process), { boot: "1a2b3c4d", pid: 812, startTicks: 99 });
});

Deno.test("checkedRequest() refuses what names no process, has a time that it must not have, or is too long", () => {
  const refuses = (change: Partial<ResponseRequest>): void => {
    assert.throws(() => checkedRequest({ ...REQUEST, ...change }), WireError, JSON.stringify(change));
  };
  for (const process of ["", "812", "1a2b3c4d-0-99", "1a2b3c4d-812", "1A2B3C4D-812-99", "1a2b3c4d-812-99-5", "x\n"]) {
    refuses({ process });
  }
  refuses({ seconds: 0 });
  refuses({ seconds: 3_601 });
  refuses({ seconds: NaN });
  refuses({ action: "kill" });
  refuses({ action: "evidence", seconds: 0 });
  refuses({ reason: "a".repeat(2_000) });
  refuses({ by: "a".repeat(2_000) });
  refuses({ rule: "a".repeat(200) });
  refuses({ rule: "" });
  refuses({ action: "resume", seconds: 0 });
  checkedRequest({ ...REQUEST, action: "resume", seconds: 0, byRule: false });
  const { $typeName: _, ...message } = writeResponseRequest(REQUEST);
  assert.throws(() =>
    readResponseRequest({ ...message, $typeName: "daemoneye.ipc.ResponseRequest", action: 9 } as never)
  );
});

Deno.test("boundedAnswer() cuts what is too much, and says so", () => {
  const processes = Array.from({ length: MAX_ANSWERED + 3 }, (_, i) => `1a2b3c4d-${i + 1}-9`);
  const cut = boundedAnswer({ ...ANSWER, text: "x\ud800", processes });
  assert.equal(cut.processes.length, MAX_ANSWERED);
  assert.equal(cut.text, "x\ufffd (3 further processes are not listed)");
  assert.deepEqual(readResponseAnswer(writeResponseAnswer(cut)), cut);
  assert.throws(() => writeResponseAnswer({ ...ANSWER, processes: ["812"] }), WireError);
});
