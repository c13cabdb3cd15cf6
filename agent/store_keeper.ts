/**
 * Keeps the store open, and while it cannot be used, says why and tries again.
 *
 * A store that failed once is closed and opened anew before it takes anything: what a failed commit may have changed in
 * memory (watermarks, caches, counts of what is owed) does not outlive it, and no failed sync is trusted twice. In the
 * meantime collectors are refused with the reason and keep what they have; nothing is acknowledged. A damaged file is
 * never replaced: it is looked at again until an operator has put another one, or none, in its place.
 *
 * @module
 */
import { dirname } from "node:path";
import { every, type Repeated } from "./beat.ts";
import type { Journal } from "./journal.ts";
import { freeBytes } from "./store/disk_room.ts";
import { keepDamagedLog } from "./store/log_damage.ts";
import type { Store } from "./store/store.ts";
import { isFinal, StoreError } from "./store/store_error.ts";

/** Between two looks at a store that cannot be used. */
const FIRST_PROBE_MS = 2_000;
/** The same, for one that fails again and again soon after it was opened. */
const LAST_PROBE_MS = 60_000;
/** A store that was open for so long was well. */
const WELL_AFTER_MS = 60_000;
/** Room that a disk that was full must have again: batches in flight, and the log that is moved for them. */
const ROOM_BYTES = 16 << 20;

/** Why the store is not used, and since when (Unix milliseconds). */
export interface Outage {
  readonly since: number;
  readonly reason: string;
}

/** Everything that uses the store, by the order in which it is told. */
export interface StoreUser {
  /** The store is open. @throws StoreError, and then it is closed again. */
  opened(store: Store): void;
  /** It is about to be closed, and must not be used after this returns. */
  closing(reason: string): void;
}

export interface KeeperOptions {
  readonly path: string;
  /** @throws StoreError */
  readonly open: () => Store;
  readonly journal: Journal;
  readonly probeMs?: number;
  readonly roomBytes?: number;
  /** Free bytes of the disk, `null` when not known. */
  readonly room?: (path: string) => number | null;
  /** A clock that does not jump, in milliseconds. */
  readonly clock?: () => number;
}

export class StoreKeeper {
  readonly #options: KeeperOptions;
  readonly #clock: () => number;
  readonly #firstProbeMs: number;
  #user: StoreUser | null = null;
  #store: Store | null = null;
  #outage: Outage | null = null;
  /** When the outage began, and when the store was opened, on the clock that does not jump. */
  #lostAt = 0;
  #openedAt = 0;
  #probeMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looks: Repeated | null = null;
  #needsRoom = false;
  /** The file that is open. */
  #openFile: string | null = null;
  /** The file in which a commit found damage: not taken again as it is. */
  #damagedFile: string | null = null;
  #stopped = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#firstProbeMs = this.#probeMs = options.probeMs ?? FIRST_PROBE_MS;
  }

  /** The open store, `null` during an outage. */
  get store(): Store | null {
    return this.#store;
  }

  /** Bytes of the open store; 0 during an outage, and where its files cannot be looked at. */
  get bytes(): number {
    try {
      return this.#store?.bytes ?? 0;
    } catch {
      return 0;
    }
  }

  /** `null` while the store is used. */
  get outage(): Outage | null {
    return this.#outage;
  }

  /** Opens the store, or begins an outage. @throws StoreError that no waiting mends (`isFinal`) */
  begin(): void {
    this.#try();
    if (this.#outage !== null) this.#noticeOutage();
  }

  /** Names who uses the store from here on. */
  use(user: StoreUser): void {
    this.#user = user;
    if (this.#store !== null) this.#handOver();
    else user.closing(this.#outage?.reason ?? "the agent starts");
  }

  /** Something went wrong with `store`. Ends its use if the store is at fault, and not what was asked of it. */
  failed(store: Store, error: unknown): void {
    if (store !== this.#store || this.#stopped || !(error instanceof StoreError) || error.kind === "other") return;
    const wasWell = this.#clock() - this.#openedAt >= WELL_AFTER_MS;
    this.#probeMs = wasWell ? this.#firstProbeMs : Math.min(this.#probeMs * 2, LAST_PROBE_MS);
    this.#store = null;
    this.#lose(error);
    this.#user?.closing(error.message);
    this.#close(store);
    if (error.kind === "damaged") this.#damagedFile = identityOf(this.#options.path);
    this.#noticeOutage();
  }

  /** Closes the store for good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#looks?.stop();
    const store = this.#store;
    this.#store = null;
    if (store !== null) this.#close(store);
  }

  /** The store that was opened cannot be taken into use, whatever the kind of its error. */
  unusable(store: Store, error: unknown): void {
    if (error instanceof StoreError && error.kind !== "other") return this.failed(store, error);
    const text = error instanceof Error ? error.message : String(error);
    this.failed(store, new StoreError(text, { cause: error, kind: "io" }));
  }

  #handOver(): void {
    const store = this.#store!;
    try {
      this.#user?.opened(store);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.unusable(store, error);
    }
  }

  /** One attempt to open; an outage begins, goes on, or ends. */
  #try(): void {
    const { path, open, journal, roomBytes = ROOM_BYTES, room = freeBytes } = this.#options;
    try {
      if (this.#damagedFile !== null && this.#damagedFile === identityOf(path)) return this.#retry();
      if (this.#needsRoom) {
        const free = room(dirname(path));
        if (free !== null && free < roomBytes) return this.#retry();
      }
      const damage = keepDamagedLog(path, new Date());
      if (damage !== null) journal.notice(damage);
      this.#store = open();
    } catch (error) {
      if (!(error instanceof StoreError) || isFinal(error.kind) && this.#outage === null) throw error;
      const changed = this.#outage !== null && this.#outage.reason !== error.message;
      this.#lose(error);
      if (changed) this.#noticeOutage();
      return;
    }
    this.#needsRoom = false;
    this.#damagedFile = null;
    this.#openedAt = this.#clock();
    this.#openFile = fileAt(path);
    this.#watch();
    const outage = this.#outage;
    this.#outage = null;
    if (this.#user !== null) this.#handOver();
    if (outage === null || this.#store === null) return;
    const seconds = Math.round((this.#clock() - this.#lostAt) / 1_000);
    journal.notice(`the store takes batches again, after ${seconds} s; collectors send what they kept`);
  }

  /** SQLite would go on writing into a file that was moved away or removed, where nobody finds what it stores. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#looks?.stop();
    this.#looks = every(this.#firstProbeMs, () => {
      const { path } = this.#options, store = this.#store;
      if (store === null || this.#stopped) return this.#looks?.stop();
      if (fileAt(path) === this.#openFile) return;
      const text = `The store ${path} was moved away or replaced while the agent used it; stop the agent before that`;
      this.failed(store, new StoreError(text, { kind: "misplaced" }));
    });
  }

  #lose(error: StoreError): void {
    if (this.#outage === null) this.#lostAt = this.#clock();
    this.#outage = { since: this.#outage?.since ?? Date.now(), reason: error.message };
    if (error.kind === "full") this.#needsRoom = true;
    this.#retry();
  }

  #retry(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.#again(), this.#probeMs);
  }

  #again(): void {
    try {
      this.#try();
    } catch (error) {
      // Such as another agent that took the store meanwhile: said, and looked at again.
      const text = error instanceof Error ? error.message : String(error);
      this.#lose(new StoreError(text, { cause: error, kind: "io" }));
      this.#noticeOutage();
    }
  }

  #noticeOutage(): void {
    this.#options.journal.notice(
      `degraded: nothing is stored or judged, and collectors keep what they see: ${this.#outage!.reason}; ` +
        `the agent looks again every ${this.#probeMs / 1_000} s`,
    );
  }

  #close(store: Store): void {
    try {
      store.close();
    } catch (error) {
      this.#options.journal.notice(
        `the store was not closed cleanly: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}

/** What changes when another file is put in the place of this one, or over it. */
function identityOf(path: string): string | null {
  try {
    const { dev, ino, size, mtime } = Deno.lstatSync(path);
    return [dev, ino, size, mtime?.getTime()].join(" ");
  } catch {
    return null;
  }
}

function fileAt(path: string): string | null {
  try {
    const { dev, ino } = Deno.lstatSync(path);
    return `${dev} ${ino}`;
  } catch {
    return null;
  }
}
