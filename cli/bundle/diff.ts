/**
 * `bundle diff`: what is new, gone and changed from one bundle to another, of two times or of two hosts.
 *
 * @module
 */
import { choiceOption } from "../arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import type { Cell, ShownColumn } from "../output.ts";
import { timeCell } from "../process_cells.ts";
import { openRows } from "../row_output.ts";
import { count, counted, localTime } from "../units.ts";
import { columnOf, type Inventory, type Kind, KINDS, takeInventory, type Thing } from "./inventory.ts";
import { lacksInTables, type Manifest, NewerBundleError } from "./manifest.ts";
import { BundleReader } from "./reader.ts";
import { BundleRefusedError } from "./bundle_refused.ts";
import { openSource } from "./source.ts";
import { checkMembers } from "./verify.ts";

const NAMES = ["change", "kind", "name", "before", "after", "count_before", "count_after", "first_seen", "last_seen"];

export async function diffBundles(call: Call): Promise<Exit> {
  const [one, other, extra] = call.arguments;
  if (one === undefined || other === undefined || extra !== undefined) {
    throw new UsageError("bundle diff takes two bundles: the earlier one, or the host to compare with, first");
  }
  if (one === "-" && other === "-") throw new UsageError("Standard input is one bundle; the other must be a file");
  const only = choiceOption(call, "kind", KINDS);
  try {
    const before = await inventoryOf(call, one), after = await inventoryOf(call, other);
    call.progress(null);
    const output = openRows(call, NAMES, SHOWN), counts = { new: 0, gone: 0, changed: 0 };
    for (const kind of KINDS) {
      if (only !== null && only !== kind) continue;
      for (const row of changes(kind, before.things, after.things)) {
        counts[row[0] as keyof typeof counts] += 1;
        output.add(row);
      }
    }
    output.end();
    call.out.flush();
    tellSides(call, before.manifest, after.manifest);
    call.note(`${count(counts.new)} new, ${count(counts.gone)} gone, ${count(counts.changed)} changed`);
    const crowded = [...new Set([...before.things.crowded, ...after.things.crowded])].sort();
    if (crowded.length > 0 && (only === null || only === "value")) {
      call.note(`Not compared, for too many or too long texts: ${crowded.join(", ")}`);
    }
    const lacks = [before, after].flatMap(({ name, manifest }) =>
      lacksInTables(manifest).map((lack) => `${name} lacks: ${lack}`)
    );
    for (const lack of lacks) call.note(lack);
    return lacks.length > 0 ? EXIT.degraded : EXIT.complete;
  } catch (error) {
    if (!(error instanceof BundleRefusedError)) throw error;
    call.out.discard();
    call.note(`REFUSED: ${error.message}`);
    return EXIT.findings;
  }
}

interface Side {
  readonly name: string;
  readonly manifest: Manifest;
  readonly things: Inventory;
}

async function inventoryOf(call: Call, path: string): Promise<Side> {
  using source = openSource(call, path);
  try {
    const reader = await BundleReader.open(source);
    checkMembers(call, reader);
    const things = takeInventory(reader, (rows) => call.progress(`${source.name}: ${counted(rows, "event")}`));
    return { name: source.name, manifest: reader.manifest, things };
  } catch (error) {
    if (error instanceof NewerBundleError) throw new CommandError(`${source.name}: ${error.message}`, { cause: error });
    if (!(error instanceof BundleRefusedError)) throw error;
    throw new BundleRefusedError(`${source.name}: ${error.member}`, error.reason, { cause: error });
  }
}

/** Rows of one kind: what is new, the first seen first, what is gone, what changed. */
function changes(kind: Kind, before: Inventory, after: Inventory): Cell[][] {
  const old = before.things.get(kind)!, now = after.things.get(kind)!;
  const isCompared = (name: string): boolean =>
    kind !== "value" || !(before.crowded.has(columnOf(name)) || after.crowded.has(columnOf(name)));
  const rows = { new: [] as Cell[][], gone: [] as Cell[][], changed: [] as Cell[][] };
  const row = (change: keyof typeof rows, name: string, was: Thing | null, is: Thing | null): void => {
    const seen = is ?? was!;
    const counts = [was?.count ?? 0, is?.count ?? 0];
    rows[change].push([change, kind, name, was?.state ?? null, is?.state ?? null, ...counts, seen.first, seen.last]);
  };
  for (const [name, is] of now) {
    if (!isCompared(name)) continue;
    const was = old.get(name);
    if (was === undefined) row("new", name, null, is);
    else if (was.state !== null && is.state !== null && was.state !== is.state) row("changed", name, was, is);
  }
  for (const [name, was] of old) if (!now.has(name) && isCompared(name)) row("gone", name, was, null);
  const sorted = (list: Cell[][]): Cell[][] =>
    list.sort((a, b) => Number(a[7] ?? 0) - Number(b[7] ?? 0) || (String(a[2]) < String(b[2]) ? -1 : 1));
  return [...sorted(rows.new), ...sorted(rows.changed), ...sorted(rows.gone)];
}

function tellSides(call: Call, before: Manifest, after: Manifest): void {
  const words = ({ host, given }: Manifest): string => {
    const time = given.from === null
      ? "without events"
      : `${localTime(given.from, "s")} to ${localTime(given.until!, "s")}`;
    return `${host ?? "a host"}, ${time}`;
  };
  call.note(`From ${words(before)}; to ${words(after)}`);
}

const SHOWN: readonly ShownColumn[] = [
  {
    name: "change",
    title: "CHANGE",
    keep: true,
    show: (cell) => ({
      text: String(cell),
      style: cell === "new" ? "accent" : cell === "changed" ? "warning" : "faint",
    }),
  },
  { name: "kind", title: "KIND", keep: true },
  { name: "first_seen", title: "FIRST", keep: true, unlessEmpty: true, show: (cell) => timeCell(cell, "s") },
  { name: "name", title: "NAME", least: 16 },
  { name: "before", title: "BEFORE", least: 12, unlessEmpty: true },
  { name: "after", title: "AFTER", least: 12, unlessEmpty: true },
];
