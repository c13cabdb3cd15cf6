/**
 * `doctor`: what is wrong with this installation, and what to do about it.
 *
 * `health` judges whether the host is watched; this looks at what must be there for that, one thing after the other, each
 * with its mend. It changes nothing.
 *
 * @module
 */
import { VERSION } from "../proto/version.ts";
import { STALE_AFTER_MS } from "../proto/status.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { configFaults } from "./config.ts";
import { gapsWithin, gapWords } from "./coverage.ts";
import { directoryProblem } from "./file_problem.ts";
import type { ShownColumn } from "./output.ts";
import { record, type RecordLine } from "./record.ts";
import { openRows } from "./row_output.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses, type Statuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { bytes, counted, span } from "./units.ts";

type State = "ok" | "wrong" | "unknown";
interface Check {
  readonly check: string;
  readonly state: State;
  readonly found: string;
  readonly mend: string;
}

/** Room on the disk of the store that should be left. */
const LITTLE_ROOM_BYTES = 1_073_741_824;
const DAY_MS = 86_400_000;
const START = "systemctl start daemoneye-agent daemoneye-collector (in a checkout: deno task start)";

export function doctor(call: Call): Exit {
  atMostArguments(call, 0, "doctor");
  const checks = examine(call);
  if (call.format === "table" && call.values["columns"] === undefined) show(call, checks);
  else {
    const output = openRows(call, ["check", "state", "found", "mend"], SHOWN);
    for (const { check, state, found, mend } of checks) output.add([check, state, found, mend]);
    output.end();
  }
  const wrong = checks.filter(({ state }) => state === "wrong").length;
  call.note(wrong === 0 ? "Nothing is wrong" : `${counted(wrong, "thing is", "things are")} wrong`);
  return wrong === 0 ? EXIT.complete : EXIT.findings;
}

/** What is wrong stands first, with nothing of it cut. */
function show(call: Call, checks: readonly Check[]): void {
  const { good, bad, dot } = call.screen.marks, marks = { ok: good, wrong: bad, unknown: dot };
  const lines = (wanted: State): RecordLine[] =>
    checks.filter(({ state }) => state === wanted).flatMap(({ check, state, found, mend }): RecordLine[] => [
      [`${marks[state]} ${check}`, found, STYLES[state]],
      ["", mend === "" ? null : `mend: ${mend}`],
    ]);
  const wrong = lines("wrong");
  record(call, "This installation", undefined, [
    ...wrong,
    ...(wrong.length === 0 ? [] : [null]),
    ...lines("unknown"),
    ...lines("ok"),
  ]);
}

function examine(call: Call): Check[] {
  const faults = configFaults(call);
  const configuration: Check[] = faults.length === 0
    ? [ok("configuration", "files and rules directories are right")]
    : faults.map((fault) => wrong("configuration", fault, "correct it; config check says when it is right"));
  let places: Places;
  try {
    places = findPlaces(call);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    // Where the rest lies is not known without it
    return configuration;
  }
  const now = call.now(), statuses = readStatuses(places.layout, now);
  return [
    ...configuration,
    ...(["agent", "collector"] as const).flatMap((tier) => tierChecks(tier, statuses)),
    ...connectionChecks(statuses),
    ...storeChecks(places, now),
    ...agentChecks(statuses),
    ...collectorChecks(statuses),
    ledgerCheck(places),
  ];
}

function ok(check: string, found: string): Check {
  return { check, state: "ok", found, mend: "" };
}
function wrong(check: string, found: string, mend: string): Check {
  return { check, state: "wrong", found, mend };
}

function tierChecks(tier: "agent" | "collector", statuses: Statuses): Check[] {
  const reading = statuses[tier], check = `${tier} runs`;
  if (reading.kind === "absent") return [wrong(check, "it has not run here", START)];
  if (reading.kind === "unreadable") {
    return [
      wrong(check, `its status cannot be read: ${reading.reason}`, "join the group daemoneye, or restart the daemon"),
    ];
  }
  const { status, live, ageMs } = reading, checks: Check[] = [];
  if (ageMs < -STALE_AFTER_MS) {
    const found = `its status is ${span(-ageMs)} in the future`;
    checks.push(wrong("clock", found, "look at the clock of the host (timedatectl), then restart the daemon"));
  } else if (!live) {
    const why = status.state === "stopped" ? "it was stopped" : `it wrote its status ${span(ageMs)} ago, and not since`;
    checks.push(wrong(check, why, `${START}; journalctl -u daemoneye-${tier} says why it ended`));
  } else checks.push(ok(check, `pid ${status.pid}, for ${span(status.uptimeMs)}`));
  if (status.version !== VERSION) {
    const found = `the ${tier} is ${status.version}, this program ${VERSION}`;
    checks.push(wrong("versions", found, "restart the daemon after an update, or use the CLI of its version"));
  }
  const { bootId } = status, other = statuses[tier === "agent" ? "collector" : "agent"];
  if (tier === "agent" && other.kind === "read" && other.status.bootId !== bootId) {
    checks.push(
      wrong("boot", "agent and collector speak of different boots", "restart both; one status is of before a reboot"),
    );
  }
  return checks;
}

function connectionChecks({ agent, collector }: Statuses): Check[] {
  if (agent.kind !== "read" || collector.kind !== "read" || !agent.live || !collector.live) return [];
  const check = "collector reaches agent";
  if (collector.status.connected && agent.status.collectors.length > 0) return [ok(check, "connected")];
  return [
    wrong(
      check,
      "it is not connected",
      "both must name one broker_socket (config show broker_socket) and be in its group",
    ),
  ];
}

function storeChecks({ layout }: Places, now: number): Check[] {
  try {
    const store = Store.open(layout.store);
    try {
      const gaps = gapsWithin(store, { from: now - DAY_MS, until: null }), opened = ok("store", layout.store);
      if (gaps === null) return [opened, ok("gaps", "none within a day")];
      return [opened, wrong("gaps", gapWords(gaps), "gaps --since 1d names their reasons")];
    } finally {
      store.close();
    }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return [wrong("store", error.message, "as said; health shows when it is mended")];
  }
}

function agentChecks({ agent }: Statuses): Check[] {
  if (agent.kind !== "read" || !agent.live) return [];
  const { rules, store } = agent.status, checks: Check[] = [];
  const rejected = rules.filter(({ state }) => state === "rejected");
  const active = rules.filter(({ state }) => state === "active").length;
  if (rejected.length > 0) {
    const first = rejected[0]!;
    const found = `${counted(rejected.length, "rule")} rejected, such as ${first.file}: ${first.reason ?? "no reason"}`;
    checks.push(wrong("rules", found, "rules validate says what is wrong in which line"));
  } else if (active === 0) {
    checks.push(wrong("rules", "none is active", "config show rules_dir: where they are looked for"));
  } else checks.push(ok("rules", `${counted(active, "rule")} active`));
  if (store.state !== "taking") {
    checks.push(
      wrong("store takes events", `${store.state}: ${store.reason}`, "free or mend its disk; it goes on by itself"),
    );
  } else if (store.freeBytes !== null && store.freeBytes < LITTLE_ROOM_BYTES) {
    const found = `${bytes(store.freeBytes)} are free where the store lies`;
    checks.push(wrong("room", found, "free some, or lower agent.store_max_bytes"));
  }
  return checks;
}

function collectorChecks({ collector }: Statuses): Check[] {
  if (collector.kind !== "read" || !collector.live) return [];
  const { sources, log, ledger, redaction } = collector.status;
  const active = sources.filter(({ state }) => state === "active"),
    [refused] = sources.filter(({ state }) => state !== "active");
  const names = active.map(({ name }) => name).join(", "), checks: Check[] = [];
  if (active.length === 0) {
    checks.push(wrong("sources", "none is active", "start the collector as root; sources says why each is not there"));
  } else if (refused !== undefined) {
    const found = `${names}; not ${refused.name}: ${refused.detail}`;
    checks.push(
      wrong("sources", found, "start the collector with the capabilities of its unit; sources says what is missed"),
    );
  } else checks.push(ok("sources", names));
  for (const [check, trouble] of [["log", log.trouble], ["ledger's writer", ledger.trouble]] as const) {
    if (trouble !== null && trouble !== "") {
      checks.push(wrong(check, trouble, "as said; health shows when it is mended"));
    }
  }
  if (redaction !== "on") {
    checks.push(
      wrong("redaction", "off: secrets of command lines are stored", "remove collector.redaction, and restart"),
    );
  }
  return checks;
}

function ledgerCheck({ layout }: Places): Check {
  const problem = directoryProblem(layout.ledger);
  if (problem === null) return ok("ledger", `${layout.ledger}; audit verify proves it`);
  if (problem === "absent") {
    return { check: "ledger", state: "unknown", found: "there is none", mend: "collector.ledger makes one" };
  }
  return wrong("ledger", `it cannot be read: ${problem}`, "join the group daemoneye");
}

const STYLES = { ok: "good", wrong: "bad", unknown: "faint" } as const;

const SHOWN: readonly ShownColumn[] = [
  { name: "check", title: "CHECK", keep: true },
  { name: "state", title: "STATE", keep: true, show: (cell) => ({ text: String(cell), style: STYLES[cell as State] }) },
  { name: "found", title: "FOUND", least: 20 },
  { name: "mend", title: "MEND", least: 12, show: (cell) => String(cell) },
];
