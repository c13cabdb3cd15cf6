/**
 * Type information: small kernels that could be, ones whose types refer to each other at random, and changed bytes of both.
 *
 * @module
 */
import { Btf, BtfError } from "../../../collector/kernel/btf.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { BtfBuilder, VOID } from "../../support/btf_builder.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

/** Names that the kernel layout asks for, so that made-up types are found. */
const STRUCTS = [
  "task_struct",
  "signal_struct",
  "cred",
  "mm_struct",
  "file",
  "inode",
  "dentry",
  "mount",
  "percpu_counter",
];
const MEMBERS = ["pid", "tgid", "se", "sum_exec_runtime", "mm", "mnt", "f_path", "rss_stat", "count", "name", ""];
const PATHS = [
  ...STRUCTS.flatMap((struct) => MEMBERS.map((member) => `${struct}.${member}`)),
  "task_struct.se.sum_exec_runtime",
  "mount.mnt.f_path.name",
];

/** Types in any order that refer to any of them, or to none. */
function anyTypes(random: Random): BtfBuilder {
  const b = new BtfBuilder(), types = 2 + random.length(60);
  const type = (): number => random.oneIn(30) ? random.edge() : random.below(types + 1);
  for (let id = 1; id <= types; id++) {
    switch (random.below(8)) {
      case 0:
        b.integer("int");
        break;
      case 1:
        b.pointer(type());
        break;
      case 2:
        b.array(type(), random.edge());
        break;
      case 3:
        b.typedef(random.pick(["btf_trace_sched_process_exit", "other_t"]), type());
        break;
      case 4:
        b.prototype(Array.from({ length: random.below(5) }, type));
        break;
      case 5:
        b.type(random.pick([9, 10, 11, 18]), "", type());
        break;
      default: {
        const members = Array.from({ length: random.length(12) }, (): [string, number, number] => {
          return [random.pick(MEMBERS), type(), random.oneIn(4) ? random.edge() : 8 * random.below(512)];
        });
        b.struct(
          random.oneIn(3) ? "" : random.pick(STRUCTS),
          random.edge(),
          members,
          random.below(2),
          random.pick([4, 5]),
        );
      }
    }
  }
  return b;
}

/** Structures without a name inside each other, each twice in the one before: small, and large when walked. */
function nestedTypes(random: Random): BtfBuilder {
  const b = new BtfBuilder(), depth = 1 + random.below(40), width = 1 + random.below(4);
  let inner = b.struct("", 8, [["pid", b.integer("int"), 0]]);
  for (let level = 0; level < depth; level++) {
    const members = Array.from({ length: width }, (_, index): [string, number, number] => ["", inner, 64 * index]);
    inner = b.struct(level === depth - 1 ? "task_struct" : "", 8, members);
  }
  return b;
}

/** All that the layout asks for, where a kernel might have it. */
function soundKernel(): BtfBuilder {
  const b = new BtfBuilder(), int = b.integer("int");
  const struct = (name: string, ...members: (string | [string, number])[]): number =>
    b.struct(
      name,
      64 * members.length,
      members.map((member, index) => {
        return typeof member === "string" ? [member, int, 64 * index] : [...member, 64 * index];
      }) as [string, number, number][],
    );
  const entity = struct("sched_entity", "sum_exec_runtime"), path = struct("path", "mnt", "dentry");
  const name = struct("qstr", "name"),
    hash = struct("hlist_bl_node", "next", "pprev"),
    vfsmount = struct("vfsmount", "mnt_root");
  const task = [
    "pid",
    "tgid",
    "real_parent",
    "group_leader",
    "start_boottime",
    "mm",
    "signal",
    "cred",
    "comm",
    "flags",
  ];
  struct("task_struct", ...task, "__state", "exit_state", "exit_code", ["se", entity]);
  struct("signal_struct", "live", "flags", "group_exit_code", "nr_threads", "sum_sched_runtime");
  struct("cred", "uid", "gid", "euid");
  struct("mm_struct", "arg_start", "arg_end", "exe_file", ["rss_stat", b.array(struct("percpu_counter", "count"), 4)]);
  struct("linux_binprm", "file");
  struct("file", ["f_path", path], "f_inode");
  struct("inode", "i_ino", "i_sb");
  struct("super_block", "s_dev");
  struct("dentry", ["d_name", name], "d_parent", ["d_hash", hash]);
  struct("mount", ["mnt", vfsmount], "mnt_parent", "mnt_mountpoint");
  struct("bpf_iter_meta", "seq");
  b.typedef("btf_trace_sched_process_exit", b.pointer(b.prototype([b.pointer(VOID), int, int])));
  return b;
}

export const btf: FuzzTarget = {
  name: "btf",
  share: 60_000,
  open: () => {
    const kernel = soundKernel().bytes();
    readKernelLayout(new Btf(kernel.slice())); // it must serve before it is changed
    return (random) => {
      const bytes = random.oneIn(3) ? kernel : (random.oneIn(4) ? nestedTypes(random) : anyTypes(random)).bytes();
      const changed = random.oneIn(3) ? bytes.slice() : mutate(random, bytes);
      const paths = Array.from({ length: 6 }, () => random.pick(PATHS));
      const shown = hex(changed); // the reader frees what it is given
      return { show: () => `${shown} asked for ${paths.join(" ")}`, run: () => ask(changed, paths) };
    };
  },
};

function ask(bytes: Uint8Array<ArrayBuffer>, paths: readonly string[]): void {
  let types: Btf;
  try {
    types = new Btf(bytes);
  } catch (error) {
    if (error instanceof BtfError) return;
    throw error;
  }
  const number = (value: number, what: string): void => {
    must(Number.isSafeInteger(value) && value >= 0, `${what} is ${value}: bytes or a count`);
  };
  for (const path of paths) {
    tolerate(() => {
      if (types.has(path)) number(types.offsetOf(path), path);
    });
    tolerate(() => must(typeof types.isArray(path) === "boolean", "an answer"));
    tolerate(() => number(types.sizeOf(path.split(".")[0]!), "a size"));
  }
  tolerate(() => number(types.tracepointArguments("sched_process_exit"), "arguments"));
  tolerate(() => number(types.functionId("bpf_iter_task") ?? 0, "a function"));
  tolerate(() => {
    const layout = readKernelLayout(types);
    JSON.stringify(layout, (name, value) => {
      if (typeof value === "number") number(value, `${name} of the layout`);
      return value;
    });
  });
  types.release();
}

function tolerate(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof BtfError)) throw error;
  }
}
