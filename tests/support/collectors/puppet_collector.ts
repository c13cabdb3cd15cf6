/**
 * A collector that does what it is told, line by line on standard input, so that a test may drive one through any state
 * and any fault as a process of its own. `puppet_collector.ts SOCKET TOKEN NAME HEARTBEAT_MS`; each line is answered by
 * `ok` or `fault TEXT`. Connected it says that it lives, unless it is `mute`.
 *
 * @module
 */
import { AGENT, type Answer, Answering, type RpcRequest, success } from "../../../mod.ts";
import { Channel } from "../../../proto/channel.ts";
import { encodeFrame } from "../../../proto/frame.ts";
import { joinAgent } from "../../../proto/handshake.ts";
import { bootTag, execId } from "../../../proto/identity.ts";
import { blankProcessEvent } from "../../../proto/process_event.ts";
import { processTables, type Registration } from "../../../proto/registration.ts";
import type { ReplyBody, RequestBody, WireMessage } from "../../../proto/messages.ts";
import { PATIENCE_MS } from "../patience.ts";
import { encodeMessage } from "../../../proto/wire.ts";

const [socket, token, collectorId, heartbeat] = Deno.args as [string, string, string, string];
const heartbeatMs = Number(heartbeat), bootId = "0123abcd-0000-4000-8000-000000000000";

let channel: Channel | null = null, ended = Promise.resolve(), isMute = false, epoch = "e1", tasks = "answer";
let acknowledged = 0, heard: (kind: string) => void = () => {}, hello: Uint8Array<ArrayBuffer> | null = null;
const answering = new Answering(carryOut, 12);
setInterval(() => {
  if (!isMute) void channel?.send({ kind: "heartbeat", time: Date.now() }).catch(() => {});
}, 100);

/** What it registers and answers with: of a connection, the agent asks for it before it has registered. */
let domain = "process";

function registration(): Registration {
  return {
    ...{ collectorType: "puppet", kernelLevel: false, realtime: true, systemWide: false, heartbeatMs },
    domains: [domain as "process"],
    tables: domain === "process" ? processTables([]) : [],
    keepsLedger: false,
  };
}

function connected(): Channel {
  if (channel === null) throw new Error("the connection ended");
  return channel;
}

/** What the agent says with this kind, when it comes. */
function next(kind: string): Promise<void> {
  return new Promise((resolve) => heard = (came) => came === kind && resolve());
}

const ACTS: Readonly<Record<string, (...words: string[]) => Promise<void>>> = {
  /** Connects, also over a connection that it has, and proves itself: an epoch, and a domain that it will register. */
  async connect(as = "e1", of = "process") {
    [epoch, domain] = [as, of];
    const opened = new Channel(await Deno.connect({ transport: "unix", path: socket }));
    const send = opened.send.bind(opened);
    opened.send = (message) => {
      if (message.kind === "hello") hello = encodeFrame(encodeMessage(message));
      return send(message);
    };
    const welcome = await joinAgent(opened, token, {
      ...{ collectorId, epoch, bootId, softwareVersion: "1", source: "puppet" },
    });
    [channel, isMute, acknowledged] = [opened, false, welcome.lastSequence];
    ended = receive(opened);
  },
  async register() {
    const taken = next("registered");
    await connected().send({ kind: "registration", ...registration() });
    await Promise.race([taken, ended.then(() => Promise.reject(new Error("the connection ended")))]);
  },
  mute: () => Promise.resolve(void (isMute = true)),
  async beat() {
    await connected().send({ kind: "heartbeat", time: Date.now() });
  },
  async goodbye() {
    isMute = true;
    await connected().send({ kind: "goodbye", reason: "told to" });
    await ended;
  },
  close: () => Promise.resolve(connected().close()),
  /** Until the agent has ended the connection. */
  ended: () => ended,
  /** Asks the agent for an operation; with a time, or `cancel` instead of one, it does not wait for the answer. */
  async call(operation, within = String(PATIENCE_MS)) {
    const reason = { kind: "reason", text: "a test" } as const, abort = new AbortController();
    const registration = {
      ...{ collectorType: "puppet", version: "1", capabilities: ["process"], heartbeatIntervalMs: heartbeatMs },
    };
    const payload = operation === "register" ? { kind: "registration", registration } as const : reason;
    const timeoutMs = within === "cancel" ? 10_000 : Number(within);
    if (within === "cancel") setTimeout(() => abort.abort(new Error("cancelled")), 100);
    const call = { operation, target: AGENT, timeoutMs, correlation: null, payload } as RpcRequest;
    const reply = await connected().request({ kind: "rpc", call }, { timeoutMs, signal: abort.signal });
    if (reply.kind !== "rpc") throw new Error(reply.kind);
    if (reply.response.status !== "success") throw new Error(reply.response.error?.message ?? reply.response.status);
  },
  /** Sends events, and waits until they are stored. */
  async send(count) {
    const first = acknowledged + 1, last = acknowledged + Number(count);
    const events = Array.from({ length: Number(count) }, (_, i) => {
      const id = execId(bootTag(bootId), 1_000 + i, first + i, null);
      return { ...blankProcessEvent("start", Date.now(), id, 1_000 + i), name: collectorId };
    });
    await connected().send({ kind: "events", firstSequence: first, events });
    while (acknowledged < last) {
      await Promise.race([next("ack"), ended.then(() => Promise.reject(new Error("the connection ended")))]);
    }
  },
  /** Events whose bytes end in the middle, in a frame that is right. */
  async tear() {
    const event = { ...blankProcessEvent("start", Date.now(), "0123abcd-1-1", 1), name: "torn" };
    const bytes = encodeMessage({ kind: "events", firstSequence: acknowledged + 1, events: [event] });
    await connected().sendFrame(encodeFrame(bytes.slice(0, -3)));
  },
  /** Its own handshake once more, on another connection. */
  async replay() {
    const again = new Channel(await Deno.connect({ transport: "unix", path: socket }));
    await again.receiveOne();
    await again.sendFrame(hello!);
    const answer = await again.receiveOne();
    again.close();
    if (answer?.kind !== "refused") throw new Error(`it is answered by ${answer?.kind}`);
  },
  /** What it does with tasks: `answer`, `never`, `leave`. */
  tasks: (what) => Promise.resolve(void (tasks = what!)),
};

async function receive(from: Channel): Promise<void> {
  try {
    for (let messages = await from.receive(); messages !== null; messages = await from.receive()) {
      for (const message of messages) take(from, message);
    }
  } catch {
    // its end is what is asked for
  } finally {
    if (channel === from) channel = null;
  }
}

function take(from: Channel, message: WireMessage): void {
  if (message.kind === "ack") acknowledged = message.sequence;
  if (message.kind === "rpcCancel") answering.cancel(message.id);
  if (message.kind === "request") void reply(from, message.id, message.body);
  heard(message.kind);
}

async function reply(to: Channel, id: number, body: RequestBody): Promise<void> {
  const answer: ReplyBody = body.kind === "capabilities"
    ? {
      ...{ kind: "capabilities", success: true, domains: [domain as "process"], kernelLevel: false, realtime: true },
      ...{ systemWide: false, errorMessage: null, serverVersion: "1", demandVersion: 0, rpcVersion: 1 },
    }
    : body.kind === "rpc"
    ? { kind: "rpc", response: await answering.answer(id, body.call) }
    : { kind: "error", reason: "a puppet does not say" };
  await to.send({ kind: "reply", id, body: answer }).catch(() => {});
}

async function carryOut({ operation, payload }: RpcRequest): Promise<Answer> {
  if (operation === "get_capabilities") {
    const operations = ["get_capabilities", "execute_task"] as const;
    return success({ kind: "capabilities", operations, taskTypes: ["enumerate_processes"], version: "1" });
  }
  if (payload.kind !== "task") return success({ kind: "done", text: operation });
  if (tasks === "leave") connected().close();
  if (tasks !== "answer") await new Promise(() => {});
  const { taskId } = payload.task;
  const result = { taskId, success: true, errorMessage: null, processes: [], hashResult: null };
  return success({ kind: "result", result });
}

let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream() as never) as AsyncIterable<string>) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    const [act, ...words] = line.split(" ");
    try {
      await ACTS[act!]!(...words);
      console.log("ok");
    } catch (error) {
      console.log(`fault ${error instanceof Error ? error.message : error}`);
    }
  }
}
Deno.exit(0);
