/**
 * What the output may look like: its width, whether it takes colour, and which marks draw lines.
 *
 * @module
 */

export interface Screen {
  /** Width of the terminal; `null` when the output is none, and nothing is to be cut. */
  readonly columns: number | null;
  readonly color: boolean;
  readonly marks: Marks;
}

/** Marks of tables and trees. */
export interface Marks {
  readonly rule: string;
  readonly cut: string;
  readonly branch: string;
  readonly lastBranch: string;
  readonly stem: string;
  readonly here: string;
  readonly good: string;
  readonly bad: string;
  readonly worst: string;
  readonly dot: string;
}

export const BOX_MARKS: Marks = {
  rule: "─",
  cut: "…",
  branch: "├─ ",
  lastBranch: "└─ ",
  stem: "│  ",
  here: "◀",
  good: "●",
  bad: "▲",
  worst: "■",
  dot: "·",
};

export const PLAIN_MARKS: Marks = {
  rule: "-",
  cut: "...",
  branch: "|- ",
  lastBranch: "`- ",
  stem: "|  ",
  here: "<--",
  good: "ok",
  bad: "!",
  worst: "!!",
  dot: "-",
};

/** What a piece of text means; colours follow from it. `null` marks the absence of a value. */
export type Style = "heading" | "faint" | "strong" | "good" | "warning" | "bad" | "worst" | "accent" | "null";

const SGR: Readonly<Record<Style, string>> = {
  heading: "1",
  faint: "2",
  strong: "1",
  good: "32",
  warning: "33",
  bad: "31",
  worst: "1;31",
  accent: "36",
  null: "2",
};

/** The text in the colour of its meaning, where the screen takes colour. The text must be harmless already. */
export function paint(text: string, style: Style | undefined, screen: Screen): string {
  return style === undefined || !screen.color || text === "" ? text : `\x1b[${SGR[style]}m${text}\x1b[0m`;
}

const SEVERITY_STYLES: ReadonlyMap<string, Style> = new Map<string, Style>([
  ["critical", "worst"],
  ["high", "bad"],
  ["medium", "warning"],
  ["low", "accent"],
  ["info", "faint"],
]);

export function severityStyle(severity: string): Style | undefined {
  return SEVERITY_STYLES.get(severity);
}
