import assert from "node:assert/strict";
import fc from "fast-check";
import { displayWidth } from "../../cli/display_width.ts";
import { type Key, KeyDecoder, type KeyName } from "../../cli/keys.ts";
import { LineEditor } from "../../cli/line_editor.ts";
import { splitStatements } from "../../cli/statements.ts";

function typed(bytes: string): Key[] {
  return new KeyDecoder().push(new TextEncoder().encode(bytes));
}

function edited(...keys: (KeyName | `"${string}`)[]): LineEditor {
  const editor = new LineEditor((_, word) => ["process_events", "processes", "pid"].filter((w) => w.startsWith(word)));
  for (const key of keys) {
    editor.press(key.startsWith('"') ? { kind: "text", text: key.slice(1) } : { kind: "named", name: key as KeyName });
  }
  return editor;
}

Deno.test("KeyDecoder knows the sequences of terminals, and drops what is no key", () => {
  const names = (bytes: string) => typed(bytes).map((key) => key.kind === "text" ? key.text : `<${key.name}>`).join("");
  assert.equal(
    names("ab\x1b[A\x1bOB\x1b[3~\x1b[1;5Cé中\r\x7f\x03"),
    "ab<up><down><delete><wordright>é中<enter><backspace><ctrl-c>",
  );
  assert.equal(names("\x1b[99;99zx\x1b"), "x<escape>");
  // Controls and characters without a shape are no text
  assert.equal(names("a\u202eb\u0085\u200bc"), "abc");
});

Deno.test("KeyDecoder puts together what was read in pieces, at every cut", () => {
  const bytes = new TextEncoder().encode("a\x1b[1;5Cé中\x1b[3~");
  const whole = new KeyDecoder().push(bytes);
  for (let cut = 1; cut < bytes.length; cut++) {
    // An escape alone is a key: a terminal does not cut there
    if (bytes[cut - 1] === 0x1b) continue;
    const decoder = new KeyDecoder(), keys = [...decoder.push(bytes.slice(0, cut)), ...decoder.push(bytes.slice(cut))];
    const text = (keys: readonly Key[]) => keys.map((key) => key.kind === "text" ? key.text : `<${key.name}>`).join("");
    assert.equal(text(keys), text(whole), `cut at ${cut}`);
  }
});

Deno.test("KeyDecoder takes what is pasted as text, whatever is in it, and wherever it was cut", () => {
  const bytes = new TextEncoder().encode("\t\x1b[200~a\tb\n\x1b[A\x03\x7fc\x1b[201~\x1b[Ad");
  const text = (keys: readonly Key[]) => keys.map((key) => key.kind === "text" ? key.text : `<${key.name}>`).join("");
  assert.equal(text(new KeyDecoder().push(bytes)), "<tab>a\tb<enter>[Ac<up>d");
  for (let cut = 1; cut < bytes.length; cut++) {
    // An escape alone is a key, but not in what is pasted
    if (bytes[cut - 1] === 0x1b && (cut < 8 || cut > bytes.length - 5)) continue;
    const decoder = new KeyDecoder(), keys = [...decoder.push(bytes.slice(0, cut)), ...decoder.push(bytes.slice(cut))];
    assert.equal(text(keys), "<tab>a\tb<enter>[Ac<up>d", `cut at ${cut}`);
  }
});

Deno.test("LineEditor searches the lines typed before, backwards, and goes back to what was begun", () => {
  const searching = (...keys: (KeyName | `"${string}`)[]) => {
    const editor = edited();
    for (const line of ["select 1", "select 2 from gaps", ".tables", "SELECT 3"]) editor.remember(line);
    const results = ['"begun', "ctrl-r", ...keys].map((key) =>
      editor.press(key.startsWith('"') ? { kind: "text", text: key.slice(1) } : { kind: "named", name: key as KeyName })
    );
    return { text: editor.text, search: editor.search, result: results.at(-1) };
  };
  const found = { sought: "select", isFound: true };
  assert.deepEqual(searching('"select'), { text: "SELECT 3", search: found, result: "edited" });
  assert.deepEqual(searching('"select', "ctrl-r"), { text: "select 2 from gaps", search: found, result: "edited" });
  const missing = searching('"select', "ctrl-r", "ctrl-r", "ctrl-r");
  assert.deepEqual(missing, { text: "select 1", search: { ...found, isFound: false }, result: "edited" });
  assert.equal(searching('"gapsx', "backspace").text, "select 2 from gaps");
  assert.deepEqual(searching('"gaps', "enter"), { text: "select 2 from gaps", search: null, result: "entered" });
  assert.deepEqual(searching('"gaps', "ctrl-g"), { text: "begun", search: null, result: "edited" });
  assert.deepEqual(searching('"gaps', "escape", "down"), { text: "begun", search: null, result: "edited" });
  // Keys of the line end the search and work on what was found
  assert.equal(searching('"gaps', "home", "delete").text, "elect 2 from gaps");
  assert.equal(searching('"gaps', "up").text, "select 1");
  assert.equal(searching('"nothing', "ctrl-c").result, "interrupted");
});

Deno.test("LineEditor moves, removes and puts back", () => {
  assert.equal(edited('"select 1', "home", '"x', "end", "backspace").text, "xselect ");
  assert.equal(edited('"a bc', "ctrl-w", "ctrl-y", "ctrl-y").text, "a bcbc");
  assert.equal(edited('"a bc', "wordleft", "ctrl-k", "home", "ctrl-y").text, "bca ");
  assert.equal(edited('"a😀b', "left", "left", "delete").text, "ab");
  assert.equal(edited('"a😀b', "left", "backspace").text, "ab");
});

Deno.test("LineEditor brings back lines, and the one that was begun", () => {
  const editor = edited();
  for (const line of ["one", "two", "two", " "]) editor.remember(line);
  const press = (name: KeyName) => {
    editor.press({ kind: "named", name });
    return editor.text;
  };
  editor.press({ kind: "text", text: "begun" });
  assert.deepEqual([press("up"), press("up"), press("up")], ["two", "one", "one"]);
  assert.deepEqual([press("down"), press("down"), press("down")], ["two", "begun", "begun"]);
});

Deno.test("LineEditor completes a word, as far as it is plain, and names the choices", () => {
  assert.equal(edited('"select pi', "tab").text, "select pid ");
  assert.equal(edited('"from pr', "tab").text, "from process");
  const editor = edited('"from process');
  assert.deepEqual(editor.press({ kind: "named", name: "tab" }), { choices: ["process_events", "processes"] });
});

Deno.test("LineEditor shows no more than fits, with the cursor in it, whatever the line holds", () => {
  fc.assert(fc.property(
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.integer({ min: 4, max: 40 }),
    fc.integer({ min: 0, max: 70 }),
    (text, columns, back) => {
      const editor = edited(`"${text}`);
      for (let i = 0; i < back; i++) editor.press({ kind: "named", name: "left" });
      const shown = editor.shown(columns);
      assert.ok(shown.cursor < columns || displayWidth(shown.text) === 0);
      assert.ok(displayWidth(shown.text) <= columns, JSON.stringify(shown));
      assert.ok(!/[\p{Cc}\p{Cf}]/u.test(shown.text));
    },
  ));
});

Deno.test("splitStatements() ends a statement at a semicolon outside of quotes and comments", () => {
  const split = (text: string) => splitStatements(text);
  assert.deepEqual(split("a; b;c"), { statements: ["a", "b"], rest: "c" });
  assert.deepEqual(split("select ';''' , \"x;\", [y;] -- ;\n, /* ; */ 1;"), {
    statements: ["select ';''' , \"x;\", [y;] -- ;\n, /* ; */ 1"],
    rest: "",
  });
  assert.deepEqual(split(";;\n -- only a comment;\n"), { statements: [], rest: "" });
  for (const open of ["'", '"', "`", "[", "/*"]) {
    assert.deepEqual(split(`x ${open} ;`), { statements: [], rest: `x ${open} ;` });
  }
});
