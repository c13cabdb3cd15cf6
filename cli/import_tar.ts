/**
 * What runs here of a checkout, as a tar to be unpacked in a rules directory.
 *
 * A file all of whose documents run is there byte for byte, so that its hash is that of the checkout; of another the
 * documents that run. The same paths, below `sigma/`.
 *
 * @module
 */
import { MAX_RULE_LENGTH } from "../proto/rules/rule.ts";
import { type SigmaFile, splitDocuments } from "../proto/sigma/document.ts";
import type { SigmaVerdict } from "../proto/sigma/verdict.ts";
import type { Call } from "./command.ts";
import { fitsTar, plainPath, writeTar } from "./tar.ts";

interface Source {
  readonly parsed: SigmaFile;
  readonly text: string;
  readonly path: string;
}

export function writeImport(
  call: Call,
  sources: readonly Source[],
  verdicts: readonly SigmaVerdict[],
  mappings: readonly { readonly path: string; readonly text: string }[],
): void {
  const byFile = new Map<string, SigmaVerdict[]>();
  for (const verdict of verdicts) byFile.set(verdict.file, [...byFile.get(verdict.file) ?? [], verdict]);
  const files = [
    ...mappings,
    ...sources.flatMap((source) => partsOf(source, byFile.get(source.parsed.file) ?? [])),
  ];
  const taken = new Set<string>();
  const named = files.map(({ path, text }) => {
    const plain = `sigma/${plainPath(path)}`;
    // Too long for an archive, or the same as another without its odd characters
    let name = fitsTar(plain) ? plain : `sigma/${plain.slice(-60).replaceAll("/", "_")}`;
    for (let i = 2; taken.has(name); i++) name = name.replace(/(?:~[0-9]+)?(\.ya?ml)$/, `~${i}$1`);
    taken.add(name);
    return { path: name, text };
  });
  writeTar(named, (text) => call.out.write(text));
  call.note(`${named.length} files in the tar`);
}

/** What of a file runs: as it is, or its documents that do. */
function partsOf({ text, path }: Source, verdicts: readonly SigmaVerdict[]): { path: string; text: string }[] {
  const kept = verdicts.filter(({ verdict }) => verdict !== "unsupported");
  if (kept.length === 0) return [];
  if (kept.length === verdicts.length && text.length <= MAX_RULE_LENGTH) return [{ path, text }];
  const begins = new Set(kept.map(({ begin }) => begin));
  const bare = text.startsWith("\ufeff") ? text.slice(1) : text;
  const pieces = splitDocuments(bare).filter(({ line }) => begins.has(line + 1)).map((piece) => {
    const begun = piece.text.startsWith("---") ? piece.text : `---\n${piece.text}`;
    return begun.endsWith("\n") ? begun : `${begun}\n`;
  });
  const whole = pieces.join("");
  if (whole.length <= MAX_RULE_LENGTH) return [{ path, text: whole }];
  return pieces.map((piece, i) => ({ path: path.replace(/(\.ya?ml)$/, `.${i + 1}$1`), text: piece }));
}
