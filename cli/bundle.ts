/**
 * `bundle`: evidence that leaves the host as one file, and what can be done with one anywhere.
 *
 * @module
 */
import { meant, refuseForeign } from "./arguments.ts";
import { type Call, type Exit, UsageError } from "./command.ts";

interface BundleAction {
  readonly options: readonly string[];
  readonly load: () => Promise<(call: Call) => Exit | Promise<Exit>>;
}

/** Without an action a bundle is made. */
const MAKE: BundleAction = {
  options: ["since", "until", "time", "sign", "no-ledger"],
  load: async () => (await import("./bundle/make.ts")).makeBundle,
};

const ACTIONS: Readonly<Record<string, BundleAction>> = {
  verify: { options: ["key"], load: async () => (await import("./bundle/verify.ts")).verify },
  open: { options: [], load: async () => (await import("./bundle/open.ts")).open },
  report: {
    options: ["since", "until", "redact"],
    load: async () => (await import("./bundle/report.ts")).reportBundle,
  },
  diff: { options: ["kind", "columns"], load: async () => (await import("./bundle/diff.ts")).diffBundles },
};

export async function bundle(call: Call): Promise<Exit> {
  const [name, ...rest] = call.arguments, names = Object.keys(ACTIONS);
  if (name !== undefined && !Object.hasOwn(ACTIONS, name)) {
    throw new UsageError(`bundle has no action ${name}${meant(name, names)}; without one it makes a bundle`);
  }
  const action = name === undefined ? MAKE : ACTIONS[name]!, told = name === undefined ? "bundle" : `bundle ${name}`;
  refuseForeign(call, told, action.options);
  const run = await action.load();
  return await run({ ...call, arguments: rest });
}
