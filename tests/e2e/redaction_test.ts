/**
 * Redaction on real processes of this machine: what is planted is in no file and no output, what is innocent is whole.
 *
 * As root this runs on eBPF, otherwise on the polling rung, whose processes must live for some intervals to be seen.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { HeldProcess, WAITING_SHELL } from "../support/held_process.ts";
import { innocentArguments, type Plant, plantSecrets } from "../support/planted.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });
/** Processes at once. */
const AT_ONCE = 50;
/** Two hundred processes are little, but the host may be busy with others. */
const PATIENCE_MS = 120_000;

/** Variables of the plants, and those that the innocents get. */
const CAPTURED = [
  ...new Set(plantSecrets().map(({ variable }) => variable.slice(0, variable.indexOf("=")))),
  "PLAIN_*",
];
const CONFIG = `collector:\n  poll_interval_ms: 300\n  environment: ${JSON.stringify(CAPTURED)}\n`;

/** Arguments and variables of a shell, and its number behind the marker. */
interface Shell {
  readonly number: number;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
}

/**
 * Runs shells with these arguments and variables as their own until all are stored beside those that were `before`. The
 * kernel's events have them also of those that end at once.
 */
async function hold(world: World, marker: string, shells: readonly Shell[], before = 0): Promise<void> {
  for (let at = 0; at < shells.length; at += AT_ONCE) {
    const turn = shells.slice(at, at + AT_ONCE);
    await using held = new AsyncDisposableStack();
    for (const { number, args, env } of turn) {
      const script = kernel.ignore ? WAITING_SHELL : "exit 0";
      held.use(new HeldProcess("/bin/sh", ["-c", script, `${marker}-${number}`, ...args], env));
    }
    await untilStored(world, marker, before + at + turn.length);
  }
}

/** Waits until so many marked shells are stored. Only counted, as it is asked again and again. */
async function untilStored(world: World, marker: string, count: number): Promise<void> {
  const sql = `SELECT count(*) FROM process_events WHERE ${MARKED}`;
  await world.until(`${count} starts are stored`, () => world.count(sql, `%${marker}-%`) >= count, PATIENCE_MS);
}

const MARKED = `event_type = 'start' AND name = 'sh' AND command_line LIKE ?`;

function variableOf(plant: Plant): Record<string, string> {
  const equals = plant.variable.indexOf("=");
  return { [plant.variable.slice(0, equals)]: plant.variable.slice(equals + 1) };
}

/** Whether the source gives environments: it tells of circumstances at all, and does not say that these are unknown. */
function knowsEnvironment(world: World): boolean {
  const active = world.collectorStatus()!.sources.filter((source) => source.state === "active");
  return active.some((source) => !source.unknownColumns.includes("environment")) &&
    world.count("SELECT count(*) FROM process_events WHERE event_type = 'start' AND cwd IS NOT NULL") > 0;
}

/** Rows of the starts of marked shells, by the number behind their marker. */
function starts(world: World, marker: string): Map<number, { argv: string[]; environment: string | null }> {
  const rows = world.query(
    `SELECT argv, environment FROM process_events WHERE ${MARKED}`,
    `%${marker}-%`,
  );
  const found = new Map<number, { argv: string[]; environment: string | null }>();
  for (const row of rows) {
    const argv = JSON.parse(String(row["argv"])) as string[];
    const at = argv.findIndex((arg) => arg.startsWith(`${marker}-`));
    if (at < 0) continue;
    const environment = row["environment"] === null ? null : String(row["environment"]);
    found.set(Number(argv[at]!.slice(marker.length + 1)), { argv: argv.slice(at + 1), environment });
  }
  return found;
}

Deno.test("200 secrets of arguments and environments are in no file and no output, equal ones have equal marks", async () => {
  await using world = await World.start({ config: CONFIG });
  const plants = plantSecrets(), marker = `planted${Deno.pid}`;
  await hold(world, marker, plants.map((plant, number) => ({ number, args: plant.args, env: variableOf(plant) })));
  // The same secret twice more, in other places.
  const [first] = plants as [Plant, ...Plant[]];
  const again = [
    { number: 1000, args: ["app", `--password=${first.core}`] },
    { number: 1001, args: ["mysql", `-p${first.core}`] },
  ];
  await hold(world, marker, again, plants.length);
  const found = starts(world, marker);
  const MARK = /\[REDACTED:[0-9a-f]{8}\]/;
  const hasEnvironment = knowsEnvironment(world);
  plants.forEach(({ args }, index) => {
    const { argv, environment } = found.get(index)!;
    assert.match(argv.join(" "), MARK, `arguments of ${args[0]} ${index}`);
    if (hasEnvironment) assert.match(environment!, MARK, `environment ${index}`);
  });
  const marks = [0, 1000, 1001].map((index) => MARK.exec(found.get(index)!.argv.join(" "))![0]);
  assert.equal(new Set(marks).size, 1, "one secret has one mark");
  assert.notEqual(MARK.exec(found.get(1)!.argv.join(" "))![0], marks[0]);

  const commands = [["events"], ["processes", "--all"], ["alerts"], ["health"], [
    "query",
    "SELECT * FROM process_events",
  ]];
  const outputs = await Promise.all(commands.map((command) => world.cli(...command)));
  await world.stop();
  const texts = new Map(outputs.map(({ stdout, stderr }, i) => [commands[i]!.join(" "), stdout + stderr]));
  texts.set("the supervisor's output", world.stdout + world.stderr);
  for (const path of filesBelow(world.layout.state)) {
    texts.set(path, Buffer.from(Deno.readFileSync(path)).toString("latin1"));
  }
  const database = [...texts].filter(([name]) => name.includes("events.db")).map(([, text]) => text).join("");
  assert.ok(database.includes(`${marker}-0`), "what is stored would be found");
  for (const { core, args, variable } of plants) {
    for (const part of [core.slice(0, 8), core.slice(8, 16), core.slice(-8)]) {
      for (const [name, text] of texts) {
        assert.ok(!text.includes(part), `${name} holds ${part} of ${args} or ${variable}`);
      }
    }
  }
});

Deno.test("200 innocent argument lists and variables come through as they are", async () => {
  await using world = await World.start({ config: CONFIG });
  const innocents = innocentArguments(), marker = `innocent${Deno.pid}`;
  await hold(world, marker, innocents.map((args, number) => ({ number, args, env: { PLAIN_TEXT: args.join(" ") } })));
  const found = starts(world, marker), hasEnvironment = knowsEnvironment(world);
  innocents.forEach((args, index) => {
    const { argv, environment } = found.get(index)!;
    assert.deepEqual(argv, args);
    if (hasEnvironment) {
      assert.equal((JSON.parse(environment!) as Record<string, string>)["PLAIN_TEXT"], args.join(" "));
    }
  });
});

Deno.test({
  name: "redaction is off by root's file alone, health says so, and a flag that says so is refused",
  ignore: needs({ root: true }).ignore,
  async fn() {
    const marker = `open${Deno.pid}`;
    {
      await using world = await World.start({ config: `${CONFIG}  redaction: off\n` });
      await hold(world, marker, [{ number: 0, args: ["app", "--password", "hunter2"] }]);
      assert.deepEqual(starts(world, marker).get(0)!.argv, ["app", "--password", "hunter2"]);
      const health = await world.cli("health", "--plain");
      assert.match(health.stdout, /redaction is off by .*config.yaml/);
      assert.equal(health.code, 3);
    }
    const state = await newStateDirectory();
    const refused = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "deploy/start.ts", "--state", state, "--set", "collector.redaction=off"],
      cwd: new URL("../../", import.meta.url),
      stdin: "null",
    }).output();
    assert.equal(refused.code, 1);
    assert.match(
      new TextDecoder().decode(refused.stderr),
      /can be turned off only by a configuration file that root owns/,
    );
    await Deno.remove(state, { recursive: true });
  },
});

Deno.test("marks are the same after a restart, and the collector that made them can read their key no more", async () => {
  const state = await newStateDirectory();
  const marker = `again${Deno.pid}`;
  const marks: string[] = [];
  for (const run of [0, 1]) {
    await using world = await World.start({ state, config: CONFIG });
    await hold(world, marker, [{ number: run, args: ["app", "--password", "hunter2"] }], run);
    marks.push(starts(world, marker).get(run)!.argv[2]!);
    const key = Deno.statSync(world.layout.redactionKey);
    assert.equal(key.mode! & 0o777, 0o400);
    assert.equal(key.uid, Deno.uid());
    assert.equal(Deno.statSync(world.layout.keys).mode! & 0o777, 0o700);
    const { redaction, userId } = world.collectorStatus()!;
    assert.equal(redaction, "on");
    if (Deno.uid() !== 0) continue;
    const look = ["/bin/sh", "-c", `! cat ${world.layout.redactionKey} 2>/dev/null`];
    const asCollector = ["--reuid", String(userId), "--clear-groups", "--", ...look];
    assert.equal((await new Deno.Command("setpriv", { args: asCollector }).output()).code, 0, "the collector cannot");
  }
  assert.match(marks[0]!, /^\[REDACTED:[0-9a-f]{8}\]$/);
  assert.equal(marks[1], marks[0]);
  await Deno.remove(state, { recursive: true });
});

function* filesBelow(directory: string): Generator<string> {
  for (const entry of Deno.readDirSync(directory)) {
    if (entry.isDirectory) yield* filesBelow(`${directory}/${entry.name}`);
    else if (entry.isFile) yield `${directory}/${entry.name}`;
  }
}
