/**
 * `deno task test:attacks [--only PART,…] [--hold MS]`: harmless reproductions of techniques under a whole DaemonEye with the
 * shipped rules.
 *
 * Prints for each technique which rules saw it. One counts as seen when a rule that names it by its ATT&CK id raised an alert for
 * a process of it; others are printed in parentheses. Between them ordinary uses of the same stand-ins are done, of which no rule
 * may say anything above low. Exits with 1 when fewer than 75 are seen, when one could not be done, or when the ordinary were
 * noticed. Without root what needs root is left out, and stand-ins live as long as the collector takes to see them.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { ORDINARY } from "./support/attacks/ordinary.ts";
import { Stage } from "./support/attacks/stage.ts";
import { isAbout, slugOf, type Technique, wantsRoot } from "./support/attacks/technique.ts";
import { TECHNIQUES } from "./support/attacks/techniques.ts";
import { type Alert, alertsByOrigin, settled } from "./support/attacks/watched.ts";
import { World } from "./support/world.ts";

/** Fewer are a failure. */
const MUST_BE_SEEN = 75;
/** How long the start may take on a host that has other work. */
const START_MS = 120_000;
/** Techniques at once where each has to last for a while. */
const AT_ONCE = 6;
/** How long stand-ins must live: not at all where the kernel tells all of a process, until it is read where it tells a number. */
const HOLD_MS: Readonly<Record<string, number>> = { ebpf: 0, tracepoint: 0, netlink: 750 };
/** Where processes are looked for. */
const POLLED_HOLD_MS = 3_000;
/** Each technique must show, also where others keep a rule busy. */
const NO_LIMIT = ["agent.alert_rule_per_minute=1000000", "agent.alert_per_minute=1000000"];

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { only: { type: "string" }, hold: { type: "string" } },
  });
  const only = values.only?.split(","), isRoot = Deno.uid() === 0;
  const wanted = [...TECHNIQUES, ...ORDINARY].filter((technique) =>
    only?.some((part) => slugOf(technique).includes(part)) ?? true
  );
  const chosen = wanted.filter((technique) => isRoot || !wantsRoot(technique));
  await using world = await World.start({ patienceMs: START_MS, set: NO_LIMIT });
  const sources = world.collectorStatus()!.sources.filter(({ state }) => state === "active").map(({ name }) => name);
  const holdMs = Number(values.hold ?? Math.min(...sources.map((name) => HOLD_MS[name] ?? POLLED_HOLD_MS)));
  if (!(holdMs >= 0)) throw new RangeError(`--hold takes milliseconds, not ${values.hold}`);
  await using stage = await Stage.open({ holdMs });
  const failures = await perform(stage, chosen, holdMs > 0 ? AT_ONCE : 1);
  await settled(world, stage.directory);

  const places = [`${stage.directory}/`, `${stage.sharedMemory}/`];
  const alerts = alertsByOrigin(world, (executable) => {
    const place = places.find((each) => executable.startsWith(each));
    return place === undefined ? null : executable.slice(place.length).split("/")[0]!;
  });
  let seen = 0, done = 0;
  const noticed: string[] = [];
  for (const technique of chosen) {
    const found = alerts.get(slugOf(technique)) ?? [];
    if (ORDINARY.includes(technique)) {
      noticed.push(...found.filter(isAboveLow).map(({ rule }) => `${technique.name}: ${rule}`));
      continue;
    }
    done++;
    const about = rulesOf(found.filter(({ tags }) => isAbout(tags, technique.id)));
    const others = rulesOf(found).filter((rule) => !about.includes(rule));
    if (about.length > 0) seen++;
    const more = others.length === 0 ? "" : ` (${others.join(", ")})`;
    console.log(
      `${about.length > 0 ? "seen  " : "MISSED"} ${technique.id.padEnd(9)} ${technique.name}: ${
        about.join(", ")
      }${more}`,
    );
  }
  const leftOut = wanted.filter((technique) => !chosen.includes(technique)).map(({ name }) => name);
  if (leftOut.length > 0) console.log(`\nleft out without root: ${leftOut.join(", ")}`);
  for (const failure of failures) console.log(`failed: ${failure}`);
  for (const text of noticed) console.log(`ordinary use noticed: ${text}`);
  const rules = new Set([...alerts].flatMap(([name, list]) => name === "" ? [] : rulesOf(list)));
  console.log(
    `\n${seen} of ${done} techniques seen by rules that name them, by ${rules.size} rules; sources: ${
      sources.join(", ")
    }`,
  );
  const least = only === undefined ? MUST_BE_SEEN : done;
  return seen < least || failures.length + noticed.length > 0 ? 1 : 0;
}

/** Does them all, and says which could not be done. */
async function perform(stage: Stage, techniques: readonly Technique[], atOnce: number): Promise<string[]> {
  const waiting = [...techniques], failures: string[] = [];
  const next = async (): Promise<void> => {
    for (let technique; (technique = waiting.shift()) !== undefined;) {
      const fault = await stage.run(technique).catch((error) => String(error));
      if (fault !== null) failures.push(`${technique.name}: ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  return failures;
}

function rulesOf(alerts: readonly Alert[]): string[] {
  return [...new Set(alerts.map(({ rule }) => rule))];
}

function isAboveLow({ severity }: Alert): boolean {
  return severity !== "info" && severity !== "low";
}

Deno.exit(await main());
