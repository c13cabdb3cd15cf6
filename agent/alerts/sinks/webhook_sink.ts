/**
 * Alerts by HTTP POST, signed by Standard Webhooks 1.0.0, one alert a request.
 *
 * The receiver is not trusted: nothing it says is followed, of its answer a bounded part is read, and the whole of an
 * attempt has one deadline. An answer that comes after it counts as none: the alert goes again under the same id.
 *
 * @module
 */
import type { Alert } from "../../../proto/alert.ts";
import { printable } from "../../../proto/printable.ts";
import type { WebhookSinkSettings } from "../../../proto/sink_settings.ts";
import { VERSION } from "../../../proto/version.ts";
import { fittedMessage, FORMATS } from "../formats/format.ts";
import type { AlertFormat } from "../../../proto/formats/alert_format.ts";
import { isoTime, jsonLine } from "../../../proto/formats/text.ts";
import { failed, refused, type Remedy, type Sink, SinkError, textOf } from "../sink.ts";
import { retryAfterMs } from "./retry_after.ts";
import { readCertificate, readSecret } from "./secret_file.ts";
import { signedHeaders, type Signer, signerOf } from "./webhook_signature.ts";

/** Of an answer that says no, so much is read, to tell the operator. */
const MAX_ANSWER_BYTES = 1_024;
const MAX_ANSWER_SHOWN = 160;

/** Answers that are about this one alert: its form or its size. Of all others another attempt may do better. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 414, 415, 422, 431]);

export function webhookSink(settings: WebhookSinkSettings, host: string): Sink {
  const { name, minSeverity, url, maxBytes, timeoutMs } = settings;
  const format = FORMATS[settings.format];
  let client: Deno.HttpClient | null = null;

  async function write(alerts: readonly Alert[]): Promise<void> {
    const { signers, authorization } = secretsOf(settings);
    client ??= newClient(settings);
    for (const [taken, alert] of alerts.entries()) {
      const body = fittedMessage(maxBytes, (valueBytes) => bodyOf(alert, format, host, valueBytes));
      if (body === null) {
        throw refused(`an alert does not fit into a body of ${maxBytes} bytes; raise max_bytes`, taken);
      }
      const headers = {
        ...signedHeaders(alert.alertId, Math.floor(Date.now() / 1_000), body, signers),
        "content-type": "application/json",
        "user-agent": `DaemonEye/${VERSION}`,
        ...(authorization === null ? {} : { authorization }),
      };
      await post(body, headers, taken);
    }
  }

  async function post(body: Uint8Array, headers: Record<string, string>, taken: number): Promise<void> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      const response = await fetch(url, {
        method: "POST",
        body: body as Uint8Array<ArrayBuffer>,
        headers,
        redirect: "manual",
        signal: deadline.signal,
        client: client!,
      });
      const { ok, status } = response;
      if (ok) {
        // It has the alert: its words do not matter, and may be without end.
        await response.body?.cancel().catch(() => {});
        return;
      }
      const retryAfter = response.headers.get("retry-after");
      const said = await beginOf(response);
      throw new SinkError(`${url} answered ${status}${said}`, remedyOf(status, retryAfter, Date.now()), taken);
    } catch (error) {
      if (error instanceof SinkError) throw error;
      throw failed(`${url}: ${textOf(deadline.signal.aborted ? deadline.signal.reason : error)}`, taken, error);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    name,
    minSeverity,
    write: (alerts) =>
      write(alerts).catch((error) => {
        // A connection of a client that failed may be half dead, and certificates may be new.
        if (!(error instanceof SinkError) || error.remedy.kind === "retry") {
          client?.close();
          client = null;
        }
        throw error;
      }),
    written: () => Promise.resolve(new Set()),
    close: () => {
      client?.close();
      client = null;
      return Promise.resolve();
    },
  };
}

/** The specification's recommended form: type, time, and the alert in the sink's format as data. */
function bodyOf(alert: Alert, format: AlertFormat, host: string, valueBytes: number): string {
  const line = format.line(alert, { host, valueBytes });
  const data = format.contentType === "application/json" ? line : jsonLine({ text: line });
  return `{"type":"daemoneye.alert","timestamp":${JSON.stringify(isoTime(alert.time) ?? null)},"data":${data}}`;
}

/** What is to be done about an answer that is not 2xx. */
function remedyOf(status: number, retryAfter: string | null, now: number): Remedy {
  if (status === 410) return { kind: "disabled" };
  if (REFUSALS.has(status)) return { kind: "refused" };
  const ms = retryAfter === null ? null : retryAfterMs(retryAfter, now);
  return ms === null ? { kind: "retry" } : { kind: "retryAfter", ms };
}

/** Read at every write: they may have been changed since. */
function secretsOf(settings: WebhookSinkSettings): { signers: Signer[]; authorization: string | null } {
  try {
    const signers = settings.secretFiles.map((path) => signerOf(readSecret(path), path));
    const { authorizationFile } = settings;
    const authorization = authorizationFile === null ? null : readSecret(authorizationFile);
    if (authorization !== null && !/^[\x20-\x7e]+$/.test(authorization)) {
      throw new Error(`${authorizationFile} must hold one line of printable ASCII`);
    }
    return { signers, authorization };
  } catch (error) {
    throw failed(textOf(error), 0, error);
  }
}

function newClient({ tls }: WebhookSinkSettings): Deno.HttpClient {
  const { caFile, certFile, keyFile } = tls;
  try {
    return Deno.createHttpClient({
      ...(caFile === null ? {} : { caCerts: [readCertificate(caFile)] }),
      ...(certFile === null ? {} : { cert: readCertificate(certFile), key: readSecret(keyFile!) }),
      poolMaxIdlePerHost: 1,
    } as Deno.CreateHttpClientOptions);
  } catch (error) {
    throw failed(textOf(error), 0, error);
  }
}

/** `: its first words`, harmless in a log; empty where it says nothing in time. */
async function beginOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader(), chunks: Uint8Array[] = [];
  try {
    for (let length = 0; length < MAX_ANSWER_BYTES;) {
      const { value, done } = await reader.read();
      if (done) break;
      chunks.push(value.subarray(0, MAX_ANSWER_BYTES - length));
      length += value.length;
    }
  } catch {
    // What was read is all that it said.
  }
  await reader.cancel().catch(() => {});
  const text = new TextDecoder().decode(Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))).trim();
  return text === "" ? "" : `: ${printable(text.slice(0, MAX_ANSWER_SHOWN).toWellFormed())}`;
}
