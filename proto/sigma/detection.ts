/**
 * The detection of a Sigma rule as a tree: its named parts, the items in them, and its conditions.
 *
 * Here the form is checked: kinds of values, modifiers, the grammar of conditions, and that every name is there. What a
 * field means, and whether a value can be looked for, is `compile.ts`'s to say. A fault is a {@linkcode YamlFaultError}.
 *
 * @module
 */
import { type YamlEntry, YamlFaultError, type YamlNode, type YamlScalar } from "../rules/located_yaml.ts";
import { type Condition, ConditionError, parseCondition } from "./condition.ts";
import { type Modifiers, readModifiers } from "./modifiers.ts";

const MAX_PARTS = 256;
const MAX_FIELD = 128;
/** Longest value, in UTF-16 code units. */
const MAX_VALUE = 4_096;

/** A value of an item. */
export interface SigmaValue {
  readonly value: YamlScalar;
  /** As it stands in the file: `0x1f` and `1.10` are the author's texts, whatever numbers they are. */
  readonly written: string;
  readonly at: number;
}

export interface Item {
  readonly kind: "item";
  /** `null` for a keyword, which is looked for in every text of the event. */
  readonly field: string | null;
  readonly modifiers: Modifiers;
  readonly values: readonly SigmaValue[];
  readonly at: number;
}

/** What a name of the detection stands for. */
export type Selection = Item | { readonly kind: "and" | "or"; readonly parts: readonly Selection[] };

export interface Detection {
  readonly parts: ReadonlyMap<string, Selection>;
  /** One of them must hold. */
  readonly conditions: readonly Condition[];
}

/** Reads the mapping under `detection`, or that of a filter but for its `rules`. @throws YamlFaultError */
export function parseDetection(node: YamlNode, text: string, skip: readonly string[] = []): Detection {
  if (node.kind !== "mapping") {
    throw new YamlFaultError("This is a mapping of names to what is looked for", node.offset);
  }
  const parts = new Map<string, Selection>();
  for (const [name, { keyOffset, value }] of node.entries) {
    if (name === "condition" || skip.includes(name)) continue;
    if (name === "timeframe") {
      throw new YamlFaultError("timeframe is Sigma's old form of counting; write a correlation instead", keyOffset);
    }
    if (parts.size === MAX_PARTS) throw new YamlFaultError(`More than ${MAX_PARTS} names in one detection`, keyOffset);
    if (/[\s()|*]/.test(name) || name === "") {
      throw new YamlFaultError(`A condition cannot name ${JSON.stringify(name.slice(0, 64))}`, keyOffset);
    }
    parts.set(name, new SelectionReader(text).selection(value, keyOffset));
  }
  if (parts.size === 0) throw new YamlFaultError("Nothing is looked for: name at least one part", node.offset);
  const condition = node.entries.get("condition");
  if (condition === undefined) throw new YamlFaultError("The condition is missing", node.offset);
  return { parts, conditions: conditionsOf(condition, [...parts.keys()]) };
}

function conditionsOf({ keyOffset, value: node }: YamlEntry, names: readonly string[]): Condition[] {
  const nodes = node.kind === "sequence" ? node.items : [node];
  if (nodes.length === 0 || nodes.length > 32) throw new YamlFaultError("A condition is a text, or 1 to 32", keyOffset);
  return nodes.map((each) => {
    if (each.kind !== "scalar" || typeof each.value !== "string") {
      throw new YamlFaultError("A condition is a text, such as selection and not filter", each.offset);
    }
    try {
      return parseCondition(each.value, names);
    } catch (error) {
      if (!(error instanceof ConditionError)) throw error;
      // In a plain or quoted scalar of one line characters stand where they stand in the value, but for escapes
      const inside = Math.min(error.offset, each.event.valueEnd - each.event.valueStart);
      throw new YamlFaultError(error.reason, each.offset + Math.max(0, inside), { cause: error });
    }
  });
}

class SelectionReader {
  constructor(readonly text: string) {}

  selection(node: YamlNode, at: number): Selection {
    if (node.kind === "mapping") return this.#map(node);
    if (node.kind === "scalar") return this.#keywords([node], at);
    if (node.items.length === 0) throw new YamlFaultError("The list is empty", at);
    // Neighbouring keywords are one item; maps stand for themselves
    const parts: Selection[] = [];
    let words: YamlNode[] = [];
    const flush = (): void => {
      if (words.length > 0) parts.push(this.#keywords(words, words[0]!.offset));
      words = [];
    };
    for (const item of node.items) {
      if (item.kind === "scalar") words.push(item);
      else {
        flush();
        if (item.kind === "sequence") throw new YamlFaultError("A list within a list has no meaning here", item.offset);
        parts.push(this.#map(item));
      }
    }
    flush();
    return parts.length === 1 ? parts[0]! : { kind: "or", parts };
  }

  #map(node: YamlNode & { kind: "mapping" }): Selection {
    if (node.entries.size === 0) throw new YamlFaultError("The mapping is empty", node.offset);
    const parts = [...node.entries].map(([key, { keyOffset, value }]) => this.#item(key, value, keyOffset));
    return parts.length === 1 ? parts[0]! : { kind: "and", parts };
  }

  #keywords(nodes: readonly YamlNode[], at: number): Item {
    return this.#made(null, [], nodes, at);
  }

  #item(key: string, node: YamlNode, at: number): Item {
    const [field = "", ...names] = key.split("|");
    if (field.length > MAX_FIELD) throw new YamlFaultError(`A name of a field has at most ${MAX_FIELD} characters`, at);
    if (node.kind === "mapping") {
      throw new YamlFaultError("A value is a text, a number, true, false, null, or a list of them", node.offset);
    }
    return this.#made(field === "" ? null : field, names, node.kind === "sequence" ? node.items : [node], at);
  }

  #made(field: string | null, names: readonly string[], nodes: readonly YamlNode[], at: number): Item {
    const modifiers = readModifiers(names, field !== null);
    if ("fault" in modifiers) throw new YamlFaultError(modifiers.fault, at);
    if (nodes.length === 0) throw new YamlFaultError("The list is empty", at);
    return { kind: "item", field, modifiers, values: nodes.map((node) => this.#value(node)), at };
  }

  #value(node: YamlNode): SigmaValue {
    if (node.kind !== "scalar") {
      throw new YamlFaultError("A value is a text, a number, true, false or null", node.offset);
    }
    const { value, offset: at, event } = node;
    if (typeof value === "string") {
      if (value.length > MAX_VALUE) {
        throw new YamlFaultError(`The value has ${value.length} characters; ${MAX_VALUE} are allowed`, at);
      }
      if (value.includes("\0")) {
        throw new YamlFaultError("The value has a NUL in it, which no text of an event has", at);
      }
      return { value, written: value.toWellFormed(), at };
    }
    return { value, written: event.valueStart < 0 ? "" : this.text.slice(event.valueStart, event.valueEnd), at };
  }
}
