/**
 * What each sink must be granted: computed in one place for the supervisor, which grants it, the build, which compiles it
 * in, and the agent, which says what is missing.
 *
 * @module
 */
import type { SinkSettings } from "./sink_settings.ts";

/** In the spelling of Deno's grants. */
export interface SinkNeeds {
  readonly net: readonly string[];
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/** Where a datagram leaves from: any port of this host. It can be bound, and nothing can be reached through it. */
export const DATAGRAM_BINDS: readonly string[] = ["0.0.0.0:0", "[::]:0"];

/** The path of the agent's own that a Unix datagram socket needs to send from. */
export function ownSocket(agentDirectory: string, sink: string): string {
  return `${agentDirectory}/sink-${sink}.sock`;
}

/** Whether a grant is of what datagrams leave from: Deno has them only behind `--unstable-net`. */
export function sendsDatagrams(grant: string): boolean {
  return DATAGRAM_BINDS.includes(grant) || /^unix:.*\/sink-[a-z0-9_-]+\.sock$/.test(grant);
}

/** @param agentDirectory what the agent may read and write anyway */
export function needsOf(sink: SinkSettings, agentDirectory: string): SinkNeeds {
  const there = (paths: readonly (string | null)[]): string[] =>
    paths.filter((path) => path !== null).filter((path) => !path.startsWith(`${agentDirectory}/`));
  switch (sink.type) {
    case "stdout":
    case "bus":
      return { net: [], read: [], write: [] };
    case "file": {
      const rotated = sink.rotateBytes === 0
        ? []
        : Array.from({ length: sink.rotateKeep }, (_, i) => `${sink.path}.${i + 1}`);
      const paths = there([sink.path, ...rotated]);
      return { net: [], read: paths, write: paths };
    }
    case "syslog": {
      const { place, tls } = sink;
      if ("path" in place) {
        // Deno asks for read and write of a socket's path to connect to it.
        const paths = there([place.path]);
        const own = place.transport === "unix" ? [] : [`unix:${ownSocket(agentDirectory, sink.name)}`];
        return { net: [`unix:${place.path}`, ...own], read: paths, write: paths };
      }
      const bind = place.transport === "udp" ? [DATAGRAM_BINDS[place.host.includes(":") ? 1 : 0]!] : [];
      const secrets = there([tls.caFile, tls.certFile, tls.keyFile]);
      return { net: [hostAndPort(place.host, place.port), ...bind], read: secrets, write: [] };
    }
    case "webhook": {
      const url = new URL(sink.url), { caFile, certFile, keyFile } = sink.tls;
      const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
      return {
        net: [hostAndPort(url.hostname.replace(/^\[|\]$/g, ""), port)],
        read: there([...sink.secretFiles, sink.authorizationFile, caFile, certFile, keyFile]),
        write: [],
      };
    }
    case "email": {
      const { caFile, certFile, keyFile } = sink.tls;
      return {
        net: [hostAndPort(sink.host, sink.port)],
        read: there([sink.passwordFile, caFile, certFile, keyFile]),
        write: [],
      };
    }
  }
}

/** What all of them need, each once. */
export function allNeeds(sinks: readonly SinkSettings[], agentDirectory: string): SinkNeeds {
  const each = sinks.map((sink) => needsOf(sink, agentDirectory));
  const all = (kind: keyof SinkNeeds): string[] => [...new Set(each.flatMap((needs) => needs[kind]))];
  return { net: all("net"), read: all("read"), write: all("write") };
}

/** Needs as flags of Deno. */
export function flagsOf(needs: SinkNeeds): string[] {
  return (["net", "read", "write"] as const).filter((kind) => needs[kind].length > 0)
    .map((kind) => `--allow-${kind}=${needs[kind].join(",")}`);
}

function hostAndPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
