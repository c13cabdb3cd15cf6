/**
 * Hunts for what ran: where its file lies, what became of it, how often it was seen.
 *
 * @module
 */
import { type Hunt, isInterpreter, number, SHELLS, word } from "./hunt.ts";

const COMMON = "time, pid, user_name, executable_path, command_line, parent_name, exec_id";

export const FILE_HUNTS: readonly Hunt[] = [
  {
    name: "run-from-temporary",
    title: "Programs run from directories that everybody may write",
    about:
      "Payloads land there because nothing else is writable; builds and installers run there too. Look at the parent.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND (executable_path LIKE '/tmp/%'
      OR executable_path LIKE '/var/tmp/%' OR executable_path LIKE '/dev/shm/%' OR executable_path LIKE '/run/user/%')
      ORDER BY time DESC`,
  },
  {
    name: "run-from-home",
    title: "Programs run from home directories, by how often",
    about: "What a user brought along, outside of the packages of the host. A name that is seen once is worth a look.",
    sql: `SELECT executable_path, user_name, count(*) AS starts, min(time) AS first_seen, max(time) AS last_seen
      FROM process_events WHERE event_type = 'start' AND (executable_path LIKE '/home/%' OR executable_path LIKE '/root/%')
      GROUP BY executable_path, user_name ORDER BY starts`,
  },
  {
    name: "hidden-programs",
    title: "Programs whose file or directory is hidden",
    about:
      "A name that begins with a dot is left out by ls. Tools of developers live in such directories too, and run often.",
    sql: `SELECT executable_path, user_name, count(*) AS starts, min(time) AS first_seen, max(time) AS last_seen,
      max(parent_name) AS parent_name FROM process_events WHERE event_type = 'start' AND executable_path LIKE '%/.%'
      GROUP BY executable_path, user_name ORDER BY starts, last_seen DESC`,
  },
  {
    name: "deleted-programs",
    title: "Processes that run from a file that is gone",
    about: "A program that removed itself, or a package that was updated below it: a restart tells them apart.",
    sql: `SELECT pid, user_name, executable_path, command_line, start_time, exec_id FROM processes
      WHERE end_time IS NULL AND executable_kind = 'deleted' ORDER BY start_time DESC`,
  },
  {
    name: "memory-programs",
    title: "Programs that never were a file",
    about:
      "An anonymous file in memory (memfd) was executed: loaders of malware do so, and container runtimes of themselves.",
    sql:
      `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND executable_kind = 'memfd' ORDER BY time DESC`,
  },
  {
    name: "foreign-programs",
    title: "Programs of another mount namespace outside of known containers",
    about: "Their path means nothing on the host. A sandbox (snap, flatpak, bubblewrap) is the usual reason.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND executable_kind = 'foreign'
      AND container_id IS NULL ORDER BY time DESC`,
  },
  {
    name: "missing-files",
    title: "Programs whose file was gone when it was looked for",
    about: "The file was removed within moments of its start: a dropper that cleans up behind itself.",
    sql: `SELECT ${COMMON} FROM process_events WHERE file_exists = 0 ORDER BY time DESC`,
  },
  {
    name: "changed-files",
    title: "Programs whose file on disk is not the one that runs",
    about: "The file was replaced after the start: an update, or somebody who hides what runs.",
    sql: `SELECT ${COMMON} FROM process_events WHERE on_disk_mismatch = 1 ORDER BY time DESC`,
  },
  {
    name: "scripts-from-temporary",
    title: "Scripts run from directories that everybody may write",
    about: "The interpreter lies where it should; the script does not: by its first line, or as an argument.",
    sql: `SELECT time, pid, user_name, script_path, executable_path, command_line, parent_name, exec_id
      FROM process_events WHERE event_type = 'start' AND (script_path LIKE '/tmp/%' OR script_path LIKE '/var/tmp/%'
      OR script_path LIKE '/dev/shm/%' OR script_path LIKE '/run/user/%' OR (name IN ${SHELLS} OR ${
      isInterpreter("name")
    })
      AND command_line REGEXP '^\\S+( -\\S+)* (/tmp|/var/tmp|/dev/shm|/run/user)/') ORDER BY time DESC`,
  },
  {
    name: "rare-programs",
    title: "Programs that were started seldom",
    about: "The long tail: what a host does once is where what does not belong there stands out.",
    parameters: { most: number(2, "started at most so many times") },
    sql: `SELECT executable_path, count(*) AS starts, min(time) AS first_seen, max(time) AS last_seen,
      max(user_name) AS user_name FROM process_events WHERE event_type = 'start' AND executable_path IS NOT NULL
      GROUP BY executable_path HAVING count(*) <= :most ORDER BY starts, last_seen DESC`,
  },
  {
    name: "new-programs",
    title: "Programs that were never seen before the last hours",
    about: "As far as --since reaches back. After an update of packages many are new; they share one moment.",
    parameters: { hours: number(24, "first seen within so many hours") },
    sql: `SELECT executable_path, min(time) AS first_seen, count(*) AS starts, max(user_name) AS user_name
      FROM process_events WHERE event_type = 'start' AND executable_path IS NOT NULL GROUP BY executable_path
      HAVING min(time) >= :now - :hours * 3600000 ORDER BY first_seen DESC`,
  },
  {
    name: "many-hashes",
    title: "Paths under which different files ran",
    about: "An update gives a path a second hash; several in a short time do not come from the package system.",
    parameters: { least: number(2, "at least so many hashes") },
    sql:
      `SELECT executable_path, count(DISTINCT executable_hash) AS hashes, min(time) AS first_seen, max(time) AS last_seen
      FROM process_events WHERE executable_hash IS NOT NULL GROUP BY executable_path
      HAVING count(DISTINCT executable_hash) >= :least ORDER BY hashes DESC`,
  },
  {
    name: "many-names",
    title: "Files that ran under different paths",
    about:
      "The same bytes under another name: a renamed tool, such as a shell that was copied to where it is not looked for.",
    parameters: { least: number(2, "at least so many paths") },
    sql: `SELECT executable_hash, count(DISTINCT executable_path) AS paths, min(executable_path) AS one_path,
      max(executable_path) AS other_path FROM process_events WHERE executable_hash IS NOT NULL GROUP BY executable_hash
      HAVING count(DISTINCT executable_path) >= :least ORDER BY paths DESC`,
  },
  {
    name: "hash",
    title: "Runs of a file, by its hash",
    about: "When did this binary first appear, where, and who ran it? The hash is what threat reports name.",
    parameters: { hash: word(null, "SHA-256 of the file, lower-case hexadecimal") },
    sql: `SELECT ${COMMON} FROM process_events WHERE executable_hash = lower(:hash) ORDER BY time`,
  },
  {
    name: "kernel-thread-names",
    title: "Programs that look like threads of the kernel",
    about: "A command line in brackets is how ps shows threads of the kernel, which have no file. These have one.",
    sql: `SELECT ${COMMON} FROM process_events WHERE event_type = 'start' AND command_line LIKE '[%]%'
      AND executable_path IS NOT NULL ORDER BY time DESC`,
  },
  {
    name: "names-that-differ",
    title: "Programs that changed the name that the kernel shows",
    about:
      "The command name is not the begin of the file's name. Many daemons rename themselves; a sh that is dash, bash or busybox is left out.",
    sql: `SELECT pid, user_name, name, executable_path, command_line, start_time, exec_id FROM processes
      WHERE end_time IS NULL AND executable_path IS NOT NULL AND script_path IS NULL
      AND substr(path_basename(executable_path), 1, length(name)) <> name
      AND NOT (name = 'sh' AND path_basename(executable_path) IN ('dash', 'bash', 'busybox')) ORDER BY start_time DESC`,
  },
  {
    name: "long-commands",
    title: "Command lines that are very long",
    about: "Payloads that are handed over as an argument, and compilers with their many flags.",
    parameters: { bytes: number(4_096, "at least so many bytes") },
    sql: `SELECT time, pid, user_name, name, argv_length, command_line, exec_id FROM process_events
      WHERE event_type = 'start' AND argv_length >= :bytes ORDER BY argv_length DESC`,
  },
];
