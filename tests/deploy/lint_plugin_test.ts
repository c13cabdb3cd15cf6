import assert from "node:assert/strict";
import plugin from "../../deploy/lint_plugin.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

function findings(file: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, `${ROOT}${file}`, source).map(({ id }) => id);
}

function reports(rule: string, file: string, source: string): void {
  Deno.test(`lint reports ${rule}: ${source}  in ${file}`, () => {
    assert.deepEqual(findings(file, source), [`daemoneye/${rule}`]);
  });
}

function accepts(file: string, source: string): void {
  Deno.test(`lint accepts: ${source}  in ${file}`, () => {
    assert.deepEqual(findings(file, source), []);
  });
}

reports("dlopen-in-one-file", "collector/users.ts", `Deno.dlopen("/lib/x", {});`);
reports("dlopen-in-one-file", "tests/x_test.ts", `const open = Deno.dlopen;`);
accepts("collector/kernel/libc.ts", `Deno.dlopen("/lib/x", {});`);

reports("tier-boundaries", "agent/main.ts", `import { x } from "../collector/main.ts";`);
reports("tier-boundaries", "agent/store/store.ts", `import type { X } from "../../cli/output.ts";`);
reports("tier-boundaries", "cli/main.ts", `const x = await import("../agent/main.ts");`);
reports("tier-boundaries", "collector/main.ts", `import "../deploy/privileges.ts";`);
reports("tier-boundaries", "proto/wire.ts", `import { x } from "../agent/main.ts";`);
reports("tier-boundaries", "proto/wire.ts", `import { x } from "${new URL("../../agent/main.ts", import.meta.url)}";`);
reports("tier-boundaries", "proto/rules/rule.ts", `import { x } from "../../tests/support/needs.ts";`);
accepts("agent/store/store.ts", `import { x } from "../../proto/wire.ts"; import "./schema.ts"; import "../main.ts";`);
accepts("cli/main.ts", `import { x } from "node:path"; import "sql-parser-cst";`);
reports("tier-boundaries", "cli/main.ts", `import "../mod.ts";`);
accepts("deploy/gen.ts", `import config from "../deno.json" with { type: "json" };`);
accepts("tests/e2e/x_test.ts", `import "../../agent/main.ts"; import "../../collector/main.ts";`);

reports("pure-proto", "proto/wire.ts", `export const x = Deno.readTextFileSync("/x");`);
reports("pure-proto", "proto/rules/engine.ts", `import { readFileSync } from "node:fs";`);
reports("pure-proto", "proto/wire.ts", `import { readFile } from "node:fs/promises";`);
accepts("proto/wire.ts", `import { createHash } from "node:crypto"; import { DatabaseSync } from "node:sqlite";`);
accepts("agent/main.ts", `Deno.exit(0);`);

reports("no-statement-all", "agent/store/store.ts", `const rows = db.prepare("SELECT 1").all();`);
reports("no-statement-all", "cli/query.ts", `statement.all(1, 2);`);
accepts("agent/main.ts", `await Promise.all([a(), b()]); [...statement.iterate()];`);

reports("reexport-in-mod-only", "proto/wire.ts", `export { x } from "./frame.ts";`);
reports("reexport-in-mod-only", "cli/main.ts", `export * from "./output.ts";`);
reports("reexport-in-mod-only", "proto/rules/mod.ts", `export * from "./rule.ts";`);
accepts("proto/ledger/mod.ts", `export { x } from "./entry.ts";`);
accepts("mod.ts", `export * from "./proto/wire.ts"; export { x } from "./proto/frame.ts";`);
accepts("proto/wire.ts", `const x = 1; export { x };`);

Deno.test("deno.json wires the plugin in", () => {
  const config = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`));
  assert.deepEqual(config.lint.plugins, ["./deploy/lint_plugin.ts"]);
  assert.deepEqual(config.exports, { ".": "./mod.ts", "./ledger": "./proto/ledger/mod.ts" });
});
