/**
 * The processes of alerts with their ancestors and descendants.
 *
 * Each process is read once, whatever number of alerts it stands behind, and a generation of all of them at a time. What
 * the store says may be wrong or hostile: circles end where they close, and depth and numbers are bounded; what is left out is
 * counted. A process that the store has forgotten is taken from what its alert remembered.
 *
 * @module
 */
import { decodeAncestry } from "../../proto/ancestry.ts";
import { processOfExec } from "../../proto/identity.ts";
import type { Cell } from "../output.ts";
import { howEnded } from "../process_cells.ts";
import { count } from "../units.ts";
import type { GraphNode, ProcessGraph, Progress, Reader } from "./data.ts";
import type { AlertCells } from "./gather_alerts.ts";
import { shortened } from "./stored_text.ts";

const MAX_ANCESTORS = 64;
const MAX_GENERATIONS = 8;
/** Children of one process, and descendants of all, that are in the graph. */
const MAX_CHILDREN = 40, MAX_DESCENDANTS = 20_000;
/** Longest command line of a process in the graph. */
const MAX_COMMAND = 400;
const BATCH = 400;

const COLUMNS = [
  ..."process_id,parent_exec_id,pid,name,executable_path,command_line,user_name,user_id,start_time,end_time".split(","),
  ..."exit_code,exit_signal,status".split(","),
];
const SELECT = COLUMNS.map((name) => `p.${name}`).join(", ");

interface Building {
  readonly nodes: Map<string, GraphNode>;
  cut: number;
}

export function gatherGraph(reader: Reader, alerts: readonly AlertCells[], progress: Progress): ProcessGraph {
  const graph: Building = { nodes: new Map(), cut: 0 };
  const selves = new Set(alerts.map((of) => processOfExec(String(of("exec_id") ?? ""))).filter((id) => id !== ""));
  let frontier = [...selves];
  for (let generation = 0; frontier.length > 0 && generation <= MAX_ANCESTORS; generation++) {
    progress(`reading ancestors of ${count(selves.size)} processes`);
    const parents = new Set<string>();
    for (const node of nodesNamed(reader, frontier)) {
      graph.nodes.set(node.id, node);
      if (node.parentId !== null && !graph.nodes.has(node.parentId)) parents.add(node.parentId);
    }
    frontier = [...parents].filter((id) => !graph.nodes.has(id));
  }
  for (const of of alerts) remember(graph.nodes, of);
  addDescendants(reader, graph, selves, progress);
  return graph;
}

function* nodesNamed(reader: Reader, ids: readonly string[]): Generator<GraphNode> {
  for (let at = 0; at < ids.length; at += BATCH) {
    const rows = reader.each(
      `SELECT ${SELECT} FROM processes p WHERE p.process_id IN (SELECT value FROM json_each(?))`,
      JSON.stringify(ids.slice(at, at + BATCH)),
    );
    for (const row of rows) yield nodeOf(row);
  }
}

function addDescendants(reader: Reader, graph: Building, selves: ReadonlySet<string>, progress: Progress): void {
  let found = 0, generation = [...selves].filter((id) => graph.nodes.has(id));
  const expanded = new Set<string>();
  for (let depth = 0; generation.length > 0 && depth < MAX_GENERATIONS; depth++) {
    progress(`reading descendants: ${count(found)} so far`);
    const next: string[] = [];
    for (let at = 0; at < generation.length; at += BATCH) {
      const parents = generation.slice(at, at + BATCH).filter((id) => !expanded.has(id));
      for (const id of parents) expanded.add(id);
      // A child names the execution that its parent was running: the process id, or that with "-" and a tick (family.ts)
      const rows = reader.each(
        `SELECT j.value, ${SELECT} FROM json_each(?) j CROSS JOIN processes p
         ON p.parent_exec_id >= j.value AND p.parent_exec_id < j.value || '.' ORDER BY j.key, p.start_time, p.process_id`,
        JSON.stringify(parents),
      );
      let parent: string | null = null, kept = 0, hidden = 0;
      const close = (): void => {
        const node = parent === null ? undefined : graph.nodes.get(parent);
        if (node !== undefined && hidden > 0) graph.nodes.set(node.id, { ...node, hiddenChildren: hidden });
        graph.cut += hidden;
      };
      for (const [of, ...row] of rows) {
        if (of !== parent) {
          close();
          [parent, kept, hidden] = [String(of), 0, 0];
        }
        const child = nodeOf(row), known = graph.nodes.get(child.id);
        // One that is there already: an alert's own process, or an ancestor in a circle
        if (known !== undefined) continue;
        if (kept === MAX_CHILDREN || found === MAX_DESCENDANTS) {
          hidden += 1;
          continue;
        }
        kept += 1;
        found += 1;
        graph.nodes.set(child.id, child);
        next.push(child.id);
      }
      close();
    }
    generation = next;
  }
}

function nodeOf(row: readonly Cell[]): GraphNode {
  const of = (name: string): Cell => row[COLUMNS.indexOf(name)] ?? null;
  const text = (name: string): string | null => of(name) === null ? null : shortened(String(of(name)), MAX_COMMAND);
  const number = (name: string): number | null => of(name) === null ? null : Number(of(name));
  const parent = of("parent_exec_id"), end = number("end_time");
  return {
    id: String(of("process_id")),
    parentId: parent === null ? null : processOfExec(String(parent)),
    pid: number("pid"),
    name: text("name"),
    executable: text("executable_path"),
    command: text("command_line"),
    user: text("user_name") ?? text("user_id"),
    start: number("start_time"),
    end,
    ended: end === null ? null : of("status") === "lost" ? "lost" : howEnded(of) ?? "ended",
    remembered: false,
    hiddenChildren: 0,
  };
}

/** What an alert knew of its process and its ancestors, where the store does not any more. */
function remember(nodes: Map<string, GraphNode>, of: AlertCells): void {
  const text = (name: string): string | null => of(name) === null ? null : shortened(String(of(name)), MAX_COMMAND);
  const id = processOfExec(String(of("exec_id") ?? ""));
  if (id === "") return;
  const parentId = of("parent_exec_id") === null ? null : processOfExec(String(of("parent_exec_id")));
  const blank = { command: null, start: null, end: null, ended: null, remembered: true, hiddenChildren: 0 };
  if (!nodes.has(id)) {
    nodes.set(id, {
      ...blank,
      id,
      parentId,
      pid: of("pid") === null ? null : Number(of("pid")),
      name: text("name"),
      executable: text("executable_path"),
      command: text("command_line"),
      user: text("user_name") ?? text("user_id"),
      start: of("start_time") === null ? null : Number(of("start_time")),
    });
  }
  const ancestors = ancestryOf(of("ancestry")).slice(0, MAX_ANCESTORS);
  ancestors.forEach(({ execId, pid, name, executablePath, userName }, at) => {
    const ancestor = processOfExec(execId), above = ancestors[at + 1];
    if (nodes.has(ancestor)) return;
    nodes.set(ancestor, {
      ...blank,
      id: ancestor,
      parentId: above === undefined ? null : processOfExec(above.execId),
      pid: Number.isSafeInteger(pid) ? pid : null,
      name: name === null ? null : shortened(String(name), MAX_COMMAND),
      executable: executablePath === null ? null : shortened(String(executablePath), MAX_COMMAND),
      user: userName === null ? null : shortened(String(userName), MAX_COMMAND),
    });
  });
  if (parentId !== null && !nodes.has(parentId)) {
    nodes.set(parentId, {
      ...blank,
      id: parentId,
      parentId: null,
      pid: of("ppid") === null ? null : Number(of("ppid")),
      name: text("parent_name"),
      executable: text("parent_executable_path"),
      command: text("parent_command_line"),
      user: null,
    });
  }
}

function ancestryOf(cell: Cell): ReturnType<typeof decodeAncestry> {
  try {
    return decodeAncestry(cell === null ? null : String(cell)).filter(({ execId }) => typeof execId === "string");
  } catch {
    return []; // damaged: the rest of the alert is still true
  }
}
