/**
 * Run by `suspects_test.ts` as root, in a time namespace of its own whose clock is behind that of the kernel: sees a
 * program begin, as the collector does, and prints what is suspicious of it as JSON.
 *
 * @module
 */
import { readBootId } from "../../../collector/kernel/procfs.ts";
import { Lifecycle } from "../../../collector/lifecycle.ts";
import { openEbpfSource } from "../../../collector/sources/ebpf.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";

const source = openEbpfSource({ ringBytes: 8 << 20, environment: [] });
const lifecycle = new Lifecycle({ bootId: readBootId(), source });
lifecycle.baseline(await source.snapshot());
const child = new Deno.Command("/bin/true", { stdin: "null" }).spawn();
const events: ProcessEvent[] = [];
await child.status;
while (!events.some(({ kind, pid }) => kind === "stop" && pid === child.pid)) {
  await source.wait(50);
  source.drain((record) => lifecycle.receive(record));
  events.push(...lifecycle.flush(Date.now()).events);
}
source.close();
const marks = events.filter(({ kind, pid }) => kind === "suspicious" && pid === child.pid);
console.log(
  JSON.stringify(marks.map(({ severity, reason, executablePath }) => ({ severity, reason, executablePath }))),
);
