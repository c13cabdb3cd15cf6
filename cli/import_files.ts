/**
 * Files of a checkout of rules: of a directory, or of a tar on standard input.
 *
 * @module
 */
import { ruleHash } from "../proto/rules/rule.ts";
import { MAPPING_NAME, type MappingFile, parseMapping } from "../proto/sigma/mapping.ts";
import { CommandError } from "./command.ts";
import { readProblem } from "./file_problem.ts";
import { readTar, TarError } from "./tar.ts";

const MAX_DEPTH = 24;
const MAX_FILES = 50_000;
/** Largest file that is read: larger ones are told. */
const MAX_BYTES = 16_777_216;
/** Largest tar. */
const MAX_TAR = 268_435_456;

export interface ImportFile {
  /** As it is shown: below the directory. */
  readonly path: string;
  readonly read: () => { readonly text: string } | { readonly fault: string };
}

/** Every `*.yml` and `*.yaml` below a directory, but for hidden ones, in the order of their names. @throws CommandError */
export function listImport(directory: string): ImportFile[] {
  const root = directory.replace(/(?<=.)\/+$/, ""), found: ImportFile[] = [];
  const walk = (path: string, below: string, depth: number): void => {
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, isDirectory, isFile } of entries) {
      const child = `${path}/${name}`, shown = below === "" ? name : `${below}/${name}`;
      // A symbolic link is neither: it could lead anywhere
      if (isDirectory && depth < MAX_DEPTH && !name.startsWith(".")) walk(child, shown, depth + 1);
      else if (isFile && isYaml(name)) found.push({ path: shown, read: () => readFile(child) });
      if (found.length > MAX_FILES) {
        throw new CommandError(`There are more than ${MAX_FILES} files; import parts of it`);
      }
    }
  };
  try {
    walk(root, "", 0);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const problem = readProblem(error);
    throw new CommandError(
      problem === "absent"
        ? `There is no directory ${directory}`
        : `The directory ${directory} cannot be read: ${problem}; or hand it over: tar -c -C ${directory} . | rules import -`,
      { cause: error },
    );
  }
  return found;
}

/** The same of a tar on standard input. @throws CommandError */
export function tarImport(readStdin: (limit: number) => Uint8Array): ImportFile[] {
  try {
    const found: ImportFile[] = [];
    for (const { path, bytes } of readTar(readStdin(MAX_TAR))) {
      const shown = path.replace(/^(\.?\/)+/, "");
      const isHidden = shown.split("/").some((part) => part.startsWith("."));
      if (!isHidden && isYaml(shown)) found.push({ path: shown, read: () => decoded(bytes) });
      if (found.length > MAX_FILES) {
        throw new CommandError(`There are more than ${MAX_FILES} files; import parts of it`);
      }
    }
    return found.sort((a, b) => a.path < b.path ? -1 : a.path > b.path ? 1 : 0);
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    throw new CommandError(`Standard input cannot be read as a tar: ${error.message}`, { cause: error });
  }
}

/** The mappings of the host's rules directories, which apply to what is imported; those that cannot be read do not. */
export function mappingsOf(rulesDirs: readonly string[]): MappingFile[] {
  return rulesDirs.flatMap((directory) =>
    ["sigma-mapping.yml", "sigma-mapping.yaml"].flatMap((name): MappingFile[] => {
      const path = `${directory}/${name}`;
      try {
        if (!Deno.statSync(path).isFile || !MAPPING_NAME.test(path)) return [];
        const content = readFile(path);
        return "fault" in content ? [] : [parseMapping(content.text, path, ruleHash(content.text))];
      } catch {
        return [];
      }
    })
  );
}

function isYaml(name: string): boolean {
  return /\.ya?ml$/.test(name);
}

function readFile(path: string): { text: string } | { fault: string } {
  try {
    if (Deno.statSync(path).size > MAX_BYTES) return { fault: `The file has more than ${MAX_BYTES} bytes` };
    return decoded(Deno.readFileSync(path));
  } catch (error) {
    return { fault: `The file cannot be read: ${readProblem(error)}` };
  }
}

function decoded(bytes: Uint8Array): { text: string } | { fault: string } {
  if (bytes.length > MAX_BYTES) return { fault: `The file has ${bytes.length} bytes; ${MAX_BYTES} are read` };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { fault: "The file is not UTF-8; save it as UTF-8" };
  }
}
