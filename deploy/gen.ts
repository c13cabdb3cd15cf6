/**
 * Generates `proto/gen/` from the `.proto` files, or with `--check` proves that it is current.
 *
 * buf and protoc-gen-es run in the versions of `generator/deno.json`, which stands apart because all that the project's
 * own imports is fetched before anything runs, and buf is large. Once they are in the cache, no network is used. A check
 * generates into a temporary directory and compares names and bytes, so that a file that is no longer generated is
 * found as well. Both exit with 1 and a sentence when they fail.
 *
 * @module
 */
const ROOT = `${import.meta.dirname}/..`;
const PROTO = `${ROOT}/proto`;
const COMMITTED = `${PROTO}/gen`;
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
  const temporary = Deno.makeTempDirSync();
  try {
    generate(temporary);
    const stale = differences(COMMITTED, temporary);
    if (stale.length > 0) throw new Error(`proto/gen is not current (${stale.join(", ")}); run: deno task gen`);
  } finally {
    Deno.removeSync(temporary, { recursive: true });
  }
}

function replace(): void {
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
