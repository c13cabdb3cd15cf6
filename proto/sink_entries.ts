/**
 * The sinks of a configuration: entries of `agent.sinks`, checked.
 *
 * An error says which entry and what was expected, and repeats nothing of it: it may be a secret that somebody put there.
 *
 * @module
 */
import type { Severity } from "./process_event.ts";
import { CHANNEL, checkedFields, checkedText, FIELDS, type Fields, HOST } from "./sink_fields.ts";
import {
  type EmailSinkSettings,
  FACILITIES,
  type FileSinkSettings,
  type FormatName,
  type SinkSettings,
  type SinkType,
  type SyslogPlace,
  type SyslogSinkSettings,
  type TlsSettings,
} from "./sink_settings.ts";

const MAX_SINKS = 32;

/** The format of a sink of each type that names none. */
const USUAL_FORMAT: Readonly<Record<SinkType, FormatName>> = {
  stdout: "human",
  file: "json",
  syslog: "human",
  webhook: "json",
  email: "human",
  bus: "json", // its messages have a form of their own
};

/** RFC 5425, section 4.1, asks for no port, its registration for 6514; RFC 6409 for 587, RFC 8314 for 465. */
const USUAL_PORT = { udp: 514, tcp: 601, tls: 6514, smtp: 587, smtps: 465 } as const;

/**
 * The sinks of a list of entries.
 *
 * @param wrong makes the error for what was expected of an entry
 */
export function parseSinks(raw: unknown, wrong: (expected: string) => Error): SinkSettings[] {
  const list = typeof raw === "string" ? parsedList(raw, wrong) : raw;
  if (!Array.isArray(list) || list.length > MAX_SINKS) throw wrong(`a list of at most ${MAX_SINKS} sinks`);
  const sinks = list.map((entry, i) => sinkOf(entry, (expected) => wrong(`right: entry ${i + 1} ${expected}`)));
  const names = new Set<string>();
  for (const { name } of sinks) {
    if (names.has(name)) throw wrong(`right: two entries have the name ${name}; each sink needs its own`);
    names.add(name);
  }
  if (sinks.filter(({ type }) => type === "bus").length > 1) {
    throw wrong("right: two entries have the type bus; there is one bus, and one sink for it");
  }
  return sinks;
}

function parsedList(text: string, wrong: (expected: string) => Error): unknown {
  if (text === "") return [];
  try {
    return JSON.parse(text);
  } catch {
    throw wrong("a list of sinks, as JSON");
  }
}

function sinkOf(raw: unknown, wrong: (expected: string) => Error): SinkSettings {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    throw wrong("must be a sink: name, type and so on");
  }
  const entry = raw as Record<string, unknown>;
  const { name, type } = entry;
  if (typeof name !== "string" || !/^[a-z][a-z0-9_-]{0,31}$/.test(name)) {
    throw wrong("needs a name of at most 32 lower case letters, digits, '_' and '-', which begins with a letter");
  }
  const at = (expected: string): Error => wrong(`(${name}) ${expected}`);
  if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) {
    throw at(`needs a type: one of ${Object.keys(FIELDS).join(", ")}`);
  }
  // An old setting of its own stands behind each of these names.
  if ((name === "file" || name === "stdout") && type !== name) {
    throw at(`is the name of the sink of agent.${name === "file" ? "alert_file" : "stdout"}; choose another one`);
  }
  const fields = checkedFields(entry, type as SinkType, at);
  return settingsOf(type as SinkType, name, fields, at);
}

function settingsOf(
  type: SinkType,
  name: string,
  fields: Fields,
  wrong: (expected: string) => Error,
): SinkSettings {
  const format = (fields.text("format") ?? USUAL_FORMAT[type]) as FormatName;
  const minSeverity = (fields.text("min_severity") ?? "info") as Severity;
  const common = { name, format, minSeverity };
  const timeoutMs = fields.number("timeout_ms", 15_000);
  switch (type) {
    case "stdout":
      return { type, ...common };
    case "file":
      return {
        type,
        ...common,
        path: fields.text("path")!,
        rotateBytes: fields.number("rotate_bytes", 0),
        rotateKeep: fields.number("rotate_keep", 5),
        fsync: (fields.text("fsync") ?? "always") as FileSinkSettings["fsync"],
      };
    case "syslog": {
      const place = syslogPlace(fields.text("address")!, wrong);
      const datagram = place.transport === "udp" || place.transport === "unixgram";
      const local = place.transport === "unix" || place.transport === "unixgram";
      const framing = fields.text("framing") ?? (local ? "newline" : "octet-counting");
      if (place.transport === "tls" && framing !== "octet-counting") {
        throw wrong("needs octet-counting as framing over TLS (RFC 5425)");
      }
      if (place.transport !== "tls" && (fields.list("pins").length > 0 || hasTlsFiles(fields))) {
        throw wrong("has certificates or pins, which take an address of tls://");
      }
      return {
        type,
        ...common,
        place,
        facility: FACILITIES.indexOf((fields.text("facility") ?? "local0") as typeof FACILITIES[number]),
        framing: framing as SyslogSinkSettings["framing"],
        structuredData: (fields.text("structured_data") ?? (format === "human" ? "yes" : "no")) === "yes",
        isConfirmed: (fields.text("confirm") ?? "yes") === "yes",
        maxBytes: fields.number("max_bytes", datagram ? 2_048 : 8_192), // RFC 5426, 3.2 and RFC 5425, 4.3.1
        timeoutMs,
        tls: tlsOf(fields, wrong),
      };
    }
    case "webhook": {
      const url = new URL(fields.text("url")!);
      if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong("needs a url of https:// or http://");
      refuseCredentials(url, "authorization_file", wrong);
      const secretFiles = fields.list("secret_files"), authorizationFile = fields.text("authorization_file");
      const maxBytes = fields.number("max_bytes", 20_000); // Standard Webhooks: usually smaller than 20 kB
      const tls = tlsOf(fields, wrong);
      return { type, ...common, url: url.href, secretFiles, authorizationFile, maxBytes, timeoutMs, tls };
    }
    case "email": {
      const url = new URL(fields.text("address")!);
      const scheme = url.protocol.slice(0, -1);
      if (scheme !== "smtp" && scheme !== "smtps") throw wrong("needs an address of smtp:// or smtps://");
      refuseCredentials(url, "user and password_file", wrong);
      const security = fields.text("security") ?? (scheme === "smtps" ? "tls" : "starttls");
      if ((security === "tls") !== (scheme === "smtps")) throw wrong("needs smtps:// exactly for the security tls");
      const user = fields.text("user"), passwordFile = fields.text("password_file");
      if ((user === null) !== (passwordFile === null)) throw wrong("needs user and password_file, or neither");
      if (user !== null && security === "none") throw wrong("would send a password in clear; use starttls or tls");
      return {
        type,
        ...common,
        ...hostOf(url, USUAL_PORT[scheme], wrong),
        security: security as EmailSinkSettings["security"],
        user,
        passwordFile,
        from: fields.text("from")!,
        to: fields.list("to"),
        maxBytes: fields.number("max_bytes", 65_536),
        timeoutMs,
        tls: tlsOf(fields, wrong),
      };
    }
    case "bus":
      return {
        type,
        ...common,
        waitsForSubscriber: (fields.text("wait_for_subscriber") ?? "yes") === "yes",
        timeoutMs,
      };
  }
}

function hasTlsFiles(fields: Fields): boolean {
  return Object.keys(CHANNEL).some((name) => fields.text(name) !== null);
}

function tlsOf(fields: Fields, wrong: (expected: string) => Error): TlsSettings {
  const certFile = fields.text("cert_file"), keyFile = fields.text("key_file");
  if ((certFile === null) !== (keyFile === null)) throw wrong("needs cert_file and key_file, or neither");
  const caFile = fields.text("ca_file"), serverName = fields.text("server_name");
  return { caFile, certFile, keyFile, serverName, pins: fields.list("pins") };
}

function syslogPlace(address: string, wrong: (expected: string) => Error): SyslogPlace {
  const url = new URL(address), transport = url.protocol.slice(0, -1);
  switch (transport) {
    case "udp":
    case "tcp":
    case "tls":
      refuseCredentials(url, "cert_file and key_file", wrong);
      return { transport, ...hostOf(url, USUAL_PORT[transport], wrong) };
    case "unix":
    case "unixgram": {
      const path = checkedText(
        address.slice(`${transport}://`.length),
        "path",
        (expected) => wrong(`needs ${expected}`),
      );
      // Deno lets nobody but a program with every right open what is in /dev.
      if (path.startsWith("/dev/")) {
        throw wrong(
          `cannot reach ${path}: Deno closes /dev to programs with limited rights. Use unixgram:///run/systemd/journal/` +
            `dev-log, which is the same socket under systemd, or a socket of the log daemon's elsewhere`,
        );
      }
      return { transport, path };
    }
    default:
      throw wrong("needs an address of udp://, tcp://, tls://, unix:// or unixgram://");
  }
}

function hostOf(url: URL, usual: number, wrong: (expected: string) => Error): { host: string; port: number } {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (!HOST.test(host)) throw wrong(`needs a host in ${url.href}`);
  if (url.pathname.length > 1 || url.search !== "" || url.hash !== "") {
    throw wrong(`needs host and port alone in ${url.href}`);
  }
  if (url.port === "0") throw wrong("needs a port from 1 to 65535");
  return { host, port: url.port === "" ? usual : Number(url.port) };
}

function refuseCredentials(url: URL, instead: string, wrong: (expected: string) => Error): void {
  if (url.username !== "" || url.password !== "") {
    throw wrong(`has credentials in its address, where everybody sees them; use ${instead}`);
  }
}
