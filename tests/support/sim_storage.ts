/**
 * A file system in memory that does, by seed, what a bad disk does and what POSIX allows a crash to do.
 *
 * What is written lies in a cache until its file is synced; what is named, until the directory is. A crash keeps, drops
 * or tears every unsynced sector of 512 bytes by itself, lets a file that grew end anywhere, and undoes any unsynced
 * change of the directory. A sync that fails leaves its sectors readable and clean: the next sync succeeds and does not
 * write them, as Linux does it. A sync beside other work is at its end when {@linkcode SimStorage.land} is called; it has
 * put on disk what was written before it began, and nothing else. Any call can fail, any write can be short, and any step can be the last.
 *
 * @module
 */
import {
  type Storage,
  type StorageEntry,
  StorageError,
  type StorageFault,
  type StorageFile,
} from "../../collector/wal/storage.ts";
import { Random } from "../fuzz/random.ts";

const SECTOR = 512;

/** Thrown by the call in which the simulated machine stops. */
export class SimulatedCrash extends Error {
  override name = "SimulatedCrash";
}

export interface Faults {
  /** Probability that a call fails with EIO. */
  io: number;
  /** Probability that a write is short. */
  short: number;
  /** Probability that a call is the last before a crash. */
  crash: number;
  /** Bytes that the disk holds; writes beyond are short, then fail with ENOSPC. */
  capacity: number;
}

export const NO_FAULTS: Faults = { io: 0, short: 0, crash: 0, capacity: Infinity };

class Inode {
  /** What a reader sees. */
  data: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** What is on disk. */
  disk: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Sectors whose write has not reached the disk. */
  readonly dirty = new Set<number>();
  /** Sectors that a failed sync left clean in the cache and wrong on disk. */
  readonly lost = new Set<number>();
}

/** One change of names, kept or undone as a whole: `null` removes. */
type Change = [name: string, node: Inode | null][];

export class SimStorage implements Storage {
  faults: Faults = { ...NO_FAULTS };
  /** Steps taken: calls that could fail or crash. */
  steps = 0;
  /** Names that are links or directories: planted by a test. */
  readonly planted = new Set<string>();
  /** Told of every step and its outcome: what a failing seed is understood by. */
  trace: (text: string) => void = () => {};
  #names = new Map<string, Inode>();
  #disk = new Map<string, Inode>();
  #changes: Change[] = [];
  #down = false;
  #open = 0;
  /** Whether syncs beside other work go on until {@linkcode land}; otherwise they end at once. */
  holdsSyncs = false;
  #flying: (() => void)[] = [];

  constructor(readonly random: Random = new Random(1)) {}

  /** The power fails: what was not synced may be lost. The storage works again after that, without faults. */
  crash(): void {
    this.trace("crash");
    const names = new Map(this.#disk);
    for (const change of this.#changes) {
      if (this.random.chance(0.5)) apply(names, change);
    }
    for (const node of new Set(names.values())) this.#crashFile(node);
    this.#names = names;
    this.#disk = new Map(names);
    this.#changes = [];
    this.#restart();
  }

  /** The process ends, the machine does not: the cache stays. */
  kill(): void {
    this.trace("kill");
    this.#restart();
  }

  /** Ends the syncs that are under way. */
  land(): void {
    for (const end of this.#flying.splice(0)) end();
  }

  /** Bytes of all files. */
  used(): number {
    let sum = 0;
    for (const node of this.#names.values()) sum += node.data.length;
    return sum;
  }

  /** Handles that are open. */
  get handles(): number {
    return this.#open;
  }

  /** A copy with everything on disk: for tests that damage files. */
  copy(): SimStorage {
    const other = new SimStorage(new Random(1));
    for (const [name, node] of this.#names) other.put(name, node.data);
    for (const name of this.planted) other.planted.add(name);
    return other;
  }

  /** The bytes of a file, to be looked at or changed in place. */
  bytes(name: string): Uint8Array<ArrayBuffer> {
    return this.#node(name).data;
  }

  /** A file with these bytes, on disk. */
  put(name: string, bytes: Uint8Array): void {
    const node = new Inode();
    node.data = bytes.slice() as Uint8Array<ArrayBuffer>;
    node.disk = node.data.slice();
    this.planted.delete(name);
    this.#names.set(name, node);
    this.#disk.set(name, node);
  }

  drop(name: string): void {
    this.#names.delete(name);
    this.#disk.delete(name);
  }

  list(): StorageEntry[] {
    this.#step("list");
    const entries: StorageEntry[] = [...this.#names].map(([name, node]) => ({
      name,
      kind: "file",
      size: node.data.length,
    }));
    for (const name of this.planted) entries.push({ name, kind: "other", size: 0 });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  create(name: string): StorageFile {
    this.#step(`create ${name}`);
    if (this.#names.has(name) || this.planted.has(name)) throw new StorageError("exists", `${name}: File exists`);
    if (this.used() >= this.faults.capacity) throw full(name);
    const node = new Inode();
    this.#change([[name, node]]);
    this.#open += 1;
    return this.#handle(name, node);
  }

  open(name: string): StorageFile {
    this.#step(`open ${name}`);
    if (this.planted.has(name)) throw new StorageError("not-a-file", `${name} is not a regular file`);
    const node = this.#node(name);
    this.#open += 1;
    return this.#handle(name, node);
  }

  remove(name: string): void {
    this.#step(`remove ${name}`);
    this.#node(name);
    this.#change([[name, null]]);
  }

  rename(from: string, to: string): void {
    this.#step(`rename ${from} to ${to}`);
    if (this.planted.delete(from)) {
      this.planted.add(to);
      return;
    }
    this.#change([[from, null], [to, this.#node(from)]]);
  }

  syncDirectory(): void {
    this.#step("syncDirectory");
    this.#disk = new Map(this.#names);
    this.#changes = [];
  }

  #restart(): void {
    this.#flying = []; // nobody waits for them any more
    this.#down = false;
    this.#open = 0;
    this.faults = { ...NO_FAULTS };
  }

  #node(name: string): Inode {
    const node = this.#names.get(name);
    if (node === undefined) throw new StorageError("missing", `${name}: No such file`);
    return node;
  }

  #change(change: Change): void {
    apply(this.#names, change);
    this.#changes.push(change);
  }

  /** Every call comes here first. A crash may come before or after its effect; `after` is what it would do. */
  #step(what: string, fault: StorageFault = "io"): void {
    if (this.#down) throw new SimulatedCrash("The machine is down");
    this.steps += 1;
    if (this.random.chance(this.faults.crash)) this.#stop(what);
    const fails = this.random.chance(this.faults.io);
    this.trace(fails ? `${what}: fails` : what);
    if (fails) throw new StorageError(fault, `${what}: Input/output error`);
  }

  #stop(what: string): never {
    this.#down = true;
    this.trace(`${what}: the machine stops`);
    throw new SimulatedCrash(`The machine stopped in ${what}`);
  }

  #handle(name: string, node: Inode): StorageFile {
    let open = true;
    const step = (what: string): void => {
      if (!open) throw new TypeError(`${name} is closed`);
      this.#step(`${what} of ${name}`);
    };
    return {
      size: () => {
        step("size");
        return node.data.length;
      },
      readAt: (position, into) => {
        step("read");
        const piece = node.data.subarray(position, position + into.length);
        const count = this.random.chance(this.faults.short) && piece.length > 1
          ? 1 + this.random.below(piece.length - 1)
          : piece.length;
        into.set(piece.subarray(0, count));
        return count;
      },
      writeAt: (position, bytes) => {
        step("write");
        let count = bytes.length;
        if (count > 1 && this.random.chance(this.faults.short)) count = 1 + this.random.below(count - 1);
        const grows = Math.max(0, position + count - node.data.length);
        if (grows > 0) count -= Math.min(grows, Math.max(0, this.used() + grows - this.faults.capacity));
        if (count <= 0) throw full(name);
        this.trace(`  ${count} of ${bytes.length} bytes at ${position}`);
        write(node, position, bytes.subarray(0, count));
        if (this.random.chance(this.faults.crash)) this.#stop(`write of ${name}`);
        return count;
      },
      syncData: () => {
        if (this.#down) throw new SimulatedCrash("The machine is down");
        try {
          step("sync");
        } catch (error) {
          // Some of it may be on disk; the kernel has forgotten the rest, and says so only once.
          if (error instanceof StorageError) this.#failSync(node);
          throw error;
        }
        node.disk = persisted(node, (sector) => !node.lost.has(sector));
        node.dirty.clear();
        if (this.random.chance(this.faults.crash)) this.#stop(`sync of ${name}`);
      },
      syncDataBeside: () => {
        const begun = new Set(node.dirty), data = node.data.slice();
        const end = (): void => {
          if (this.#down) throw new SimulatedCrash("The machine is down");
          try {
            this.#step(`sync beside of ${name}`);
          } catch (error) {
            if (error instanceof StorageError) this.#failSync(node);
            throw error;
          }
          syncBegun(node, begun, data);
          if (this.random.chance(this.faults.crash)) this.#stop(`sync beside of ${name}`);
        };
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        this.#flying.push(() => {
          try {
            end();
            resolve();
          } catch (error) {
            reject(error);
          }
        });
        if (!this.holdsSyncs) this.land();
        return promise;
      },
      truncate: (size) => {
        step("truncate");
        const data = new Uint8Array(size);
        data.set(node.data.subarray(0, size));
        node.data = data;
        // The last sector's rest is zero now.
        node.dirty.add(Math.floor(size / SECTOR));
      },
      close: () => {
        if (open) this.#open -= 1;
        open = false;
      },
    };
  }

  #failSync(node: Inode): void {
    const kept = new Set([...node.dirty].filter(() => this.random.chance(0.5)));
    node.disk = persisted(node, (sector) => kept.has(sector) || (!node.dirty.has(sector) && !node.lost.has(sector)));
    for (const sector of node.dirty) if (!kept.has(sector)) node.lost.add(sector);
    node.dirty.clear();
  }

  #crashFile(node: Inode): void {
    const { random } = this;
    const before = node.disk;
    const unsure = (sector: number): boolean => node.dirty.has(sector) || node.lost.has(sector);
    const disk = persisted(node, (sector) => !unsure(sector));
    for (const sector of new Set([...node.dirty, ...node.lost])) {
      const begin = sector * SECTOR, piece = node.data.subarray(begin, begin + SECTOR);
      if (piece.length === 0) continue; // cut off since
      const fate = random.below(3); // 0: dropped
      const from = fate === 1 ? 0 : fate === 2 ? random.below(piece.length) : piece.length;
      const to = fate === 2 ? from + random.below(piece.length - from + 1) : piece.length;
      disk.set(piece.subarray(from, to), begin + from);
    }
    // A file that grew may end anywhere between its two lengths; one that was cut may have its old end again.
    let size = node.data.length;
    if (node.dirty.size > 0 || node.lost.size > 0) {
      const low = Math.min(before.length, size), high = Math.max(before.length, size);
      size = random.chance(0.5) ? size : low + random.below(high - low + 1);
    }
    node.data = resized(disk, before, size);
    node.disk = node.data.slice();
    node.dirty.clear();
    node.lost.clear();
  }
}

function apply(names: Map<string, Inode>, change: Change): void {
  for (const [name, node] of change) {
    if (node === null) names.delete(name);
    else names.set(name, node);
  }
}

function write(node: Inode, position: number, bytes: Uint8Array): void {
  const end = position + bytes.length, before = node.data.length;
  if (end > before) {
    const data = new Uint8Array(end);
    data.set(node.data);
    node.data = data;
  }
  node.data.set(bytes, position);
  for (let sector = Math.floor(Math.min(position, before) / SECTOR); sector * SECTOR < end; sector++) {
    if (sector * SECTOR + SECTOR <= position && sector * SECTOR + SECTOR <= before) continue;
    node.dirty.add(sector);
    node.lost.delete(sector);
  }
}

/** The file as it would be on disk with the new bytes of some of its sectors and the old ones of the others. */
function persisted(node: Inode, isNew: (sector: number) => boolean): Uint8Array<ArrayBuffer> {
  const disk = new Uint8Array(node.data.length);
  for (let sector = 0; sector * SECTOR < disk.length; sector++) {
    const source = isNew(sector) ? node.data : node.disk;
    disk.set(source.subarray(sector * SECTOR, Math.min((sector + 1) * SECTOR, disk.length)), sector * SECTOR);
  }
  return disk;
}

/** Puts on disk what was written before a sync began; what was written since stays in the cache alone. */
function syncBegun(node: Inode, begun: ReadonlySet<number>, data: Uint8Array): void {
  const disk = persisted(node, () => false);
  for (const sector of begun) {
    const from = sector * SECTOR, piece = data.subarray(from, Math.min(from + SECTOR, disk.length));
    if (node.lost.has(sector) || piece.length === 0) continue;
    disk.set(piece, from);
    const now = node.data.subarray(from, from + SECTOR);
    if (now.length === piece.length && now.every((byte, at) => byte === piece[at])) node.dirty.delete(sector);
  }
  node.disk = disk;
}

function resized(disk: Uint8Array, before: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(size);
  data.set(disk.subarray(0, size));
  if (size > disk.length) data.set(before.subarray(disk.length, size), disk.length);
  return data;
}

function full(name: string): StorageError {
  return new StorageError("no-space", `${name}: No space left on device`);
}
