/**
 * The parts of a report's page about what happened, each a section with a heading.
 *
 * @module
 */
import { count, counted } from "../units.ts";
import { heatMap, severityBar, talkerTable } from "./charts.ts";
import { alertBars } from "./time_chart.ts";
import { type ReportData, SEVERITY_ORDER } from "./data.ts";
import { type Markup, markup, type Piece } from "./html.ts";
import { stackTable } from "./stack_table.ts";
import { type Answer, answersOf, type Sentence, summaryOf, type Tone } from "./summary.ts";
import { timeMarkup, utcMinute } from "./words.ts";

const MARKS: Readonly<Record<Tone, string>> = { good: "✓", warning: "!", bad: "!!", plain: "·" };
const TONES: Readonly<Record<Tone, string>> = {
  good: "all is well",
  warning: "a reservation",
  bad: "look here",
  plain: "",
};

export function summarySection(data: ReportData): Markup {
  return markup`
    <section id="summary" aria-labelledby="summary-title">
      <h2 id="summary-title">In short</h2>
      <ul class="answers">${answersOf(data).map(answer)}</ul>
      ${data.alerts.total === 0 ? null : severityBar(data.alerts)}
      ${pressingRules(data)}
      <dl class="summary">${summaryOf(data).map(sentence)}</dl>
    </section>
  `;
}

function answer({ tone, question, answer, text }: Answer): Markup {
  return markup`
    <li class="${tone}">
      <h3>${question}</h3>
      <p class="answer"><span class="mark" aria-hidden="true">${MARKS[tone]}</span>${answer}${unseenTone(tone)}</p>
      <p>${text}</p>
    </li>
  `;
}

/** Where to begin. A click shows the rule's alerts, when the page's script runs. */
function pressingRules({ alerts: { pressing, listed } }: ReportData): Markup | null {
  if (pressing.length === 0) return null;
  const rows = pressing.map(({ id, title, severity, open, last }) => [
    markup`<span class="severity ${severity}">${severity}</span>`,
    listed.length === 0
      ? markup`${title === "" ? id : title}`
      : markup`<a href="#list-title" data-rule="${id}" data-severity="${
        SEVERITY_ORDER.findIndex((each) => each === severity)
      }">${title === "" ? id : title}</a>`,
    count(open),
    timeMarkup(last, utcMinute(last)),
  ]);
  return markup`<h3>Look at these first</h3>${
    stackTable("Open alerts by rule, the most severe first", ["Severity", "Rule", "#Open", "Newest"], rows)
  }`;
}

function unseenTone(tone: Tone): Markup | null {
  return TONES[tone] === "" ? null : markup`<span class="unseen"> (${TONES[tone]})</span>`;
}

function sentence({ tone, about, text }: Sentence): Markup {
  return markup`
    <div class="${tone}">
      <dt><span class="mark" aria-hidden="true">${MARKS[tone]}</span>${about}${unseenTone(tone)}</dt>
      <dd>${text}</dd>
    </div>
  `;
}

export function alertsSection(data: ReportData): Markup {
  const { alerts, coverage } = data, { listed, total } = alerts;
  const unlisted = total - listed.length;
  const cut = unlisted === 0 ? null : markup`
    <p
      class="note">The list has the ${count(listed.length)} most severe and newest of ${
    counted(
      total,
      "alert",
    )
  }; charts and counts have all. <code>--limit</code> lists more.</p>
  `;
  const hidden = alerts.processes.cut === 0
    ? null
    : markup`<p class="note">${
      counted(alerts.processes.cut, "descendant")
    } of their processes, with what they started, are not in the graphs, which say where.</p>`;
  return markup`<section id="alerts" aria-labelledby="alerts-title"><h2 id="alerts-title">Alerts</h2>
${alertBars(alerts, coverage)}
${firedRules(data)}
<h3 id="list-title">One by one</h3>${cut}${hidden}
${listed.length === 0 ? markup`<p>There is none.</p>` : explorer()}</section>`;
}

function firedRules({ alerts: { rules, total } }: ReportData): Markup | null {
  if (rules.length === 0) return null;
  const rows = rules.map(({ id, title, severity, alerts, first, last }) => [
    markup`<span class="severity ${known(severity)}">${severity}</span>`,
    markup`${title === "" ? id : title}<br><span class="code faint">${id}</span>`,
    count(alerts),
    timeMarkup(first, utcMinute(first)),
    timeMarkup(last, utcMinute(last)),
  ]);
  const shown = rules.reduce((sum, { alerts }) => sum + alerts, 0);
  return markup`<details><summary>${counted(rules.length, "rule")} that fired</summary>${
    stackTable("Rules that fired", ["Severity", "Rule", "#Alerts", "First", "Last"], rows)
  }${
    shown < total ? markup`<p class="note">${count(total - shown)} alerts are of further rules.</p>` : null
  }</details>`;
}

function known(severity: string): string {
  return SEVERITY_ORDER.find((each) => each === severity) ?? "info";
}

/** Filled by the page's script. */
function explorer(): Markup {
  const option = (value: string, text: string): Markup => markup`<option value="${value}">${text}</option>`;
  return markup`
    <noscript><p class="note">The list of alerts needs this page's own script, which is turned off here. Everything else does not.</p></noscript>
    <div id="explorer" hidden>
      <form role="search" aria-labelledby="list-title">
        <label
          class="wide">Search <input id="search" type="search" autocomplete="off" spellcheck="false" placeholder="title, command, user …"></label>
        <fieldset><legend>Severity</legend>${
    SEVERITY_ORDER.map((severity, at) =>
      markup`
            <label
              class="check"><input type="checkbox" name="severity" value="${at}" checked><span class="severity ${severity}">${severity}</span></label>
          `
    )
  }</fieldset>
        <label>State <select id="state">${option("", "any")}${
    ["open", "acknowledged", "closed"].map((state) => option(state, state))
  }${option("muted", "muted")}</select></label>
        <label>Rule <select id="rule">${option("", "any")}</select></label>
        <label>Order <select id="order">${
    [
      ["newest", "newest first"],
      ["oldest", "oldest first"],
      ["severity", "most severe first"],
      ["rule", "by rule"],
      [
        "user",
        "by user",
      ],
      ["program", "by program"],
    ].map(([value, text]) => option(value!, text!))
  }</select></label>
        <button type="reset">Clear</button>
      </form>
      <p id="found" role="status"></p>
      <ol id="list"></ol>
      <nav id="pages"
        aria-label="Pages of alerts"><button type="button" id="before">Before</button><span id="page"></span><button type="button" id="after">Next</button></nav>
    </div>
  `;
}

export function activitySection({ activity, range, coverage }: ReportData): Markup {
  return markup`<section id="activity" aria-labelledby="activity-title"><h2 id="activity-title">Activity</h2>
${heatMap(activity, range, coverage)}
<div class="columns">${talkerTable("Programs", "Program", activity.programs, activity.events)}${
    talkerTable("Users", "User", activity.users, activity.events)
  }${talkerTable("Parents", "Parent", activity.parents, activity.events)}</div></section>`;
}

export function programsSection({ programs, range }: ReportData): Markup {
  const { count: all, listed, knownSince, isCut } = programs;
  const since = knownSince === null
    ? markup`<p>The store holds no event, so nothing can be said.</p>`
    : knownSince >= range.from
    ? markup`
      <p
        class="note">The store knows nothing before ${
      timeMarkup(
        knownSince,
        utcMinute(knownSince),
      )
    }, inside the time of this report: what stands at the end of this list may have run before.</p>
    `
    : markup`<p class="note">Files whose first start since ${
      timeMarkup(knownSince, utcMinute(knownSince))
    } lies in the time of this report, the newest first.</p>`;
  const rows = listed.map(({ path, first, starts, user, parent, command, hash }): Piece[] => [
    timeMarkup(first),
    markup`<b class="code">${path}</b>${
      command === null || command === path ? null : markup`<br><span class="code faint">${command}</span>`
    }`,
    user ?? "unknown",
    markup`<span class="code">${parent ?? "unknown"}</span>`,
    count(starts),
    hash === null ? "not known" : markup`<span class="code hash" title="${hash}">${hash.slice(0, 12)}</span>`,
  ]);
  return markup`<section id="programs" aria-labelledby="programs-title"><h2 id="programs-title">Seen for the first time</h2>
${since}${
    rows.length === 0
      ? markup`<p>${knownSince === null ? null : "No program ran for the first time."}</p>`
      : stackTable("Programs seen for the first time", [
        "First start",
        "File and its first command",
        "User",
        "Parent",
        "#Starts",
        "Hash",
      ], rows)
  }${
    all > listed.length
      ? markup`<p class="note">and ${count(all - listed.length)} more, which first ran earlier.</p>`
      : null
  }${
    isCut
      ? markup`<p class="note">There were more different programs than are told apart, so further new ones may be missing here.</p>`
      : null
  }</section>`;
}

export function attackSection({ attack }: ReportData): Markup {
  const { version, tactics, rules, untagged } = attack;
  const all = new Map(tactics.flatMap(({ techniques }) => techniques.map((each) => [each.id, each] as const)));
  const covered = [...all.values()].filter((each) => each.rules > 0).length,
    fired = [...all.values()].filter(({ alerts }) => alerts > 0).length;
  return markup`
    <section id="attack" aria-labelledby="attack-title">
      <h2 id="attack-title">ATT&amp;CK</h2>
      <p>${counted(rules, "active rule")} look for ${count(covered)} of ${
    counted(
      all.size,
      "technique",
    )
  } of MITRE ATT&amp;CK ${version} that there are on Linux and in containers; ${
    count(
      fired,
    )
  } fired in this time${
    untagged === 0 ? null : markup`; ${counted(untagged, "rule")} name none`
  }. A technique with a rule is not one that cannot be missed; one without is.</p>
      <div class="matrix">${
    tactics.map(({ id, title, techniques }) => {
      const fired = techniques.filter(({ alerts }) => alerts > 0),
        looked = techniques.filter(({ rules, alerts }) => rules > 0 && alerts === 0),
        none = techniques.filter(({ rules, alerts }) => rules === 0 && alerts === 0);
      return markup`<section class="tactic"><h3>${title} <small>${id}</small></h3>
${tacticMeter(fired.length, looked.length, none.length)}
<p class="note">${count(fired.length)} fired, ${count(looked.length)} quiet, ${count(none.length)} without a rule</p>
${
        fired.length === 0
          ? null
          : markup`<ul class="fired">${
            fired.map((each) => markup`<li>${technique(each)} <b>${counted(each.alerts, "alert")}</b></li>`)
          }</ul>`
      }${
        looked.length === 0 ? null : markup`
            <details>
              <summary>Quiet</summary>
              <ul>${
          looked.map((each) => markup`<li>${technique(each)} <small>${counted(each.rules, "rule")}</small></li>`)
        }</ul>
            </details>
          `
      }${
        none.length === 0 ? null : markup`
            <details>
              <summary>Without a rule</summary>
              <ul>${none.map((each) => markup`<li>${technique(each)}</li>`)}</ul>
            </details>
          `
      }</section>`;
    })
  }</div>
    </section>
  `;
}

/** Of the techniques of a tactic, those that fired, that only rules look for, and that nothing looks for. */
function tacticMeter(fired: number, looked: number, none: number): Markup {
  const all = Math.max(1, fired + looked + none);
  return markup`
    <svg class="share" viewBox="0 0 ${all} 1" preserveAspectRatio="none" aria-hidden="true"><rect
      class="none" width="${all}" height="1"/><rect class="looked" width="${fired + looked}" height="1"/><rect
      class="fired" width="${fired}" height="1"/></svg>
  `;
}

function technique({ id, name }: { readonly id: string; readonly name: string }): Markup {
  return markup`<span class="code">${id}</span> ${name}`;
}
