/**
 * Opens the best source, or the one that is named, gives everything up by executing itself again, and prints what it saw
 * before, meanwhile and after as JSON. Run by `tests/collector/reexec_test.ts`.
 *
 * Arguments: the source, user and group to become, a text. Another process starts programs with that text from the moment
 * at which this one says `opened` until it has said `again`; then this reads on until its standard input ends.
 *
 * @module
 */
import type { SourceName } from "../../proto/process_event.ts";
import { confine } from "../../collector/confinement.ts";
import { endInheritance } from "../../collector/kernel/inheritance.ts";
import { takeInheritance } from "../../collector/reexec.ts";
import { openBestSource } from "../../collector/sources/ladder.ts";

const { args, ...origin } = takeInheritance(Deno.args);
const [choice, user, group, text] = args as [SourceName | "auto", string, string, string];
const settings = { choice, ringBytes: 8 << 20, pollIntervalMs: 1_000, environment: ["LD_PRELOAD"] };
const { source, unavailable } = openBestSource(settings);
console.log(origin.isSecond ? "again" : "opened");
if (origin.isSecond) endInheritance();
const { proof } = confine({
  confinement: "re-exec",
  ...origin,
  user,
  group,
  syscallFilter: "errno",
  startsProcesses: false,
  mayOpen: [],
});

const seen = new Set<string>();
let isOver = false;
const over = (async () => {
  for await (const _ of Deno.stdin.readable) { /* until it ends */ }
  isOver = true;
})();
const drain = (): void => {
  source.drain((record) => {
    if (record.kind !== "exec" || record.argv === null) return;
    const argv = new TextDecoder().decode(record.argv).split("\0");
    if (argv[1] === text) seen.add(argv[2]!);
  });
};
while (!isOver) {
  await source.wait(50);
  drain();
}
await over;
await source.gather?.(100);
drain();
const table = await source.snapshot();
console.log(JSON.stringify({
  seen: [...seen],
  proof,
  unavailable: unavailable.map(({ name }) => name),
  lost: source.counters(),
  name: source.description.name,
  misses: source.description.misses,
  parent: table.find(({ pid }) => pid === Deno.ppid)?.name ?? null,
  arguments: table.filter(({ kernelThread, argv }) => !kernelThread && argv !== null).length,
  look: source.look(Deno.ppid)?.name ?? null,
}));
Deno.exit(0);
