/**
 * The rules of an agent's status as bytes, written once a second.
 *
 * Of thousands of rules nothing changes from one second to the next but what each has counted. So each rule's bytes are
 * kept, its counts at their end, each of fixed width, and only these are written anew.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { fromU53 } from "./cold_codec.ts";
import { RuleStatusSchema } from "./gen/ipc_pb.ts";
import type { RuleStatus } from "./status.ts";

/** Tag bytes of `ipc.proto`: `AgentStatus.rules`, and of `RuleStatus` its counts. */
const RULES = 0x12;
const HITS = 0x49, EVALUATIONS = 0x59, MATCHES = 0x61, CPU_MS = 0x69, ROWS = 0x71;
const COUNTS = [HITS, EVALUATIONS, MATCHES, CPU_MS, ROWS] as const;
/** A tag and eight bytes each; behind them `suppressed`, whose tag takes two bytes. */
const SUPPRESSED = [0x89, 0x01] as const, SUPPRESSED_AT = COUNTS.length * 9;
const COUNTS_BYTES = SUPPRESSED_AT + SUPPRESSED.length + 8;

/** What a rule's bytes were made of, but for its counts. */
interface Kept {
  readonly rule: RuleStatus;
  /** The whole field, tag and length included. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export class RuleStatusBytes {
  #kept: Kept[] = [];
  /** What the bytes are of. */
  #rules: readonly RuleStatus[] | null = null;
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array();

  /**
   * The field `rules` of an `AgentStatus`; valid until the next call. The list that was given last is not looked at again.
   *
   * @throws WireError for a count that is none
   */
  of(rules: readonly RuleStatus[]): Uint8Array<ArrayBuffer> {
    if (rules === this.#rules) return this.#bytes;
    this.#rules = null;
    let length = 0, isSameLayout = rules.length === this.#kept.length;
    this.#kept.length = rules.length;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      let kept = this.#kept[i];
      if (kept === undefined || !saysTheSame(kept.rule, rule)) {
        kept = this.#kept[i] = keep(rule);
        isSameLayout = false;
      }
      putCounts(kept, rule);
      length += kept.bytes.length;
    }
    if (!isSameLayout || this.#bytes.length !== length) this.#bytes = new Uint8Array(length);
    let at = 0;
    for (const { bytes } of this.#kept) {
      this.#bytes.set(bytes, at);
      at += bytes.length;
    }
    this.#rules = rules;
    return this.#bytes;
  }
}

function saysTheSame(a: RuleStatus, b: RuleStatus): boolean {
  return a.id === b.id && a.title === b.title && a.severity === b.severity && a.file === b.file &&
    a.state === b.state && a.line === b.line && a.column === b.column && a.reason === b.reason && a.lane === b.lane &&
    a.hash === b.hash && a.degraded.length === b.degraded.length &&
    a.degraded.every((text, i) => text === b.degraded[i]);
}

function keep(rule: RuleStatus): Kept {
  const { id, title, severity, file, state, line, column, reason, lane, hash, degraded } = rule;
  const texts = toBinary(
    RuleStatusSchema,
    create(RuleStatusSchema, {
      ...{ id, title, severity, file, state, degraded: [...degraded] },
      line: line ?? undefined,
      column: column ?? undefined,
      reason: reason ?? undefined,
      lane: lane ?? undefined,
      hash: hash ?? undefined,
    }),
  );
  const head = [RULES, ...varint(texts.length + COUNTS_BYTES)];
  const bytes = new Uint8Array(head.length + texts.length + COUNTS_BYTES);
  bytes.set(head);
  bytes.set(texts, head.length);
  const counts = bytes.length - COUNTS_BYTES;
  COUNTS.forEach((tag, i) => bytes[counts + i * 9] = tag);
  bytes.set(SUPPRESSED, counts + SUPPRESSED_AT);
  return { rule, bytes, view: new DataView(bytes.buffer, counts) };
}

function putCounts({ view }: Kept, { hits, evaluations, matches, cpuMs, rows, suppressed }: RuleStatus): void {
  putU53(view, 1, hits, "hits");
  putU53(view, 10, evaluations, "evaluations");
  putU53(view, 19, matches, "matches");
  view.setFloat64(28, cpuMs, true);
  putU53(view, 37, rows, "rows");
  putU53(view, SUPPRESSED_AT + SUPPRESSED.length, suppressed, "suppressed");
}

function putU53(view: DataView, at: number, value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) fromU53(value, what); // which says what is wrong
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, value / 2 ** 32, true);
}

/** https://protobuf.dev/programming-guides/encoding/#varints */
function varint(value: number): number[] {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push(value & 0x7f | 0x80);
  return [...bytes, value];
}
