/**
 * Messages of sshd, sudo and cron as rows. Whoever can log in as anybody, or try to, chooses part of what stands in them:
 * nothing here fails, and what is not understood is no row.
 *
 * @module
 */
import type { RowValues } from "daemoneye";

/** What a log says beside the message. */
export interface LogLine {
  /** Unix milliseconds. */
  readonly time: number;
  readonly host: string;
  readonly program: string;
  readonly pid: number | null;
  readonly message: string;
}

export interface Row {
  readonly table: string;
  readonly values: RowValues;
}

/** Longest message that is looked at: the patterns are linear in it, and no daemon here writes more. */
const MAX_MESSAGE = 8_192;

/** The row that a line is; `null` for one of which there is nothing to tell. */
export function rowOf({ host, program, pid, message }: LogLine): Row | null {
  if (message.length > MAX_MESSAGE) return null;
  const make = PROGRAMS.get(program);
  const found = make?.(message) ?? null;
  return found === null ? null : { table: found.table, values: { host, pid, ...found.values } };
}

const PROGRAMS: ReadonlyMap<string, (message: string) => Row | null> = new Map([
  ["sshd", sshd],
  ["sshd-session", sshd],
  ["sudo", sudo],
  ["CRON", cron],
  ["crond", cron],
]);

// A name that a client sends may hold spaces and " from ": what sshd adds stands last, so the pattern is tied to the end.
const LOGIN =
  /^(Accepted|Failed) ([a-z\-/]{1,40}) for (invalid user )?(.{0,256}) from ([0-9a-fA-F.:%]{2,64}) port (\d{1,5}) ssh2?(?:: ([A-Z0-9\-]{1,40}) (SHA256:[A-Za-z0-9+/]{43}))?$/;
const INVALID = /^Invalid user (.{0,256}) from ([0-9a-fA-F.:%]{2,64})(?: port (\d{1,5}))?$/;
const GONE =
  /^(?:Disconnected from|Connection closed by) (?:authenticating |invalid )?user (.{0,256}) ([0-9a-fA-F.:%]{2,64}) port (\d{1,5})(?: \[preauth\])?$/;

function sshd(message: string): Row | null {
  const login = LOGIN.exec(message);
  if (login !== null) {
    const [, what, method, , user, address, port, type, fingerprint] = login;
    return row("sshd_events", {
      action: what === "Accepted" ? "accepted" : "failed",
      ...{ method, user_name: user, address, port: Number(port) },
      ...{ key_type: type ?? null, key_fingerprint: fingerprint ?? null },
    });
  }
  const other = INVALID.exec(message) ?? GONE.exec(message);
  if (other === null) return null;
  const [, user, address, port] = other, action = message.startsWith("Invalid") ? "invalid_user" : "disconnected";
  return row("sshd_events", { action, user_name: user, address, port: port === undefined ? null : Number(port) });
}

function sudo(message: string): Row | null {
  const [head, ...parts] = message.trimStart().split(" ; ");
  const begin = /^([^\s:]{1,256}) : (.{0,512})$/s.exec(head ?? "");
  if (begin === null) return null;
  const [, user, rest] = begin, fields = new Map<string, string>();
  let reason: string | null = null;
  for (const [at, part] of [rest!, ...parts].entries()) {
    const field = /^(TTY|PWD|USER|COMMAND)=(.*)$/s.exec(part);
    if (field === null) {
      if (at === 0) reason = part;
      continue;
    }
    if (fields.has(field[1]!)) continue;
    // The command stands last, and may hold " ; " itself
    if (field[1] === "COMMAND") {
      fields.set("COMMAND", [rest!, ...parts].slice(at).join(" ; ").slice("COMMAND=".length));
      break;
    }
    fields.set(field[1]!, field[2]!);
  }
  const command = fields.get("COMMAND");
  if (command === undefined) return null;
  return row("sudo_events", {
    action: reason === null ? "command" : "denied",
    user_name: user!,
    target_user: fields.get("USER") ?? null,
    tty: fields.get("TTY") ?? null,
    cwd: fields.get("PWD") ?? null,
    command_line: command,
    reason,
  });
}

function cron(message: string): Row | null {
  const job = /^\(([^)]{1,256})\) CMD \((.{0,4096})\)$/s.exec(message);
  return job === null ? null : row("cron_events", { user_name: job[1]!, command_line: job[2]!.trim() });
}

function row(table: string, values: Record<string, string | number | null | undefined>): Row {
  return { table, values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value ?? null])) };
}
