/**
 * The files of a new collector.
 *
 * @module
 */

/** What stands in them. */
export interface CollectorNames {
  readonly name: string;
  /** Where it is written. */
  readonly directory: string;
  /** This tree. */
  readonly toolkit: string;
  /** The runtime. */
  readonly deno: string;
  /** As root, the user that it is to run as; `null` otherwise: as whoever starts the supervisor. */
  readonly user: number | null;
  /** The imports of this tree, which its `mod.ts` needs. */
  readonly imports: Readonly<Record<string, string>>;
}

/** Text by file. */
export function collectorFiles(names: CollectorNames): Record<string, string> {
  const { name } = names, table = `${name.replaceAll("-", "_")}_samples`;
  return {
    "deno.json": configuration(names),
    "main.ts": main(name),
    "source.ts": source(name, table),
    "source_test.ts": test(table),
    [`rules/${name}-almost-full.yml`]: rule(name, table),
    "collectors.json": JSON.stringify({ collectors: [entry(names)] }, null, 2) + "\n",
    "README.md": readme(names, table),
  };
}

function configuration({ toolkit, imports }: CollectorNames): string {
  return JSON.stringify(
    {
      tasks: { test: `deno test --quiet --no-prompt --allow-read=.,/tmp --allow-write=/tmp --allow-sys=statfs` },
      // What it may do when it runs stands in collectors.json, where it is started
      imports: {
        ...Object.fromEntries(Object.entries(imports).filter(([key]) => key !== "fast-check")),
        daemoneye: `${toolkit}/mod.ts`,
      },
      lock: false,
      nodeModulesDir: "none",
      unstable: ["net"],
    },
    null,
    2,
  ) + "\n";
}

function main(name: string): string {
  return `/**
 * The ${name} collector, as the supervisor of DaemonEye starts it.
 *
 * @module
 */
import { runCollector } from "daemoneye";
import { FileSystemSource } from "./source.ts";

// A directory that it may look at anyway; others need --allow-read of each in collectors.json
const path = Deno.env.get("DAEMONEYE_COLLECTOR_STATE") ?? ".";
await runCollector({ type: "${name}", version: "1.0", sources: [new FileSystemSource([path], 10_000)] });
`;
}

function source(name: string, table: string): string {
  return `/**
 * Tells now and then how full file systems are. Put what your collector sees in its place.
 *
 * @module
 */
import { statfs } from "node:fs/promises";
import type { EventSource, Sink, SourceHealth, TableDescriptor } from "daemoneye";

export const SAMPLES: TableDescriptor = {
  name: "${table}",
  // Add columns at the end, and raise the version
  version: 1,
  description: "How full file systems were",
  columns: [
    { name: "path", type: "TEXT", description: "a directory of the file system" },
    { name: "total_bytes", type: "INTEGER", description: "its size" },
    { name: "free_bytes", type: "INTEGER", description: "what ordinary users may still use" },
    { name: "used_percent", type: "REAL", description: "share that is used" },
  ],
};

export class FileSystemSource implements EventSource {
  readonly name = "${name}";
  // It looks now and then, at the whole host; what was while it did not run it cannot know
  readonly capabilities = { realtime: false, systemWide: true, resumes: false };
  readonly tables = [SAMPLES];
  readonly #paths: readonly string[];
  readonly #intervalMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> = Promise.resolve();
  #fault = "";

  constructor(paths: readonly string[], intervalMs: number) {
    this.#paths = paths;
    this.#intervalMs = intervalMs;
  }

  async start(sink: Sink): Promise<void> {
    await this.#look(sink); // what it throws now makes the source unavailable, and it is started again
    this.#next(sink);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#looking;
    clearTimeout(this.#timer);
  }

  health(): SourceHealth {
    const detail = \`free room of \${this.#paths.join(", ")} every \${this.#intervalMs / 1_000} s\`;
    return this.#fault === ""
      ? { state: "active", detail, misses: [] }
      : { state: "degraded", detail, misses: [this.#fault] };
  }

  #next(sink: Sink): void {
    if (sink.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#looking = sink.ready().then(() => this.#look(sink)).then(() => void (this.#fault = ""), (error) => {
        this.#fault = error instanceof Error ? error.message : String(error);
      }).then(() => this.#next(sink));
    }, this.#intervalMs);
  }

  async #look(sink: Sink): Promise<void> {
    for (const path of this.#paths) {
      const { bsize, blocks, bavail } = await statfs(path);
      const total = bsize * blocks, free = bsize * bavail;
      const used = total === 0 ? 0 : Math.round(1_000 * (total - free) / total) / 10;
      sink.put("${table}", { path, total_bytes: total, free_bytes: free, used_percent: used });
    }
  }
}
`;
}

function test(table: string): string {
  return `/** The collector against itself; \`deno task test\` runs it under few grants. */
import assert from "node:assert/strict";
import { parseRule, runRuleTests, tableOf, testCollector, validateRule } from "daemoneye";
import { FileSystemSource, SAMPLES } from "./source.ts";

Deno.test("it keeps to what a collector must", async () => {
  const directory = Deno.makeTempDirSync({ dir: "/tmp" });
  try {
    // Every check that passed; it throws with the faults when one did not
    const results = await testCollector(() => new FileSystemSource(["/tmp"], 20), { directory });
    assert.equal(results.length, 8);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("its rules pass their tests", () => {
  const tables = new Map([["${table}", tableOf(SAMPLES)]]), directory = \`\${import.meta.dirname}/rules\`;
  for (const { name } of Deno.readDirSync(directory)) {
    const rule = validateRule(parseRule(Deno.readTextFileSync(\`\${directory}/\${name}\`), name, tables), tables);
    assert.deepEqual(runRuleTests(rule).filter(({ passed }) => !passed), []);
  }
});
`;
}

function rule(name: string, table: string): string {
  return `id: ${name}-almost-full
title: A file system is almost full
description: >-
  More than nine tenths of a file system are used: logs may be lost, or are being flooded.
severity: medium
tags: [attack.impact, attack.t1499]
table: ${table}
sql: |
  SELECT path, used_percent
  FROM ${table}
  WHERE used_percent > 90
tests:
  match:
    - { path: /data, used_percent: 97.5 }
  no_match:
    - { path: /data, used_percent: 12.0 }
`;
}

/** How the supervisor starts it: everything that it may do, and nothing else. */
function entry({ name, directory, toolkit, deno, user }: CollectorNames): Record<string, unknown> {
  const state = `${directory}/state`, socket = "STATE/run/broker.sock";
  // A user of its own has no cache of the runtime with the packages in it: it gets a bundle, and a cache in its state
  const sources = user === null ? `,${toolkit}` : "";
  return {
    id: name,
    command: [
      ...[deno, "run", "--quiet", "--no-prompt"],
      ...user === null
        ? ["--cached-only", `--config=${directory}/deno.json`]
        : ["--no-remote", "--no-npm", "--no-config", "--no-lock", "--unstable-net", "--allow-import=none.invalid:443"],
      `--allow-read=${state},${socket}${sources}`,
      `--allow-write=${state},${socket}`,
      `--allow-net=unix:${socket}`,
      "--allow-env=DAEMONEYE_COLLECTOR_ID,DAEMONEYE_BROKER_SOCKET,DAEMONEYE_COLLECTOR_STATE",
      "--allow-sys=statfs",
      `${directory}/${user === null ? "main.ts" : `${name}.js`}`,
    ],
    ...user === null ? {} : { user },
    env: { DAEMONEYE_COLLECTOR_STATE: state, ...cacheOf(user, state) },
  };
}

/** Where the runtime finds what it keeps: for a user of its own in its state, else where whoever writes this has it. */
function cacheOf(user: number | null, state: string): Record<string, string> {
  if (user !== null) return { DENO_DIR: `${state}/deno` };
  const own = Deno.env.get("DENO_DIR");
  return own === undefined ? {} : { DENO_DIR: own };
}

function readme({ name, directory, toolkit, user }: CollectorNames, table: string): string {
  const prepared = user === null
    ? `As root a collector runs as a user of its own, from a bundle: write it as root, and this page says how.`
    : `It runs as user ${user}; take a number that no other collector has, here and in \`collectors.json\`. Bundle it, and give it
its state, again whenever you have changed it:

\`\`\`sh
cd ${directory}
deno bundle --quiet -o ${name}.js main.ts
install -d -o ${user} -m 700 state
\`\`\``;
  return `# ${name}: a collector for DaemonEye

Tells every ten seconds how full the file system of its own directory is, in the table \`${table}\`. \`source.ts\` is what you change.

## Try it

\`\`\`sh
cd ${directory}
deno task test
\`\`\`

runs the conformance suite (lifecycle, schema, backpressure, crash, an agent that is killed, one that is hostile,
permissions) under few grants, and the tests of \`rules/\`.

## Run it

${prepared}

\`STATE\` is the state directory of your DaemonEye, as an absolute path: \`${toolkit}/.daemoneye\` in a checkout.

\`\`\`sh
STATE=${toolkit}/.daemoneye
mkdir -p $STATE/rules
sed "s|STATE/|$STATE/|g" ${directory}/collectors.json > $STATE/collectors.json
cp ${directory}/rules/*.yml $STATE/rules/
cd ${toolkit}
deno task start
\`\`\`

If there is a \`collectors.json\` already, put the entry of this one into its list.

## See it

\`\`\`sh
deno task cli health                 # under registered: ${name}
deno task cli query --schema ${table}
deno task cli query "SELECT time, path, used_percent FROM ${table} ORDER BY time DESC LIMIT 5"
deno task cli rules list             # ${name}-almost-full, lane: table ${table}
\`\`\`

\`docs/collectors.md\` of DaemonEye says the rest.
`;
}
