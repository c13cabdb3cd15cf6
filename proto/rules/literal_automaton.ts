/**
 * One automaton that finds all texts of many rules in a text, in one pass (Aho and Corasick, 1975).
 *
 * It is small, so that thousands of rules fit: characters are reduced to the classes that the texts have, the states near
 * the root, where a scan spends its time, have whole rows of transitions, and the others, most of which have one child,
 * have a list of children and a way back. Everything lies in a few typed arrays.
 *
 * A to Z are read as a to z. Characters beyond ASCII share a few classes, so what is reported of texts that have some
 * may be wrong: take it as "may contain".
 *
 * @module
 */

/** Classes of characters beyond ASCII. */
const WIDE_CLASSES = 8;
/** States with whole rows. */
const MAX_ROWS = 2_048;
/** Work between two steps of building one: a millisecond or two. */
export const TEXTS_A_STEP = 1_024, STATES_A_STEP = 4_096;
const NONE = new Int32Array();

/** Which ids have been reported of the row that is looked at; those from {@linkcode Candidates.listed} on are not listed. */
export class Candidates {
  /** The first {@linkcode count} are those reported, each once, in no order. */
  readonly ids: Int32Array;
  count = 0;
  readonly #marks: Int32Array;
  #round = 0;

  constructor(size: number, readonly listed = size) {
    this.ids = new Int32Array(listed);
    this.#marks = new Int32Array(size);
  }

  clear(): void {
    this.count = 0;
    if (++this.#round === 0x7fff_ffff) {
      this.#marks.fill(0);
      this.#round = 1;
    }
  }

  has(id: number): boolean {
    return this.#marks[id] === this.#round;
  }

  add(id: number): void {
    if (this.#marks[id] === this.#round) return;
    this.#marks[id] = this.#round;
    if (id < this.listed) this.ids[this.count++] = id;
  }
}

export class LiteralAutomaton {
  /** Class of each ASCII character; 0 for those that no text has. */
  readonly #classes = new Uint8Array(128);
  /** First class of the characters beyond ASCII. */
  #wide = 1;
  #classCount = 1;
  /** States with rows come first. */
  #rowCount = 0;
  #rows = NONE;
  /** Children of a state: from its entry up to the next one's, as states. They were numbered level by level. */
  #children = NONE;
  /** Class of the character that leads into a state. */
  #labels = new Uint8Array();
  /** The state of the longest true end of a state's text. */
  #fails = NONE;
  /** First entry in the list of reports for a state and its ends, or -1. */
  #reports = NONE;
  /** By report: where its ids begin; the next report of the same text's ends, or -1. */
  #starts = NONE;
  #next = NONE;
  #ids = NONE;

  /** @param texts folded texts, none empty, each with the ids to report when it is found */
  constructor(texts: ReadonlyMap<string, readonly number[]>) {
    for (const _ of this.#make(texts));
  }

  /** Makes one in steps of {@linkcode TEXTS_A_STEP} texts or {@linkcode STATES_A_STEP} states. */
  static *building(texts: ReadonlyMap<string, readonly number[]>): Generator<void, LiteralAutomaton> {
    const automaton = new LiteralAutomaton(new Map());
    yield* automaton.#make(texts);
    return automaton;
  }

  *#make(texts: ReadonlyMap<string, readonly number[]>): Generator<void> {
    let classCount = 1, done = 0;
    for (const text of texts.keys()) {
      for (let at = 0; at < text.length; at++) {
        const code = text.charCodeAt(at);
        if (code < 128 && this.#classes[code] === 0) this.#classes[code] = classCount++;
      }
      if (++done % TEXTS_A_STEP === 0) yield;
    }
    for (let code = 65; code <= 90; code++) this.#classes[code] = this.#classes[code + 32]!;
    this.#wide = classCount;
    this.#classCount = classCount + WIDE_CLASSES;

    // Several texts may be one in classes
    const words = new Map<string, readonly number[]>();
    for (const [text, ids] of texts) {
      let word = "";
      for (let at = 0; at < text.length; at++) word += String.fromCharCode(this.#classOf(text.charCodeAt(at)));
      const known = words.get(word);
      words.set(word, known === undefined ? ids : [...new Set([...known, ...ids])]);
      if (++done % TEXTS_A_STEP === 0) yield;
    }
    const sorted = yield* sortedInSteps([...words.keys()]);
    let states = 1;
    for (let i = 0; i < sorted.length; i++) states += sorted[i]!.length - sharedStart(sorted[i]!, sorted[i - 1] ?? "");
    yield;

    const children = new Int32Array(states + 1), labels = new Uint8Array(states), fails = new Int32Array(states);
    const parents = new Int32Array(states), own = new Int32Array(states).fill(-1);
    const starts: number[] = [0], ids: number[] = [];
    // A state is the words from `from` to `to`, which share their first `depth` classes.
    const from = new Int32Array(states), to = new Int32Array(states), depth = new Uint16Array(states);
    to[0] = sorted.length;
    let made = 1, left = TEXTS_A_STEP;
    for (let state = 0; state < states; state++) {
      children[state] = made;
      const level = depth[state]!;
      let at = from[state]!;
      if (at < to[state]! && sorted[at]!.length === level && level > 0) {
        own[state] = starts.length - 1;
        for (const id of words.get(sorted[at]!)!) ids.push(id);
        starts.push(ids.length);
        at++;
      }
      // Of the root's children each may begin thousands of words
      left -= 1 + to[state]! - at;
      while (at < to[state]!) {
        const label = sorted[at]!.charCodeAt(level);
        let end = at + 1;
        while (end < to[state]! && sorted[end]!.charCodeAt(level) === label) end++;
        from[made] = at;
        to[made] = end;
        depth[made] = level + 1;
        labels[made] = label;
        parents[made] = state;
        made++;
        at = end;
      }
      if (left > 0) continue;
      left = STATES_A_STEP;
      yield;
    }
    children[states] = made;
    this.#children = children;
    this.#labels = labels;
    this.#fails = fails;
    this.#rowCount = Math.min(states, MAX_ROWS);
    this.#rows = new Int32Array(this.#rowCount * this.#classCount);
    this.#starts = Int32Array.from(starts);
    this.#ids = Int32Array.from(ids);
    this.#next = new Int32Array(starts.length).fill(-1);
    this.#reports = own;
    yield;
    // Level by level, so that whatever a state falls back to is done before it.
    for (let state = 0; state < states; state++) {
      if (state > 0) {
        const parent = parents[state]!;
        if (parent > 0) fails[state] = this.#step(fails[parent]!, labels[state]!);
        const behind = this.#reports[fails[state]!]!;
        if (own[state]! < 0) this.#reports[state] = behind;
        else this.#next[own[state]!] = behind;
      }
      if (state < this.#rowCount) this.#fillRow(state);
      if (state % STATES_A_STEP === STATES_A_STEP - 1) yield;
    }
  }

  /** Bytes of its tables. */
  get bytes(): number {
    const tables = [
      this.#classes,
      this.#rows,
      this.#children,
      this.#labels,
      this.#fails,
      this.#reports,
      this.#starts,
      this.#next,
      this.#ids,
    ];
    return tables.reduce((sum, table) => sum + table.byteLength, 0);
  }

  /** Adds the ids of every text that a text may contain. */
  scan(text: string, found: Candidates): void {
    const classes = this.#classes, rows = this.#rows, reports = this.#reports;
    const classCount = this.#classCount, rowCount = this.#rowCount;
    let state = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      const label = code < 128 ? classes[code]! : this.#classOf(code);
      state = state < rowCount ? rows[state * classCount + label]! : this.#step(state, label);
      const report = reports[state]!;
      if (report >= 0) this.#report(report, found);
    }
  }

  #report(report: number, found: Candidates): void {
    for (let at = report; at >= 0; at = this.#next[at]!) {
      const end = this.#starts[at + 1]!;
      for (let i = this.#starts[at]!; i < end; i++) found.add(this.#ids[i]!);
    }
  }

  #classOf(code: number): number {
    if (code < 128) return this.#classes[code]!;
    if (code > 0xfffd) code = 0xfffd; // as LIKE reads them
    return this.#wide + (code ^ (code >> 5)) % WIDE_CLASSES;
  }

  /** The state after one more character. */
  #step(state: number, label: number): number {
    const children = this.#children, labels = this.#labels;
    for (let at = state;; at = this.#fails[at]!) {
      if (at < this.#rowCount) return this.#rows[at * this.#classCount + label]!;
      const end = children[at + 1]!;
      for (let child = children[at]!; child < end; child++) if (labels[child] === label) return child;
    }
  }

  #fillRow(state: number): void {
    const row = state * this.#classCount;
    if (state > 0) {
      const behind = this.#fails[state]! * this.#classCount;
      this.#rows.copyWithin(row, behind, behind + this.#classCount);
    }
    for (let child = this.#children[state]!; child < this.#children[state + 1]!; child++) {
      this.#rows[row + this.#labels[child]!] = child;
    }
  }
}

/** Sorts in place, by code units. Runs that are short enough to be sorted at once are merged, some at a time. */
function* sortedInSteps(texts: string[]): Generator<void, readonly string[]> {
  for (let at = 0; at < texts.length; at += TEXTS_A_STEP) {
    const run = texts.slice(at, at + TEXTS_A_STEP).sort();
    for (let i = 0; i < run.length; i++) texts[at + i] = run[i]!;
    yield;
  }
  let from = texts, to = new Array<string>(texts.length);
  for (let width = TEXTS_A_STEP; width < texts.length; width *= 2) {
    for (let begin = 0; begin < texts.length; begin += 2 * width) {
      const middle = Math.min(begin + width, texts.length), end = Math.min(begin + 2 * width, texts.length);
      let left = begin, right = middle;
      for (let at = begin; at < end; at++) {
        const takesLeft = left < middle && (right >= end || from[left]! <= from[right]!);
        to[at] = takesLeft ? from[left++]! : from[right++]!;
        if (at % STATES_A_STEP === STATES_A_STEP - 1) yield;
      }
    }
    [from, to] = [to, from];
  }
  return from;
}

function sharedStart(a: string, b: string): number {
  let at = 0;
  while (at < a.length && at < b.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}
