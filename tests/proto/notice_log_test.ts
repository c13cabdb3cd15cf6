import assert from "node:assert/strict";
import { MAX_NOTICE_LENGTH, MAX_NOTICES, NoticeLog } from "../../proto/notice_log.ts";

Deno.test("NoticeLog keeps the newest notices and counts all", () => {
  const log = new NoticeLog();
  for (let i = 0; i < MAX_NOTICES + 7; i++) log.add(`fault ${i}`, i);
  assert.equal(log.count, MAX_NOTICES + 7);
  assert.equal(log.notices.length, MAX_NOTICES);
  assert.deepEqual(log.notices[0], { time: 7, text: "fault 7" });
  assert.deepEqual(log.notices.at(-1), { time: MAX_NOTICES + 6, text: `fault ${MAX_NOTICES + 6}` });
});

Deno.test("NoticeLog does not let one repeated fault push the others out", () => {
  const log = new NoticeLog();
  log.add("first", 1);
  for (let i = 0; i < 1_000; i++) log.add("again", 2 + i);
  assert.deepEqual(log.notices, [{ time: 1, text: "first" }, { time: 1_001, text: "again" }]);
  assert.equal(log.count, 1_001);
});

Deno.test("NoticeLog makes texts harmless and cuts them", () => {
  const log = new NoticeLog();
  assert.equal(log.add("a\x1b[2Jb\nc", 1), "a\\x1b[2Jb\\nc");
  assert.equal(log.add("x".repeat(10 * MAX_NOTICE_LENGTH), 2).length, MAX_NOTICE_LENGTH + 1);
});
