// What docs/rules.md says of the shipped rules, and docs/sigma.md as it lies there: each column of the catalog, each modifier, each feature, each log source and each reason
// why not. That it is what `deno task gen` makes is checked by `gen:check`.
import assert from "node:assert/strict";
import { tableNamed } from "../../proto/catalog.ts";
import { unitOf } from "../../proto/tables/table.ts";
import { loadRules } from "../../proto/rules/rule_set.ts";
import {
  CORRELATION_FEATURES,
  DETECTION_FEATURES,
  DOCUMENT_FEATURES,
  FILTER_FEATURES,
} from "../../proto/sigma/features.ts";
import { PROCESS_FIELDS, UNSEEN_FIELDS } from "../../proto/sigma/fields.ts";
import { LOG_SOURCES, sourceWords } from "../../proto/sigma/logsources.ts";
import { MODIFIERS } from "../../proto/sigma/modifiers.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGE = await Deno.readTextFile(new URL("docs/sigma.md", ROOT));

/** The cells of each row of the table under a heading, or after a line of text. */
function rowsAfter(line: string): string[][] {
  const from = PAGE.indexOf(`\n${line}\n`);
  assert(from >= 0, `there is no line ${line}`);
  const [, table] = /\n((?:\|.*\n)+)/.exec(PAGE.slice(from + line.length + 1))!;
  return table!.trimEnd().split("\n").slice(2).map((row) =>
    row.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"))
  );
}

const code = (text: string): string => `\`${text}\``;

Deno.test("docs/rules.md counts the shipped rules, and those of them over several events", () => {
  const directory = new URL("rules/", ROOT);
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => name.endsWith(".yml"));
  const { active } = loadRules(names.map((file) => ({ file, text: Deno.readTextFileSync(new URL(file, directory)) })));
  const several = active.filter(({ windowMs }) => windowMs !== null).length;
  const said = `${active.length} rules are shipped, ${several} of them over several events`;
  assert(Deno.readTextFileSync(new URL("docs/rules.md", ROOT)).includes(said), `it should say: ${said}`);
});

Deno.test("docs/sigma.md has a row for each column of process_events, with its names, its type and what it holds", () => {
  const { columns } = tableNamed("process_events"), rows = rowsAfter("## Fields of processes");
  assert.deepEqual(rows.map(([name]) => name), columns.map(({ name }) => code(name)));
  columns.forEach((column, i) => {
    const { names, keywords } = PROCESS_FIELDS[column.name]!, [, known, type, isKeyword, holds] = rows[i]!;
    assert.equal(known, names.map(code).join(", "), column.name);
    assert.equal(type, unitOf(column) === "" ? column.type : `${column.type}, ${unitOf(column)}`);
    assert.equal(isKeyword, keywords ? "yes" : "");
    assert(holds!.startsWith(column.description), column.name);
  });
});

Deno.test("docs/sigma.md says of each modifier how it is done, and of each feature how, or why not", () => {
  assert.deepEqual(
    rowsAfter("## Modifiers"),
    Object.entries(MODIFIERS).map(([name, { how }]) => [code(name), how]),
  );
  const sections = {
    "## Documents": DOCUMENT_FEATURES,
    "## Detections and conditions": DETECTION_FEATURES,
    "## Filters": FILTER_FEATURES,
    "## Correlations": CORRELATION_FEATURES,
  };
  for (const [heading, features] of Object.entries(sections)) {
    const rows = rowsAfter(heading);
    assert.deepEqual(rows.map(([feature]) => feature), features.map(({ feature }) => feature));
    for (const [feature, support, how] of rows) {
      assert(["yes", "differs", "no"].includes(support!), feature);
      assert(how!.length >= 5, `${feature}: ${how}`);
    }
  }
});

Deno.test("docs/sigma.md has each log source, and each field that no column holds with the reason", () => {
  assert.deepEqual(
    rowsAfter("## Log sources").map(([source]) => source),
    LOG_SOURCES.map(({ source }) => code(sourceWords(source))),
  );
  const unseen = rowsAfter("Fields that no column holds; a rule that needs one is unsupported:");
  assert.deepEqual(unseen, Object.entries(UNSEEN_FIELDS).map(([name, why]) => [code(name), why]));
  for (const { source, fields } of LOG_SOURCES) {
    if (fields.length === 0) continue;
    const line = `Fields of ${code(sourceWords(source))}, whose events this host does not have yet:`;
    assert.deepEqual(rowsAfter(line), fields.map(([names, meaning]) => [names, meaning]));
  }
});
