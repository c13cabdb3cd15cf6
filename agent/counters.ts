/**
 * What the agent counts of itself, by the names under which its status shows it.
 *
 * @module
 */

/** All since start, except `alerts_undelivered`, which is how many are owed now. */
export interface Counters {
  /** Events stored. */
  events: number;
  /** Messages and events that came again after they were stored, and were dropped by their number. */
  duplicates: number;
  /** Gaps stored, reported ones and those that this side found. */
  gaps: number;
  snapshots: number;
  alerts: number;
  alerts_undelivered: number;
  /** Failed attempts to write alerts to a sink. */
  sink_faults: number;
  /** Times that a rule could not judge a batch. */
  rule_faults: number;
  /** Events that rules over windows could not use: later than the window is long, or ahead of this host's clock. */
  window_late: number;
  window_ahead: number;
  /** Findings of rules over windows that were raised before. */
  window_suppressed: number;
  /** Batches that the store did not take; they come again. */
  store_faults: number;
  /** Connections admitted. */
  connections: number;
  /** Connections turned away: no room, wrong token, wrong protocol. */
  connections_refused: number;
  /** Admitted connections that ended in a fault of the peer. */
  connections_failed: number;
}

export function newCounters(): Counters {
  return {
    events: 0,
    duplicates: 0,
    gaps: 0,
    snapshots: 0,
    alerts: 0,
    alerts_undelivered: 0,
    sink_faults: 0,
    rule_faults: 0,
    window_late: 0,
    window_ahead: 0,
    window_suppressed: 0,
    store_faults: 0,
    connections: 0,
    connections_refused: 0,
    connections_failed: 0,
  };
}
