/**
 * What a report says, before it has a form: plain values that a store, a bundle or a test can give.
 *
 * Texts are as they were stored, which may be hostile in every way: whoever shows them makes them harmless
 * ({@link ./html.ts}, {@link ./payload.ts}). Times are Unix milliseconds.
 *
 * @module
 */
import type { Cell } from "../output.ts";

/** Rows of SQL over the tables of the catalog. `Store` is one, and so can be a bundle that was opened. */
export interface Reader {
  rows(sql: string, ...parameters: (string | number)[]): Cell[][];
  each(sql: string, ...parameters: (string | number)[]): Iterable<Cell[]>;
  /** Runs `read` so that all of its queries see one moment. */
  atOneMoment<T>(read: () => T): T;
}

/** Told now and then what is being read. */
export type Progress = (text: string) => void;

/** The time that a report is about, both ends in it. */
export interface ReportRange {
  readonly from: number;
  readonly until: number;
}

/** From the most to the least severe. */
export const SEVERITY_ORDER = ["critical", "high", "medium", "low", "info"] as const;

export interface ReportData {
  /** When the report was made: the one thing in it that two runs over the same state do not share. */
  readonly madeAt: number;
  readonly programVersion: string;
  /** Where the rows come from, in a few words: "the store of this host". */
  readonly origin: string;
  readonly host: HostFacts;
  readonly range: ReportRange;
  /** What was masked, for {@link ./redact.ts}; `null` when nothing was. */
  readonly redaction: RedactionFacts | null;
  readonly alerts: AlertFacts;
  readonly activity: ActivityFacts;
  readonly programs: NewProgramFacts;
  readonly attack: AttackFacts;
  readonly coverage: CoverageFacts;
  readonly ledger: LedgerFacts;
}

export interface HostFacts {
  readonly name: string | null;
  readonly os: string | null;
  readonly architecture: string | null;
}

export interface RedactionFacts {
  readonly users: number;
  readonly paths: number;
  readonly commands: number;
}

export interface AlertFacts {
  /** Of the whole time, listed or not. */
  readonly total: number;
  /** In the order of {@linkcode SEVERITY_ORDER}; what has another severity counts as the last. */
  readonly bySeverity: readonly number[];
  /** Of those, the ones that nobody has taken up: open and not muted. In the same order. */
  readonly openBySeverity: readonly number[];
  /** Rules with open alerts, the most severe and then the most numerous first; not all. */
  readonly pressing: readonly PressingRule[];
  /** Of rules that could not see all that they look at. */
  readonly partial: number;
  readonly rules: readonly FiredRule[];
  readonly bars: TimeBars;
  /** The most severe and newest, as many as were asked for; newest first. */
  readonly listed: readonly ListedAlert[];
  readonly processes: ProcessGraph;
}

export interface FiredRule {
  readonly id: string;
  readonly title: string;
  readonly severity: string;
  readonly tags: readonly string[];
  readonly alerts: number;
  readonly first: number;
  readonly last: number;
}

/** Open alerts of one rule and one severity. */
export interface PressingRule {
  readonly id: string;
  readonly title: string;
  readonly severity: string;
  readonly open: number;
  /** The time of the newest. */
  readonly last: number;
}

/** Counts over time by severity. */
export interface TimeBars {
  /** Begin of the first bar, and how long each is. */
  readonly from: number;
  readonly widthMs: number;
  /** By bar, then in the order of {@linkcode SEVERITY_ORDER}. */
  readonly bars: readonly (readonly number[])[];
}

export interface ListedAlert {
  readonly id: string;
  readonly time: number;
  readonly detected: number;
  readonly ruleId: string;
  readonly ruleHash: string | null;
  readonly title: string;
  readonly description: string;
  readonly severity: string;
  readonly tags: readonly string[];
  readonly status: string;
  readonly mutedBy: string | null;
  /** Of a summary: how many hits it stands for, and why. */
  readonly repeats: number | null;
  readonly reason: string | null;
  readonly eventId: string | null;
  /** Key of {@linkcode ProcessGraph.nodes}. */
  readonly processId: string;
  readonly pid: number | null;
  readonly name: string | null;
  readonly executable: string | null;
  readonly command: string | null;
  readonly user: string | null;
  readonly directory: string | null;
  readonly container: string | null;
  readonly input: string | null;
  /** What the rule selected. */
  readonly evidence: readonly (readonly [name: string, value: string])[];
  /** Why the rule saw less than it looks at; empty when it saw all of it. */
  readonly unseen: readonly string[];
  readonly history: readonly AlertStep[];
}

/** What an operator did with an alert. */
export interface AlertStep {
  readonly time: number;
  readonly action: string;
  readonly actor: string;
  readonly text: string;
}

/** Processes of alerts with their ancestors and descendants, each once. */
export interface ProcessGraph {
  readonly nodes: ReadonlyMap<string, GraphNode>;
  /** Descendants that are not in it, because there were too many. */
  readonly cut: number;
}

export interface GraphNode {
  readonly id: string;
  readonly parentId: string | null;
  readonly pid: number | null;
  readonly name: string | null;
  readonly executable: string | null;
  readonly command: string | null;
  readonly user: string | null;
  readonly start: number | null;
  readonly end: number | null;
  /** `exit 1`, `signal 9 KILL`, `lost`; `null` while it lives or where that is not known. */
  readonly ended: string | null;
  /** Not a row of the store any more: known from what an alert said of it. */
  readonly remembered: boolean;
  /** Children that are not in the graph. */
  readonly hiddenChildren: number;
}

export interface ActivityFacts {
  readonly events: number;
  readonly starts: number;
  readonly stops: number;
  /** Changes, and what a collector found suspicious. */
  readonly others: number;
  /** Events by hour of Unix time. */
  readonly hours: ReadonlyMap<number, number>;
  /** The busiest, by events. */
  readonly programs: Talkers;
  readonly users: Talkers;
  readonly parents: Talkers;
}

export interface Talkers {
  readonly top: readonly Talker[];
  /** Different ones that were told apart. */
  readonly distinct: number;
  /** Events of those that were not, since too many different ones came before them. */
  readonly untold: number;
}

export interface Talker {
  readonly name: string;
  readonly events: number;
  readonly starts: number;
}

export interface NewProgramFacts {
  /** Programs whose first start that the store knows lies in the time. */
  readonly count: number;
  /** The newest of them. */
  readonly listed: readonly NewProgram[];
  /** Since when the store knows what starts; `null` when it holds no event. */
  readonly knownSince: number | null;
  /** Whether there were too many different programs to look at each. */
  readonly isCut: boolean;
}

export interface NewProgram {
  readonly path: string;
  readonly first: number;
  readonly starts: number;
  readonly user: string | null;
  readonly parent: string | null;
  readonly command: string | null;
  readonly hash: string | null;
}

export interface AttackFacts {
  /** Version of ATT&CK whose names these are. */
  readonly version: string;
  readonly tactics: readonly AttackTactic[];
  /** Active rules, and those of them without a tag of ATT&CK. */
  readonly rules: number;
  readonly untagged: number;
}

export interface AttackTactic {
  readonly id: string;
  readonly title: string;
  readonly techniques: readonly AttackTechnique[];
}

export interface AttackTechnique {
  readonly id: string;
  readonly name: string;
  /** Active rules that look for it. */
  readonly rules: number;
  /** Alerts of the time whose rules name it. */
  readonly alerts: number;
}

export interface CoverageFacts {
  /** The judgement of `health` when the report was made; `null` for a report of what was carried elsewhere. */
  readonly health: { readonly verdict: string; readonly summary: string; readonly findings: readonly Finding[] } | null;
  /** Why nothing newer than {@linkcode lastKnown} can be known; `null` while all is well or nobody can say. */
  readonly blind: string | null;
  readonly lastKnown: number | null;
  readonly oldestEvent: number | null;
  readonly newestEvent: number | null;
  readonly gaps: number;
  readonly lost: number;
  readonly uncounted: number;
  readonly gapReasons: readonly GapReasonFact[];
  /** Times that gaps touch, all of them, put together and rounded to the units of the charts; the end is not in it. */
  readonly gapSpans: readonly (readonly [from: number, to: number])[];
  /** The longest. */
  readonly listedGaps: readonly GapFact[];
  /** What retention took of the time, as a sentence. */
  readonly removed: string | null;
  readonly sources: readonly SourceFact[];
  readonly rules: RuleFacts;
}

export interface Finding {
  readonly level: string;
  readonly subject: string;
  readonly text: string;
}

export interface GapReasonFact {
  readonly source: string;
  readonly reason: string;
  readonly gaps: number;
  readonly lost: number;
  readonly uncounted: number;
}

export interface GapFact {
  readonly from: number;
  readonly to: number;
  readonly source: string;
  readonly kind: string;
  readonly lost: number | null;
  readonly reason: string;
}

export interface SourceFact {
  readonly collector: string;
  readonly name: string;
  readonly state: string;
  readonly detail: string;
  readonly misses: readonly string[];
  readonly unknownColumns: readonly string[];
}

export interface RuleFacts {
  readonly active: number;
  readonly draft: number;
  readonly disabled: number;
  readonly rejected: number;
  /** Rules that judge less than they should, or nothing, and why. */
  readonly unhealthy: readonly { readonly id: string; readonly state: string; readonly why: string }[];
  /** Hits that exceptions kept from being alerts since the agent's start; `null` where the agent does not say. */
  readonly suppressed: number | null;
}

/** What became of verifying the audit ledger when the report was made. */
export type LedgerFacts = NoLedger | VerifiedLedger;

export interface NoLedger {
  readonly kind: "absent" | "unread";
  readonly why: string;
}

export interface VerifiedLedger {
  readonly kind: "verified" | "stale" | "broken";
  /** One line as `audit verify` has it. */
  readonly verdict: string;
  readonly host: string | null;
  readonly begun: number | null;
  readonly key: string | null;
  readonly verified: number;
  readonly signed: number;
  readonly remarks: readonly string[];
  readonly head: LedgerHead | null;
}

/** The newest signed head of a ledger that holds. */
export interface LedgerHead {
  readonly origin: string;
  readonly size: number;
  /** base64 */
  readonly root: string;
  /** The signed note; `null` in a redacted report, since it names the host. */
  readonly note: string | null;
}
