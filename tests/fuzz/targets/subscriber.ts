/**
 * What a client of the bus may do in any order: take, acknowledge what it was and was not sent, grant any window, go, come
 * back with any number, never answer.
 *
 * Whatever it does, it is handed no more than it granted, under consecutive numbers; what is kept for it stays bounded; and
 * whoever waits for its acknowledgements has an answer at the latest when it is forgotten.
 *
 * @module
 */
import { newBusCounters } from "../../../agent/bus/counters.ts";
import { Published } from "../../../agent/bus/published.ts";
import { Receipt } from "../../../agent/bus/receipt.ts";
import { MAX_WINDOW, Subscriber } from "../../../agent/bus/subscriber.ts";
import { PRIORITIES } from "../../../proto/bus/message.ts";
import { type FuzzTarget, must } from "../fuzz.ts";
import type { Random } from "../random.ts";

const LIMITS = { messages: 8, bytes: 4_096 }, MAX_STEPS = 200, PATTERN = "alerts.#";

class Client {
  readonly #random: Random;
  readonly #subscriber = new Subscriber("any", newBusCounters(), { isRemote: true, limits: LIMITS });
  readonly #receipts: Receipt[] = [];
  #now = 0;
  /** The highest number that it was ever handed. */
  #highest = 0;
  /** The last of this connection, 0 before the first. */
  #last = 0;
  #unacknowledged = 0;
  #window = MAX_WINDOW;
  #isConnected = true;

  constructor(random: Random) {
    this.#random = random;
    this.#subscriber.patterns.set(PATTERN, { segments: PATTERN.split("."), quality: "at-least-once" });
  }

  step(): void {
    switch (this.#random.below(8)) {
      case 0:
      case 1:
      case 2:
        return this.#offer();
      case 3:
        return this.#isConnected ? this.#take() : undefined;
      case 4:
        return this.#isConnected ? this.#acknowledge() : undefined;
      case 5:
        return this.#isConnected ? this.#disconnect() : this.#connect();
      case 6:
        if (this.#receipts.length > 0) this.#random.pick(this.#receipts).giveUp();
        return;
      default:
        this.#now += this.#random.edge();
    }
  }

  /** It is never heard from again. */
  end(): void {
    this.#subscriber.forgotten();
    must(!this.#subscriber.isBehind, "who is forgotten owes nothing");
    for (const { open, late, taken, lost } of this.#receipts) {
      must(open.length === 0 && late.length === 0, "nobody waits for who is forgotten");
      must(taken + lost <= 1, "one subscriber has a message, or has lost it");
    }
  }

  check(): void {
    const { queued, credit, isBehind } = this.#subscriber;
    must(queued <= LIMITS.messages + MAX_WINDOW, "what waits is bounded");
    must(credit <= MAX_WINDOW, "what may be under way is bounded");
    must(isBehind === this.#receipts.some(({ late }) => late.length > 0), "it is behind while it owes something");
  }

  #offer(): void {
    const random = this.#random, isReliable = random.oneIn(2), wasBehind = this.#subscriber.isBehind;
    const receipt = isReliable && random.oneIn(2) ? new Receipt() : null;
    const priority = random.pick(PRIORITIES), payload = new Uint8Array(random.length(3_000));
    const ttlMs = random.oneIn(2) ? 0 : random.edge();
    const message = new Published(
      "alerts.high",
      "event",
      "agent",
      1,
      this.#now,
      priority,
      ttlMs,
      null,
      payload,
      receipt,
    );
    this.#subscriber.offer(message, isReliable);
    if (receipt === null) return;
    this.#receipts.push(receipt);
    const isKnown = receipt.open.length + receipt.taken + receipt.lost === 1;
    must(isKnown === !wasBehind, "who keeps up is waited for, and who is behind is not");
  }

  #take(): void {
    const into: Published[] = [], max = this.#random.below(20), { credit } = this.#subscriber;
    const first = this.#subscriber.take(into, max, this.#random.edge(), this.#now);
    must(into.length <= Math.max(0, Math.min(max, credit)), "no more is handed out than was granted");
    if (into.length === 0) return;
    must(this.#last === 0 || first > this.#last, "numbers rise within a connection");
    this.#last = first + into.length - 1;
    must(this.#last <= this.#highest + into.length, "no number is left out");
    this.#highest = Math.max(this.#highest, this.#last);
    this.#unacknowledged += into.length;
    must(this.#unacknowledged <= this.#window || into.length === 0, "what is under way fits what was granted");
  }

  #acknowledge(): void {
    const random = this.#random, number = random.oneIn(3) ? random.edge() : random.below(this.#highest + 2);
    const window = random.edge(), isTrue = this.#subscriber.acknowledge(number, window);
    must(isTrue === number <= this.#highest, "only what was handed out is acknowledged");
    if (!isTrue) return;
    this.#window = Math.min(window, MAX_WINDOW);
    this.#unacknowledged = this.#window - this.#subscriber.credit;
  }

  #disconnect(): void {
    this.#subscriber.disconnected();
    this.#isConnected = false;
  }

  #connect(): void {
    const random = this.#random;
    this.#subscriber.connected(() => {});
    this.#window = random.edge();
    this.#subscriber.resumed(random.oneIn(2) ? random.below(this.#highest + 1) : random.edge(), this.#window);
    this.#window = Math.min(this.#window, MAX_WINDOW);
    this.#isConnected = true;
    this.#last = this.#unacknowledged = 0;
  }
}

export const subscriber: FuzzTarget = {
  name: "bus:subscriber",
  share: 30_000,
  open: () => (random) => {
    const steps = random.length(MAX_STEPS);
    return {
      show: () => `${steps} steps`,
      run: () => {
        const client = new Client(random);
        for (let step = 0; step < steps; step++) {
          client.step();
          client.check();
        }
        client.end();
      },
    };
  },
};
