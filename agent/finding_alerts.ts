/**
 * Alerts of what rules found, each with the newest checkpoint of the ledger and with what its rule could not see. A
 * draft's findings raise none.
 *
 * @module
 */
import type { Alert, AlertHead } from "../proto/alert.ts";
import { completenessOf } from "../proto/completeness.ts";
import { columnPlaces, type SqlValue } from "../proto/event_row.ts";
import type { Evaluation } from "../proto/rules/evaluation.ts";
import type { WindowEvaluation } from "../proto/rules/window_evaluation.ts";
import { alertOf } from "./alerts/alert_of.ts";
import type { RuleStandings } from "./rule_standings.ts";
import type { Sight } from "./sight.ts";
import type { Stream } from "./store/streams.ts";

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, COLLECTOR_ID = PLACES.get("collector_id")!;

export class FindingAlerts {
  constructor(
    private readonly standings: Pick<RuleStandings, "rule">,
    private readonly sight: Sight,
    /** The newest checkpoint of a collector's ledger. */
    private readonly head: (collectorId: string) => AlertHead | null,
  ) {}

  /** Of rules that judge rows one by one. */
  *ofRows({ hits, faults }: Evaluation, rows: readonly SqlValue[][], stream: Stream, now: number): Generator<Alert> {
    if (hits.length === 0) return;
    const head = this.head(stream.collectorId);
    for (const { rule, row, evidence } of hits) {
      if (rule.status === "draft") continue;
      const cells = rows[row]!, time = cells[TIME] as number;
      const own = faults.filter((fault) => fault.rule === rule).map(({ reason }) => reason);
      const lacks = this.sight.attributeLacks(rule, time, stream.collectorId);
      const completeness = completenessOf([...own, ...lacks, ...this.sight.lacks(time, time)]);
      yield alertOf(rule, cells, evidence, stream, now, head, completeness);
    }
  }

  /** Of rules over windows; `stream` is that of the batch, `null` where what did not happen was asked for. */
  *ofWindows({ findings }: WindowEvaluation, stream: Stream | null, now: number): Generator<Alert> {
    for (const { rule: { id }, row, cells, key, time, evidence, reasons } of findings) {
      // The lane knows the rule as it was when its window began: an override may have changed what it says of it
      const rule = this.standings.rule(id)!;
      if (rule.status === "draft") continue;
      const until = rule.correlation?.kind === "absence" ? time + rule.correlation.windowMs : time;
      // Rows of the window may be of any collector
      const lacks = this.sight.attributeLacks(rule, time - rule.windowMs!, null);
      const completeness = completenessOf([...reasons, ...lacks, ...this.sight.lacks(time - rule.windowMs!, until)]);
      // An event of before this batch may be of another collector
      const of = row !== null && stream !== null ? stream : {
        number: 0,
        collectorId: cells[COLLECTOR_ID] as string ?? "",
        epoch: "",
      };
      const head = this.head(of.collectorId);
      yield alertOf(rule, cells, evidence, of, now, head, completeness, `${key}:${time}`, key);
    }
  }

  /** Of rules over collectors' tables. */
  *ofTables({ findings }: WindowEvaluation, stream: Stream, now: number): Generator<Alert> {
    for (const { rule: { id, windowMs }, cells, key, time, evidence, reasons } of findings) {
      const rule = this.standings.rule(id)!;
      if (rule.status === "draft") continue;
      const lacks = windowMs === null ? [] : this.sight.lacks(time - windowMs, time);
      const finding = windowMs === null ? null : `${key}:${time}`;
      const head = this.head(stream.collectorId);
      yield alertOf(rule, cells, evidence, stream, now, head, completenessOf([...reasons, ...lacks]), finding, key);
    }
  }
}
