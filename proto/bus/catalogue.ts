/**
 * The topics that there are, who publishes them, and what their messages hold.
 *
 * The document's catalogue, with alerts and gaps. `by` says who publishes a topic in this version: of what nobody
 * publishes yet the place is kept, and subscribing to it is allowed and silent.
 *
 * @module
 */
import type { ProcessEventKind } from "../process_event.ts";
import { segmentOf } from "./topic.ts";

interface Topic {
  readonly by: "agent" | "collectors" | "nobody";
  /** The message of `eventbus.proto` or `ipc.proto` that its payload is; empty where nobody publishes. */
  readonly payload: string;
  readonly text: string;
}

const reserved = (text: string): Topic => ({ by: "nobody", payload: "", text });

/** Topics without a name in them. */
export const CATALOGUE = {
  "events.process.lifecycle": {
    by: "agent",
    payload: "EventBatch",
    text: "starts and stops, when they are stored",
  },
  "events.process.metadata": {
    by: "agent",
    payload: "EventBatch",
    text: "changes of a process, when they are stored",
  },
  "events.process.integrity": {
    by: "agent",
    payload: "EventBatch",
    text: "changes of an executable or its hash, when they are stored",
  },
  "events.process.anomaly": {
    by: "agent",
    payload: "EventBatch",
    text: "suspicious events, when they are stored",
  },
  "events.process.tree": reserved("families of processes"),
  "events.process.batch": reserved("events of several kinds in one message"),
  "events.coverage.gap": { by: "agent", payload: "Gap", text: "what could not be seen or kept, when it is stored" },
  "events.network.connections": reserved("connections"),
  "events.network.dns": reserved("questions to name servers"),
  "events.network.traffic": reserved("amounts of traffic"),
  "events.network.anomaly": reserved("suspicious traffic"),
  "events.filesystem.operations": reserved("operations on files"),
  "events.filesystem.access": reserved("access to files"),
  "events.filesystem.bulk": reserved("operations on many files"),
  "events.filesystem.anomaly": reserved("suspicious operations on files"),
  "events.performance.utilization": reserved("use of resources"),
  "events.performance.system": reserved("figures of the host"),
  "events.performance.anomaly": reserved("unusual figures"),
  "alerts.info": { by: "agent", payload: "AlertPayload", text: "alerts of this severity, when they are stored" },
  "alerts.low": { by: "agent", payload: "AlertPayload", text: "the same" },
  "alerts.medium": { by: "agent", payload: "AlertPayload", text: "the same" },
  "alerts.high": { by: "agent", payload: "AlertPayload", text: "the same" },
  "alerts.critical": { by: "agent", payload: "AlertPayload", text: "the same" },
  "control.collector.lifecycle": reserved("what all collectors are to do"),
  "control.collector.config": reserved("configuration of all collectors"),
  "control.collector.task": reserved("tasks for any collector"),
  "control.collector.registration": reserved("who has registered"),
  "control.agent.orchestration": reserved("what the agent decides about collectors"),
  "control.agent.policy": reserved("what the agent demands"),
  "control.health.heartbeat": reserved("heartbeats"),
  "control.health.status": {
    by: "agent",
    payload: "BusHealth",
    text: "the agent's own state and the counts of its bus, every 5 s",
  },
  "control.health.diagnostics": reserved("what is found out on demand"),
  "control.shutdown": reserved("the end of all"),
} as const satisfies Record<string, Topic>;

/** A topic of {@linkcode CATALOGUE}. */
export type TopicName = keyof typeof CATALOGUE;

/** What follows `control.collector` in a topic of all collectors: one that is called so gets another segment. */
const TAKEN: ReadonlySet<string> = new Set(["lifecycle", "config", "task", "registration"]);

/** Topics with the name of a collector in them. */
export const OWN_TOPICS = {
  collector: (id: string): string =>
    `control.collector.${TAKEN.has(id) ? `_${id.charCodeAt(0).toString(16)}${id.slice(1)}` : segmentOf(id)}`,
  config: (id: string): string => `control.collector.config.${segmentOf(id)}`,
  heartbeat: (id: string): string => `control.health.heartbeat.${segmentOf(id)}`,
  diagnostics: (id: string): string => `control.health.diagnostics.${segmentOf(id)}`,
  shutdown: (id: string): string => `control.shutdown.${segmentOf(id)}`,
} as const;

/** The columns of which a change is one of the executable. */
const OF_INTEGRITY = new Set([
  "executable_hash",
  "hash_algorithm",
  "fuzzy_hash",
  "on_disk_mismatch",
  "executable_path",
  "file_exists",
]);

/** Where an event of a process is published. */
export function topicOfEvent(kind: ProcessEventKind, modifiedFields: readonly string[]): TopicName {
  switch (kind) {
    case "start":
    case "stop":
      return "events.process.lifecycle";
    case "suspicious":
      return "events.process.anomaly";
    case "modify":
      return modifiedFields.some((field) => OF_INTEGRITY.has(field))
        ? "events.process.integrity"
        : "events.process.metadata";
  }
}
