/**
 * The circumstances of a process from `/proc`: all of them that can be read without waiting for anybody.
 *
 * What this user may not read is `null`, never an error. Directory, namespaces, streams and environment of a process
 * are for those who may trace it: one refusal tells of all.
 *
 * @module
 */
import type { StdioKind } from "../../proto/process_event.ts";
import type { RawContext } from "../sources/source.ts";
import { cString } from "./libc.ts";
import {
  LINK_MISSING,
  LINK_REFUSED,
  linkText,
  procBytes,
  readProcFile,
  readProcLink,
  statProcLink,
} from "./proc_files.ts";
import type { Stat } from "./procfs_parse.ts";
import {
  kindOfFile,
  kindOfLink,
  parseAuditId,
  parseControlGroup,
  parseNamespace,
  type StatusFacts,
  terminalName,
} from "./procfs_context_parse.ts";

/** The same with every field open to change: a record in the making. */
export type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** Control groups whose path is known by the bytes of their file: most processes share few. */
const KNOWN_GROUPS = 64;

const LOGIN = cString("/loginuid"), SESSION = cString("/sessionid"), GROUPS = cString("/cgroup");
const CWD = cString("/cwd"), STDIN = cString("/fd/0"), STDOUT = cString("/fd/1");
const USER = cString("/ns/user"), PID = cString("/ns/pid"), MOUNT = cString("/ns/mnt"), NETWORK = cString("/ns/net");

/**
 * Reads the circumstances of the process whose pid stands in the path: see `putPid()`. `isOpen` says whether this user
 * may read its links. The environment is for `ArgumentReader`.
 */
export function readContext(digits: number, stat: Stat, status: StatusFacts, isOpen: boolean): Draft<RawContext> {
  const cwd = isOpen ? readProcLink(digits, CWD) : LINK_REFUSED;
  const context: Draft<RawContext> = {
    cwd: linkText(cwd),
    savedUserId: status.savedUserId,
    effectiveGroupId: status.effectiveGroupId,
    savedGroupId: status.savedGroupId,
    loginUserId: auditId(digits, LOGIN),
    sessionId: auditId(digits, SESSION),
    tty: terminalName(stat.terminal),
    effectiveCapabilities: status.effectiveCapabilities,
    userNamespace: null,
    pidNamespace: null,
    mountNamespace: null,
    networkNamespace: null,
    cgroupPath: controlGroup(digits),
    cgroupId: null,
    interpreterPath: null,
    scriptPath: null,
    stdinKind: null,
    stdoutKind: null,
    environment: null,
    environmentCut: false,
  };
  if (cwd === LINK_REFUSED) return context;
  context.userNamespace = namespace(digits, USER);
  context.pidNamespace = namespace(digits, PID);
  context.mountNamespace = namespace(digits, MOUNT);
  context.networkNamespace = namespace(digits, NETWORK);
  context.stdinKind = streamKind(digits, STDIN);
  context.stdoutKind = streamKind(digits, STDOUT);
  return context;
}

function auditId(digits: number, suffix: Uint8Array): number | null {
  return parseAuditId(procBytes, Math.max(0, readProcFile(digits, suffix)));
}

function namespace(digits: number, suffix: Uint8Array): number | null {
  const count = readProcLink(digits, suffix);
  return count <= 0 ? null : parseNamespace(procBytes, count);
}

/** `none` also where the process has ended meanwhile: see {@linkcode withoutStreams}. */
function streamKind(digits: number, suffix: Uint8Array): StdioKind | null {
  const count = readProcLink(digits, suffix);
  if (count === LINK_MISSING) return "none";
  if (count <= 0) return null;
  const kind = kindOfLink(procBytes, count);
  if (kind !== null) return kind;
  const target = statProcLink(digits, suffix);
  return target === null ? null : kindOfFile(target.mode, target.deviceMajor, target.deviceMinor);
}

/** Whether a context says that a stream is closed, which is also what a process that ends looks like. */
export function lacksStreams({ stdinKind, stdoutKind }: RawContext): boolean {
  return stdinKind === "none" || stdoutKind === "none";
}

/** Takes back what a context says of streams: the process was ending when they were looked at. */
export function withoutStreams(context: Draft<RawContext>): void {
  context.stdinKind = context.stdoutKind = null;
}

const known: { readonly bytes: Uint8Array; readonly path: string | null }[] = [];
let nextKnown = 0;

function controlGroup(digits: number): string | null {
  const count = readProcFile(digits, GROUPS);
  if (count <= 0) return null;
  for (const group of known) if (isSame(group.bytes, count)) return group.path;
  const path = parseControlGroup(procBytes, count);
  if (count === procBytes.length) return path; // perhaps cut
  known[nextKnown] = { bytes: procBytes.slice(0, count), path };
  nextKnown = (nextKnown + 1) % KNOWN_GROUPS;
  return path;
}

function isSame(bytes: Uint8Array, count: number): boolean {
  if (bytes.length !== count) return false;
  for (let i = count - 1; i >= 0; i--) if (bytes[i] !== procBytes[i]) return false; // paths differ at their ends
  return true;
}
