/**
 * The policy of responses: what root lets the helper do, to whom, how often.
 *
 * YAML or JSON. What it does not allow is refused, and what it does not say is the narrowest that there is: no action,
 * and a dry run. A key that there is not, a value out of its range or a text that is no YAML is a {@linkcode PolicyError}
 * with its line; a helper with such a policy does nothing. Who may write the file is not judged here.
 *
 * @module
 */
import { parseYaml, positionAt, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";
import { MAX_ANSWERED, MAX_TRACE_SECONDS, RESPONSE_ACTIONS, type ResponseAction, RULE_ACTIONS } from "./action.ts";

/** Largest policy that is read. */
export const MAX_POLICY_BYTES = 65_536;
const MAX_LIST = 256, MAX_NAME = 256;

/** A policy cannot be used. The text says where and what is wrong. */
export class PolicyError extends Error {
  override name = "PolicyError";
}

export interface ResponsePolicy {
  readonly mode: "dry-run" | "enforce";
  readonly actions: readonly ResponseAction[];
  /** Requests of all, and of those that name one rule (or none), that are done in a minute. */
  readonly perMinute: number;
  readonly perRulePerMinute: number;
  /** Processes of one request, its descendants included. */
  readonly maxProcesses: number;
  /** Never touched: by the name that the kernel has of them, by executable, by user. A `*` stands for any text. */
  readonly protectedNames: readonly string[];
  readonly protectedPaths: readonly string[];
  readonly protectedUsers: readonly number[];
  readonly trace: {
    readonly maxSeconds: number;
    readonly intervalMs: number;
    readonly maxBytes: number;
  };
  readonly evidence: {
    readonly maxExecutableBytes: number;
    readonly environment: boolean;
  };
  /** What all traces and bundles together may take; then no further one is begun. */
  readonly maxOutputBytes: number;
  /** What rules may ask for by themselves, without a person. */
  readonly rules: {
    /** Ids of those that may; a `*` stands for any text. */
    readonly ids: readonly string[];
    /** Some of `actions`. */
    readonly actions: readonly ResponseAction[];
    /** `enforce` counts only where the policy as a whole says so. */
    readonly mode: "dry-run" | "enforce";
    /** Beside `perMinute`, which is for people alone. */
    readonly perMinute: number;
  };
}

/** Capabilities that what a policy allows takes, in the kernel's words. */
export type ResponseCapability = "kill" | "sys_ptrace" | "dac_read_search";

const MEBIBYTE = 1 << 20;

/**
 * @throws {PolicyError}
 *
 * @example
 * ```ts
 * import { parsePolicy, PolicyError } from "./policy.ts";
 * import assert from "node:assert/strict";
 * const policy = parsePolicy("mode: enforce\nactions: [stop]\nprotect: { names: [sshd] }\n");
 * assert.deepEqual([policy.mode, policy.actions, policy.protectedNames], ["enforce", ["stop"], ["sshd"]]);
 * assert.equal(parsePolicy("actions: [kill]").mode, "dry-run");
 * assert.throws(() => parsePolicy("actions: [hug]"), PolicyError);
 * ```
 */
export function parsePolicy(text: string): ResponsePolicy {
  if (text.length > MAX_POLICY_BYTES) throw new PolicyError(`it is longer than ${MAX_POLICY_BYTES} bytes`);
  let root: YamlNode;
  try {
    root = parseYaml(text);
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw faultAt(text, error.offset, error.reason);
  }
  const reader = new Reader(text), top = reader.mapping(root, TOP_KEYS);
  const limits = reader.mapping(top.get("limits"), ["per_minute", "per_rule_per_minute", "max_processes"]);
  const protect = reader.mapping(top.get("protect"), ["names", "paths", "users"]);
  const trace = reader.mapping(top.get("trace"), ["max_seconds", "interval_ms", "max_bytes"]);
  const evidence = reader.mapping(top.get("evidence"), ["max_executable_bytes", "environment"]);
  const rules = reader.mapping(top.get("rules"), ["ids", "actions", "mode", "per_minute"]);
  const actions = reader.list(top.get("actions"), (node) => reader.choice(node, RESPONSE_ACTIONS, "stop"));
  return {
    mode: reader.choice(top.get("mode"), ["dry-run", "enforce"], "dry-run"),
    actions,
    perMinute: reader.number(limits.get("per_minute"), 1, 600, 10),
    perRulePerMinute: reader.number(limits.get("per_rule_per_minute"), 1, 600, 5),
    maxProcesses: reader.number(limits.get("max_processes"), 1, MAX_ANSWERED, 16),
    protectedNames: reader.list(protect.get("names"), (node) => reader.text(node)),
    protectedPaths: reader.list(protect.get("paths"), (node) => reader.path(node)),
    protectedUsers: reader.list(protect.get("users"), (node) => reader.number(node, 0, 0xffff_fffe, 0)),
    trace: {
      maxSeconds: reader.number(trace.get("max_seconds"), 1, MAX_TRACE_SECONDS, 60),
      intervalMs: reader.number(trace.get("interval_ms"), 50, 60_000, 250),
      maxBytes: reader.number(trace.get("max_bytes"), 65_536, 256 * MEBIBYTE, 8 * MEBIBYTE),
    },
    evidence: {
      maxExecutableBytes: reader.number(evidence.get("max_executable_bytes"), 0, 1_024 * MEBIBYTE, 64 * MEBIBYTE),
      environment: reader.choice(evidence.get("environment"), ["yes", "no"], "yes") === "yes",
    },
    maxOutputBytes: reader.number(top.get("max_output_bytes"), MEBIBYTE, 1_048_576 * MEBIBYTE, 1_024 * MEBIBYTE),
    rules: {
      ids: reader.list(rules.get("ids"), (node) => reader.text(node)),
      actions: reader.list(rules.get("actions"), (node) => reader.ruleAction(node, actions)),
      mode: reader.choice(rules.get("mode"), ["dry-run", "enforce"], "dry-run"),
      perMinute: reader.number(rules.get("per_minute"), 1, 600, 5),
    },
  };
}

const TOP_KEYS = ["mode", "actions", "limits", "protect", "trace", "evidence", "max_output_bytes", "rules"];

/**
 * What a helper under this policy must hold, and no more. A dry run sends no signal and copies nothing, so all that it
 * takes is to see which executable a process has, where the policy goes by that.
 */
export function capabilitiesOf(policy: ResponsePolicy): ResponseCapability[] {
  const { mode, actions, protectedPaths } = policy, acts = mode === "enforce";
  const signals = actions.some((action) => action === "stop" || action === "resume" || action === "kill");
  const looks = acts && writesOf(policy);
  return [
    ...(acts && signals ? ["kill" as const] : []),
    ...(looks || (actions.length > 0 && protectedPaths.length > 0) ? ["sys_ptrace" as const] : []),
    ...(looks ? ["dac_read_search" as const] : []),
  ];
}

/** Whether a helper under this policy writes files. */
export function writesOf({ mode, actions }: ResponsePolicy): boolean {
  return mode === "enforce" && actions.some((action) => action === "trace" || action === "evidence");
}

/** In one line, for health and the ledger. */
export function policyWords(policy: ResponsePolicy): string {
  const { mode, actions, perMinute, perRulePerMinute, maxProcesses, rules } = policy;
  if (actions.length === 0) return "the policy allows no action";
  const what = mode === "enforce" ? "may" : "dry run, nothing is done; it would";
  return `${what} ${actions.join(", ")}, ${perMinute} times a minute, ${perRulePerMinute} for one rule, ` +
    `up to ${maxProcesses} processes at once${ruleWords(rules, mode)}`;
}

function ruleWords({ ids, actions, mode }: ResponsePolicy["rules"], overall: ResponsePolicy["mode"]): string {
  if (ids.length === 0 || actions.length === 0) return "";
  const isDry = overall === "enforce" && mode === "dry-run" ? " (dry run)" : "";
  return `; ${actions.join(", ")} where the rule ${ids.join(", ")} asks by itself${isDry}`;
}

function faultAt(text: string, offset: number, reason: string): PolicyError {
  return new PolicyError(`line ${positionAt(text, offset).line}: ${reason}`);
}

/** Takes what is of the form that is wanted, and says where something else stands. */
class Reader {
  constructor(private readonly source: string) {}

  mapping(node: YamlNode | undefined, keys: readonly string[]): ReadonlyMap<string, YamlNode> {
    if (node === undefined || isEmpty(node)) return new Map();
    if (node.kind !== "mapping") throw this.#wrong(node, `it must have keys, of ${keys.join(", ")}`);
    const values = new Map<string, YamlNode>();
    for (const [key, { keyOffset, value }] of node.entries) {
      if (!keys.includes(key)) {
        const name = JSON.stringify(key.slice(0, MAX_NAME));
        throw faultAt(this.source, keyOffset, `there is no key ${name} here, only ${keys.join(", ")}`);
      }
      values.set(key, value);
    }
    return values;
  }

  list<T>(node: YamlNode | undefined, each: (node: YamlNode) => T): readonly T[] {
    if (node === undefined || isEmpty(node)) return [];
    if (node.kind !== "sequence") throw this.#wrong(node, "it must be a list");
    if (node.items.length > MAX_LIST) throw this.#wrong(node, `a list has at most ${MAX_LIST} entries`);
    return node.items.map(each);
  }

  choice<T extends string>(node: YamlNode | undefined, values: readonly T[], otherwise: T): T {
    if (node === undefined) return otherwise;
    const found = node.kind === "scalar" ? values.find((value) => value === node.value) : undefined;
    if (found === undefined) throw this.#wrong(node, `it must be one of ${values.join(", ")}`);
    return found;
  }

  /** One of those that may be done at all, and that a rule can ask for. */
  ruleAction(node: YamlNode, allowed: readonly ResponseAction[]): ResponseAction {
    const action = this.choice(node, RULE_ACTIONS, "stop");
    if (!allowed.includes(action)) {
      throw this.#wrong(node, `actions does not allow ${action}, so no rule may ask for it`);
    }
    return action;
  }

  number(node: YamlNode | undefined, min: number, max: number, otherwise: number): number {
    if (node === undefined) return otherwise;
    const value = node.kind === "scalar" ? node.value : null;
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      throw this.#wrong(node, `it must be a whole number from ${min} to ${max}`);
    }
    return value;
  }

  text(node: YamlNode): string {
    const value = node.kind === "scalar" ? node.value : null;
    if (typeof value !== "string" || value === "" || value.length > MAX_NAME || value.includes("\0")) {
      throw this.#wrong(node, `it must be a text of 1 to ${MAX_NAME} characters`);
    }
    return value;
  }

  path(node: YamlNode): string {
    const path = this.text(node);
    if (!path.startsWith("/")) throw this.#wrong(node, "it must be an absolute path");
    return path;
  }

  #wrong(node: YamlNode, reason: string): PolicyError {
    return faultAt(this.source, node.offset, reason);
  }
}

function isEmpty(node: YamlNode): boolean {
  return node.kind === "scalar" && node.value === null;
}

/** Whether a text is one of those that patterns stand for. */
export function isNamed(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matches(pattern, text));
}

/** In time linear in the text for each star: each part is looked for behind the one before. */
function matches(pattern: string, text: string): boolean {
  const parts = pattern.split("*"), first = parts[0]!, last = parts.at(-1)!;
  if (parts.length === 1) return pattern === text;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
