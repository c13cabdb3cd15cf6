/**
 * `tree`: where a process comes from, and what it started.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { integerOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { displayWidth, fit } from "./display_width.ts";
import { alertNamed } from "./alert_named.ts";
import { ancestorsOf, countAlerts, descendantsOf, findProcess, type Node, PROCESS_COLUMNS } from "./family.ts";
import type { Cell, CellByName } from "./output.ts";
import { commandOf, containerOf, processStatus, userOf } from "./process_cells.ts";
import { paint } from "./screen.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { counted, localTime, span } from "./units.ts";

export function tree(call: Call): Exit {
  const [argument] = call.arguments, alert = call.values["alert"] as string | undefined;
  if ((argument === undefined) === (alert === undefined) || call.arguments.length > 1) {
    throw new UsageError("tree takes one pid or exec_id, or --alert ID");
  }
  const limit = integerOption(call, "limit", 1, 100_000, 1_000);
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  // Said after the tree, which they explain
  const notes: string[] = [];
  const { chain, descendants } = store.atOneMoment(() => {
    const self = findProcess(store, argument ?? alertNamed(store, alert!).execId, notes);
    const ancestors = ancestorsOf(store, self, notes);
    const all = call.values["all"] === true;
    const descendants = descendantsOf(store, self, ancestors, { all, limit }, notes);
    countAlerts(store, [...ancestors, self, ...descendants]);
    return { chain: [...ancestors, self], descendants };
  });
  const self = chain.at(-1)!;
  chain.forEach((node, depth) => node.depth = depth);
  setDepths(self);
  if (call.format === "table" && call.values["columns"] === undefined) draw(call, chain);
  else write(call, chain, descendants);
  for (const note of notes) call.note(note);
  const start = self.of("start_time"), end = self.of("end_time");
  const range = { from: start === null ? null : Number(start), until: end === null ? null : Number(end) };
  return tellCoverage(call, store, readStatuses(layout, call.now()), range) ? EXIT.degraded : EXIT.complete;
}

function setDepths(node: Node): void {
  const pending = [node];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const child of next.children) child.depth = next.depth + 1;
    pending.push(...next.children);
  }
}

const TREE_COLUMNS = ["relation", "depth", ...PROCESS_COLUMNS, "alerts"];

/** Rows for programs: the columns of `processes`, and where each stands. */
function write(call: Call, chain: readonly Node[], descendants: readonly Node[]): void {
  const output = openRows(call, TREE_COLUMNS, []);
  for (const node of [...chain, ...descendants]) output.add([node.relation, node.depth, ...node.row, node.alerts]);
  output.end();
}

function draw(call: Call, chain: readonly Node[]): void {
  const { marks } = call.screen;
  const top = chain[0]!, missing = top.of("ppid");
  if (top.of("parent_exec_id") !== null || (missing !== null && missing !== 0)) {
    call.out.write(
      paint(
        `(parent ${printable(String(top.of("parent_exec_id") ?? missing))} is not in the store)`,
        "faint",
        call.screen,
      ) + "\n",
    );
  }
  const self = chain.at(-1)!;
  chain.forEach((node, depth) => {
    const lead = depth === 0 ? "" : "   ".repeat(depth - 1) + marks.lastBranch;
    drawNode(call, node, chain[depth - 1] ?? null, lead, node === self);
  });
  // Depth first, without recursion: the depth is the store's to choose
  const pending: { node: Node; parent: Node; stem: string; last: boolean }[] = [];
  const push = (parent: Node, stem: string): void => {
    parent.children.toReversed().forEach((node, i) => pending.push({ node, parent, stem, last: i === 0 }));
  };
  push(self, "   ".repeat(chain.length - 1));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    drawNode(call, next.node, next.parent, next.stem + (next.last ? marks.lastBranch : marks.branch), false);
    push(next.node, next.stem + (next.last ? "   " : marks.stem));
  }
}

function drawNode(call: Call, node: Node, parent: Node | null, lead: string, here: boolean): void {
  const { screen } = call;
  const { of } = node;
  const ended = of("end_time") !== null;
  const head = `${printable(String(of("name")))} ${of("pid")}`;
  const user = printable(userOf(of).text);
  const facts = [user, printable(moved(node, parent)), ended ? processStatus(of).text : "", lived(call, of)]
    .concat(call.values["times"] === true ? times(of) : [])
    .filter((part) => part !== "").join(` ${screen.marks.dot} `);
  const command = printable(commandOf(of).text.slice(0, screen.columns === null ? undefined : screen.columns * 16));
  const mark = here ? ` ${screen.marks.here}` : "";
  const alerts = node.alerts === 0 ? "" : ` ${screen.marks.bad} ${counted(node.alerts, "alert")}`;
  // Cut as plain text first, then coloured piece by piece: a cut colour would colour the rest of the screen
  const pieces = [
    { text: lead, style: "faint" },
    { text: head, style: here ? "heading" : ended ? "faint" : "good" },
    { text: mark, style: "warning" },
    { text: alerts, style: "bad" },
    { text: `  ${facts}  `, style: "faint" },
    { text: command, style: undefined },
  ] as const;
  let room = screen.columns ?? Infinity, line = "";
  for (const { text, style } of pieces) {
    const shown = room === Infinity ? text : fit(text, room, screen.marks.cut);
    line += paint(shown, style, screen);
    if (shown !== text) break;
    room -= displayWidth(shown);
  }
  call.out.write(line.trimEnd() + "\n");
}

/** The container, where it is another than the parent's; nothing where it is not known. */
function moved({ of }: Node, parent: Node | null): string {
  const id = of("container_id"), before = parent?.of("container_id") ?? null;
  if (id === before) return "";
  if (id !== null) return containerOf(of).text;
  return of("cgroup_path") === null ? "" : "host";
}

/** When it began, and when it ended. */
function times(of: CellByName): string {
  const start = of("start_time"), end = of("end_time");
  const at = (cell: Cell): string => cell === null ? "?" : localTime(Number(cell), "s");
  return end === null ? `from ${at(start)}` : `${at(start)} to ${at(end)}`;
}

/** How long it lived, or lives. */
function lived(call: Call, of: CellByName): string {
  const start = of("start_time"), end = of("end_time") ?? call.now();
  return start === null ? "" : span(Math.max(0, Number(end) - Number(start)));
}
