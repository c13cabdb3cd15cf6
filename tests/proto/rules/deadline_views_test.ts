import assert from "node:assert/strict";
import { tableNamed } from "../../../proto/catalog.ts";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../../proto/rules/prepared_query.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { storeLike } from "./store_like.ts";

Deno.test("openDeadlineViews() narrows the rows of a table", () => {
  using db = storeLike(5);
  const views = openDeadlineViews(db, [tableNamed("gaps")], (table) => `${table.key[0]} >= 3`);
  const { rows } = runGuarded(db, views, guardSql("SELECT gap_id FROM gaps", "hunt"), 1_000);
  assert.deepEqual([...rows], [[3], [4]]);
});
