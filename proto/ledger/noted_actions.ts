/**
 * What an agent may have entered into the ledger of a collector.
 *
 * @module
 */

export const NOTED_ACTIONS = [
  "tierStarted",
  /** What the agent may have entered into the ledger. */
  "tierStopped",
  "configurationChanged",
  "rulesChanged",
  "suppressed",
  "alert",
  "exported",
  "request",
] as const;
/** One of {@linkcode NOTED_ACTIONS}. */
export type NotedAction = typeof NOTED_ACTIONS[number];

/** Most notes of one message: with payloads of the longest they fit a frame. */
export const MAX_NOTES = 32;
