/**
 * What a test needs of the machine it runs on, so that a test that cannot run here is ignored with a reason.
 *
 * Each reason is written to stderr once, as `cannot run here: NEED: why`; `deno task test` collects those lines. A need
 * is looked up, never assumed: nothing here says no on a machine that could run the test. Wants all permissions.
 *
 * @module
 */

import { landlockVersion } from "../../collector/kernel/landlock.ts";
import { RECEIVER_PROGRAMS, RECEIVER_ROOT, type ReceiverName } from "./receivers/places.ts";

export interface Needs {
  /** Effective user 0. */
  readonly root?: boolean;
  /** May load eBPF programs: capabilities and a kernel that describes its types. */
  readonly bpf?: boolean;
  /** May listen to the kernel's process connector. */
  readonly netlink?: boolean;
  /** May start programs as other users. */
  readonly setpriv?: boolean;
  /** The kernel has Landlock, turned on. */
  readonly landlock?: boolean;
  /** May make a mount namespace and mount in it. */
  readonly mount?: boolean;
  /** May make control groups, in a hierarchy that it mounts itself, and namespaces of every kind. */
  readonly containers?: boolean;
  /** May listen to the kernel's audit log, which takes records of refused system calls. */
  readonly audit?: boolean;
  /** May trace the system calls of a process that it did not start, with strace. */
  readonly trace?: boolean;
  /** The kernel gives the processor to sessions (`sched(7)`). */
  readonly autogroups?: boolean;
  /** Packages may be installed, by `apt-get` of a package system that is in order. */
  readonly packages?: boolean;
  /** Log and mail servers, unpacked by `deno task receivers`. */
  readonly receivers?: readonly ReceiverName[];
  /** Programs by name, found in `PATH`. */
  readonly programs?: readonly string[];
}

/** To be spread into the options of a test: `Deno.test({ name, ...needs({ bpf: true }), fn })`. */
export interface Verdict {
  readonly ignore: boolean;
  /** Why not, or empty. */
  readonly why: string;
}

const CAP_SETUID = 7,
  CAP_NET_ADMIN = 12,
  CAP_SYS_PTRACE = 19,
  CAP_SYS_ADMIN = 21,
  CAP_AUDIT_READ = 37,
  CAP_PERFMON = 38,
  CAP_BPF = 39;

const said = new Set<string>();

/** Whether a test with these needs must be ignored here, and why. */
export function needs(wanted: Needs): Verdict {
  const faults: string[] = [];
  if (wanted.root && Deno.uid() !== 0) faults.push("root: the tests do not run as root");
  if (wanted.autogroups && !exists("/proc/self/autogroup")) {
    faults.push("autogroups: the kernel has no /proc/self/autogroup");
  }
  if (wanted.bpf) {
    if (!capable(CAP_SYS_ADMIN) && !(capable(CAP_BPF) && capable(CAP_PERFMON))) {
      faults.push("bpf: the tests run without CAP_BPF and CAP_PERFMON");
    } else if (!exists("/sys/kernel/btf/vmlinux")) faults.push("bpf: the kernel has no /sys/kernel/btf/vmlinux");
  }
  if (wanted.netlink && !capable(CAP_NET_ADMIN)) faults.push("netlink: the tests run without CAP_NET_ADMIN");
  if (wanted.setpriv) {
    if (!capable(CAP_SETUID)) faults.push("setpriv: the tests run without CAP_SETUID");
    else if (!inPath("setpriv")) faults.push("setpriv: the program setpriv (util-linux) is not installed");
  }
  if (wanted.mount && !capable(CAP_SYS_ADMIN)) faults.push("mount: the tests run without CAP_SYS_ADMIN");
  if (wanted.landlock && landlockVersion() === 0) faults.push("landlock: the kernel has none, or it is turned off");
  if (wanted.audit) {
    if (!capable(CAP_AUDIT_READ)) faults.push("audit: the tests run without CAP_AUDIT_READ");
    else if (!readIfThere("/proc/sys/kernel/seccomp/actions_logged").split(/\s+/).includes("errno")) {
      faults.push("audit: kernel.seccomp.actions_logged lacks errno");
    } else if (/(^|\s)audit=(0|off)(\s|$)/.test(readIfThere("/proc/cmdline"))) {
      faults.push("audit: the kernel was booted with audit=0");
    }
  }
  if (wanted.containers) {
    const refusal = refusedContainer();
    if (refusal !== null) faults.push(`containers: ${refusal}`);
  }
  if (wanted.trace) {
    if (!capable(CAP_SYS_PTRACE)) faults.push("trace: the tests run without CAP_SYS_PTRACE");
    else if (!inPath("strace")) faults.push("trace: the program strace is not installed");
  }
  if (wanted.packages) {
    const refusal = refusedPackage();
    if (refusal !== null) faults.push(`packages: ${refusal}`);
  }
  for (const name of wanted.receivers ?? []) {
    if (!exists(`${RECEIVER_ROOT}/${RECEIVER_PROGRAMS[name]}`)) {
      faults.push(`receivers: ${name} is not there; 'deno task receivers' unpacks it`);
    }
  }
  for (const program of wanted.programs ?? []) {
    if (!inPath(program)) faults.push(`${program}: the program is not installed`);
  }
  for (const fault of faults) {
    if (said.has(fault)) continue;
    said.add(fault);
    console.error(`cannot run here: ${fault}`);
  }
  return { ignore: faults.length > 0, why: faults.join("; ") };
}

/** Why no package can be installed, as `apt-get` says when it only pretends to. */
function refusedPackage(): string | null {
  if (Deno.uid() !== 0) return "the tests do not run as root";
  if (!inPath("apt-get") || !inPath("dpkg-deb")) return "the programs apt-get and dpkg-deb are not installed";
  const { success, stderr } = new Deno.Command("apt-get", {
    args: ["-qq", "-s", "install"],
    stdin: "null",
    stdout: "null",
  }).outputSync();
  return success ? null : new TextDecoder().decode(stderr).trim().split("\n")[0] ?? "apt-get fails";
}

let containerRefusal: string | null | undefined;

/** Why no control group and namespaces can be made, by trying it in a mount namespace that ends with the attempt. */
function refusedContainer(): string | null {
  if (containerRefusal !== undefined) return containerRefusal;
  if (!inPath("unshare")) return containerRefusal = "the program unshare (util-linux) is not installed";
  const attempt = 'd=$(mktemp -d) && trap "umount \\"$d\\"; rmdir \\"$d\\"" EXIT && mount -t cgroup2 none "$d" && ' +
    'mkdir "$d/daemoneye-needs-$$" && rmdir "$d/daemoneye-needs-$$" && ' +
    "unshare --fork --mount --pid --net true && unshare --fork --user --map-root-user --mount --pid --net true";
  const { success, stderr } = new Deno.Command("unshare", {
    args: ["--mount", "--propagation=private", "/bin/sh", "-c", attempt],
    stdin: "null",
    stdout: "null",
  }).outputSync();
  const why = new TextDecoder().decode(stderr).trim().split("\n")[0];
  return containerRefusal = success ? null : `control groups or namespaces cannot be made (${why})`;
}

let capabilities: bigint | null = null;

function capable(capability: number): boolean {
  if (capabilities === null) {
    const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"));
    capabilities = line === null ? 0n : BigInt(`0x${line[1]}`);
  }
  return (capabilities >> BigInt(capability) & 1n) === 1n;
}

function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function inPath(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((directory) => exists(`${directory}/${program}`));
}

/** Whether a path names something. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
