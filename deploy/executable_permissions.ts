/**
 * The permissions that really stand in a compiled executable or a launcher, read back from the file itself.
 *
 * `deno compile` puts a JSON description behind the doubled magic `d3n0l4nd`, with its length as u64 little-endian
 * (cli/standalone in Deno's sources; looked at in 2.9.6). Anything that is not exactly as expected throws or is reported:
 * a new kind of permission, a deny list, a prompt.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { GRANT_KINDS, type TierGrants } from "./privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "./runtime_flags.ts";
import { launcherCommand } from "./launcher.ts";

/** The file is not a compiled executable as this Deno makes them, or not a launcher of ours. */
export class InspectionError extends Error {
  override name = "InspectionError";
}

const MAGIC = "d3n0l4ndd3n0l4nd";
/** Far above any description, far below the program behind it. */
const MAX_DESCRIPTION_BYTES = 1_048_576;

export interface Embedded {
  /** Arguments that come before those of the command line. */
  readonly args: readonly string[];
  readonly permissions: Readonly<Record<string, unknown>>;
  /** The environment that the executable sets, and where its telemetry goes: all must be empty or off. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/** What `deno compile` wrote into the executable at `path`. @throws {InspectionError} */
export async function readEmbedded(path: string): Promise<Embedded> {
  const bytes = Buffer.from((await Deno.readFile(path)).buffer);
  const at = bytes.indexOf(MAGIC, 0, "latin1");
  if (at < 0) throw new InspectionError(`${path} is not a compiled executable: it lacks the mark ${MAGIC}`);
  if (bytes.indexOf(MAGIC, at + 1, "latin1") >= 0) throw new InspectionError(`${path} holds more than one program`);
  const start = at + MAGIC.length + 8;
  const length = Number(bytes.readBigUInt64LE(at + MAGIC.length));
  if (length > MAX_DESCRIPTION_BYTES) throw new InspectionError(`${path} claims a description of ${length} bytes`);
  const { argv, permissions, env_vars_from_env_file, ca_data, unsafely_ignore_certificate_errors, otel_config } = JSON
    .parse(bytes.toString("utf8", start, start + length));
  if (!Array.isArray(argv) || typeof permissions !== "object" || permissions === null) {
    throw new InspectionError(`${path} describes itself in a way that this program does not know`);
  }
  return {
    args: argv,
    permissions,
    rest: {
      env_vars_from_env_file,
      ca_data,
      unsafely_ignore_certificate_errors,
      tracing: otel_config?.tracing_enabled,
      metrics: otel_config?.metrics_enabled,
    },
  };
}

const NOTHING_ELSE = {
  env_vars_from_env_file: {},
  ca_data: null,
  unsafely_ignore_certificate_errors: null,
  tracing: false,
  metrics: false,
};

/** Where an executable differs from its grants, one sentence each; empty when it does not. */
export async function executableDifferences(path: string, grants: TierGrants): Promise<string[]> {
  const { permissions, rest } = await readEmbedded(path);
  const expected: Record<string, unknown> = { prompt: false };
  // `null` is not granted, `[]` would be everything.
  for (const kind of GRANT_KINDS) expected[`allow_${kind}`] = grants[kind].length > 0 ? grants[kind] : null;
  const differences = compare(path, { ...permissions, ...rest }, { ...expected, ...NOTHING_ELSE });
  return differences;
}

function compare(
  path: string,
  found: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, unknown>>,
): string[] {
  const differences: string[] = [];
  for (const key of new Set([...Object.keys(found), ...Object.keys(expected)])) {
    // Lists of what is denied or ignored are not ours: they must be there and empty-handed.
    const want = key in expected ? expected[key] : null;
    if (JSON.stringify(found[key]) !== JSON.stringify(want)) {
      differences.push(`${path}: ${key} is ${JSON.stringify(found[key])}, not ${JSON.stringify(want)}`);
    }
  }
  return differences;
}

/**
 * Where a launcher differs from its grants, or starts another program than `program`, itself by default; empty when it
 * does not. @throws {InspectionError}
 */
export async function launcherDifferences(
  path: string,
  grants: TierGrants,
  program: string | null = null,
): Promise<string[]> {
  const command = launcherCommand(await Deno.readTextFile(path));
  if (command === null) throw new InspectionError(`${path} is not a launcher of ours`);
  const { flags } = command;
  const expected = [...BUNDLE_FLAGS, "--ext=js", ...grantFlags(grants)];
  const missing = expected.filter((flag) => !flags.includes(flag)).map((flag) => `${path}: ${flag} is missing`);
  const surplus = flags.filter((flag) => !expected.includes(flag)).map((flag) =>
    `${path}: ${flag} is not a grant of the tier`
  );
  const other = command.program === program ? [] : [`${path}: it starts ${command.program ?? "itself"}`];
  return [...missing, ...surplus, ...other];
}
