/**
 * The part of a report's page that says what was seen, and what was not.
 *
 * @module
 */
import { count, counted, span } from "../units.ts";
import type { ReportData } from "./data.ts";
import { type Markup, markup, type Piece } from "./html.ts";
import { stackTable } from "./stack_table.ts";
import { timeMarkup } from "./words.ts";

export function coverageSection({ coverage, alerts, range, activity }: ReportData): Markup {
  const { health, gaps, oldestEvent, newestEvent, removed, rules, sources } = coverage;
  const facts: Piece[] = [
    oldestEvent === null
      ? "The store holds no event at all."
      : markup`The store holds events from ${timeMarkup(oldestEvent)} to ${timeMarkup(newestEvent ?? oldestEvent)}${
        oldestEvent > range.from
          ? markup`: nothing is known of ${span(oldestEvent - range.from)} at the begin of this time`
          : null
      }.`,
    ...coverage.blind === null ? [] : [`Nothing newer is known: ${coverage.blind}.`],
    removed === null ? "Nothing of this time was removed from the store." : `Not everything is kept: ${removed}.`,
    activity.programs.untold + activity.users.untold + activity.parents.untold === 0
      ? "Every event of the time was counted; nothing was sampled."
      : "Every event of the time was counted and nothing sampled, but there were more different programs, users or parents than are told apart; the tables say how many events that touches.",
    gaps === 0 ? "No gap is recorded in this time." : `${counted(gaps, "gap")} touch this time, below.`,
    alerts.partial === 0
      ? "Every alert is of a rule that saw all that it looks at."
      : `${
        counted(alerts.partial, "alert")
      } are of rules that could not see all that they look at; each says what was missing.`,
    `${counted(rules.active, "rule")} active, ${count(rules.draft)} drafts, ${count(rules.disabled)} disabled, ${
      count(rules.rejected)
    } rejected when the report was made.`,
    ...rules.suppressed === null || rules.suppressed === 0
      ? []
      : [`Exceptions kept ${counted(rules.suppressed, "hit")} from being alerts since the agent's start.`],
  ];
  return markup`<section id="coverage" aria-labelledby="coverage-title"><h2 id="coverage-title">What was seen, and what was not</h2>
${
    health === null
      ? markup`<p class="note">Made away from the host: whether its daemons ran is not known here.</p>`
      : markup`<p class="verdict ${
        health.verdict === "healthy" ? "good" : health.verdict === "degraded" ? "warning" : "bad"
      }"><b>${health.verdict}</b> when the report was made: ${health.summary}.</p>`
  }
<ul>${facts.map((fact) => markup`<li>${fact}</li>`)}</ul>
${
    health === null || health.findings.length === 0 ? null : markup`<h3>Reservations</h3>${
      stackTable(
        "Reservations of the health check",
        ["About", "What"],
        health.findings.map(({ subject, text }) => [subject, text]),
      )
    }`
  }${gapTables(coverage)}${
    rules.unhealthy.length === 0 ? null : markup`<h3>Rules that could not judge everything</h3>${
      stackTable(
        "Rules that could not judge everything",
        ["Rule", "State", "Why"],
        rules.unhealthy.map(({ id, state, why }) => [
          markup`<span class="code">${id}</span>`,
          state,
          why,
        ]),
      )
    }`
  }
<h3>Sources</h3>${
    sources.length === 0 ? markup`<p>No collector has reported any source.</p>` : stackTable(
      "Sources of events",
      ["Source", "State", "What it sees", "What it misses"],
      sources.map((each) => [
        markup`${each.name}<br><span class="faint">${each.collector}</span>`,
        each.state,
        each.detail,
        markup`${each.misses.length === 0 ? "nothing that is known" : each.misses.join("; ")}${
          each.unknownColumns.length === 0
            ? null
            : markup`<br><span class="faint">does not tell ${each.unknownColumns.join(", ")}</span>`
        }`,
      ]),
    )
  }</section>`;
}

function gapTables({ gaps, gapReasons, listedGaps }: ReportData["coverage"]): Markup | null {
  if (gaps === 0) return null;
  const loss = (lost: number, uncounted: number): string =>
    [...lost > 0 ? [count(lost)] : [], ...uncounted > 0 ? [`${count(uncounted)} not countable`] : []].join(", ") ||
    "none";
  return markup`<h3>Gaps</h3>${
    stackTable(
      "Gaps by reason",
      ["Source", "Reason", "#Gaps", "Lost records"],
      gapReasons.map((each) => [
        each.source,
        each.reason,
        count(each.gaps),
        loss(each.lost, each.uncounted),
      ]),
    )
  }<details><summary>${
    listedGaps.length === gaps ? "Each gap" : `The ${count(listedGaps.length)} longest gaps`
  }</summary>${
    stackTable(
      "Gaps",
      ["From", "To", "Lasted", "Source", "Kind", "#Lost", "Reason"],
      listedGaps.map((gap) => [
        timeMarkup(gap.from),
        timeMarkup(gap.to),
        span(gap.to - gap.from),
        gap.source,
        gap.kind,
        gap.lost === null ? "unknown" : count(gap.lost),
        gap.reason,
      ]),
    )
  }</details>`;
}
