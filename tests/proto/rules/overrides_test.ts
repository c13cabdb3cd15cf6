import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseOverrides } from "../../../proto/rules/overrides.ts";
import { RuleError } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";

Deno.test("parseOverrides() gives each override with its place", () => {
  const text = "overrides:\n  - {id: a-b, state: draft, reason: tried}\n  - {id: c-d, severity: low, reason: noise}\n";
  assert.deepEqual(
    parseOverrides(text, "f").map(({ id, state, severity, position }) => [id, state, severity, position.line]),
    [
      ["a-b", "draft", null, 2],
      ["c-d", null, "low", 3],
    ],
  );
  assert.deepEqual(parseOverrides(`\ufeff${text}`, "f"), parseOverrides(text, "f"));
  assert.deepEqual(parseOverrides("overrides: []", "f"), []);
});

Deno.test("parseOverrides() refuses everything else, with line and column", () => {
  const refuses = (text: string, reason: RegExp, line = 1): void => {
    assert.throws(() => parseOverrides(text, "f"), (error: unknown) => {
      assert.ok(error instanceof RuleError);
      assert.match(error.reason, reason);
      assert.equal(error.line, line, text);
      return true;
    });
  };
  refuses("disable: [a]", /is one list/);
  refuses("[]", /is one list/);
  refuses("overrides:\n  - a", /An override is a mapping/, 2);
  refuses("overrides:\n  - {id: a, state: off, reason: x}", /state is one of active, draft, disabled/, 2);
  refuses("overrides:\n  - {id: a, severity: huge, reason: x}", /severity is one of/, 2);
  refuses("overrides:\n  - {id: a, state: draft}", /says why/, 2);
  refuses("overrides:\n  - {id: a, reason: x}", /a state, a severity, or both/, 2);
  refuses("overrides:\n  - {state: draft, reason: x}", /names the rule/, 2);
  refuses("overrides:\n  - {id: a, state: draft, reson: x}", /Unknown key "reson"; did you mean reason/, 2);
  refuses(
    "overrides:\n  - {id: a, state: draft, reason: x}\n  - {id: a, state: draft, reason: y}",
    /A second override/,
    3,
  );
  refuses("overrides: &a\n  - {id: a, state: draft, reason: x}", /./);
});

Deno.test("a rule's hash is that of its file's bytes, a byte order mark and line ends included", () => {
  const text =
    "id: one-rule\ntitle: T\ndescription: é\nseverity: low\nsql: SELECT pid FROM process_events WHERE pid = 1\n";
  for (const file of [text, `\ufeff${text}`, text.replaceAll("\n", "\r\n")]) {
    const bytes = new TextEncoder().encode(file);
    const decoded = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    assert.equal(parseRule(decoded, "f").hash, createHash("sha256").update(bytes).digest("hex"));
  }
});

Deno.test("status is active or draft, and active by default", () => {
  const text = (more: string): string =>
    `id: one-rule\ntitle: T\ndescription: D\nseverity: low\n${more}sql: SELECT pid FROM process_events WHERE pid = 1\n`;
  assert.equal(parseRule(text(""), "f").status, "active");
  assert.equal(parseRule(text("status: draft\n"), "f").status, "draft");
  assert.throws(() => parseRule(text("status: experimental\n"), "f"), /f:5:9: status is one of active, draft/);
});
