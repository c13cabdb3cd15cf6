/**
 * `rules import`: what becomes of each Sigma rule of a checkout on this host.
 *
 * It reads and judges as the agent would, with the mapping of the host's own rules directories, and writes nothing: the
 * verdicts, or a tar of what runs here, go to standard output. A file that is no Sigma is counted and passed over. What
 * this program may not read can come as a tar on standard input.
 *
 * @module
 */
import { RuleError, ruleHash } from "../proto/rules/rule.ts";
import { checkSecondGate } from "../proto/rules/second_gate.ts";
import { SigmaCompiler } from "../proto/sigma/collection.ts";
import { isSigma, parseSigma, type SigmaFile } from "../proto/sigma/document.ts";
import { MAPPING_NAME, type MappingFile, parseMapping } from "../proto/sigma/mapping.ts";
import type { SigmaVerdict } from "../proto/sigma/verdict.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { type ImportFile, listImport, mappingsOf, tarImport } from "./import_files.ts";
import type { ShownColumn } from "./output.ts";
import { writeImport } from "./import_tar.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { count, counted, span } from "./units.ts";

/** Files between two lines of progress. */
const FILES_A_LINE = 20;
/** Rules that pass SQLite's gate together. */
const RULES_A_CHECK = 100;
/** Reasons that are summed up. */
const MAX_REASONS = 8;

const NAMES = ["verdict", "kind", "rule_id", "title", "file", "line", "column", "reason", "notes"];
const SHOWN: readonly ShownColumn[] = [
  {
    name: "verdict",
    title: "VERDICT",
    keep: true,
    show: (cell) => ({ text: String(cell), style: cell === "live" ? "good" : "warning" }),
  },
  { name: "file", title: "FILE", show: (cell, of) => of("reason") === null ? String(cell) : `${cell}:${of("line")}` },
  { name: "title", title: "TITLE", show: (cell, of) => of("reason") === null ? String(cell) : String(of("reason")) },
];

export function importRules(call: Call): Exit {
  atMostArguments(call, 1, "rules import");
  const [from] = call.arguments;
  if (from === undefined) throw new UsageError('rules import takes a directory, or "-" for a tar on standard input');
  const began = performance.now(), places = findPlaces(call);
  const files = from === "-" ? tarImport(call.readStdin) : listImport(from);
  const { read, others, sigma, mappings, texts } = readAll(call, files, began);
  mappings.push(...mappingsOf(places.rulesDirs));
  const { verdicts, mappingFaults } = compileAll(call, sigma, mappings, read, began);
  if (verdicts.length === 0) {
    throw new CommandError(`There is no Sigma rule in ${from}: ${counted(read, "file")} of YAML read`);
  }
  const judged = gated(verdicts);
  call.progress(null);
  if (call.values["tar"] === true) writeImport(call, sigma, judged, texts);
  else {
    const output = openRows(call, NAMES, SHOWN);
    for (const each of judged) {
      const { verdict, kind, id, title, file, line, column, reasons, notes } = each;
      output.add([verdict, kind, id, title, file, line, column, joined(reasons), joined(notes)]);
    }
    output.end();
  }
  for (const { message } of mappingFaults) call.note(message);
  sumUp(call, judged);
  const elapsed = span(Math.round(performance.now() - began));
  call.note(`${counted(read, "file")} read in ${elapsed}${others === 0 ? "" : `, ${count(others)} of them no Sigma`}`);
  if (call.values["tar"] === true) {
    call.note(`Unpack the tar in a rules directory of the agent, such as ${places.rulesDirs.at(-1)}, by tar -x -f`);
  }
  return EXIT.complete;
}

interface ReadFiles {
  read: number;
  others: number;
  readonly sigma: { readonly parsed: SigmaFile; readonly text: string; readonly path: string }[];
  readonly mappings: MappingFile[];
  /** Of mappings, as they are: what runs needs them. */
  readonly texts: { readonly path: string; readonly text: string }[];
}

function readAll(call: Call, files: readonly ImportFile[], began: number): ReadFiles {
  const all: ReadFiles = { read: 0, others: 0, sigma: [], mappings: [], texts: [] };
  for (const { path, read } of files) {
    if (all.read++ % FILES_A_LINE === 0) {
      const elapsed = span(Math.round(performance.now() - began));
      call.progress(`${count(all.read)} of ${counted(files.length, "file")} read, ${elapsed}`);
    }
    const content = read();
    if ("fault" in content) {
      const fault = new RuleError(path, { line: 1, column: 1 }, content.fault);
      const parsed: SigmaFile = { kind: "sigma", file: path, hash: "", documents: [], faults: [fault] };
      all.sigma.push({ parsed, text: "", path });
      continue;
    }
    const { text } = content;
    if (MAPPING_NAME.test(path)) {
      try {
        all.mappings.push(parseMapping(text, path, ruleHash(text)));
        all.texts.push({ path, text });
      } catch (error) {
        if (!(error instanceof RuleError)) throw error;
        throw new CommandError(`The mapping is not right: ${error.message}`, { cause: error });
      }
    } else if (isSigma(text)) all.sigma.push({ parsed: parseSigma(text, path), text, path });
    else all.others++;
  }
  return all;
}

function compileAll(
  call: Call,
  sigma: ReadFiles["sigma"],
  mappings: readonly MappingFile[],
  read: number,
  began: number,
): ReturnType<SigmaCompiler["compile"]> {
  const steps = new SigmaCompiler().steps(sigma.map(({ parsed }) => parsed), mappings);
  for (let made = 0;; made++) {
    const { done, value } = steps.next();
    if (done) return value;
    if (made % 10 === 0) {
      const elapsed = span(Math.round(performance.now() - began));
      call.progress(`${counted(read, "file")} read, ${counted(made * 10, "rule")} understood, ${elapsed}`);
    }
  }
}

/** Verdicts after SQLite's own gate, which the agent asks too. */
function gated(verdicts: readonly SigmaVerdict[]): SigmaVerdict[] {
  const refused = new Map<SigmaVerdict, string>(), made = verdicts.filter(({ rule }) => rule !== null);
  for (let at = 0; at < made.length; at += RULES_A_CHECK) {
    const some = made.slice(at, at + RULES_A_CHECK);
    if (gateFault(some) === null) continue;
    for (const verdict of some) {
      const fault = gateFault([verdict]);
      if (fault !== null) refused.set(verdict, fault);
    }
  }
  return verdicts.map((verdict) => {
    const fault = refused.get(verdict);
    if (fault === undefined) return verdict;
    return { ...verdict, verdict: "unsupported", rule: null, reasons: [new RuleError(verdict.file, verdict, fault)] };
  });
}

function gateFault(verdicts: readonly SigmaVerdict[]): string | null {
  try {
    checkSecondGate(verdicts.map(({ rule }) => rule!));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function joined(errors: readonly RuleError[]): string | null {
  return errors.length === 0 ? null : errors.map(({ reason }) => reason).join("; ");
}

function sumUp(call: Call, verdicts: readonly SigmaVerdict[]): void {
  const rules = verdicts.filter(({ kind }) => kind !== "filter"), filters = verdicts.length - rules.length;
  const of = (word: SigmaVerdict["verdict"], from = rules): number =>
    from.filter(({ verdict }) => verdict === word).length;
  call.note(
    `${counted(rules.length, "rule")}: ${count(of("live"))} live, ${count(of("partial"))} partial, ${
      count(of("unsupported"))
    } unsupported`,
  );
  if (filters > 0) {
    const those = verdicts.filter(({ kind }) => kind === "filter");
    call.note(
      `${counted(filters, "filter")}: ${count(of("live", those))} live, ${count(of("partial", those))} partial, ${
        count(of("unsupported", those))
      } unsupported`,
    );
  }
  const sums = new Map<string, number>();
  for (const { verdict, reasons } of rules) {
    if (verdict !== "unsupported") continue;
    const reason = reasons[0]!.reason;
    sums.set(reason, (sums.get(reason) ?? 0) + 1);
  }
  const often = [...sums].filter(([, times]) => times > 1).sort((a, b) => b[1] - a[1]);
  for (const [reason, times] of often.slice(0, MAX_REASONS)) call.note(`  ${count(times)} unsupported: ${reason}`);
}
