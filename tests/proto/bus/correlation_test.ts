import assert from "node:assert/strict";
import { childOf, CORRELATION_LIMITS, cutText, limited, newCorrelation } from "../../../proto/bus/correlation.ts";

const bytes = (text: string): number => new TextEncoder().encode(text).length;

Deno.test("cutText() cuts between characters", () => {
  assert.equal(cutText("😀😀😀", 5), "😀");
  assert.equal(cutText("日本語テスト", 7), "日本");
  assert.equal(cutText("abc", 3), "abc");
  assert.equal(cutText("abcd", 3), "abc");
  assert.equal(cutText("ä", 1), "");
  assert.equal(cutText("", 0), "");
  for (let limit = 0; limit < 40; limit++) {
    const text = "aé日😀".repeat(4), cut = cutText(text, limit);
    assert.ok(text.startsWith(cut) && bytes(cut) <= limit && cut.isWellFormed());
    const next = [...text.slice(cut.length)][0];
    if (next !== undefined) assert.ok(bytes(cut + next) > limit, `${limit}: more would have fitted`);
  }
});

Deno.test("a correlation of any length is brought within the limits, and what was cut is counted", () => {
  const tags = Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`${i}`.padEnd(200, "k"), "v".repeat(2_000)]));
  const { correlation, cut } = newCorrelation({ id: "é".repeat(200), stage: "s".repeat(200), tags, createdAt: 1 });
  assert.equal(bytes(correlation.id), CORRELATION_LIMITS.id);
  assert.equal(correlation.rootId, correlation.id);
  assert.equal(bytes(correlation.stage!), CORRELATION_LIMITS.stage);
  assert.equal(Object.keys(correlation.tags).length, CORRELATION_LIMITS.tags);
  for (const [key, value] of Object.entries(correlation.tags)) {
    assert.equal(bytes(key), CORRELATION_LIMITS.tagKey);
    assert.equal(bytes(value), CORRELATION_LIMITS.tagValue);
  }
  assert.equal(cut, 6 + 2 * 64 + 3, "tags, keys and values, id, root and stage");
  assert.deepEqual(limited(correlation), { correlation, cut: 0 });
});

Deno.test("a child keeps root, stage and tags, and counts from 0", () => {
  const { correlation: root } = newCorrelation({ id: "case", stage: "first", tags: { a: "b" }, createdAt: 1 });
  const { correlation: child } = childOf({ ...root, sequence: 7 }, "step", 2);
  assert.deepEqual(child, {
    id: "step",
    parentId: "case",
    rootId: "case",
    sequence: 0,
    stage: "first",
    tags: { a: "b" },
    createdAt: 2,
  });
  assert.equal(childOf(child, "next", 3).correlation.rootId, "case");
});

Deno.test("names of tags are data", () => {
  const tags = JSON.parse('{"__proto__":"x","constructor":"y"}');
  const { correlation } = newCorrelation({ id: "a", tags, createdAt: 1 });
  assert.deepEqual(Object.entries(correlation.tags), [["__proto__", "x"], ["constructor", "y"]]);
});
