/**
 * Two processes that have nothing to do with the agent: one answers what the other asks, a few bytes over a socket of
 * their own, as often as a clock calls the agent. What that takes beside a kill the machine lets nobody beat.
 *
 * `bystander.ts PATH`, and `bystander.ts PATH TIMES` for the one that asks and writes its times as `clock_times.ts` does.
 *
 * @module
 */
import { CALL_MS, TimesFile } from "./clock_times.ts";

/** As long as a call and its answer. */
const BYTES = 64;

const [path, times] = Deno.args;
if (times === undefined) await answer(path!);
else await ask(path!, new TimesFile(times));

async function answer(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path });
  console.log("ready");
  const connection = await listener.accept(), buffer = new Uint8Array(BYTES);
  for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
    await connection.write(buffer.subarray(0, count));
  }
}

async function ask(path: string, file: TimesFile): Promise<void> {
  const connection = await Deno.connect({ transport: "unix", path }), buffer = new Uint8Array(BYTES);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, CALL_MS));
    const began = performance.now();
    await connection.write(buffer);
    for (let count = 0; count < BYTES;) count += await connection.read(buffer.subarray(count)) ?? BYTES;
    file.note("answered", performance.now() - began);
  }
}
