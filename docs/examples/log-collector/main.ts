/**
 * The log collector: reads what sshd, sudo and cron wrote into auth.log, or into an export of the journal.
 *
 * `DAEMONEYE_AUTH_LOG` and `DAEMONEYE_JOURNAL_EXPORT` name the files; without either, it is /var/log/auth.log.
 *
 * @module
 */
import { runCollector } from "daemoneye";
import { LogSource } from "./log_source.ts";

const log = Deno.env.get("DAEMONEYE_AUTH_LOG"), journal = Deno.env.get("DAEMONEYE_JOURNAL_EXPORT");
const sources = [
  ...log !== undefined || journal === undefined
    ? [new LogSource({ name: "auth-log", path: log ?? "/var/log/auth.log", format: "syslog" })]
    : [],
  ...journal === undefined ? [] : [new LogSource({ name: "journal-export", path: journal, format: "journal" })],
];
await runCollector({ type: "log", version: "1.0", sources });
