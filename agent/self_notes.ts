/**
 * What the agent says of itself in the audit ledger: its end, and the rules that it judges by.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { LoadedRules } from "./rules_loader.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";

/** Under this name the store keeps what was said last: 48 bits of a digest. */
const SAID = "ledgered_rules";
/** Ids that a note lists. */
const MAX_LISTED = 100;

/** Says which rules there are, when that is not what was said last. @throws StoreError */
export function noteRules(store: Store, rules: LoadedRules, paused: readonly string[]): void {
  const lines = rules.active.map(({ id, hash, status, severity }) => `${id} ${hash} ${status} ${severity}\n`).sort();
  const digest = createHash("sha256").update(lines.join("")).digest("hex");
  const rejected = rules.others.filter(({ state }) => state === "rejected").length;
  const value = {
    digest,
    active: rules.active.filter(({ status }) => status === "active").length,
    drafts: rules.active.filter(({ status }) => status === "draft").length,
    rejected,
    disabled: rules.others.length - rejected,
    paused: paused.slice(0, MAX_LISTED),
  };
  const mark = parseInt(createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12), 16);
  if (store.number(SAID) === mark) return;
  store.note({ action: "rulesChanged", value }, Date.now());
  store.setNumber(SAID, mark);
}

/** Says that the agent ends; a store that does not take it any more has worse to tell. */
export function noteStop(store: Store | null): void {
  const time = Date.now();
  try {
    const value = { tier: "agent", pid: Deno.pid, time, why: "it was told to stop" };
    store?.note({ action: "tierStopped", value }, time);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
}
