/**
 * Hunts for who started what, and how it ended.
 *
 * @module
 */
import { type Hunt, isInterpreter, number, SHELLS, word } from "./hunt.ts";

const COMMON = "time, pid, user_name, name, command_line, parent_name, parent_command_line, exec_id";

export const FAMILY_HUNTS: readonly Hunt[] = [
  {
    name: "rare-parents",
    title: "Pairs of parent and child that were seen seldom",
    about: "A word processor that starts a shell is rarer than a shell that starts a word processor.",
    parameters: { most: number(1, "seen at most so many times") },
    sql: `SELECT parent_name, name, count(*) AS starts, max(time) AS last_seen, max(command_line) AS command_line
      FROM process_events WHERE event_type = 'start' AND parent_name IS NOT NULL GROUP BY parent_name, name
      HAVING count(*) <= :most ORDER BY starts, last_seen DESC`,
  },
  {
    name: "children-of",
    title: "What a program starts",
    about: "By the name of the parent, the rarest last.",
    parameters: { parent: word("sshd", "command name of the parent") },
    sql: `SELECT name, executable_path, count(*) AS starts, max(time) AS last_seen FROM process_events
      WHERE event_type = 'start' AND parent_name = :parent GROUP BY name, executable_path ORDER BY starts DESC`,
  },
  {
    name: "parents-of",
    title: "Who starts a program",
    about: "By the name of the program, the rarest parent last.",
    parameters: { name: word("bash", "command name of the program") },
    sql: `SELECT parent_name, parent_executable_path, count(*) AS starts, max(time) AS last_seen FROM process_events
      WHERE event_type = 'start' AND name = :name GROUP BY parent_name, parent_executable_path ORDER BY starts DESC`,
  },
  {
    name: "shells-of-servers",
    title: "Shells that were started by services of the network",
    about: "A server that starts a shell runs a script of its own, or a command of somebody else's.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND name IN ${SHELLS} AND (parent_name IN
      ('nginx', 'apache2', 'httpd', 'lighttpd', 'caddy', 'haproxy', 'squid', 'java', 'beam.smp', 'node', 'gunicorn',
       'uwsgi', 'puma', 'postgres', 'mysqld', 'mariadbd', 'redis-server', 'valkey-server', 'memcached', 'mongod', 'slapd',
       'named', 'unbound', 'dnsmasq', 'vsftpd', 'proftpd', 'smbd', 'snmpd', 'cupsd', 'exim4', 'smtpd', 'dovecot')
      OR parent_name LIKE 'php-fpm%' OR parent_name LIKE 'php-cgi%') ORDER BY time DESC`,
  },
  {
    name: "one-liners",
    title: "Interpreters that were given their program as an argument",
    about: "python -c, perl -ne and the like: a program that leaves no file behind. Tools of developers do so, too.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND ${isInterpreter("name")}
      AND command_line REGEXP '^\\S+( -\\S+)* -([A-Za-z0-9]*[ceEpr]|-eval|-print)( |$)' ORDER BY time DESC`,
  },
  {
    name: "piped-shells",
    title: "Shells and interpreters that read their program from a pipe",
    about: "curl … | sh, or | bash -s -- and words for it, look like this; so do installers.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (name IN ${SHELLS} OR ${
      isInterpreter("name")
    })
      AND stdin_kind = 'pipe' AND command_line REGEXP '^\\S+(( -s| -[a-z]*s)( .*)?| -[ilx]*)?$' ORDER BY time DESC`,
  },
  {
    name: "shells-on-sockets",
    title: "Shells and interpreters whose input is a socket",
    about:
      "Somebody types from elsewhere: a reverse shell, or a service that hands its connection on (inetd, socket units).",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND stdin_kind = 'socket'
      AND (name IN ${SHELLS} OR ${isInterpreter("name")}) ORDER BY time DESC`,
  },
  {
    name: "orphaned-shells",
    title: "Shells and interpreters that live on without who started them",
    about: "Their parent is process 1, and they are of no service of the system: left behind on purpose, or forgotten.",
    sql: `SELECT pid, user_name, name, command_line, cwd, tty, start_time, exec_id FROM processes
      WHERE end_time IS NULL AND ppid = 1 AND (name IN ${SHELLS} OR ${isInterpreter("name")})
      AND (cgroup_path IS NULL OR cgroup_path NOT LIKE '/system.slice/%.service%') ORDER BY start_time DESC`,
  },
  {
    name: "many-children",
    title: "Executions that started many others",
    about: "Builds, scripts in a loop, scanners, fork bombs.",
    parameters: { least: number(100, "at least so many children") },
    sql: `SELECT parent_exec_id, max(parent_name) AS parent_name, count(*) AS children, min(time) AS first_seen,
      max(time) AS last_seen FROM process_events WHERE event_type = 'start' AND parent_exec_id IS NOT NULL
      GROUP BY parent_exec_id HAVING count(*) >= :least ORDER BY children DESC`,
  },
  {
    name: "crashes",
    title: "Programs that died of a fault",
    about: "Signals 4, 6, 7, 8, 11 and 31. Repeated crashes of a service are what attempts at exploiting it look like.",
    parameters: { least: number(1, "at least so many times") },
    sql: `SELECT name, executable_path, exit_signal, count(*) AS crashes, max(time) AS last_seen FROM process_events
      WHERE event_type = 'stop' AND exit_signal IN (4, 6, 7, 8, 11, 31) GROUP BY name, executable_path, exit_signal
      HAVING count(*) >= :least ORDER BY crashes DESC`,
  },
  {
    name: "failing-commands",
    title: "Programs that failed again and again for one user",
    about: "Somebody who tries things out, or a job that is broken.",
    parameters: { least: number(5, "at least so many times") },
    sql: `SELECT user_name, name, exit_code, count(*) AS failures, max(time) AS last_seen FROM process_events
      WHERE event_type = 'stop' AND exit_code <> 0 GROUP BY user_name, name, exit_code HAVING count(*) >= :least
      ORDER BY failures DESC`,
  },
  {
    name: "killed",
    title: "Programs that were killed",
    about: "Signal 9: by the kernel when memory ran out, or by somebody. Security tools among them are a bad sign.",
    sql: `SELECT time, pid, user_name, name, executable_path, duration_ms, exec_id FROM process_events
      WHERE event_type = 'stop' AND exit_signal = 9 ORDER BY time DESC`,
  },
  {
    name: "short-lived",
    title: "Programs that ended at once, by how often",
    about: "What a look at the process table never sees.",
    parameters: { ms: number(50, "lived at most so many milliseconds"), least: number(10, "at least so many times") },
    sql:
      `SELECT executable_path, count(*) AS runs, max(time) AS last_seen, max(user_name) AS user_name FROM process_events
      WHERE event_type = 'stop' AND duration_ms <= :ms GROUP BY executable_path HAVING count(*) >= :least
      ORDER BY runs DESC`,
  },
  {
    name: "long-lived",
    title: "Processes that have lived long",
    about: "Old daemons run old code; what is older than the last update of its package was not restarted.",
    parameters: { days: number(30, "at least so many days") },
    sql: `SELECT pid, user_name, name, command_line, start_time, exec_id FROM processes WHERE end_time IS NULL
      AND kernel_thread IS NOT 1 AND start_time <= :now - :days * 86400000 ORDER BY start_time`,
  },
  {
    name: "unseen-ends",
    title: "Processes whose end nobody saw",
    about: "They were there, and then were not: the collector did not run, or lost records (gaps says when).",
    sql: `SELECT pid, user_name, name, command_line, start_time, end_time, exec_id FROM processes WHERE status = 'lost'
      ORDER BY end_time DESC`,
  },
];
