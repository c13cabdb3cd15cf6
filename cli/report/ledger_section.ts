/**
 * The part of a report's page that says what the audit ledger proves, with its head to be kept elsewhere.
 *
 * @module
 */
import { count } from "../units.ts";
import { qrCode } from "./charts.ts";
import type { ReportData } from "./data.ts";
import { type Markup, markup, type Piece, verbatim } from "./html.ts";
import { ledgerSentence } from "./summary.ts";
import { timeMarkup } from "./words.ts";

export function ledgerSection({ ledger, redaction }: ReportData): Markup {
  const { tone, text } = ledgerSentence(ledger);
  const head = "head" in ledger ? ledger.head : null;
  return markup`<section id="ledger" aria-labelledby="ledger-title"><h2 id="ledger-title">Proof</h2>
<p class="verdict ${tone}">${text}</p>${
    "head" in ledger
      ? markup`<div class="proof"><dl class="facts">${
        ([
          ["Verdict", ledger.verdict],
          ["Ledger", ledger.head?.origin ?? null],
          ["Host", ledger.host],
          ["Begun", ledger.begun === null ? null : timeMarkup(ledger.begun)],
          ["Key", ledger.key === null ? null : markup`<span class="code">${ledger.key}</span>`],
          ["Signed entries", head === null ? null : count(head.size)],
          ["Root", head === null ? null : markup`<span class="code">${head.root}</span>`],
          ...ledger.remarks.map((remark): [string, Piece] => ["Remark", remark]),
        ] as [string, Piece][]).filter(([, value]) => value !== null).map(([name, value]) =>
          markup`
            <div>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>
          `
        )
      }</dl>${
        head === null
          ? null
          : markup`<figure>${
            head.note === null
              ? qrCode(`${head.size}:${head.root}`, "QR code of the head: number of entries and root")
              : qrCode(head.note, "QR code of the signed checkpoint")
          }<figcaption>${
            head.note === null
              ? "The head as SIZE:ROOT; the signed note names the host and was left out."
              : "The signed checkpoint."
          } Whoever keeps it can prove later that this ledger was not rewritten: <code>audit verify --against ${
            head.note === null ? `${head.size}:${head.root}` : "FILE"
          }</code></figcaption></figure>`
      }</div>${
        head?.note === null || head === null ? null : markup`
          <details>
            <summary>The checkpoint as text</summary>
            <pre tabindex="0">${verbatim(head.note)}</pre>
          </details>
        `
      }`
      : null
  }${
    redaction === null
      ? null
      : markup`<p class="note">A redacted report proves less: masked values cannot be compared with the ledger.</p>`
  }</section>`;
}
