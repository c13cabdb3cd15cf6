/**
 * Random detections of Sigma, over the whole grammar: every modifier, lists, maps, keywords, null, conditions with and
 * without parentheses, in any case of letters, and lists of them.
 *
 * Values come from the small sets that rows come from (`random_where.ts`), so that rules match. Some ask for what cannot be
 * told, so that rules become partial.
 *
 * @module
 */
import type { Random } from "../../fuzz/random.ts";

/** What the placeholders of `expand` stand for. */
export const PLACEHOLDERS: Readonly<Record<string, readonly string[]>> = {
  shells: ["sh", "*bash", "?sh"],
  one: ["start"],
  nets: ["10.0.0.0/8", "::/0"],
};

const TEXT_FIELDS = ["name", "Image", "CommandLine", "parent_name", "CurrentDirectory"];
const NUMBER_FIELDS = ["ProcessId", "ParentProcessId", "LogonId", "effective_capabilities"];
const REAL_FIELDS = ["duration_ms", "cpu_time_ms"];
const PIECES = "sh,bash,Bash,SH,curl,/usr/bin/,/tmp/, -c ,start,a,A,b,ab,aab,x, ,%,_,100%,a_b,é,É,K,ſ,😀,1,2,12,-1,007"
  .split(",");
const ADDRESSES = ["10.0.0.0/8", "192.168.0.0/16", "::/0", "fe80::/10", "127.0.0.0/31"];
const ENCODINGS = ["base64", "base64offset"].flatMap((base64) =>
  ["", "utf16|", "utf16le|", "utf16be|", "wide|"].map((utf16) => utf16 + base64)
);
const YEARS = ["1970", "1971", "2026", "9999"];
const REGEXES = ["sh", "^a", "b$", "[a-z]+", "a.b", "(ba|c)?sh", "\\d{1,2}", "\\s", "é", "a(?=b)", "x*"];

export class RandomDetection {
  readonly #names: string[] = [];

  constructor(readonly random: Random) {}

  /** The lines under `detection`. */
  lines(): string[] {
    const { random } = this, lines: string[] = [];
    for (let count = 1 + random.below(4); count > 0; count--) {
      const name = `${random.pick(["sel", "filter", "_part"])}_${this.#names.length}`;
      this.#names.push(name);
      lines.push(...this.#selection(name));
    }
    const condition = (): string => random.oneIn(2) ? this.#condition(3) : this.#chain();
    lines.push(`condition: ${random.oneIn(8) ? `[${condition()}, ${condition()}]` : condition()}`);
    return lines;
  }

  #selection(name: string): string[] {
    const { random } = this;
    switch (random.below(8)) {
      case 0:
        return [`${name}:`, ...this.#list(1, () => this.#text()).map((value) => `    - ${value}`)];
      case 1: {
        const modifier = random.pick(["", "|all", "|cased", "|contains|all", "|re|i", "|neq"]);
        const values = this.#list(2, () => modifier.startsWith("|re") ? quoted(random.pick(REGEXES)) : this.#text());
        return [`${name}:`, `    '${modifier}':`, ...values.map((value) => `        - ${value}`)];
      }
      case 2:
        return [
          `${name}:`,
          ...this.#list(2, () => this.#map(random.below(2) + 1)).flatMap((map) =>
            map.map((line, i) => `    ${i === 0 ? "- " : "  "}${line}`)
          ),
        ];
      default:
        return [`${name}:`, ...this.#map(1 + random.below(2)).map((line) => `    ${line}`)];
    }
  }

  /** Items of different fields, each on a line. */
  #map(count: number): string[] {
    const items = new Map<string, string>();
    for (let i = 0; i < count; i++) {
      const [key, value] = this.#item();
      items.set(key, value);
    }
    return [...items].map(([key, value]) => `${key}: ${value}`);
  }

  #item(): [string, string] {
    const { random } = this, text = random.pick(TEXT_FIELDS), number = random.pick(NUMBER_FIELDS);
    const neq = random.oneIn(5) ? "|neq" : "";
    const some = (make: () => string): string => random.oneIn(3) ? `[${this.#list(2, make).join(", ")}]` : make();
    switch (random.below(15)) {
      case 0:
        return [`${number}${neq}`, some(() => String(random.pick([0, 1, 2, 3, 7, -1, 12, 1_000])))];
      case 1:
        return [
          `${random.pick([number, random.pick(REAL_FIELDS)])}|${random.pick(["lt", "lte", "gt", "gte"])}${neq}`,
          random.pick(["0", "1", "2.5", "'12'", "-1"]),
        ];
      case 2:
        return [`${text}|exists`, random.pick(["true", "false"])];
      case 3:
        return [`${text}|re${random.pick(["", "|i", "|s", "|i|m|s"])}${neq}`, some(() => quoted(random.pick(REGEXES)))];
      case 4:
        return random.oneIn(4)
          ? [`${text}|cidr|expand${neq}`, "'%nets%'"]
          : [`${text}|cidr${neq}`, some(() => quoted(random.pick(ADDRESSES)))];
      case 5:
        return [
          `${text}|fieldref${random.pick(["", "|contains", "|startswith", "|endswith", "|cased"])}${neq}`,
          random.pick(TEXT_FIELDS),
        ];
      case 6:
        if (random.oneIn(4)) {
          return [`UtcTime|year${random.pick(["", "|lt", "|lte", "|gt", "|gte"])}${neq}`, random.pick(YEARS)];
        }
        return [
          `UtcTime|${random.pick(["minute", "hour", "day", "month", "week"])}${random.pick(["", "|lt", "|gte"])}${neq}`,
          random.pick(["1", "12", "2"]),
        ];
      case 7:
        return [
          `${text}|${random.pick(ENCODINGS)}${random.pick(["", "|contains", "|startswith"])}${neq}`,
          quoted(random.pick(["sh", "bash -c", "/tmp/"])),
        ];
      case 8:
        return [
          `${text}|windash${random.pick(["", "|contains"])}${neq}`,
          quoted(random.pick([" -c ", "-a -b", "sh /x", "a-b"])),
        ];
      case 9:
        return [`${number}${neq}`, quoted(random.pick(["1*", "?", "12", "*2*", "-?"]))];
      case 10:
        return random.oneIn(3) ? [`Nowhere${neq}`, "x"] : [`${text}${neq}`, random.pick(["null", "''", "[null, a]"])];
      case 11: {
        const value = (): string =>
          quoted(random.pick(["", "/", "x", "\\\\", "\\%"]) + random.pick(["%shells%", "%one%", "%one%%shells%"]));
        return [`${text}|expand${random.pick(["", "|contains", "|endswith", "|cased"])}${neq}`, some(value)];
      }
      default: {
        const position = random.pick(["", "|contains", "|startswith", "|endswith"]),
          cased = random.oneIn(4) ? "|cased" : "";
        const all = random.oneIn(5);
        return [
          `${text}${position}${cased}${all ? "|all" : ""}${neq}`,
          all ? `[${this.#text()}, ${this.#text()}]` : some(() => this.#text()),
        ];
      }
    }
  }

  #list<T>(least: number, make: () => T): T[] {
    return Array.from({ length: least + this.random.below(3) }, make);
  }

  #text(): string {
    const { random } = this;
    let text = "";
    for (let parts = random.below(3); parts >= 0; parts--) {
      text += random.oneIn(4) ? random.pick(["*", "?", "\\*", "\\?", "\\\\", "\\", "**", "?*"]) : random.pick(PIECES);
    }
    return quoted(text);
  }

  /** Names joined by whatever binds how it does, without parentheses. */
  #chain(): string {
    const { random } = this, word = (text: string): string => random.oneIn(6) ? text.toUpperCase() : text;
    let text = "";
    for (let parts = 1 + random.below(4); parts >= 0; parts--) {
      if (random.oneIn(3)) text += `${word("not")} `;
      text += this.#condition(0);
      if (parts > 0) text += ` ${word(random.pick(["and", "or"]))} `;
    }
    return text;
  }

  #condition(size: number): string {
    const { random } = this, of = (): string => this.#condition(size - 1);
    if (size === 0 || random.oneIn(4)) {
      if (random.oneIn(3)) {
        const pattern = random.pick(["them", "sel*", "*", "filter_*", "*_0"]);
        const quantity = random.pick(["1", "all", "any", "2"]);
        const fitting = this.#names.filter((name) =>
          pattern === "them" ? !name.startsWith("_") : new RegExp(`^${pattern.replace("*", ".*")}$`).test(name)
        );
        if (fitting.length >= (quantity === "2" ? 2 : 1)) return `${quantity} of ${pattern}`;
      }
      return random.pick(this.#names);
    }
    switch (random.below(4)) {
      case 0:
        return `not ${of()}`;
      case 1:
        return `(${of()} and ${of()})`;
      case 2:
        return `(${of()} or ${of()})`;
      default:
        return `${of()} and not (${of()})`;
    }
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
