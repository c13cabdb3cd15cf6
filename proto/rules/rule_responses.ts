/**
 * What a rule file asks to be done to the process of its alerts: `response: [stop, {action: trace, for: 30s, tree: true}]`.
 *
 * It only asks. Whether anything is done is decided by the response helper's policy, which root writes, and which lets no
 * rule ask for anything unless it says so (`docs/response.md`).
 *
 * @module
 */
import { MAX_TRACE_SECONDS, RULE_ACTIONS, type RuleAction } from "../response/action.ts";
import { parseDuration } from "./duration.ts";
import { YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { suggestion } from "./sql_refused.ts";

/** One thing that is asked for, for each alert of the rule. */
export interface RuleResponse {
  /** What is done to the process. */
  readonly action: RuleAction;
  /** The descendants of the process too. */
  readonly tree: boolean;
  /** Of a trace; 0 otherwise. */
  readonly seconds: number;
}

const WORDS = ["action", "tree", "for"];

/** Such as `stop with its descendants` and `trace for 30 s`. */
export function responseWords({ action, tree, seconds }: RuleResponse): string {
  return `${action}${seconds === 0 ? "" : ` for ${seconds} s`}${tree ? " with its descendants" : ""}`;
}

/** @throws YamlFaultError */
export function readRuleResponses(node: YamlNode): readonly RuleResponse[] {
  const most = RULE_ACTIONS.length;
  if (node.kind !== "sequence" || node.items.length === 0 || node.items.length > most) {
    throw new YamlFaultError(`response is a list of 1 to ${most} of ${RULE_ACTIONS.join(", ")}`, node.offset);
  }
  const found: RuleResponse[] = [];
  for (const item of node.items) {
    const response = readOne(item);
    if (found.some(({ action }) => action === response.action)) {
      throw new YamlFaultError(`response asks for ${response.action} twice`, item.offset);
    }
    found.push(response);
  }
  return found;
}

function readOne(node: YamlNode): RuleResponse {
  if (node.kind !== "mapping") return checked(node, actionOf(node), false, null);
  for (const [word, { keyOffset }] of node.entries) {
    if (WORDS.includes(word)) continue;
    throw new YamlFaultError(`Unknown key ${JSON.stringify(word.slice(0, 64))}${suggestion(word, WORDS)}`, keyOffset);
  }
  const of = (word: string): YamlNode | undefined => node.entries.get(word)?.value;
  const tree = of("tree"), isTree = tree?.kind === "scalar" ? tree.value : tree === undefined ? false : null;
  if (typeof isTree !== "boolean") throw new YamlFaultError("tree is true or false", (tree ?? node).offset);
  return checked(node, actionOf(of("action") ?? node), isTree, of("for") ?? null);
}

function actionOf(node: YamlNode): RuleAction {
  const word = node.kind === "scalar" ? String(node.value) : "";
  const action = RULE_ACTIONS.find((name) => name === word);
  if (action !== undefined) return action;
  const words = `A response is one of ${RULE_ACTIONS.join(", ")}, or a mapping with such an action`;
  throw new YamlFaultError(`${words}${suggestion(word, RULE_ACTIONS)}`, node.offset);
}

function checked(node: YamlNode, action: RuleAction, tree: boolean, time: YamlNode | null): RuleResponse {
  if (action === "evidence" && tree) {
    throw new YamlFaultError("evidence is of one process; take tree out", node.offset);
  }
  if (action !== "trace") {
    if (time !== null) throw new YamlFaultError("for belongs to a trace", time.offset);
    return { action, tree, seconds: 0 };
  }
  const ms = time?.kind === "scalar" && typeof time.value === "string" ? parseDuration(time.value) : null;
  if (ms === null || ms < 1_000 || ms > MAX_TRACE_SECONDS * 1_000 || ms % 1_000 !== 0) {
    throw new YamlFaultError(
      "A trace says for how long, from 1s to 1h: {action: trace, for: 30s}",
      (time ?? node).offset,
    );
  }
  return { action, tree, seconds: ms / 1_000 };
}
