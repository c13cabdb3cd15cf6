/**
 * Hashes of executables, or their absence: the book, the way to the hasher, and what `health` says of both.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import type { SourceStatus } from "../proto/status.ts";
import { HashBook } from "./hash_book.ts";
import { HashClient } from "./hash_client.ts";
import { HashKeeper } from "./hash_keeper.ts";
import { peersOf } from "./kernel/peer.ts";
import type { HashAnswer } from "./hasher/protocol.ts";
import { PackageManagers } from "./package_managers.ts";
import { peerCheck } from "./peer_check.ts";

/** The name under which the hasher stands among the sources. */
const NAME = "hasher";
/** Beyond the time of a file the hasher may take this to say that it gave it up. */
const GRACE_MS = 20_000;
const COLUMNS = ["executable_hash", "hash_algorithm", "fuzzy_hash", "file_exists"] as const;

export interface Hashing {
  /** `null` where it is off. */
  readonly book: HashBook | null;
  /** To be told of every start and end. */
  readonly managers: PackageManagers;
  status(): SourceStatus;
  counters(): Record<string, number>;
  /** Hashes what a path names now, for a task; `null` where it is off. Rejects when the signal is aborted. */
  readonly ask: ((path: string, signal: AbortSignal) => Promise<HashAnswer>) | null;
  /** The hasher's process, `null` while it is not connected. */
  pid(): number | null;
  /** From now on executables are hashed, or are not; they are, until it is said. */
  want(isWanted: boolean): void;
  /** To be called about once a second. */
  tick(): void;
  /** Runs until {@linkcode stop}. */
  run(): Promise<void>;
  stop(): void;
}

export interface HashingOptions {
  readonly socket: string;
  /** The file of what is remembered from one run to the next. */
  readonly memoryFile: string;
  /** Called when there are events. */
  readonly changed: () => void;
  readonly notice: (text: string) => void;
}

export function openHashing({ collector }: Settings, { socket, memoryFile, changed, notice }: HashingOptions): Hashing {
  const managers = new PackageManagers();
  if (!collector.hashing) return { ...OFF, managers };
  const isRight = peerCheck(socket, collector.hasherUser);
  let pid: number | null = null;
  /** Questions of tasks. */
  const asks = new Map<number, (answer: HashAnswer) => void>();
  const ask = (path: string, signal: AbortSignal): Promise<HashAnswer> => {
    const id = book.takeId(), { promise, resolve, reject } = Promise.withResolvers<HashAnswer>();
    const abort = (): void => reject(new Error("Nobody waits for the hash any more"));
    signal.addEventListener("abort", abort);
    asks.set(id, resolve);
    client.ask({ id, path, device: null, inode: null, changeTime: null, isForeign: false });
    return promise.finally(() => {
      asks.delete(id);
      signal.removeEventListener("abort", abort);
    });
  };
  const book = new HashBook({ ask: (request) => client.ask(request), managers });
  const keeper = new HashKeeper(memoryFile, book, managers, notice);
  keeper.restore();
  const client = new HashClient({
    socket,
    checkPeer: () => {
      isRight();
      pid = peersOf(socket)[0]?.pid ?? null;
    },
    patienceMs: collector.hashTimeoutMs + GRACE_MS,
    answered: (answer) => {
      const asked = asks.get(answer.id);
      if (asked !== undefined) return asked(answer);
      book.answered(answer);
      changed();
    },
    dropped: (id) => {
      const asked = asks.get(id);
      if (asked === undefined) book.dropped(id);
      else asked({ id, state: "busy", hash: null, fuzzyHash: null, changeTime: null, isSettled: false });
    },
    notice,
  });
  return {
    book,
    managers,
    ask,
    want: (isWanted) => book.isWanted = isWanted,
    status: () => book.isWanted ? statusOf(client) : IDLE,
    pid: () => client.greeting === null ? null : pid,
    counters: () => ({ ...book.counters(), hasher_connections: client.connections }),
    tick: () => {
      keeper.keep();
      client.look();
    },
    run: () => {
      keeper.begin();
      return client.run();
    },
    stop: () => {
      client.stop();
      keeper.end();
    },
  };
}

function statusOf(client: HashClient): SourceStatus {
  const greeting = client.greeting;
  if (greeting === null) {
    const misses = client.mayBeAway
      ? []
      : [`executables are not hashed: the hasher cannot be reached (${client.fault})`];
    return { name: NAME, state: "active", detail: "the hasher is not connected", misses, unknownColumns: [] };
  }
  const misses = greeting.misses === "" ? [] : [greeting.misses];
  return { name: NAME, state: "active", detail: `hashes executables: ${greeting.sees}`, misses, unknownColumns: [] };
}

/** Of an instance that is not asked anything it does not matter whether it is there. */
const IDLE: SourceStatus = {
  name: NAME,
  state: "active",
  detail: "executables are hashed while a rule reads their hashes, and none does (collector.hashing is on-demand)",
  misses: [],
  unknownColumns: COLUMNS,
};

const OFF: Omit<Hashing, "managers"> = {
  book: null,
  ask: null,
  status: () => ({
    name: NAME,
    state: "unavailable",
    detail: "executables are not hashed: collector.hashing is off",
    misses: [],
    unknownColumns: COLUMNS,
  }),
  want: () => {},
  counters: () => ({}),
  pid: () => null,
  tick: () => {},
  run: () => Promise.resolve(),
  stop: () => {},
};
