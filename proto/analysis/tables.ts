/**
 * The tables of analyses: what was analysed, how far each stage came, and what was found.
 *
 * One definition, as for the other tables of the catalog: the store, rules over results, the check of what analysers answer
 * and the CLI go by it.
 *
 * @module
 */
import { column, type Table } from "../tables/table.ts";

const ID = column("analysis_id", "INTEGER", "the analysis, in analyses");

const analyses: Table = {
  name: "analyses",
  description: "Analyses of files and processes: what set each going, and how far it came",
  key: ["analysis_id"],
  indexes: [["time"], ["executable_path"]],
  columns: [
    column("analysis_id", "INTEGER", "number of the analysis"),
    column("time", "INTEGER", "when it was asked for"),
    column("chain_id", "TEXT", "the chain of stages"),
    column("trigger_id", "TEXT", "the trigger that set it going; NULL where a person asked"),
    column("actor", "TEXT", "the person who asked"),
    column("priority", "TEXT", "low, normal, high or critical"),
    column("executable_path", "TEXT", "the file"),
    column("inode", "INTEGER", "inode that the file had"),
    column("device", "INTEGER", "device that the file was on, major * 2^20 + minor"),
    column("executable_hash", "TEXT", "SHA-256 of what was analysed, or that the event had"),
    column("pid", "INTEGER", "the process"),
    column("exec_id", "TEXT", "the execution"),
    column("name", "TEXT", "command name of the process"),
    column("user_name", "TEXT", "its user"),
    column("event_id", "INTEGER", "the event in process_events"),
    column("hits", "INTEGER", "how often the trigger asked for the same while it waited"),
    column("depth", "INTEGER", "how many analyses led to this one"),
    column("lineage", "TEXT", "JSON array of the chains of those, the first one first"),
    column(
      "state",
      "TEXT",
      "running, completed, partial (an optional stage is missing), failed, timed_out or cancelled",
    ),
    column("reason", "TEXT", "why, where it is not complete"),
    column("progress", "REAL", "share of the stages that are through, 0 to 1"),
    column("started_time", "INTEGER", "when its first stage began"),
    column("ended_time", "INTEGER", "when it ended; NULL while it runs"),
  ],
};

const analysisStages: Table = {
  name: "analysis_stages",
  description: "The stages of analyses",
  key: ["analysis_id", "stage"],
  indexes: [],
  columns: [
    ID,
    column("stage", "TEXT", "hash, elf, package, strings, memory or yara"),
    column("optional", "INTEGER", "1 where the analysis goes on without it"),
    column("state", "TEXT", "pending, running, completed, failed, timed_out, missing, skipped or cancelled"),
    column("reason", "TEXT", "why, where it is not completed"),
    column("attempts", "INTEGER", "how often it was tried"),
    column("analyzer", "TEXT", "collector that carried it out last"),
    column("started_time", "INTEGER", "when it began"),
    column("ended_time", "INTEGER", "when it ended"),
  ],
};

const fileFacts: Table = {
  name: "file_facts",
  description: "What analyses found out about files",
  key: ["analysis_id"],
  indexes: [["executable_path"], ["executable_hash"]],
  columns: [
    ID,
    column("time", "INTEGER", "when it was looked at"),
    column("executable_path", "TEXT", "the file"),
    column("executable_hash", "TEXT", "SHA-256 in lower-case hexadecimal"),
    column("hash_matches", "INTEGER", "1 when that is the hash that the event had, 0 when not"),
    column("size", "INTEGER", "bytes"),
    column("kind", "TEXT", "elf, script or other"),
    column("interpreter", "TEXT", "the loader of an ELF file, or what the first line of a script names"),
    column("elf_class", "INTEGER", "32 or 64"),
    column("elf_type", "TEXT", "executable, shared, relocatable or core"),
    column("machine", "TEXT", "x86_64, aarch64 and so on"),
    column("is_static", "INTEGER", "1 when nothing is linked to it"),
    column("is_pie", "INTEGER", "1 when it can be loaded anywhere"),
    column("relro", "TEXT", "none, partial or full"),
    column("nx", "INTEGER", "1 when its stack is not executable"),
    column("writable_code", "INTEGER", "1 when a segment is writable and executable"),
    column("stripped", "INTEGER", "1 without a table of symbols"),
    column("build_id", "TEXT", "hexadecimal"),
    column("packer", "TEXT", "UPX, PyInstaller, or what speaks for one that has no name"),
    column("entropy", "REAL", "bits a byte of the whole file"),
    column("code_entropy", "REAL", "highest of its executable sections"),
    column("libraries", "TEXT", "JSON array of the libraries that it is linked to"),
    column("imports", "INTEGER", "symbols that it takes from those"),
    column("notable_imports", "TEXT", "JSON array of those that say what it can do"),
    column("run_path", "TEXT", "where it looks for libraries first"),
    column("section_count", "INTEGER", "sections that its header claims"),
    column("sections", "TEXT", "JSON array of the first sections: name, size, flags, entropy"),
    column("faults", "TEXT", "JSON array of what in the file cannot be so"),
    column("string_count", "INTEGER", "texts in it of any kind"),
    column("package", "TEXT", "Debian package that it came with"),
    column("package_state", "TEXT", "unmodified, modified, owned (its package has no sum of it), unowned or unknown"),
    column("pid", "INTEGER", "the process that ran it"),
    column("exec_id", "TEXT", "the execution"),
    column("user_name", "TEXT", "its user"),
    column("event_id", "INTEGER", "the event in process_events"),
  ],
};

const fileStrings: Table = {
  name: "file_strings",
  description: "Texts in analysed executables that say where they go and what they touch",
  key: ["analysis_id", "place"],
  indexes: [],
  columns: [
    ID,
    column("place", "INTEGER", "1 for the most telling"),
    column("kind", "TEXT", "url, onion, address, email, command, path, secret or wallet"),
    column("text", "TEXT", "at most 256 characters"),
    column("position", "INTEGER", "byte of the file"),
  ],
};

const memoryFacts: Table = {
  name: "memory_facts",
  description: "What analyses found in the memory maps of processes",
  key: ["analysis_id"],
  indexes: [],
  columns: [
    ID,
    column("time", "INTEGER", "when it was looked at"),
    column("pid", "INTEGER", "the process"),
    column("exec_id", "TEXT", "the execution"),
    column("executable_path", "TEXT", "what it runs"),
    column("mappings", "INTEGER", "mappings in all"),
    column("writable_code", "INTEGER", "mappings that are writable and executable"),
    column("anonymous_code", "INTEGER", "executable mappings of no file"),
    column("stray_code_bytes", "INTEGER", "bytes of those two kinds"),
    column("deleted_code", "INTEGER", "executable mappings of files that were removed"),
    column("memfd_code", "INTEGER", "executable mappings of memory files"),
    column("code_files", "INTEGER", "files whose code is mapped"),
    column("suspicious", "TEXT", "JSON array of the suspicious ones"),
    column("is_cut", "INTEGER", "1 when not all of them could be looked at"),
  ],
};

const yaraMatches: Table = {
  name: "yara_matches",
  description: "YARA rules that match analysed files",
  key: ["analysis_id", "rule"],
  indexes: [["rule"]],
  columns: [
    ID,
    column("rule", "TEXT", "file of the rule and its name: miners:xmrig"),
    column("tags", "TEXT", "JSON array of its tags"),
    column("executable_path", "TEXT", "the file"),
    column("executable_hash", "TEXT", "SHA-256 of it"),
    column("time", "INTEGER", "when it was looked at"),
  ],
};

/** In the order in which rows refer to each other. */
export const ANALYSIS_TABLES: readonly Table[] = [
  analyses,
  analysisStages,
  fileFacts,
  fileStrings,
  memoryFacts,
  yaraMatches,
];
