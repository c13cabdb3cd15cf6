/**
 * Keys out of the bytes that a terminal sends.
 *
 * A text that is pasted comes as many keys at once; where the terminal says that it is pasted (bracketed paste), its tabs
 * are text and complete nothing, its line ends are Enter, and no other control in it is a key. Bytes that are no UTF-8 and sequences that nobody knows are no key;
 * a sequence that is cut at the end of what was read is waited for, but never longer than {@linkcode MAX_SEQUENCE}.
 *
 * @module
 */

export type Key =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "named"; readonly name: KeyName };

export type KeyName =
  | "enter"
  | "tab"
  | "backspace"
  | "delete"
  | "left"
  | "right"
  | "up"
  | "down"
  | "home"
  | "end"
  | "pageup"
  | "pagedown"
  | "wordleft"
  | "wordright"
  | "escape"
  | `ctrl-${string}`;

/** Longest sequence that is waited for. */
const MAX_SEQUENCE = 32;

const SEQUENCES: ReadonlyMap<string, KeyName> = new Map<string, KeyName>([
  ...(["up", "down", "right", "left"] as const).flatMap((name, i): [string, KeyName][] => {
    const letter = "ABCD"[i]!;
    return [[`[${letter}`, name], [`O${letter}`, name]];
  }),
  ["[H", "home"],
  ["OH", "home"],
  ["[1~", "home"],
  ["[7~", "home"],
  ["[F", "end"],
  ["OF", "end"],
  ["[4~", "end"],
  ["[8~", "end"],
  ["[3~", "delete"],
  ["[5~", "pageup"],
  ["[6~", "pagedown"],
  ["[1;5C", "wordright"],
  ["[1;3C", "wordright"],
  ["[1;5D", "wordleft"],
  ["[1;3D", "wordleft"],
  ["f", "wordright"],
  ["b", "wordleft"],
]);

/** Ask a terminal to mark what is pasted, and not to. */
export const PASTE_MARKS_ON = "\x1b[?2004h", PASTE_MARKS_OFF = "\x1b[?2004l";
const PASTE_BEGINS = "[200~", PASTE_ENDS = "[201~";

export class KeyDecoder {
  readonly #decoder = new TextDecoder();
  #pending = "";
  #isPasted = false;

  /** The keys of further bytes. */
  push(bytes: Uint8Array): Key[] {
    const text = this.#pending + this.#decoder.decode(bytes, { stream: true });
    this.#pending = "";
    const keys: Key[] = [];
    let plain = "";
    const flush = (): void => {
      if (plain !== "") keys.push({ kind: "text", text: plain });
      plain = "";
    };
    const named = (name: KeyName): void => {
      flush();
      keys.push({ kind: "named", name });
    };
    for (let at = 0; at < text.length;) {
      const c = text[at]!, code = text.codePointAt(at)!;
      if (c === "\x1b") {
        const rest = text.slice(at + 1, at + 1 + MAX_SEQUENCE);
        if (this.#isPasted) {
          if (PASTE_ENDS.startsWith(rest) && rest !== PASTE_ENDS) {
            this.#pending = text.slice(at);
            break;
          }
          this.#isPasted = !rest.startsWith(PASTE_ENDS);
          at += this.#isPasted ? 1 : 1 + PASTE_ENDS.length;
          continue;
        }
        // Alone at the end it is the key itself: a terminal sends a sequence in one piece
        if (rest === "") {
          named("escape");
          break;
        }
        // deno-lint-ignore no-control-regex
        const sequence = /^(?:\[[0-9;?<=>]*[ -/]*[@-~]|O[ -~]|[^[O\x1b])/.exec(rest)?.[0];
        if (sequence === undefined) {
          if (rest.length < MAX_SEQUENCE && /^[[O]/.test(rest)) {
            this.#pending = text.slice(at);
            break;
          }
          named("escape");
          at += 1;
          continue;
        }
        const name = SEQUENCES.get(sequence);
        if (name !== undefined) named(name);
        this.#isPasted = sequence === PASTE_BEGINS;
        at += 1 + sequence.length;
        continue;
      }
      at += code > 0xffff ? 2 : 1;
      if (c === "\r" || c === "\n") named("enter");
      else if (this.#isPasted && c === "\t") plain += c;
      else if (this.#isPasted && (code < 0x20 || code === 0x7f)) continue;
      else if (c === "\t") named("tab");
      else if (c === "\x7f" || c === "\b") named("backspace");
      else if (code < 0x20) named(`ctrl-${String.fromCharCode(code + 0x60)}`);
      else if (code !== 0xfffd && !/\p{C}/u.test(String.fromCodePoint(code))) plain += String.fromCodePoint(code);
    }
    flush();
    return keys;
  }
}
