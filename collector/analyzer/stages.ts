/**
 * The stages of an analysis, carried out: a request in, rows of tables out.
 *
 * Who asks is not trusted: it learns of programs what the tables have, of other files nothing, and of what looks like a
 * secret in a program only that it is there. Each stage reads the file anew and holds it against the device and inode that
 * were asked for, so that none of them speaks of another file than the one before.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { FactRow, StageRequest, StageRows } from "../../proto/analysis/stage.ts";
import { FileCalls } from "../hasher/file_calls.ts";
import { ElfError, type ElfFacts, parsingElf } from "./elf.ts";
import { entropyOf } from "./entropy.ts";
import { hashing, paced } from "./paced.ts";
import { readMaps } from "./read_maps.ts";
import { packageOf } from "./packages.ts";
import { type ReadFile, readProgram, StageFailure } from "./read_file.ts";
import { findingStrings, type FoundString } from "./strings.ts";
import type { Yara } from "./yara.ts";

/** Files under way at once, those among them that hang: each costs a thread of the pool. */
const MAX_UNDER_WAY = 8;
/** Sections that are told, of which a program has thirty. */
const MAX_SECTIONS = 48;
/** What is left of a text that looks like a secret. */
const SECRET_HEAD = 12;

export interface StagesOptions {
  /** `null` where it is not installed. */
  readonly yara: Yara | null;
  /** Where dpkg's lists are. */
  readonly dpkgInfo?: string;
}

export class Stages {
  readonly #options: StagesOptions;
  #underWay = 0;

  constructor(options: StagesOptions) {
    this.#options = options;
  }

  /** Stages that have not ended, given up or not. */
  get underWay(): number {
    return this.#underWay;
  }

  /** @throws {StageFailure} */
  async run(request: StageRequest, timeoutMs: number, signal: AbortSignal): Promise<StageRows> {
    if (this.#underWay >= MAX_UNDER_WAY) {
      throw new StageFailure("FAILED", `${MAX_UNDER_WAY} stages are under way, or hang in a file system; ask later`);
    }
    this.#underWay++;
    const calls = new FileCalls();
    try {
      if (request.stage === "memory") return { memory_facts: [await readMaps(request, calls, signal)] };
      return await this.#ofFile(request, await readProgram(request, calls, signal), timeoutMs, signal);
    } finally {
      this.#underWay--;
      calls.release();
    }
  }

  async #ofFile(
    { stage, hash }: StageRequest,
    file: ReadFile,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<StageRows> {
    const { path, bytes } = file;
    switch (stage) {
      case "hash": {
        const found = await paced(hashing(createHash("sha256"), bytes), signal);
        const matches = hash === null ? null : Number(hash === found);
        return facts({ executable_hash: found, hash_matches: matches, size: bytes.length, kind: file.kind });
      }
      case "elf":
        return facts(file.kind === "elf" ? await elfRow(bytes, signal) : scriptRow(bytes));
      case "package": {
        const { name, state } = await packageOf(path, bytes, signal, this.#options.dpkgInfo);
        return facts({ package: name, package_state: state });
      }
      case "strings": {
        if (file.kind !== "elf") return {}; // a script is text: to tell it would be to give it out
        const { strings, total } = await paced(findingStrings(bytes), signal);
        const rows = strings.map((each, at): FactRow => {
          return { place: at + 1, kind: each.kind, text: masked(each), position: each.offset };
        });
        return { ...facts({ string_count: total }), file_strings: rows };
      }
      case "yara": {
        const { yara } = this.#options;
        if (yara === null) throw new StageFailure("ABSENT", "yara is not installed here; install the package yara");
        const matches = await yara.scan(bytes, timeoutMs, signal);
        return { yara_matches: matches.map(({ rule, tags }) => ({ rule, tags: JSON.stringify(tags) })) };
      }
      default:
        throw new StageFailure("FAILED", `${stage} is of no file`);
    }
  }
}

function facts(row: FactRow): StageRows {
  return { file_facts: [row] };
}

async function elfRow(bytes: Uint8Array, signal: AbortSignal): Promise<FactRow> {
  let elf: ElfFacts;
  try {
    elf = await paced(parsingElf(bytes), signal);
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
    return { kind: "elf", entropy: entropyOf(bytes), faults: JSON.stringify([error.message]) };
  }
  const code = elf.sections.flatMap(({ flags, entropy }) => flags.includes("x") && entropy !== null ? [entropy] : []);
  return {
    kind: "elf",
    interpreter: elf.interpreter,
    elf_class: elf.class,
    elf_type: elf.type,
    machine: elf.machine,
    is_static: Number(elf.isStatic),
    is_pie: Number(elf.isPie),
    relro: elf.relro,
    nx: Number(elf.nx),
    writable_code: Number(elf.hasWritableCode),
    stripped: Number(elf.isStripped),
    build_id: elf.buildId,
    packer: elf.packer,
    entropy: elf.entropy,
    code_entropy: code.length === 0 ? null : Math.max(...code),
    libraries: JSON.stringify(elf.needed.slice(0, 64)),
    imports: elf.imports,
    notable_imports: JSON.stringify(elf.notableImports),
    run_path: elf.runPath,
    section_count: elf.sectionCount,
    sections: JSON.stringify(elf.sections.slice(0, MAX_SECTIONS).map((s) => ({ ...s, name: s.name.slice(0, 64) }))),
    faults: JSON.stringify(elf.faults),
  };
}

/** Of a script only what its first line says. */
function scriptRow(bytes: Uint8Array): FactRow {
  const end = bytes.indexOf(10), line = bytes.subarray(2, Math.min(end < 0 ? 256 : end, 256));
  const words = new TextDecoder().decode(line).replace(/[^ -~]/g, "?").trim();
  return { kind: "script", interpreter: words, entropy: entropyOf(bytes) };
}

/** What is told of a text: of a secret its begin, of an address not who logs in there. */
function masked({ kind, text }: FoundString): string {
  if (kind === "secret") return `${text.slice(0, SECRET_HEAD)}[REDACTED]`;
  return text.replace(/:\/\/[^/@\s]{1,200}@/g, "://[REDACTED]@");
}
