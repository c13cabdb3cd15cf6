import assert from "node:assert/strict";
import { DemandKeeper, type DemandLimits, type DemandOptions } from "../../collector/demand_keeper.ts";
import { encodeStatement, type Statements } from "../../proto/ledger/statement.ts";
import { MAX_DEMANDED_VARIABLES } from "../../proto/demand.ts";

const LIMITS: DemandLimits = { hashing: "on-demand", environment: ["LD_*"], environmentOnDemand: ["GIT_SSH", "PY*"] };

/** A collector of which only what demands do is there. */
class World implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly file = `${this.directory}/demand.json`;
  captured: readonly string[] = ["not said"];
  isHashing: boolean | null = null;
  readonly entries: Statements["demandChanged"][] = [];
  readonly notices: string[] = [];
  unknownColumns: readonly string[] = [];
  now = 1_000_000;
  clock = 0;

  keeper(limits: Partial<DemandLimits> = {}, more: Partial<DemandOptions> = {}): DemandKeeper {
    const keeper = new DemandKeeper({
      limits: { ...LIMITS, ...limits },
      unknownColumns: () => this.unknownColumns,
      captureVariables: (names) => this.captured = names,
      hash: (isWanted) => this.isHashing = isWanted,
      file: this.file,
      changed: (statement) => {
        encodeStatement("demandChanged", statement);
        this.entries.push(statement);
      },
      notice: (text) => this.notices.push(text),
      now: () => this.now,
      clock: () => this.clock,
      ...more,
    });
    keeper.restore();
    return keeper;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const brief = (standings: ReturnType<DemandKeeper["receive"]>): string[] =>
  standings!.map(({ attribute, state, since }) => `${attribute} ${state} ${since}`);

Deno.test("nothing on demand is collected before it is demanded, and again when it no longer is", () => {
  using world = new World();
  const keeper = world.keeper();
  assert.deepEqual([world.captured, world.isHashing], [[], false]);
  assert.deepEqual(brief(keeper.standings()), ["executable_hash on-demand 0", "environment configured 0"]);

  const answer = keeper.receive({ hashes: true, variables: ["GIT_SSH", "LD_PRELOAD", "PYTHONHOME", "SECRET"] });
  assert.deepEqual(brief(answer), [
    "executable_hash demanded 1000000",
    "environment.GIT_SSH demanded 1000000",
    "environment.LD_PRELOAD configured 0",
    "environment.PYTHONHOME demanded 1000000",
    "environment.SECRET refused 0",
  ]);
  assert.match(answer!.at(-1)!.reason, /collector\.environment_on_demand does not name it; add it there/);
  assert.deepEqual([world.captured, world.isHashing], [["GIT_SSH", "PYTHONHOME"], true]);

  world.now += 500;
  assert.deepEqual(brief(keeper.receive({ hashes: false, variables: ["GIT_SSH", "PYX"] })), [
    "environment.GIT_SSH demanded 1000000",
    "environment.PYX demanded 1000500",
  ], "what goes on is not begun anew");
  assert.deepEqual([world.captured, world.isHashing], [["GIT_SSH", "PYX"], false]);
  keeper.receive({ hashes: false, variables: [] });
  assert.deepEqual([world.captured, world.isHashing], [[], false]);
});

Deno.test("a demand cannot get past what root allows", () => {
  using world = new World();
  const never = world.keeper({ hashing: "off", environmentOnDemand: [] });
  const demand = { hashes: true, variables: ["GIT_SSH", "LD_PRELOAD"] };
  assert.deepEqual(brief(never.receive(demand)), [
    "executable_hash refused 0",
    "environment.GIT_SSH refused 0",
    "environment.LD_PRELOAD configured 0",
  ]);
  assert.deepEqual([world.captured, world.isHashing], [[], false]);
  assert.deepEqual(brief(never.standings()).slice(0, 2), ["executable_hash refused 0", "environment configured 0"]);

  const always = world.keeper({ hashing: "on", environmentOnDemand: ["*"] });
  assert.deepEqual(brief(always.receive(demand)), [
    "executable_hash configured 0",
    "environment.GIT_SSH demanded 1000000",
    "environment.LD_PRELOAD configured 0",
  ]);
  always.receive({ hashes: false, variables: [] });
  assert.equal(world.isHashing, true, "what is configured needs no demand");
});

Deno.test("variables are unavailable where the source reads no environment", () => {
  using world = new World();
  world.unknownColumns = ["inode", "environment"];
  const keeper = world.keeper();
  assert.deepEqual(brief(keeper.receive({ hashes: false, variables: ["GIT_SSH", "LD_X", "NO"] })), [
    "environment.GIT_SSH unavailable 0",
    "environment.LD_X unavailable 0",
    "environment.NO unavailable 0",
  ]);
  assert.deepEqual(world.captured, []);
  assert.deepEqual(brief(keeper.standings())[1], "environment unavailable 0");
});

Deno.test("the next start goes on with what was demanded, within the limits of then", () => {
  using world = new World();
  const first = world.keeper();
  first.receive({ hashes: true, variables: ["GIT_SSH", "PYTHONHOME"] });
  first.tick();
  assert.equal(Deno.statSync(world.file).mode! & 0o777, 0o600);
  world.now += 60_000;
  const second = world.keeper({ environmentOnDemand: ["PY*"] });
  assert.deepEqual([world.captured, world.isHashing], [["PYTHONHOME"], true]);
  assert.deepEqual(brief(second.standings()), [
    "executable_hash demanded 1000000",
    "environment configured 0",
    "environment.GIT_SSH refused 0",
    "environment.PYTHONHOME demanded 1000000",
  ]);
  assert.deepEqual(world.notices.filter((notice) => notice.includes("cannot")), []);
});

Deno.test("a file that holds no demand is told, and counts as none", () => {
  const bad = [
    "",
    "null",
    "[]",
    '{"hashes":1,"variables":[],"since":{}}',
    '{"hashes":true,"variables":["A*"],"since":{}}',
  ];
  bad.push('{"hashes":true,"variables":["B","A"],"since":{}}', '{"hashes":true,"variables":[],"since":{"x":-1}}');
  bad.push(JSON.stringify({ hashes: true, variables: [], since: { x: "y".repeat(70_000) } }));
  for (const text of bad) {
    using world = new World();
    Deno.writeTextFileSync(world.file, text);
    const keeper = world.keeper();
    assert.deepEqual([world.captured, world.isHashing], [[], false], text.slice(0, 80));
    assert.match(world.notices.join(), /in the last run cannot be read/, text.slice(0, 80));
    keeper.receive({ hashes: true, variables: [] });
    keeper.close();
    assert.equal(JSON.parse(Deno.readTextFileSync(world.file)).hashes, true, "the next one replaces it");
  }
});

Deno.test("a file that cannot be written is told once, and the demand counts all the same", () => {
  using world = new World();
  const keeper = world.keeper({}, { file: `${world.directory}/gone/demand.json` });
  for (const name of ["GIT_SSH", "PYA", "PYB"]) {
    keeper.receive({ hashes: false, variables: [name] });
    keeper.tick();
  }
  assert.deepEqual(world.captured, ["PYB"]);
  assert.equal(world.notices.filter((notice) => notice.includes("cannot be kept")).length, 1);
});

Deno.test("changes of the demand are entered into the ledger, however many, once in ten seconds", () => {
  using world = new World();
  const keeper = world.keeper();
  keeper.tick();
  assert.deepEqual(world.entries, [], "no demand is nothing to say");
  keeper.receive({ hashes: true, variables: ["NO", "PYA"] });
  keeper.tick();
  const given = ["executable_hash", "environment.PYA"], refused = ["environment.NO"];
  assert.deepEqual(world.entries, [{ given, refused, passing: [], changes: 1, time: 1_000_000 }]);
  keeper.receive({ hashes: false, variables: ["PYZ"] });
  for (let i = 0; i < 500; i++) {
    keeper.receive({ hashes: i % 2 === 0, variables: [] });
    world.clock += 10;
    keeper.tick();
  }
  assert.equal(world.entries.length, 1, "an agent that means bad fills no disk");
  world.clock += 10_000;
  keeper.tick();
  assert.deepEqual(world.entries.at(-1), {
    given: [],
    refused: [],
    passing: ["executable_hash", "environment.PYA", "environment.PYZ"],
    changes: 501,
    time: 1_000_000,
  }, "nor does it ask for a moment unseen");
  keeper.receive({ hashes: false, variables: [] });
  world.clock += 10_000;
  keeper.tick();
  assert.equal(world.entries.length, 2, "the same again is no change");
});

Deno.test("the longest demand fits an entry of the ledger", () => {
  using world = new World();
  const keeper = world.keeper({ environmentOnDemand: [] });
  const variables = Array.from(
    { length: MAX_DEMANDED_VARIABLES },
    (_, i) => String.fromCharCode(65 + i % 26).repeat(128 - (i / 26 | 0)),
  );
  keeper.receive({ hashes: true, variables: variables.sort() });
  keeper.tick();
  assert.equal(world.entries.length, 1);
  const all = world.keeper({ environmentOnDemand: ["*"] });
  const others = variables.map((name) => `_${name.slice(1)}`).sort();
  assert.ok(all.receive({ hashes: false, variables: others }) !== null);
  assert.equal(all.receive({ hashes: true, variables: [] }), null, "what one entry cannot tell has to wait");
  assert.deepEqual(world.captured, others);
  all.tick();
  const { given, passing } = world.entries[1]!;
  assert.deepEqual([given.length, passing.length], [MAX_DEMANDED_VARIABLES, MAX_DEMANDED_VARIABLES + 1]);
  assert.ok(all.receive({ hashes: true, variables: [] }) !== null);
  assert.equal(keeper.standings().length, MAX_DEMANDED_VARIABLES + 2);
});
