import assert from "node:assert/strict";
import { authorizeReads, catalogColumns } from "../../../proto/rules/authorizer.ts";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import type { DatabaseSync } from "node:sqlite";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { REFUSED_FUNCTIONS } from "../../../proto/rules/sql_functions.ts";
import { OPERATORS, REFUSED_OPERATORS } from "../../../proto/rules/sql_operators.ts";
import { REFUSED_FORMS } from "../../../proto/rules/sql_refused_forms.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { Random } from "../../fuzz/random.ts";
import { ATTACKS, LACKING, mutated } from "./attacks.ts";
import { assault, stands } from "./attack_run.ts";
import { storeLike } from "./store_like.ts";

/** `deno task test:guard` tries as many as one likes. */
const MUTATIONS = 3_000;

Deno.test("guardSql() refuses every documented attack, in every place, for every purpose", () => {
  for (const { name, queries } of ATTACKS) {
    for (const query of queries) {
      for (const purpose of ["hunt", "window", "rule"] as const) {
        assert.throws(() => guardSql(query, purpose), SqlRefusedError, `${name}: ${query}`);
      }
    }
  }
});

Deno.test("guardSql() refuses mutations of attacks that mean the same to SQLite", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  const { through, strange } = assault(seed, MUTATIONS);
  assert.deepEqual(through, [], `deno task test:guard --seed ${seed}`);
  assert.deepEqual(strange, [], `deno task test:guard --seed ${seed}`);
});

Deno.test("mutations of attacks are mostly still SQL, so that they are attacks", () => {
  using db = storeLike(1);
  prepareForAttacks(db);
  const random = new Random(5, 1);
  let sound = 0, tried = 0;
  for (const { queries, authorizer } of ATTACKS) {
    if (!authorizer) continue;
    for (let i = 0; i < 150; i++, tried++) if (stands(db, mutated(random.pick(queries), random, false))) sound++;
  }
  assert(sound > tried / 2, `${sound} of ${tried}`);
});

Deno.test("the authorizer stops by itself each class of attacks that it has to stop", () => {
  using open = storeLike(1);
  using closed = storeLike(1);
  for (const db of [open, closed]) prepareForAttacks(db);
  openDeadlineViews(open);
  const views = openDeadlineViews(closed);
  authorizeReads(closed, { tables: catalogColumns(), functions: "query", views });
  const random = new Random(6, 3);
  for (const { name, authorizer, queries } of ATTACKS) {
    if (!authorizer) continue;
    let possible = 0;
    for (const query of queries) {
      // Without it SQLite would do most of them; the others fail by what they ask for
      if (stands(open, query)) possible++;
      assert(!stands(closed, query), `${name}: ${query}`);
      const mutation = mutated(query, random, false);
      assert(!stands(closed, mutation), `${name}: ${mutation}`);
    }
    assert(possible > queries.length * 0.7, `${name}: only ${possible} of ${queries.length} are possible at all`);
  }
});

Deno.test("what docs/sql.md says is refused is refused, and what it allows is not", () => {
  for (const { what, example } of REFUSED_FORMS) assert.throws(() => guardSql(example, "hunt"), SqlRefusedError, what);
  for (const [name, why] of REFUSED_FUNCTIONS) {
    if (name === "regexp" || name === "match") continue; // keywords: the parser does not know them as functions
    assert.throws(
      () => guardSql(`SELECT ${name}(name) FROM processes`, "hunt"),
      (error) => error instanceof SqlRefusedError && error.reason === `The function ${name} is not allowed: ${why}`,
      name,
    );
  }
  for (const [name, why] of REFUSED_OPERATORS) {
    const query = name === "COLLATE"
      ? "SELECT name COLLATE NOCASE FROM processes"
      : `SELECT name ${name} 'x' FROM processes`;
    assert.throws(
      () => guardSql(query, "hunt"),
      (error) => error instanceof SqlRefusedError && error.reason.endsWith(why),
    );
  }
  const examples: Record<string, string> = {
    "prefix": "SELECT @ pid FROM processes",
    "postfix": "SELECT pid @ FROM processes",
    "infix": "SELECT pid @ 1 FROM processes",
    "pattern": "SELECT name @ 'x' FROM processes",
    "list": "SELECT pid @ (1, 2) FROM processes",
    "range": "SELECT pid @ 1 AND 2 FROM processes",
  };
  for (const [name, { form }] of OPERATORS) {
    if (form === "other" || name === "EXISTS") continue;
    guardSql(examples[form]!.replace("@", () => name.split(" before ")[0]!), "hunt");
  }
});

function prepareForAttacks(db: DatabaseSync): void {
  db.exec("CREATE TABLE secrets (a)");
  for (const name of LACKING) db.function(name, { varargs: true }, () => 1);
}
