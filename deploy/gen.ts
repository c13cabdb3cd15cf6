/**
 * Generates `proto/gen/` from the `.proto` files, `docs/sql.md` from the tables of the SQL guard, `docs/sigma.md` from
 * those of the Sigma front end, `docs/states.md` from those of the state machines, `deploy/systemd/` from those of the
 * privileges and `docs/api.txt` from `mod.ts`, or with `--check` proves that they are current, and that `mod.ts` is documented.
 *
 * buf and protoc-gen-es run in the versions of `generator/deno.json`, which stands apart because all that the project's
 * own imports is fetched before anything runs, and buf is large. Once they are in the cache, no network is used. A check
 * generates into a temporary directory and compares names and bytes, so that a file that is no longer generated is
 * found as well. Both exit with 1 and a sentence when they fail.
 *
 * @module
 */
import { apiDocs, apiFaults } from "./api_docs.ts";
import { sigmaDocs } from "./sigma_docs.ts";
import { sqlDocs } from "./sql_docs.ts";
import { stateDocs } from "./state_docs.ts";
import { systemdFiles } from "./units.ts";

const ROOT = `${import.meta.dirname}/..`;
const PROTO = `${ROOT}/proto`;
const COMMITTED = `${PROTO}/gen`;
/** Pages that are made from the code, by path. */
const DOCS: Readonly<Record<string, () => string>> = {
  "docs/sql.md": sqlDocs,
  "docs/sigma.md": sigmaDocs,
  "docs/states.md": stateDocs,
};
const SYSTEMD = `${ROOT}/deploy/systemd`;
/** The report on what is public: no Markdown, so nothing formats it. */
const API = "docs/api.txt";
const GENERATOR = `${import.meta.dirname}/generator/deno.json`;

/** Runs buf over `proto/` into `out`. */
function generate(out: string): void {
  const { imports } = JSON.parse(Deno.readTextFileSync(GENERATOR)) as { imports: Record<string, string> };
  const plugin = [Deno.execPath(), "run", "-A", `--config=${GENERATOR}`, required(imports, "@bufbuild/protoc-gen-es")];
  const template = {
    version: "v2",
    plugins: [{ local: plugin, out, opt: ["target=ts", "import_extension=ts"] }],
  };
  const arguments_ = ["generate", "--template", JSON.stringify(template), "."];
  const { code, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `--config=${GENERATOR}`, required(imports, "@bufbuild/buf"), ...arguments_],
    cwd: PROTO,
    stdout: "inherit",
  }).outputSync();
  if (code !== 0) throw new Error(`buf failed:\n${new TextDecoder().decode(stderr)}`);
}

function required(imports: Record<string, string>, name: string): string {
  const specifier = imports[name];
  if (specifier === undefined) throw new Error(`${GENERATOR} imports no ${name}`);
  return specifier;
}

function filesOf(directory: string): Map<string, string> {
  const files = [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
  return new Map(files.map((name) => [name, Deno.readTextFileSync(`${directory}/${name}`)]));
}

/** Names of files that differ between two directories, or are in only one of them. */
function differences(left: string, right: string): string[] {
  const a = filesOf(left), b = filesOf(right);
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name));
}

function check(): void {
  for (const [path, make] of Object.entries(DOCS)) {
    if (Deno.readTextFileSync(`${ROOT}/${path}`) !== formatted(make())) {
      throw new Error(`${path} is not current; run: deno task gen`);
    }
  }
  for (const [name, text] of Object.entries(systemdFiles())) {
    if (Deno.readTextFileSync(`${SYSTEMD}/${name}`) !== text) {
      throw new Error(`deploy/systemd/${name} is not current; run: deno task gen`);
    }
  }
  if (Deno.readTextFileSync(`${ROOT}/${API}`) !== apiDocs()) {
    throw new Error(`${API} is not current: mod.ts exports something else; run: deno task gen`);
  }
  const faults = apiFaults();
  if (faults !== "") throw new Error(`${faults}\n\nWhat is public is not documented: deno doc --lint mod.ts`);
  const temporary = Deno.makeTempDirSync();
  try {
    generate(temporary);
    const stale = differences(COMMITTED, temporary);
    if (stale.length > 0) throw new Error(`proto/gen is not current (${stale.join(", ")}); run: deno task gen`);
  } finally {
    Deno.removeSync(temporary, { recursive: true });
  }
}

/** Markdown as `deno fmt` leaves it. */
function formatted(markdown: string): string {
  const path = Deno.makeTempFileSync({ suffix: ".md" });
  try {
    Deno.writeTextFileSync(path, markdown);
    const args = ["fmt", "--quiet", "--config", `${ROOT}/deno.json`, path];
    const { code, stderr } = new Deno.Command(Deno.execPath(), { args }).outputSync();
    if (code !== 0) throw new Error(`deno fmt failed:\n${new TextDecoder().decode(stderr)}`);
    return Deno.readTextFileSync(path);
  } finally {
    Deno.removeSync(path);
  }
}

function replace(): void {
  for (const [path, make] of Object.entries(DOCS)) Deno.writeTextFileSync(`${ROOT}/${path}`, formatted(make()));
  for (const [name, text] of Object.entries(systemdFiles())) {
    Deno.writeTextFileSync(`${SYSTEMD}/${name}`, text);
    if (text.startsWith("#!")) Deno.chmodSync(`${SYSTEMD}/${name}`, 0o755);
  }
  Deno.writeTextFileSync(`${ROOT}/${API}`, apiDocs());
  Deno.mkdirSync(COMMITTED, { recursive: true });
  for (const name of filesOf(COMMITTED).keys()) Deno.removeSync(`${COMMITTED}/${name}`);
  generate(COMMITTED);
}

if (import.meta.main) {
  try {
    if (Deno.args.includes("--check")) check();
    else replace();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
