/**
 * The witness over HTTP on a Unix socket: `POST /add-checkpoint` of C2SP tlog-witness, and nothing else.
 *
 * Who may ask is for the socket's mode to say; what is asked is bounded and checked. A fault of the disk is 500, and
 * nothing was cosigned then.
 *
 * @module
 */
import { MAX_REQUEST_BYTES } from "../../proto/ledger/witness.ts";
import { signatureLine, type Witness } from "./witness.ts";

/** Requests whose bodies are read at a time: each may take `MAX_REQUEST_BYTES`. */
const MAX_REQUESTS = 32;
/** Time for a body to arrive. */
const BODY_MS = 10_000;

/** The handler of requests. `tell` is told of what an operator should know. */
export function witnessHandler(
  witness: Witness,
  tell: (text: string) => void,
): (request: Request) => Promise<Response> {
  let reading = 0;
  return async (request) => {
    if (new URL(request.url).pathname !== "/add-checkpoint") return plain(404, "There is only add-checkpoint");
    if (request.method !== "POST") return plain(405, "add-checkpoint is a POST");
    if (reading >= MAX_REQUESTS) return plain(503, "Too many requests at a time; try again");
    reading += 1;
    let body: Uint8Array | null;
    try {
      body = await readBody(request);
    } catch {
      return plain(400, "The request ended before its body");
    } finally {
      reading -= 1;
    }
    if (body === null) return plain(413, `A request has at most ${MAX_REQUEST_BYTES} bytes`);
    try {
      const answer = await witness.answer(body);
      if (answer.kind === "cosigned") {
        tell(`cosigned ${answer.checkpoint.origin} at ${answer.checkpoint.size}`);
        return plain(200, signatureLine(answer.signature).trimEnd());
      }
      tell(`refused with ${answer.status}: ${answer.reason}`);
      if (answer.known === null) return plain(answer.status, answer.reason);
      return new Response(`${answer.known}\n`, { status: 409, headers: { "content-type": "text/x.tlog.size" } });
    } catch (error) {
      tell(`failed: ${error instanceof Error ? error.message : error}`);
      return plain(500, "The witness cannot keep what it would cosign; nothing was cosigned");
    }
  };
}

function plain(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

/** The body; `null` when it is too long. */
async function readBody(request: Request): Promise<Uint8Array | null> {
  const kept = new Uint8Array(MAX_REQUEST_BYTES);
  let length = 0;
  if (request.body === null) return kept.subarray(0, 0);
  const reader = request.body.getReader();
  const late = setTimeout(() => reader.cancel().catch(() => {}), BODY_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return kept.slice(0, length);
      if (length + value.length > kept.length) {
        await reader.cancel().catch(() => {});
        return null;
      }
      kept.set(value, length);
      length += value.length;
    }
  } finally {
    clearTimeout(late);
  }
}
