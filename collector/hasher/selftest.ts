/**
 * The selftest of the hasher: that it can read files and do nothing else, by trying.
 *
 * @module
 */
import { NativeArena } from "../kernel/libc.ts";
import {
  type Act,
  actsOn,
  AF_INET,
  AF_NETLINK,
  AF_UNIX,
  ARENA_BYTES,
  AT_FDCWD,
  BPF_PROG_LOAD,
  CLONE_NEWUSER,
  NETLINK_CONNECTOR,
  O_RDONLY,
  O_WRONLY_CREATE,
  PTRACE_SEIZE,
  SOCK_RAW,
  SOCK_STREAM,
  Trial,
  UNCHANGED,
} from "../trial.ts";
import { type HasherConfinement, READ_ALL } from "./confinement.ts";

const O_WRONLY = 1n;

/** Runs it, hands every line to `print`, and returns how many findings there were. */
export async function hasherSelftest(
  { userId, readsAll }: Pick<HasherConfinement, "userId" | "readsAll">,
  print: (line: string) => void,
): Promise<number> {
  const trial = new Trial(print);
  trial.threads(userId, { capabilities: readsAll ? READ_ALL : 0n, gainable: "any" });
  const arena = new NativeArena(ARENA_BYTES);
  await trial.attempt(acts(arena, readsAll));
  arena.release();
  return trial.conclude();
}

function acts(arena: NativeArena, readsAll: boolean): Act[] {
  const { act, probe, path } = actsOn(arena);
  return [
    {
      ...act("read a file of root's, to hash it", "openat", AT_FDCWD, path("/etc/shadow"), O_RDONLY),
      isMeant: readsAll,
    },
    act("create a file in /etc", "openat", AT_FDCWD, path("/etc/daemoneye-selftest"), O_WRONLY_CREATE, 0o600n),
    act("create a file in /tmp", "openat", AT_FDCWD, path("/tmp/daemoneye-selftest"), O_WRONLY_CREATE, 0o600n),
    act("write to /dev/null", "openat", AT_FDCWD, path("/dev/null"), O_WRONLY),
    probe("remove a file", "unlinkat", AT_FDCWD, path("/nonexistent/file"), 0n),
    probe("rename a file", "renameat2", AT_FDCWD, path("/nonexistent/a"), AT_FDCWD, path("/nonexistent/b"), 0n),
    probe("make a directory", "mkdirat", AT_FDCWD, path("/nonexistent/directory"), 0o700n),
    probe("change a file's mode", "fchmod", UNCHANGED, 0o777n),
    act("read the memory of process 1", "openat", AT_FDCWD, path("/proc/1/mem"), O_RDONLY),
    act("trace process 1", "ptrace", PTRACE_SEIZE, 1n),
    act("signal process 1", "kill", 1n),
    act("become root", "setresuid", 0n, UNCHANGED, UNCHANGED),
    act("make a TCP socket", "socket", AF_INET, SOCK_STREAM),
    act("make a netlink socket", "socket", AF_NETLINK, SOCK_RAW, NETLINK_CONNECTOR),
    act("make a Unix socket", "socket", AF_UNIX, SOCK_STREAM),
    probe("connect a socket", "connect", UNCHANGED),
    probe("load an eBPF program", "bpf", BPF_PROG_LOAD),
    probe("mount a file system", "mount"),
    probe("load a kernel module", "finit_module"),
    probe("make a namespace", "unshare", CLONE_NEWUSER),
    probe("use the kernel's keys", "keyctl"),
    probe("use io_uring", "io_uring_setup"),
    probe("execute a program", "execve", path("/nonexistent")),
    { ...act("read /etc/passwd", "openat", AT_FDCWD, path("/etc/passwd"), O_RDONLY), isMeant: true },
  ];
}
