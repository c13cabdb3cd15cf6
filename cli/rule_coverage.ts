/**
 * `rules coverage`: which techniques of ATT&CK the active rules look for, and which none does.
 *
 * What is active is the agent's word while it runs, else that of the files. Gaps are counted against the techniques that
 * there are on Linux hosts and in containers (`proto/rules/attack.ts`).
 *
 * @module
 */
import { ATTACK_VERSION } from "../proto/rules/attack.ts";
import { type Coverage, coverageOf, navigatorLayer, type TacticCoverage } from "../proto/rules/coverage.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import type { Cell, ShownColumn } from "./output.ts";
import { storeTables } from "./collected.ts";
import { openRows } from "./row_output.ts";
import { checkRules } from "./rule_files.ts";
import { safeJson } from "./safe_json.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { count, counted } from "./units.ts";

const NAMES = ["tactic", "tactic_id", "technique_id", "technique", "rules", "sigma_rules", "subtechniques", "rule_ids"];

const SHOWN: readonly ShownColumn[] = [
  { name: "tactic", title: "TACTIC", keep: true },
  { name: "technique_id", title: "TECHNIQUE", keep: true },
  { name: "rules", title: "RULES", keep: true },
  { name: "sigma_rules", title: "OF SIGMA", keep: true, optional: 1 },
  {
    name: "technique",
    title: "NAME",
    show: (cell, of) => {
      if (of("technique_id") === null) return { text: String(cell), style: "strong" };
      const parts = String(of("subtechniques") ?? "").replaceAll(/T\d{4}/g, "");
      return parts === "" ? String(cell) : `${cell} (${parts})`;
    },
  },
];

export function coverage(call: Call): Exit {
  atMostArguments(call, 0, "rules coverage");
  const places = findPlaces(call), { active, refused } = activeRules(call, places), found = coverageOf(active);
  if (call.values["navigator"] === true) {
    call.out.write(`${safeJson(navigatorLayer(found, "DaemonEye"), 2)}\n`);
  } else {
    const output = openRows(call, NAMES, SHOWN);
    const rowsOf = call.format === "table" ? shownRows : machineRows;
    for (const tactic of found.tactics) for (const row of rowsOf(tactic)) output.add(row);
    output.end();
  }
  tell(call, found, active.length);
  if (refused > 0) call.note(`${counted(refused, "rule")} refused, which cover nothing (rules validate says why)`);
  return EXIT.complete;
}

/** Rules that raise alerts. */
function activeRules(call: Call, { rulesDirs, layout }: Places): {
  active: { id: string; tags: readonly string[]; isSigma: boolean }[];
  refused: number;
} {
  const { rules, refused, overrides, sigma } = checkRules(
    rulesDirs,
    call.readStdin,
    undefined,
    storeTables(layout.store),
  );
  const { agent } = readStatuses(layout, call.now());
  const isLive = agent.kind === "read" && agent.live;
  if (!isLive) call.note("The agent does not run: these are the rules of the files");
  const states = new Map(isLive ? agent.status.rules.map(({ id, state }) => [id, state]) : []);
  const active = rules.filter(({ id, enabled, status }) => {
    if (isLive) return states.get(id) === "active";
    return (overrides.get(id)?.state ?? (enabled ? status : "disabled")) === "active";
  });
  return {
    active: active.map(({ id, tags, file }) => ({ id, tags, isSigma: sigma.has(file) })),
    refused: refused.length,
  };
}

function machineRows({ tactic, techniques }: TacticCoverage): Cell[][] {
  return techniques.map(({ id, name, rules, sigma, parts }) => {
    return [tactic.tag, tactic.id, id, name, rules.length, sigma, partsOf(parts), rules.join(" ")];
  });
}

/** A row for the tactic with what has no rule, and one for each technique that has. */
function shownRows({ tactic, rules, sigma, techniques, covered, gaps }: TacticCoverage): Cell[][] {
  const without = techniques.filter((each) => each.rules.length === 0).map(({ id }) => id).join(" ");
  const words = !tactic.isSeen
    ? "happens elsewhere: no gaps are counted"
    : gaps === 0
    ? `all ${covered} techniques have a rule`
    : `${covered} of ${techniques.length} techniques have a rule, ${gaps} have none: ${without}`;
  return [
    [tactic.title, tactic.id, null, words, rules.length, sigma, null, null],
    ...techniques.filter((each) => each.rules.length > 0).map(({ id, name, rules, sigma, parts }): Cell[] => {
      return ["", tactic.id, id, name, rules.length, sigma, partsOf(parts), null];
    }),
  ];
}

function partsOf(parts: ReadonlyMap<string, number>): string {
  return [...parts.keys()].sort().join(" ");
}

function tell(call: Call, { tactics, untagged }: Coverage, active: number): void {
  const seen = tactics.filter(({ tactic }) => tactic.isSeen).flatMap(({ techniques }) => techniques);
  const all = new Set(seen.map(({ id }) => id)).size;
  const covered = new Set(seen.filter(({ rules }) => rules.length > 0).map(({ id }) => id)).size;
  call.note(
    `${counted(active, "active rule")} for ${count(covered)} of ${count(all)} techniques of ATT&CK ` +
      `${ATTACK_VERSION} on Linux and in containers; ${count(all - covered)} have no rule`,
  );
  if (untagged.length > 0) call.note(`${counted(untagged.length, "rule")} with no tag of ATT&CK: in no row`);
}
