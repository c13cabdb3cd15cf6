/**
 * `tree`: where a process comes from, and what it started.
 *
 * Processes are followed by identity: the parent's execution that a process was started from, never a bare pid. What the
 * store says may still be wrong or hostile, so loops end where they close, and depth and number are bounded.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { processOfExec } from "../proto/identity.ts";
import { printable } from "../proto/printable.ts";
import { integerOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { displayWidth, fit } from "./display_width.ts";
import { type Cell, type CellByName, openOutput } from "./output.ts";
import { commandOf, processStatus, userOf } from "./process_cells.ts";
import { paint } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { counted, span } from "./units.ts";

/** Ancestors that are followed; real chains are seldom longer than twenty. */
const MAX_ANCESTORS = 64;
/** Generations of descendants that are shown. */
const MAX_DEPTH = 64;
/** Rows that one pid may have had before the choice between them is left to the person. */
const MAX_CANDIDATES = 20;

const NAMES = tableNamed("processes").columns.map((column) => column.name);
const SELECT = `SELECT ${NAMES.join(", ")} FROM processes`;

/** A process, and how it stands to the one asked for. */
interface Node {
  readonly id: string;
  readonly row: readonly Cell[];
  readonly of: CellByName;
  /** Generations below the topmost ancestor that is shown. */
  depth: number;
  relation: "ancestor" | "self" | "descendant";
  readonly children: Node[];
}

export function tree(call: Call): Exit {
  const [which] = call.arguments;
  if (which === undefined || call.arguments.length > 1) throw new UsageError("tree takes one pid or exec_id");
  const limit = integerOption(call, "limit", 1, 100_000, 1_000);
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  const { chain, descendants } = store.atOneMoment(() => {
    const self = findProcess(call, store, which);
    const ancestors = ancestorsOf(call, store, self);
    return { chain: [...ancestors, self], descendants: descend(call, store, self, ancestors, limit) };
  });
  const self = chain.at(-1)!;
  chain.forEach((node, depth) => node.depth = depth);
  setDepths(self);
  if (call.format === "table") draw(call, chain);
  else write(call, chain, descendants);
  const start = self.of("start_time"), end = self.of("end_time");
  const range = { from: start === null ? null : Number(start), until: end === null ? null : Number(end) };
  return tellCoverage(call, store, readStatuses(layout, call.now()), range) ? EXIT.degraded : EXIT.complete;
}

/** The process of a pid, a process id or an exec_id. @throws CommandError when the store knows none. */
function findProcess(call: Call, store: Store, which: string): Node {
  if (!/^\d{1,10}$/.test(which)) {
    const [row] = store.rows(`${SELECT} WHERE process_id = ?`, processOfExec(which));
    if (row === undefined) throw new CommandError(`The store knows no process ${which}; processes --all lists them`);
    return nodeOf(row);
  }
  const rows = store.rows(
    `${SELECT} WHERE pid = ? ORDER BY end_time IS NULL DESC, start_time DESC LIMIT ?`,
    Number(which),
    MAX_CANDIDATES,
  );
  const [self, ...others] = rows.map(nodeOf);
  if (self === undefined) {
    throw new CommandError(`The store knows no process with pid ${which}; processes --all lists them`);
  }
  if (others.length > 0) {
    const which = self.of("end_time") === null ? "the one alive" : "the last";
    const list = others.slice(0, 3).map((node) => `${node.id} (${node.of("name")})`).join(", ");
    call.note(`The pid was used more than once; this is ${which}. Others: ${list}${others.length > 3 ? ", …" : ""}`);
  }
  return self;
}

/** From the topmost down to the parent. */
function ancestorsOf(call: Call, store: Store, self: Node): Node[] {
  const chain: Node[] = [], seen = new Set([self.id]);
  for (let node = self; chain.length < MAX_ANCESTORS;) {
    const parent = parentOf(store, node);
    if (parent === null) return chain;
    if (seen.has(parent.id)) {
      call.note(`The ancestry runs in a circle at ${parent.id}; it is cut there`);
      return chain;
    }
    seen.add(parent.id);
    parent.relation = "ancestor";
    chain.unshift(parent);
    node = parent;
  }
  call.note(`Only the nearest ${MAX_ANCESTORS} ancestors are shown`);
  return chain;
}

function parentOf(store: Store, node: Node): Node | null {
  const parent = node.of("parent_exec_id");
  if (parent === null) return null;
  const [row] = store.rows(`${SELECT} WHERE process_id = ?`, processOfExec(String(parent)));
  return row === undefined ? null : nodeOf(row);
}

/** Fills in the children, generation by generation. Returns every descendant. */
function descend(call: Call, store: Store, self: Node, ancestors: readonly Node[], limit: number): Node[] {
  // Below a process that ended, ended ones are all there is to see
  const all = call.values["all"] === true || self.of("end_time") !== null;
  const seen = new Set([self.id, ...ancestors.map((node) => node.id)]), found: Node[] = [];
  let hidden = 0, cut = false;
  let generation: Node[] = [self];
  for (let depth = 0; generation.length > 0 && !cut; depth++) {
    const next: Node[] = [];
    for (const parent of generation) {
      if (cut) break;
      if (!all) hidden += countEnded(store, parent.id);
      for (const row of childRows(store, parent.id, all, limit + 1)) {
        const child = nodeOf(row);
        if (seen.has(child.id)) continue;
        if (found.length === limit || depth === MAX_DEPTH) {
          cut = true;
          break;
        }
        seen.add(child.id);
        child.relation = "descendant";
        parent.children.push(child);
        found.push(child);
        next.push(child);
      }
    }
    generation = next;
  }
  if (hidden > 0) call.note(`${counted(hidden, "child", "children")} that ended not shown (--all shows them)`);
  if (cut) {
    call.note(`Cut after ${counted(found.length, "descendant")}; --limit shows more, down to ${MAX_DEPTH} generations`);
  }
  return found;
}

// A child names the execution that its parent was running: the process id, or that with "-" and a tick. "." is the
// character after "-", so the range holds exactly those.
const CHILD_OF = "parent_exec_id >= ? AND parent_exec_id < ?";

function childRows(store: Store, id: string, all: boolean, limit: number): Cell[][] {
  const alive = all ? "" : "AND end_time IS NULL";
  return store.rows(`${SELECT} WHERE ${CHILD_OF} ${alive} ORDER BY start_time, pid LIMIT ?`, id, `${id}.`, limit);
}

function countEnded(store: Store, id: string): number {
  const sql = `SELECT count(*) FROM processes WHERE ${CHILD_OF} AND end_time IS NOT NULL`;
  return Number(store.rows(sql, id, `${id}.`)[0]![0]);
}

function nodeOf(row: readonly Cell[]): Node {
  const of: CellByName = (name) => row[NAMES.indexOf(name)] ?? null;
  return { id: String(of("process_id")), row, of, depth: 0, relation: "self", children: [] };
}

function setDepths(node: Node): void {
  const pending = [node];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const child of next.children) child.depth = next.depth + 1;
    pending.push(...next.children);
  }
}

/** Rows for programs: the columns of `processes`, and where each stands. */
function write(call: Call, chain: readonly Node[], descendants: readonly Node[]): void {
  const output = openOutput(
    call.format,
    ["relation", "depth", ...NAMES],
    [],
    call.screen,
    (text) => call.out.write(text),
  );
  for (const node of [...chain, ...descendants]) output.add([node.relation, node.depth, ...node.row]);
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
    drawNode(call, node, lead, node === self);
  });
  // Depth first, without recursion: the depth is the store's to choose
  const pending: { node: Node; stem: string; last: boolean }[] = [];
  const push = (parent: Node, stem: string): void => {
    parent.children.toReversed().forEach((node, i) => pending.push({ node, stem, last: i === 0 }));
  };
  push(self, "   ".repeat(chain.length - 1));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    drawNode(call, next.node, next.stem + (next.last ? marks.lastBranch : marks.branch), false);
    push(next.node, next.stem + (next.last ? "   " : marks.stem));
  }
}

function drawNode(call: Call, node: Node, lead: string, here: boolean): void {
  const { screen } = call;
  const { of } = node;
  const ended = of("end_time") !== null;
  const head = `${printable(String(of("name")))} ${of("pid")}`;
  const user = printable(userOf(of).text);
  const facts = [user, ended ? processStatus(of).text : "", lived(call, of)]
    .filter((part) => part !== "").join(` ${screen.marks.dot} `);
  const command = printable(commandOf(of).text.slice(0, screen.columns === null ? undefined : screen.columns * 16));
  const mark = here ? ` ${screen.marks.here}` : "";
  // Cut as plain text first, then coloured piece by piece: a cut colour would colour the rest of the screen
  const pieces = [
    { text: lead, style: "faint" },
    { text: head, style: here ? "heading" : ended ? "faint" : "good" },
    { text: mark, style: "warning" },
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

/** How long it lived, or lives. */
function lived(call: Call, of: CellByName): string {
  const start = of("start_time"), end = of("end_time") ?? call.now();
  return start === null ? "" : span(Math.max(0, Number(end) - Number(start)));
}
