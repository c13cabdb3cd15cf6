/**
 * Run by `ebpf_open_test.ts` under a grant of libc alone: opens the source, gives up every privilege, says so, and when its
 * standard input ends prints what it saw.
 *
 * @module
 */
import { checked, libc } from "../../../collector/kernel/libc.ts";
import { openEbpfSource } from "../../../collector/sources/ebpf.ts";
import type { ExecRecord, ProcessSource } from "../../../collector/sources/source.ts";
import { SourceUnavailableError } from "../../../collector/sources/unavailable.ts";

const NOBODY = 65534;

async function main(): Promise<void> {
  let source: ProcessSource;
  try {
    source = openEbpfSource({ ringBytes: 8 << 20, environment: ["LD_PRELOAD"] });
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
  const execs: ExecRecord[] = [];
  source.drain((record) => record.kind === "exec" && execs.push(record));
  const seen = execs.map((exec) => new TextDecoder().decode(exec.argv!)).find((argv) =>
    argv.includes("without rights")
  );
  const table = await source.snapshot();
  const self = source.look(libc.getpid());
  const parent = table.find((entry) => entry.pid === self?.ppid);
  console.log(JSON.stringify({
    argv: seen,
    processes: table.length,
    parent: { pid: parent?.pid, executablePath: parent?.executablePath },
    lost: source.counters().lost,
  }));
  source.close();
}

await main();
