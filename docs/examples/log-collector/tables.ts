/**
 * The tables that this collector brings.
 *
 * @module
 */
import type { TableDescriptor } from "daemoneye";

const text = (name: string, description: string) => ({ name, type: "TEXT" as const, description });
const integer = (name: string, description: string) => ({ name, type: "INTEGER" as const, description });
/** What each line of a log says. */
const LINE = [text("host", "host that wrote it"), integer("pid", "process that wrote it")];

export const SSHD: TableDescriptor = {
  name: "sshd_events",
  version: 1,
  description: "What sshd told of logins",
  columns: [
    ...LINE,
    text("action", "accepted, failed, invalid_user or disconnected"),
    text("method", "password, publickey and so on"),
    text("user_name", "user who was named"),
    text("address", "address of the client"),
    integer("port", "port of the client"),
    text("key_type", "type of the key, such as ED25519"),
    text("key_fingerprint", "fingerprint of the key, SHA256:…"),
  ],
};

export const SUDO: TableDescriptor = {
  name: "sudo_events",
  version: 1,
  description: "What sudo told of commands and refusals",
  columns: [
    ...LINE,
    text("action", "command, or denied"),
    text("user_name", "user who asked"),
    text("target_user", "user whose rights were asked for"),
    text("tty", "terminal"),
    text("cwd", "working directory"),
    text("command_line", "command"),
    text("reason", "why it was denied"),
  ],
};

export const CRON: TableDescriptor = {
  name: "cron_events",
  version: 1,
  description: "Jobs that cron started",
  columns: [...LINE, text("user_name", "user of the job"), text("command_line", "command of the job")],
};
