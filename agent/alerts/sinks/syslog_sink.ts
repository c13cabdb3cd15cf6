/**
 * Alerts to a log server: RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or a Unix socket.
 *
 * What each way can promise is said in `stream_link.ts` and `datagram_link.ts`.
 *
 * @module
 */
import type { Alert } from "../../../proto/alert.ts";
import type { SyslogSinkSettings } from "../../../proto/sink_settings.ts";
import { fittedMessage } from "../formats/format.ts";
import { refused, type Sink, SinkError } from "../sink.ts";
import { DatagramLink } from "./datagram_link.ts";
import { StreamLink } from "./stream_link.ts";
import { syslogMessage } from "./syslog_message.ts";

/** @param ownSocket a path of the agent's own, where Unix datagrams leave from */
export function syslogSink(settings: SyslogSinkSettings, host: string, ownSocket: string): Sink {
  const { name, minSeverity, place, timeoutMs, tls, maxBytes } = settings;
  const message = (alert: Alert): Uint8Array | null =>
    fittedMessage(maxBytes, (valueBytes) => syslogMessage(alert, settings, host, valueBytes));
  const tooLong = `an alert does not fit into a message of ${maxBytes} bytes; raise max_bytes or choose another format`;
  const datagrams = datagramLink(settings, ownSocket);
  if (datagrams !== null) {
    const write: Sink["write"] = (alerts) => sendEach(alerts, message, tooLong, (bytes) => datagrams.send(bytes));
    return {
      name,
      minSeverity,
      write,
      written: () => Promise.resolve(new Set()),
      close: () => Promise.resolve(datagrams.close()),
    };
  }
  const target = "path" in place
    ? { path: place.path }
    : { host: place.host, port: place.port, tls: place.transport === "tls" ? tls : null };
  const stream = new StreamLink(target, timeoutMs, settings.isConfirmed);
  const write: Sink["write"] = (alerts) =>
    sendTogether(alerts, message, tooLong, settings.framing, (bytes) => stream.send(bytes));
  return { name, minSeverity, write, written: () => Promise.resolve(new Set()), close: () => stream.close() };
}

/** `null` for a place that takes a stream. */
function datagramLink({ place, timeoutMs }: SyslogSinkSettings, ownSocket: string): DatagramLink | null {
  switch (place.transport) {
    case "udp":
      return new DatagramLink({ transport: "udp", hostname: place.host, port: place.port }, ownSocket, timeoutMs);
    case "unixgram":
      return new DatagramLink({ transport: "unixpacket", path: place.path }, ownSocket, timeoutMs);
    case "tcp":
    case "tls":
    case "unix":
      return null;
  }
}

async function sendEach(
  alerts: readonly Alert[],
  message: (alert: Alert) => Uint8Array | null,
  tooLong: string,
  send: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  for (const [i, alert] of alerts.entries()) {
    const bytes = message(alert);
    if (bytes === null) throw refused(tooLong, i);
    try {
      await send(bytes);
    } catch (error) {
      if (error instanceof SinkError) throw new SinkError(error.message, error.remedy, i, { cause: error });
      throw error;
    }
  }
}

async function sendTogether(
  alerts: readonly Alert[],
  message: (alert: Alert) => Uint8Array | null,
  tooLong: string,
  framing: SyslogSinkSettings["framing"],
  send: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const messages = alerts.map(message), unfit = messages.indexOf(null);
  const fit = unfit < 0 ? messages : messages.slice(0, unfit);
  if (fit.length > 0) await send(framed(fit as Uint8Array[], framing));
  if (unfit >= 0) throw refused(tooLong, unfit);
}

/** RFC 6587, section 3.4.1: the length in bytes before each; or a line end behind, as no message holds one. */
function framed(messages: readonly Uint8Array[], framing: SyslogSinkSettings["framing"]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = messages.flatMap((bytes) =>
    framing === "octet-counting" ? [encoder.encode(`${bytes.length} `), bytes] : [bytes, encoder.encode("\n")]
  );
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
