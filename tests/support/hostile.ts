/**
 * Hostile code in the collector's confinement, as if the collector were taken over: it has every grant of Deno's and the
 * C library, so that only the kernel is left to refuse. Run by `tests/collector/hostile_test.ts`.
 *
 * Arguments: the confinement, user and group to become, a directory of that user's, a file that everybody may read and write, the pid of
 * another process of the same user, the port of a listener on this host. Prints one line `ACT: OUTCOME` for each attempt
 * and thread.
 *
 * @module
 */
import { confine } from "../../collector/confinement.ts";
import { endInheritance } from "../../collector/kernel/inheritance.ts";
import { AT_FDCWD, cString, errno, libc, NativeArena } from "../../collector/kernel/libc.ts";
import { type SyscallName, syscallNumber } from "../../collector/kernel/syscalls.ts";
import { takeInheritance } from "../../collector/reexec.ts";

const { args, ...origin } = takeInheritance(Deno.args);
if (origin.isSecond) endInheritance();
type Arguments = ["in-process" | "re-exec", string, string, string, string, string, string];
const [confinement, user, group, own, open, victim, port] = args as Arguments;
const arena = new NativeArena(1 << 16);
const place = (text: string): bigint => arena.place(cString(text));

await Deno.readTextFile("/proc/self/status"); // threads of the pool exist now
const mayOpen = [{ path: own, access: "own" as const }];
confine({ ...origin, confinement, user, group, syscallFilter: "errno", startsProcesses: false, mayOpen });

/** A call by its number, on this thread and on one of the pool: `errno N` and `refused`, or `WENT THROUGH`. */
async function attempt(what: string, call: SyscallName, ...args: bigint[]): Promise<void> {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args;
  const full = [BigInt(syscallNumber(call)!), a, b, c, d, e, f] as const;
  const here = libc.syscall(...full) < 0 ? `errno ${errno()}` : "WENT THROUGH";
  const there = await libc.syscallAsync(...full) < 0 ? "refused" : "WENT THROUGH";
  console.log(`${what}: ${here}, ${there}`);
}

const HERE = BigInt.asUintN(64, BigInt(AT_FDCWD));
const O_RDWR = 2n, O_CREAT = 0o100n, O_WRONLY = 1n;
const at = BigInt(victim);

await attempt("write own directory", "openat", HERE, place(`${own}/a`), O_RDWR | O_CREAT, 0o600n);
await attempt("read shadow", "openat", HERE, place("/etc/shadow"), 0n);
await attempt("write a file in /etc", "openat", HERE, place("/etc/daemoneye-hostile"), O_WRONLY | O_CREAT, 0o600n);
await attempt("read what everybody may read", "openat", HERE, place(open), 0n);
await attempt("write what everybody may write", "openat", HERE, place(open), O_RDWR);
await attempt("read the memory of another process", "openat", HERE, place(`/proc/${victim}/mem`), O_RDWR);
await attempt("read the environment of another process", "openat", HERE, place(`/proc/${victim}/environ`), 0n);
await attempt("read the memory of root's process", "openat", HERE, place("/proc/1/mem"), 0n);
await attempt("read the environment of root's process", "openat", HERE, place("/proc/1/environ"), 0n);
await attempt("trace another process", "ptrace", 0x4206n, at);
const vector = arena.place(new Uint8Array(new BigUint64Array([arena.address, 8n]).buffer));
await attempt("write into another process", "process_vm_writev", at, vector, 1n, vector, 1n);
await attempt("read another process", "process_vm_readv", at, vector, 1n, vector, 1n);
await attempt("signal another process", "kill", at);
await attempt("signal a thread of another process", "tgkill", at, at);
await attempt("take a descriptor of another process", "pidfd_open", at);
const program = place("/bin/true");
const argv = arena.place(new Uint8Array(new BigUint64Array([program, 0n]).buffer));
await attempt("execute a program that is not there", "execve", place("/none"), argv, argv + 8n);
await attempt("fork", "clone", 17n);
await attempt("become root", "setresuid", 0n, 0n, 0n);
await attempt("make a TCP socket", "socket", 2n, 1n);
await attempt("make a UDP socket", "socket", 2n, 2n);
await attempt("make an IPv6 socket", "socket", 10n, 1n);
await attempt("make a netlink socket", "socket", 16n, 3n, 11n);
await attempt("make a packet socket", "socket", 17n, 3n);
await attempt("load an eBPF program", "bpf", 5n);
await attempt("make an eBPF map", "bpf", 0n);
await attempt("mount", "mount");
await attempt("make a user namespace", "unshare", 0x1000_0000n);
await attempt("use io_uring", "io_uring_setup", 1n);
await attempt("load a module", "finit_module");
await attempt("make itself traceable", "prctl", 4n, 1n);
await attempt("raise a limit of another process", "prlimit64", at, 4n);

/** The same by Deno's means, which here are granted without limit. */
async function byDeno(what: string, act: () => unknown): Promise<void> {
  try {
    await act();
    console.log(`Deno: ${what}: WENT THROUGH`);
  } catch (error) {
    // A refusal of Deno's own would be a NotCapable, and prove nothing.
    console.log(`Deno: ${what}: ${error instanceof Deno.errors.PermissionDenied ? "refused" : error}`);
  }
}
await byDeno("run", () => new Deno.Command("/bin/true").output());
await byDeno("connect", () => Deno.connect({ hostname: "127.0.0.1", port: Number(port) }));
await byDeno("listen", () => Deno.listen({ port: 0 }));
await byDeno("kill", () => Deno.kill(Number(victim), "SIGKILL"));
await byDeno("write /etc", () => Deno.writeTextFile("/etc/daemoneye-hostile", "x"));
await byDeno("read root's", () => Deno.readTextFile("/root/.profile"));
Deno.exit(0);
