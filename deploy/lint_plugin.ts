/**
 * Rules of this tree that `deno lint` checks: what one file may do that others may not, and who imports whom.
 *
 * The names of rules are `daemoneye/…`. A rule sees one file at a time and goes by names, so it is a fence against
 * mistakes, not against malice; the permissions are that.
 *
 * @module
 */
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** The only file that calls `Deno.dlopen`. */
const FFI_FILE = "collector/kernel/libc.ts";

/** The only files that re-export: what `deno.json` exports to others. The second has nothing that a browser lacks. */
const FACES: readonly string[] = ["mod.ts", "proto/ledger/mod.ts"];

/** Parts of the tree that each part may import from, besides itself. A part that is not named may import anything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  collector: ["proto"],
  agent: ["proto"],
  cli: ["proto"],
  deploy: ["proto"],
};

/** Modules of the runtime that do I/O or look at the host: not for `proto/`. */
const IMPURE =
  /^node:(?:fs|net|tls|http2?|https|dgram|dns|child_process|cluster|os|process|worker_threads|readline|repl|tty)(?:\/|$)/;

/** Path below the root, `/` as separator; `null` outside of it. */
function placeOf(context: Deno.lint.RuleContext): string | null {
  const path = relative(ROOT, context.filename);
  return path.startsWith("..") ? null : path;
}

function partOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "";
}

function isDeno(node: Deno.lint.MemberExpression, property: string | null): boolean {
  return node.object.type === "Identifier" && node.object.name === "Deno" &&
    (property === null || (node.property.type === "Identifier" && node.property.name === property));
}

type Importing = Deno.lint.ImportDeclaration | Deno.lint.ExportAllDeclaration | Deno.lint.ExportNamedDeclaration;

/** Calls `check` for every module that the file names, however it does so. */
function onImports(check: (source: string, node: Deno.lint.Node) => void): Deno.lint.LintVisitor {
  const declared = (node: Importing): void => {
    if (node.source !== null) check(String(node.source.value), node);
  };
  return {
    ImportDeclaration: declared,
    ExportAllDeclaration: declared,
    ExportNamedDeclaration: declared,
    ImportExpression(node) {
      if (node.source.type === "Literal") check(String(node.source.value), node);
    },
  };
}

const plugin: Deno.lint.Plugin = {
  name: "daemoneye",
  rules: {
    "dlopen-in-one-file": {
      create(context) {
        if (placeOf(context) === FFI_FILE) return {};
        return {
          MemberExpression(node) {
            if (!isDeno(node, "dlopen")) return;
            context.report({
              node,
              message: "Foreign code is opened in one file only",
              hint: `Add the symbol to ${FFI_FILE}`,
            });
          },
        };
      },
    },
    "tier-boundaries": {
      create(context) {
        const file = placeOf(context);
        const allowed = file === null ? undefined : MAY_IMPORT[partOf(file)];
        if (file === null || allowed === undefined) return {};
        const own = partOf(file);
        return onImports((source, node) => {
          if (!/^(?:\.|\/|file:)/.test(source)) return;
          const target = source.startsWith("file:")
            ? fileURLToPath(source)
            : resolve(dirname(context.filename), source);
          const path = relative(ROOT, target), part = partOf(path);
          if (path === "deno.json" || part === own || allowed.includes(part)) return;
          const may = [own, ...allowed].map((name) => `${name}/`).join(" and ");
          context.report({ node, message: `${own}/ imports from ${may} only, not ${source}` });
        });
      },
    },
    "pure-proto": {
      create(context) {
        const file = placeOf(context);
        if (file === null || partOf(file) !== "proto") return {};
        const message = "proto/ is pure: bytes or values in, values out";
        return {
          ...onImports((source, node) => {
            if (IMPURE.test(source)) context.report({ node, message: `${message}, no ${source}` });
          }),
          MemberExpression(node) {
            if (isDeno(node, null)) context.report({ node, message: `${message}, no Deno API` });
          },
        };
      },
    },
    "no-statement-all": {
      create(context) {
        return {
          CallExpression(node) {
            const { callee } = node;
            if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return;
            if (callee.property.name !== "all" || callee.computed) return;
            if (callee.object.type === "Identifier" && callee.object.name === "Promise") return;
            context.report({
              node,
              message: "StatementSync.all() does not return when a function called from SQL throws (Deno 2.9.6)",
              hint: "Write [...statement.iterate()]",
            });
          },
        };
      },
    },
    "reexport-in-mod-only": {
      create(context) {
        const file = placeOf(context);
        if (file === null || FACES.includes(file)) return {};
        const report = (node: Deno.lint.Node): void =>
          context.report({ node, message: "Only mod.ts re-exports; import the file that you mean" });
        return {
          ExportAllDeclaration: report,
          ExportNamedDeclaration(node) {
            if (node.source !== null) report(node);
          },
        };
      },
    },
  },
};

export default plugin;
