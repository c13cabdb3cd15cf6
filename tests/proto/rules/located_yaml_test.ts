import assert from "node:assert/strict";
import fc from "fast-check";
import {
  isTraceable,
  offsetInText,
  parseYaml,
  positionAt,
  YamlFaultError,
  type YamlNode,
} from "../../../proto/rules/located_yaml.ts";

function entry(node: YamlNode, key: string): YamlNode {
  assert(node.kind === "mapping");
  return node.entries.get(key)!.value;
}

function refuses(text: string, reason: RegExp, line: number, column: number): void {
  assert.throws(() => parseYaml(text), (error) => {
    assert(error instanceof YamlFaultError, String(error));
    assert.match(error.reason, reason);
    assert.deepEqual(positionAt(text, error.offset), { line, column }, text.slice(0, 200));
    return true;
  });
}

Deno.test("parseYaml() knows where keys and values stand", () => {
  const text = "a: 1\nb:\n  - x: 'y'\n    z: true\n  - ~\n";
  const root = parseYaml(text);
  assert(root.kind === "mapping");
  assert.deepEqual(positionAt(text, root.entries.get("b")!.keyOffset), { line: 2, column: 1 });
  const list = entry(root, "b");
  assert(list.kind === "sequence");
  assert.deepEqual(positionAt(text, list.items[0]!.offset), { line: 3, column: 5 });
  const z = entry(list.items[0]!, "z");
  assert.deepEqual([z.kind === "scalar" && z.value, positionAt(text, z.offset)], [true, { line: 4, column: 8 }]);
  assert.equal(list.items[1]!.kind === "scalar" && list.items[1]!.value, null);
});

Deno.test("parseYaml() refuses what could make a small text large or mean something else", () => {
  refuses("a: &x 1\n", /Anchors/, 1, 5);
  refuses("a: 1\nb: *x\n", /Aliases|unknown|unidentified/i, 2, 5);
  refuses("a: !!str 1\n", /Tags/, 1, 4);
  refuses("a: !!binary aGk=\n", /Tags/, 1, 4);
  refuses("a: 1\na: 2\n", /duplicated mapping key/i, 2, 1);
  refuses("1: a\n'1': b\n", /Duplicated mapping key/, 2, 2);
  refuses("<<: {a: 1}\n<<: {b: 2}\n", /duplicated mapping key/i, 2, 1);
  const laughs = [
    "a: &a [x, x, x, x, x, x, x, x, x]",
    ..."bcdefghi".split("").map((name, i) => `${name}: &${name} [${Array(9).fill(`*${"abcdefgh"[i]}`)}]`),
  ];
  refuses(`${laughs.join("\n")}\n`, /Anchors/, 1, 5);
  refuses(`${"[".repeat(100_000)}`, /nesting|depth/i, 1, 8);
  refuses(`${"- ".repeat(100_000)}`, /nesting|depth/i, 1, 17);
  refuses(`a: ${'"\\x'.repeat(1_000)}`, /hexadecimal/, 1, 7);
  refuses("---\na: 1\n---\nb: 1\n", /One YAML document is expected, not 2/, 1, 1);
  refuses("", /not 0/, 1, 1);
  refuses("a: [1", /unexpected end/i, 1, 6);
  refuses("a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n", /nesting/i, 1, 29);
  refuses("? [a]\n: b\n", /key must be a plain text/, 1, 3);
  refuses("a: 1\n: b\n", /key must be a plain text/, 1, 4);
  refuses(`a: [${"1,".repeat(60_000)}]`, /More than/, 1, 1);
});

Deno.test("offsetInText() finds each character of a text in its YAML, however it is written", () => {
  const styles = [
    "k: |\n  SELECT a\n    FROM b\n\n  WHERE c\nnext: 1\n",
    "k: |2-\n\n    SELECT\n     a\n",
    "deep:\n  k: |\n    one\n      two\n",
    "k: SELECT a FROM b\n",
    "k: 'it''s ''here'' or not'\n",
    'k: "a\\tb\\u0041c\\\\d\\x41e\\"f"\n',
    "k: |\r\n  SELECT a\r\n  FROM b\r\n",
  ];
  for (const text of styles) {
    const root = parseYaml(text);
    const node = text.startsWith("deep") ? entry(entry(root, "deep"), "k") : entry(root, "k");
    assert(node.kind === "scalar" && typeof node.value === "string");
    assert(isTraceable(node.event, text), text);
    const { value } = node;
    for (let at = 0; at < value.length; at++) {
      const found = offsetInText(node.event, text, value, at);
      if (/[A-Za-z]/.test(value[at]!) && value[at] !== "A") assert.equal(text[found], value[at], `${text} at ${at}`);
      if (value[at] === "'") assert.equal(text.slice(found, found + 2), "''");
    }
  }
  for (const text of ["k: >\n  a\n  b\n", "k: a\n  b\n", "k: 'a\n  b'\n"]) {
    const node = entry(parseYaml(text), "k");
    assert(node.kind === "scalar" && !isTraceable(node.event, text), text);
  }
});

Deno.test("parseYaml() ends every text with nodes or a fault", () => {
  const pieces = fc.constantFrom(
    "a",
    ":",
    " ",
    "\n",
    "  ",
    "- ",
    "|",
    ">",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    "&x",
    "*x",
    "!",
    "#",
    "?",
    "\t",
    "---",
    "\0",
    "%",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      const text = parts.join("");
      try {
        parseYaml(text);
      } catch (error) {
        assert(error instanceof YamlFaultError, `${JSON.stringify(text)}: ${error}`);
        assert(error.offset >= 0 && error.offset <= text.length + 1);
      }
    }),
    { numRuns: 3_000 },
  );
});
