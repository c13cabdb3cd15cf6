/**
 * What the agent counts of itself, by the names under which its status shows it.
 *
 * @module
 */

/** All since start, except `alerts_undelivered`, which is how many are owed now. */
export interface Counters {
  /** Events stored. */
  events: number;
  /** Rows of collectors' tables that were stored, and such that were no rows of their table. */
  rows: number;
  rows_refused: number;
  /** Messages and events that came again after they were stored, and were dropped by their number. */
  duplicates: number;
  /** Gaps stored, reported ones and those that this side found. */
  gaps: number;
  snapshots: number;
  alerts: number;
  /** Hits that were the same as that of an alert, hits past a limit, and alerts that were kept from the sinks. */
  alerts_repeated: number;
  alerts_limited: number;
  alerts_muted: number;
  /** Summaries of those. */
  alert_summaries: number;
  /** What rules asked to be done to processes; of that what was refused, what failed, and what was too much to ask for. */
  rule_responses: number;
  rule_responses_refused: number;
  rule_responses_failed: number;
  rule_responses_dropped: number;
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
  /** Hits that exceptions and filters kept from being alerts; of rules over windows, events. */
  hits_excepted: number;
  /** Batches that the store did not take; they come again. */
  store_faults: number;
  /** Connections admitted. */
  connections: number;
  /** Connections turned away: no room, wrong token, wrong protocol. */
  connections_refused: number;
  /** Admitted connections that ended in a fault of the peer. */
  connections_failed: number;
  /** Requests of operators that were taken, and of those the ones that were refused or failed. */
  requests: number;
  requests_refused: number;
  requests_failed: number;
  /** Files in the request spool that were none, and such that somebody left there. */
  request_files_refused: number;
  request_files_expired: number;
  /** Registrations that were accepted. */
  registrations: number;
  /** Handshakes under a name without its token; a second registration or process of a name; capabilities that are not so. */
  refused_identity: number;
  refused_duplicate: number;
  refused_capabilities: number;
  /** Heartbeats of registered collectors that did not come in time. */
  heartbeats_missed: number;
}

export function newCounters(): Counters {
  return {
    events: 0,
    rows: 0,
    rows_refused: 0,
    duplicates: 0,
    gaps: 0,
    snapshots: 0,
    alerts: 0,
    alerts_repeated: 0,
    alerts_limited: 0,
    rule_responses: 0,
    rule_responses_refused: 0,
    rule_responses_failed: 0,
    rule_responses_dropped: 0,
    alerts_muted: 0,
    alert_summaries: 0,
    alerts_undelivered: 0,
    sink_faults: 0,
    rule_faults: 0,
    window_late: 0,
    window_ahead: 0,
    window_suppressed: 0,
    hits_excepted: 0,
    store_faults: 0,
    connections: 0,
    connections_refused: 0,
    connections_failed: 0,
    requests: 0,
    requests_refused: 0,
    requests_failed: 0,
    request_files_refused: 0,
    request_files_expired: 0,
    registrations: 0,
    refused_identity: 0,
    refused_duplicate: 0,
    refused_capabilities: 0,
    heartbeats_missed: 0,
  };
}
