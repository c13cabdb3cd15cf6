/**
 * Run by `procfs_hidden_test.ts` as root, in namespaces of its own whose `/proc` hides processes: opens the polling
 * source, gives up its privileges as the collector does, and prints what it saw before and after as JSON.
 *
 * @module
 */
import { dropPrivileges } from "../../../collector/privilege.ts";
import { openProcSource } from "../../../collector/sources/proc.ts";

const source = openProcSource({ intervalMs: 20, environment: ["PROOF"] });

async function look(): Promise<{ pids: number[]; own: boolean; hiding: string[] }> {
  const table = await source.snapshot();
  const own = table.find(({ pid }) => pid === Deno.pid);
  return {
    pids: table.map(({ pid }) => pid),
    own: own !== undefined && own.argv !== null && own.userId !== null,
    hiding: source.description.misses.filter((miss) => miss.startsWith("/proc ")),
  };
}

const before = await look();
dropPrivileges({ userId: 65_534, groupId: 65_534 });
const after = await look(), again = await look();
source.close();
console.log(JSON.stringify({ before, after, again }));
