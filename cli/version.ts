/**
 * `version`: what this program is, and with `--verbose` what it may do: the runtime is asked, not the launcher.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../proto/catalog.ts";
import { VERSION } from "../proto/version.ts";
import { atMostArguments } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "./command.ts";
import { PROGRAM } from "./help.ts";
import type { ShownColumn } from "./output.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";

/** Every kind of permission that the runtime knows; reading is the only one that this program is to have. */
const KINDS = ["read", "write", "net", "env", "run", "ffi", "sys"] as const;

export function version(call: Call): Exit {
  atMostArguments(call, 0, "version");
  if (call.values["verbose"] !== true) {
    call.out.write(`${PROGRAM} ${VERSION}\n`);
    return EXIT.complete;
  }
  const output = openRows(call, ["name", "value"], SHOWN), beyond: string[] = [];
  output.add([PROGRAM, VERSION]);
  output.add(["store schema", String(SCHEMA_VERSION)]);
  output.add(["deno", Deno.version.deno]);
  output.add(["v8", Deno.version.v8]);
  output.add(["sqlite", sqliteVersion()]);
  const ask = (what: string, descriptor: Deno.PermissionDescriptor, yes: string, no: string): void => {
    const isGranted = Deno.permissions.querySync(descriptor).state === "granted";
    output.add([`may ${what}`, isGranted ? yes : no]);
    if (isGranted && descriptor.name !== "read") beyond.push(what);
  };
  for (const name of KINDS) ask(name, { name } as Deno.PermissionDescriptor, "everything", "not everything");
  for (const [what, descriptor] of probes(call)) ask(what, descriptor, "yes", "no");
  output.end();
  if (beyond.length === 0) return EXIT.complete;
  call.note(`This program needs only to read, but may also ${beyond.join(", ")}: start it by its launcher`);
  return EXIT.findings;
}

/** The runtime says of a grant in part only whether it holds for what is asked: so what matters is asked for. */
function probes(call: Call): [what: string, Deno.PermissionDescriptor][] {
  const found: [string, Deno.PermissionDescriptor][] = [];
  try {
    const { layout, rulesDirs } = findPlaces(call), { agent, collectorStatus, ledger, keys, wal, token } = layout;
    for (const path of [agent, collectorStatus, ledger, ...rulesDirs, keys, wal, token]) {
      found.push([`read ${path}`, { name: "read", path }]);
    }
    for (const path of [layout.state, layout.requests]) found.push([`write ${path}`, { name: "write", path }]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  found.push(
    ["write /tmp", { name: "write", path: "/tmp" }],
    ["reach 127.0.0.1", { name: "net", host: "127.0.0.1" }],
    ["run /bin/sh", { name: "run", command: "/bin/sh" }],
    ["read the variable PATH", { name: "env", variable: "PATH" }],
    ["ask for the host's name", { name: "sys", kind: "hostname" }],
  );
  return found;
}

function sqliteVersion(): string {
  const db = new DatabaseSync(":memory:");
  try {
    return String((db.prepare("SELECT sqlite_version() AS version").get() as { version: string }).version);
  } finally {
    db.close();
  }
}

const SHOWN: readonly ShownColumn[] = [
  { name: "name", title: "WHAT", keep: true },
  { name: "value", title: "IS", least: 10 },
];
