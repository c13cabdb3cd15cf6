/**
 * What operators may ask for of alerts, silences, dead letters and sinks: entries of the table of operations.
 *
 * Each is a line to the {@linkcode AlertDesk}, whose refusals become answers with their own words. Who asked stands in
 * the history of the alert and in the silence as in the audit ledger.
 *
 * @module
 */
import { SEVERITIES, type Severity } from "../../proto/process_event.ts";
import { parseDuration } from "../../proto/rules/duration.ts";
import { DeskError } from "../alerts/desk.ts";
import { type Matcher, MUTE_FIELDS, MuteError, type MuteField } from "../alerts/mutes.ts";
import { textOf } from "../alerts/sink.ts";
import { AlertStateError } from "../alerts/states.ts";
import {
  type Actor,
  actorWords,
  type Answer,
  FailedError,
  type Operation,
  operation,
  RefusedError,
} from "./operation.ts";

/** As much of a name as is kept with what its bearer did. */
const MAX_ACTOR = 256;
const DURATION = /^[1-9]\d{0,8}(?:ms|s|m|h|d)$/;
const SEVERITY = new RegExp(`^(?:${SEVERITIES.join("|")})$`);
const TERMS = `${MUTE_FIELDS.join(", ")}, with * for any text, and severity for the highest that is meant`;

const ID = {
  kind: "word",
  required: true,
  help: "the id of an alert, as 'alerts show' has it in the line 'alert'",
  form: /^[^\0-\x20]{1,1024}$/,
} as const;
const TEXT = {
  kind: "option",
  required: false,
  help: "what there is to say, kept with the alert",
  form: null,
} as const;
const REASON = { kind: "option", required: true, help: "why, for those who find it later", form: null } as const;
const FOR = {
  kind: "option",
  required: true,
  help: "how long it holds, such as 2h or 30d; 366d at most",
  form: DURATION,
} as const;
const SINK = {
  kind: "word",
  required: true,
  help: "the name of a sink, as 'sinks' lists it",
  form: /^[^\0-\x20]{1,128}$/,
} as const;
const ONE = { ...ID, required: false, help: "the id of one alert; without it all dead letters of the sink" } as const;

type Step = "acknowledge" | "close" | "reopen";

function step(what: Step, done: string, summary: string): Operation {
  return operation({
    summary,
    arguments: { id: ID, text: TEXT },
    changes: true,
    run({ id, text }, { services: { alerts }, actor }) {
      asked(() => alerts[what](id, nameOf(actor), text ?? ""));
      return { text: `The alert ${id} is ${done}`, value: { alert: id } };
    },
  });
}

function expiry(what: "silence" | "inhibition"): Operation {
  return operation({
    summary: `ends ${what === "silence" ? "a silence" : "an inhibition"} before its time`,
    arguments: {
      id: {
        kind: "word",
        required: true,
        help: `the id of a${what === "silence" ? " silence" : "n inhibition"}, as 'alerts stats' shows it`,
        form: what === "silence" ? /^s[0-9a-f]{10}$/ : /^i[0-9a-f]{10}$/,
      },
    },
    changes: true,
    run({ id }, { services: { alerts }, actor }) {
      asked(() => alerts.endMute(id, nameOf(actor)));
      return { text: `The ${what} ${id} is over`, value: { id } };
    },
  });
}

export const ALERT_OPERATIONS: Readonly<Record<string, Operation>> = {
  "alerts ack": step("acknowledge", "acknowledged", "says that somebody has seen an alert and looks after it"),
  "alerts close": step(
    "close",
    "closed",
    "says that an alert is over; should the same come again, that is a new alert",
  ),
  "alerts reopen": step("reopen", "open again", "says that an alert is not over after all"),
  "silence add": operation({
    summary: "keeps alerts from the sinks, not from the store, for a while",
    arguments: {
      terms: { kind: "words", required: true, help: `FIELD=PATTERN, all must hold: ${TERMS}`, form: /^[a-z]{1,16}=/ },
      for: FOR,
      reason: REASON,
    },
    changes: true,
    run({ terms, for: time, reason }, { services: { alerts }, actor }) {
      const ms = parseDuration(time) ?? 0;
      const id = asked(() => alerts.silence(matcherOf(terms), reason, ms, nameOf(actor)));
      return mutedAnswer(id, "silence", ms);
    },
  }),
  "silence expire": expiry("silence"),
  "inhibition add": operation({
    summary: "keeps alerts (target) from the sinks while another one (source) is fresh",
    arguments: {
      terms: {
        kind: "words",
        required: true,
        help: `source.FIELD=PATTERN and target.FIELD=PATTERN, one of each at least: ${TERMS}`,
        form: /^(?:source|target)\.[a-z]{1,16}=/,
      },
      equal: {
        kind: "option",
        required: false,
        help: "fields in which both must agree, with commas between them",
        form: /^[a-z]{1,16}(?:,[a-z]{1,16}){0,15}$/,
      },
      fresh: {
        kind: "option",
        required: true,
        help: "how long a source counts, such as 10m; 24h at most",
        form: DURATION,
      },
      for: FOR,
      reason: REASON,
    },
    changes: true,
    run({ terms, equal, fresh, for: time, reason }, { services: { alerts }, actor }) {
      const ms = parseDuration(time) ?? 0, freshMs = parseDuration(fresh) ?? 0;
      const of = (side: string): Matcher =>
        matcherOf(terms.filter((term) => term.startsWith(side)).map((term) => term.slice(side.length)));
      const id = asked(() =>
        alerts.inhibit(
          // What is no field is refused with the names of those that there are
          { source: of("source."), target: of("target."), equal: (equal?.split(",") ?? []) as MuteField[], freshMs },
          reason,
          ms,
          nameOf(actor),
        )
      );
      return mutedAnswer(id, "inhibition", ms);
    },
  }),
  "inhibition expire": expiry("inhibition"),
  "dead retry": operation({
    summary: "owes dead letters to their sink again",
    arguments: { sink: SINK, id: ONE },
    changes: true,
    run: ({ sink, id }, { services: { alerts } }) =>
      deadAnswer(sink, asked(() => alerts.retryDead(sink, id)), "owed to it again"),
  }),
  "dead drop": operation({
    summary: "gives dead letters up for good; the alerts stay in the store",
    arguments: { sink: SINK, id: ONE, reason: REASON },
    changes: true,
    run: ({ sink, id, reason }, { services: { alerts }, actor }) =>
      deadAnswer(sink, asked(() => alerts.dropDead(sink, id, nameOf(actor), reason)), "given up"),
  }),
  "sinks check": operation({
    summary: "what 'sinks reload' would change, or which grant, file or value is missing; nothing is changed",
    arguments: {},
    changes: false,
    run(_, { services: { sinkReloader } }) {
      const { isTaken, text } = sinkReloader.check();
      if (!isTaken) throw new FailedError(`The sinks of the configuration cannot be taken: ${text}`);
      return { text: `The sinks of the configuration can be taken: ${text}`, value: null };
    },
  }),
  "sinks reload": operation({
    summary: "reads the configuration again for its sinks; one that is not right changes nothing",
    arguments: {},
    changes: true,
    async run(_, { services: { sinkReloader } }) {
      const { isTaken, text } = await sinkReloader.reload();
      if (!isTaken) throw new FailedError(text);
      return { text: `The sinks are loaded again: ${text}`, value: null };
    },
  }),
  "sinks test": operation({
    summary: "hands a sink an alert that says that it is a test, past what is owed to it",
    arguments: {
      sink: SINK,
      severity: { kind: "option", required: false, help: `one of ${SEVERITIES.join(", ")}; info`, form: SEVERITY },
    },
    changes: true,
    async run({ sink, severity }, { services: { alerts }, actor, progress }) {
      progress(`the sink ${sink} is given a test alert`);
      try {
        await alerts.testSink(sink, nameOf(actor), (severity ?? "info") as Severity);
      } catch (error) {
        if (error instanceof DeskError) throw new RefusedError(error.message, { cause: error });
        throw new FailedError(`The sink ${sink} did not take the test alert: ${textOf(error)}`, { cause: error });
      }
      return { text: `The sink ${sink} took the test alert`, value: { sink } };
    },
  }),
  "sinks retry": operation({
    summary: "tries at once what is owed to a sink that failed, without the wait that grows with its faults",
    arguments: { sink: SINK },
    changes: true,
    run({ sink }, { services: { alerts } }) {
      asked(() => alerts.hasten(sink));
      return { text: `What is owed to ${sink} is tried now; 'sinks' shows how it goes`, value: { sink } };
    },
  }),
};

/** What the desk will not do is refused, in its words. */
function asked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AlertStateError || error instanceof MuteError || error instanceof DeskError) {
      throw new RefusedError(error.message, { cause: error });
    }
    throw error;
  }
}

function nameOf(actor: Actor): string {
  return actorWords(actor).slice(0, MAX_ACTOR).toWellFormed();
}

/** Terms as they are typed; which fields there are, and what they may hold, is for the desk to judge. */
function matcherOf(terms: readonly string[]): Matcher {
  const given = new Map<string, string>();
  for (const term of terms) {
    const at = term.indexOf("="), field = term.slice(0, at);
    if (given.has(field)) throw new RefusedError(`${field} is named twice; all terms must hold, so name it once`);
    given.set(field, term.slice(at + 1));
  }
  const atMost = given.get("severity") ?? null;
  given.delete("severity");
  return { fields: Object.fromEntries(given), atMost: atMost as Severity | null };
}

function mutedAnswer(id: string, what: "silence" | "inhibition", ms: number): Answer {
  const until = Date.now() + ms;
  return {
    text: `The ${what} ${id} holds until ${new Date(until).toISOString()}; '${what} expire ${id}' ends it`,
    value: { id, until },
  };
}

function deadAnswer(sink: string, count: number, done: string): Answer {
  if (count === 0) throw new RefusedError(`No such dead letter of ${sink} is there; 'alerts dead' lists them`);
  return { text: `${count} dead letter${count === 1 ? "" : "s"} of ${sink}: ${done}`, value: { sink, count } };
}
