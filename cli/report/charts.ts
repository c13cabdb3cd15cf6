/**
 * Charts of a report as SVG and tables, drawn by hand: they need no script, and say in words what they show.
 *
 * @module
 */
import { encode } from "uqr";
import { count, counted } from "../units.ts";
import {
  type ActivityFacts,
  type AlertFacts,
  type CoverageFacts,
  type ReportRange,
  SEVERITY_ORDER,
  type Talkers,
} from "./data.ts";
import { HOUR_MS } from "./bar_width.ts";
import { type Markup, markup, trusted } from "./html.ts";
import { share } from "./words.ts";

/** Shares of the severities, each with its number and how many of them are open. */
export function severityBar({ bySeverity, openBySeverity, total }: AlertFacts): Markup {
  let x = 0;
  const parts = bySeverity.map((alerts, at) => {
    const from = x;
    x += alerts;
    return alerts === 0 ? "" : `<rect class="${SEVERITY_ORDER[at]}" x="${from}" width="${alerts}" height="1"/>`;
  });
  return markup`<div class="severities"><svg class="share" viewBox="0 0 ${total} 1" preserveAspectRatio="none"
aria-hidden="true">${trusted(parts.join(""))}</svg><dl>${
    SEVERITY_ORDER.map((severity, at) =>
      markup`
        <div>
          <dt><i class="key ${severity}"></i>${severity}</dt>
          <dd>${count(bySeverity[at]!)} <small>${count(openBySeverity[at]!)} open</small></dd>
        </div>
      `
    )
  }</dl></div>`;
}

/** Longest time of which each day has a row. */
const MAX_DAYS = 15;
const DAY_MS = 24 * HOUR_MS;
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/** Shades of a cell that is not empty. */
const LEVELS = 5;

/** What the shades mean: the most events that each stands for. */
function shades(most: number): Markup {
  const tops = Array.from({ length: LEVELS }, (_, at) => Math.floor(most * ((at + 1) / LEVELS) ** 2));
  return markup`<p class="shades" aria-hidden="true"><span><i class="l0"></i>0</span>${
    tops.map((top, at) =>
      at > 0 && top === tops[at - 1] ? null : markup`<span><i class="l${at + 1}"></i>to ${count(top)}</span>`
    )
  }</p>`;
}

/** Events by hour of the day and day, or weekday of a longer time. */
export function heatMap({ hours, events }: ActivityFacts, range: ReportRange, coverage: CoverageFacts): Markup {
  const first = Math.floor(range.from / DAY_MS), last = Math.floor(range.until / DAY_MS);
  const byDay = last - first < MAX_DAYS;
  // Day 0 of Unix time was a Thursday
  const rowOf = (day: number): number => byDay ? day - first : (day + 3) % 7;
  const names = byDay
    ? Array.from({ length: last - first + 1 }, (_, at) => dayName(first + at))
    : WEEKDAYS.map((name) => markup`<span class="long">${name}</span><abbr title="${name}">${name.slice(0, 2)}</abbr>`);
  const cells = names.map(() => new Array<number>(24).fill(0)),
    gaps = names.map(() => new Array<boolean>(24).fill(false));
  const place = (hour: number): [number, number] => [rowOf(Math.floor(hour / 24)), ((hour % 24) + 24) % 24];
  for (const [hour, n] of hours) {
    const [row, column] = place(hour);
    if (cells[row] !== undefined) cells[row][column]! += n;
  }
  const firstHour = Math.floor(range.from / HOUR_MS), lastHour = Math.floor(range.until / HOUR_MS);
  for (const [from, to] of coverage.gapSpans) {
    for (let hour = Math.max(firstHour, Math.floor(from / HOUR_MS)); hour <= lastHour && hour * HOUR_MS < to; hour++) {
      const [row, column] = place(hour);
      if (gaps[row] !== undefined) gaps[row][column] = true;
    }
  }
  const most = Math.max(1, ...cells.flat());
  const outside = (row: number, column: number): boolean =>
    byDay && ((first + row) * 24 + column < firstHour || (first + row) * 24 + column > lastHour);
  const body = cells.map((row, r) =>
    markup`<tr><th scope="row">${names[r]!}</th>${
      row.map((n, c) => {
        if (outside(r, c)) return markup`<td class="outside"></td>`;
        // Roots, since one busy hour would make all others look empty
        const level = n === 0 ? 0 : Math.max(1, Math.ceil(Math.sqrt(n / most) * LEVELS)), gap = gaps[r]![c]!;
        const words = `${count(n)}${gap ? ", not everything seen" : ""}`;
        return markup`<td class="l${level}${gap ? " gap" : ""}" title="${
          String(c).padStart(2, "0")
        }:00 ${words}"><span class="unseen">${words}</span></td>`;
      })
    }</tr>`
  );
  const hoursOfDay = Array.from({ length: 24 }, (_, hour) =>
    markup`
      <th scope="col" ${trusted(hour % 3 === 0 ? "" : ' class="minor"')}><span>${
      String(hour).padStart(
        2,
        "0",
      )
    }</span></th>
    `);
  return markup`${events === 0 ? null : shades(most)}
    <table class="heat">
      <caption>Events by ${byDay ? "day" : "weekday"} and hour of the day (UTC). ${
    events === 0 ? "There are none." : `The fullest cell has ${count(most)}.`
  }${coverage.gapSpans.length > 0 ? " A framed cell is one in which not everything was seen." : ""}</caption>
      <thead>
        <tr><td></td>${hoursOfDay}</tr>
      </thead>
      <tbody>${body}</tbody>
    </table>
  `;
}

function dayName(day: number): Markup {
  const iso = new Date(day * DAY_MS).toISOString().slice(0, 10), name = WEEKDAYS[(day + 3) % 7]!.slice(0, 2);
  return markup`
    <time
      datetime="${iso}"><span class="long">${name} ${iso}</span><span class="short">${name} ${
    iso.slice(
      8,
    )
  }</span></time>
  `;
}

/** Those with the most events, each with a bar. */
export function talkerTable(title: string, column: string, { top, distinct, untold }: Talkers, events: number): Markup {
  if (top.length === 0) {
    return markup`
      <section class="talkers">
        <h3>${title}</h3>
        <p>None.</p>
      </section>
    `;
  }
  const most = top[0]!.events;
  const rest = distinct - top.length;
  return markup`<section class="talkers"><h3>${title}</h3>
<table><thead><tr><th scope="col">${column}</th><th scope="col" class="number">Events</th></tr></thead><tbody>${
    top.map(({ name, events: n, starts }) =>
      markup`
        <tr>
          <th
            scope="row"><span class="code">${name}</span><svg class="meter" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect width="${
        (100 *
          n / most).toFixed(2)
      }" height="1"/></svg></th>
          <td class="number">${count(n)}<small>${share(n, events)}, ${counted(starts, "start")}</small></td>
        </tr>
      `
    )
  }</tbody></table>${rest > 0 ? markup`<p class="note">and ${count(rest)} more.</p>` : null}${
    untold > 0
      ? markup`
        <p
          class="note">${counted(untold, "event")} more are of others, which came after the first ${
        count(
          distinct,
        )
      } different ones and were not told apart.</p>
      `
      : null
  }</section>`;
}

/** Light modules around the code (ISO/IEC 18004, section 9.1). */
const QUIET_ZONE = 4;

/** A QR code, dark on light in every theme: readers want it so. */
export function qrCode(text: string, label: string): Markup {
  const { data, size } = encode(text, { ecc: "L", border: QUIET_ZONE });
  let path = "";
  data.forEach((row, y) => {
    for (let x = 0; x < size;) {
      let end = x;
      while (end < size && row[end] === true) end += 1;
      if (end > x) path += `M${x} ${y}h${end - x}v1h-${end - x}z`;
      x = Math.max(end, x + 1);
    }
  });
  return markup`
    <svg class="qr" viewBox="0 0 ${size} ${size}" role="img" aria-label="${label}" shape-rendering="crispEdges">
      <rect class="light" width="${size}" height="${size}" />
      <path class="dark" d="${path}" />
    </svg>
  `;
}
