/**
 * The operator's overrides: what is otherwise with rules whose files are not to be touched, such as shipped ones.
 *
 * A file of a rules directory named `overrides.yml` says it, each with the reason that the operator gives. It is checked
 * as strictly as a rule file: a fault is a {@linkcode RuleError} with its place, and nothing of the file counts.
 *
 * @module
 */
import { SEVERITIES, type Severity } from "../process_event.ts";
import { parseYaml, positionAt, YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { MAX_RULE_LENGTH, type Position, RULE_STATUSES, RuleError, type RuleStage } from "./rule.ts";
import { suggestion } from "./sql_refused.ts";

/** What a file of overrides is called, whatever directory it lies in. */
export const OVERRIDES_NAME = /(^|\/)overrides\.ya?ml$/;

const STATES = [...RULE_STATUSES, "disabled"] as const;
const KEYS = ["id", "state", "severity", "reason"];

export interface Override {
  readonly file: string;
  readonly position: Position;
  readonly id: string;
  /** What the rule is from now on; `null` for what its file says. */
  readonly state: RuleStage | "disabled" | null;
  readonly severity: Severity | null;
  readonly reason: string;
}

/** Reads a file of overrides. @throws RuleError */
export function parseOverrides(text: string, file: string): readonly Override[] {
  if (text.startsWith("\ufeff")) text = text.slice(1);
  try {
    if (text.length > MAX_RULE_LENGTH) throw new YamlFaultError(`More than ${MAX_RULE_LENGTH} characters`, 0);
    const root = parseYaml(text);
    const only = root.kind === "mapping" && root.entries.size === 1 ? root.entries.get("overrides")?.value : undefined;
    if (only?.kind !== "sequence") {
      throw new YamlFaultError(
        "A file of overrides is one list: overrides, of id, state, severity, reason",
        root.offset,
      );
    }
    const seen = new Set<string>();
    return only.items.map((item) => {
      const override = overrideOf(item, text, file);
      if (seen.has(override.id)) throw new YamlFaultError(`A second override of ${override.id}`, item.offset);
      seen.add(override.id);
      return override;
    });
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw new RuleError(file, positionAt(text, error.offset), error.reason, { cause: error });
  }
}

function overrideOf(node: YamlNode, text: string, file: string): Override {
  if (node.kind !== "mapping") {
    throw new YamlFaultError("An override is a mapping of id, state, severity, reason", node.offset);
  }
  for (const [key, { keyOffset }] of node.entries) {
    if (!KEYS.includes(key)) {
      throw new YamlFaultError(`Unknown key ${JSON.stringify(key.slice(0, 64))}${suggestion(key, KEYS)}`, keyOffset);
    }
  }
  const word = (key: string): string | null => {
    const value = node.entries.get(key)?.value;
    if (value === undefined) return null;
    if (
      value.kind !== "scalar" || typeof value.value !== "string" || value.value.trim() === "" ||
      value.value.length > 512
    ) {
      throw new YamlFaultError(`${key} is a text of at most 512 characters`, value.offset);
    }
    return value.value.trim();
  };
  const oneOf = <T extends string>(key: string, words: readonly T[]): T | null => {
    const text = word(key), found = words.find((each) => each === text);
    if (text !== null && found === undefined) {
      throw new YamlFaultError(`${key} is one of ${words.join(", ")}`, node.entries.get(key)!.value.offset);
    }
    return found ?? null;
  };
  const id = word("id"),
    state = oneOf("state", STATES),
    severity = oneOf("severity", SEVERITIES),
    reason = word("reason");
  if (id === null) throw new YamlFaultError("An override names the rule: id", node.offset);
  if (state === null && severity === null) {
    throw new YamlFaultError("An override has a state, a severity, or both", node.offset);
  }
  if (reason === null) throw new YamlFaultError("An override says why: reason", node.offset);
  return { file, position: positionAt(text, node.offset), id, state, severity, reason };
}
