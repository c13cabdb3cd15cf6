/**
 * An analyser's connection to the agent: join, register, answer calls, and come again when it ends.
 *
 * It sends no events, so there is nothing to keep. The agent is not trusted: what it may not say ends the connection.
 *
 * @module
 */
import { capabilitiesOf } from "../../proto/capabilities.ts";
import { answerCall } from "../../proto/bus/answer_call.ts";
import { Answering } from "../../proto/bus/answering.ts";
import { type Answer, RPC_VERSION, type RpcRequest } from "../../proto/bus/rpc.ts";
import { Channel, type Connection } from "../../proto/channel.ts";
import { type CollectorIdentity, joinAgent } from "../../proto/handshake.ts";
import type { Registration } from "../../proto/registration.ts";
import { DEMAND_VERSION, HASHES, variableAttribute } from "../../proto/demand.ts";
import { VERSION } from "../../proto/version.ts";
import type { ReplyBody, RequestBody, WireMessage } from "../../proto/messages.ts";

const FIRST_RETRY_MS = 100, LAST_RETRY_MS = 1_000;
/** Calls that are carried out at one time. */
const MAX_CALLS = 8;

export interface AgentLinkOptions {
  readonly connect: () => Promise<Connection>;
  readonly token: string;
  readonly identity: CollectorIdentity;
  readonly registration: Registration;
  /** Throws when the listener of the socket is not the agent. */
  readonly checkPeer: () => void;
  readonly carryOut: (call: RpcRequest, signal: AbortSignal) => Promise<Answer>;
  readonly notice: (text: string) => void;
}

export class AgentLink {
  readonly #options: AgentLinkOptions;
  #channel: Channel | null = null;
  #stopping = false;

  constructor(options: AgentLinkOptions) {
    this.#options = options;
  }

  /** Connects, serves, and connects again, until {@linkcode stop}. */
  async run(): Promise<void> {
    let delay = FIRST_RETRY_MS, lastFault = "";
    while (!this.#stopping) {
      try {
        await this.#serve();
        lastFault = "";
        delay = FIRST_RETRY_MS;
      } catch (error) {
        const fault = error instanceof Error ? error.message : String(error), kind = fault.replace(/\d+/g, "0");
        if (kind !== lastFault && !this.#stopping) this.#options.notice(`connection to the agent: ${fault}`);
        lastFault = kind;
      }
      if (!this.#stopping) await new Promise((resolve) => setTimeout(resolve, delay));
      delay = Math.min(delay * 2, LAST_RETRY_MS);
    }
  }

  /** Says goodbye, and ends {@linkcode run}. */
  async stop(reason: string): Promise<void> {
    this.#stopping = true;
    const channel = this.#channel;
    if (channel === null) return;
    await channel.send({ kind: "goodbye", reason }).catch(() => {}); // the agent has gone
    channel.close();
  }

  async #serve(): Promise<void> {
    const { connect, checkPeer, token, identity, registration, carryOut } = this.#options;
    const channel = new Channel(await connect(), { idleTimeoutMs: 6 * registration.heartbeatMs });
    let heartbeat: ReturnType<typeof setInterval> | undefined, answering: Answering | null = null;
    try {
      checkPeer();
      await joinAgent(channel, token, identity, { registration });
      this.#channel = channel;
      const calls = answering = new Answering(carryOut, MAX_CALLS);
      heartbeat = setInterval(() => {
        channel.send({ kind: "heartbeat", time: Date.now() }).catch(() => channel.close());
      }, registration.heartbeatMs);
      for (let messages = await channel.receive(); messages !== null; messages = await channel.receive()) {
        for (const message of messages) if (!await this.#obey(channel, calls, message)) return;
      }
    } finally {
      clearInterval(heartbeat);
      this.#channel = null;
      channel.close();
      answering?.cancelAll();
    }
  }

  async #obey(channel: Channel, answering: Answering, message: WireMessage): Promise<boolean> {
    switch (message.kind) {
      case "request":
        if (message.body.kind === "rpc") answerCall(channel, answering, message.id, message.body.call);
        else await channel.send({ kind: "reply", id: message.id, body: this.#answer(message.body) });
        return true;
      case "rpcCancel":
        answering.cancel(message.id);
        return true;
      case "ack":
      case "heartbeat":
      case "registered":
      case "begin":
      case "ledgerNotes": // sent before the agent knew that it keeps no ledger
        return true;
      case "goodbye":
        return false;
      default:
        throw new TypeError(`The agent sent ${message.kind}, which only a collector may send`);
    }
  }

  #answer(body: RequestBody): ReplyBody {
    if (body.kind === "demand") {
      // It reports no events, so there are none that could lack what rules ask for.
      const { hashes, variables } = body.demand,
        asked = [...hashes ? [HASHES] : [], ...variables.map(variableAttribute)];
      const standing = { state: "configured", reason: "it reports no events", since: 0 } as const;
      return { kind: "demand", attributes: asked.map((attribute) => ({ attribute, ...standing })) };
    }
    if (body.kind !== "capabilities") return { kind: "error", reason: `An analyser does not answer ${body.kind}` };
    const versions = { serverVersion: VERSION, demandVersion: DEMAND_VERSION, rpcVersion: RPC_VERSION };
    return { kind: "capabilities", ...capabilitiesOf(this.#options.registration, body.domains, versions) };
  }
}
