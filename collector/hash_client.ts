/**
 * The collector's way to the hasher: a bounded queue of questions, over any number of connections.
 *
 * Nothing waits for it. A question that finds no room is dropped and counted; one that was under way when the connection
 * broke is asked once more, so that a file that ends the hasher does not do so for ever. A hasher that answers nothing for
 * too long is left.
 *
 * @module
 */
import {
  decodeHashMessage,
  encodeHashMessage,
  type HashAnswer,
  type HashGreeting,
  type HashRequest,
  MAX_HASH_MESSAGE_BYTES,
} from "./hasher/protocol.ts";
import { FrameSender } from "./hasher/frame_sender.ts";
import { HelperLink } from "./helper_link.ts";

/**
 * Questions that wait, as many as there may be executions that wait: the hasher leaves the processor to others first, and
 * on a busy host falls behind. And those that were sent and not answered.
 */
const MAX_QUEUED = 16_384, MAX_SENT = 32;

export interface HashClientOptions {
  readonly socket: string;
  /** Throws when the listener of the socket is not the hasher. */
  readonly checkPeer: () => void;
  /** How long all that was sent may remain without any answer. */
  readonly patienceMs: number;
  readonly answered: (answer: HashAnswer) => void;
  /** A question that will not be answered. */
  readonly dropped: (id: number) => void;
  readonly notice: (text: string) => void;
}

interface Question {
  readonly request: HashRequest;
  tries: number;
}

export class HashClient {
  readonly #options: HashClientOptions;
  #queue: Question[] = [];
  #next = 0;
  readonly #sent = new Map<number, Question>();
  readonly #link: HelperLink;
  #sender: FrameSender | null = null;
  #greeting: HashGreeting | null = null;
  #answeredAt = 0;
  #isConnected = false;
  drops = 0;

  constructor(options: HashClientOptions) {
    this.#options = options;
    const { socket, checkPeer, notice } = options;
    this.#link = new HelperLink({
      name: "hasher",
      socket,
      maxMessageBytes: MAX_HASH_MESSAGE_BYTES,
      checkPeer,
      connected: () => this.#connected(),
      take: (payload, connection) => this.#take(connection, payload),
      taken: () => this.#pump(),
      ended: () => this.#ended(),
      notice,
    });
  }

  /** What the hasher that is connected said of itself; `null` without one. */
  get greeting(): HashGreeting | null {
    return this.#greeting;
  }

  /** Whether it may still be that the hasher has not come up, or that it went as it was told to. */
  get mayBeAway(): boolean {
    return this.#link.mayBeAway;
  }

  /** Connections on which the hasher greeted. */
  get connections(): number {
    return this.#link.greetings;
  }

  /** Why none is connected. */
  get fault(): string {
    return this.#link.fault;
  }

  /** Asks as soon as it can. */
  ask(request: HashRequest): void {
    if (this.#queue.length - this.#next >= MAX_QUEUED) return this.#drop(request.id);
    this.#queue.push({ request, tries: 0 });
    this.#pump();
  }

  /** Connects, and connects again, until {@linkcode stop}. */
  run(): Promise<void> {
    return this.#link.run();
  }

  /** Gives up a hasher that answers nothing. To be called about once a second. */
  look(): void {
    const { patienceMs } = this.#options, silence = performance.now() - this.#answeredAt;
    if (!this.#isConnected || silence < patienceMs) return;
    if (this.#sent.size === 0 && this.#greeting !== null) return;
    this.#link.abandon(`it answered nothing for ${patienceMs / 1_000} s`);
  }

  stop(): void {
    this.#link.stop();
  }

  #connected(): void {
    this.#answeredAt = performance.now();
    this.#isConnected = true;
  }

  #ended(): void {
    this.#isConnected = false;
    this.#sender = this.#greeting = null;
    this.#askAgain();
  }

  #take(connection: Deno.Conn, payload: Uint8Array): void {
    const message = decodeHashMessage(payload);
    switch (message.kind) {
      case "greeting":
        this.#link.greeted();
        this.#greeting = message.greeting;
        this.#sender = new FrameSender(connection);
        return;
      case "answer": {
        const { id } = message.answer;
        if (!this.#sent.delete(id)) throw new RangeError(`The hasher answers question ${id}, which was not asked`);
        this.#answeredAt = performance.now();
        return this.#options.answered(message.answer);
      }
      case "request":
        throw new TypeError("The hasher asked a question");
    }
  }

  #pump(): void {
    const sender = this.#sender;
    if (sender === null) return;
    while (this.#sent.size < MAX_SENT && this.#next < this.#queue.length) {
      const question = this.#queue[this.#next++]!;
      if (this.#sent.size === 0) this.#answeredAt = performance.now();
      question.tries++;
      this.#sent.set(question.request.id, question);
      sender.send(encodeHashMessage({ kind: "request", request: question.request }));
    }
    if (this.#next >= this.#queue.length || this.#next >= MAX_QUEUED) {
      this.#queue = this.#queue.slice(this.#next);
      this.#next = 0;
    }
  }

  /** What was under way goes before what waits. */
  #askAgain(): void {
    const again: Question[] = [];
    for (const [id, question] of this.#sent) {
      if (question.tries < 2) again.push(question);
      else this.#drop(id);
    }
    this.#sent.clear();
    this.#queue = [...again, ...this.#queue.slice(this.#next)];
    this.#next = 0;
  }

  #drop(id: number): void {
    this.drops++;
    this.#options.dropped(id);
  }
}
