/**
 * The collector's way to the hasher: a bounded queue of questions, over any number of connections.
 *
 * Nothing waits for it. A question that finds no room is dropped and counted; one that was under way when the connection
 * broke is asked once more, so that a file that ends the hasher does not do so for ever. A hasher that answers nothing for
 * too long is left, and one that is not there is tried again.
 *
 * @module
 */
import { FrameReader } from "../proto/frame.ts";
import {
  decodeHashMessage,
  encodeHashMessage,
  type HashAnswer,
  type HashGreeting,
  type HashRequest,
  MAX_HASH_MESSAGE_BYTES,
} from "./hasher/protocol.ts";
import { closeQuietly, FrameSender } from "./hasher/frame_sender.ts";

/**
 * Questions that wait, as many as there may be executions that wait: the hasher leaves the processor to others first, and
 * on a busy host falls behind. And those that were sent and not answered.
 */
const MAX_QUEUED = 16_384, MAX_SENT = 32;
const FIRST_RETRY_MS = 100, LAST_RETRY_MS = 5_000;
/** All start at once: a hasher that is not there yet is worth a word only after this time. */
const START_MS = 3_000;

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
  #connection: Deno.Conn | null = null;
  #sender: FrameSender | null = null;
  #greeting: HashGreeting | null = null;
  #fault = "it has not been reached yet";
  #answeredAt = 0;
  readonly #began = performance.now();
  #stopping = false;
  #wake: () => void = () => {};
  connections = 0;
  drops = 0;

  constructor(options: HashClientOptions) {
    this.#options = options;
  }

  /** What the hasher that is connected said of itself; `null` without one. */
  get greeting(): HashGreeting | null {
    return this.#greeting;
  }

  /** Whether it may still be that the hasher has not come up. */
  get isStarting(): boolean {
    return this.connections === 0 && performance.now() - this.#began < START_MS;
  }

  /** Whether it was told to stop: that none is connected is then as it should be. */
  get isStopped(): boolean {
    return this.#stopping;
  }

  /** Why none is connected. */
  get fault(): string {
    return this.#fault;
  }

  /** Asks as soon as it can. */
  ask(request: HashRequest): void {
    if (this.#queue.length - this.#next >= MAX_QUEUED) return this.#drop(request.id);
    this.#queue.push({ request, tries: 0 });
    this.#pump();
  }

  /** Connects, and connects again, until {@linkcode stop}. */
  async run(): Promise<void> {
    let delay = FIRST_RETRY_MS, said = "";
    while (!this.#stopping) {
      const connected = this.connections;
      try {
        await this.#serveOnce();
        this.#fault = "it closed the connection";
      } catch (error) {
        this.#fault = error instanceof Error ? error.message : String(error);
      }
      if (this.#stopping) return;
      if (this.connections > connected) delay = FIRST_RETRY_MS;
      if (!this.isStarting && this.#fault !== said) {
        this.#options.notice(`connection to the hasher: ${this.#fault}`);
        said = this.#fault;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delay * (0.75 + Math.random() / 2));
        this.#wake = () => (clearTimeout(timer), resolve());
      });
      delay = Math.min(delay * 2, LAST_RETRY_MS);
    }
  }

  stop(): void {
    this.#stopping = true;
    closeQuietly(this.#connection);
    this.#wake();
  }

  async #serveOnce(): Promise<void> {
    const connection = await Deno.connect({ transport: "unix", path: this.#options.socket });
    let watch: ReturnType<typeof setInterval> | undefined;
    let isSilent = false;
    try {
      this.#options.checkPeer();
      this.#connection = connection;
      if (this.#stopping) return;
      this.#answeredAt = performance.now();
      watch = setInterval(() => {
        const silence = performance.now() - this.#answeredAt;
        if ((this.#sent.size === 0 && this.#greeting !== null) || silence < this.#options.patienceMs) return;
        isSilent = true;
        closeQuietly(connection);
      }, 1_000);
      await this.#listen(connection);
    } catch (error) {
      if (isSilent) throw new Error(`it answered nothing for ${this.#options.patienceMs / 1_000} s`, { cause: error });
      throw error;
    } finally {
      clearInterval(watch);
      this.#connection = this.#sender = this.#greeting = null;
      closeQuietly(connection);
      this.#askAgain();
    }
  }

  async #listen(connection: Deno.Conn): Promise<void> {
    const reader = new FrameReader(MAX_HASH_MESSAGE_BYTES);
    for (;;) {
      const count = await connection.read(reader.space());
      if (count === null) return reader.finish();
      reader.filled(count);
      for (let payload = reader.next(); payload !== null; payload = reader.next()) this.#take(connection, payload);
      this.#pump();
    }
  }

  #take(connection: Deno.Conn, payload: Uint8Array): void {
    const message = decodeHashMessage(payload);
    switch (message.kind) {
      case "greeting":
        if (this.#greeting !== null) throw new TypeError("The hasher greeted twice");
        this.#greeting = message.greeting;
        this.#sender = new FrameSender(connection);
        this.connections++;
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
