/**
 * A bundle of evidence: what `/proc` tells of one process at this moment, and its executable.
 *
 * A directory with a file each, and `manifest.json`, which names every file with its size and SHA-256, what was cut,
 * and what could not be had and why; the manifest's own digest goes into the audit ledger. Secrets in arguments and
 * environment are masked as everywhere, before anything is written; memory is not copied. The bundle appears under its
 * name when it is whole. All of it is read through the process' own directory of `/proc`, so nothing in it is of another
 * process; it is no snapshot, as the process goes on unless it was stopped before.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { canonicalJson, type Json } from "../../proto/ledger/canonical_json.ts";
import type { ResponseRequest } from "../../proto/response/action.ts";
import type { ResponsePolicy } from "../../proto/response/policy.ts";
import { redactArgv, redactVariable } from "../redaction.ts";
import type { OutputDirectory } from "./output.ts";
import type { SlowReader } from "./slow_read.ts";
import { nameOf, type Target, type TargetFacts } from "./target.ts";

/** Longest of each kind, and of the list of open files. */
const MAX_TEXT_BYTES = 1 << 20, MAX_FILES = 4_096;
const TEXT_MS = 2_000, EXECUTABLE_MS = 30_000;
/** What one bundle may take beside the executable. */
export const BUNDLE_BYTES = 16 * MAX_TEXT_BYTES;
/** Copied as they are. */
const PLAIN = ["status", "stat", "maps", "cgroup", "limits", "mountinfo", "io", "schedstat", "wchan"];
const LINKS = ["exe", "cwd", "root", "ns/pid", "ns/mnt", "ns/net", "ns/user"];

interface Part {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly isCut: boolean;
  readonly masked: number;
}

export interface Bundle {
  readonly path: string;
  /** SHA-256 of its manifest. */
  readonly digest: string;
  readonly parts: number;
  /** What could not be had. */
  readonly missing: readonly string[];
}

export interface BundleOptions {
  readonly boot: string;
  readonly bootId: string;
  readonly request: ResponseRequest;
  readonly policy: ResponsePolicy;
  readonly output: OutputDirectory;
  readonly reader: SlowReader;
}

/** Makes it. Rejects where it cannot be written; then what is there of it stays, under a name with a dot. */
export async function collectEvidence(target: Target, facts: TargetFacts, options: BundleOptions): Promise<Bundle> {
  const { boot, bootId, request, policy, output } = options;
  const name = output.nameFor("evidence", nameOf(boot, facts)), draft = `${output.path}/.${name}`;
  Deno.mkdirSync(draft);
  const bundle = new Draft(draft, target, options.reader);
  const begun = Date.now();
  for (const file of PLAIN) await bundle.copy(file);
  await bundle.copy("cmdline", (bytes) => {
    const { argv, masked } = redactArgv(bytes);
    return { bytes: argv, masked };
  });
  if (policy.evidence.environment) await bundle.copy("environ", maskedEnvironment);
  bundle.write("links.json", json(Object.fromEntries(LINKS.map((link) => [link, target.link(link)]))));
  await bundle.openFiles();
  if (policy.evidence.maxExecutableBytes > 0) await bundle.executable(policy.evidence.maxExecutableBytes);
  const manifest = canonicalJson({
    version: 1,
    what: "facts of /proc of one process, and its executable; secrets of cmdline and environ are masked",
    process: nameOf(boot, facts),
    bootId,
    name: facts.name.toWellFormed(),
    path: facts.path?.toWellFormed() ?? null,
    user: facts.userIds[0],
    begun,
    ended: Date.now(),
    endedMeanwhile: target.hasEnded(),
    request: { ...request },
    parts: bundle.parts.map((part) => ({ ...part })),
    missing: [...bundle.missing],
  });
  const bytes = new TextEncoder().encode(`${manifest}\n`);
  bundle.write("manifest.json", bytes);
  const path = `${output.path}/${name}`;
  Deno.renameSync(draft, path);
  return { path, digest: sha256(bytes), parts: bundle.parts.length - 1, missing: bundle.missing };
}

class Draft {
  readonly parts: Part[] = [];
  readonly missing: string[] = [];

  constructor(
    private readonly directory: string,
    private readonly target: Target,
    private readonly reader: SlowReader,
  ) {}

  /** Copies a file of the process, as `mask` makes it. */
  async copy(
    name: string,
    mask: (bytes: Uint8Array, isCut: boolean) => { readonly bytes: Uint8Array; readonly masked: number } = (bytes) => ({
      bytes,
      masked: 0,
    }),
  ): Promise<void> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const take = (chunk: Uint8Array<ArrayBuffer>): void => void chunks.push(chunk.slice());
    const result = await this.reader.read(this.target.directory, name, {
      limit: MAX_TEXT_BYTES,
      deadlineMs: TEXT_MS,
      take,
    });
    if ("fault" in result) return void this.missing.push(`${name}: ${result.fault}`);
    const whole = new Uint8Array(await new Blob(chunks).arrayBuffer()), { bytes, masked } = mask(whole, result.isCut);
    this.write(name, bytes, result.isCut, masked);
  }

  write(name: string, bytes: Uint8Array, isCut = false, masked = 0): void {
    const file = Deno.openSync(`${this.directory}/${name}`, { write: true, createNew: true, mode: 0o640 });
    try {
      writeAll(file, bytes);
      file.syncDataSync();
    } finally {
      file.close();
    }
    this.parts.push({ name, bytes: bytes.length, sha256: sha256(bytes), isCut, masked });
  }

  async openFiles(): Promise<void> {
    const numbers = this.target.openFiles();
    if (numbers === null) return void this.missing.push("fd: it may not be listed");
    const files = [];
    for (const number of numbers.slice(0, MAX_FILES)) {
      const info = await this.reader.bytes(this.target.directory, `fdinfo/${number}`, 4_096, TEXT_MS);
      const text = info === null ? null : new TextDecoder().decode(info).toWellFormed();
      files.push({ fd: number, to: this.target.link(`fd/${number}`)?.toWellFormed() ?? null, info: text });
    }
    this.write("fd.json", json(files), numbers.length > MAX_FILES);
  }

  async executable(limit: number): Promise<void> {
    const hash = createHash("sha256");
    const file = Deno.openSync(`${this.directory}/executable`, { write: true, createNew: true, mode: 0o640 });
    try {
      const result = await this.reader.read(this.target.directory, "exe", {
        limit,
        deadlineMs: EXECUTABLE_MS,
        take: (chunk) => {
          hash.update(chunk);
          writeAll(file, chunk);
        },
      });
      file.syncDataSync();
      if ("fault" in result) {
        this.missing.push(`executable: ${result.fault}`);
        return;
      }
      const { count, isCut } = result;
      this.parts.push({ name: "executable", bytes: count, sha256: hash.digest("hex"), isCut, masked: 0 });
    } finally {
      file.close();
    }
  }
}

/** `NAME=value` strings with their ending NULs; a last one without was cut. */
function maskedEnvironment(bytes: Uint8Array): { bytes: Uint8Array; masked: number } {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  const variables = text.split("\0"), last = variables.length - 1;
  let masked = 0;
  const shown = variables.map((variable, at) => {
    if (variable === "") return variable;
    const redacted = redactVariable(variable, at === last);
    masked += redacted.masked;
    return redacted.text;
  }).join("\0");
  return { bytes: Uint8Array.from(shown, (character) => character.charCodeAt(0)), masked };
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

function json(value: Json): Uint8Array {
  return new TextEncoder().encode(`${canonicalJson(value)}\n`);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
