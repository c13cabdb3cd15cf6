/**
 * Modifiers of Sigma's detection items: one table, from which the reader of rules and `docs/sigma.md` are made.
 *
 * The specification (2.1.0, appendix "Sigma Modifiers") applies them in the order in which they are written. Here the
 * order does not matter: wherever two orders have a meaning it is the same, and an order that would make nonsense, such
 * as a wildcard that is encoded, is read as the one that does not. What cannot stand together is refused.
 *
 * @module
 */
import type { TextPosition, Utf16 } from "./text.ts";

/** What an item asks of its field. */
export type ItemKind = "text" | "re" | "cidr" | "exists" | "fieldref" | "number" | "time";

interface Modifier {
  /** The kind of item that it makes; `null` where it goes with several. */
  readonly makes: ItemKind | null;
  /** The kinds of items that it goes with. */
  readonly goes: readonly ItemKind[];
  /** Modifiers of one group exclude each other. */
  readonly group: string;
  /** For the docs: how it is done. */
  readonly how: string;
}

const TEXT = ["text"] as const,
  RE = ["re"] as const,
  ALL = ["text", "re", "cidr", "fieldref", "number", "time"] as const;

function modifier(makes: ItemKind | null, goes: readonly ItemKind[], group: string, how: string): Modifier {
  return { makes, goes, group, how };
}

/** All modifiers of the specification. */
export const MODIFIERS = {
  contains: modifier(
    null,
    ["text", "fieldref"],
    "position",
    "the value anywhere in the field; with `fieldref`, the other field's",
  ),
  startswith: modifier(null, ["text", "fieldref"], "position", "the value at the begin"),
  endswith: modifier(null, ["text", "fieldref"], "position", "the value at the end"),
  all: modifier(
    null,
    ALL,
    "all",
    "all values must match, not one of them; with one value it changes nothing, which is noted",
  ),
  cased: modifier(null, ["text", "re", "fieldref"], "cased", "A to Z and a to z differ"),
  neq: modifier(null, ALL, "neq", "the item does not match; a field that has no value is different from any value"),
  exists: modifier("exists", ["exists"], "test", "`true`: the field has a value; `false`: it has none"),
  windash: modifier(
    null,
    TEXT,
    "windash",
    "each of - / – — ― that begins a word stands for all five, each alone; at most four in one value",
  ),
  expand: modifier(
    null,
    ["text", "cidr"],
    "expand",
    "`%name%` is each of the values that `sigma-mapping.yml` gives it; without one the item is unsupported",
  ),
  re: modifier(
    "re",
    RE,
    "test",
    "RE2, found anywhere in the field, with case; look-around and back references are refused",
  ),
  i: modifier(null, RE, "flag i", "of `re`: without case, as RE2 folds it"),
  m: modifier(null, RE, "flag m", "of `re`: `^` and `$` at each line"),
  s: modifier(null, RE, "flag s", "of `re`: `.` matches a line end too"),
  base64: modifier(
    null,
    TEXT,
    "base64",
    "the base64 form of the value, whose case still does not count unless `cased`",
  ),
  base64offset: modifier(null, TEXT, "base64", "the three base64 forms that the value has within a longer text"),
  utf16le: modifier(null, TEXT, "utf16", "before `base64` or `base64offset`: the value in UTF-16, low byte first"),
  utf16be: modifier(null, TEXT, "utf16", "the same, high byte first"),
  utf16: modifier(null, TEXT, "utf16", "the same as `utf16le` after a byte order mark"),
  wide: modifier(null, TEXT, "utf16", "another name of `utf16le`"),
  cidr: modifier("cidr", ["cidr"], "test", "the field is an address in a network of IPv4 or IPv6"),
  fieldref: modifier(
    "fieldref",
    ["fieldref"],
    "test",
    "compares with the value of another field, without case unless `cased`",
  ),
  lt: modifier("number", ["number", "time"], "compare", "a number less than the value"),
  lte: modifier("number", ["number", "time"], "compare", "at most the value"),
  gt: modifier("number", ["number", "time"], "compare", "more than the value"),
  gte: modifier("number", ["number", "time"], "compare", "at least the value"),
  minute: modifier("time", ["time"], "part", "of a time, in UTC: 0 to 59"),
  hour: modifier("time", ["time"], "part", "0 to 23"),
  day: modifier("time", ["time"], "part", "of the month: 1 to 31"),
  week: modifier("time", ["time"], "part", "of the year as ISO 8601 counts: 1 to 53"),
  month: modifier("time", ["time"], "part", "1 to 12"),
  year: modifier("time", ["time"], "part", "the year"),
} as const satisfies Record<string, Modifier>;

export type ModifierName = keyof typeof MODIFIERS;
export type CompareModifier = "lt" | "lte" | "gt" | "gte";
export type TimePart = "minute" | "hour" | "day" | "week" | "month" | "year";

/** The modifiers of one item, read. */
export interface Modifiers {
  readonly kind: ItemKind;
  readonly position: TextPosition | null;
  readonly all: boolean;
  readonly cased: boolean;
  readonly neq: boolean;
  readonly windash: boolean;
  readonly expand: boolean;
  readonly base64: "base64" | "base64offset" | null;
  readonly utf16: Utf16 | null;
  /** Of `re`. */
  readonly flags: string;
  readonly compare: CompareModifier | null;
  readonly part: TimePart | null;
}

/** Modifiers that keep their meaning where no field is named: the item is looked for in every text of the event. */
const WITHOUT_FIELD: ReadonlySet<string> = new Set(
  [
    "all",
    "contains",
    "cased",
    "neq",
    "re",
    "i",
    "m",
    "s",
    "base64",
    "base64offset",
    "utf16",
    "utf16le",
    "utf16be",
    "wide",
  ]
    .concat("windash", "expand"),
);

/** Reads the modifiers of an item, or says what is wrong with them. */
export function readModifiers(names: readonly string[], hasField: boolean): Modifiers | { readonly fault: string } {
  const given = new Set<ModifierName>();
  for (const name of names) {
    if (!Object.hasOwn(MODIFIERS, name)) {
      return { fault: `The modifier ${JSON.stringify(name.slice(0, 32))} is unknown` };
    }
    const known = name as ModifierName;
    if (given.has(known)) return { fault: `The modifier ${name} stands twice` };
    if (!hasField && !WITHOUT_FIELD.has(name)) return { fault: `The modifier ${name} needs a field` };
    for (const other of given) {
      if (MODIFIERS[other].group === MODIFIERS[known].group) {
        return { fault: `The modifiers ${other} and ${name} exclude each other` };
      }
    }
    given.add(known);
  }
  const made = new Set([...given].flatMap((name) => MODIFIERS[name].makes ?? []));
  // A part of a time is compared as a number
  if (made.has("time")) made.delete("number");
  if (made.size > 1) return { fault: `The modifiers ${[...given].join(", ")} ask two different things of one field` };
  const kind: ItemKind = [...made][0] ?? "text";
  for (const name of given) {
    if ((MODIFIERS[name].goes as readonly ItemKind[]).includes(kind)) continue;
    const flag = name === "i" || name === "m" || name === "s";
    const maker = [...given].find((other) => MODIFIERS[other].makes === kind);
    return { fault: flag ? `The modifier ${name} belongs to re` : `The modifier ${name} does not go with ${maker}` };
  }
  const has = (name: ModifierName): boolean => given.has(name);
  const one = <T extends ModifierName>(...of: T[]): T | null => of.find(has) ?? null;
  if (has("cased") && has("i")) return { fault: "The modifiers cased and i exclude each other" };
  return {
    kind,
    position: one("contains", "startswith", "endswith"),
    all: has("all"),
    cased: has("cased"),
    neq: has("neq"),
    windash: has("windash"),
    expand: has("expand"),
    base64: one("base64", "base64offset"),
    utf16: one("utf16", "utf16le", "utf16be", "wide"),
    flags: (["i", "m", "s"] as const).filter(has).join(""),
    compare: one("lt", "lte", "gt", "gte"),
    part: one("minute", "hour", "day", "week", "month", "year"),
  };
}
