/**
 * The parts of our eBPF programs that walk from a name up to its root: files and directories over mounts, and control
 * groups.
 *
 * A walk appends the name of each level to the texts of the record, each ended by NUL, the lowest first. R7 is how many
 * bytes of texts there are; R6 counts the levels and is used up; R9 is where the record is made.
 *
 * @module
 */
import { HELPER } from "./bpf.ts";
import { type BpfAssembler, R0, R1, R10, R2, R3, R6, R7, R9 } from "./bpf_assembler.ts";
import type { ContextLayout } from "./context_layout.ts";
import type { KernelLayout } from "./kernel_layout.ts";
import { BY_PROBES, readTogether } from "./probes.ts";

/** Directories and mounts between a file and the root that are walked with a counter; a path with more is marked as cut. */
const MAX_PATH_LEVELS = 256;
/** The same of control groups, which nobody nests like that. */
const MAX_GROUP_LEVELS = 64;
/** The longest name of a file (NAME_MAX) and its NUL. */
const COMPONENT_BYTES = 256;

/** Where a walk writes, and what it does when it meets its end too late. */
export interface Walk {
  /** In labels. */
  readonly name: string;
  /** Where the texts of the record begin. */
  readonly texts: number;
  /** How many bytes of texts there may be after this walk. */
  readonly limit: number;
  /** Marks the path as cut. */
  readonly cut: () => void;
}

/** Slots of the stack that walks use. A caller sets the first two: a `struct dentry` and a `struct vfsmount`. */
export const DENTRY = -24, MOUNT = -32;
const POINTER = -16;
/** What is read of a level, and of a mount. */
const LEVEL_AREA = -160, MOUNT_AREA = -200, AREA_BYTES = 40;

/** Walks from DENTRY to the root over directories and mounts, as the kernel's `prepend_path()` does. */
export function appendPath(a: BpfAssembler, { dentry, mount }: KernelLayout, walk: Walk): void {
  const { name } = walk;
  a.load(8, R1, R10, MOUNT).addConstant(R1, -mount.vfsmount).store(8, R10, MOUNT, R1).moveConstant(R6, 0);
  a.loop(`${name} mount`, `${name} cut`);
  const members = [mount.root, mount.parent, mount.mountpoint];
  const [root, parentMount, mountpoint] = readTogether(a, MOUNT_AREA, AREA_BYTES, MOUNT, members) as Three;

  a.loop(`${name} level`, `${name} cut`).load(8, R1, R10, DENTRY).load(8, R2, R10, root);
  a.jumpIfRegisters(R1, "eq", R2, `${name} mount root`);
  const [parent, text] = readTogether(a, LEVEL_AREA, AREA_BYTES, DENTRY, [dentry.parent, dentry.name]) as Two;
  a.load(8, R3, R10, text);
  appendName(a, walk);
  // Its own parent, and not the root of its mount: a memfd, or a directory that was cut off. The path ends here.
  a.load(8, R1, R10, parent).load(8, R2, R10, DENTRY).jumpIfRegisters(R1, "eq", R2, `${name} done`);
  a.store(8, R10, DENTRY, R1).again(`${name} level`, R6, MAX_PATH_LEVELS, `${name} cut`);

  a.label(`${name} mount root`).load(8, R1, R10, parentMount).load(8, R2, R10, MOUNT);
  a.jumpIfRegisters(R1, "eq", R2, `${name} done`).store(8, R10, MOUNT, R1);
  a.load(8, R1, R10, mountpoint).store(8, R10, DENTRY, R1);
  a.again(`${name} mount`, R6, MAX_PATH_LEVELS, `${name} cut`);
  a.label(`${name} cut`);
  walk.cut();
  a.label(`${name} done`);
}
type Two = [number, number];
type Three = [number, number, number];

/** Walks from the node of a control group, whose address stands in DENTRY, to the root of its hierarchy. */
export function appendGroupPath(
  a: BpfAssembler,
  { parent, name: nodeName }: NonNullable<ContextLayout["group"]>,
  walk: Walk,
): void {
  const { name } = walk;
  a.moveConstant(R6, 0).loop(`${name} level`, `${name} cut`);
  // The root has no parent and no name.
  BY_PROBES.follow(a, MOUNT, DENTRY, [parent], `${name} done`);
  BY_PROBES.follow(a, POINTER, DENTRY, [nodeName], `${name} cut`);
  a.load(8, R3, R10, POINTER);
  appendName(a, walk);
  a.load(8, R1, R10, MOUNT).store(8, R10, DENTRY, R1);
  a.again(`${name} level`, R6, MAX_GROUP_LEVELS, `${name} cut`);
  a.label(`${name} cut`);
  walk.cut();
  a.label(`${name} done`);
}

/** Appends the name whose address is in R3, or goes to the label for a cut. */
function appendName(a: BpfAssembler, { name, texts, limit }: Walk): void {
  a.jumpIf(R7, "gt", limit - COMPONENT_BYTES, `${name} cut`);
  a.move(R1, R9).addConstant(R1, texts).add(R1, R7).moveConstant(R2, COMPONENT_BYTES);
  a.call(HELPER.probeReadKernelString).jumpIf(R0, "sle", 0, `${name} cut`).add(R7, R0);
  // Changes nothing, but lets the verifier forget a least length, so that it sees all ways to a level as one state
  // (a million steps else, and refused).
  a.andConstant(R7, 2 ** Math.ceil(Math.log2(limit + 1)) - 1);
}
