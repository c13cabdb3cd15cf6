/**
 * What operators say of alerts: seen, over, or not over after all; each with who said it and what.
 *
 * @module
 */
import type { AlertStatus } from "../store/alert_tables.ts";
import type { Store } from "../store/store.ts";
import type { AlertManager } from "./manager.ts";

/** Longest text that may be said to an alert, and longest name of who says it. */
const MAX_TEXT = 2_048, MAX_ACTOR = 256;

/** What is asked cannot be done with this alert; the text says why. */
export class AlertStateError extends Error {
  override name = "AlertStateError";
}

const STEPS = {
  acknowledged: { to: "acknowledged", from: ["open"] },
  closed: { to: "closed", from: ["open", "acknowledged"] },
  reopened: { to: "open", from: ["acknowledged", "closed"] },
} as const satisfies Record<string, { to: AlertStatus; from: readonly AlertStatus[] }>;

/** Somebody has seen it and looks after it; repeats are counted as before. @throws AlertStateError, StoreError */
export function acknowledge(store: Store, alertId: string, actor: string, text: string, now: number): void {
  change(store, "acknowledged", alertId, actor, text, now);
}

/** It is over: should the same come again, that is a new alert. @throws AlertStateError, StoreError */
export function close(
  store: Store,
  manager: Pick<AlertManager, "forget">,
  alertId: string,
  actor: string,
  text: string,
  now: number,
): void {
  change(store, "closed", alertId, actor, text, now);
  manager.forget(alertId);
}

/** It is open again. @throws AlertStateError, StoreError */
export function reopen(store: Store, alertId: string, actor: string, text: string, now: number): void {
  change(store, "reopened", alertId, actor, text, now);
}

function change(
  store: Store,
  action: keyof typeof STEPS,
  alertId: string,
  actor: string,
  text: string,
  now: number,
): void {
  if (text.length > MAX_TEXT) throw new AlertStateError(`Say it in at most ${MAX_TEXT} characters`);
  if (actor === "" || actor.length > MAX_ACTOR) throw new AlertStateError("Who says so must be named");
  const { to, from } = STEPS[action];
  const refusal = store.alerting("The store did not take what was said to an alert", (tables) => {
    const status = tables.status(alertId);
    if (status === null) {
      return `There is no alert ${alertId}; alerts show says the id of one, by the number of its event`;
    }
    if (!(from as readonly AlertStatus[]).includes(status)) {
      return `The alert ${alertId} is ${status} already, and cannot be ${action}`;
    }
    tables.setStatus(alertId, to, action, actor, text, now);
    return null;
  }, now);
  if (refusal !== null) throw new AlertStateError(refusal);
}
