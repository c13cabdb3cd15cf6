/**
 * What the bus counts, by the names under which the agent's status shows it. All since the agent's start.
 *
 * @module
 */

export interface BusCounters {
  /** Messages taken, whoever subscribes. */
  bus_published: number;
  /** Given to handlers within the agent, or put into a frame for a socket. */
  bus_delivered: number;
  /** Sent again, as they were not acknowledged when a connection broke. */
  bus_redelivered: number;
  /** Given up as a subscriber's queue was full. */
  bus_lost_full: number;
  /** Given up as they were too old when their turn came. */
  bus_lost_expired: number;
  /** Of at most once: given up when a connection broke. */
  bus_lost_disconnected: number;
  /** Alerts that a subscriber had not acknowledged in time, so that they went on without it. */
  bus_unacknowledged: number;
  /** Publications that came again, and were known by their number. */
  bus_duplicates: number;
  /** What was refused of clients: not a topic or too long, no right to it, too often, too many. */
  bus_refused_malformed: number;
  bus_refused_rights: number;
  bus_refused_rate: number;
  bus_refused_limit: number;
  /** Texts of correlations that were cut or left out. */
  bus_cut_texts: number;
  /** Events that no message can hold: they are stored, and not published. */
  bus_unpublished: number;
  /** Times that a handler within the agent threw. */
  bus_handler_faults: number;
}

export function newBusCounters(): BusCounters {
  return {
    bus_published: 0,
    bus_delivered: 0,
    bus_redelivered: 0,
    bus_lost_full: 0,
    bus_lost_expired: 0,
    bus_lost_disconnected: 0,
    bus_unacknowledged: 0,
    bus_duplicates: 0,
    bus_refused_malformed: 0,
    bus_refused_rights: 0,
    bus_refused_rate: 0,
    bus_refused_limit: 0,
    bus_cut_texts: 0,
    bus_unpublished: 0,
    bus_handler_faults: 0,
  };
}
