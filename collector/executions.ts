/**
 * What in the start of a program is suspicious by itself, whatever rules say: one table of checks.
 *
 * Each is asked once for each `execve`, and says how bad it is and why. Severities are chosen by how often ordinary work
 * does the same: what package managers, compilers, shells, remote logins and containers do all day is not said, or is
 * `low`. Left out on purpose: scripts in directories that everybody may write to. What runs there is the interpreter,
 * installers do it all the time, and `sh script` would pass by unseen; rules have `script_path`.
 *
 * Everything here was chosen by whoever started the process, but what the kernel says of file, user and socket.
 *
 * @module
 */

import type { ProcessContext, Severity } from "../proto/process_event.ts";
import { isSystemPath, type ManagerRun, whileRan } from "./package_managers.ts";
import type { TrackedProcess } from "./tracked_process.ts";

/** The rights that a process had just before it began a program; `null` where they are not known. */
export interface Rights {
  readonly userId: number | null;
  readonly effectiveUserId: number | null;
  readonly savedUserId: number | null;
  readonly effectiveCapabilities: number | null;
  readonly userNamespace: number | null;
}

/** A program as it begins. */
export interface Execution {
  readonly process: TrackedProcess;
  /** `null` when nothing of them is known. */
  readonly before: Rights | null;
  /** Whether its file sets the user; `null` when that is not known. */
  readonly setsUserId: boolean | null;
  /** Address family of the socket that standard input is; `null` when it is none, or not known. */
  readonly stdinFamily: number | null;
  /** The package manager that ran when its file last changed, where that was deleted; to delete is to change. */
  readonly deletedBy: Pick<ManagerRun, "name" | "pid"> | null;
  /** Whether a table showed it some time later: its file may have been replaced since. */
  readonly isLate: boolean;
}

export interface Judgement {
  readonly severity: Severity;
  readonly reason: string;
}

/** In the order in which they are told. */
export const EXECUTION_CHECKS: readonly ((execution: Execution) => Judgement | null)[] = [
  fromMemory,
  fromDeletedFile,
  fromSharedDirectory,
  gainOfRoot,
  shellOnSocket,
];

/** The kernel's path of a memfd begins so. */
const MEMFD = "/memfd:";

/** A program of memory that never was a file. Container runtimes begin containers with such a copy of themselves. */
function fromMemory({ process: { image, parentImage } }: Execution): Judgement | null {
  const path = image.executablePath;
  if (image.onDiskMismatch !== true || path === null || !path.startsWith(MEMFD)) return null;
  const isRuntime = RUNTIME_COPY.test(path) && RUNTIME.test(parentImage?.executablePath ?? "");
  const reason = `it runs from memory (${path.slice(1)}), not from a file`;
  return { severity: isRuntime ? "low" : "high", reason };
}
const RUNTIME_COPY = /^\/memfd:(?:runc_cloned:|crun)/;
const RUNTIME =
  /^\/usr\/(?:local\/)?(?:s?bin|libexec|lib)\/(?:[\w-]+\/)*(?:runc|crun|conmon|podman|containerd-shim[\w-]*)$/;

/**
 * A file that no directory names any more, already when it begins to run. A server that begins anew by what it runs does
 * so after its package was upgraded, and systemd's executor too.
 */
function fromDeletedFile({ process: { image }, deletedBy, isLate }: Execution): Judgement | null {
  const path = image.executablePath;
  if (isLate || image.onDiskMismatch !== true || path === null || path.startsWith(MEMFD)) return null;
  const reason = `it runs from ${path}, which was deleted before`;
  if (deletedBy !== null && isSystemPath(path)) return { severity: "low", reason: `${reason}, ${whileRan(deletedBy)}` };
  return { severity: "high", reason };
}

/** A file in a directory that everybody may write to. `go run` and `go test` build and run theirs there. */
function fromSharedDirectory({ process: { image, parentImage } }: Execution): Judgement | null {
  const path = image.executablePath;
  const directory = path === null ? null : SHARED.exec(path)?.[0] ?? null;
  if (directory === null) return null;
  const isGo = GO_BUILD.test(path!) && /\/go$/.test(parentImage?.executablePath ?? "");
  return { severity: isGo ? "low" : "medium", reason: `it runs from ${directory}, where everybody may write: ${path}` };
}
const SHARED = /^(?:\/tmp|\/var\/tmp|\/dev\/shm|\/dev\/mqueue|\/run\/lock|\/run\/user\/\d+)(?=\/)/;
const GO_BUILD = /^\/tmp\/go-build\d+\//;

const CAP_SETUID = 7;
/** `PROC_USER_INIT_INO` of `include/linux/proc_ns.h`. */
const FIRST_USER_NAMESPACE = 0xeffffffd;

/**
 * Root after an `execve` that cannot give it. Only a file that sets the user makes one root, and the effective user only;
 * or the process could become root by itself before, by its saved user or a capability.
 */
function gainOfRoot({ process, before, setsUserId }: Execution): Judgement | null {
  if (process.effectiveUserId !== 0 || before === null) return null;
  const ids = [before.userId, before.effectiveUserId, before.savedUserId];
  if (ids.some((id) => id === null || id === 0) || before.effectiveCapabilities === null) return null;
  const isFirst = before.userNamespace === null || before.userNamespace === FIRST_USER_NAMESPACE;
  // Those of another namespace reach no further than it.
  if (isFirst && Math.floor(before.effectiveCapabilities / 2 ** CAP_SETUID) % 2 === 1) return null;
  const isEntire = process.userId === 0;
  if (!isEntire && setsUserId !== false) return null;
  const how = setsUserId === false ? "its file sets no user" : "its real user is root too, which no file sets";
  return { severity: "high", reason: `it became root out of user ${before.effectiveUserId}, and ${how}` };
}

const AF_UNIX = 1;
const SHELLS: ReadonlySet<string> = new Set(
  ["sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh", "fish", "csh", "tcsh", "pwsh"],
);

/**
 * A shell that takes its commands from the network. Sockets within the host are everyday: Node.js and sshd give them to
 * their children. A script takes no commands from there, but what it is given: servers begin their small helpers so
 * (CGI, inetd, systemd's `Accept=yes`). Where another shell gave it the connection, somebody wanted just that.
 */
function shellOnSocket({ process: { image, parentImage, context }, stdinFamily }: Execution): Judgement | null {
  if (context?.stdinKind !== "socket" || stdinFamily === AF_UNIX || !isShell(image)) return null;
  if (stdinFamily === null) return { severity: "low", reason: "it is a shell, and its standard input is a socket" };
  const isScript = context.scriptPath !== null, isServed = parentImage !== null && !isShell(parentImage);
  return {
    severity: !isScript ? "high" : isServed ? "low" : "medium",
    reason: `it is a shell, and its standard input is a socket of the network (address family ${stdinFamily})`,
  };
}

function isShell({ executablePath, name }: TrackedProcess["image"]): boolean {
  if (executablePath === null) return SHELLS.has(name);
  const file = executablePath.slice(executablePath.lastIndexOf("/") + 1);
  return SHELLS.has(file) || /^(?:busybox|toybox)/.test(file) && SHELLS.has(name);
}

/** The rights of a process as they are known now. */
export function rightsOf(process: TrackedProcess): Rights {
  const context: ProcessContext | null = process.context;
  return {
    userId: process.userId,
    effectiveUserId: process.effectiveUserId,
    savedUserId: context?.savedUserId ?? null,
    effectiveCapabilities: context?.effectiveCapabilities ?? null,
    userNamespace: context?.userNamespace ?? null,
  };
}
