/**
 * A report in plain sentences: what needs attention, what was not seen, what is proven, what happened.
 *
 * @module
 */
import { count, counted, span } from "../units.ts";
import type { CoverageFacts, LedgerFacts, ReportData } from "./data.ts";
import { listed, utcMinute } from "./words.ts";

export type Tone = "good" | "warning" | "bad" | "plain";

export interface Sentence {
  readonly tone: Tone;
  /** What it is about, in a word or two. */
  readonly about: string;
  readonly text: string;
}

/** What a reader asks first. */
export interface Answer {
  readonly tone: Tone;
  readonly question: string;
  readonly answer: string;
  readonly text: string;
}

/** The three things that decide what is done with a report: is there anything to do, and how far can it be believed? */
export function answersOf(data: ReportData): Answer[] {
  const seen = whatIsMissing(data.coverage);
  return [
    attentionAnswer(data),
    {
      question: "Was everything seen?",
      tone: seen.length === 0 ? "good" : "warning",
      answer: seen.length === 0 ? "Nothing is known to be missing" : "Not everything",
      text: seen.length === 0
        ? "No gap touches this time, and nothing of it was removed."
        : `${capital(seen.join("; "))}.`,
    },
    { question: "Is the evidence whole?", ...proofAnswer(data.ledger), text: ledgerSentence(data.ledger).text },
  ];
}

function attentionAnswer({ alerts, range }: ReportData): Answer {
  const question = "Does anything need attention?";
  if (alerts.total === 0) {
    const text = `No rule raised an alert in these ${span(range.until - range.from)}.`;
    return { question, tone: "plain", answer: "No alert", text };
  }
  const open = alerts.openBySeverity.reduce((sum, n) => sum + n, 0);
  const urgent = alerts.openBySeverity[0]! + alerts.openBySeverity[1]!;
  const [loudest] = alerts.rules, loudShare = loudest === undefined ? 0 : loudest.alerts / alerts.total;
  const loud = alerts.rules.length > 1 && loudShare >= 0.25
    ? ` “${loudest!.title || loudest!.id}” alone raised ${count(loudest!.alerts)}.`
    : "";
  const rules = alerts.rules.length >= 500 ? "at least 500 rules" : counted(alerts.rules.length, "rule");
  const all = `${counted(alerts.total, "alert")} of ${rules}, ${
    open === alerts.total ? "all" : count(open)
  } still open.`;
  const answer = urgent > 0
    ? `${counted(urgent, "open alert")}, critical or high`
    : open > 0
    ? `${counted(open, "open alert")}, none critical or high`
    : "No alert is open";
  return { question, tone: urgent > 0 ? "bad" : open > 0 ? "warning" : "good", answer, text: all + loud };
}

function proofAnswer({ kind }: LedgerFacts): Pick<Answer, "tone" | "answer"> {
  switch (kind) {
    case "absent":
    case "unread":
      return { tone: "warning", answer: "Nothing can be proven" };
    case "broken":
      return { tone: "bad", answer: "No: the ledger does not verify" };
    case "stale":
      return { tone: "warning", answer: "Its end may be missing" };
    case "verified":
      return { tone: "good", answer: "The ledger verifies" };
  }
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

/** What else is to be said in a sentence each. */
export function summaryOf(data: ReportData): Sentence[] {
  return [activitySentence(data), newSentence(data)];
}

function activitySentence({ activity }: ReportData): Sentence {
  const about = "Activity";
  if (activity.events === 0) return { tone: "plain", about, text: "The store holds no event of this time." };
  const { starts, stops, others } = activity;
  return {
    tone: "plain",
    about,
    text:
      `${counted(activity.events, "event")}: ${counted(starts, "start")} and ${counted(stops, "end")} of programs, ` +
      `${counted(others, "change or oddity", "changes and oddities")}; ${
        counted(activity.programs.distinct, "program")
      }, ${counted(activity.users.distinct, "user")}. Every event was counted, none sampled.`,
  };
}

function newSentence({ programs, range }: ReportData): Sentence {
  const about = "New programs";
  if (programs.knownSince === null) {
    return { tone: "plain", about, text: "Nothing is known of programs: the store holds no event." };
  }
  const what = programs.count === 0
    ? "No program ran for the first time"
    : `${counted(programs.count, "program")} ran that the store had not seen before`;
  const since = programs.knownSince >= range.from
    ? `; but the store knows nothing before ${
      utcMinute(programs.knownSince)
    }, inside this time, so much looks new that may not be`
    : `, as far as the store reaches back (${utcMinute(programs.knownSince)})`;
  return { tone: programs.count > 0 ? "warning" : "plain", about, text: `${what}${since}.` };
}

/** Whether the silence of this report means anything. */
function whatIsMissing(coverage: CoverageFacts): string[] {
  const { gaps, lost, uncounted, removed, blind, lastKnown, rules, health } = coverage;
  const missing: string[] = [];
  if (blind !== null) {
    missing.push(
      `${lastKnown === null ? "nothing is known yet" : `nothing is known after ${utcMinute(lastKnown)}`}, as ${blind}`,
    );
  }
  if (gaps > 0) {
    const loss = [
      ...lost > 0 ? [`${counted(lost, "record")} lost`] : [],
      ...uncounted > 0 ? [`${counted(uncounted, "loss", "losses")} that cannot be counted`] : [],
    ];
    missing.push(`${counted(gaps, "gap")}${loss.length === 0 ? "" : ` with ${listed(loss)}`}`);
  }
  if (removed !== null) missing.push(removed);
  if (rules.unhealthy.length > 0) {
    missing.push(`${counted(rules.unhealthy.length, "rule")} could not judge all or anything`);
  }
  const others = health?.findings.length ?? 0;
  if (missing.length === 0 && others > 0) missing.push(`${counted(others, "reservation")} of the health check, below`);
  return missing;
}

export function ledgerSentence(ledger: LedgerFacts): Sentence {
  const about = "Proof";
  switch (ledger.kind) {
    case "absent":
      return { tone: "warning", about, text: `Nothing can be proven. ${ledger.why}.` };
    case "unread":
      return { tone: "warning", about, text: `Nothing can be proven. ${ledger.why}.` };
    case "broken":
      return { tone: "bad", about, text: `The audit ledger does not verify: ${ledger.verdict}.` };
    case "stale":
      return {
        tone: "warning",
        about,
        text: `The audit ledger holds, ${
          counted(ledger.verified, "entry", "entries")
        } of it, but its newest seal is old: its end may be missing.`,
      };
    case "verified":
      return {
        tone: "good",
        about,
        text: `The audit ledger holds: ${counted(ledger.verified, "entry", "entries")} verified, ${
          count(ledger.signed)
        } of them signed.`,
      };
  }
}
