/**
 * The tables of alerts, of what is done with them and of where they go.
 *
 * @module
 */
import { column, type Table } from "./table.ts";

export const alerts: Table = {
  name: "alerts",
  description: "What rules found",
  key: ["alert_id"],
  indexes: [["time"], ["rule_id"], ["event_id"], ["group_id"]],
  columns: [
    column("alert_id", "TEXT", "rule and event; the same for every delivery"),
    column("time", "INTEGER", "when the event happened"),
    column("detected_time", "INTEGER", "when the rule found it"),
    column("rule_id", "TEXT", "id of the rule"),
    column("title", "TEXT", "title of the rule"),
    column("description", "TEXT", "description of the rule"),
    column("severity", "TEXT", "info, low, medium, high or critical"),
    column("tags", "TEXT", "JSON array of the rule's tags"),
    column("event_id", "INTEGER", "the event in process_events"),
    column("exec_id", "TEXT", "the execution"),
    column("pid", "INTEGER", "process id"),
    column("ppid", "INTEGER", "process id of the parent"),
    column("name", "TEXT", "command name"),
    column("executable_path", "TEXT", "executable"),
    column("command_line", "TEXT", "arguments joined by spaces, secrets masked"),
    column("user_id", "INTEGER", "real user id"),
    column("user_name", "TEXT", "name of the real user"),
    column("parent_name", "TEXT", "command name of the parent"),
    column("parent_executable_path", "TEXT", "executable of the parent"),
    column("parent_command_line", "TEXT", "command line of the parent"),
    column("evidence", "TEXT", "JSON object of the row that the rule selected"),
    column("collector_id", "TEXT", "collector that reported the event"),
    column("completeness", "TEXT", "JSON object: complete (true or false), and the reasons why the rule saw less"),
    column("ledger_origin", "TEXT", "name of the audit ledger whose checkpoint was the newest then"),
    column("ledger_size", "INTEGER", "entries under that checkpoint"),
    column("ledger_root", "TEXT", "root of that checkpoint, base64"),
    column("rule_hash", "TEXT", "SHA-256 of the file of the rule as it was when it found this"),
    column("kind", "TEXT", "alert, or summary: how often one came again, was held back or kept silent"),
    column("status", "TEXT", "open, acknowledged or closed; alert_history says by whom"),
    column("status_time", "INTEGER", "when it became so; NULL while it is as it was raised"),
    column("muted_by", "TEXT", "silence or inhibition (alert_mutes) that kept it from the sinks"),
    column("dedup_key", "TEXT", "what tells its hits from those of other alerts of the rule: the process, by default"),
    column("group_id", "TEXT", "the first alert of the same family of processes"),
    column("hits_before", "INTEGER", "how often the rule found something before, repeated hits counted"),
    column("last_hit_time", "INTEGER", "when it found something last before"),
    column("causes", "TEXT", "JSON array of the numbers of the events that caused it"),
    column("parent_exec_id", "TEXT", "the execution that the parent process was running"),
    column("start_time", "INTEGER", "when the process began"),
    column("effective_user_id", "INTEGER", "effective user id"),
    column("login_user_id", "INTEGER", "user who logged in, through every change of user since"),
    column("cwd", "TEXT", "working directory"),
    column("container_id", "TEXT", "container"),
    column("stdin_kind", "TEXT", "what standard input was"),
    column("stdout_kind", "TEXT", "what standard output was"),
    column(
      "ancestry",
      "TEXT",
      "JSON array of the process' ancestors as they were known then, the parent first, each an array of execution, " +
        "name, executable and user",
    ),
    column("repeat_count", "INTEGER", "of a summary: how many hits it stands for"),
    column("first_time", "INTEGER", "of a summary: time of the first of them"),
    column("last_time", "INTEGER", "of a summary: time of the last of them"),
    column("reason", "TEXT", "of a summary: why they are no alerts of their own"),
  ],
};

export const alertHistory: Table = {
  name: "alert_history",
  description: "What operators did with alerts, and what their rules asked to be done to the processes",
  key: ["entry_id"],
  indexes: [["alert_id"]],
  columns: [
    column("entry_id", "INTEGER", "number of the entry"),
    column("alert_id", "TEXT", "the alert"),
    column("time", "INTEGER", "when"),
    column(
      "action",
      "TEXT",
      "acknowledged, closed or reopened; response asked, not asked, done, dry run, refused or failed",
    ),
    column("actor", "TEXT", "who; of a response the rule that asked for it"),
    column("text", "TEXT", "what they said to it; of a response what was asked for and what came of it"),
  ],
};

export const alertMutes: Table = {
  name: "alert_mutes",
  description: "Silences and inhibitions: which alerts do not reach the sinks, why, and how long",
  key: ["mute_id"],
  indexes: [],
  columns: [
    column("mute_id", "TEXT", "names it"),
    column("kind", "TEXT", "silence; or inhibition: while another alert is fresh"),
    column("terms", "TEXT", "JSON object: the alerts that it holds for"),
    column("reason", "TEXT", "why"),
    column("created_time", "INTEGER", "when it was made"),
    column("created_by", "TEXT", "who made it"),
    column("left_ms", "INTEGER", "how long it still held at noted_time, by a clock that does not jump"),
    column("noted_time", "INTEGER", "when that was noted"),
    column("ended_time", "INTEGER", "when it ended; NULL while it holds"),
    column("ended_by", "TEXT", "who ended it before its time"),
    column("muted", "INTEGER", "how many alerts it kept from the sinks"),
  ],
};

export const alertSinks: Table = {
  name: "alert_sinks",
  description: "Where alerts go, and how it goes there",
  key: ["sink"],
  indexes: [],
  columns: [
    column("sink", "TEXT", "name of the sink"),
    column("state", "TEXT", "ready; retrying; open: nothing is tried for a while; disabled: until the next start"),
    column("failures", "INTEGER", "failed attempts in a row"),
    column("left_ms", "INTEGER", "time until the next attempt, at noted_time"),
    column("noted_time", "INTEGER", "when that was noted"),
    column("last_error", "TEXT", "why the last attempt failed"),
    column("last_error_time", "INTEGER", "when"),
    column("delivered", "INTEGER", "alerts that it has"),
    column("last_delivered_time", "INTEGER", "when it got the last"),
    column("failed", "INTEGER", "attempts that failed, ever"),
    column("refused", "INTEGER", "alerts that it will never take: dead letters, ever"),
    column("dropped", "INTEGER", "alerts that were owed to it and given up for want of room, ever"),
  ],
};
