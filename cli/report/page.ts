/**
 * A report as one HTML file that needs nothing else and loads nothing.
 *
 * The policy in its head allows this script and this style, by their hashes, and nothing more: no network, no script in
 * an attribute, no form, no frame. Even text that got past the escaping could not run.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { counted } from "../units.ts";
import type { ReportData } from "./data.ts";
import { embeddedJson, type Markup, markup, trusted } from "./html.ts";
import { coverageSection } from "./coverage_section.ts";
import { ledgerSection } from "./ledger_section.ts";
import { payloadOf } from "./payload.ts";
import STYLE from "./page/page.css" with { type: "text" };
import SCRIPT from "./page/page.js" with { type: "text" };
import { activitySection, alertsSection, attackSection, programsSection, summarySection } from "./sections.ts";
import { timeMarkup, utcMinute } from "./words.ts";

const SECTIONS = [
  ["summary", "In short"],
  ["alerts", "Alerts"],
  ["activity", "Activity"],
  ["programs", "First seen"],
  ["attack", "ATT&CK"],
  ["coverage", "Coverage"],
  ["ledger", "Proof"],
] as const;

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

const POLICY = [
  "default-src 'none'",
  `script-src ${hashOf(SCRIPT)}`,
  `style-src ${hashOf(STYLE)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** The page. Large data stands at its end, so that what stands before it is painted first. */
export function renderReport(data: ReportData): string {
  const { host, range, redaction, madeAt, programVersion, origin } = data;
  const name = host.name ?? "a host", title = `DaemonEye report of ${name}`;
  const listed = data.alerts.listed.length > 0;
  const page = markup`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta name="referrer" content="no-referrer">
        <meta name="generator" content="DaemonEye ${programVersion}">
        <title>${title}, ${utcMinute(range.from)} to ${utcMinute(range.until)}</title>
        <style>${trusted(STYLE)}</style>
      </head>
      <body>
        <a class="skip" href="#summary">Skip to the content</a>
        <header>
        <p class="brand">DaemonEye report</p>
        <h1>${name}</h1>
        <p class="range">${timeMarkup(range.from, utcMinute(range.from))} to ${
    timeMarkup(
      range.until,
      utcMinute(range.until),
    )
  } <abbr title="Coordinated Universal Time">UTC</abbr></p>
        <p class="faint">${[host.os, host.architecture].filter((part) => part !== null).join(", ")}</p>
        <button type="button" id="theme" hidden>Dark</button>
        <nav aria-label="Sections"><ul>${
    SECTIONS.map(([id, text]) => markup`<li><a href="#${id}">${text}</a></li>`)
  }</ul></nav>
        </header>
        <main>
        ${redactionNote(redaction)}${summarySection(data)}
        ${alertsSection(data)}
        ${activitySection(data)}
        ${programsSection(data)}
        ${attackSection(data)}
        ${coverageSection(data)}
        ${ledgerSection(data)}
        </main>
        <footer>
        <p>Made by DaemonEye ${programVersion} from ${origin} at <span id="made">${
    timeMarkup(
      madeAt,
    )
  }</span>. All times are UTC. Characters that turn or hide text are written as escapes such as <code>${
    trusted(
      "\\u202e",
    )
  }</code>. This file loads nothing and sends nothing.</p>
        </footer>
        ${
    listed
      ? markup`
            <script type="application/json" id="data">${embeddedJson(payloadOf(data))}</script>
          `
      : null
  }<script>${trusted(SCRIPT)}</script>
      </body>
    </html>
  `;
  return `${page.text.trim()}\n`;
}

function redactionNote(redaction: ReportData["redaction"]): Markup | null {
  if (redaction === null) return null;
  const { users, paths, commands } = redaction;
  return markup`
    <aside class="redacted" aria-label="Redaction">
      <p><b>Redacted.</b> The host's name, ${counted(users, "user name")}, ${
    counted(
      paths,
      "path",
    )
  } below home directories and ${
    counted(
      commands,
      "command line",
    )
  } are masked: the same one has the same number everywhere here. Accounts of the system such as root, numbers of users, paths elsewhere, names of rules and times are as they were; in texts, names are replaced where they stand as words.</p>
    </aside>
  `;
}
