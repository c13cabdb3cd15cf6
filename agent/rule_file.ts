/**
 * What one file of rules holds, read again when it has changed: the newest version that holds stays, whatever comes after.
 *
 * @module
 */
import { durationText } from "../proto/rules/duration.ts";
import { type ExceptionFile, EXCEPTIONS_NAME, parsingExceptions } from "../proto/rules/exceptions.ts";
import { type Override, OVERRIDES_NAME, parseOverrides } from "../proto/rules/overrides.ts";
import { ruleHash, type ValidatedRule, validating } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import type { SecondGate } from "../proto/rules/second_gate.ts";
import { isSigma, parsingSigma, type SigmaDocument, type SigmaFile } from "../proto/sigma/document.ts";
import { MAPPING_NAME, type MappingFile, parseMapping } from "../proto/sigma/mapping.ts";
import type { TableSet } from "../proto/table_descriptor.ts";
import { readRule, stampOf } from "./rule_directories.ts";

/** What a file may hold. */
type Held = ValidatedRule | readonly Override[] | ExceptionFile | SigmaFile | MappingFile;

/** What a file held when it was read last. */
export interface Known {
  readonly stamp: string;
  readonly directory: string;
  /** The newest version of it that holds. */
  readonly good: Held | null;
  /** What is wrong with the version of the stamp. */
  readonly fault: unknown;
}

/** Of a file whose rule may be another since there are other tables of collectors, as if it had changed. */
export function rereadable(before: Known | undefined): Known | undefined {
  if (before === undefined) return undefined;
  const { good, fault } = before, isOfTable = good !== null && "id" in good && good.collected !== undefined;
  return fault === null && !isOfTable ? before : { ...before, stamp: "" };
}

/** Test rows are for `rules test`, which reads the file itself: of thousands of rules they are megabytes. */
const NOT_KEPT = { match: [], noMatch: [] } as const;

/** What a file holds now; `null` when it is gone. A step for each thing that takes long with a large file. */
export function* looking(
  file: string,
  directory: string,
  before: Known | undefined,
  windowMs: number,
  gate: SecondGate,
  tables: TableSet,
): Generator<void, Known | null> {
  const good = before?.good ?? null;
  let stamp = "";
  try {
    const found = stampOf(file);
    if (found === null) return null;
    stamp = found;
    if (before?.stamp === stamp) return before;
    const text = readRule(file);
    // What is written while it is read is looked at again
    if (stampOf(file) !== stamp) stamp = "";
    const held = yield* reading(text, file, gate, tables);
    yield;
    // The first version may have faults beside documents that hold; a later one must not take those out
    if ("kind" in held && held.kind === "sigma" && held.faults.length > 0 && isRight(good)) {
      return { stamp, directory, good, fault: held.faults[0] };
    }
    if (!("id" in held)) return { stamp, directory, good: held, fault: null };
    // The first version that is read may be turned off by an override; a later one must not take a good one's place
    const fault = good === null ? null : tooLong(held, windowMs);
    return { stamp, directory, good: fault === null ? held : good, fault };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    return { stamp, directory, good, fault: error };
  }
}

/** What a text holds, in steps. */
function* reading(text: string, file: string, gate: SecondGate, tables: TableSet): Generator<void, Held> {
  if (OVERRIDES_NAME.test(file)) return parseOverrides(text, file);
  if (MAPPING_NAME.test(file)) return parseMapping(text, file, ruleHash(text));
  if (isSigma(text)) return withoutTests(yield* parsingSigma(text, file));
  if (EXCEPTIONS_NAME.test(file)) return yield* parsingExceptions(text, file);
  const parsed = parseRule(text, file, tables);
  yield;
  const rule = { ...yield* validating(parsed, tables), tests: NOT_KEPT };
  yield;
  gate.check(rule);
  return rule;
}

function withoutTests(file: SigmaFile): SigmaFile {
  const documents = file.documents.map((document): SigmaDocument => ({
    ...document,
    head: { ...document.head, tests: NOT_KEPT },
  }));
  return { ...file, documents };
}

/** Whether what a file held before was without a fault. */
function isRight(good: Held | null): boolean {
  return good !== null && !("kind" in good && good.kind === "sigma" && good.faults.length > 0);
}

/** Why the window of a rule that is turned on does not fit; `null` when it does. */
export function tooLong(rule: ValidatedRule, most: number): string | null {
  if (!rule.enabled || rule.windowMs === null || rule.windowMs <= most) return null;
  return `its window ${durationText(rule.windowMs)} is longer than ${durationText(most)}; raise agent.window_minutes`;
}
