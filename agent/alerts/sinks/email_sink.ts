/**
 * Alerts by mail, one message each, over SMTP with STARTTLS or TLS, and with authentication where it is set.
 *
 * SMTP and MIME are nodemailer's; the connection is ours, so that the server is known as in `channel.ts`, and nothing is
 * looked up that the agent may not. A message has the same Message-ID at every attempt. Refusal of a recipient or of a
 * message is for good, refusal of a login is not: that is the configuration's fault and not the alert's.
 *
 * @module
 */
import type { Buffer } from "node:buffer";
import type net from "node:net";
import type tls from "node:tls";
import MailComposer from "nodemailer/lib/mail-composer";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { Alert } from "../../../proto/alert.ts";
import { printable } from "../../../proto/printable.ts";
import type { EmailSinkSettings } from "../../../proto/sink_settings.ts";
import { FORMATS } from "../formats/format.ts";

import { clipped, isoTime, shown } from "../../../proto/formats/text.ts";
import { failed, refused, type Sink, SinkError, textOf } from "../sink.ts";
import { connectChannel, discard, tlsOptions, within } from "./channel.ts";
import { readSecret } from "./secret_file.ts";
import { messageId } from "./webhook_signature.ts";

/** Longest subject line that is not folded by some reader or other. */
const MAX_SUBJECT = 200;
/** Longest reply of a server that is read. */
const MAX_REPLY_BYTES = 65_536;

export function emailSink(settings: EmailSinkSettings, host: string): Sink {
  const { name, minSeverity } = settings;
  return {
    name,
    minSeverity,
    async write(alerts) {
      const { smtp, socket } = await openSmtp(settings, host);
      try {
        for (const [taken, alert] of alerts.entries()) await send(smtp, settings, host, alert, taken);
        smtp.quit();
      } finally {
        discard(socket);
        smtp.close();
      }
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
}

/** A connection that is greeted, encrypted and authenticated as it is set. @throws {SinkError} */
async function openSmtp(
  settings: EmailSinkSettings,
  host: string,
): Promise<{ smtp: SMTPConnection; socket: net.Socket }> {
  const { security, timeoutMs, user, passwordFile } = settings;
  const isTls = security === "tls";
  const target = { host: settings.host, port: settings.port, tls: isTls ? settings.tls : null };
  const socket = await connectChannel(target, timeoutMs);
  try {
    const smtp = new SMTPConnection({
      connection: socket,
      host: settings.host,
      port: settings.port,
      secure: isTls,
      secured: isTls,
      requireTLS: security === "starttls",
      ignoreTLS: security === "none",
      tls: { ...tlsOptions(settings.tls, settings.host) } as tls.ConnectionOptions,
      name: greetingName(host),
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      maxResponseSize: MAX_REPLY_BYTES,
      logger: false,
    });
    // The deadline of a step is nodemailer's, which a server that says a byte now and then defers: so there is one of ours.
    const fault = new Promise<never>((_, reject) => smtp.once("error", reject));
    fault.catch(() => {});
    smtp.on("error", () => {}); // after the first, each is told by the step it broke
    await within(timeoutMs, "no greeting", Promise.race([called((done) => smtp.connect(done)), fault]));
    if (user !== null) {
      const credentials = { user, pass: readSecret(passwordFile!) };
      await within(
        timeoutMs,
        "no answer to the login",
        Promise.race([called((d) => smtp.login({ credentials }, d)), fault]),
      );
    }
    return { smtp, socket };
  } catch (error) {
    discard(socket);
    throw error instanceof SinkError ? error : failed(`${settings.host}:${settings.port}: ${reply(error)}`, 0);
  }
}

async function send(
  smtp: SMTPConnection,
  settings: EmailSinkSettings,
  host: string,
  alert: Alert,
  taken: number,
): Promise<void> {
  const { from, to, timeoutMs, maxBytes } = settings;
  const message = await mailOf(alert, settings, host);
  if (message.length > maxBytes) throw refused(`a mail of ${message.length} bytes is more than max_bytes`, taken);
  try {
    const sent = called((done) => smtp.send({ from, to: [...to], size: message.length }, message, done));
    await within(timeoutMs, "no answer to a message", sent);
  } catch (error) {
    const where = `${settings.host}:${settings.port}: ${reply(error)}`;
    // 421 and the like of a server that goes away come with 4, as do greylisting and full disks.
    const { responseCode } = error as { responseCode?: number };
    throw responseCode !== undefined && responseCode >= 500 ? refused(where, taken) : failed(where, taken);
  }
}

/** The words of a server are its own: made harmless, and short. */
function reply(error: unknown): string {
  return printable(clipped(textOf(error), 200));
}

function called(call: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => call((error) => error ? reject(error) : resolve()));
}

/** RFC 5321, section 4.1.1.1: a domain, or an address where a host has no name. */
function greetingName(host: string): string {
  return /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host) ? host : "[127.0.0.1]";
}

function mailOf(alert: Alert, settings: EmailSinkSettings, host: string): Promise<Buffer> {
  const { format, from, to } = settings, valueBytes = 4_096;
  const line = FORMATS[format].line(alert, { host, valueBytes });
  const text = format === "human" ? `${line}\n\n${details(alert, host, valueBytes)}` : line;
  const subject = clipped(`[${alert.severity}] ${host}: ${printable(alert.title)}`, MAX_SUBJECT);
  return new MailComposer({
    from,
    to: [...to],
    subject,
    text,
    // Not quoted-printable: each line of base64 is short, whatever an attacker wrote.
    textEncoding: "base64",
    date: new Date(isoTime(alert.detectedTime) ?? 0),
    messageId: `<${messageId(alert.alertId)}@${greetingName(host).replace(/[[\]]/g, "")}>`,
    headers: { "Auto-Submitted": "auto-generated", "X-DaemonEye-Alert-Id": clipped(printable(alert.alertId), 200) },
    // What is in an alert must not make a file or an address be read.
    disableFileAccess: true,
    disableUrlAccess: true,
  }).compile().build();
}

const DETAILS: readonly (readonly [name: string, value: (a: Alert) => string | number | null | undefined])[] = [
  ["rule", (a) => a.ruleId],
  ["description", (a) => a.description],
  ["tags", (a) => a.tags.join(" ")],
  ["process", (a) => a.name],
  ["pid", (a) => a.pid],
  ["user", (a) => a.userName ?? a.userId],
  ["executable", (a) => a.executablePath],
  ["command line", (a) => a.commandLine],
  ["directory", (a) => a.cwd],
  ["container", (a) => a.containerId],
  ["parent", (a) => a.parentExecutablePath ?? a.parentName],
  ["parent's command line", (a) => a.parentCommandLine],
  ["seen before", (a) => a.hitsBefore],
  ["alert", (a) => a.alertId],
];

function details(alert: Alert, host: string, valueBytes: number): string {
  const lines = DETAILS.flatMap(([name, valueOf]) => {
    const value = valueOf(alert);
    return value === null || value === undefined || value === ""
      ? []
      : [`${name}: ${shown(String(value), valueBytes)}`];
  });
  const evidence = Object.entries(alert.evidence)
    .map(([name, value]) => `  ${printable(name)}: ${shown(String(value), valueBytes)}`);
  return [`host: ${host}`, ...lines, "evidence:", ...evidence, ""].join("\n");
}
