/**
 * `report`: what happened on this host, as one HTML file to look at, print and pass on.
 *
 * The file goes to standard output: this program writes none. It is made from what the store, the daemons' status files
 * and the ledger say; what of them cannot be read is said in the page, except for the store, without which there is none.
 *
 * @module
 */
import { PARTIAL } from "../proto/rules/rule.ts";
import { VERSION } from "../proto/version.ts";
import { atMostArguments, integerOption, timeRange } from "./arguments.ts";
import { LedgerDirectory } from "./audit/ledger_directory.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { heldState } from "./held_state.ts";
import { blindness, tellCoverage } from "./coverage.ts";
import { readStore } from "./health.ts";
import { assess, isKept } from "./health_report.ts";
import type { ReportRange, RuleFacts } from "./report/data.ts";
import { gatherReport } from "./report/gather.ts";
import type { Live } from "./report/gather_coverage.ts";
import { gatherLedger } from "./report/gather_ledger.ts";
import { renderReport } from "./report/page.ts";
import { redact } from "./report/redact.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses, type Statuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { count, counted } from "./units.ts";

const DEFAULT_RANGE_MS = 7 * 86_400_000;
/** Alerts that are listed one by one: all of a host on which rules are not far too loud. */
const DEFAULT_ALERTS = 10_000, MAX_ALERTS = 50_000;
/** Time that one question to the store may take; there are many. */
const DEADLINE_MS = 120_000;

export async function report(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "report");
  if (call.values["format"] !== undefined) throw new UsageError("report writes HTML; leave --format out");
  if (call.screen.columns !== null) throw new UsageError("report writes a file of HTML: report > report.html");
  const limit = integerOption(call, "limit", 1, MAX_ALERTS, DEFAULT_ALERTS), asked = timeRange(call), now = call.now();
  const until = Math.floor(asked.until ?? now), from = Math.floor(asked.from ?? until - DEFAULT_RANGE_MS);
  if (from > until) throw new UsageError("--since lies in the future");
  const range: ReportRange = { from, until };
  const { layout } = findPlaces(call);
  // Before the store is open here: a bundle has one reader at a time
  const reading = readStore(layout, now);
  const store = Store.open(layout.store, { deadlineMs: DEADLINE_MS });
  try {
    const statuses = readStatuses(layout, now);
    const ledger = await gatherLedger(() => LedgerDirectory.of(call), now, call.progress);
    const lastKnown = newestOf(store);
    const data = gatherReport({
      reader: store,
      range,
      limit,
      live: liveOf(statuses, lastKnown !== null && until <= lastKnown, assess(statuses, reading, now)),
      ledger,
      origin: heldState(layout.state) === null ? "the store of this host" : "a bundle",
      madeAt: now,
      programVersion: VERSION,
      progress: call.progress,
    });
    call.progress("writing the page");
    call.out.write(renderReport(call.values["redact"] === true ? redact(data) : data));
    call.out.flush();
    call.progress(null);
    const { alerts } = data;
    if (alerts.listed.length < alerts.total) {
      call.note(
        `The page lists the ${count(alerts.listed.length)} most severe and newest of ${
          counted(alerts.total, "alert")
        }, and counts all; --limit lists more`,
      );
    }
    if (ledger.kind !== "verified") {
      call.note(`The audit ledger: ${"why" in ledger ? ledger.why : ledger.verdict} (audit verify says more)`);
    }
    const lacking = tellCoverage(call, store, statuses, range);
    return lacking || ledger.kind !== "verified" ? EXIT.degraded : EXIT.complete;
  } finally {
    store.close();
  }
}

/** Time of the newest thing in the store. */
function newestOf(store: Store): number | null {
  const [row] = store.rows(
    `SELECT (SELECT time FROM process_events ORDER BY time DESC LIMIT 1), (SELECT max(time) FROM scan_metadata)`,
  );
  const known = row!.filter((cell) => cell !== null).map(Number);
  return known.length === 0 ? null : Math.max(...known);
}

function liveOf(statuses: Statuses, isPast: boolean, { verdict, summary, findings }: ReturnType<typeof assess>): Live {
  const { agent } = statuses;
  return {
    health: { verdict, summary, findings },
    blind: isPast ? null : blindness(statuses),
    rules: agent.kind !== "read" ? null : {
      unhealthy: unhealthyRules(agent.status.rules),
      suppressed: agent.live ? agent.status.rules.reduce((sum, { suppressed }) => sum + suppressed, 0) : null,
    },
  };
}

type AgentRules = Extract<Statuses["agent"], { kind: "read" }>["status"]["rules"];

function unhealthyRules(rules: AgentRules): RuleFacts["unhealthy"] {
  return rules.flatMap((rule) => {
    const { id, state, reason, degraded } = rule;
    if (state === "rejected") return [{ id, state, why: reason ?? "no reason given" }];
    if (isKept(rule)) return [{ id, state: "active as it was before", why: reason! }];
    const why = [...reason?.startsWith(PARTIAL) === true ? [reason] : [], ...degraded];
    return why.length === 0 ? [] : [{ id, state, why: why.join("; ") }];
  });
}
