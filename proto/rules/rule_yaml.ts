/**
 * Reads rule files: a YAML mapping of what a rule is called, what it looks for, and rows that prove it.
 *
 * The file is checked strictly, once, here: an unknown key or a wrong type is a {@linkcode RuleError} with its place in
 * the file. One file holds one rule.
 *
 * @module
 */
import type { Table } from "../tables/table.ts";
import { SEVERITIES, type Severity } from "../process_event.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { type AlertPolicy, readAlertPolicy } from "./alert_policy.ts";
import { readCorrelation } from "./correlation_yaml.ts";
import { durationText, parseDuration } from "./duration.ts";
import {
  isTraceable,
  offsetInText,
  parseYaml,
  positionAt,
  type YamlEntry,
  YamlFaultError,
  type YamlNode,
} from "./located_yaml.ts";
import {
  correlationParts,
  MAX_RULE_LENGTH,
  MAX_WINDOW_MS,
  MIN_WINDOW_MS,
  type Rule,
  RULE_STATUSES,
  RuleError,
  ruleHash,
  type RuleStage,
  type TestRow,
} from "./rule.ts";
import { readRuleResponses, type RuleResponse } from "./rule_responses.ts";
import { suggestion } from "./sql_refused.ts";
import { parseTestRow, parseTestRows } from "./test_row.ts";

const MAX_ITEMS = 32;
const MAX_TEST_ROWS = 200;
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Reads a rule file; the query is not checked yet.
 *
 * @param tables those that collectors brought
 * @param text decoded so that nothing is lost, the byte order mark included: the hash is that of the bytes
 * @throws RuleError
 */
export function parseRule(text: string, file: string, tables: TableSet = NO_TABLES): Rule {
  if (text.length > MAX_RULE_LENGTH) {
    const reason = `The file has ${text.length} characters; ${MAX_RULE_LENGTH} are allowed`;
    throw new RuleError(file, { line: 1, column: 1 }, reason);
  }
  try {
    return new RuleReader(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text, file, tables).rule(ruleHash(text));
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw new RuleError(file, positionAt(text, error.offset), error.reason, { cause: error });
  }
}

const KEYS = [
  ..."id,title,description,severity,tags,table,window,sql,correlation,alert,response,tests,references,false_positives,enabled,status"
    .split(
      ",",
    ),
] as const;

class RuleReader {
  readonly #entries: ReadonlyMap<string, YamlEntry>;
  readonly #offset: number;

  constructor(readonly text: string, readonly file: string, readonly tables: TableSet) {
    const root = parseYaml(text);
    if (root.kind !== "mapping") {
      fault("A rule file is a mapping: id, title, description, severity, and sql or correlation", root);
    }
    for (const [key, { keyOffset }] of root.entries) {
      if (!KEYS.includes(key)) {
        throw new YamlFaultError(`Unknown key ${quoted(key)}${suggestion(key, KEYS)}`, keyOffset);
      }
    }
    this.#entries = root.entries;
    this.#offset = root.offset;
  }

  rule(hash: string): Rule {
    const id = this.#text("id", 64);
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) || id.length < 3) {
      fault("id has 3 to 64 lower-case letters, digits and hyphens: reverse-shell-bash", this.#node("id"));
    }
    const severity = this.#text("severity", 16);
    if (!isSeverity(severity)) fault(`severity is one of ${SEVERITIES.join(", ")}`, this.#node("severity"));
    return {
      file: this.file,
      hash,
      id,
      title: this.#line("title", 200),
      description: this.#text("description", 4_096).trim(),
      severity,
      tags: this.#tags(),
      references: this.#list("references", 512),
      falsePositives: this.#list("false_positives", 512),
      enabled: this.#enabled(),
      status: this.#status(),
      ...this.#entries.has("table") ? { table: this.#table().name } : {},
      ...this.#entries.has("correlation") ? this.#correlation() : this.#query(),
      ...this.#entries.has("alert") ? { alert: this.#alert() } : {},
      ...this.#entries.has("response") ? { responses: this.#responses() } : {},
      tests: this.#tests(),
      idPosition: positionAt(this.text, this.#node("id").offset),
      missing: [],
    };
  }

  #node(key: string): YamlNode {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new YamlFaultError(`The key ${key} is missing`, this.#offset);
    return entry.value;
  }

  #text(key: string, most: number): string {
    return textOf(this.#node(key), key, most);
  }

  #line(key: string, most: number): string {
    const value = this.#text(key, most);
    if (value.includes("\n")) fault(`${key} is one line`, this.#node(key));
    return value;
  }

  #list(key: string, most: number): string[] {
    if (!this.#entries.has(key)) return [];
    const node = this.#node(key);
    if (node.kind !== "sequence" || node.items.length > MAX_ITEMS) {
      fault(`${key} is a list of at most ${MAX_ITEMS} texts`, node);
    }
    return node.items.map((item) => textOf(item, `Each of ${key}`, most));
  }

  #tags(): string[] {
    const tags = this.#list("tags", 64);
    tags.forEach((tag, i) => {
      if (/^[a-z0-9]+([._-][a-z0-9]+)*$/.test(tag)) return;
      const node = this.#node("tags");
      fault(
        "A tag has lower-case letters, digits, dots, _ and hyphens: attack.t1059.004",
        node.kind === "sequence" ? node.items[i]! : node,
      );
    });
    return tags;
  }

  #enabled(): boolean {
    if (!this.#entries.has("enabled")) return true;
    const node = this.#node("enabled");
    if (node.kind !== "scalar" || typeof node.value !== "boolean") return fault("enabled is true or false", node);
    return node.value;
  }

  /** The table of a collector. */
  #table(): Table {
    const node = this.#node("table"), name = textOf(node, "table", 64);
    if (this.#entries.has("correlation")) fault("A correlation is over process_events; take table out", node);
    const table = this.tables.get(name);
    if (table !== undefined) return table;
    return fault(
      `There is no table ${quoted(name)} of a collector here${
        suggestion(name, this.tables.keys())
      }; it is there once its ` +
        `collector has registered it`,
      node,
    );
  }

  #alert(): AlertPolicy {
    const node = this.#node("alert"), policy = readAlertPolicy(node);
    if (this.#entries.has("table") && policy.key !== null) {
      fault(
        "alert.key names columns of process_events; hits on a collector's table are the same that select the same",
        node,
      );
    }
    return policy;
  }

  #responses(): readonly RuleResponse[] {
    const node = this.#node("response");
    if (this.#entries.has("table")) fault("A row of a collector's table names no process to respond to", node);
    return readRuleResponses(node);
  }

  #windowMs(): number | null {
    if (!this.#entries.has("window")) return null;
    const node = this.#node("window");
    const ms = parseDuration(textOf(node, "window", 32));
    if (ms === null || ms < MIN_WINDOW_MS || ms > MAX_WINDOW_MS) {
      fault(`window is a time from ${durationText(MIN_WINDOW_MS)} to ${durationText(MAX_WINDOW_MS)}, such as 5m`, node);
    }
    return ms;
  }

  #status(): RuleStage {
    if (!this.#entries.has("status")) return "active";
    const text = this.#text("status", 16), found = RULE_STATUSES.find((status) => status === text);
    return found ?? fault(`status is one of ${RULE_STATUSES.join(", ")}`, this.#node("status"));
  }

  #correlation(): Pick<Rule, "windowMs" | "sql" | "correlation" | "sqlPosition"> {
    for (const key of ["sql", "window"]) {
      if (this.#entries.has(key)) {
        fault(`A correlation says by itself what it looks for; take ${key} out`, this.#node(key));
      }
    }
    const node = this.#node("correlation"), correlation = readCorrelation(node, this.text);
    const position = positionAt(this.text, node.offset);
    return { ...correlationParts(correlation), sqlPosition: () => position };
  }

  #query(): Pick<Rule, "windowMs" | "sql" | "correlation" | "sqlPosition"> {
    return { windowMs: this.#windowMs(), correlation: null, ...this.#sql() };
  }

  #sql(): Pick<Rule, "sql" | "sqlPosition"> {
    const sql = this.#text("sql", MAX_RULE_LENGTH);
    const node = this.#node("sql");
    const { text } = this;
    if (node.kind !== "scalar" || !isTraceable(node.event, text)) {
      return fault("Write a query of several lines as a literal block: sql: |", node);
    }
    return { sql, sqlPosition: (offset) => positionAt(text, offsetInText(node.event, text, sql, offset)) };
  }

  #tests(): Rule["tests"] {
    if (!this.#entries.has("tests")) return { match: [], noMatch: [] };
    const node = this.#node("tests");
    if (node.kind !== "mapping") return fault("tests is a mapping of match and no_match", node);
    for (const [key, { keyOffset }] of node.entries) {
      if (key !== "match" && key !== "no_match") {
        throw new YamlFaultError(`Unknown key ${quoted(key)}; tests has match and no_match`, keyOffset);
      }
    }
    return { match: this.#rows(node.entries.get("match")), noMatch: this.#rows(node.entries.get("no_match")) };
  }

  #rows(entry: YamlEntry | undefined): TestRow[] {
    if (entry === undefined) return [];
    const node = entry.value;
    if (node.kind !== "sequence" || node.items.length > MAX_TEST_ROWS) {
      return fault(`Test rows are a list of at most ${MAX_TEST_ROWS} mappings of columns to values`, node);
    }
    const table = this.#entries.has("table") ? this.#table() : undefined;
    const isOverWindow = this.#entries.has("window") || this.#entries.has("correlation");
    return node.items.map((item) => {
      const rows = isOverWindow ? parseTestRows(item, table) : [parseTestRow(item, table)];
      return { position: positionAt(this.text, item.offset), values: rows[0]!, rows };
    });
  }
}

function textOf(node: YamlNode, what: string, most: number): string {
  if (node.kind !== "scalar" || typeof node.value !== "string") return fault(`${what} is a text`, node);
  const { value } = node;
  if (value.trim() === "") fault(`${what} is empty`, node);
  if (value.length > most) fault(`${what} has ${value.length} characters; ${most} are allowed`, node);
  // deno-lint-ignore no-control-regex
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(value)) fault(`${what} has a control character in it`, node);
  return value;
}

function fault(reason: string, node: YamlNode): never {
  throw new YamlFaultError(reason, node.offset);
}

function isSeverity(text: string): text is Severity {
  return (SEVERITIES as readonly string[]).includes(text);
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}
