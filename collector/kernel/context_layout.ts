/**
 * Where the kernel keeps the circumstances of a process: credentials, namespaces, control group, terminal, streams.
 *
 * None of it is needed to see processes live and die. So a part whose members this kernel lacks, or names in a way that
 * is not known here, is `null`: its programs leave it out, and {@linkcode unknownColumns} names what stays empty.
 *
 * @module
 */
import type { Btf } from "./btf.ts";

/** A number that pointers lead to: their offsets from the task on, then the number's own in what the last points to. */
export interface Fact {
  readonly pointers: readonly number[];
  readonly offset: number;
}

/** The numbers that are copied as they are. */
export type FactName = keyof typeof FACTS;

const FACTS = {
  savedUserId: ["task_struct.cred", "cred.suid"],
  effectiveGroupId: ["task_struct.cred", "cred.egid"],
  savedGroupId: ["task_struct.cred", "cred.sgid"],
  // Two words of 32 bits before Linux 6.3, one of 64 since.
  effectiveCapabilities: ["task_struct.cred", "cred.cap_effective"],
  userNamespace: ["task_struct.cred", "cred.user_ns", "user_namespace.ns.inum"],
  mountNamespace: ["task_struct.nsproxy", "nsproxy.mnt_ns", "mnt_namespace.ns.inum"],
  networkNamespace: ["task_struct.nsproxy", "nsproxy.net_ns", "net.ns.inum"],
  // Only with CONFIG_AUDIT.
  loginUserId: ["task_struct.loginuid"],
  sessionId: ["task_struct.sessionid"],
} as const satisfies Record<string, readonly string[]>;

export const FACT_NAMES = Object.keys(FACTS) as readonly FactName[];

/** The columns of `process_events` that each part fills. */
const COLUMNS = {
  savedUserId: ["saved_user_id"],
  effectiveGroupId: ["effective_group_id"],
  savedGroupId: ["saved_group_id"],
  effectiveCapabilities: ["effective_capabilities"],
  userNamespace: ["user_namespace"],
  mountNamespace: ["mount_namespace"],
  networkNamespace: ["network_namespace"],
  loginUserId: ["login_user_id"],
  sessionId: ["session_id"],
  pid: ["namespace_pid", "pid_namespace"],
  cwd: ["cwd"],
  group: ["cgroup_path", "cgroup_id", "container_id", "container_runtime", "pod_id"],
  tty: ["tty"],
  streams: ["stdin_kind", "stdout_kind"],
  socket: [],
  executable: [],
  script: ["interpreter_path", "script_path"],
  environment: ["environment"],
} as const satisfies Record<keyof ContextLayout, readonly string[]>;

/** Offsets in bytes, as in `KernelLayout`; a part is `null` where this kernel lacks a member of it. */
export interface ContextLayout extends Readonly<Record<FactName, Fact | null>> {
  /** The number and the namespace stand at the deepest of a pid's levels. */
  readonly pid: {
    readonly ofTask: number;
    readonly level: number;
    readonly numbers: number;
    readonly numberBytes: number;
    readonly number: number;
    readonly namespace: number;
    readonly namespaceInode: number;
  } | null;
  readonly cwd: { readonly fs: number; readonly mount: number; readonly dentry: number } | null;
  readonly group: {
    readonly ofTask: number;
    /** The group of the one hierarchy of version 2. */
    readonly unified: number;
    readonly node: number;
    readonly name: number;
    readonly parent: number;
    readonly id: number;
    /** Controllers that can have hierarchies of version 1, and from each to its group. */
    readonly controllers: readonly number[];
    readonly ofController: number;
  } | null;
  readonly tty: { readonly signal: number; readonly ofSignal: number; readonly name: number } | null;
  readonly streams: {
    readonly files: number;
    readonly table: number;
    readonly descriptors: number;
    readonly inode: number;
    readonly mode: number;
    readonly device: number;
    readonly flags: number;
  } | null;
  /** From an open file to the family of the socket that it is. */
  readonly socket: { readonly socket: number; readonly sock: number; readonly family: number } | null;
  /** A member of `struct inode`. */
  readonly executable: { readonly mode: number } | null;
  /** Members of `struct linux_binprm`. */
  readonly script: { readonly fileName: number; readonly interpreter: number } | null;
  /** Members of `struct mm_struct`. */
  readonly environment: { readonly start: number; readonly end: number } | null;
}

/** Of a kernel that lacks everything. */
export const NO_CONTEXT = Object.fromEntries(
  Object.keys(COLUMNS).map((part) => [part, null]),
) as { [Part in keyof ContextLayout]: null };

export function readContextLayout(btf: Btf): ContextLayout {
  /** All of them, or null when one is not there. */
  const places = <K extends string>(paths: Readonly<Record<K, string>>): Record<K, number> | null => {
    const names = Object.keys(paths) as K[];
    if (!names.every((name) => btf.has(paths[name]))) return null;
    return Object.fromEntries(names.map((name) => [name, btf.offsetOf(paths[name])])) as Record<K, number>;
  };
  const facts = Object.fromEntries(
    Object.entries(FACTS).map(([name, path]) => {
      if (!path.every((member) => btf.has(member))) return [name, null];
      const offsets = path.map((member) => btf.offsetOf(member));
      return [name, { pointers: offsets.slice(0, -1), offset: offsets.at(-1)! }];
    }),
  ) as Record<FactName, Fact | null>;
  const pid = places({
    ofTask: "task_struct.thread_pid",
    level: "pid.level",
    numbers: "pid.numbers",
    number: "upid.nr",
    namespace: "upid.ns",
    namespaceInode: "pid_namespace.ns.inum",
  });
  const group = places({
    ofTask: "task_struct.cgroups",
    unified: "css_set.dfl_cgrp",
    node: "cgroup.kn",
    name: "kernfs_node.name",
    // Renamed in Linux 6.15.
    parent: btf.has("kernfs_node.parent") ? "kernfs_node.parent" : "kernfs_node.__parent",
    id: "kernfs_node.id",
  });
  return {
    ...facts,
    pid: pid && { ...pid, numberBytes: btf.sizeOf("upid") },
    cwd: places({ fs: "task_struct.fs", mount: "fs_struct.pwd.mnt", dentry: "fs_struct.pwd.dentry" }),
    group: group && { ...group, ...controllers(btf) },
    tty: places({ signal: "task_struct.signal", ofSignal: "signal_struct.tty", name: "tty_struct.name" }),
    streams: places({
      files: "task_struct.files",
      table: "files_struct.fdt",
      descriptors: "fdtable.fd",
      inode: "file.f_inode",
      mode: "inode.i_mode",
      device: "inode.i_rdev",
      flags: "inode.i_flags",
    }),
    socket: places({ socket: "file.private_data", sock: "socket.sk", family: "sock.__sk_common.skc_family" }),
    executable: places({ mode: "inode.i_mode" }),
    script: places({ fileName: "linux_binprm.filename", interpreter: "linux_binprm.interp" }),
    environment: places({ start: "mm_struct.env_start", end: "mm_struct.env_end" }),
  };
}

/** The controllers of version 1 that systemd and container runtimes give every unit and container a group of. */
const CONTROLLERS = ["pids_cgrp_id", "memory_cgrp_id"];

function controllers(btf: Btf): { controllers: number[]; ofController: number } {
  if (!btf.has("css_set.subsys") || !btf.has("cgroup_subsys_state.cgroup")) return { controllers: [], ofController: 0 };
  const start = btf.offsetOf("css_set.subsys");
  const numbers = CONTROLLERS.map((name) => btf.enumValue("cgroup_subsys_id", name)).filter((number) =>
    number !== null
  );
  return {
    controllers: numbers.map((number) => start + number * 8),
    ofController: btf.offsetOf("cgroup_subsys_state.cgroup"),
  };
}

/** Columns of `process_events` that stay empty on a kernel of this layout. */
export function unknownColumns(layout: ContextLayout): string[] {
  return Object.entries(COLUMNS).flatMap(([part, columns]) =>
    layout[part as keyof ContextLayout] === null ? columns : []
  );
}
