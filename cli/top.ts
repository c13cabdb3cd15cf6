/**
 * `top`: the processes that are alive and what happens to them, drawn anew every second.
 *
 * The store knows a process as it was at the last look at the process table, whose time is shown. CPU is the mean between
 * the last two looks, and for a process that was seen once the mean over its life, as `ps` shows it, drawn fainter.
 * Rates are counted from the events that were stored.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { atMostArguments, choiceOption, spanOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { blindness } from "./coverage.ts";
import { fit } from "./display_width.ts";
import { type KeyHelp, type Line, type LiveView, PAN_STEP, runLive, SCROLL_KEYS, scrollStep } from "./live_screen.ts";
import type { Cell, CellByName } from "./output.ts";
import { process } from "./process.ts";
import { commandOf, processStatus, userOf } from "./process_cells.ts";
import type { Screen } from "./screen.ts";
import { findPlaces, type Places } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { StoreError } from "./store_error.ts";
import { Table, type TableCell, type TableColumn } from "./table.ts";
import { callOf, TextView } from "./text_view.ts";
import { timeline } from "./timeline.ts";
import { tree } from "./tree.ts";
import { bytes, count, counted, localTime, span } from "./units.ts";

const NAMES = [
  ...["process_id", "pid", "ppid", "name", "user_name", "user_id", "effective_user_id", "start_time", "end_time"],
  ...["cpu_time_ms", "memory_usage", "threads", "status", "executable_kind", "container_id", "command_line"],
  ...["kernel_thread", "collection_time"],
] as const;
const PLACES = new Map<string, number>(NAMES.map((name, place) => [name, place]));
const TOP_SORTS = ["cpu", "memory", "start", "pid", "name"] as const;
type Sort = (typeof TOP_SORTS)[number];
/** As in `top` and `htop`. */
const SORT_KEYS: Readonly<Record<string, Sort>> = { P: "cpu", M: "memory", N: "pid" };
/** What a key opens of the selected process, by its identity. */
const OPENED: Readonly<Record<string, typeof process>> = { enter: process, t: tree, l: timeline };
const KEYS: readonly KeyHelp[] = [
  ["Enter", "the selected process in full: who, from where, what it ran, its alerts"],
  ["t", "its tree: ancestors and descendants"],
  ["l", "its timeline: everything of it in order"],
  ["P M N", "sort by cpu, memory, pid"],
  ["s", "sort by the next of cpu, memory, start, pid, name"],
  ["r", "reverse the order"],
  ["left right", "see more of long commands"],
  ...SCROLL_KEYS,
];
/** Processes that are read and sorted; hosts with more are rare, and it is said. */
const MAX_PROCESSES = 50_000;
/** Time over which rates are counted. */
const RATE_MS = 10_000;

interface Row {
  readonly cells: readonly Cell[];
  readonly of: CellByName;
  readonly cpu: Share;
}

/** A share of one processor; `null` when it is not known. */
interface Share {
  readonly share: number | null;
  /** Over the whole life, not between two looks. */
  readonly isOfLife: boolean;
}

/** What was known of processes at the last look, by process. */
type Looks = Map<string, { readonly time: number; readonly cpuMs: number; readonly cpu: Share }>;

export async function top(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "top");
  const sort = choiceOption(call, "sort", TOP_SORTS) ?? "cpu";
  const intervalMs = spanOption(call, "interval", 1_000);
  const view = new TopView(call, findPlaces(call), sort);
  if (!call.isInteractive) {
    throw new CommandError("top needs a terminal; processes --sort cpu --limit 20 says the same once, for a pipe");
  }
  await runLive(call, view, intervalMs);
  return EXIT.complete;
}

class TopView implements LiveView {
  readonly keys = "q quit  ? help  Enter details  t tree  / filter  s sort  r reverse  space pause";
  readonly help = KEYS;
  filter = "";
  readonly #call: Call;
  readonly #places: Places;
  #sort: Sort;
  #reversed = false;
  #scrolled = 0;
  #panned = 0;
  /** Rows that fit on the screen, and those that passed the filter, when it was drawn last. */
  #room = 1;
  #shown: readonly Row[] = [];
  /** The identity of the selected process; `null` is the first row, whichever that is. */
  #selected: string | null = null;
  #rows: Row[] = [];
  #head: Line[] = [];
  #looks: Looks = new Map();
  /** Unix time of the newest look at a process, in ms. */
  #lookedAt = 0;

  constructor(call: Call, places: Places, sort: Sort) {
    this.#call = call;
    this.#places = places;
    this.#sort = sort;
  }

  press(key: string): LiveView | void {
    if (key === "s") this.#sort = TOP_SORTS[(TOP_SORTS.indexOf(this.#sort) + 1) % TOP_SORTS.length]!;
    else if (key === "r") this.#reversed = !this.#reversed;
    else if (Object.hasOwn(SORT_KEYS, key)) this.#sort = SORT_KEYS[key]!;
    else if (Object.hasOwn(OPENED, key)) return this.#open(OPENED[key]!);
    else if (key === "left") this.#panned = Math.max(0, this.#panned - PAN_STEP);
    else if (key === "right") this.#panned = Math.min(MAX_PANNED, this.#panned + PAN_STEP);
    else this.#select(key);
  }

  refresh(): void {
    const { layout } = this.#places, now = this.#call.now(), statuses = readStatuses(layout, now);
    const blind = blindness(statuses);
    try {
      const store = Store.open(layout.store);
      try {
        this.#rows = this.#read(store);
        const rates = ratesOf(store, now);
        const facts = [
          clock(now),
          counted(this.#rows.length, "process", "processes"),
          `${rates.starts.toFixed(1)} starts/s`,
          `${rates.events.toFixed(1)} events/s`,
          `${counted(rates.alerts, "alert")} in 1 h`,
        ];
        this.#head = [{ text: facts.join("  "), style: "heading" }];
      } finally {
        store.close();
      }
    } catch (error) {
      // The agent may be starting: the screen stays, and says so
      if (!(error instanceof StoreError)) throw error;
      this.#rows = [];
      this.#head = [{ text: printable(error.message), style: "bad" }];
    }
    if (blind !== null) {
      this.#head.push({ text: `Nothing new can come: ${blind} (health says more)`, style: "warning" });
    }
  }

  draw(columns: number, rows: number): Line[] {
    const { screen } = this.#call, sought = this.filter.toLowerCase();
    const kept = this.#rows.filter(({ of }) =>
      sought === "" ||
      ["name", "command_line", "user_name", "pid"].some((name) => String(of(name)).toLowerCase().includes(sought))
    );
    kept.sort((a, b) => compare(a, b, this.#sort) * (this.#reversed ? -1 : 1));
    const as = this.#lookedAt === 0 ? "" : `; processes as of ${clock(this.#lookedAt)}`;
    const sorted = `sorted by ${this.#sort}${this.#reversed ? ", reversed" : ""}${as}`;
    const shown = sought === "" ? sorted : `${sorted}, ${count(kept.length)} match`;
    const head = [...this.#head, { text: shown, style: "faint" as const }]
      .map(({ text, style }) => ({
        text: fit(text, columns, screen.marks.cut),
        ...(style === undefined ? {} : { style }),
      }));
    const room = this.#room = Math.max(1, rows - head.length - 2);
    this.#shown = kept;
    const selected = this.#place();
    // The selected row is on the screen, whatever the order has become
    this.#scrolled = Math.max(selected - room + 1, Math.min(this.#scrolled, selected, Math.max(0, kept.length - room)));
    const table = processTable(kept.slice(this.#scrolled, this.#scrolled + room), this.#panned, { ...screen, columns });
    const marked = selected - this.#scrolled + HEAD_LINES;
    return [
      ...head,
      ...table.map((text, at) => at === marked ? { text: uncolored(text), isSelected: true } : { text }),
    ];
  }

  /** Where the selected process stands among those that are shown; the first row when it has gone. */
  #place(): number {
    const place = this.#shown.findIndex(({ of }) => of("process_id") === this.#selected);
    if (place === -1) this.#selected = null;
    return Math.max(0, place);
  }

  #select(key: string): void {
    const last = this.#shown.length - 1, step = scrollStep(key, this.#room);
    const place = key === "home" || key === "g" ? 0 : key === "end" || key === "G" ? last : this.#place() + step;
    const row = this.#shown[Math.max(0, Math.min(place, last))];
    // The first row is whichever is the first, until a person goes down
    if (place <= 0) this.#selected = null;
    else if (step !== 0 || place === last) this.#selected = row === undefined ? null : String(row.of("process_id"));
  }

  #open(command: typeof process): LiveView | void {
    const row = this.#shown[this.#place()];
    if (row === undefined) return;
    const call = callOf(this.#call, [String(row.of("process_id"))]);
    return new TextView(call, command, { isLive: false, leave: "back" });
  }

  #read(store: Store): Row[] {
    const looks: Looks = new Map(), rows: Row[] = [];
    const sql = `SELECT ${NAMES.join(", ")} FROM processes WHERE end_time IS NULL LIMIT ${MAX_PROCESSES}`;
    for (const cells of store.each(sql)) {
      const of: CellByName = (name) => cells[PLACES.get(name) ?? -1] ?? null;
      const id = String(of("process_id")), time = Number(of("collection_time")), cpuMs = Number(of("cpu_time_ms") ?? 0);
      const before = this.#looks.get(id);
      const cpu = before === undefined
        ? shareOfLife(of, time)
        : time > before.time
        ? { share: Math.max(0, (cpuMs - before.cpuMs) / (time - before.time)), isOfLife: false }
        : before.cpu;
      looks.set(id, { time, cpuMs, cpu });
      rows.push({ cells, of, cpu });
      if (time > this.#lookedAt) this.#lookedAt = time;
    }
    this.#looks = looks;
    return rows;
  }
}

/** What `ps` shows: a process' time on processors over its whole life. */
function shareOfLife(of: CellByName, time: number): Share {
  const began = of("start_time"), used = of("cpu_time_ms");
  const isKnown = began !== null && used !== null && time > Number(began);
  return { share: isKnown ? Number(used) / (time - Number(began)) : null, isOfLife: true };
}

function ratesOf(store: Store, now: number): { starts: number; events: number; alerts: number } {
  const [row] = store.rows(
    `SELECT coalesce(sum(event_type = 'start'), 0), count(*) FROM process_events WHERE time >= ? AND time <= ?`,
    now - RATE_MS,
    now,
  );
  const [alerts] = store.rows("SELECT count(*) FROM alerts WHERE time >= ?", now - 3_600_000);
  const perSecond = (cell: Cell): number => Number(cell) / (RATE_MS / 1_000);
  return { starts: perSecond(row![0]!), events: perSecond(row![1]!), alerts: Number(alerts![0]) };
}

/** The most first, except for pids and names. What is not known comes last. */
function compare(a: Row, b: Row, sort: Sort): number {
  const by = (of: (row: Row) => number): number => of(b) - of(a) || Number(a.of("pid")) - Number(b.of("pid"));
  switch (sort) {
    case "cpu":
      return by(({ cpu, of }) => (cpu.share ?? -1) * 1e12 + Number(of("cpu_time_ms") ?? 0));
    case "memory":
      return by(({ of }) => Number(of("memory_usage") ?? -1));
    case "start":
      return by(({ of }) => Number(of("start_time") ?? -1));
    case "pid":
      return Number(a.of("pid")) - Number(b.of("pid"));
    case "name": {
      const [left, right] = [String(a.of("name")), String(b.of("name"))];
      return left < right ? -1 : left > right ? 1 : Number(a.of("pid")) - Number(b.of("pid"));
    }
  }
}

/** Title and rule of the table. */
const HEAD_LINES = 2;
/** No command is longer on a screen. */
const MAX_PANNED = 4_000;

function processTable(rows: readonly Row[], panned: number, screen: Screen): string[] {
  let text = "";
  const least = Math.max(10, Math.min(COMMAND_LEAST, (screen.columns ?? Infinity) - OTHERS));
  const table = new Table([...COLUMNS, { title: "COMMAND", least }], screen, (piece) => text += piece);
  for (const row of rows) table.add(cellsOf(row, panned));
  table.end();
  return text.trimEnd().split("\n");
}

function uncolored(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/\x1b\[[\d;]*m/g, "");
}

/** Hours, minutes and seconds, with the zone: the day is known to whoever looks on. */
function clock(time: number): string {
  return localTime(time, "s").slice(11);
}

const COLUMNS: readonly TableColumn[] = [
  { title: "PID", keep: true },
  { title: "USER", least: 6, optional: 3 },
  { title: "CPU%", keep: true, optional: 5 },
  { title: "TIME", keep: true, optional: 2 },
  { title: "MEMORY", keep: true, optional: 4 },
  { title: "STATE", keep: true, optional: 1 },
];

/** Where there is room, other columns go before the command is cut to less than this. */
const COMMAND_LEAST = 36;
/** Columns of a terminal that the others may have then. */
const OTHERS = 40;

function cellsOf({ of, cpu }: Row, panned: number): TableCell[] {
  const command = commandOf(of);
  const share = cpu.share === null ? "-" : (cpu.share * 100).toFixed(1),
    memory = of("memory_usage"),
    time = of("cpu_time_ms");
  return [
    { text: String(of("pid")), number: true },
    userOf(of),
    { text: share, number: true, style: cpu.isOfLife ? "faint" : (cpu.share ?? 0) >= 0.5 ? "warning" : undefined },
    { text: time === null ? "-" : span(Number(time)), number: true },
    { text: memory === null ? "-" : bytes(Number(memory)), number: true },
    processStatus(of),
    { ...command, text: printable(command.text).slice(panned) },
  ];
}
