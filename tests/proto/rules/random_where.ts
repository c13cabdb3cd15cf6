/**
 * Random conditions and rows to hold the forms of a rule against each other.
 *
 * Texts and numbers come from small sets, so that rules match, and from the edges at which SQLite and JavaScript differ:
 * case beyond ASCII, characters beyond the BMP, lone surrogates, NUL, texts that are numbers, numbers near 2^53. Most
 * expressions have the types that a person would give them; some have any.
 *
 * @module
 */
import { tableNamed } from "../../../proto/catalog.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import type { Random } from "../../fuzz/random.ts";

const TEXT_COLUMNS = ["name", "executable_path", "command_line", "parent_name", "cwd", "event_type"];
const INTEGER_COLUMNS = ["pid", "ppid", "user_id", "effective_capabilities", "time"];
const REAL_COLUMNS = ["duration_ms", "cpu_time_ms"];
/** Texts that are addresses or nearly so, and the networks that they are held against. */
const ADDRESSES =
  "10.0.0.1,10.255.255.255,11.0.0.0,192.168.1.7,127.0.0.1,0.0.0.0,255.255.255.255,::1,::,fe80::1,FE80::1:2,".concat(
    "2001:db8::ff00:42:8329,::ffff:10.0.0.1,::ffff:0a00:0001,10.0.0,10.0.0.01,10.0.0.256,1::2::3,fe80::1%eth0,0x0a.0.0.1",
  ).split(",");
const NETWORKS =
  "10.0.0.0/8,10.0.0.1,192.168.0.0/16,0.0.0.0/0,127.0.0.0/31,::/0,fe80::/10,2001:db8::/32,::1/128,::ffff:10.0.0.0/104"
    .split(",");
const SPANS = ["1ms", "7ms", "1s", "1m", "5m", "1h", "3d"];
const REGEX_ATOMS = [
  ..."sh,bash,ask,Ask,curl,/usr/,tmp,start,a,b,ab,k,K,s,S,é,É,😀,x, ,1,12,%,_,.,\\.,\\d,\\w,\\s,\\b,^,$,\\/,\\\\".split(
    ",",
  ),
  ..."[a-z],[^a-z],[]a],[^]a],[sh],[\\]x],[[:alpha:]],\\x61,\\x{e9},\\pL,\\PL,\\Qa.b\\E,\\0,\\t".split(","),
];
const REPEATS = ["", "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{0}", "{", "{a}"];
const USED = new Set(["time", ...TEXT_COLUMNS, ...INTEGER_COLUMNS, ...REAL_COLUMNS]);

const PIECES = [
  ..."sh,bash,Bash,SH,curl,/usr/bin/,/tmp/, -c ,start,a,A,b,ab,aab,x, ,  ,%,_,\\,',100%,a_b".split(","),
  ..."é,É,ß,İ,ı,K,ſ,aſk,as\u212a,ask,😀,😁,\ue000,\uffff,\ufffd".split(","),
  ..."1,2,-1,12,3.5,1e3,007, 7 ,0x10,+5,.5,5.,9007199254740993,1e400,-0".split(","),
];
/** Only in rows: a rule's text has none. */
const ODD_PIECES = ["\0", "\0sh", "\ud800", "\udc80", "a\udc80b"];
const INTEGERS = [0, 1, 2, 3, 7, -1, -2, 12, 63, 64, 1000, 2 ** 21, 2 ** 31, 2 ** 32, -(2 ** 31), 2 ** 40];
const EDGES = [2 ** 53 - 1, -(2 ** 53) + 1, 2 ** 52];
const REALS = [0, 0.5, 1, -1, 2.5, 3.5, 1000, 1e15, -0.25, 1e300, 5e-324];

/** A row of `process_events`, in the catalog's order. */
export function randomRow(random: Random, eventId: number): SqlValue[] {
  return tableNamed("process_events").columns.map(({ name, type }) => {
    if (name === "event_id") return eventId;
    if (!USED.has(name) || random.oneIn(5)) return null;
    if (type === "TEXT") return rowText(random);
    if (type === "REAL") return random.pick(REALS);
    return random.oneIn(20) ? random.pick(EDGES) : random.pick(INTEGERS);
  });
}

function rowText(random: Random): string {
  let text = "";
  for (let parts = random.below(5); parts >= 0; parts--) {
    text += random.oneIn(40) ? random.pick(ODD_PIECES) : random.pick(PIECES);
  }
  if (random.oneIn(12)) return random.pick(ADDRESSES);
  return random.oneIn(200) ? text.repeat(200) : text;
}

/** One random condition; use once. */
export class RandomWhere {
  readonly alias: string;

  constructor(readonly random: Random) {
    this.alias = random.oneIn(4) ? "e" : "process_events";
  }

  /** The whole query of a rule. */
  sql(): string {
    return `SELECT pid FROM process_events${this.alias === "e" ? " e" : ""} WHERE ${this.condition(4)}`;
  }

  condition(size: number): string {
    const { random } = this;
    if (size <= 0) return this.#test();
    switch (random.below(12)) {
      case 0:
      case 1:
        return `(${this.#many(2, 4, () => this.condition(size - 1)).join(" AND ")})`;
      case 2:
      case 3:
        return `(${this.#many(2, 4, () => this.condition(size - 1)).join(" OR ")})`;
      case 4:
        return `(NOT ${this.condition(size - 1)})`;
      case 5:
        return `(${this.condition(size - 1)} IS ${random.pick(["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "NULL"])})`;
      case 6:
        return `(${this.condition(size - 1)} ${this.#comparison()} ${this.condition(size - 1)})`;
      case 7:
        return this.#case(size - 1, (depth) => this.condition(depth));
      default:
        return this.#test();
    }
  }

  /** Mostly in parentheses: the parser does not know every form without. */
  #test(): string {
    return this.random.oneIn(4) ? this.#bareTest() : `(${this.#bareTest()})`;
  }

  #bareTest(): string {
    const { random } = this, not = random.oneIn(4) ? "NOT " : "";
    switch (random.below(17)) {
      case 14:
        return `${this.#text(1)} ${not}REGEXP ${quoted(this.#regex(2))}`;
      case 15:
        return `${random.oneIn(8) ? this.#integer(1) : this.#text(1)} ${not}REGEXP ${quoted(this.#regex(1))}`;
      case 16:
        return random.oneIn(2)
          ? `cidr_match(${random.oneIn(8) ? this.#integer(0) : this.#text(1)}, ${quoted(random.pick(NETWORKS))})`
          : `${not}within(${this.#number(1)}, ${quoted(random.pick(SPANS))}${
            random.oneIn(2) ? `, ${this.#number(1)}` : ""
          })`;
      case 0:
      case 1:
      case 2:
        return `${this.#text(1)} ${not}LIKE ${this.#pattern()}`;
      case 3:
        return `${this.#textColumn()} IN (${this.#many(1, 5, () => this.#literalText()).join(", ")})`;
      case 4:
        return `${this.#text(1)} ${not}IN (${this.#many(1, 4, () => this.#any(0)).join(", ")})`;
      case 5:
        return `${this.#number(1)} ${not}IN (${this.#many(1, 4, () => this.#any(0)).join(", ")})`;
      case 6:
        return `${this.#any(1)} ${not}BETWEEN ${this.#any(0)} AND ${this.#any(1)}`;
      case 7:
        return `${this.#any(1)} ${random.pick(["ISNULL", "NOTNULL", "NOT NULL", "IS NULL", "IS NOT NULL"])}`;
      case 8:
        return `${this.#text(2)} ${this.#comparison()} ${this.#text(1)}`;
      case 9:
        return `${this.#textColumn()} = ${this.#literalText()}`;
      case 10:
        return `${this.#number(2)} ${this.#comparison()} ${this.#number(1)}`;
      case 11:
        return `instr(${this.#text(1)}, ${this.#literalText()}) ${random.pick(["> 0", ">= 1", "= 0", "= 2"])}`;
      case 12:
        return `${this.#any(2)} ${this.#comparison()} ${this.#any(2)}`;
      default:
        return this.#number(2);
    }
  }

  #comparison(): string {
    return this.random.pick(
      ["=", "==", "<>", "!=", "<", "<=", ">", ">=", "IS", "IS NOT", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"],
    );
  }

  #any(size: number): string {
    switch (this.random.below(9)) {
      case 0:
        return "NULL";
      case 1:
        return this.random.pick(["TRUE", "FALSE"]);
      case 2:
        return this.#column(REAL_COLUMNS);
      case 3:
      case 4:
      case 5:
        return this.#text(size);
      default:
        return this.#number(size);
    }
  }

  #text(size: number): string {
    const { random } = this, text = (): string => this.#text(size - 1), number = (): string => this.#number(size - 1);
    if (size <= 0) return random.oneIn(4) ? this.#literalText() : this.#textColumn();
    switch (random.below(18)) {
      case 16:
        return `path_basename(${text()})`;
      case 0:
        return `lower(${text()})`;
      case 1:
        return `upper(${text()})`;
      case 2:
        return `substr(${text()}, ${random.oneIn(4) ? number() : random.below(9) - 4})`;
      case 3:
        return `substr(${text()}, ${random.below(9) - 4}, ${random.oneIn(4) ? number() : random.below(7) - 3})`;
      case 4:
        return `${random.pick(["trim", "ltrim", "rtrim"])}(${text()})`;
      case 5:
        return `${random.pick(["trim", "ltrim", "rtrim"])}(${text()}, ${this.#literalText()})`;
      case 6:
        return `replace(${text()}, ${random.oneIn(3) ? text() : this.#literalText()}, ${this.#literalText()})`;
      case 7:
        return `coalesce(${this.#many(2, 3, text).join(", ")})`;
      case 8:
        return `ifnull(${text()}, '')`;
      case 9:
        return `nullif(${text()}, ${this.#any(size - 1)})`;
      case 10:
        return `(${text()} || ${this.#any(size - 1)})`;
      case 11:
        return `CAST(${this.#any(size - 1)} AS TEXT)`;
      case 12:
        return `hex(${this.#any(size - 1)})`;
      case 13:
        return `${random.pick(["min", "max"])}(${this.#many(2, 3, text).join(", ")})`;
      case 14:
        return `iif(${this.condition(size - 1)}, ${text()}, ${this.#any(size - 1)})`;
      case 15:
        return this.#case(size - 1, (depth) => this.#text(depth));
      default:
        return this.#textColumn();
    }
  }

  #number(size: number): string {
    const { random } = this, number = (): string => this.#number(size - 1), any = (): string => this.#any(size - 1);
    if (size <= 0) {
      if (random.oneIn(6)) return this.#column(REAL_COLUMNS);
      return random.oneIn(2) ? this.#literalNumber() : this.#column(INTEGER_COLUMNS);
    }
    switch (random.below(14)) {
      case 0:
      case 1:
        return `(${number()} ${random.pick(["+", "-", "*", "/", "%"])} ${number()})`;
      case 2:
        return `(${number()} ${random.pick(["&", "|", "<<", ">>"])} ${number()})`;
      case 3:
        return `(${random.pick(["-", "+", "~"])} ${random.oneIn(5) ? any() : number()})`;
      case 4:
        return `length(${any()})`;
      case 5:
        return `instr(${this.#text(size - 1)}, ${any()})`;
      case 6:
        return `abs(${number()})`;
      case 7:
        return `${random.pick(["min", "max"])}(${this.#many(2, 3, random.oneIn(3) ? any : number).join(", ")})`;
      case 8:
        return `CAST(${random.oneIn(4) ? any() : number()} AS ${random.pick(["INTEGER", "REAL", "NUMERIC"])})`;
      case 9:
        return `${random.pick(["coalesce", "ifnull", "nullif"])}(${number()}, ${number()})`;
      case 10:
        return `(${this.condition(size - 1)})`;
      case 11:
        return `iif(${this.condition(size - 1)}, ${number()}, ${number()})`;
      case 12:
        return this.#case(size - 1, (depth) => this.#number(depth));
      default:
        return number();
    }
  }

  #case(size: number, result: (size: number) => string): string {
    const subject = this.random.oneIn(2) ? ` ${this.#any(size)}` : "";
    const arms = this.#many(1, 3, () => {
      const when = subject === "" ? this.condition(size) : this.#any(size);
      return `WHEN ${when} THEN ${result(size)}`;
    }).join(" ");
    return `CASE${subject} ${arms}${this.random.oneIn(2) ? ` ELSE ${result(size)}` : ""} END`;
  }

  #pattern(): string {
    const { random } = this;
    let pattern = "", escape = "";
    if (random.oneIn(4)) escape = random.pick(["\\", "!", "a", "%", "_", "😀"]);
    for (let parts = random.below(5); parts >= 0; parts--) {
      const piece = random.pick(PIECES);
      pattern += random.oneIn(2) ? random.pick(["%", "%", "_", "__", "%_"]) : piece;
      if (escape !== "" && random.oneIn(4)) pattern += escape + random.pick(["%", "_", escape, "x"]);
    }
    return quoted(pattern) + (escape === "" ? "" : ` ESCAPE ${quoted(escape)}`);
  }

  /** A regular expression: mostly right, sometimes one that RE2 does not know. */
  #regex(size: number): string {
    const { random } = this;
    let pattern = random.oneIn(3) ? random.pick(["(?i)", "(?i)ask", "(?i)", "(?s)", "(?U)", "(?m)"]) : "";
    for (let parts = random.below(4); parts >= 0; parts--) {
      const group = size > 0 && random.oneIn(4);
      const inner = group ? random.pick(["(", "(?:", "(?i:", "(?P<n>"]) + this.#regex(size - 1) + ")" : "";
      pattern += (group ? inner : random.pick(REGEX_ATOMS)) + random.pick(REPEATS);
      if (random.oneIn(10)) pattern += "|";
    }
    return pattern;
  }

  #integer(size: number): string {
    return size <= 0 || this.random.oneIn(2) ? this.#column(INTEGER_COLUMNS) : `length(${this.#text(size - 1)})`;
  }

  #literalText(): string {
    let text = this.random.pick(PIECES);
    while (this.random.oneIn(3)) text += this.random.pick(PIECES);
    return quoted(text);
  }

  #literalNumber(): string {
    const { random } = this;
    switch (random.below(8)) {
      case 0:
        return random.pick(["1.5", "0.5", "1e3", "2.0", "1000.0", ".5", "3.50", "1e15"]);
      case 1:
        return random.pick(["0x1f", "9007199254740991", "9007199254740993", "9223372036854775808"]);
      default:
        return String(random.pick(INTEGERS)).replace(/^-.*/, "($&)");
    }
  }

  #textColumn(): string {
    return this.#column(TEXT_COLUMNS);
  }

  #column(columns: readonly string[]): string {
    const name = this.random.pick(columns);
    return this.random.oneIn(4) ? name : `${this.alias}.${name}`;
  }

  #many(least: number, most: number, make: () => string): string[] {
    return Array.from({ length: least + this.random.below(most - least + 1) }, make);
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
