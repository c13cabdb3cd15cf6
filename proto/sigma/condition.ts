/**
 * Conditions of Sigma rules: a small language over the names of a detection's parts.
 *
 * `or` binds least, then `and`, then `not`, then `1 of`, `any of`, `all of` and `N of` a pattern of names, then
 * parentheses. Length and nesting are bounded. What earlier versions of Sigma counted with (`| count() > 5`) is told with
 * its successor, correlations.
 *
 * @module
 */

const MAX_LENGTH = 4_096;
const MAX_NESTING = 32;

export type Condition =
  | { readonly kind: "and" | "or"; readonly items: readonly Condition[] }
  | { readonly kind: "not"; readonly item: Condition }
  | { readonly kind: "name"; readonly name: string }
  /** At least so many of these names. */
  | { readonly kind: "of"; readonly least: number; readonly names: readonly string[] };

/** A condition cannot be understood: why, and where in it. */
export class ConditionError extends Error {
  override name = "ConditionError";
  constructor(readonly reason: string, readonly offset: number) {
    super(reason);
  }
}

interface Token {
  readonly text: string;
  readonly at: number;
}

/** Reads a condition over these names. @throws ConditionError */
export function parseCondition(source: string, names: readonly string[]): Condition {
  if (source.length > MAX_LENGTH) {
    throw new ConditionError(`The condition has ${source.length} characters; ${MAX_LENGTH} are allowed`, 0);
  }
  const pipe = source.indexOf("|");
  if (pipe >= 0) {
    throw new ConditionError("Aggregations in a condition are Sigma's old form; write a correlation instead", pipe);
  }
  return new Parser(source, names).whole();
}

/** Names that a pattern with `*` means; `them` means all that do not begin with `_`. */
function selectNames(pattern: string, names: readonly string[]): string[] {
  if (pattern.toLowerCase() === "them") return names.filter((name) => !name.startsWith("_"));
  const parts = pattern.split("*");
  return names.filter((name) => fits(name, parts));
}

/** Whether a name is these pieces with anything between them. */
function fits(name: string, [first, ...rest]: readonly string[]): boolean {
  if (rest.length === 0) return name === first;
  const last = rest.pop()!;
  if (name.length < first!.length + last.length || !name.startsWith(first!) || !name.endsWith(last)) return false;
  let at = first!.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found < 0 || found + piece.length > name.length - last.length) return false;
    at = found + piece.length;
  }
  return true;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(readonly source: string, readonly names: readonly string[]) {
    this.#tokens = [...source.matchAll(/[()]|[^\s()]+/g)].map(({ 0: text, index }) => ({ text, at: index }));
  }

  whole(): Condition {
    const found = this.#or();
    const rest = this.#tokens[this.#next];
    if (rest !== undefined) this.#refuse(`and, or or the end is expected here, not ${quoted(rest.text)}`, rest);
    return found;
  }

  #or(): Condition {
    return this.#chain("or", () => this.#and());
  }

  #and(): Condition {
    return this.#chain("and", () => this.#not());
  }

  #chain(kind: "and" | "or", part: () => Condition): Condition {
    const items = [part()];
    while (this.#word() === kind) {
      this.#next++;
      items.push(part());
    }
    return items.length === 1 ? items[0]! : { kind, items };
  }

  #not(): Condition {
    if (this.#word() !== "not") return this.#primary();
    this.#deeper();
    this.#next++;
    const item = this.#not();
    this.#depth--;
    return { kind: "not", item };
  }

  #primary(): Condition {
    const token = this.#take("A name of the detection");
    if (token.text === "(") {
      this.#deeper();
      const inner = this.#or();
      const close = this.#take("A closing parenthesis");
      if (close.text !== ")") this.#refuse(`A closing parenthesis is expected here, not ${quoted(close.text)}`, close);
      this.#depth--;
      return inner;
    }
    if (token.text === ")") this.#refuse("This parenthesis closes nothing", token);
    const word = token.text.toLowerCase();
    if (this.#word() === "of" && /^(any|all|[0-9]{1,9})$/.test(word)) return this.#of(token, word);
    if (/^(and|or|not|of)$/.test(word) && !this.names.includes(token.text)) {
      this.#refuse(`A name of the detection is expected here, not ${quoted(token.text)}`, token);
    }
    if (!this.names.includes(token.text)) {
      this.#refuse(`The detection has nothing named ${quoted(token.text)}; it has ${listed(this.names)}`, token);
    }
    return { kind: "name", name: token.text };
  }

  #of(quantity: Token, word: string): Condition {
    this.#next++;
    const pattern = this.#take("A pattern of names, such as selection_*, or them,");
    const names = selectNames(pattern.text, this.names);
    if (names.length === 0) {
      this.#refuse(
        `Nothing of the detection is named like ${quoted(pattern.text)}; it has ${listed(this.names)}`,
        pattern,
      );
    }
    const least = word === "all" ? names.length : word === "any" ? 1 : Number(word);
    if (least < 1 || least > names.length) {
      this.#refuse(`${least} of ${names.length} cannot be; ${quoted(pattern.text)} means ${listed(names)}`, quantity);
    }
    return { kind: "of", least, names };
  }

  #word(): string | undefined {
    return this.#tokens[this.#next]?.text.toLowerCase();
  }

  #take(what: string): Token {
    const token = this.#tokens[this.#next++];
    if (token === undefined) throw new ConditionError(`${what} is expected at the end`, this.source.length);
    return token;
  }

  #deeper(): void {
    if (++this.#depth > MAX_NESTING) {
      throw new ConditionError(`More than ${MAX_NESTING} parentheses and nots within each other`, 0);
    }
  }

  #refuse(reason: string, { at }: Token): never {
    throw new ConditionError(reason, at);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
