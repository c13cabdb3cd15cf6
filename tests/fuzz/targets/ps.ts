/**
 * What `ps` prints: recorded tables, changed.
 *
 * @module
 */
import { parsePsTable, PsTableError } from "../../../collector/sources/ps_table.ts";
import { type TextParser, textTarget } from "./text.ts";

const RECORDED = new URL("../../recorded/ps/", import.meta.url);
/** A table's file, and the system whose `ps` printed it. */
const TABLES = [["procps", "linux"], ["macos", "darwin"], ["freebsd", "freebsd"], ["openbsd", "openbsd"]] as const;

const PARSERS: readonly TextParser[] = TABLES.map(([file, os]) => {
  const table = Deno.readTextFileSync(new URL(`${file}.txt`, RECORDED));
  const asking = Number(/\n *(\d+)/.exec(table)?.[1]);
  return {
    name: `parsePsTable, ${file}`,
    samples: [table],
    parse: (bytes, length) => {
      const { rows, damaged, doubtful } = parsePsTable(bytes.subarray(0, length), asking, os);
      return { rows, damaged, doubtful: [...doubtful] };
    },
    throws: [PsTableError],
  };
});

export const ps = PARSERS.map((parser) => textTarget("ps", parser, 10_000));
