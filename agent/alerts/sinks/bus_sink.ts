/**
 * Alerts on the bus of the agent: the topics `alerts.*`, out of the outbox as to any other sink.
 *
 * An alert counts as delivered when every subscriber that asked to have it at least once, and keeps up, has acknowledged
 * it; a queue in the agent's memory is no delivery, as it ends with the agent. While there is no such subscriber the alerts
 * wait, unless the sink is set to publish to whoever is there. What a subscriber has under way is not published to it again
 * by another attempt; what all lost is, under the same id.
 *
 * Subscribers are not trusted. One that does not acknowledge in time, or has no room, holds up the others once and no
 * longer: an alert that another has is delivered. It is counted and named, gets what follows all the same, and is waited
 * for again when it has acknowledged what it owed.
 *
 * @module
 */
import type { Alert } from "../../../proto/alert.ts";
import { MAX_PAYLOAD_BYTES } from "../../../proto/bus/message.ts";
import type { BusSinkSettings } from "../../../proto/sink_settings.ts";
import { alertMessage, topicOfAlert } from "../../bus/alert_message.ts";
import type { Bus } from "../../bus/bus.ts";
import { Receipt } from "../../bus/receipt.ts";
import { failed, refused, type Sink } from "../sink.ts";
import { within } from "./channel.ts";

/** As the agent names itself on the bus. */
const SOURCE = "agent";

export function busSink(settings: BusSinkSettings, bus: Bus, notice: (text: string) => void): Sink {
  const { name, minSeverity, waitsForSubscriber, timeoutMs } = settings;
  /** What is published and has not been acknowledged by all, by alert. */
  const underWay = new Map<string, Receipt>();

  function published(alert: Alert, taken: number): Receipt {
    const known = underWay.get(alert.alertId), topic = topicOfAlert(alert), isAwaited = bus.isAwaited(topic);
    if (known !== undefined && (known.open.length > 0 || known.taken > 0)) return known;
    if (waitsForSubscriber && !isAwaited) {
      const behind = bus.behind(topic), until = "its alerts wait until";
      throw failed(
        behind.length > 0
          ? `${behind.join(", ")} does not acknowledge ${topic}; ${until} it does, or another subscribes`
          : `nobody subscribes to ${topic} at least once; ${until} somebody does`,
        taken,
      );
    }
    const { payload, options } = alertMessage(alert), receipt = new Receipt();
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw refused(`the alert takes ${payload.length} bytes, and a message holds ${MAX_PAYLOAD_BYTES}`, taken);
    }
    bus.publish(SOURCE, topic, payload, options, receipt);
    underWay.set(alert.alertId, receipt);
    return receipt;
  }

  /** Waits for it, and says what is wrong with it in the end. */
  async function confirmed(alert: Alert, receipt: Receipt, taken: number, leftMs: number): Promise<void> {
    try {
      await within(Math.max(0, leftMs), "no acknowledgement", receipt.settled());
    } catch {
      for (const slow of receipt.giveUp()) {
        notice(`${slow} did not acknowledge alerts within ${timeoutMs} ms; others get theirs without waiting for it`);
      }
    }
    if (receipt.taken === 0 && receipt.late.length > 0) {
      throw failed(`${receipt.late.join(", ")} did not acknowledge within ${timeoutMs} ms`, taken);
    }
    underWay.delete(alert.alertId);
    if (receipt.taken === 0 && receipt.lost > 0) {
      throw failed("a subscriber had no room for the alert, or went before it had it", taken);
    }
  }

  return {
    name,
    minSeverity,
    async write(alerts) {
      const asked = new Set(alerts.map(({ alertId }) => alertId));
      for (const [id, { open, late }] of underWay) {
        if (open.length === 0 && late.length === 0 && !asked.has(id)) underWay.delete(id);
      }
      const receipts: Receipt[] = [];
      let fault: unknown = null;
      try {
        for (const alert of alerts) receipts.push(published(alert, receipts.length));
      } catch (error) {
        fault = error; // those before it are on their way
      }
      const end = performance.now() + timeoutMs;
      for (let i = 0; i < receipts.length; i++) {
        await confirmed(alerts[i]!, receipts[i]!, i, end - performance.now());
      }
      if (fault !== null) throw fault;
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
}
