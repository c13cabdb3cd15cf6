/**
 * `bundle open`: the commands that look into a state, on a bundle.
 *
 * The bundle is checked as `bundle verify` checks it, but for what its ledger proves, and held in memory; then the
 * command runs as on the host that it was made of, at the bundle's time: `--since 1h` is the last hour before it.
 *
 * @module
 */
import { findCommand, formatOption, meant, parseOptions } from "../arguments.ts";
import { type Call, type Command, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import { holdBundle } from "./held_bundle.ts";
import { lacksInTables, NewerBundleError } from "./manifest.ts";
import { BundleReader } from "./reader.ts";
import { BundleRefusedError } from "./bundle_refused.ts";
import { openSource } from "./source.ts";

/** Commands that ask nothing of the host that they run on. */
const COMMANDS_ON_BUNDLES: ReadonlySet<string> = new Set([
  ...[
    "processes",
    "events",
    "tree",
    "process",
    "timeline",
    "alerts",
    "sinks",
    "gaps",
    "query",
    "shell",
    "hunt",
    "stats",
  ],
  ...["baseline", "diff", "report", "export", "audit", "sources", "collectors", "health", "rules"],
]);
/** Of `rules`, what does not read rule files. */
const RULES_ON_BUNDLES: ReadonlySet<string> = new Set(["list", "cost", "exceptions"]);
/** What says where things are on a host, or was said for the whole command line. */
const FOREIGN_OPTIONS = ["state", "config", "set", "plain", "color"];

/** What a command runs on while a bundle is open. */
export interface OpenedBundle {
  /** Of a command: `--state` is the bundle, and now is its time. */
  readonly call: Call;
  readonly reader: BundleReader;
}

/**
 * Runs `use` on a bundle that was checked and is held in memory. `call.values` of it are those of the command line but
 * `--state`, which is the bundle.
 *
 * @throws CommandError when the bundle cannot be read
 */
export async function withBundle(
  call: Call,
  path: string,
  use: (opened: OpenedBundle) => Exit | Promise<Exit>,
): Promise<Exit> {
  const source = openSource(call, path);
  try {
    const reader = await BundleReader.open(source);
    const held = holdBundle(reader, call.progress);
    try {
      call.progress(null);
      for (const lack of lacksInTables(reader.manifest)) call.note(`The bundle lacks: ${lack}`);
      const { time } = reader.manifest, values = { ...call.values, state: held.directory };
      return await use({ reader, call: { ...call, values, now: () => time } });
    } finally {
      held[Symbol.dispose]();
    }
  } catch (error) {
    if (error instanceof NewerBundleError) throw new CommandError(`${path}: ${error.message}`, { cause: error });
    if (!(error instanceof BundleRefusedError)) throw error;
    call.out.discard();
    call.note(`REFUSED: ${error.message}`);
    return EXIT.findings;
  } finally {
    source[Symbol.dispose]();
  }
}

export async function open(call: Call): Promise<Exit> {
  const [path, ...words] = call.arguments;
  if (path === undefined) throw new UsageError("bundle open takes a FILE, and behind -- a command");
  const { command, inner } = await innerCall(call, words.length === 0 ? ["shell"] : words);
  return await withBundle(inner, path, async (opened) => {
    const run = await command.load();
    return await run(path === "-" ? { ...opened.call, readStdin: stdinIsTaken, isInteractive: false } : opened.call);
  });
}

function stdinIsTaken(): never {
  throw new UsageError("Standard input is the bundle; nothing else can be read from it");
}

/** The command behind `--`. @throws UsageError */
async function innerCall(call: Call, words: readonly string[]): Promise<{ command: Command; inner: Call }> {
  const { COMMANDS } = await import("../commands.ts");
  const commands = COMMANDS.filter(({ name }) => COMMANDS_ON_BUNDLES.has(name)),
    names = commands.map(({ name }) => name);
  const command = findCommand(words, COMMANDS);
  if (command === null || !COMMANDS_ON_BUNDLES.has(command.name)) {
    throw new UsageError(`bundle open runs one of ${names.join(", ")}, and not ${command?.name ?? words[0]}`);
  }
  const line = parseOptions(words, command);
  const foreign = FOREIGN_OPTIONS.find((name) => line.values[name] !== undefined);
  if (foreign !== undefined) throw new UsageError(`--${foreign} stands before the --, or has no meaning for a bundle`);
  const [action] = line.arguments;
  if (command.name === "rules" && !RULES_ON_BUNDLES.has(action ?? "")) {
    const known = [...RULES_ON_BUNDLES];
    throw new UsageError(`On a bundle rules takes one of ${known.join(", ")}${meant(action ?? "", known)}`);
  }
  if (command.name === "health" && line.values["watch"] === true) throw new UsageError("A bundle does not change");
  const inner = { ...call, arguments: line.arguments, values: line.values };
  const format = inner.values["format"] === undefined ? call.format : formatOption(inner, command);
  return { command, inner: { ...inner, format } };
}
