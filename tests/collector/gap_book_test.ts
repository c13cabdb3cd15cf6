import assert from "node:assert/strict";
import type { Gap } from "../../proto/process_event.ts";
import { GapBook } from "../../collector/gap_book.ts";

const S = 1e9;

function gap(from: number, to: number, count: number | null, recordKind = "exec"): Gap {
  return { source: "ebpf", recordKind, from, to, count, reason: "the ring buffer was full" };
}

Deno.test("the first gap of a cause goes at once, those after it once a second with their sum", () => {
  const book = new GapBook();
  book.add(gap(1, 2, 3));
  assert.deepEqual(book.take(10 * S, false), [gap(1, 2, 3)]);
  for (let i = 0; i < 100; i++) {
    book.add(gap(10 + i, 11 + i, 2));
    assert.deepEqual(book.take(10 * S + i * 1e6, false), []);
  }
  assert.deepEqual(book.take(11 * S, false), [gap(10, 110, 200)]);
  assert.deepEqual(book.take(20 * S, false), []);
});

Deno.test("kinds are told apart, an unknown number stays unknown, and the last word has everything", () => {
  const book = new GapBook();
  book.add(gap(1, 2, 3));
  book.add(gap(1, 2, 4, "fork"));
  assert.equal(book.take(S, false).length, 2);
  book.add(gap(3, 4, 1));
  book.add(gap(5, 6, null));
  book.add(gap(5, 6, 7, "fork"));
  assert.deepEqual(book.take(S + 1, true), [gap(3, 6, null), gap(5, 6, 7, "fork")]);
});
