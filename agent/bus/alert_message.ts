/**
 * An alert as a message of the bus: its topic by severity, its payload, and what it belongs to.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Alert } from "../../proto/alert.ts";
import type { TopicName } from "../../proto/bus/catalogue.ts";
import { newCorrelation } from "../../proto/bus/correlation.ts";
import type { Priority, PublishOptions } from "../../proto/bus/message.ts";
import { AlertPayloadSchema } from "../../proto/gen/eventbus_pb.ts";
import { SEVERITIES, type Severity } from "../../proto/process_event.ts";

const PRIORITY_OF: Readonly<Record<Severity, Priority>> = {
  info: "normal",
  low: "normal",
  medium: "normal",
  high: "high",
  critical: "critical",
};

export interface AlertMessage {
  readonly topic: TopicName;
  readonly payload: Uint8Array;
  readonly options: PublishOptions;
}

export function topicOfAlert({ severity }: Alert): TopicName {
  return `alerts.${severity}`;
}

/** Its correlation id is the alert's id, the same each time. */
export function alertMessage(alert: Alert): AlertMessage {
  const { alertId, executablePath, pid, ruleId, execId, eventId, collectorId, title, description } = alert;
  const message = create(AlertPayloadSchema, {
    alertId,
    severity: SEVERITIES.indexOf(alert.severity),
    title,
    description,
    source: ruleId,
    affectedResources: [`process ${pid}`, ...executablePath === null ? [] : [executablePath]],
    metadata: { execId, eventId: String(eventId), collectorId, time: String(alert.time) },
  });
  // The id is that of the rule, and of the event that it found.
  const event = alertId.slice(alertId.indexOf("@") + 1);
  const { correlation } = newCorrelation({ id: alertId, createdAt: Date.now() });
  return {
    topic: topicOfAlert(alert),
    payload: toBinary(AlertPayloadSchema, message),
    options: {
      priority: PRIORITY_OF[alert.severity],
      correlation: { ...correlation, parentId: event, rootId: event },
    },
  };
}
