/**
 * The table of what operators may ask a running agent for: one entry an operation.
 *
 * An entry is everything: its name as it is typed, its words for people, its arguments with their checks, whether it
 * changes something, and what it does. `ask --help`, the checks on both sides, ledger and replies come from it.
 *
 * @module
 */
import type { SettingValue } from "../../proto/setting_values.ts";
import { ALERT_OPERATIONS } from "./alert_operations.ts";
import { ANALYSIS_OPERATIONS } from "./analysis_operations.ts";
import { RUNTIME_SETTINGS } from "./asked_settings.ts";
import { COLLECTOR_OPERATIONS } from "./collector_operations.ts";
import { FailedError, type Operation, operation } from "./operation.ts";
import { TASK_OPERATION } from "./task_operation.ts";
import { RESPONSE_OPERATIONS } from "./response_operations.ts";

const RULE = {
  kind: "word",
  required: true,
  help: "the id of a rule, as 'rules list' shows it",
  form: /^[^\0-\x20]{1,128}$/,
} as const;

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  "status": operation({
    summary: "how the agent is, in short",
    arguments: {},
    changes: false,
    run: (_, { services }) => services.status(),
  }),
  "rules reload": operation({
    summary: "loads all rules again, whether their files changed or not",
    arguments: {},
    changes: true,
    async run(_, { services: { rules }, progress }) {
      progress("loading rules");
      if (!await rules.reload()) throw new FailedError("The rules stay as they are; the agent's notices say why");
      const states = rules.statuses().map(({ state }) => state);
      const count = (wanted: string): number => states.filter((state) => state === wanted).length;
      const value = {
        active: count("active"),
        draft: count("draft"),
        disabled: count("disabled"),
        rejected: count("rejected"),
      };
      return {
        text: `The rules are loaded again: ${Object.entries(value).map(([state, n]) => `${n} ${state}`).join(", ")}`,
        value,
        degraded: value.rejected > 0,
      };
    },
  }),
  "rules disable": operation({
    summary: "turns a rule off until it is enabled, also over restarts",
    arguments: {
      rule: RULE,
      reason: { kind: "option", required: true, help: "why, for those who see it disabled", form: null },
    },
    changes: true,
    async run({ rule, reason }, { services: { askedRules, rules }, actor }) {
      return { text: await askedRules.disable(rule, reason, actor, rules), value: { rule } };
    },
  }),
  "rules enable": operation({
    summary: "turns a rule on again that was turned off by 'rules disable'",
    arguments: { rule: RULE },
    changes: true,
    async run({ rule }, { services: { askedRules, rules } }) {
      return { text: await askedRules.enable(rule, rules), value: { rule } };
    },
  }),
  "config show": operation({
    summary: "the agent's settings, and where each value comes from",
    arguments: {},
    changes: false,
    run(_, { services: { askedSettings, settings } }) {
      const now = askedSettings.now(settings);
      const lines = now.map(({ key, value, origin }) => `${key} = ${textOf(value)}  (${origin})`);
      return {
        text: [...lines, `version ${askedSettings.version} of what requests changed`].join("\n"),
        value: { version: askedSettings.version, settings: now.map((each) => ({ ...each })) },
      };
    },
  }),
  "config set": operation({
    summary: `changes settings of the running agent, also over restarts: ${RUNTIME_SETTINGS.join(", ")}`,
    arguments: {
      assignments: { kind: "words", required: true, help: "KEY=VALUE, one or more", form: /^[a-z0-9_.]{1,64}=/ },
    },
    changes: true,
    run({ assignments }, { services: { askedSettings, settings, appliers, settingsChanged }, actor }) {
      const text = askedSettings.set(assignments, actor, settings, appliers);
      settingsChanged();
      return { text, value: { version: askedSettings.version } };
    },
  }),
  "config revert": operation({
    summary: "goes back to what the settings were before the last 'config set', or to a version; 0 is none of it",
    arguments: { to: { kind: "option", required: false, help: "the number of a version", form: /^\d{1,9}$/ } },
    changes: true,
    run({ to }, { services: { askedSettings, settings, appliers, settingsChanged }, actor }) {
      const text = askedSettings.revert(to === null ? null : Number(to), actor, settings, appliers);
      settingsChanged();
      return { text, value: { version: askedSettings.version } };
    },
  }),
  ...COLLECTOR_OPERATIONS,
  ...TASK_OPERATION,
  ...ALERT_OPERATIONS,
  ...RESPONSE_OPERATIONS,
  ...ANALYSIS_OPERATIONS,
};

function textOf(value: SettingValue): string {
  if (typeof value === "object") return value.map((each) => typeof each === "string" ? each : each["name"]).join(":");
  return value === "" ? '""' : String(value);
}
