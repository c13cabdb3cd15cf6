/**
 * Everything that a report says, gathered from a reader of tables: the store of a host, or a bundle of one.
 *
 * @module
 */
import type { LedgerFacts, Progress, Reader, ReportData, ReportRange } from "./data.ts";
import { gatherActivity } from "./gather_activity.ts";
import { gatherAlerts } from "./gather_alerts.ts";
import { gatherAttack, gatherCoverage, type Live } from "./gather_coverage.ts";
import { shortened } from "./stored_text.ts";

export interface ReportSources {
  readonly reader: Reader;
  readonly range: ReportRange;
  /** Most alerts that are listed in full. */
  readonly limit: number;
  /** What daemons say of themselves; {@linkcode AWAY} where there are none. */
  readonly live: Live;
  readonly ledger: LedgerFacts;
  /** Where the rows come from, such as "the store of this host". */
  readonly origin: string;
  readonly madeAt: number;
  readonly programVersion: string;
  readonly progress: Progress;
}

/** For a report that is made where no daemon is. */
export const AWAY: Live = { health: null, blind: null, rules: null };

/** Reads it all. @throws what the reader throws */
export function gatherReport(sources: ReportSources): ReportData {
  const { reader, range, limit, live, ledger, origin, madeAt, programVersion, progress } = sources;
  // Counting takes its time, and would pin the log of a store that is written to: only the rest sees one moment
  const { alerts, attack, coverage, facts } = reader.atOneMoment(() => {
    const alerts = gatherAlerts(reader, range, limit, progress);
    return {
      alerts,
      attack: gatherAttack(reader, alerts.rules),
      coverage: gatherCoverage(reader, range, live),
      facts: new Map(reader.rows("SELECT name, value FROM system_info").map(([name, value]) => [name, value])),
    };
  });
  const { activity, programs } = gatherActivity(reader, range, progress);
  const fact = (name: string): string | null => {
    const value = facts.get(name) ?? null;
    return value === null ? null : shortened(String(value), 200);
  };
  return {
    madeAt,
    programVersion,
    origin,
    host: { name: fact("hostname"), os: fact("os"), architecture: fact("architecture") },
    range,
    redaction: null,
    alerts,
    activity,
    programs,
    attack,
    coverage,
    ledger,
  };
}
