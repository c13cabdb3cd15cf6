/**
 * What operators may ask to be done to a process: entries of the table of operations.
 *
 * The agent does none of it and decides none of it: it passes the request on to a collector, with who asked, and the
 * response helper beside that goes by root's policy. A process is named as events name it, so that no other one that has
 * got its number is meant.
 *
 * @module
 */
import { PROCESS_NAME, type ResponseAction, type ResponseAnswer } from "../../proto/response/action.ts";
import { processOfExec } from "../../proto/identity.ts";
import { parseDuration } from "../../proto/rules/duration.ts";
import { askCollector, type Responding } from "../responding.ts";
import {
  type Actor,
  actorWords,
  type Answer,
  type Argument,
  FailedError,
  type Operation,
  operation,
  RefusedError,
} from "./operation.ts";

const MAX_BY = 512, MAX_REASON = 1_000;

const PROCESS = {
  kind: "word",
  required: true,
  help: "its exec_id, as 'processes' and alerts show it: a bare pid may be another's by now",
  form: /^[0-9a-f]{8}-[1-9]\d{0,9}-\d{1,15}(?:-\d{1,15})?$/,
} as const satisfies Argument;
const REASON = { kind: "option", required: true, help: "why, for the audit ledger", form: null } as const;
const RULE = {
  kind: "option",
  required: false,
  help: "the id of the rule that it answers; the policy may limit how often one rule is answered",
  form: /^[^\0-\x20]{1,128}$/,
} as const;
const COLLECTOR = {
  kind: "option",
  required: false,
  help: "the collector of that host, where several are connected",
  form: /^[A-Za-z0-9_.-]{1,64}$/,
} as const;
const TREE = {
  kind: "option",
  required: false,
  help: "yes: all of its descendants too; no",
  form: /^(?:yes|no)$/,
} as const;
const COMMON = { reason: REASON, rule: RULE, collector: COLLECTOR };

function signal(action: "stop" | "resume" | "kill", summary: string): Operation {
  return operation({
    summary,
    arguments: { process: PROCESS, tree: TREE, ...COMMON },
    changes: true,
    isElsewhere: true,
    run: ({ tree, ...asked }, { services: { responding }, actor }) =>
      respond(responding, actor, { action, ...asked, tree: tree === "yes", seconds: 0 }),
  });
}

export const RESPONSE_OPERATIONS: Readonly<Record<string, Operation>> = {
  "respond stop": signal("stop", "stops a process (SIGSTOP), as far as root's policy allows"),
  "respond resume": signal("resume", "has a stopped process go on (SIGCONT), as far as root's policy allows"),
  "respond kill": signal("kill", "ends a process (SIGKILL), as far as root's policy allows"),
  "respond trace": operation({
    summary: "samples what /proc tells of a process for a time, as far as root's policy allows",
    arguments: {
      process: PROCESS,
      tree: TREE,
      for: {
        kind: "option",
        required: true,
        help: "how long, such as 30s or 5m; 1h at most",
        form: /^[1-9]\d{0,4}[smh]$/,
      },
      ...COMMON,
    },
    changes: true,
    isElsewhere: true,
    run: ({ tree, for: time, ...asked }, { services: { responding }, actor }) => {
      const seconds = Math.round((parseDuration(time) ?? 0) / 1_000);
      return respond(responding, actor, { action: "trace", ...asked, tree: tree === "yes", seconds });
    },
  }),
  "respond evidence": operation({
    summary: "copies what /proc tells of a process, and its executable, as far as root's policy allows",
    arguments: { process: PROCESS, ...COMMON },
    changes: true,
    isElsewhere: true,
    run: (asked, { services: { responding }, actor }) =>
      respond(responding, actor, { action: "evidence", ...asked, tree: false, seconds: 0 }),
  }),
};

interface Asked {
  readonly action: ResponseAction;
  readonly process: string;
  readonly tree: boolean;
  readonly seconds: number;
  readonly rule: string | null;
  readonly reason: string;
  readonly collector: string | null;
}

async function respond(responding: Responding, actor: Actor, asked: Asked): Promise<Answer> {
  const { action, tree, seconds, rule, reason, collector } = asked, process = processOfExec(asked.process);
  if (!PROCESS_NAME.test(process)) throw new RefusedError(`${asked.process} names no process`);
  if (seconds > 3_600) throw new RefusedError("A trace takes an hour at most");
  if (reason.length > MAX_REASON) throw new RefusedError(`A reason has ${MAX_REASON} characters at most`);
  const target = collector ?? onlyOf(responding.collectors());
  const by = actorWords(actor).slice(0, MAX_BY).toWellFormed();
  const answer = await askCollector(responding, target, {
    ...{ action, process, tree, seconds, rule: rule ?? "", byRule: false, by, reason: reason.toWellFormed() },
  });
  if (answer.kind === "none") throw new FailedError(answer.why);
  return answerOf(answer.answer);
}

function onlyOf(collectors: readonly string[]): string {
  const [only, ...others] = collectors;
  if (only === undefined) throw new RefusedError("No collector is connected that sees processes");
  if (others.length > 0) throw new RefusedError(`Name one with --collector: ${collectors.join(", ")}`);
  return only;
}

function answerOf({ outcome, text, processes, place }: ResponseAnswer): Answer {
  if (outcome === "refused") throw new RefusedError(text);
  if (outcome === "failed") throw new FailedError(text);
  return {
    text: place === "" ? text : `${text}\n${place}`,
    value: { outcome, processes: [...processes], place },
  };
}
