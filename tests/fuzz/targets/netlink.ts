/**
 * Messages of the process connector, as `drivers/connector/cn_proc.c` builds them, and changed ones.
 *
 * @module
 */
import { type ConnectorEvent, parseConnectorEvent } from "../../../collector/kernel/netlink.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

const BYTES = 76, SLOT_BYTES = 128;
const FORK = 1, EXEC = 2, EXIT = 0x8000_0000, NONE = 0;
const OTHERS = [4, 0x40, 0x80, 0x100, 0x200, 0x4000_0000];

/** A message, and what is to be read in it. */
function message(random: Random, slept: number): { bytes: Uint8Array<ArrayBuffer>; expected: ConnectorEvent | null } {
  const bytes = new Uint8Array(BYTES), view = new DataView(bytes.buffer);
  const words = Array.from({ length: 6 }, () => random.edge());
  const [a, b, c, d] = words as [number, number, number, number];
  const what = random.oneIn(6) ? random.pick(OTHERS) : random.pick([FORK, EXEC, EXIT, NONE]);
  const low = random.edge(), high = random.below(1 << 20), time = high * 2 ** 32 + low + slept;
  view.setUint32(0, BYTES, true); // nlmsg_len
  view.setUint16(4, 3, true); // NLMSG_DONE
  view.setUint32(16, 1, true); // CN_IDX_PROC
  view.setUint32(20, 1, true); // CN_VAL_PROC
  view.setUint16(32, 40, true); // sizeof(struct proc_event)
  view.setUint32(36, what, true);
  view.setUint32(44, low, true);
  view.setUint32(48, high, true);
  words.forEach((word, index) => view.setUint32(52 + index * 4, word, true));
  const expected: ConnectorEvent | null = what === FORK
    ? { kind: "fork", time, pid: c, tgid: d, ppid: b }
    : what === EXEC
    ? { kind: "exec", time, pid: a, tgid: b }
    : what === EXIT
    ? { kind: "exit", time, pid: a, tgid: b, exitStatus: c }
    : what === NONE
    ? { kind: "answer", error: a }
    : null;
  return { bytes, expected };
}

export const connectorMessages: FuzzTarget = {
  name: "netlink: connector messages",
  share: 200_000,
  open: () => {
    // As the reader has it: slots in a row, each with what was there before.
    const slots = new Uint8Array(4 * SLOT_BYTES).fill(0x55), view = new DataView(slots.buffer);
    return (random) => {
      const slept = random.oneIn(2) ? 0 : random.u32() * 1_000;
      const { bytes, expected } = message(random, slept);
      const isSound = random.oneIn(4), changed = isSound ? bytes : mutate(random, bytes);
      const length = Math.min(changed.length, SLOT_BYTES), at = SLOT_BYTES * random.below(4);
      slots.set(changed.subarray(0, length), at);
      return {
        show: () => hex(changed),
        run: () => {
          const event = parseConnectorEvent(view, at, length, slept);
          if (isSound) {
            must(JSON.stringify(event) === JSON.stringify(expected), `${JSON.stringify(expected)} is read`);
          }
          if (event === null) return;
          for (const value of Object.values(event)) {
            must(
              typeof value === "string" || Number.isFinite(value) && value >= 0,
              `${value} is a number of the kernel's`,
            );
          }
        },
      };
    };
  },
};
