/**
 * Run by `tracepoint_limits_test.ts` under a grant of libc alone: opens the source, gives up every privilege, says so, and when
 * its standard input ends prints what it saw.
 *
 * @module
 */
import { checked, libc } from "../../../collector/kernel/libc.ts";
import { openTracepointSource } from "../../../collector/sources/tracepoint.ts";
import type { ProcessSource, SourceRecord } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";

const NOBODY = 65534;

async function main(): Promise<void> {
  let source: ProcessSource;
  try {
    source = openTracepointSource({ environment: ["SEEN_*"] });
  } catch (error) {
    if (!(error instanceof SourceUnavailableError)) throw error;
    return console.log(`unavailable: ${error.source}: ${error.reason}`);
  }
  checked(libc.setgroups(0n, new Uint8Array(8)), "setgroups");
  checked(libc.setresgid(NOBODY, NOBODY, NOBODY), "setresgid");
  checked(libc.setresuid(NOBODY, NOBODY, NOBODY), "setresuid");
  console.log("dropped");
  for await (const _ of Deno.stdin.readable) { /* until the test has done its part */ }

  await source.wait(1_000);
  const records: SourceRecord[] = [];
  source.drain((record) => records.push(record));
  const text = new TextDecoder();
  const exec = records.find((record) =>
    record.kind === "exec" && record.argv !== null && text.decode(record.argv).includes("without rights")
  );
  const of = (kind: string): SourceRecord | undefined =>
    records.find((record) =>
      record.kind === kind && exec?.kind === "exec" && record.kind !== "loss" && record.pid === exec.pid
    );
  console.log(JSON.stringify({
    exec: exec?.kind === "exec" && { ...exec, argv: exec.argv && text.decode(exec.argv) },
    fork: of("fork"),
    exit: of("exit"),
    processes: (await source.snapshot()).length,
    self: source.look(libc.getpid())?.userId,
    lost: source.counters().lost,
  }));
  source.close();
}

await main();
