/**
 * Hunts for users: what they run, when, and with which rights.
 *
 * @module
 */
import { type Hunt, number, SHELLS, word } from "./hunt.ts";

const COMMON = "time, pid, user_name, name, command_line, parent_name, exec_id";
/** What the kernel gives processes that nobody logged in for. */
const NOBODY = 4_294_967_295;

export const USER_HUNTS: readonly Hunt[] = [
  {
    name: "became-root",
    title: "Processes of users with the rights of root",
    about: "sudo, su and other setuid programs; one that is none of them is worth a look.",
    sql: `SELECT time, pid, user_name, effective_user_name, name, executable_path, command_line, exec_id
      FROM process_events WHERE event_type IN ('start', 'modify') AND effective_user_id = 0 AND user_id <> 0
      ORDER BY time DESC`,
  },
  {
    name: "root-by-login",
    title: "Commands of root, by who logged in",
    about: "The login survives sudo and su: this names the person behind root.",
    sql: `SELECT login_user_id, name, count(*) AS starts, max(time) AS last_seen, max(command_line) AS command_line
      FROM process_events WHERE event_type = 'start' AND user_id = 0 AND login_user_id NOT IN (0, ${NOBODY})
      GROUP BY login_user_id, name ORDER BY last_seen DESC`,
  },
  {
    name: "user-commands",
    title: "What a user ran, in order",
    about: "Every program that was started as the user, the newest first.",
    parameters: { user: word("root", "name of the user") },
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND user_name = :user ORDER BY time DESC`,
  },
  {
    name: "programs-of-one-user",
    title: "Programs that only one user runs",
    about: "And root does not either. What nobody else needs was brought for a purpose.",
    sql: `SELECT executable_path, max(user_name) AS user_name, count(*) AS starts, min(time) AS first_seen
      FROM process_events WHERE event_type = 'start' AND executable_path IS NOT NULL GROUP BY executable_path
      HAVING count(DISTINCT user_id) = 1 AND max(user_id) <> 0 ORDER BY starts`,
  },
  {
    name: "shells-of-services",
    title: "Shells that ran as a service's user",
    about:
      "User ids below the first of people. Packages' scripts do so; a terminal on such a shell does not belong to one.",
    parameters: { first: number(1_000, "first user id of people") },
    sql: `SELECT ${COMMON}, tty FROM process_events WHERE event_type = 'start' AND name IN ${SHELLS}
      AND user_id BETWEEN 1 AND :first - 1 ORDER BY time DESC`,
  },
  {
    name: "at-odd-hours",
    title: "What people ran at night",
    about: "Programs on a terminal, started between two hours of UTC; an interval over midnight works too.",
    parameters: { from: number(22, "from this hour of UTC on"), until: number(5, "before this hour of UTC") },
    sql: `SELECT ${COMMON}, tty FROM process_events WHERE event_type = 'start' AND tty IS NOT NULL
      AND CASE WHEN :from <= :until
        THEN CAST(strftime('%H', time / 1000, 'unixepoch') AS INTEGER) BETWEEN :from AND :until - 1
        ELSE CAST(strftime('%H', time / 1000, 'unixepoch') AS INTEGER) >= :from
          OR CAST(strftime('%H', time / 1000, 'unixepoch') AS INTEGER) < :until END ORDER BY time DESC`,
  },
  {
    name: "logins",
    title: "Programs that let somebody in",
    about: "sshd, login, su, sudo and their like, and what the first of them started: as its user, who came.",
    sql: `SELECT time, pid, user_name, login_user_id, name, command_line, parent_name, exec_id FROM process_events
      WHERE event_type = 'start' AND (name IN ('sshd', 'sshd-session', 'sshd-auth', 'login', 'su', 'sudo', 'doas',
      'pkexec', 'runuser', 'machinectl') OR parent_name IN ('sshd', 'sshd-session', 'login')) ORDER BY time DESC`,
  },
  {
    name: "capable-processes",
    title: "Processes that are not root's and hold capabilities",
    about: "Rights of root in parts: effective_capabilities has bit n for capability n of capability.h.",
    sql: `SELECT pid, user_name, name, command_line, effective_capabilities, start_time, exec_id FROM processes
      WHERE end_time IS NULL AND effective_user_id <> 0 AND effective_capabilities <> 0 AND kernel_thread IS NOT 1
      ORDER BY start_time DESC`,
  },
  {
    name: "secrets-named",
    title: "Commands that name files of secrets",
    about: "Shadow file, private keys, credentials of clouds. Editors and backups name them as well.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (command_line LIKE '%/etc/shadow%'
      OR command_line LIKE '%/.ssh/id\\_%' ESCAPE '\\' OR command_line LIKE '%/.aws/credentials%'
      OR command_line LIKE '%/.kube/config%' OR command_line LIKE '%/.netrc%' OR command_line LIKE '%.kdbx%')
      ORDER BY time DESC`,
  },
  {
    name: "preloaded",
    title: "Programs that were told to load a library first",
    about: "LD_PRELOAD and LD_AUDIT change what a program does. Debuggers and allocators use them.",
    sql: `SELECT ${COMMON}, environment FROM process_events WHERE event_type = 'start'
      AND (environment LIKE '%"LD_PRELOAD"%' OR environment LIKE '%"LD_AUDIT"%') ORDER BY time DESC`,
  },
  {
    name: "history-hidden",
    title: "Commands that keep the shell from remembering",
    about:
      "HISTFILE, HISTSIZE and history -c in a command line, and shells whose HISTFILE leads nowhere. What a shell does itself is no event.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (command_line LIKE '%HISTFILE%'
      OR command_line LIKE '%HISTSIZE=0%' OR command_line LIKE '%history -c%' OR command_line LIKE '%.bash\\_history%'
      ESCAPE '\\' OR name IN ${SHELLS} AND (environment LIKE '%"HISTFILE":"/dev/null"%'
      OR environment LIKE '%"HISTFILE":""%')) ORDER BY time DESC`,
  },
];
