// The table of fields: complete for the columns of the catalog, and without two meanings of one name.
import assert from "node:assert/strict";
import { tableNamed } from "../../../proto/catalog.ts";
import { KEYWORD_COLUMNS } from "../../../proto/sigma/columns.ts";
import { PROCESS_FIELDS, UNSEEN_FIELDS } from "../../../proto/sigma/fields.ts";
import { LOG_SOURCES } from "../../../proto/sigma/logsources.ts";
import { holds } from "./support.ts";

const COLUMNS = tableNamed("process_events").columns;

Deno.test("the table of fields has each column of process_events, in the catalog's order", () => {
  assert.deepEqual(Object.keys(PROCESS_FIELDS), COLUMNS.map(({ name }) => name));
});

Deno.test("no name of a field means two columns, or one that is not seen", () => {
  const names = Object.entries(PROCESS_FIELDS).flatMap(([column, { names }]) => [column, ...names]);
  assert.equal(new Set(names).size, names.length);
  for (const name of Object.keys(UNSEEN_FIELDS)) assert(!names.includes(name), name);
});

Deno.test("keywords are looked for in texts alone", () => {
  for (const name of KEYWORD_COLUMNS) assert.equal(COLUMNS.find((column) => column.name === name)!.type, "TEXT");
});

Deno.test("every name of a field asks its column", () => {
  for (const [column, { names }] of Object.entries(PROCESS_FIELDS)) {
    if (column === "event_id") continue; // by which the test tells rows apart
    const { type } = COLUMNS.find(({ name }) => name === column)!;
    const [written, yes, no] = type === "TEXT" ? ["start", "start", "stop"] : ["7", 7, 8];
    for (const name of [column, ...names]) {
      holds(`a:\n    ${name}: ${written}\ncondition: a`, [{ [column]: yes }], [{ [column]: no }]);
    }
  }
});

Deno.test("a log source without events has its fields written down", () => {
  for (const { events, fields } of LOG_SOURCES) assert.equal(events === null, fields.length > 0);
});
