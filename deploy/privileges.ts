/**
 * What each tier may do: the one place that says it. `docs/privileges.md` explains it.
 *
 * `deno task start`, `deno task build`, the launchers, the sets in `deno.json` and the tests all come from
 * {@linkcode tierGrants}. Pure: paths in, grants out. A path that could change the meaning of a flag throws.
 *
 * @module
 */
import { resolve } from "node:path";
import { SYSTEM_FILES } from "../proto/root_settings.ts";
import { DATAGRAM_BINDS, type SinkNeeds } from "../proto/sink_needs.ts";
import { INSTALLED_STATE, type StateLayout, stateLayout } from "../proto/state_layout.ts";

/**
 * Hasher, responder and analyzer are roles of the collector's program, and `ask` one of the agent's, each with rights of
 * its own.
 */
export const TIERS = ["collector", "hasher", "responder", "analyzer", "agent", "ask", "cli"] as const;
export type Tier = typeof TIERS[number];

/** A path or host cannot stand in a grant. */
export class GrantError extends RangeError {
  override name = "GrantError";
}

/** Where the files and sockets of a system are: what the grants are computed from. All paths are absolute. */
export interface TierPaths {
  readonly layout: StateLayout;
  /** Differs from `layout.brokerSocket` only by configuration. */
  readonly brokerSocket?: string;
  /** Differs from `layout.alertFile` only by configuration. */
  readonly alertFile?: string;
  readonly rulesDirs: readonly string[];
  /** Every file that configuration may come from, there or not. */
  readonly configFiles: readonly string[];
  /** `host:port` of each alert sink. */
  readonly alertHosts: readonly string[];
  /** What the configured sinks need beside that. */
  readonly sinks?: SinkNeeds;
  /** The C library of this machine. The grant is matched as text, so it must be spelled as in {@linkcode LIBC_PATHS}. */
  readonly libc: string;
  /** The `ps` that the collector runs, one of {@linkcode PS_PATHS}; set only where its source is `ps`. */
  readonly ps?: string | null;
  /** The directory of YARA rules; `yara` in the first place of the state's rules where nothing is said. */
  readonly yaraRules?: string;
  /** The `yara` that the analyzer runs: {@linkcode YARA_PATH} where it is installed. */
  readonly yara?: string | null;
}

/** The paths of an installed system, whose collector runs nothing. */
export function installedPaths(libc: string, alertHosts: readonly string[] = []): TierPaths {
  const layout = stateLayout(INSTALLED_STATE);
  return { layout, rulesDirs: [layout.rules], configFiles: SYSTEM_FILES, alertHosts, libc };
}

/** Deno permissions by kind; a kind with an empty list is not granted at all. */
export interface TierGrants {
  readonly read: readonly string[];
  readonly write: readonly string[];
  readonly net: readonly string[];
  readonly env: readonly string[];
  readonly sys: readonly string[];
  readonly run: readonly string[];
  readonly ffi: readonly string[];
  readonly import: readonly string[];
}

/** The kinds of permission, in the order in which flags are written. */
export const GRANT_KINDS = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;

/** Where C libraries are, as the collector looks for them (`collector/kernel/libc.ts`; a test holds the two equal). */
export const LIBC_PATHS: Readonly<Record<"x86_64" | "aarch64", readonly string[]>> = {
  x86_64: ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/ld-musl-x86_64.so.1"],
  aarch64: ["/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/lib/ld-musl-aarch64.so.1"],
};

/** Where `ps` is (`collector/sources/ps_command.ts`; a test holds the two equal). */
export const PS_PATHS: readonly string[] = ["/usr/bin/ps", "/bin/ps"];

/** Where `yara` is, and dpkg's lists (`collector/analyzer/`; a test holds them equal). */
export const YARA_PATH = "/usr/bin/yara", DPKG_INFO = "/var/lib/dpkg/info";

/**
 * Deno grants the import of seven public hosts to every program, also under `import: false`. Naming one host of our own
 * replaces that list; this one cannot exist (RFC 6761, section 6.4).
 */
export const NO_IMPORT = "none.invalid:443";

/** The variables that a tier sees. */
const SETTINGS_VARIABLES = "DAEMONEYE_*";

/**
 * The grants of one tier.
 *
 * @throws {GrantError} on a relative path, one that holds a comma, `..` or a control character, or a `ps` elsewhere.
 */
export function tierGrants(tier: Tier, paths: TierPaths): TierGrants {
  const { layout } = paths;
  const socket = checkedPath(paths.brokerSocket ?? layout.brokerSocket);
  const alertFile = checkedPath(paths.alertFile ?? layout.alertFile);
  const alertFiles = alertFile.startsWith(`${layout.agent}/`) ? [] : [alertFile];
  const sinks = checkedNeeds(paths.sinks ?? { net: [], read: [], write: [] });
  const rules = paths.rulesDirs.map(checkedPath);
  const configuration = paths.configFiles.map(checkedPath);
  const import_ = [NO_IMPORT];
  switch (tier) {
    case "collector":
      return {
        // Deno asks for read and write of a socket's path to connect to it.
        read: unique([
          checkedPath(layout.collector),
          checkedPath(layout.token),
          layout.redactionKey,
          layout.ledgerKey,
          layout.nextLedgerKey,
          socket,
          layout.hasherSocket,
          layout.responderSocket,
          ...configuration,
        ]),
        write: unique([layout.collector, socket, layout.hasherSocket, layout.responderSocket]),
        net: [`unix:${socket}`, `unix:${layout.hasherSocket}`, `unix:${layout.responderSocket}`],
        env: [SETTINGS_VARIABLES],
        sys: [],
        run: typeof paths.ps === "string" ? [checkedPs(paths.ps)] : [],
        ffi: [checkedPath(paths.libc)],
        import: import_,
      };
    case "hasher":
      return {
        // What it hashes it opens through the C library.
        read: unique([checkedPath(layout.hasherSocket), ...configuration]),
        write: [layout.hasherSocket],
        net: [`unix:${layout.hasherSocket}`],
        env: [SETTINGS_VARIABLES],
        sys: [],
        run: [],
        ffi: [checkedPath(paths.libc)],
        import: import_,
      };
    case "responder":
      return {
        // Its policy and what it looks at it opens through the C library.
        read: unique([checkedPath(layout.responderSocket), layout.responses, ...configuration]),
        write: [layout.responderSocket, layout.responses],
        net: [`unix:${layout.responderSocket}`],
        env: [SETTINGS_VARIABLES],
        sys: [],
        run: [],
        ffi: [checkedPath(paths.libc)],
        import: import_,
      };
    case "analyzer":
      return {
        // What it analyses it opens through the C library. Its token comes by standard input.
        read: unique([
          socket,
          checkedPath(paths.yaraRules ?? `${layout.rules}/yara`),
          DPKG_INFO,
          ...configuration,
        ]),
        write: [socket],
        net: [`unix:${socket}`],
        env: [SETTINGS_VARIABLES],
        sys: [],
        run: typeof paths.yara === "string" ? [checkedYara(paths.yara)] : [],
        ffi: [checkedPath(paths.libc)],
        import: import_,
      };
    case "agent":
      return {
        read: unique([
          checkedPath(layout.agent),
          ...alertFiles,
          checkedPath(layout.token),
          socket,
          // What operators ask for, and where they are answered.
          layout.requests,
          ...rules,
          ...configuration,
          ...sinks.read,
        ]),
        write: unique([layout.agent, ...alertFiles, socket, layout.requests, ...sinks.write]),
        net: unique([`unix:${socket}`, ...paths.alertHosts.map(checkedHost), ...sinks.net]),
        env: [SETTINGS_VARIABLES],
        // The room on the disk of the store.
        sys: ["hostname", "statfs"],
        run: [],
        ffi: [],
        import: import_,
      };
    case "ask":
      return {
        // Its request and the reply to it. Where the spool is it is told by a flag.
        read: [checkedPath(layout.requests)],
        write: [layout.requests],
        net: [],
        env: [],
        sys: [],
        run: [],
        ffi: [],
        import: import_,
      };
    case "cli":
      return {
        read: unique([
          checkedPath(layout.agent),
          ...alertFiles,
          checkedPath(layout.collectorStatus),
          layout.ledger,
          ...rules,
          ...configuration,
        ]),
        write: [],
        net: [],
        env: [],
        sys: [],
        run: [],
        ffi: [],
        import: import_,
      };
  }
}

/** Where the files of a witness are, and of what it was asked. All paths are absolute. */
export interface WitnessPaths {
  readonly directory: string;
  readonly socket: string | null;
  readonly requestFile: string | null;
  /** Requests lie there, and answers are put beside them. */
  readonly requestDirectory: string | null;
}

/** The grants of a witness (`deploy/witness.ts`), which is no tier: it watches ledgers of other hosts. @throws {GrantError} */
export function witnessGrants({ directory, socket, requestFile, requestDirectory }: WitnessPaths): TierGrants {
  const own = [directory, socket, requestDirectory].filter((path) => path !== null).map(checkedPath);
  return {
    read: [...own, ...(requestFile === null ? [] : [checkedPath(requestFile)])],
    write: own,
    net: socket === null ? [] : [`unix:${socket}`],
    env: [],
    sys: [],
    run: [],
    ffi: [],
    import: [NO_IMPORT],
  };
}

/**
 * Paths that a command line names, as arguments or as values of options, and that are there. Who names a file to a reader
 * means it to be read. Those that cannot stand in a grant are left out: standard input takes them.
 */
export function namedPaths(
  args: readonly string[],
  directory: string,
  exists: (path: string) => boolean,
): string[] {
  const named = args.map((arg) => arg.startsWith("--") ? arg.slice(arg.indexOf("=") + 1) : arg)
    .filter((value) => value !== "" && !value.startsWith("-") && value.length <= MAX_NAMED_PATH)
    .map((value) => resolve(directory, value));
  return unique(named).filter((path) => !UNFIT_IN_PATH.test(path) && exists(path));
}

/** PATH_MAX of Linux. */
const MAX_NAMED_PATH = 4_096;

// deno-lint-ignore no-control-regex
const UNFIT_IN_PATH = /[\0-\x1f\x7f,]/;

function checkedPath(path: string): string {
  if (!path.startsWith("/") || UNFIT_IN_PATH.test(path) || path.split("/").includes("..")) {
    throw new GrantError(
      `A grant needs an absolute path without '..', commas or control characters, but got ${JSON.stringify(path)}`,
    );
  }
  return path;
}

function checkedPs(path: string): string {
  if (!PS_PATHS.includes(path)) {
    throw new GrantError(`The collector may run ${PS_PATHS.join(" or ")}, but not ${JSON.stringify(path)}`);
  }
  return path;
}

function checkedYara(path: string): string {
  if (path !== YARA_PATH) throw new GrantError(`The analyzer may run ${YARA_PATH}, but not ${JSON.stringify(path)}`);
  return path;
}

// A port is required: without one the grant would cover every port of the host.
const HOST_AND_PORT = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):(\d{1,5})$/;

function checkedHost(host: string): string {
  const port = HOST_AND_PORT.exec(host)?.[1];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new GrantError(`An alert host must be HOST:PORT, but is ${JSON.stringify(host)}`);
  }
  return host;
}

function checkedNeeds({ net, read, write }: SinkNeeds): SinkNeeds {
  return {
    net: net.map((address) => {
      if (DATAGRAM_BINDS.includes(address)) return address;
      return address.startsWith("unix:") ? `unix:${checkedPath(address.slice("unix:".length))}` : checkedHost(address);
    }),
    read: read.map(checkedPath),
    write: write.map(checkedPath),
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
