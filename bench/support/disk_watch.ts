/**
 * Run as a worker beside a benchmark: asks the disk all the time how long it takes to make a page durable, and notes when
 * it stalled. What waits for the disk waits as long; nobody here is to blame for it.
 *
 * Takes the path of a file to write, and answers `"watching"`; then `null`, and answers with the stalls.
 *
 * @module
 */

/** A wait for the disk, in Unix milliseconds. */
export interface DiskStall {
  readonly from: number;
  readonly to: number;
}

/** A wait of so long is a stall: nothing of ours takes part in it. */
export const STALL_MS = 25;
const PAUSE_MS = 10, PAGE = new Uint8Array(4_096).fill(1);

const stalls: DiskStall[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

function watch(path: string): void {
  const file = Deno.openSync(path, { write: true, create: true });
  const ask = (): void => {
    const from = Date.now();
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(PAGE);
    file.syncDataSync();
    const to = Date.now();
    if (to - from >= STALL_MS) stalls.push({ from, to });
    timer = setTimeout(ask, PAUSE_MS);
  };
  ask();
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<string | null>) => void;
  postMessage: (answer: string | readonly DiskStall[]) => void;
  close: () => void;
};
scope.onmessage = ({ data }) => {
  if (data !== null) {
    watch(data);
    scope.postMessage("watching");
    return;
  }
  clearTimeout(timer);
  scope.postMessage(stalls);
  scope.close();
};
