/**
 * What the agent publishes of its own: events and gaps when they are stored, alerts, and how it is.
 *
 * Nothing is made that nobody wants: a topic without subscribers costs one look at a table. What is published was stored
 * before, so that nobody hears of what a crash takes back.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Alert } from "../../proto/alert.ts";
import { CATALOGUE, type TopicName, topicOfEvent } from "../../proto/bus/catalogue.ts";
import { type Correlation, newCorrelation } from "../../proto/bus/correlation.ts";
import { MAX_PAYLOAD_BYTES } from "../../proto/bus/message.ts";
import { writeEventBatch } from "../../proto/event_codec.ts";
import { FieldWriter } from "../../proto/field_writer.ts";
import { BusHealthSchema } from "../../proto/gen/bus_pb.ts";
import { GapSchema } from "../../proto/gen/eventbus_pb.ts";
import type { Gap, ProcessEvent } from "../../proto/process_event.ts";
import { alertMessage, topicOfAlert } from "./alert_message.ts";
import type { LocalPort } from "./local_port.ts";

/** Events of one message. */
const MAX_EVENTS = 128;
/** Room for some dozen usual events; a message of more makes its own. */
const FIRST_BYTES = 16_384;
const EVENT_TOPICS = (Object.keys(CATALOGUE) as TopicName[]).filter((topic) =>
  topic.startsWith("events.process.") && CATALOGUE[topic].by === "agent"
);

/** An event and its place in its stream. */
export interface PlacedEvent {
  readonly sequence: number;
  readonly event: ProcessEvent;
}

interface StreamName {
  readonly collectorId: string;
  readonly epoch: string;
}

export class Publications {
  readonly #port: LocalPort;

  constructor(port: LocalPort) {
    this.#port = port;
  }

  /** Whether anybody would get events: whoever takes them over keeps them for {@linkcode events} only then. */
  get wantsEvents(): boolean {
    for (const topic of EVENT_TOPICS) if (this.#port.wants(topic)) return true;
    return false;
  }

  /** Events of one stream, in their order; neighbours of one topic go in one message. */
  events(stream: StreamName, events: readonly PlacedEvent[]): void {
    for (let from = 0; from < events.length;) {
      const first = events[from]!, topic = topicOfEvent(first.event.kind, first.event.modifiedFields);
      let to = from + 1;
      while (
        to < events.length && to - from < MAX_EVENTS && events[to]!.sequence === first.sequence + to - from &&
        topicOfEvent(events[to]!.event.kind, events[to]!.event.modifiedFields) === topic
      ) to++;
      if (this.#port.wants(topic)) this.#tellEvents(stream, topic, events.slice(from, to));
      from = to;
    }
  }

  gaps({ collectorId, epoch }: StreamName, gaps: readonly { readonly sequence: number; readonly gap: Gap }[]): void {
    if (gaps.length === 0 || !this.#port.wants("events.coverage.gap")) return;
    for (const { sequence, gap } of gaps) {
      const message = create(GapSchema, {
        source: gap.source,
        recordKind: gap.recordKind,
        from: BigInt(gap.from),
        to: BigInt(gap.to),
        ...gap.count === null ? {} : { count: BigInt(gap.count) },
        reason: gap.reason,
      });
      this.#port.tell("events.coverage.gap", toBinary(GapSchema, message), {
        priority: "high",
        correlation: root(`${collectorId}:${epoch}:${sequence}`),
      });
    }
  }

  alerts(alerts: readonly Alert[]): void {
    for (const alert of alerts) {
      if (!this.#port.wants(topicOfAlert(alert))) continue;
      const { topic, payload, options } = alertMessage(alert);
      this.#port.tell(topic, payload, options);
    }
  }

  /** How the agent is; `counters` is asked only if somebody listens. */
  health(state: string, counters: () => Record<string, number>): void {
    if (!this.#port.wants("control.health.status")) return;
    const message = create(BusHealthSchema, { state, counters: counters() });
    this.#port.tell("control.health.status", toBinary(BusHealthSchema, message), {
      type: "heartbeat",
      priority: "low",
    });
  }

  #tellEvents(stream: StreamName, topic: TopicName, events: readonly PlacedEvent[]): void {
    const writer = new FieldWriter(FIRST_BYTES), firstSequence = events[0]!.sequence;
    writeEventBatch(writer, { firstSequence, events: events.map(({ event }) => event) });
    const payload = writer.finish();
    if (payload.length > MAX_PAYLOAD_BYTES) {
      if (events.length === 1) return this.#port.unpublished(); // no usual one: a frame holds little more
      const half = events.length >> 1;
      this.#tellEvents(stream, topic, events.slice(0, half));
      return this.#tellEvents(stream, topic, events.slice(half));
    }
    this.#port.tell(topic, payload, {
      priority: topic === "events.process.anomaly" ? "high" : "normal",
      correlation: root(`${stream.collectorId}:${stream.epoch}:${firstSequence}`),
    });
  }
}

function root(id: string): Correlation {
  return newCorrelation({ id, createdAt: Date.now() }).correlation;
}
