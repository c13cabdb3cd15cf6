/**
 * Tables of a report that fit a narrow screen.
 *
 * @module
 */
import { type Markup, markup, type Piece } from "./html.ts";

/**
 * A table that becomes a list of cards on a narrow screen. The title of a column of numbers begins with `#`. The roles are
 * written out because browsers forget them when a table is not laid out as one.
 */
export function stackTable(caption: string, columns: readonly string[], rows: readonly (readonly Piece[])[]): Markup {
  const title = (column: string): string => column.replace(/^#/, "");
  const kind = (column: string | undefined): string => column?.startsWith("#") ? "number" : "";
  return markup`
    <table class="stack" role="table">
      <caption class="unseen">${caption}</caption>
      <thead role="rowgroup">
        <tr role="row">${
    columns.map((column) => markup`<th scope="col" role="columnheader" class="${kind(column)}">${title(column)}</th>`)
  }</tr>
      </thead>
      <tbody role="rowgroup">${
    rows.map((row) =>
      markup`<tr role="row">${
        row.map((cell, at) =>
          markup`
              <td role="cell" class="${kind(columns[at])}" data-title="${title(columns[at] ?? "")}">
                <div>${cell}</div>
              </td>
            `
        )
      }</tr>`
    )
  }</tbody>
    </table>
  `;
}
