/**
 * Run as a worker beside a benchmark: looks into the store all the time, and notes when each start that is waited for can
 * be read there. That is the end of an event's way, as a reader has it: drained, sent, received, committed.
 *
 * Takes `{ store, prefix }`, and answers `"watching"`; then `null`, and answers with the delays, in milliseconds from the
 * `execve` in the kernel. They are too long by up to the time between two looks, and by how late the machine let it look,
 * which is told too: where that is long, so are delays that nobody here is to blame for.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";

export interface Watched {
  readonly delays: number[];
  /** The moment of each start, in Unix milliseconds. */
  readonly times: number[];
  /** By how much each look was late. */
  readonly lateness: number[];
}

/** Between two looks. */
const LOOK_MS = 2;

const delays: number[] = [], times: number[] = [], lateness: number[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

function watch(store: string, prefix: string): void {
  const db = new DatabaseSync(store, { readOnly: true });
  let last = Number(Object.values(db.prepare("SELECT ifnull(max(event_id), 0) FROM process_events").get()!)[0]);
  const next = db.prepare("SELECT event_id, time, event_type, executable_path FROM process_events WHERE event_id > ?");
  let due = performance.now();
  const look = (): void => {
    lateness.push(performance.now() - due);
    const now = Date.now();
    for (const row of next.iterate(last)) {
      last = Math.max(last, Number(row["event_id"]));
      if (row["event_type"] !== "start" || !String(row["executable_path"]).startsWith(prefix)) continue;
      times.push(Number(row["time"]));
      delays.push(now - Number(row["time"]));
    }
    due = performance.now() + LOOK_MS;
    timer = setTimeout(look, LOOK_MS);
  };
  look();
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<{ store: string; prefix: string } | null>) => void;
  postMessage: (answer: string | Watched) => void;
  close: () => void;
};
scope.onmessage = ({ data }) => {
  if (data !== null) {
    watch(data.store, data.prefix);
    scope.postMessage("watching");
    return;
  }
  clearTimeout(timer);
  scope.postMessage({ delays, times, lateness });
  scope.close();
};
