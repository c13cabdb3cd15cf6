/**
 * The sinks of the configuration, ready to write; and what they were not granted.
 *
 * @module
 */
import { flagsOf, needsOf, ownSocket, type SinkNeeds } from "../../../proto/sink_needs.ts";
import type { SinkSettings } from "../../../proto/sink_settings.ts";
import type { Bus } from "../../bus/bus.ts";
import { disabled, type Sink, textOf } from "../sink.ts";
import { busSink } from "./bus_sink.ts";
import { FileSink } from "./file_sink.ts";
import { readCertificate, readSecret } from "./secret_file.ts";
import { stdoutSink } from "./stdout_sink.ts";
import { syslogSink } from "./syslog_sink.ts";
import { webhookSink } from "./webhook_sink.ts";

export interface SinkSurroundings {
  readonly host: string;
  /** The agent's own directory. */
  readonly directory: string;
  readonly colour: boolean;
  readonly bus: Bus;
  /** Says what is missing. */
  notice(text: string): void;
}

/** Each sink of the settings; one that lacks a grant is there, and takes nothing. */
export function openSinks(settings: readonly SinkSettings[], surroundings: SinkSurroundings): Sink[] {
  return settings.map((sink) => {
    const missing = ungrantedText(sink, surroundings.directory);
    if (missing === null) {
      for (const fault of fileFaults(sink)) {
        surroundings.notice(`the sink ${sink.name}: ${fault}; its alerts wait for that`);
      }
      return openSink(sink, surroundings);
    }
    const text = `the sink ${sink.name} is off: ${missing}`;
    surroundings.notice(text);
    return ungranted(sink, text);
  });
}

/** Why these sinks could not be used as they are set, each with its mend. */
export function sinkFaults(settings: readonly SinkSettings[], directory: string): string[] {
  return settings.flatMap((sink) => {
    const missing = ungrantedText(sink, directory);
    return (missing === null ? fileFaults(sink) : [missing]).map((fault) => `the sink ${sink.name}: ${fault}`);
  });
}

/** What a running agent can never get for itself; `null` when nothing is missing. */
function ungrantedText(sink: SinkSettings, directory: string): string | null {
  const missing = missingGrants(needsOf(sink, directory));
  if (missing.length === 0) return null;
  return `the agent was not granted ${missing.join(" ")}. 'deno task start' grants what the configuration names when ` +
    `it starts; an installed agent gets it by 'deno task build --config FILE'`;
}

function openSink(settings: SinkSettings, { host, directory, colour, bus, notice }: SinkSurroundings): Sink {
  switch (settings.type) {
    case "stdout":
      return stdoutSink({ ...settings, host, colour });
    case "file":
      return new FileSink(settings, host);
    case "syslog":
      return syslogSink(settings, host, ownSocket(directory, settings.name));
    case "webhook":
      return webhookSink(settings, host);
    case "email":
      return loadedLater(settings, async () => (await import("./email_sink.ts")).emailSink(settings, host));
    case "bus":
      return busSink(settings, bus, notice);
  }
}

/** A sink whose libraries cost memory: loaded with its first alert. */
function loadedLater({ name, minSeverity }: SinkSettings, load: () => Promise<Sink>): Sink {
  let sink: Promise<Sink> | null = null;
  return {
    name,
    minSeverity,
    write: async (alerts) => await (await (sink ??= load())).write(alerts),
    written: () => Promise.resolve(new Set()),
    close: async () => await (await sink)?.close(),
  };
}

/** What is wrong with the files that the sink will read: said at the start, and not with the first alert. */
function fileFaults(sink: SinkSettings): string[] {
  if (sink.type === "stdout" || sink.type === "file" || sink.type === "bus") return [];
  const { caFile, certFile, keyFile } = sink.tls;
  const secrets = [
    keyFile,
    ...(sink.type === "webhook" ? [...sink.secretFiles, sink.authorizationFile] : []),
    ...(sink.type === "email" ? [sink.passwordFile] : []),
  ];
  const reads = [
    ...[caFile, certFile].map((path) => ({ path, read: readCertificate })),
    ...secrets.map((path) => ({ path, read: readSecret })),
  ];
  return reads.flatMap(({ path, read }) => {
    try {
      if (path !== null) read(path);
      return [];
    } catch (error) {
      return [textOf(error)];
    }
  });
}

/** Flags of Deno for what is not granted, as they would have to stand. */
function missingGrants(needs: SinkNeeds): string[] {
  const isMissing = (descriptor: Deno.PermissionDescriptor): boolean =>
    Deno.permissions.querySync(descriptor).state !== "granted";
  return flagsOf({
    net: needs.net.filter((host) => isMissing({ name: "net", host })),
    read: needs.read.filter((path) => isMissing({ name: "read", path })),
    write: needs.write.filter((path) => isMissing({ name: "write", path })),
  });
}

function ungranted({ name, minSeverity }: SinkSettings, text: string): Sink {
  return {
    name,
    minSeverity,
    write: () => Promise.reject(disabled(text)),
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
}
