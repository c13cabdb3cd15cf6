/**
 * Landlock: what may be opened at all, whoever the user is. It holds the calling thread and what that thread makes or
 * executes, not the other threads of the process; so it is of use before an `execve` only.
 *
 * Source: `Documentation/userspace-api/landlock.rst`, `include/uapi/linux/landlock.h`.
 *
 * @module
 */
import { AT_FDCWD, checked, cString, errno, libc, NativeArena, O_CLOEXEC, SystemCallError } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

/** A file, or all below a directory. What is not there is passed over. */
export interface LandlockRule {
  readonly path: string;
  /**
   * `own`: everything that can be done with files and directories, but to execute them or to make devices. `socket`: to
   * make a Unix socket, in the place of one that is there.
   */
  readonly access: "read" | "execute" | "own" | "device" | "socket";
}

const EXECUTE = 1n << 0n, WRITE_FILE = 1n << 1n, READ_FILE = 1n << 2n, READ_DIRECTORY = 1n << 3n;
const REMOVE_DIRECTORY = 1n << 4n, REMOVE_FILE = 1n << 5n, MAKE_DIRECTORY = 1n << 7n, MAKE_FILE = 1n << 8n;
const MAKE_SOCKET = 1n << 9n, TRUNCATE = 1n << 14n;
const ACCESS: Readonly<Record<LandlockRule["access"], bigint>> = {
  read: READ_FILE | READ_DIRECTORY,
  execute: READ_FILE | READ_DIRECTORY | EXECUTE,
  own: READ_FILE | READ_DIRECTORY | WRITE_FILE | REMOVE_FILE | REMOVE_DIRECTORY | MAKE_FILE | MAKE_DIRECTORY | TRUNCATE,
  device: READ_FILE | WRITE_FILE,
  socket: READ_DIRECTORY | REMOVE_FILE | MAKE_SOCKET,
};
/** What a rule of a file may hold: the rest is of directories. */
const OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;

/** What each version of the interface knows more than the one before, from the first. */
const FILE_ACCESS = [0x1fffn, 0x3fffn, 0x7fffn, 0x7fffn, 0xffffn];
/** TCP: bind and connect, since version 4. Scopes: abstract Unix sockets and signals, since version 6. */
const NETWORK = 3n, NETWORK_SINCE = 4, ABSTRACT_SOCKETS = 1n, SIGNALS = 2n, SCOPES_SINCE = 6;
const CREATE_RULESET_VERSION = 1n, RULE_PATH_BENEATH = 1n;
const O_PATH = 0o10000000;
const EINVAL = 22;

/** The version of the kernel's Landlock; 0 where it has none, or it is turned off. */
export function landlockVersion(): number {
  return Math.max(0, call("landlock_create_ruleset", 0n, 0n, CREATE_RULESET_VERSION));
}

/**
 * A set of rules that denies every kind of access that the kernel knows but what `rules` allow, and TCP. The descriptor
 * is the caller's; `null` where the kernel has no Landlock. To be made while the paths can be opened. `signalsOthers`
 * lets signals go to processes that are not under it, as far as the capabilities go.
 *
 * @throws {SystemCallError}
 */
export function makeRuleset(rules: readonly LandlockRule[], signalsOthers = false): number | null {
  const version = landlockVersion();
  if (version === 0) return null;
  const arena = new NativeArena(4096);
  try {
    const handled = FILE_ACCESS[Math.min(version, FILE_ACCESS.length) - 1]!;
    const scopes = signalsOthers ? ABSTRACT_SOCKETS : ABSTRACT_SOCKETS | SIGNALS;
    const attributes = new Uint8Array(24), view = new DataView(attributes.buffer);
    view.setBigUint64(0, handled, true);
    view.setBigUint64(8, version >= NETWORK_SINCE ? NETWORK : 0n, true);
    view.setBigUint64(16, version >= SCOPES_SINCE ? scopes : 0n, true);
    // Older kernels take a shorter structure; the fields that they do not know are zero, which they let pass.
    const address = arena.place(attributes);
    const ruleset = checked(call("landlock_create_ruleset", address, 24n, 0n), "landlock_create_ruleset");
    const rule = arena.reserve(12);
    try {
      for (const { path, access } of rules) addRule(ruleset, rule, path, ACCESS[access] & handled);
      return ruleset;
    } catch (error) {
      libc.close(ruleset);
      throw error;
    }
  } finally {
    arena.release();
  }
}

function addRule(ruleset: number, address: bigint, path: string, access: bigint): void {
  const fd = libc.openat(AT_FDCWD, cString(path), O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return;
  try {
    const add = (access: bigint): number => {
      // struct landlock_path_beneath_attr, packed.
      const bytes = new Uint8Array(12), view = new DataView(bytes.buffer);
      view.setBigUint64(0, access, true);
      view.setInt32(8, fd, true);
      libc.copyTo(address, bytes, 12n);
      return call("landlock_add_rule", BigInt(ruleset), RULE_PATH_BENEATH, address);
    };
    if (add(access) < 0) {
      const number = errno();
      // Refused for what is no directory, when it names what only directories have.
      if (number !== EINVAL || add(access & OF_FILES) < 0) {
        throw new SystemCallError(`landlock_add_rule of ${path}`, number);
      }
    }
  } finally {
    libc.close(fd);
  }
}

/** Puts this thread under the rules, for good; it must have no_new_privs. @throws {SystemCallError} */
export function restrictSelf(ruleset: number): void {
  checked(call("landlock_restrict_self", BigInt(ruleset), 0n, 0n), "landlock_restrict_self");
}

function call(
  name: "landlock_create_ruleset" | "landlock_add_rule" | "landlock_restrict_self",
  a: bigint,
  b: bigint,
  c: bigint,
): number {
  return libc.syscall(BigInt(SYSCALL[name]), a, b, c, 0n, 0n, 0n);
}
