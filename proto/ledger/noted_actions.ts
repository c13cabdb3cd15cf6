/**
 * What an agent may have entered into the ledger of a collector.
 *
 * @module
 */

export const NOTED_ACTIONS = [
  "tierStarted",
  "tierStopped",
  "configurationChanged",
  "rulesChanged",
  "suppressed",
  "alert",
  "exported",
  "request",
] as const;
export type NotedAction = typeof NOTED_ACTIONS[number];

/** Most notes of one message: with payloads of the longest they fit a frame. */
export const MAX_NOTES = 32;
