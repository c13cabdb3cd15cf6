/**
 * What readers must know of how the agent's store lies on the disk: what ids are made of, and that `process_events` is a
 * view over partitions.
 *
 * The view named {@linkcode STORED_EVENTS} has one SELECT for each partition, and `process_events` reads that one. The
 * tables of the partitions have names that begin like it. SQL of people never names any of them: the guard knows the
 * catalog's tables alone, and the second gate refuses a text that holds the name, so whatever SQLite says is read "by"
 * this view is read by the view.
 *
 * @module
 */

/** Room for the sequences of one stream in the ids of its rows: `event_id` is stream times this plus sequence. */
export const SEQUENCES_PER_STREAM = 2 ** 40;

/** The view over all partitions, with the columns of `process_events` in their order. */
export const STORED_EVENTS = "stored_events";

/**
 * Most partitions of one store. SQLite's own limit of SELECTs in one view is 500, and every reader parses the view:
 * 160 partitions cost 20 to 40 ms at each query.
 */
export const MAX_PARTITIONS = 200;

/**
 * Most SELECTs that one query may be expanded to. SQLite makes a query that reads the view k times one SELECT for each
 * combination of k partitions; 1,000 take it 0.2 s, 4,000 two seconds, and nothing can stop it.
 */
export const MAX_EXPANSION = 1_024;
