import { deepStrictEqual as equal } from "node:assert/strict";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import {
  ARGUMENTS_UNREAD,
  CREDENTIALS_KNOWN,
  ENVIRONMENT_UNREAD,
  EXECUTED,
  type Executed,
  EXITED,
  TracepointDecoder,
} from "../../../collector/kernel/tracepoint_records.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

function execBytes(argv: string, environment: string, fileName: string, flags = 0): Uint8Array<ArrayBuffer> {
  const parts = [argv, environment, fileName].map(bytesOf);
  const bytes = new Uint8Array(EXECUTED.bytes + parts.reduce((sum, part) => sum + part.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(EXECUTED.pid, 11, true);
  view.setBigUint64(EXECUTED.time, 5_000n, true);
  view.setUint32(EXECUTED.flags, flags, true);
  bytes.set(bytesOf("sh\0junk"), EXECUTED.name);
  view.setBigUint64(EXECUTED.argvLength, BigInt(parts[0]!.length), true);
  view.setBigUint64(EXECUTED.environmentLength, 1_000n, true);
  [EXECUTED.argvBytes, EXECUTED.environmentBytes, EXECUTED.fileNameBytes].forEach((at, index) =>
    view.setUint32(at, parts[index]!.length, true)
  );
  let at = EXECUTED.bytes;
  for (const part of parts) bytes.set(part, at), at += part.length;
  return bytes;
}

function decode(bytes: Uint8Array<ArrayBuffer>, decoder: TracepointDecoder): Executed | null {
  // At an odd place, among bytes that are not its own, as in the ring.
  const around = new Uint8Array(bytes.length + 40).fill(0xee);
  around.set(bytes, 24);
  const record = decoder.decode(around, new DataView(around.buffer), 24, bytes.length);
  around.fill(0xaa);
  if (record !== null && record.kind !== "exec") throw new Error(`Decoded as ${record.kind}`);
  return record;
}

Deno.test("an exec's record comes out as it went in, and owns what it holds", () => {
  const decoder = new TracepointDecoder(new EnvironmentFilter(["A"]));
  const record = decode(execBytes("sh\0-c\0", "B=1\0A=2\0", "/bin/sh\0"), decoder)!;
  equal([record.name, record.fileName, record.argv], ["sh", "/bin/sh", bytesOf("sh\0-c\0")]);
  equal([record.environment, record.environmentCut], [["A=2"], true]);
  equal([record.startTime, record.ppid, record.cgroupId, record.credentials], [null, null, null, null]);
  const unread = decode(execBytes("", "", "", ARGUMENTS_UNREAD | ENVIRONMENT_UNREAD | CREDENTIALS_KNOWN), decoder)!;
  equal([unread.argv, unread.environment, unread.fileName, unread.environmentCut], [null, null, null, false]);
  equal(unread.credentials?.effectiveUserId, 0);
  equal(decode(execBytes("sh\0", "A=2\0", ""), new TracepointDecoder(new EnvironmentFilter([])))!.environment, null);
  equal([decoder.received, decoder.damaged], [{ exec: 2, fork: 0, exit: 0 }, 0]);
});

Deno.test("a record that no program of ours writes is counted as damaged, wherever it is cut", () => {
  const decoder = new TracepointDecoder(new EnvironmentFilter(["A"]));
  const whole = execBytes("sh\0-c\0", "A=2\0", "/bin/sh\0");
  for (let end = 0; end < whole.length; end++) equal(decode(whole.slice(0, end), decoder), null);
  const huge = whole.slice();
  new DataView(huge.buffer).setUint32(EXECUTED.environmentBytes, 0xffff_ffff, true);
  equal(decode(huge, decoder), null);
  const unknown = new Uint8Array(EXITED.bytes).fill(7);
  equal(decode(unknown, decoder), null);
  equal([decoder.damaged, decoder.received.exec], [whole.length + 2, 0]);
});
