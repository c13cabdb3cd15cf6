/**
 * One YAML document as nodes that know where in the text they stand.
 *
 * js-yaml parses and gives the values; its events give the places. The text is hostile: size, depth and number of nodes
 * are bounded, and what could make a small text large or mean something else (anchors, aliases, tags, merge keys,
 * further documents) is refused.
 *
 * @module
 */
import {
  constructFromEvents,
  CORE_SCHEMA,
  type Event,
  EVENT_ID,
  parseEvents,
  realMapTag,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from "js-yaml";

const MAX_DEPTH = 8;
const MAX_NODES = 50_000;

const SCHEMA = CORE_SCHEMA.withTags(realMapTag);

export type YamlScalar = string | number | boolean | null;

/** `offset`s are of the text, zero-based. */
export type YamlNode =
  | { readonly kind: "scalar"; readonly value: YamlScalar; readonly offset: number; readonly event: ScalarEvent }
  | { readonly kind: "sequence"; readonly items: readonly YamlNode[]; readonly offset: number }
  | { readonly kind: "mapping"; readonly entries: ReadonlyMap<string, YamlEntry>; readonly offset: number };

export interface YamlEntry {
  readonly keyOffset: number;
  readonly value: YamlNode;
}

/** The text is no YAML, or YAML that is not taken here. */
export class YamlFaultError extends Error {
  override name = "YamlFaultError";
  constructor(readonly reason: string, readonly offset: number, options?: ErrorOptions) {
    super(reason, options);
  }
}

/** Parses one document. @throws YamlFaultError */
export function parseYaml(text: string): YamlNode {
  let events: Event[], values: unknown[];
  try {
    events = parseEvents(text, { maxDepth: MAX_DEPTH });
    for (const event of events) refuseExtras(event);
    if (events.length > MAX_NODES) throw new YamlFaultError(`More than ${MAX_NODES} values`, 0);
    values = constructFromEvents(events, { source: text, schema: SCHEMA, maxAliases: 0 });
  } catch (error) {
    if (error instanceof YAMLException) {
      throw new YamlFaultError(sentence(error.reason), error.mark?.position ?? 0, { cause: error });
    }
    throw error;
  }
  if (values.length !== 1) throw new YamlFaultError(`One YAML document is expected, not ${values.length}`, 0);
  // The first event opens the document.
  return new Locator(events, 1).node(values[0]);
}

/** The place that was asked for last: those of one text are asked for in their order. */
let last = { text: "", offset: 0, line: 1, lineStart: 0 };

/** Line and column, one-based, of an offset in a text. */
export function positionAt(text: string, offset: number): { line: number; column: number } {
  let { line, lineStart } = last.text === text && last.offset <= offset ? last : { line: 1, lineStart: 0 };
  for (let end = text.indexOf("\n", lineStart); end >= 0 && end < offset; end = text.indexOf("\n", lineStart)) {
    line++;
    lineStart = end + 1;
  }
  last = { text, offset, line, lineStart };
  return { line, column: offset - lineStart + 1 };
}

/**
 * Whether {@linkcode offsetInText} knows the place of each character of a text: a literal block (`|`), or one line.
 */
export function isTraceable({ style, valueStart, valueEnd }: ScalarEvent, text: string): boolean {
  if (style === SCALAR_STYLE.LITERAL_BLOCK) return true;
  return style !== SCALAR_STYLE.FOLDED_BLOCK && !text.slice(valueStart, valueEnd).includes("\n");
}

/** The offset in the YAML text of a character of a traceable scalar's value. */
export function offsetInText(event: ScalarEvent, text: string, value: string, offset: number): number {
  const { style, valueStart, valueEnd, indent } = event;
  if (style === SCALAR_STYLE.LITERAL_BLOCK) {
    let lineStart = valueStart;
    for (let at = value.indexOf("\n"); at >= 0 && at < offset; at = value.indexOf("\n", at + 1)) {
      lineStart = text.indexOf("\n", lineStart) + 1;
    }
    const column = offset - (value.lastIndexOf("\n", offset - 1) + 1);
    return Math.min(lineStart + indent + column, valueEnd);
  }
  let at = valueStart;
  for (let passed = 0; passed < offset && at < valueEnd; passed++) at += escapeLength(style, text, at);
  return at;
}

/** How many characters of the YAML text stand for the character of the value at `at`. */
function escapeLength(style: ScalarEvent["style"], text: string, at: number): number {
  if (style === SCALAR_STYLE.SINGLE_QUOTED && text[at] === "'") return 2;
  if (style !== SCALAR_STYLE.DOUBLE_QUOTED || text[at] !== "\\") return 1;
  return { x: 4, u: 6, U: 10 }[text[at + 1] ?? ""] ?? 2;
}

function refuseExtras(event: Event): void {
  if (event.type === EVENT_ID.ALIAS) throw new YamlFaultError("Aliases are not allowed", event.anchorStart);
  if (event.type === EVENT_ID.POP || event.type === EVENT_ID.DOCUMENT) return;
  if (event.anchorStart >= 0) throw new YamlFaultError("Anchors are not allowed", event.anchorStart);
  if (event.tagStart >= 0) throw new YamlFaultError("Tags are not allowed", event.tagStart);
}

/** Walks the events and the values that were made of them in step. */
class Locator {
  /** Where the walk is: the place of what is empty, which has none of its own. */
  #offset = 0;

  constructor(readonly events: readonly Event[], private next: number) {}

  node(value: unknown): YamlNode {
    const event = this.events[this.next++]!;
    if (event.type === EVENT_ID.SEQUENCE) {
      const items = (value as unknown[]).map((item) => this.node(item));
      this.next++;
      return { kind: "sequence", items, offset: event.start };
    }
    if (event.type === EVENT_ID.MAPPING) {
      const entries = new Map<string, YamlEntry>();
      for (const [key, held] of value as Map<unknown, unknown>) {
        const name = this.node(key);
        if (name.kind !== "scalar" || name.value === null) {
          throw new YamlFaultError("A key must be a plain text", name.offset);
        }
        // `1` and `'1'` are two keys to YAML
        if (entries.has(String(name.value))) throw new YamlFaultError("Duplicated mapping key", name.offset);
        entries.set(String(name.value), { keyOffset: name.offset, value: this.node(held) });
      }
      this.next++;
      return { kind: "mapping", entries, offset: event.start };
    }
    if (event.type !== EVENT_ID.SCALAR) throw new YamlFaultError("This form of YAML is not allowed", 0);
    if (event.valueStart >= 0) this.#offset = event.valueStart;
    return { kind: "scalar", value: value as YamlScalar, offset: this.#offset, event };
  }
}

function sentence(reason: string): string {
  return reason.charAt(0).toUpperCase() + reason.slice(1);
}
