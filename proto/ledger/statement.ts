/**
 * What the entries of a ledger say: the payloads that daemons write, as canonical JSON that anybody can read.
 *
 * `docs/ledger.md` has the table. A payload comes from a file, and some from an agent that the collector does not
 * trust: {@linkcode decodeStatement} takes what has the members of its action and nothing else of interest; it throws
 * {@linkcode WireError} for the rest.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { canonicalJson } from "./canonical_json.ts";
import type { Action } from "./entry.ts";
import type { SequenceDigest } from "./event_digest.ts";
import { DIGEST_BYTES } from "./digest_bytes.ts";
import { MAX_PAYLOAD_BYTES } from "./payload.ts";

/** By action; members whose value is not known are `null`. Times are Unix milliseconds, hashes hexadecimal. */
export interface Statements {
  readonly tierStarted: {
    readonly tier: string;
    readonly version: string;
    readonly pid: number;
    /** Of the collector: the rung of its source ladder. */
    readonly source: string | null;
    readonly time: number;
  };
  readonly tierStopped: {
    readonly tier: string;
    readonly pid: number;
    readonly time: number;
    readonly why: string;
  };
  readonly confined: {
    readonly tier: string;
    /** What was proven of every thread, in words. */
    readonly proof: string;
    /** Capabilities that are kept, in words; empty when none is. */
    readonly retained: string;
  };
  readonly configurationChanged: {
    /** SHA-256 over the canonical JSON of all settings. */
    readonly digest: string;
    /** Names of the settings that differ from the last start; `null` when that is not known. */
    readonly changed: readonly string[] | null;
    /** Settings that are not at their defaults, cut where they are long. */
    readonly settings: Readonly<Record<string, string>>;
  };
  readonly rulesChanged: {
    /**
     * SHA-256 over a line `ID HASH STATUS SEVERITY` for each rule that is judged, by id. HASH is the SHA-256 of its file,
     * the others what overrides left of what that says. Then a line `exception ID HASH` for each exception, HASH being
     * the SHA-256 of what it says.
     */
    readonly digest: string;
    readonly active: number;
    /** Judged, and raising no alert. */
    readonly drafts: number;
    readonly rejected: number;
    readonly disabled: number;
    /** Ids of active rules that are taken out for a while. */
    readonly paused: readonly string[];
  };
  readonly demandChanged: {
    /** Attributes that rules ask for, those that are collected and those that are not. */
    readonly given: readonly string[];
    readonly refused: readonly string[];
    /** What was collected since the entry before and no longer is. */
    readonly passing: readonly string[];
    /** How often it has changed since the entry before. */
    readonly changes: number;
    readonly time: number;
  };
  readonly gap: {
    readonly epoch: string;
    readonly sequence: number;
    readonly source: string;
    readonly kind: string;
    readonly from: number;
    readonly to: number;
    readonly count: number | null;
    readonly reason: string;
  };
  readonly suppressed: { readonly what: string; readonly count: number; readonly from: number; readonly to: number };
  readonly alert: { readonly alerts: readonly AlertDigest[] };
  readonly exported: {
    readonly what: string;
    readonly name: string;
    readonly time: number;
    /** Who made it: the owner of the file. */
    readonly userId: number | null;
  };
  readonly request: {
    readonly what: string;
    /** Who asked; `null` where the way of asking does not tell, as a signal does not. */
    readonly by: string | null;
    readonly time: number;
    /** What came of it: `accepted` before it is done, then `done`, or `refused: ` or `failed: ` and why. */
    readonly outcome: string | null;
  };
  readonly response: {
    /** The action, with what was asked of it. */
    readonly what: string;
    /** Boot, pid and start time of the process. */
    readonly process: string;
    /** Who asked, as the agent claims. */
    readonly by: string;
    /** The rule that it answers; empty for none. */
    readonly rule: string;
    readonly reason: string;
    /** `asked` before it is done; then `done`, `dry_run`, `refused` or `failed`; of a trace also `ended: …`. */
    readonly outcome: string;
    readonly detail: string;
    /** The file or directory that came of it; empty for none. */
    readonly place: string;
    readonly time: number;
  };
  readonly events: SequenceDigest & { readonly epoch: string };
}

export interface AlertDigest {
  /** `RULE@COLLECTOR:EPOCH:SEQUENCE`. */
  readonly id: string;
  /** SHA-256 of the rule's file. */
  readonly rule: string;
  /** SHA-256 of the alert without its ledger head, as canonical JSON. */
  readonly hash: string;
}

/** Actions whose payload is a statement. */
export type StatedAction = keyof Statements;

/** A statement, and from whom: `note` is the number that the agent gave it, `null` for the collector's own. */
export type Statement = {
  readonly [A in StatedAction]: { readonly action: A; readonly value: Statements[A]; readonly note: number | null };
}[StatedAction];

/** Alerts of one entry: more are told by several. */
export const MAX_ALERTS = 40;
/** Longest text of a member. */
const MAX_TEXT = 1_024;
const MAX_LIST = 512;

/** The payload that says `value`. @throws WireError when it is too long, or not of its action's shape. */
export function encodeStatement<A extends StatedAction>(
  action: A,
  value: Statements[A],
  note: number | null = null,
): Uint8Array<ArrayBuffer> {
  const written = { ...action === "events" ? writtenDigest(value as Statements["events"]) : value };
  const text = canonicalJson(note === null ? written : { ...written, note });
  const bytes = encoder.encode(text);
  if (bytes.length > MAX_PAYLOAD_BYTES) throw new WireError(`What ${action} says takes ${bytes.length} bytes`);
  decodeStatement(action, bytes);
  return bytes;
}

/** Whether payloads of this action are statements. */
export function isStated(action: Action): action is StatedAction {
  return Object.hasOwn(SHAPES, action);
}

/**
 * What a payload says.
 *
 * @throws WireError
 *
 * @example
 * ```ts
 * import { decodeStatement, encodeStatement } from "./statement.ts";
 * import assert from "node:assert/strict";
 * const payload = encodeStatement("tierStopped", { tier: "agent", pid: 7, time: 1, why: "it was told to" });
 * assert.equal(new TextDecoder().decode(payload), '{"pid":7,"tier":"agent","time":1,"why":"it was told to"}');
 * assert.equal(decodeStatement("tierStopped", payload).value.pid, 7);
 * ```
 */
export function decodeStatement<A extends StatedAction>(
  action: A,
  payload: Uint8Array,
): Extract<Statement, { action: A }> {
  let json: unknown, text: string;
  try {
    text = decoder.decode(payload);
    json = JSON.parse(text);
  } catch (cause) {
    throw new WireError(`What ${action} says is not JSON in UTF-8`, { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong(action, "it");
  if (canonicalText(json) !== text) throw new WireError(`What ${action} says is not canonical JSON`);
  const members = json as Record<string, unknown>, value: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries<Shape>(SHAPES[action] as Record<string, Shape>)) {
    const member = Object.hasOwn(members, name) ? members[name] : shape.startsWith("new ") ? null : undefined;
    if (!SHAPE[shape](member)) throw wrong(action, name);
    value[name] = member;
  }
  const note = Object.hasOwn(members, "note") ? members["note"] : null;
  if (note !== null && !isCount(note)) throw wrong(action, "note");
  const made = action === "events" ? readDigest(value) : value;
  return { action, value: made, note } as unknown as Extract<Statement, { action: A }>;
}

/** As a writer makes it; `null` for what no writer makes: numbers beyond all bounds, lists in lists in lists. */
function canonicalText(json: unknown): string | null {
  try {
    return canonicalJson(json);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true });

type Shape = keyof typeof SHAPE;

const SHAPE = {
  text: isText,
  "text?": (value: unknown) => value === null || isText(value),
  long: (value: unknown) => typeof value === "string" && value.length <= MAX_PAYLOAD_BYTES,
  count: isCount,
  "count?": (value: unknown) => value === null || isCount(value),
  /** Which entries of earlier versions do not have. */
  "new count?": (value: unknown) => value === null || isCount(value),
  "new text?": (value: unknown) => value === null || isText(value),
  hash: isHash,
  root: (value: unknown) => value === null || typeof value === "string" && /^[A-Za-z0-9+/]{43}=$/.test(value),
  texts: isTexts,
  "texts?": (value: unknown) => value === null || isTexts(value),
  settings: (value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isText),
  alerts: (value: unknown) => Array.isArray(value) && value.length <= MAX_ALERTS && value.every(isAlert),
} satisfies Record<string, (value: unknown) => boolean>;

const SHAPES: { readonly [A in StatedAction]: { readonly [Name in keyof Statements[A]]: Shape } } = {
  tierStarted: { tier: "text", version: "text", pid: "count", source: "text?", time: "count" },
  tierStopped: { tier: "text", pid: "count", time: "count", why: "text" },
  confined: { tier: "text", proof: "text", retained: "text" },
  configurationChanged: { digest: "hash", changed: "texts?", settings: "settings" },
  rulesChanged: {
    digest: "hash",
    active: "count",
    drafts: "count",
    rejected: "count",
    disabled: "count",
    paused: "texts",
  },
  demandChanged: { given: "texts", refused: "texts", passing: "texts", changes: "count", time: "count" },
  gap: {
    epoch: "text",
    sequence: "count",
    source: "text",
    kind: "text",
    from: "count",
    to: "count",
    count: "count?",
    reason: "long",
  },
  suppressed: { what: "text", count: "count", from: "count", to: "count" },
  alert: { alerts: "alerts" },
  exported: { what: "text", name: "text", time: "count", userId: "new count?" },
  request: { what: "text", by: "text?", time: "count", outcome: "new text?" },
  response: {
    what: "text",
    process: "text",
    by: "text",
    rule: "text",
    reason: "text",
    outcome: "text",
    detail: "text",
    place: "text",
    time: "count",
  },
  events: {
    epoch: "text",
    first: "count",
    last: "count",
    events: "count",
    root: "root",
    others: "count",
    othersRoot: "root",
  },
};

function isText(value: unknown): boolean {
  return typeof value === "string" && value.length <= MAX_TEXT;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MAX_LIST && value.every(isText);
}

function isAlert(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { id, rule, hash } = value as Record<string, unknown>;
  return isText(id) && isHash(rule) && isHash(hash);
}

function wrong(action: string, member: string): WireError {
  return new WireError(`What ${action} says is not of its form: ${member}`);
}

function writtenDigest({ root, othersRoot, ...counts }: Statements["events"]): Record<string, unknown> {
  return { ...counts, root: root?.toBase64() ?? null, othersRoot: othersRoot?.toBase64() ?? null };
}

function base64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch (cause) {
    throw new WireError("A root is not base64", { cause });
  }
}

function readDigest(value: Record<string, unknown>): Statements["events"] {
  const root = (text: unknown): Uint8Array | null => {
    if (text === null) return null;
    const bytes = base64(text as string);
    if (bytes.length !== DIGEST_BYTES) throw wrong("events", "root");
    return bytes;
  };
  const { first, last } = value as unknown as SequenceDigest;
  if (first < 1 || last < first) throw wrong("events", "last");
  return {
    ...value,
    root: root(value["root"]),
    othersRoot: root(value["othersRoot"]),
  } as unknown as Statements["events"];
}
