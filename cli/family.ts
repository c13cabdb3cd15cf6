/**
 * Ancestors and descendants of a process in the store.
 *
 * Processes are followed by identity: the parent's execution that a process was started from, never a bare pid. What the
 * store says may still be wrong or hostile, so loops end where they close, and depth and number are bounded; what is left
 * out is told in `notes`.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { processOfExec } from "../proto/identity.ts";
import { CommandError } from "./command.ts";
import type { Cell, CellByName } from "./output.ts";
import type { Store } from "./store_reader.ts";
import { counted } from "./units.ts";

/** Ancestors that are followed; real chains are seldom longer than twenty. */
const MAX_ANCESTORS = 64;
/** Generations of descendants that are shown. */
const MAX_DEPTH = 64;
/** Rows that one pid may have had before the choice between them is left to the person. */
const MAX_CANDIDATES = 20;

export const PROCESS_COLUMNS = tableNamed("processes").columns.map((column) => column.name);
const PLACES = new Map(PROCESS_COLUMNS.map((name, place) => [name, place]));
const SELECT = `SELECT ${PROCESS_COLUMNS.join(", ")} FROM processes`;

/** A process, and how it stands to the one asked for. */
export interface Node {
  readonly id: string;
  readonly row: readonly Cell[];
  readonly of: CellByName;
  /** Generations below the topmost ancestor that is shown. */
  depth: number;
  relation: "ancestor" | "self" | "descendant";
  readonly children: Node[];
  /** Alerts of the process; filled in by {@linkcode countAlerts}. */
  alerts: number;
}

/** The process of a pid, a process id or an exec_id. @throws CommandError when the store knows none. */
export function findProcess(store: Store, which: string, notes: string[]): Node {
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
    notes.push(`The pid was used more than once; this is ${which}. Others: ${list}${others.length > 3 ? ", …" : ""}`);
  }
  return self;
}

/** From the topmost down to the parent. */
export function ancestorsOf(store: Store, self: Node, notes: string[]): Node[] {
  const chain: Node[] = [], seen = new Set([self.id]);
  for (let node = self; chain.length < MAX_ANCESTORS;) {
    const parent = parentOf(store, node);
    if (parent === null) return chain;
    if (seen.has(parent.id)) {
      notes.push(`The ancestry runs in a circle at ${parent.id}; it is cut there`);
      return chain;
    }
    seen.add(parent.id);
    parent.relation = "ancestor";
    chain.unshift(parent);
    node = parent;
  }
  notes.push(`Only the nearest ${MAX_ANCESTORS} ancestors are shown`);
  return chain;
}

function parentOf(store: Store, node: Node): Node | null {
  const parent = node.of("parent_exec_id");
  if (parent === null) return null;
  const [row] = store.rows(`${SELECT} WHERE process_id = ?`, processOfExec(String(parent)));
  return row === undefined ? null : nodeOf(row);
}

/** Fills in the children, generation by generation. Returns every descendant. */
export function descendantsOf(
  store: Store,
  self: Node,
  ancestors: readonly Node[],
  wanted: { readonly all: boolean; readonly limit: number },
  notes: string[],
): Node[] {
  const { limit } = wanted;
  // Below a process that ended, ended ones are all there is to see
  const all = wanted.all || self.of("end_time") !== null;
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
  if (hidden > 0) notes.push(`${counted(hidden, "child", "children")} that ended not shown (--all shows them)`);
  if (cut) {
    notes.push(
      `Cut after ${counted(found.length, "descendant")}; --limit shows more, down to ${MAX_DEPTH} generations`,
    );
  }
  return found;
}

// A child names the execution that its parent was running: the process id, or that with "-" and a tick. "." is the
// character after "-", so the range holds exactly those.
export const CHILD_OF = "parent_exec_id >= ? AND parent_exec_id < ?";

function childRows(store: Store, id: string, all: boolean, limit: number): Cell[][] {
  const alive = all ? "" : "AND end_time IS NULL";
  return store.rows(`${SELECT} WHERE ${CHILD_OF} ${alive} ORDER BY start_time, pid LIMIT ?`, id, `${id}.`, limit);
}

function countEnded(store: Store, id: string): number {
  const sql = `SELECT count(*) FROM processes WHERE ${CHILD_OF} AND end_time IS NOT NULL`;
  return Number(store.rows(sql, id, `${id}.`)[0]![0]);
}

/** Fills in how many alerts each process has. */
export function countAlerts(store: Store, nodes: readonly Node[]): void {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const starts = nodes.map((node) => Number(node.of("start_time") ?? Number.MIN_SAFE_INTEGER));
  const first = starts.reduce((least, start) => Math.min(least, start), Number.MAX_SAFE_INTEGER);
  for (const [exec] of store.each("SELECT exec_id FROM alerts WHERE time >= ? AND exec_id IS NOT NULL", first)) {
    const node = byId.get(processOfExec(String(exec)));
    if (node !== undefined) node.alerts += 1;
  }
}

function nodeOf(row: readonly Cell[]): Node {
  const of: CellByName = (name) => row[PLACES.get(name) ?? -1] ?? null;
  return { id: String(of("process_id")), row, of, depth: 0, relation: "self", children: [], alerts: 0 };
}
