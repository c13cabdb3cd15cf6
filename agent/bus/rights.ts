/**
 * What a collector may publish and subscribe to, by its identity.
 *
 * A collector has proven that it knows the token, and nothing more: so it may say what is its own, and hear what is for
 * all or for it. Events of processes, gaps and alerts are published by the agent alone, after they were stored: no
 * collector can forge them for another.
 *
 * @module
 */
import { OWN_TOPICS } from "../../proto/bus/catalogue.ts";
import { checkPattern, covers } from "../../proto/bus/topic.ts";

/** Collectors of the document's domains that the agent does not publish for, by their names. */
const DOMAIN_OF: Readonly<Record<string, string>> = {
  netmond: "events.network.#",
  fsmond: "events.filesystem.#",
  perfmond: "events.performance.#",
};

/** What every collector may hear. */
const PUBLIC: readonly string[] = [
  "events.#",
  "alerts.#",
  "control.health.#",
  "control.collector.lifecycle",
  "control.collector.registration",
  "control.shutdown",
];

export interface Rights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Patterns of what a collector may do. */
export function rightsOf(collectorId: string): Rights {
  const { collector, config, heartbeat, diagnostics, shutdown } = OWN_TOPICS;
  const domain = Object.hasOwn(DOMAIN_OF, collectorId) ? [DOMAIN_OF[collectorId]!] : [];
  return {
    publish: [heartbeat(collectorId), diagnostics(collectorId), ...domain],
    subscribe: [...PUBLIC, collector(collectorId), config(collectorId), shutdown(collectorId)],
  };
}

/** Whether what a topic or pattern stands for lies within one of these rights. */
export function isWithin(rights: readonly (readonly string[])[], segments: readonly string[]): boolean {
  return rights.some((right) => covers(right, segments));
}

/** Rights as they are compared. */
export function segmentsOf(patterns: readonly string[]): readonly (readonly string[])[] {
  return patterns.map(checkPattern);
}
