/**
 * Texts in the bytes of a file, and which of them are worth showing first: pure, one pass, bounded.
 *
 * Runs of printable ASCII, and of the same as UTF-16 of either half. Only those that say where a program goes or what it
 * touches are kept: addresses of the web and of hosts, paths that matter, commands, keys and wallets. What is kept is
 * bounded, and how much there was beside it is counted.
 *
 * @module
 */
import { allSteps } from "../../proto/steps.ts";

/** Shortest text, and the part of a longer one that is kept. */
const MIN_LENGTH = 6, MAX_LENGTH = 256;
/** Texts that are kept, the best ones, and how many are sorted at a time. */
export const MAX_STRINGS = 64;
const KEPT = 1_024;
/** Without one of these a shorter text than this is of no kind: most texts of a program are not looked at further. */
const SLASH = 0x2f, DOT = 0x2e, AT = 0x40, LONG = 18;
/** Bytes between two steps. */
const STEP_BYTES = 1 << 18;

const STRING_KINDS = ["url", "onion", "address", "email", "command", "path", "secret", "wallet"] as const;
export type StringKind = (typeof STRING_KINDS)[number];

export interface FoundString {
  readonly kind: StringKind;
  readonly text: string;
  /** Byte of the file. */
  readonly offset: number;
}

export interface FoundStrings {
  /** The most interesting first. */
  readonly strings: readonly FoundString[];
  /** Texts of any kind. */
  readonly total: number;
  /** Interesting ones that found no room. */
  readonly omitted: number;
}

/** Patterns without nested repetition: each costs time linear in a text of at most {@linkcode MAX_LENGTH}. */
const KINDS: readonly (readonly [StringKind, number, RegExp])[] = [
  ["onion", 100, /\b[a-z2-7]{16}(?:[a-z2-7]{40})?\.onion\b/],
  ["wallet", 95, /\b(?:4[0-9AB][1-9A-HJ-NP-Za-km-z]{93}|bc1[a-z0-9]{38,58}|stratum\+(?:tcp|ssl):)/],
  ["url", 90, /\b(?:https?|ftp|wss?|tcp|udp|ssh|ldap|socks5):\/\/[A-Za-z0-9._\-[]/],
  ["secret", 85, /-----BEGIN [A-Z ]{0,24}PRIVATE KEY|AKIA[0-9A-Z]{16}|ssh-(?:rsa|ed25519) AAAA/],
  [
    "command",
    80,
    /\/bin\/(?:ba|da|z|k)?sh\b.{0,8}-[ci]|\/dev\/(?:tcp|udp)\/|\b(?:curl|wget|nc|ncat|socat|chattr|crontab|iptables|insmod|systemctl|base64 -d)\s/,
  ],
  [
    "address",
    70,
    /(?:^|[^0-9.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?(?![0-9.])/,
  ],
  [
    "path",
    60,
    /\/(?:etc\/(?:shadow|passwd|ld\.so\.preload|cron|sudoers|ssh|pam\.d|systemd)|root\/|home\/|tmp\/|dev\/shm\/|var\/tmp\/|proc\/|sys\/kernel\/)[\w.\/-]{0,64}|\.ssh\/|authorized_keys|\.bash_history/,
  ],
  ["email", 40, /\b[A-Za-z0-9._-]{2,40}@[A-Za-z0-9-]{2,40}\.[a-z]{2,8}\b/],
];
const RANK = new Map(KINDS.map(([kind, rank]) => [kind, rank]));

/** The texts of a file. */
export function findStrings(bytes: Uint8Array): FoundStrings {
  return allSteps(findingStrings(bytes));
}

/** The same in steps. */
export function* findingStrings(bytes: Uint8Array): Generator<void, FoundStrings> {
  const kept = new Keeper();
  yield* collect(bytes, 1, 0, kept);
  for (const half of [0, 1]) yield* collect(bytes, 2, half, kept);
  return kept.result();
}

/** Runs of printable bytes `step` apart; with a step of 2, those between must be zero. */
function* collect(bytes: Uint8Array, step: 1 | 2, from: number, kept: Keeper): Generator<void> {
  const end = step === 1 ? bytes.length : bytes.length - 1, run: TextRun = { start: 0, length: 0, isTelling: false };
  for (let at = from; at < end; at += STEP_BYTES) {
    scan(bytes, step, at, Math.min(end, at + STEP_BYTES), run, kept);
    yield;
  }
  if (run.length >= MIN_LENGTH) kept.add(bytes, run.start, run.length, step, run.isTelling || run.length >= LONG);
}

/** A run that goes on with the next block. */
interface TextRun {
  start: number;
  length: number;
  isTelling: boolean;
}

/** One block; a loop of its own, which the engine makes machine code of. */
function scan(bytes: Uint8Array, step: 1 | 2, from: number, to: number, run: TextRun, kept: Keeper): void {
  let { start, length, isTelling } = run;
  for (let at = from; at < to; at += step) {
    const byte = bytes[at]!;
    if (byte >= 0x20 && byte < 0x7f && (step === 1 || bytes[at + 1] === 0)) {
      if (length++ === 0) start = at;
      if (byte === SLASH || byte === DOT || byte === AT) isTelling = true;
    } else if (length > 0) {
      if (length >= MIN_LENGTH) kept.add(bytes, start, length, step, isTelling || length >= LONG);
      length = 0;
      isTelling = false;
    }
  }
  run.start = start;
  run.length = length;
  run.isTelling = isTelling;
}

const decoder = new TextDecoder();

class Keeper {
  #kept: FoundString[] = [];
  readonly #seen = new Set<string>();
  #total = 0;
  #omitted = 0;

  /** A long run is looked at in pieces that overlap by nothing: it is text of a document, not of a program. */
  add(bytes: Uint8Array, start: number, length: number, step: number, mayTell: boolean): void {
    this.#total++;
    if (!mayTell) return;
    for (let done = 0; done < length; done += MAX_LENGTH) {
      const count = Math.min(MAX_LENGTH, length - done), at = start + done * step;
      if (count < MIN_LENGTH) return;
      let text = "";
      if (step === 1) text = decoder.decode(bytes.subarray(at, at + count));
      else for (let i = 0; i < count; i++) text += String.fromCharCode(bytes[at + i * 2]!);
      const kind = kindOf(text);
      if (kind === null || this.#seen.has(text)) continue;
      if (this.#kept.length >= KEPT) this.#cut(KEPT / 2);
      this.#seen.add(text);
      this.#kept.push({ kind, text, offset: at });
    }
  }

  result(): FoundStrings {
    this.#cut(MAX_STRINGS);
    return { strings: this.#kept, total: this.#total, omitted: this.#omitted };
  }

  /** Keeps the best: by kind, then as they stand in the file. */
  #cut(most: number): void {
    this.#kept.sort((a, b) => RANK.get(b.kind)! - RANK.get(a.kind)! || a.offset - b.offset);
    for (const { text } of this.#kept.slice(most)) this.#seen.delete(text);
    this.#omitted += Math.max(0, this.#kept.length - most);
    this.#kept = this.#kept.slice(0, most);
  }
}

function kindOf(text: string): StringKind | null {
  for (const [kind, , pattern] of KINDS) if (pattern.test(text)) return kind;
  return null;
}
