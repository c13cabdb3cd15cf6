/**
 * How long the agent takes with what collectors send, step by step, so that `health` can say where time goes.
 *
 * @module
 */
import { delayCounters, DelayMeter } from "../proto/delay_meter.ts";

export class AgentDelays {
  /** From an event's own time until the agent has read it: all that came before. */
  readonly received: DelayMeter = new DelayMeter();
  /** From there until the rules have judged it, from there until it is stored, each event counted. */
  readonly judged: DelayMeter = new DelayMeter();
  readonly committed: DelayMeter = new DelayMeter();
  /** From the commit until a sink has the alert for good, by the sink's name, each alert counted. */
  readonly #delivered = new Map<string, DelayMeter>();

  delivered(sink: string, ms: number, count: number): void {
    let meter = this.#delivered.get(sink);
    if (meter === undefined) this.#delivered.set(sink, meter = new DelayMeter());
    meter.add(ms, count);
  }

  /** For the status: see `delayCounters`. */
  counters(): Record<string, number> {
    const { received, judged, committed } = this;
    const sinks = [...this.#delivered].map(([sink, meter]) => [`delivered_${sink}`, meter]);
    return delayCounters({ received, judged, committed, ...Object.fromEntries(sinks) });
  }
}
