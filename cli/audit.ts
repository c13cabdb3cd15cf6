/**
 * `audit`: what the audit ledger holds, and proof of it.
 *
 * @module
 */
import { meant, refuseForeign } from "./arguments.ts";
import { type Call, type Exit, UsageError } from "./command.ts";

interface AuditAction {
  /** Arguments that it takes, by name. */
  readonly takes: readonly string[];
  readonly options: readonly string[];
  readonly load: () => Promise<(call: Call) => Exit | Promise<Exit>>;
}

const ACTIONS: Readonly<Record<string, AuditAction>> = {
  verify: {
    takes: [],
    options: ["against", "key", "secret-file", "witness", "ledger"],
    load: async () => (await import("./audit/verify.ts")).verify,
  },
  show: {
    takes: [],
    options: ["since", "until", "action", "actor", "limit", "ledger"],
    load: async () => (await import("./audit/show.ts")).show,
  },
  prove: {
    takes: ["SEQ"],
    options: ["output", "ledger"],
    load: async () => (await import("./audit/proof.ts")).prove,
  },
  "check-proof": {
    takes: ["FILE"],
    options: ["key", "witness"],
    load: async () => (await import("./audit/proof.ts")).checkProofFile,
  },
  event: {
    takes: ["EVENT_ID"],
    options: ["ledger"],
    load: async () => (await import("./audit/event.ts")).event,
  },
  checkpoint: {
    takes: [],
    options: ["qr", "proof-from", "ledger"],
    load: async () => (await import("./audit/checkpoint.ts")).checkpoint,
  },
};

export async function audit(call: Call): Promise<Exit> {
  const [name, ...rest] = call.arguments, names = Object.keys(ACTIONS);
  if (name === undefined) throw new UsageError(`audit takes one of ${names.join(", ")}`);
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name]! : null;
  if (action === null) throw new UsageError(`audit has no action ${name}${meant(name, names)}`);
  refuseForeign(call, `audit ${name}`, action.options);
  const { takes } = action;
  if (rest.length < takes.length) throw new UsageError(`audit ${name} needs ${takes[rest.length]}`);
  if (rest.length > takes.length) throw new UsageError(`audit ${name} does not take ${rest[takes.length]}`);
  const run = await action.load();
  return await run({ ...call, arguments: rest });
}
