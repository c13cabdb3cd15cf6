/**
 * Hunts for tools, containers, and for what DaemonEye itself missed or found.
 *
 * @module
 */
import { type Hunt, number, SHELLS, word } from "./hunt.ts";

const COMMON = "time, pid, user_name, name, command_line, parent_name, exec_id";

export const TOOL_HUNTS: readonly Hunt[] = [
  {
    name: "downloads",
    title: "Programs that fetch from elsewhere",
    about: "By their names. Where the address is no name, see bare-addresses.",
    sql:
      `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND name IN ('curl', 'wget', 'fetch', 'aria2c',
      'ftp', 'tftp', 'scp', 'sftp', 'rsync') ORDER BY time DESC`,
  },
  {
    name: "bare-addresses",
    title: "Commands that name an address instead of a host",
    about:
      "Names are for people; payloads come from addresses. Addresses of this host and private networks are left out.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start'
      AND command_line REGEXP '[a-z]+://[0-9]{1,3}(\\.[0-9]{1,3}){3}'
      AND command_line NOT REGEXP '://(127|10|192\\.168|172\\.(1[6-9]|2[0-9]|3[01]))\\.' ORDER BY time DESC`,
  },
  {
    name: "tunnels",
    title: "Programs that carry connections through others",
    about: "ssh with -L, -R, -D or -w, and tools made for it.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (name = 'ssh'
      AND command_line REGEXP '^\\S+( -\\S+( [^- ]\\S*)?)* -[46AaCfGgKkMNnqsTtVvXxYy]*[LRDw]' OR name IN ('socat', 'ncat', 'chisel', 'frpc', 'ngrok', 'cloudflared',
      'autossh', 'sshuttle', 'proxychains4', 'iodine', 'dnscat')) ORDER BY time DESC`,
  },
  {
    name: "encoded-commands",
    title: "Commands that decode something, or carry it encoded",
    about:
      "base64 and its relatives, and arguments with a run of its letters that is longer than a hash or a container's id.",
    parameters: { letters: number(100, "of those with such a run, commands of at least so many letters") },
    sql:
      `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (name IN ('base64', 'base32', 'xxd', 'uudecode')
      AND command_line REGEXP ' (-d|-D|-r|--decode)' OR argv_length >= :letters
      AND command_line REGEXP '[A-Za-z0-9+/]{65}' AND length(command_line) >= :letters) ORDER BY time DESC`,
  },
  {
    name: "compilers",
    title: "Who builds programs here",
    about: "On a server, nobody should: exploits are compiled where they are to run.",
    sql:
      `SELECT user_name, name, count(*) AS starts, min(time) AS first_seen, max(time) AS last_seen FROM process_events
      WHERE event_type = 'start' AND name IN ('gcc', 'cc', 'cc1', 'g++', 'clang', 'tcc', 'as', 'ld', 'rustc', 'go', 'make')
      GROUP BY user_name, name ORDER BY starts DESC`,
  },
  {
    name: "stays-after-reboot",
    title: "Commands that make something start by itself",
    about: "crontab, at, systemctl enable and their like, but not what only lists. Packages' scripts use them, too.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (name IN ('crontab', 'at', 'batch',
      'update-rc.d', 'chkconfig', 'systemd-run') AND command_line NOT REGEXP ' (-l|--list)( |$)' OR name = 'systemctl' AND command_line LIKE '% enable%') ORDER BY time DESC`,
  },
  {
    name: "kernel-modules",
    title: "Commands that load or remove modules of the kernel",
    about: "A module can hide whatever it likes. Drivers are loaded at boot and when something is plugged in.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start'
      AND name IN ('insmod', 'modprobe', 'rmmod', 'kmod', 'depmod', 'dkms') ORDER BY time DESC`,
  },
  {
    name: "scanners",
    title: "Tools that look around in a network",
    about: "By their names.",
    sql:
      `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND name IN ('nmap', 'masscan', 'zmap', 'rustscan',
      'nikto', 'sqlmap', 'hydra', 'medusa', 'gobuster', 'ffuf', 'enum4linux', 'smbclient', 'ldapsearch') ORDER BY time DESC`,
  },
  {
    name: "captures",
    title: "Tools that read what goes over the network, or what others do",
    about: "tcpdump and its like, and debuggers that look into other processes.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND name IN ('tcpdump', 'tshark', 'dumpcap',
      'ngrep', 'ettercap', 'strace', 'ltrace', 'gdb', 'gcore', 'bpftrace') ORDER BY time DESC`,
  },
  {
    name: "command-contains",
    title: "Commands that contain a text",
    about: "An indicator out of a report: a host, a path, a flag. Letters A to Z match in either case.",
    parameters: { text: word(null, "what to look for") },
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND length(:text) > 0
      AND instr(lower(command_line), lower(:text)) > 0 ORDER BY time DESC`,
  },
  {
    name: "container-programs",
    title: "What ran in containers, by container",
    about: "A container does one thing; a program that was started once does not belong to it.",
    parameters: { container: word("", "begin of the container's id; every container by default") },
    sql: `SELECT container_id, executable_path, count(*) AS starts, min(time) AS first_seen, max(time) AS last_seen
      FROM process_events WHERE event_type = 'start' AND container_id IS NOT NULL
      AND substr(container_id, 1, length(:container)) = :container GROUP BY container_id, executable_path ORDER BY starts`,
  },
  {
    name: "container-shells",
    title: "Shells in containers, with a terminal",
    about: "docker exec -it: somebody works in a container.",
    sql:
      `SELECT ${COMMON}, container_id, tty FROM process_events WHERE event_type = 'start' AND container_id IS NOT NULL
      AND name IN ${SHELLS} AND tty IS NOT NULL ORDER BY time DESC`,
  },
  {
    name: "container-rights",
    title: "Processes in containers that could take the host",
    about: "They hold SYS_ADMIN, SYS_MODULE or SYS_PTRACE: privileged containers.",
    sql: `SELECT pid, container_id, container_runtime, user_name, name, command_line, start_time, exec_id FROM processes
      WHERE end_time IS NULL AND container_id IS NOT NULL
      AND effective_capabilities & ((1 << 21) | (1 << 16) | (1 << 19)) <> 0 ORDER BY start_time DESC`,
  },
  {
    name: "memory-hogs",
    title: "Processes that take much memory",
    about: "When last seen.",
    parameters: { mib: number(1_024, "at least so many MiB") },
    sql: `SELECT pid, user_name, name, memory_usage, cpu_time_ms, start_time, command_line, exec_id FROM processes
      WHERE end_time IS NULL AND memory_usage >= :mib * 1048576 ORDER BY memory_usage DESC`,
  },
  {
    name: "busy-processes",
    title: "Processes that took much time of the processors",
    about: "Since their start. Miners run long and busy, and are named like something else.",
    parameters: { minutes: number(60, "at least so many minutes of CPU time") },
    sql: `SELECT pid, user_name, name, executable_path, cpu_time_ms, start_time, command_line, exec_id FROM processes
      WHERE end_time IS NULL AND cpu_time_ms >= :minutes * 60000 ORDER BY cpu_time_ms DESC`,
  },
  {
    name: "alerts-that-meet",
    title: "Executions that several rules found",
    about: "One rule may be wrong; two that agree seldom are.",
    parameters: { least: number(2, "at least so many rules") },
    sql: `SELECT exec_id, count(DISTINCT rule_id) AS rules, min(time) AS first_seen, max(time) AS last_seen,
      max(command_line) AS command_line, group_concat(rule_id, ', ') AS rule_ids FROM alerts
      WHERE exec_id IS NOT NULL GROUP BY exec_id HAVING count(DISTINCT rule_id) >= :least ORDER BY rules DESC`,
  },
  {
    name: "noisy-rules",
    title: "Rules by how often they fired",
    about: "What fires all day is not read: give it an exception, or a better condition.",
    parameters: { least: number(10, "at least so many alerts") },
    sql:
      `SELECT rule_id, severity, count(*) AS alerts, count(DISTINCT executable_path) AS programs, max(time) AS last_seen
      FROM alerts GROUP BY rule_id, severity HAVING count(*) >= :least ORDER BY alerts DESC`,
  },
  {
    name: "blind-spots",
    title: "Times in which something was not seen, by source and reason",
    about: "Who wants not to be seen makes losses, or ends the collector.",
    sql: `SELECT source, reason, count(*) AS gaps, sum(count) AS records, min(from_time) AS first_seen,
      max(to_time) AS last_seen FROM gaps GROUP BY source, reason ORDER BY gaps DESC`,
  },
];
