/**
 * A Sigma detection as a form: the second front end of the detection engine, beside `rules/sql_predicate.ts`.
 *
 * What this host cannot tell (a field that no column holds, an expression that RE2 does not take) is never taken for
 * false, since under a `not` it would then match everything. It is left out only where what is left matches less than the
 * whole: an alternative of an `or`, and under a `not` a part of an `and`. The rule is then partial, and says what is
 * missing. Elsewhere it takes what it stands in with it, in the end the whole rule, which is unsupported.
 *
 * NOT is "is not true": a row whose column is NULL does not match what is asked of it, and so matches the opposite.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import type { YamlScalar } from "../rules/located_yaml.ts";
import { columnAt, type CompareOperator, type Form } from "../rules/predicate.ts";
import { columnOfField, KEYWORD_COLUMNS } from "./columns.ts";
import type { Condition } from "./condition.ts";
import type { Detection, Item, Selection, SigmaValue } from "./detection.ts";
import {
  columnForm,
  connect,
  fieldForm,
  isNotTrue,
  literal,
  networkForm,
  numberForm,
  regexForm,
  textForm,
  Unaskable,
} from "./forms.ts";
import { encoded, numberOf, textOf } from "./item_values.ts";
import type { SigmaMapping } from "./mapping.ts";
import type { CompareModifier } from "./modifiers.ts";
import { MAX_VARIANTS, parseText, placeholdersOf, positioned } from "./text.ts";
import { timeForm } from "./time_forms.ts";

/** Something that is asked for and cannot be told here. `at` is its offset in the document. */
export interface Missing {
  readonly reason: string;
  readonly at: number;
}

/** What became of a detection. */
export interface Compiled {
  /** `null` when nothing of it can be told. */
  readonly form: Form | null;
  readonly missing: readonly Missing[];
  /** What is odd, and changes nothing. */
  readonly notes: readonly Missing[];
  /** Whether the operator's mapping was needed. */
  readonly mapped: boolean;
}

const PLACES = columnPlaces("process_events");
const OPERATORS: Readonly<Record<CompareModifier, CompareOperator>> = { lt: "<", lte: "<=", gt: ">", gte: ">=" };

/** Part of a detection: its form, or `null` where it cannot be told. */
type Part = Form | null;

/** Compiles a detection. */
export function compileDetection(detection: Detection, mapping: SigmaMapping): Compiled {
  return new Compiler(detection.parts, mapping).compile(detection.conditions);
}

class Compiler {
  readonly #missing: Missing[] = [];
  readonly #notes: Missing[] = [];
  #mapped = false;

  constructor(readonly parts: ReadonlyMap<string, Selection>, readonly mapping: SigmaMapping) {}

  compile(conditions: readonly Condition[]): Compiled {
    const form = this.#combined("or", conditions.map((each) => this.#condition(each, true)), true);
    const byPlace = (list: readonly Missing[]): Missing[] => {
      const seen = new Set<string>();
      return list.filter(({ at, reason }) => !seen.has(`${at} ${reason}`) && seen.add(`${at} ${reason}`) !== undefined);
    };
    return { form, missing: byPlace(this.#missing), notes: byPlace(this.#notes), mapped: this.#mapped };
  }

  /** `positive`: a form that is true less often makes the rule match less often. */
  #condition(condition: Condition, positive: boolean): Part {
    switch (condition.kind) {
      case "and":
      case "or":
        return this.#combined(condition.kind, condition.items.map((item) => this.#condition(item, positive)), positive);
      case "not": {
        const item = this.#condition(condition.item, !positive);
        return item === null ? null : isNotTrue(item);
      }
      case "name":
        return this.#selection(this.parts.get(condition.name)!, positive);
      case "of":
        return this.#of(condition.least, condition.names, positive);
    }
  }

  #of(least: number, names: readonly string[], positive: boolean): Part {
    const parts = names.map((name) => this.#selection(this.parts.get(name)!, positive));
    if (least === 1) return this.#combined("or", parts, positive);
    if (least === parts.length) return this.#combined("and", parts, positive);
    // What is missing does not count, which makes the sum less
    const known = parts.filter((part) => part !== null);
    if (known.length < (positive ? least : parts.length)) return null;
    const sum = known.map((item): Form => ({ kind: "truth", item, wanted: true, negated: false }))
      .reduce((left, right) => ({ kind: "arithmetic", operator: "+", left, right }));
    const enough: Form = { kind: "compare", operator: ">=", left: sum, right: literal(least) };
    // That one of them holds follows, and tells the engine what to look for
    return { kind: "and", items: [connect("or", known), enough] };
  }

  #selection(selection: Selection, positive: boolean): Part {
    if (selection.kind === "item") return this.#item(selection, positive);
    return this.#combined(selection.kind, selection.parts.map((part) => this.#selection(part, positive)), positive);
  }

  #combined(kind: "and" | "or", parts: readonly Part[], positive: boolean): Part {
    const known = parts.filter((part) => part !== null);
    if (known.length === 0 || (known.length < parts.length && (kind === "or") !== positive)) return null;
    return connect(kind, known);
  }

  #item(item: Item, positive: boolean): Part {
    const { modifiers, values, at } = item;
    if (modifiers.all && values.length === 1) {
      this.#notes.push({ reason: "all with one value changes nothing", at });
    }
    // neq turns the question around, and with it what may be left out
    const inner = modifiers.neq ? !positive : positive, kind = modifiers.all ? "and" : "or";
    const form = item.field === null ? this.#keywords(item, kind, inner) : this.#field(item, item.field, kind, inner);
    return form === null ? null : modifiers.neq ? isNotTrue(form) : form;
  }

  #field(item: Item, name: string, kind: "and" | "or", positive: boolean): Part {
    const place = this.#place(name, item.at);
    if (place === null) return null;
    return this.#combined(
      kind,
      item.values.map((value) => this.#asked(value, () => this.#value(item, place, value))),
      positive,
    );
  }

  /** Each value in one of the texts of the event. */
  #keywords(item: Item, kind: "and" | "or", positive: boolean): Part {
    const open: Item = { ...item, modifiers: { ...item.modifiers, position: "contains" } };
    const asked = item.values.map((value) =>
      this.#asked(value, () => {
        if (value.value === null) throw new Unaskable("A keyword is a text");
        return connect("or", KEYWORD_COLUMNS.map((column) => this.#value(open, PLACES.get(column)!, value)));
      })
    );
    return this.#combined(kind, asked, positive);
  }

  /** A column; `null`, and noted as missing, when the field is none. */
  #place(name: string, at: number): number | null {
    const found = columnOfField(name, this.mapping);
    if ("reason" in found) {
      this.#missing.push({ reason: found.reason, at });
      return null;
    }
    if (found.mapped) this.#mapped = true;
    return found.place;
  }

  #asked({ at }: SigmaValue, make: () => Form): Part {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof Unaskable)) throw error;
      this.#missing.push({ reason: error.message, at });
      return null;
    }
  }

  #value({ modifiers }: Item, place: number, { value, written }: SigmaValue): Form {
    switch (modifiers.kind) {
      case "exists":
        if (typeof value !== "boolean") throw new Unaskable("exists takes true or false");
        return { kind: "null", item: columnForm(place), negated: value };
      case "re":
        return regexForm(place, textOf(value, written), modifiers.flags);
      case "cidr":
        return connect(
          "or",
          this.#expanded(modifiers.expand, textOf(value, written)).map((each) => networkForm(place, each)),
        );
      case "fieldref": {
        const other = columnOfField(textOf(value, written), this.mapping);
        if ("reason" in other) throw new Unaskable(other.reason);
        if (other.mapped) this.#mapped = true;
        return fieldForm(place, other.place, modifiers.position, modifiers.cased);
      }
      case "number":
        return numberForm(place, OPERATORS[modifiers.compare!], numberOf(value));
      case "time":
        return timeForm(
          place,
          modifiers.part!,
          modifiers.compare === null ? "=" : OPERATORS[modifiers.compare],
          numberOf(value),
        );
      case "text":
        return this.#text(modifiers, place, value, written);
    }
  }

  #text(modifiers: Item["modifiers"], place: number, value: YamlScalar, written: string): Form {
    const bare = modifiers.position === null && modifiers.base64 === null && !modifiers.windash && !modifiers.expand;
    if (value === null) {
      if (!bare || modifiers.utf16 !== null) throw new Unaskable("null goes with all and neq alone");
      return { kind: "null", item: columnForm(place), negated: false };
    }
    if (bare && typeof value !== "string" && columnAt(place).type !== "TEXT") {
      return numberForm(place, "=", numberOf(typeof value === "boolean" ? Number(value) : value));
    }
    const texts = this.#expanded(modifiers.expand, textOf(value, written)).flatMap((source) =>
      encoded(modifiers, parseText(source)).map((text) =>
        modifiers.position === null ? text : positioned(text, modifiers.position)
      )
    );
    return textForm(place, texts, modifiers.cased);
  }

  /** The texts that a value with placeholders stands for, as a rule would write them. */
  #expanded(expand: boolean, source: string): string[] {
    if (!expand) return [source];
    let texts = [""];
    for (const piece of placeholdersOf(source)) {
      let options: readonly string[];
      if ("text" in piece) options = [piece.text];
      else {
        const found = this.mapping.placeholders.get(piece.placeholder);
        if (found === undefined) {
          throw new Unaskable(`The placeholder %${piece.placeholder}% has no values; sigma-mapping.yml gives them`);
        }
        this.#mapped = true;
        options = found;
      }
      if (texts.length * options.length > Math.max(MAX_VARIANTS, options.length)) {
        throw new Unaskable(`The placeholders make more than ${MAX_VARIANTS} texts of one`);
      }
      texts = texts.flatMap((text) => options.map((option) => text + option));
    }
    return texts;
  }
}
