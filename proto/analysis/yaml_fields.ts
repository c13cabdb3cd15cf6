/**
 * Fields of the YAML mappings that triggers and chains are written as, each checked for its type and bounds.
 *
 * @module
 */
import { durationText, parseDuration } from "../rules/duration.ts";
import { type YamlEntry, YamlFaultError, type YamlNode } from "../rules/located_yaml.ts";

export type Fields = ReadonlyMap<string, YamlEntry>;

export function fault(reason: string, node: YamlNode): never {
  throw new YamlFaultError(reason, node.offset);
}

/** The entries of a mapping with these keys and no others. */
export function mappingOf(node: YamlNode, what: string, keys: readonly string[]): Fields {
  if (node.kind !== "mapping") return fault(`${what} is a mapping of ${keys.join(", ")}`, node);
  for (const [key, { keyOffset }] of node.entries) {
    if (!keys.includes(key)) {
      throw new YamlFaultError(
        `Unknown key ${JSON.stringify(key.slice(0, 64))}; there are ${keys.join(", ")}`,
        keyOffset,
      );
    }
  }
  return node.entries;
}

export function listOf(node: YamlNode, what: string, most: number): readonly YamlNode[] {
  if (node.kind !== "sequence" || node.items.length === 0 || node.items.length > most) {
    return fault(`${what} is a list of 1 to ${most}`, node);
  }
  return node.items;
}

/** One line of text without control characters. */
export function textOf(node: YamlNode, what: string, most: number): string {
  if (node.kind !== "scalar" || typeof node.value !== "string") return fault(`${what} is a text`, node);
  const { value } = node;
  if (value.trim() === "" || value.length > most) return fault(`${what} has 1 to ${most} characters`, node);
  // deno-lint-ignore no-control-regex
  if (/[\0-\x1f\x7f]/.test(value)) fault(`${what} is one line`, node);
  return value;
}

/** An id, as rules have it. */
export function nameOf(fields: Fields, key: string, root: YamlNode): string {
  const node = fields.get(key)?.value ?? fault(`The key ${key} is missing`, root), text = textOf(node, key, 64);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) || text.length < 3) {
    fault(`${key} has 3 to 64 lower-case letters, digits and hyphens`, node);
  }
  return text;
}

export function lineOf(fields: Fields, key: string, root: YamlNode): string {
  return textOf(fields.get(key)?.value ?? fault(`The key ${key} is missing`, root), key, 200);
}

/** Milliseconds; `null` where nothing is said. */
export function durationOf(fields: Fields, key: string, least: number, most: number): number | null {
  const node = fields.get(key)?.value;
  if (node === undefined) return null;
  const ms = parseDuration(textOf(node, key, 32));
  if (ms === null || ms < least || ms > most) {
    fault(`${key} is a time from ${durationText(least)} to ${durationText(most)}, such as 30s`, node);
  }
  return ms;
}

/** A whole number; `null` where nothing is said. */
export function numberOf(fields: Fields, key: string, least: number, most: number): number | null {
  const node = fields.get(key)?.value;
  if (node === undefined) return null;
  if (node.kind !== "scalar" || typeof node.value !== "number" || !Number.isInteger(node.value)) {
    return fault(`${key} is a whole number`, node);
  }
  if (node.value < least || node.value > most) fault(`${key} is from ${least} to ${most}`, node);
  return node.value;
}

/** `null` where nothing is said. */
export function truthOf(fields: Fields, key: string): boolean | null {
  const node = fields.get(key)?.value;
  if (node === undefined) return null;
  if (node.kind !== "scalar" || typeof node.value !== "boolean") return fault(`${key} is true or false`, node);
  return node.value;
}
