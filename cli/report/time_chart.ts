/**
 * Alerts over time as bars with axes, drawn by hand as SVG: it needs no script, and says in words what it shows.
 *
 * The bars stretch with the page; lines and labels are placed in percent, so that text keeps its size on every screen.
 *
 * @module
 */
import { count, counted, span } from "../units.ts";
import { type AlertFacts, type CoverageFacts, SEVERITY_ORDER } from "./data.ts";
import { HOUR_MS } from "./bar_width.ts";
import { type Markup, markup, trusted } from "./html.ts";
import { timeMarkup, utcMinute } from "./words.ts";

/** Height of the bars in their own units; what is there at all is at least so high. */
const HEIGHT = 100, LEAST = 1.5;
const DAY_MS = 24 * HOUR_MS;
/** Between two labels of the time. */
const STEPS = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 2_160, 4_320, 8_760].map((hours) => hours * HOUR_MS);
/** More would touch each other on a small screen. */
const MAX_LABELS = 7;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** Alerts over time by severity, above the times in which something was not seen. */
export function alertBars({ bars: { bars, from, widthMs }, total }: AlertFacts, coverage: CoverageFacts): Markup {
  const sums = bars.map((bar) => bar.reduce((sum, n) => sum + n, 0)), most = Math.max(...sums, 0);
  const scale = niceTop(most);
  const shapes = bars.map((bar, at) => {
    let y = HEIGHT;
    // The most severe stands on the ground, where its height can be compared
    return bar.map((alerts, severity) => {
      if (alerts === 0) return "";
      const height = Math.max(LEAST, alerts / scale * HEIGHT);
      y -= height;
      return `<rect class="${SEVERITY_ORDER[severity]}" x="${at + 0.08}" y="${y.toFixed(2)}" width="0.84" height="${
        height.toFixed(2)
      }"/>`;
    }).join("");
  });
  const end = from + bars.length * widthMs;
  const bands = coverage.gapSpans.map(([begin, to]) => {
    const x = Math.max(0, (begin - from) / widthMs), until = Math.min(bars.length, (to - from) / widthMs);
    return `<rect class="gap" x="${x.toFixed(3)}" width="${Math.max(0, until - x).toFixed(3)}" height="${HEIGHT}"/>`;
  });
  const words = total === 0
    ? "No alert in this time."
    : `${counted(total, "alert")}; the most, ${count(most)}, in the ${span(widthMs)} from ${
      utcMinute(from + sums.indexOf(most) * widthMs)
    }.`;
  return markup`<figure class="bars">
<svg class="plot" role="img" aria-label="Alerts over time. ${words}">${
    trusted(levels(scale) + verticals(from, end))
  }<svg viewBox="0 0 ${bars.length} ${HEIGHT}" preserveAspectRatio="none">${
    trusted(bands.join("") + shapes.join(""))
  }</svg>${trusted(levelLabels(scale))}</svg>
<svg class="time" aria-hidden="true">${trusted(timeLabels(from, end))}</svg>
<figcaption>${words} Each bar is ${span(widthMs)}. ${legend(coverage.gapSpans.length > 0)}</figcaption>
${barTable(bars, sums, from, widthMs)}
</figure>`;
}

/** The least round number that is not below `most`, so that halves of it are round as well. */
function niceTop(most: number): number {
  if (most <= 2) return 2;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * unit).find((top) => top >= most)!;
}

function levels(scale: number): string {
  return [scale, scale / 2].map((level) => {
    const y = 100 - 100 * level / scale;
    return `<line class="level" x1="0" x2="100%" y1="${y}%" y2="${y}%"/>`;
  }).join("");
}

/** Above the bars, each under its line. */
function levelLabels(scale: number): string {
  return [scale, scale / 2].map((level) =>
    `<text class="level" x="0" y="${100 - 100 * level / scale}%" dy="1.05em">${count(level)}</text>`
  ).join("");
}

/** Times that have a label, and where. */
function ticks(from: number, end: number): { readonly text: string; readonly percent: number }[] {
  const length = end - from, step = STEPS.find((each) => length / each <= MAX_LABELS) ?? Math.ceil(length / MAX_LABELS);
  const found: { text: string; percent: number }[] = [];
  for (let time = Math.ceil(from / step) * step; time <= end; time += step) {
    found.push({ text: label(time, step), percent: 100 * (time - from) / length });
  }
  return found;
}

function label(time: number, step: number): string {
  const date = new Date(time), day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  if (step < DAY_MS && time % DAY_MS !== 0) return date.toISOString().slice(11, 16);
  return step >= 720 * HOUR_MS ? `${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}` : day;
}

function verticals(from: number, end: number): string {
  return ticks(from, end).map(({ percent }) => {
    const x = percent.toFixed(2);
    return `<line class="tick" x1="${x}%" x2="${x}%" y1="0" y2="100%"/>`;
  }).join("");
}

function timeLabels(from: number, end: number): string {
  return ticks(from, end).map(({ text, percent }) => {
    const anchor = percent < 5 ? "start" : percent > 95 ? "end" : "middle";
    return `<text x="${percent.toFixed(2)}%" y="1em" text-anchor="${anchor}">${text}</text>`;
  }).join("");
}

function barTable(bars: readonly (readonly number[])[], sums: readonly number[], from: number, widthMs: number) {
  const rows = bars.flatMap((bar, at) =>
    sums[at] === 0 ? [] : [
      markup`<tr><th scope="row">${timeMarkup(from + at * widthMs, utcMinute(from + at * widthMs))}</th>${
        bar.map((n) => markup`<td class="number">${count(n)}</td>`)
      }</tr>`,
    ]
  );
  return rows.length === 0 ? null : markup`
    <details>
      <summary>The same as a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Alerts over time as a table">
        <table>
          <thead>
            <tr><th scope="col">From</th>${
    SEVERITY_ORDER.map((severity) => markup`<th scope="col" class="number">${severity}</th>`)
  }</tr>
          </thead>
          <tbody>${rows}</tbody>
        </table>
      </div>
    </details>
  `;
}

function legend(withGaps: boolean): Markup {
  return markup`<span class="legend">${
    SEVERITY_ORDER.map((severity) =>
      markup`
        <span><i class="key ${severity}"></i>${severity}</span>
      `
    )
  }${withGaps ? markup`<span><i class="key gap"></i>not everything seen</span>` : null}</span>`;
}
