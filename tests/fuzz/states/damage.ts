/**
 * What may happen to a state directory before somebody looks at it: copied by halves, cut, overwritten, planted.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import type { Random } from "../random.ts";

/** Says what was done. */
type Damage = (directory: string, random: Random) => string;

const STORE = "agent/events.db";
const HUGE = "9223372036854775807";
/** Tables that readers take things from, beside the rows that people ask for. */
const ODD_VALUES = ["NULL", "-1", "0", HUGE, "1e300", "-9e18", "''", "'x'", "x'ff00'", "'\u001b[2J\u202e'", "'{'"];

function files(directory: string, below = ""): string[] {
  const found: string[] = [];
  for (const { name, isDirectory, isFile } of Deno.readDirSync(`${directory}/${below}`)) {
    const path = below + name;
    if (isDirectory) found.push(...files(directory, `${path}/`));
    else if (isFile && Deno.statSync(`${directory}/${path}`).size > 0) found.push(path);
  }
  return found.sort();
}

/** One of the files; the store and its log come as often as all others. */
function aFile(directory: string, random: Random): string {
  const all = files(directory), stores = all.filter((path) => path.startsWith(STORE) && !path.endsWith("-shm"));
  return random.pick(random.oneIn(2) && stores.length > 0 ? stores : all);
}

const cut: Damage = (directory, random) => {
  const path = aFile(directory, random), { size } = Deno.statSync(`${directory}/${path}`);
  const length = random.below(size);
  Deno.truncateSync(`${directory}/${path}`, length);
  return `cut ${path} of ${size} bytes at ${length}`;
};

const overwrite: Damage = (directory, random) => {
  const path = aFile(directory, random), bytes = Deno.readFileSync(`${directory}/${path}`), done: string[] = [];
  for (let left = 1 + random.below(8); left > 0; left--) {
    // The heads of pages and the schema on the first decide how the rest is read
    const page = 4_096 * random.below(Math.ceil(bytes.length / 4_096));
    const at = Math.min(bytes.length - 1, page + random.below(random.pick([16, 120, 4_096])));
    bytes[at] = random.oneIn(2) ? bytes[at]! ^ 1 << random.below(8) : random.pick([0, 1, 0x7f, 0x80, 0xff]);
    done.push(`${at}=${bytes[at]}`);
  }
  Deno.writeFileSync(`${directory}/${path}`, bytes);
  return `overwrote ${path}: ${done.join(" ")}`;
};

const swapPages: Damage = (directory, random) => {
  const bytes = Deno.readFileSync(`${directory}/${STORE}`), pages = Math.floor(bytes.length / 4_096);
  const [a, b] = [random.below(pages) * 4_096, random.below(pages) * 4_096];
  const kept = bytes.slice(a, a + 4_096);
  bytes.copyWithin(a, b, b + 4_096);
  bytes.set(kept, b);
  Deno.writeFileSync(`${directory}/${STORE}`, bytes);
  return `swapped pages ${a / 4_096} and ${b / 4_096}`;
};

const plant: Damage = (directory, random) => {
  const path = aFile(directory, random), whole = `${directory}/${path}`;
  const what = random.pick(["fifo", "directory", "loop", "zero", "null", "outside", "nothing"]);
  Deno.removeSync(whole);
  if (what === "fifo") new Deno.Command("mkfifo", { args: [whole] }).outputSync();
  else if (what === "directory") Deno.mkdirSync(whole);
  else if (what === "loop") Deno.symlinkSync(whole, whole);
  else if (what === "zero" || what === "null") Deno.symlinkSync(`/dev/${what}`, whole);
  else if (what === "outside") Deno.symlinkSync("/etc/passwd", whole);
  return `${path} became ${what}`;
};

const shut: Damage = (directory, random) => {
  const path = random.oneIn(3) ? random.pick(["agent", "collector", "rules"]) : aFile(directory, random);
  Deno.chmodSync(`${directory}/${path}`, 0);
  return `no rights on ${path}`;
};

/** SQL that the agent would never write, by who may write the file. */
const rewrite: Damage = (directory, random) => {
  const db = new DatabaseSync(`${directory}/${STORE}`, { defensive: false } as object), done: string[] = [];
  const run = (sql: string): void => {
    try {
      db.exec(sql);
      done.push(sql);
    } catch {
      // Refused by what it is about
    }
  };
  try {
    db.exec("PRAGMA writable_schema = 1");
    for (let left = 1 + random.below(4); left > 0; left--) {
      const tables = [
        ...db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").iterate(),
      ];
      const table = String(random.pick(tables)["name"]), other = String(random.pick(tables)["name"]);
      const columns = [...db.prepare("SELECT name FROM pragma_table_info(?)").iterate(table)];
      if (columns.length === 0) continue;
      const column = String(random.pick(columns)["name"]), value = random.pick(ODD_VALUES);
      run(random.pick([
        `UPDATE OR IGNORE "${table}" SET "${column}" = ${value}`,
        `UPDATE OR IGNORE partitions SET layout = ${value}`,
        `UPDATE OR IGNORE partitions SET to_time = ${value}`,
        `UPDATE OR IGNORE partitions SET partition = ${random.pick(["partition + 1", "-partition", HUGE, value])}`,
        `ALTER TABLE "${table}" RENAME TO spare; ALTER TABLE "${other}" RENAME TO "${table}"; ALTER TABLE spare RENAME TO "${other}"`,
        `ALTER TABLE "${table}" RENAME COLUMN "${column}" TO other`,
        `DROP TABLE "${table}"`,
        `PRAGMA user_version = ${random.pick(["0", "1", "2147483647", "-1"])}`,
        `UPDATE sqlite_schema SET sql = replace(sql, 'TEXT', 'BLOB') WHERE name = '${table}'`,
        `UPDATE sqlite_schema SET sql = substr(sql, 1, ${random.below(400)}) WHERE name = '${table}'`,
        `UPDATE sqlite_schema SET rootpage = ${random.below(60)} WHERE name = '${table}'`,
        `UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = '${table}'; PRAGMA writable_schema = RESET;
         PRAGMA ignore_check_constraints = 1; UPDATE OR IGNORE "${table}" SET "${column}" = ${value}`,
      ]));
    }
  } catch (error) {
    done.push(String(error));
  } finally {
    // As after a crash: nothing is written back
    const wal = [`${directory}/${STORE}-wal`, `${directory}/${STORE}-shm`].map((path) => {
      try {
        return [path, Deno.readFileSync(path)] as const;
      } catch {
        return null;
      }
    });
    const main = Deno.readFileSync(`${directory}/${STORE}`);
    db.close();
    Deno.writeFileSync(`${directory}/${STORE}`, main);
    for (const file of wal) if (file !== null) Deno.writeFileSync(...file);
  }
  return `rewrote: ${done.join("; ")}`;
};

const DAMAGES: readonly Damage[] = [cut, overwrite, overwrite, swapPages, plant, shut, rewrite, rewrite];

/** Does one thing or two to a state directory, and says which. */
export function damage(directory: string, random: Random): string {
  const first = random.pick(DAMAGES)(directory, random);
  if (!random.oneIn(4)) return first;
  try {
    return `${first}, ${random.pick(DAMAGES)(directory, random)}`;
  } catch {
    return first; // What the second is done to is not there any more
  }
}
