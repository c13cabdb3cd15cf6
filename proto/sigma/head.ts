/**
 * What a Sigma document says about itself: title, id, level, status, tags, and our own key `daemoneye`.
 *
 * What the agent shows and stores is bounded and has no control characters in it. A level or status that Sigma does not
 * know is a fault; what is merely long is cut, with an ellipsis.
 *
 * @module
 */
import { type YamlEntry, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";
import type { Severity } from "../process_event.ts";
import { RULE_STATUSES, type RuleStage } from "../rules/rule.ts";
import { suggestion } from "../rules/sql_refused.ts";
import { endOfDay, MAX_SAID } from "../rules/suppressor.ts";
import { parseTestRow, parseTestRows } from "../rules/test_row.ts";
import type { SqlValue } from "../event_row.ts";

const MAX_TITLE = 256, MAX_DESCRIPTION = 4_096, MAX_ITEM = 512, MAX_ITEMS = 256, MAX_TEST_ROWS = 200;

/** Sigma's levels as severities. A rule without a level is of medium severity. */
const LEVELS: Readonly<Record<string, Severity>> = {
  informational: "info",
  low: "low",
  medium: "medium",
  high: "high",
  critical: "critical",
};

/** What becomes of a rule of each status. */
const STATUSES = {
  stable: "active",
  test: "active",
  experimental: "active",
  deprecated: "draft",
  unsupported: null,
} as const satisfies Record<string, RuleStage | null>;

/** A row of a test, or of a correlation the rows; what kind of event it is the log source says, unless the row does. */
export interface HeadTest {
  readonly at: number;
  readonly rows: readonly (readonly SqlValue[])[];
}

export interface HeadTests {
  readonly match: readonly HeadTest[];
  readonly noMatch: readonly HeadTest[];
}

export interface Head {
  readonly title: string;
  readonly at: number;
  readonly id: string;
  /** Offset of the id, or of the title where there is none. */
  readonly idAt: number;
  /** Sigma's `name`, by which correlations may call a rule. */
  readonly name: string | null;
  readonly description: string;
  /** `null` where the document says none. */
  readonly severity: Severity | null;
  readonly tags: readonly string[];
  readonly references: readonly string[];
  readonly falsePositives: readonly string[];
  /** `null`: its author says that it cannot be used. */
  readonly stage: RuleStage | null;
  readonly enabled: boolean;
  readonly tests: HeadTests;
  /** Empty where nobody says. */
  readonly author: string;
  /** Of a filter: Unix milliseconds from which on it suppresses nothing; `null` for never. */
  readonly expiresMs: number | null;
}

/** @throws YamlFaultError */
export function readHead(root: YamlNode & { kind: "mapping" }, text: string, kind: string): Head {
  const entry = (key: string): YamlEntry | undefined => root.entries.get(key);
  const word = (key: string, most: number): string | null => {
    const found = entry(key);
    return found === undefined ? null : scalarText(found.value, key, text, most);
  };
  const title = word("title", MAX_TITLE);
  if (title === null || title === "") {
    throw new YamlFaultError("The key title is missing", entry("title")?.value.offset ?? root.offset);
  }
  const taxonomy = entry("taxonomy"), named = word("taxonomy", 64);
  if (taxonomy !== undefined && named !== null && named !== "sigma") {
    throw new YamlFaultError(
      `The taxonomy ${JSON.stringify(named)} is unknown; translate the rule to sigma`,
      taxonomy.value.offset,
    );
  }
  const titleAt = entry("title")!.value.offset, own = readOwn(entry("daemoneye"), kind);
  return {
    title: title.replaceAll("\n", " "),
    at: titleAt,
    ...idOf(entry("id"), word("id", 64), title, titleAt),
    name: word("name", 128),
    description: word("description", MAX_DESCRIPTION) ?? "",
    severity: levelOf(entry("level"), word("level", 32), kind),
    tags: textsOf(entry("tags"), "tags", text).map((tag) => tag.toLowerCase()),
    references: textsOf(entry("references"), "references", text),
    falsePositives: textsOf(entry("falsepositives"), "falsepositives", text),
    stage: own.stage ?? statusOf(entry("status"), word("status", 32)),
    enabled: own.enabled,
    tests: own.tests,
    author: own.author ?? word("author", MAX_SAID) ?? "",
    expiresMs: own.expiresMs,
  };
}

/** A text or a list of texts. @throws YamlFaultError */
export function textsOf(entry: YamlEntry | undefined, what: string, text: string): string[] {
  if (entry === undefined) return [];
  const { value } = entry, nodes = value.kind === "sequence" ? value.items : [value];
  if (value.kind === "mapping") throw new YamlFaultError(`${what} is a list of texts`, value.offset);
  if (nodes.length > MAX_ITEMS) throw new YamlFaultError(`${what} has more than ${MAX_ITEMS} items`, value.offset);
  return nodes.map((node) => scalarText(node, `Each of ${what}`, text, MAX_ITEM)).filter((each) => each !== "");
}

function scalarText(node: YamlNode, what: string, text: string, most: number): string {
  if (node.kind !== "scalar") throw new YamlFaultError(`${what} is a text`, node.offset);
  const { value, event } = node;
  if (value === null) return "";
  const found = typeof value === "string" ? value : text.slice(event.valueStart, event.valueEnd);
  // deno-lint-ignore no-control-regex
  const clean = found.toWellFormed().replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, " ").trim();
  return clean.length > most ? `${clean.slice(0, most - 1).toWellFormed()}…` : clean;
}

/** The id, or one made of the title, which stays as long as the title does. */
function idOf(
  entry: YamlEntry | undefined,
  id: string | null,
  title: string,
  titleAt: number,
): Pick<Head, "id" | "idAt"> {
  if (entry === undefined || id === null || id === "") {
    const slug = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 57).replace(
      /-+$/,
      "",
    );
    return { id: `sigma-${slug === "" ? "untitled" : slug}`, idAt: titleAt };
  }
  const lower = id.toLowerCase();
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(lower) || lower.length < 3) {
    throw new YamlFaultError("id is a UUID, or 3 to 64 letters, digits and hyphens", entry.value.offset);
  }
  return { id: lower, idAt: entry.value.offset };
}

function levelOf(entry: YamlEntry | undefined, level: string | null, kind: string): Severity | null {
  if (entry === undefined || level === null || level === "" || kind === "filter") return null;
  if (!Object.hasOwn(LEVELS, level)) {
    throw new YamlFaultError(`level is one of ${Object.keys(LEVELS).join(", ")}`, entry.value.offset);
  }
  return LEVELS[level]!;
}

function statusOf(entry: YamlEntry | undefined, status: string | null): RuleStage | null {
  if (entry === undefined || status === null || status === "") return "active";
  if (!Object.hasOwn(STATUSES, status)) {
    throw new YamlFaultError(`status is one of ${Object.keys(STATUSES).join(", ")}`, entry.value.offset);
  }
  return STATUSES[status as keyof typeof STATUSES];
}

/** Our own key: `enabled`, `status` and `tests`, as in rule files of our own form; of a filter `author` and `expires`. */
function readOwn(
  entry: YamlEntry | undefined,
  kind: string,
): Pick<Head, "enabled" | "stage" | "tests" | "expiresMs"> & { author: string | null } {
  const none = { enabled: true, stage: null, tests: { match: [], noMatch: [] }, author: null, expiresMs: null };
  if (entry === undefined) return none;
  if (kind === "filter") return { ...none, ...readFilterOwn(entry) };
  const keys = ["enabled", "status", "tests"], node = mappingOf(entry.value, "daemoneye", keys);
  const enabled = node.get("enabled")?.value, status = node.get("status")?.value, tests = node.get("tests")?.value;
  if (enabled !== undefined && (enabled.kind !== "scalar" || typeof enabled.value !== "boolean")) {
    throw new YamlFaultError("enabled is true or false", enabled.offset);
  }
  const stage = status === undefined
    ? null
    : RULE_STATUSES.find((each) => status.kind === "scalar" && status.value === each);
  if (stage === undefined) throw new YamlFaultError(`status is one of ${RULE_STATUSES.join(", ")}`, status!.offset);
  const rows = tests === undefined ? new Map<string, YamlEntry>() : mappingOf(tests, "tests", ["match", "no_match"]);
  const list = (key: string): readonly HeadTest[] => {
    const value = rows.get(key)?.value;
    if (value === undefined) return [];
    if (value.kind !== "sequence" || value.items.length > MAX_TEST_ROWS) {
      throw new YamlFaultError(
        `Test rows are a list of at most ${MAX_TEST_ROWS} mappings of columns to values`,
        value.offset,
      );
    }
    return value.items.map((item) => ({
      at: item.offset,
      rows: kind === "correlation" ? parseTestRows(item) : [parseTestRow(item)],
    }));
  };
  return {
    ...none,
    enabled: enabled?.kind === "scalar" ? enabled.value !== false : true,
    stage,
    tests: { match: list("match"), noMatch: list("no_match") },
  };
}

function readFilterOwn(entry: YamlEntry): Pick<Head, "expiresMs"> & { author: string | null } {
  const node = mappingOf(entry.value, "daemoneye", ["author", "expires"]);
  const line = (key: string): string | null => {
    const value = node.get(key)?.value;
    if (value === undefined) return null;
    if (value.kind === "scalar" && typeof value.value === "string" && value.value.length <= MAX_SAID) {
      return value.value;
    }
    throw new YamlFaultError(`${key} is a text of at most ${MAX_SAID} characters`, value.offset);
  };
  const expires = line("expires"), expiresMs = expires === null || expires === "never" ? null : endOfDay(expires);
  if (expiresMs === null && expires !== null && expires !== "never") {
    const reason = "expires is the last day on which it holds (UTC), such as 2027-01-31, or never";
    throw new YamlFaultError(reason, node.get("expires")!.value.offset);
  }
  return { author: line("author"), expiresMs };
}

function mappingOf(node: YamlNode, what: string, keys: readonly string[]): ReadonlyMap<string, YamlEntry> {
  if (node.kind !== "mapping") throw new YamlFaultError(`${what} is a mapping of ${keys.join(", ")}`, node.offset);
  for (const [key, { keyOffset }] of node.entries) {
    if (keys.includes(key)) continue;
    const near = suggestion(key, keys);
    throw new YamlFaultError(
      `Unknown key ${JSON.stringify(key.slice(0, 64))}; ${what} has ${keys.join(", ")}${near}`,
      keyOffset,
    );
  }
  return node.entries;
}
