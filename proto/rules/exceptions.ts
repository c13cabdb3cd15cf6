/**
 * The operator's exceptions: events for which rules raise no alert, said beside the rules and not in them.
 *
 * A file of a rules directory named `exceptions.yml`, or any file in a directory `exceptions` there, says them, each with
 * the rules that it is for, a condition over one event, who wants it, why, and until when. It is checked as strictly as a
 * rule file: a fault is a {@linkcode RuleError} with its place, and nothing of the file counts. A condition passes the
 * same guard as a rule's, and must be one that the agent can judge event by event.
 *
 * @module
 */
import { allSteps } from "../steps.ts";
import { isTraceable, offsetInText, parseYaml, positionAt, YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { MAX_RULE_LENGTH, RuleError, ruleHash } from "./rule.ts";
import { guardSql } from "./sql_guard.ts";
import { SqlRefusedError, suggestion } from "./sql_refused.ts";
import { endOfDay, MAX_SAID, type Suppressor, untilThen } from "./suppressor.ts";

/** What files of exceptions are called, whatever directory they lie in. */
export const EXCEPTIONS_NAME = /(^|\/)(exceptions\.ya?ml|exceptions\/([^/]+\/)*[^/]+\.ya?ml)$/;
/** Most of one file, and rules that one names. */
export const MAX_EXCEPTIONS = 500, MAX_NAMED = 64;
/** Longest condition. */
const MAX_WHERE = 16_384;

const KEYS = ["id", "rules", "where", "reason", "author", "expires"] as const;
const SELECT = "SELECT event_id FROM process_events WHERE ";

export interface Exception extends Suppressor {
  readonly kind: "exception";
  /** Ids and tags of the rules that it is for, with their places; `null` for all. */
  readonly rules: readonly { readonly name: string; readonly line: number; readonly column: number }[] | null;
  readonly column: number;
  /** The condition as it is written. */
  readonly where: string;
  /** SHA-256 of what it says, in hexadecimal. */
  readonly hash: string;
}

export interface ExceptionFile {
  readonly kind: "exceptions";
  readonly file: string;
  readonly exceptions: readonly Exception[];
}

/** Reads a file of exceptions. @throws RuleError */
export function parseExceptions(text: string, file: string): ExceptionFile {
  return allSteps(parsingExceptions(text, file));
}

/** The same in steps of one exception. @throws RuleError */
export function* parsingExceptions(text: string, file: string): Generator<void, ExceptionFile> {
  if (text.startsWith("\ufeff")) text = text.slice(1);
  try {
    if (text.length > MAX_RULE_LENGTH) throw new YamlFaultError(`More than ${MAX_RULE_LENGTH} characters`, 0);
    const root = parseYaml(text);
    const only = root.kind === "mapping" && root.entries.size === 1 ? root.entries.get("exceptions")?.value : undefined;
    if (only?.kind !== "sequence") {
      const reason = `A file of exceptions is one list: exceptions, of ${KEYS.join(", ")}`;
      throw new YamlFaultError(reason, root.offset);
    }
    if (only.items.length > MAX_EXCEPTIONS) {
      throw new YamlFaultError(`More than ${MAX_EXCEPTIONS} exceptions in one file; remove some`, only.offset);
    }
    const seen = new Set<string>(), exceptions: Exception[] = [];
    for (const item of only.items) {
      yield;
      const exception = new ExceptionReader(item, text, file).read();
      if (seen.has(exception.id)) throw new YamlFaultError(`A second exception ${exception.id}`, item.offset);
      seen.add(exception.id);
      exceptions.push(exception);
    }
    return { kind: "exceptions", file, exceptions };
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw new RuleError(file, positionAt(text, error.offset), error.reason, { cause: error });
  }
}

class ExceptionReader {
  readonly #node: YamlNode & { readonly kind: "mapping" };

  constructor(node: YamlNode, readonly text: string, readonly file: string) {
    if (node.kind !== "mapping") fault(`An exception is a mapping of ${KEYS.join(", ")}`, node);
    for (const [key, { keyOffset }] of node.entries) {
      if ((KEYS as readonly string[]).includes(key)) continue;
      throw new YamlFaultError(`Unknown key ${JSON.stringify(key.slice(0, 64))}${suggestion(key, KEYS)}`, keyOffset);
    }
    this.#node = node;
  }

  read(): Exception {
    const { file, text } = this, id = this.#line("id", "An exception has a name of its own: id", 64);
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) || id.length < 3) {
      fault("id has 3 to 64 lower-case letters, digits and hyphens: nightly-backup", this.#get("id")!);
    }
    const rules = this.#rules(), where = this.#where();
    const reason = this.#line("reason", "An exception says why: reason", MAX_SAID);
    const author = this.#line("author", "An exception says who wants it: author", MAX_SAID);
    const expiresMs = this.#expires();
    const said = [id, rules?.map(({ name }) => name) ?? "*", where.text, reason, author, expiresMs];
    return {
      kind: "exception",
      id,
      file,
      ...positionAt(text, this.#node.offset),
      rules,
      where: where.text,
      form: untilThen(where.form, expiresMs),
      reason,
      author,
      expiresMs,
      hash: ruleHash(JSON.stringify(said)),
    };
  }

  #get(key: typeof KEYS[number]): YamlNode | undefined {
    return this.#node.entries.get(key)?.value;
  }

  #needed(key: typeof KEYS[number], without: string): YamlNode {
    const node = this.#get(key);
    if (node === undefined) throw new YamlFaultError(without, this.#node.offset);
    return node;
  }

  #line(key: typeof KEYS[number], without: string, most: number): string {
    const node = this.#needed(key, without);
    if (
      node.kind !== "scalar" || typeof node.value !== "string" || node.value.trim() === "" || node.value.length > most
    ) {
      return fault(`${key} is a text of at most ${most} characters`, node);
    }
    return node.value.trim();
  }

  #rules(): Exception["rules"] {
    const node = this.#needed("rules", "An exception names the rules that it is for: rules, ids or tags, or '*'");
    if (node.kind === "scalar" && node.value === "*") return null;
    if (node.kind !== "sequence" || node.items.length === 0 || node.items.length > MAX_NAMED) {
      return fault(`rules is '*', or a list of 1 to ${MAX_NAMED} ids and tags`, node);
    }
    if (node.items.length === 1 && isStar(node.items[0]!)) return null;
    return node.items.map((item) => {
      if (isStar(item)) fault("'*' is all rules; leave the others out, or it", item);
      if (
        item.kind !== "scalar" || typeof item.value !== "string" || !/^[a-z0-9][a-z0-9._-]{1,63}$/i.test(item.value)
      ) {
        return fault("A rule is named by its id, or by a tag such as attack.t1003.008", item);
      }
      return { name: item.value.toLowerCase(), ...positionAt(this.text, item.offset) };
    });
  }

  #where(): Pick<Exception, "form"> & { readonly text: string } {
    const without = "An exception says for which events: where. To turn a rule off, use overrides.yml";
    const node = this.#needed("where", without);
    if (node.kind !== "scalar" || typeof node.value !== "string" || node.value.trim() === "") {
      return fault("where is a condition over one event, as in SQL", node);
    }
    if (node.value.length > MAX_WHERE) fault(`where has at most ${MAX_WHERE} characters`, node);
    const sql = node.value, { event } = node;
    if (!isTraceable(event, this.text)) fault("Write a condition of several lines as a literal block: where: |", node);
    const at = (offset: number): number =>
      offsetInText(event, this.text, sql, Math.max(0, Math.min(offset - SELECT.length, sql.length)));
    try {
      const { translation } = guardSql(SELECT + sql, "rule").row!;
      if (translation.form !== null) return { form: translation.form, text: sql.trim() };
      throw new YamlFaultError(`The agent cannot judge this event by event: ${translation.reason}`, at(SELECT.length));
    } catch (error) {
      if (!(error instanceof SqlRefusedError)) throw error;
      throw new YamlFaultError(error.reason, at(error.offset), { cause: error });
    }
  }

  #expires(): number | null {
    const without = "An exception has an end: expires, a day such as 2027-01-31, or never";
    const text = this.#line("expires", without, 32);
    if (text === "never") return null;
    return endOfDay(text) ??
      fault("expires is the last day on which it holds (UTC), such as 2027-01-31, or never", this.#get("expires")!);
  }
}

function isStar(node: YamlNode): boolean {
  return node.kind === "scalar" && node.value === "*";
}

function fault(reason: string, node: YamlNode): never {
  throw new YamlFaultError(reason, node.offset);
}
