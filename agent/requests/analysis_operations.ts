/**
 * What operators may have analysed, now and whatever triggers say.
 *
 * @module
 */
import type { FactRow, StageRows } from "../../proto/analysis/stage.ts";
import { printable } from "../../proto/printable.ts";
import { targetOfPath } from "../analysis/target.ts";
import { actorWords, FailedError, type Operation, operation, RefusedError } from "./operation.ts";

const CHAIN = {
  kind: "option",
  required: false,
  help: "the id of a chain in analysis/ of a rules directory",
  form: /^[a-z0-9-]{3,64}$/,
} as const;
/** The chains that are meant where none is named; rules/analysis/ has them. */
const FILE_CHAIN = "executable", PROCESS_CHAIN = "process";

export const ANALYSIS_OPERATIONS: Readonly<Record<string, Operation>> = {
  "analyze file": operation({
    summary: "analyses an executable or script now: its hash, what is in it, whose it is, YARA",
    arguments: {
      path: {
        kind: "word",
        required: true,
        help: "the absolute path of an ELF file or script",
        form: /^\/[^\0]{0,4095}$/,
      },
      chain: CHAIN,
    },
    changes: true,
    async run({ path, chain }, { services: { analyses }, actor, progress }) {
      progress(`analysing ${path}`);
      if (path.split("/").includes("..")) throw new RefusedError("A path has no '..' in it");
      return await analyses.ask(chain ?? FILE_CHAIN, () => targetOfPath(path), actorWords(actor)).then(answerOf);
    },
  }),
  "analyze process": operation({
    summary: "analyses a process that runs now: its memory map and the file that it runs",
    arguments: {
      pid: { kind: "word", required: true, help: "the pid of a process", form: /^[1-9]\d{0,9}$/ },
      chain: CHAIN,
    },
    changes: true,
    async run({ pid, chain }, { services: { analyses }, actor, progress }) {
      progress(`analysing process ${pid}`);
      return await analyses.ask(chain ?? PROCESS_CHAIN, (find) => {
        return find(Number(pid)) ?? new RefusedError(`The store knows no process ${pid} that is alive`);
      }, actorWords(actor)).then(answerOf);
    },
  }),
};

function answerOf(rows: StageRows): { text: string; value: Record<string, never>; degraded: boolean } {
  const [analysis] = rows["analyses"]!, state = analysis!["state"];
  const lines = [`analysis ${analysis!["analysis_id"]} is ${String(state).replace("_", " ")}`];
  for (const { stage, state, reason } of rows["analysis_stages"] ?? []) {
    lines.push(`  ${stage}: ${String(state).replace("_", " ")}${reason === null ? "" : `, ${reason}`}`);
  }
  for (const table of ["file_facts", "memory_facts"]) {
    for (const row of rows[table] ?? []) lines.push(...factLines(row));
  }
  for (const { kind, text } of (rows["file_strings"] ?? []).slice(0, MAX_STRINGS)) lines.push(`${kind}: ${text}`);
  for (const { rule, tags } of rows["yara_matches"] ?? []) lines.push(`yara: ${rule} ${tags}`);
  if (state === "failed" || state === "timed_out") throw new FailedError(lines.map(printable).join("\n"));
  return {
    text: lines.map(printable).join("\n"),
    value: JSON.parse(JSON.stringify(rows)) as Record<string, never>,
    degraded: state !== "completed",
  };
}

const MAX_STRINGS = 12;
/** What says nothing to a person, or was said already. */
const UNSHOWN = new Set(["analysis_id", "time", "sections", "event_id", "exec_id", "executable_path", "pid"]);

function factLines(row: FactRow): string[] {
  return Object.entries(row).filter(([name, value]) => value !== null && !UNSHOWN.has(name)).map(([name, value]) =>
    `${name}: ${value}`
  );
}
