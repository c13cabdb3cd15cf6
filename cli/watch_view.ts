/**
 * The screen of `watch`: the newest lines, a filter over them, and what a line is about when somebody asks.
 *
 * It follows the newest line until a line is selected; then it stays where the person reads, whatever comes.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { alertDetail } from "./alert_detail.ts";
import type { Call } from "./command.ts";
import { blindness } from "./coverage.ts";
import { fit, pad } from "./display_width.ts";
import { type KeyHelp, type Line, type LiveView, PAN_STEP, SCROLL_KEYS, scrollStep } from "./live_screen.ts";
import type { CellByName } from "./output.ts";
import { process } from "./process.ts";
import { commandOf, howEnded, userOf } from "./process_cells.ts";
import { severityStyle, type Style } from "./screen.ts";
import { StoreError } from "./store_error.ts";
import { callOf, TextView, type WriteText } from "./text_view.ts";
import { timeline } from "./timeline.ts";
import { tree } from "./tree.ts";
import { count, counted, localTime, span } from "./units.ts";
import { type Followed, type Follower, MAX_ROWS } from "./watch_follower.ts";

/** Lines that are kept to scroll back. */
const MAX_KEPT = 5_000;
/** Text of a command that is kept, in UTF-16 units. */
const MAX_TEXT = 4_096;
/** Columns of a user's name, so that most commands begin below each other. */
const USER_WIDTH = 8;
/** A screen of fewer columns shows no pid and user, which would leave no room for the rest. */
const NARROW = 64;

const KEYS: readonly KeyHelp[] = [
  ["Enter", "the selected line in full: the process of an event, or the alert"],
  ["t", "the tree of its process"],
  ["l", "the timeline of its process, or around the alert"],
  ["a", "alerts only, and all again"],
  ["up, k", "select a line, and stay there while others come"],
  ["end, G, Escape", "follow the newest again"],
  ["left right", "see more of long lines"],
  ...SCROLL_KEYS,
];

const KIND_STYLES: ReadonlyMap<string, Style> = new Map<string, Style>([
  ["start", "good"],
  ["stop", "faint"],
  ["modify", "accent"],
  ["suspicious", "bad"],
]);

interface Kept {
  /** Counts up; lines are found by it after others were forgotten or filtered. */
  readonly number: number;
  /** What never moves, and what the arrow keys to the side move. */
  readonly head: string;
  /** On a screen that has no room for all of it. */
  readonly shortHead: string;
  readonly what: string;
  readonly style: Style | undefined;
  readonly isAlert: boolean;
  readonly sought: string;
  readonly alertId: string | null;
  readonly execId: string | null;
}

export class WatchView implements LiveView {
  readonly keys = "q quit  ? help  Enter details  a alerts only  / filter  space pause";
  readonly help = KEYS;
  filter = "";
  readonly #call: Call;
  readonly #follower: Follower;
  readonly #kept: Kept[] = [];
  #numbers = 0;
  #head = "";
  #trouble = "";
  #headStyle: Style = "heading";
  #onlyAlerts = false;
  /** Numbers of the selected line and of the first on the screen; `null` follows the newest. */
  #selected: number | null = null;
  #first = 0;
  #panned = 0;
  #room = 1;

  constructor(call: Call, follower: Follower) {
    this.#call = call;
    this.#follower = follower;
  }

  press(key: string): LiveView | void {
    if (key === "a") this.#onlyAlerts = !this.#onlyAlerts;
    else if (key === "left") this.#panned = Math.max(0, this.#panned - PAN_STEP);
    else if (key === "right") this.#panned = Math.min(MAX_TEXT, this.#panned + PAN_STEP);
    else if (key === "end" || key === "G" || key === "escape") this.#selected = null;
    else if (key === "enter" || key === "t" || key === "l") return this.#open(key);
    else this.#select(key);
  }

  refresh(): void {
    const now = this.#call.now(), blind = blindness(this.#follower.statuses(now));
    try {
      const { rows, missed } = this.#follower.read();
      for (const row of rows) this.#keep(row);
      if (missed) this.#note(`More than ${MAX_ROWS} at once: events has those that are left out`);
      this.#headStyle = blind === null ? "heading" : "warning";
      this.#head = localTime(now, "s").slice(11);
      this.#trouble = blind === null ? "" : `  nothing new can come: ${blind}`;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#headStyle = "bad";
      this.#head = localTime(now, "s").slice(11);
      this.#trouble = `  ${printable(error.message)}`;
    }
  }

  draw(columns: number, rows: number): Line[] {
    const { cut } = this.#call.screen.marks, lines = this.#lines(), room = this.#room = Math.max(1, rows - 1);
    const place = this.#selected === null ? lines.length - 1 : placeOf(lines, this.#selected);
    const start = this.#selected === null ? lines.length : placeOf(lines, this.#first);
    const from = Math.max(0, place - room + 1, Math.min(start, place, lines.length - room));
    this.#first = lines[from]?.number ?? this.#numbers;
    const shown = lines.slice(from, from + room).map(({ head, shortHead, what, style }, at): Line => {
      const text = fit(`${columns < NARROW ? shortHead : head}${what.slice(this.#panned)}`, columns, cut);
      if (this.#selected !== null && from + at === place) return { text, isSelected: true };
      return style === undefined ? { text } : { text, style };
    });
    return [{ text: fit(this.#facts(lines.length), columns, cut), style: this.#headStyle }, ...shown];
  }

  #facts(shown: number): string {
    const all = this.#kept.length < this.#numbers
      ? `newest ${counted(this.#kept.length, "line")} of ${count(this.#numbers)}`
      : counted(this.#kept.length, "line");
    const match = shown === this.#kept.length ? "" : `, ${count(shown)} shown`;
    const stays = this.#selected === null ? "" : "  End follows the newest";
    return `${this.#head}  ${all}${match}${this.#trouble}${stays}`;
  }

  #lines(): readonly Kept[] {
    const sought = this.filter.toLowerCase();
    if (sought === "" && !this.#onlyAlerts) return this.#kept;
    return this.#kept.filter((line) =>
      (line.isAlert || !this.#onlyAlerts) && (sought === "" || line.sought.includes(sought))
    );
  }

  #select(key: string): void {
    const step = key === "home" || key === "g" ? -Infinity : scrollStep(key, this.#room), lines = this.#lines();
    if (step === 0 || lines.length === 0) return;
    // The first key back selects the newest line
    const from = this.#selected === null ? lines.length - (step === -1 ? 0 : 1) : placeOf(lines, this.#selected);
    const to = Math.max(0, from + step);
    this.#selected = to >= lines.length ? null : lines[to]!.number;
  }

  #open(key: "enter" | "t" | "l"): LiveView | void {
    const lines = this.#lines(),
      line = lines[this.#selected === null ? lines.length - 1 : placeOf(lines, this.#selected)];
    if (line === undefined) return;
    const write = writerOf(key, line);
    if (write !== null) return new TextView(this.#call, write, { isLive: false, leave: "back" });
  }

  #keep(row: Followed): void {
    const { of } = row,
      kind = String(of("kind")),
      isAlert = kind === "alert",
      id = of("alert_id"),
      exec = of("exec_id");
    const what = (isAlert ? String(of("detail")) : `${commandOf(of).text}${factsOf(of)}`).slice(0, MAX_TEXT);
    const clock = localTime(Number(of("time"))).slice(11, 23), pid = String(of("pid") ?? "-").padStart(7);
    const user = pad(printable(userOf(of).text), USER_WIDTH, "left");
    this.#add({
      head: `${clock} ${printable(kind).padEnd(6)} ${pid} ${user}  `,
      shortHead: `${clock.slice(0, 8)} ${printable(kind)} `,
      what: printable(what),
      style: isAlert ? severityStyle(String(of("severity"))) : KIND_STYLES.get(kind),
      isAlert,
      alertId: isAlert && id !== null ? String(id) : null,
      execId: exec === null ? null : String(exec),
    });
  }

  #note(text: string): void {
    this.#add({ head: "", shortHead: "", what: text, style: "warning", isAlert: true, alertId: null, execId: null });
  }

  #add(line: Omit<Kept, "number" | "sought">): void {
    this.#kept.push({ ...line, number: this.#numbers++, sought: `${line.head}${line.what}`.toLowerCase() });
    if (this.#kept.length > MAX_KEPT) this.#kept.splice(0, this.#kept.length - MAX_KEPT);
  }
}

/** How an event ended or what it is about, behind its command. */
function factsOf(of: CellByName): string {
  const ended = of("kind") === "stop" ? howEnded(of) : null, lived = of("duration_ms");
  const facts = [ended ?? "", lived === null ? "" : span(Number(lived)), String(of("detail") ?? "")]
    .filter((fact) => fact !== "").join(", ");
  return facts === "" ? "" : `  (${facts})`;
}

function writerOf(key: "enter" | "t" | "l", { alertId, execId }: Kept): WriteText | null {
  if (alertId !== null && key === "enter") return (call) => void alertDetail(callOf(call, []), alertId);
  if (alertId !== null && key === "l") return (call) => void timeline(callOf(call, [], { alert: alertId }));
  if (execId === null) return null;
  const command = { enter: process, t: tree, l: timeline }[key];
  return (call) => void command(callOf(call, [execId]));
}

/** Place of the line with a number, or of the next one that is shown; the last when none is. */
function placeOf(lines: readonly Kept[], number: number): number {
  let low = 0, high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle]!.number < number) low = middle + 1;
    else high = middle;
  }
  return Math.min(low, lines.length - 1);
}
