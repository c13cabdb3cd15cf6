/**
 * Which container a control group belongs to, by the paths that runtimes give theirs.
 *
 * Known are Docker, containerd (Kubernetes, nerdctl, ctr), Podman, CRI-O, LXC and LXD, systemd-nspawn and what Amazon ECS
 * makes of the first two, under cgroup v1 and v2, with the cgroupfs and the systemd driver. Where containers stand in
 * containers the innermost one counts. The monitor that a runtime keeps beside a container (conmon, `lxc.monitor`, the
 * supervisor of systemd-nspawn) is no part of it.
 *
 * This is attribution by name. Who may make control groups, root or a user below his own slice, can name one like a
 * container's: of what matters, the namespaces that stand beside it in an event are the proof, and the kernel gives
 * those. Nothing here trusts a path further than to repeat an id of a strict form. Pure and linear in the path.
 *
 * @module
 */

/** What a control group's path says of a container. */
export interface Container {
  /** As the runtime names it: 64 hexadecimal digits, or a name for LXC, systemd-nspawn and containerd's own client. */
  readonly id: string;
  /** `docker`, `containerd`, `podman`, `cri-o`, `lxc`, `nspawn` or `unknown`. */
  readonly runtime: string;
  /** Uid of the Kubernetes pod, `null` outside of one. */
  readonly podId: string | null;
}

/** `PATH_MAX` of the kernel; no longer path is one of its own. */
const MAX_PATH = 4_096;

/** The container of a control group path, `null` when it is none's. */
export function containerOf(cgroupPath: string): Container | null {
  if (cgroupPath.length > MAX_PATH || !cgroupPath.startsWith("/")) return null;
  const segments = cgroupPath.split("/");
  for (let at = segments.length - 1; at > 0; at--) {
    if (isMonitor(segments[at]!)) return null;
    const found = scopeOf(segments[at]!) ?? tripleOf(segments[at]!) ?? lxcOf(segments, at) ?? machineOf(segments, at) ??
      plainOf(segments, at);
    if (found !== null) return { ...found, podId: podAround(segments, at) };
  }
  return null;
}

type Named = Pick<Container, "id" | "runtime">;

/** Runtimes by what they put before an id: `docker-ID.scope`, `crio-ID`, `kubepods-….slice:cri-containerd:ID`. */
const RUNTIMES: ReadonlyMap<string, string> = new Map([
  ["docker", "docker"],
  ["cri-containerd", "containerd"],
  ["nerdctl", "containerd"],
  ["libpod", "podman"],
  ["crio", "cri-o"],
]);

const ID = /^[0-9a-f]{64}$/;
/** Names of machines (systemd), containers (LXC, containerd) and projects (LXD): host names, and underscores. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Conmon, which looks after a container of Podman's or CRI-O's from a scope of its own. */
function isMonitor(segment: string): boolean {
  return segment.startsWith("libpod-conmon-") || segment.startsWith("crio-conmon-") ||
    segment.startsWith("lxc.monitor");
}

/** `PREFIX-ID.scope` of the systemd driver, and `PREFIX-ID` of the cgroupfs driver of Podman and CRI-O. */
function scopeOf(segment: string): Named | null {
  const isScope = segment.endsWith(".scope");
  const bare = isScope ? segment.slice(0, -".scope".length) : segment;
  const dash = bare.lastIndexOf("-");
  const prefix = bare.slice(0, Math.max(0, dash)), id = bare.slice(dash + 1);
  const runtime = RUNTIMES.get(prefix);
  if (runtime === undefined || !ID.test(id)) return null;
  return isScope || prefix === "libpod" || prefix === "crio" ? { id, runtime } : null;
}

/** `SLICE:PREFIX:ID`, which the systemd driver's names become where another driver takes them for a path. */
function tripleOf(segment: string): Named | null {
  const parts = segment.split(":");
  const runtime = parts.length === 3 ? RUNTIMES.get(parts[1]!) : undefined;
  return runtime === undefined || !ID.test(parts[2]!) ? null : { id: parts[2]!, runtime };
}

/** `lxc.payload.NAME` (LXC from 4.0, LXD, Incus), `lxc.payload/NAME`, and `lxc/NAME` below the root (older, Proxmox). */
function lxcOf(segments: readonly string[], at: number): Named | null {
  const segment = segments[at]!, parent = segments[at - 1]!;
  const id = segment.startsWith("lxc.payload.")
    ? segment.slice("lxc.payload.".length)
    : parent === "lxc.payload" || parent === "lxc" && isOutermost(segments, at - 1)
    ? segment
    : "";
  return NAME.test(id) ? { id, runtime: "lxc" } : null;
}

/** `machine-NAME.scope` and `systemd-nspawn@NAME.service`; libvirt names its virtual machines like the first. */
function machineOf(segments: readonly string[], at: number): Named | null {
  const segment = segments[at]!;
  const escaped = between(segment, "machine-", ".scope") ?? between(segment, "systemd-nspawn@", ".service");
  if (escaped === null || segments[at + 1] === "supervisor") return null;
  const id = unescapeUnit(escaped);
  if (!NAME.test(id) || id.startsWith("qemu-")) return null;
  return { id, runtime: id.startsWith("lxc-") ? "lxc" : "nspawn" };
}

/** An id or a name alone, which only what stands before it tells from anybody's directory. */
function plainOf(segments: readonly string[], at: number): Named | null {
  const segment = segments[at]!, parent = segments[at - 1]!;
  const isId = ID.test(segment);
  if (isId && parent === "docker") return { id: segment, runtime: "docker" };
  // With this driver the kubelet lets every runtime name its groups alike.
  if (isId && podOf(segments, at - 1) !== null) return { id: segment, runtime: "unknown" };
  // `/ecs/TASK/ID` and `/ecs/CLUSTER/TASK/ID` of the ECS agent, which drives Docker; `/ecs/TASK/TASK-NUMBER` of Fargate.
  if (isId && at >= 3 && (segments[at - 2] === "ecs" || segments[at - 3] === "ecs")) {
    return { id: segment, runtime: "docker" };
  }
  if (at >= 3 && segments[at - 2] === "ecs" && /^[0-9a-f]{32}-\d{1,12}$/.test(segment) && segment.startsWith(parent)) {
    return { id: segment, runtime: "unknown" };
  }
  // containerd's own: `/NAMESPACE/ID`.
  if (CONTAINERD_NAMESPACES.has(parent) && isOutermost(segments, at - 1) && NAME.test(segment)) {
    return { id: segment, runtime: "containerd" };
  }
  return null;
}

const CONTAINERD_NAMESPACES: ReadonlySet<string> = new Set(["default", "k8s.io", "moby"]);

/** Whether a segment stands at the root of the hierarchy, or at that of a control group namespace seen from outside. */
function isOutermost(segments: readonly string[], at: number): boolean {
  return at === 1 || at > 1 && segments[at - 1] === "..";
}

/** The innermost pod whose control group holds that of the container: also one that is nested deeper in it. */
function podAround(segments: readonly string[], at: number): string | null {
  for (let outer = at; outer > 0; outer--) {
    const pod = podOf(segments, outer) ?? podOfSlice(segments[outer]!.split(":", 1)[0]!);
    if (pod !== null) return pod;
  }
  return null;
}

/** The pod that a segment is the group of. */
function podOf(segments: readonly string[], at: number): string | null {
  const segment = segments[at] ?? "";
  const fromSlice = podOfSlice(segment);
  if (fromSlice !== null || !segment.startsWith("pod")) return fromSlice;
  const parent = segments[at - 1];
  const isInPods = parent === "kubepods" ||
    (parent === "burstable" || parent === "besteffort") && segments[at - 2] === "kubepods";
  return isInPods ? podUid(segment.slice("pod".length)) : null;
}

/** `kubepods-burstable-podUID.slice`, also with a prefix of the kubelet's own root (`kubelet-kubepods-…`). */
function podOfSlice(segment: string): string | null {
  if (!segment.endsWith(".slice")) return null;
  const pod = segment.lastIndexOf("-pod");
  const before = segment.slice(0, Math.max(0, pod));
  const pods = before.endsWith("-burstable") || before.endsWith("-besteffort")
    ? before.slice(0, before.lastIndexOf("-"))
    : before;
  if (pods !== "kubepods" && !pods.endsWith("-kubepods")) return null;
  return podUid(segment.slice(pod + "-pod".length, -".slice".length));
}

/** A UUID, its hyphens underscores in the names of slices; 32 digits for a pod of the kubelet's own files. */
function podUid(text: string): string | null {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  return /^[0-9a-f]{8}([-_])[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}$/.test(text)
    ? text.replaceAll("_", "-")
    : null;
}

function between(text: string, before: string, after: string): string | null {
  const isBetween = text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
  return isBetween ? text.slice(before.length, text.length - after.length) : null;
}

/** Undoes systemd's escapes in the name of a unit: `\x2d` is a hyphen (`systemd-escape(1)`). */
function unescapeUnit(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
}
