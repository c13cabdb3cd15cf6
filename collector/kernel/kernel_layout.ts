/**
 * Where the members that our programs read are in this kernel's structures.
 *
 * Resolved from BTF at start, so that one program text fits every kernel. Where kernels differ in more than a place,
 * the difference is a member here and the programs ask it.
 *
 * @module
 */
import type { LoopForm } from "./bpf_assembler.ts";
import type { Btf } from "./btf.ts";
import { type ContextLayout, NO_CONTEXT, readContextLayout } from "./context_layout.ts";

/** Offsets in bytes. A chain of names is a path through structures that lie inside each other. */
export interface KernelLayout {
  readonly task: {
    readonly pid: number;
    readonly tgid: number;
    readonly realParent: number;
    readonly groupLeader: number;
    readonly startBoottime: number;
    readonly mm: number;
    readonly signal: number;
    readonly cred: number;
    readonly comm: number;
    readonly flags: number;
    readonly state: number;
    readonly exitState: number;
    readonly exitCode: number;
    /** Nanoseconds that the scheduler gave the thread. */
    readonly runtime: number;
  };
  readonly signal: {
    readonly live: number;
    readonly flags: number;
    readonly groupExitCode: number;
    readonly threads: number;
    /** Runtime of threads that are gone. */
    readonly runtimeOfDead: number;
  };
  readonly cred: { readonly uid: number; readonly gid: number; readonly euid: number };
  readonly mm: {
    readonly argStart: number;
    readonly argEnd: number;
    readonly exeFile: number;
    /** The counters of file, anonymous and shared pages. */
    readonly residentPages: readonly number[];
  };
  readonly binprmFile: number;
  readonly file: {
    readonly path: number;
    readonly pathMount: number;
    readonly pathDentry: number;
    readonly inode: number;
  };
  readonly inode: {
    readonly number: number;
    readonly superBlock: number;
    /** When the inode last changed; `null` where this kernel keeps it in another way. */
    readonly changeTime: { readonly seconds: number; readonly nanoseconds: number } | null;
  };
  readonly superBlockDevice: number;
  readonly dentry: { readonly name: number; readonly parent: number; readonly hashLink: number };
  /** `struct mount` surrounds the `struct vfsmount` that files point to. */
  readonly mount: {
    readonly vfsmount: number;
    readonly root: number;
    readonly parent: number;
    readonly mountpoint: number;
  };
  readonly iteratorSequence: number;
  /**
   * Whether the exit tracepoint says that the last thread goes. Where it does not, `signal.live` is asked, which two
   * threads that end at once can both find zero: the receiver then sees the second exit of a process that is gone.
   */
  readonly exitSaysGroupDead: boolean;
  readonly loops: LoopForm;
  readonly context: ContextLayout;
}

/** Indices of the resident counters in `rss_stat`: file, anonymous, shared (`include/linux/mm_types_task.h`). */
const RESIDENT_COUNTERS = [0, 1, 3];

/** @throws {BtfError} when this kernel lacks a member that the programs cannot do without */
export function readKernelLayout(btf: Btf): KernelLayout {
  const at = (path: string): number => btf.offsetOf(path);
  return {
    task: {
      pid: at("task_struct.pid"),
      tgid: at("task_struct.tgid"),
      realParent: at("task_struct.real_parent"),
      groupLeader: at("task_struct.group_leader"),
      startBoottime: at("task_struct.start_boottime"),
      mm: at("task_struct.mm"),
      signal: at("task_struct.signal"),
      cred: at("task_struct.cred"),
      comm: at("task_struct.comm"),
      flags: at("task_struct.flags"),
      // Renamed in Linux 5.14.
      state: btf.has("task_struct.__state") ? at("task_struct.__state") : at("task_struct.state"),
      exitState: at("task_struct.exit_state"),
      exitCode: at("task_struct.exit_code"),
      runtime: at("task_struct.se.sum_exec_runtime"),
    },
    signal: {
      live: at("signal_struct.live"),
      flags: at("signal_struct.flags"),
      groupExitCode: at("signal_struct.group_exit_code"),
      threads: at("signal_struct.nr_threads"),
      runtimeOfDead: at("signal_struct.sum_sched_runtime"),
    },
    cred: { uid: at("cred.uid"), gid: at("cred.gid"), euid: at("cred.euid") },
    mm: {
      argStart: at("mm_struct.arg_start"),
      argEnd: at("mm_struct.arg_end"),
      exeFile: at("mm_struct.exe_file"),
      residentPages: residentPages(btf),
    },
    binprmFile: at("linux_binprm.file"),
    file: {
      path: at("file.f_path"),
      pathMount: at("file.f_path.mnt"),
      pathDentry: at("file.f_path.dentry"),
      inode: at("file.f_inode"),
    },
    inode: { number: at("inode.i_ino"), superBlock: at("inode.i_sb"), changeTime: changeTime(btf) },
    superBlockDevice: at("super_block.s_dev"),
    dentry: { name: at("dentry.d_name.name"), parent: at("dentry.d_parent"), hashLink: at("dentry.d_hash.pprev") },
    mount: {
      vfsmount: at("mount.mnt"),
      root: at("mount.mnt") + at("vfsmount.mnt_root"),
      parent: at("mount.mnt_parent"),
      mountpoint: at("mount.mnt_mountpoint"),
    },
    iteratorSequence: at("bpf_iter_meta.seq"),
    exitSaysGroupDead: btf.tracepointArguments("sched_process_exit") > 1,
    // The verifier's own book of such loops, since Linux 6.9.
    loops: btf.has("bpf_verifier_state.may_goto_depth") ? "budget" : "counter",
    context: readContextLayout(btf),
  };
}

/** The same for programs that leave the circumstances of processes out. */
export function withoutContext(layout: KernelLayout): KernelLayout {
  return { ...layout, context: NO_CONTEXT };
}

/** One number each since Linux 6.11, a structure before, which was renamed in 6.6. */
function changeTime(btf: Btf): KernelLayout["inode"]["changeTime"] {
  const forms = [
    ["inode.i_ctime_sec", "inode.i_ctime_nsec"],
    ["inode.__i_ctime.tv_sec", "inode.__i_ctime.tv_nsec"],
    ["inode.i_ctime.tv_sec", "inode.i_ctime.tv_nsec"],
  ] as const;
  const form = forms.find((names) => names.every((name) => btf.has(name)));
  return form === undefined ? null : { seconds: btf.offsetOf(form[0]), nanoseconds: btf.offsetOf(form[1]) };
}

/** Since Linux 6.2 an array of per-CPU counters, before a structure with an array of words. */
function residentPages(btf: Btf): number[] {
  const start = btf.offsetOf("mm_struct.rss_stat");
  return btf.isArray("mm_struct.rss_stat")
    ? RESIDENT_COUNTERS.map((index) =>
      start + index * btf.sizeOf("percpu_counter") + btf.offsetOf("percpu_counter.count")
    )
    : RESIDENT_COUNTERS.map((index) => start + index * 8);
}
