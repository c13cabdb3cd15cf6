/** Attributes that rules ask for, from the rule's file to what is stored, and what root's configuration keeps them from. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { PATIENCE_MS } from "../support/patience.ts";
import { World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });
const TAG = `asked-${Deno.pid}`;

function ruleText(id: string, where: string): string {
  const sql = `SELECT pid FROM process_events WHERE ${where}`;
  return `id: ${id}\ntitle: T\ndescription: For a test.\nseverity: low\nsql: |\n  ${sql}\n`;
}

/** A world with one rule that comes and goes. */
class Watched {
  readonly #file: string;
  #runs = 0;

  constructor(readonly world: World, readonly id: string) {
    this.#file = `${world.layout.rules}/${id}.yml`;
  }

  async add(where: string, attribute: string, state: string): Promise<void> {
    Deno.writeTextFileSync(this.#file, ruleText(this.id, where), { mode: 0o644 });
    await this.world.until("the rule judges", () => this.rule()?.state === "active");
    await this.world.until(`${attribute} is ${state}`, () => this.standing(attribute) === state);
  }

  async remove(attribute: string, state: string | undefined): Promise<void> {
    Deno.removeSync(this.#file);
    await this.world.until(`${attribute} is ${state}`, () => this.standing(attribute) === state);
  }

  rule() {
    return this.world.agentStatus()?.rules.find(({ id }) => id === this.id);
  }

  standing(attribute: string): string | undefined {
    return this.world.collectorStatus()?.attributes.find((each) => each.attribute === attribute)?.state;
  }

  /** Runs a program with the variable; returns what finds it by its arguments. */
  async run(program = "/bin/true"): Promise<string> {
    const tag = `${TAG}-${this.id}-${++this.#runs}-end`;
    const { success } = await new Deno.Command(program, { args: [tag], env: { E2E_ASKED: TAG } }).output();
    assert.ok(success);
    return tag;
  }

  /** The stored environment of that start. */
  async environment(tag: string): Promise<Record<string, string>> {
    let rows: Record<string, string | number | null>[] = [];
    await this.world.until("the start is stored", () => {
      rows = this.world.query(
        "SELECT environment FROM process_events WHERE event_type = 'start' AND command_line LIKE ?",
        `%${tag}`,
      );
      return rows.length > 0;
    });
    return JSON.parse(String(rows[0]!["environment"]));
  }

  alerts(tag: string) {
    return this.world.query(
      "SELECT completeness FROM alerts WHERE rule_id = ? AND command_line LIKE ?",
      this.id,
      `%${tag}`,
    );
  }
}

const VARIABLE = "environment.E2E_ASKED";

Deno.test({
  name: "a variable is captured while a rule reads it, also while the agent starts anew, and no longer",
  ...kernel,
  async fn(t) {
    await using world = await World.start({ config: "collector:\n  environment_on_demand: [E2E_ASKED]\n" });
    const watched = new Watched(world, "reads-variable");
    await t.step("before the rule it is not stored", async () => {
      assert.equal((await watched.environment(await watched.run()))["E2E_ASKED"], undefined);
    });

    const where = `event_type = 'start' AND environment ->> 'E2E_ASKED' = '${TAG}'`;
    await watched.add(where, VARIABLE, "demanded");
    await t.step("with the rule a process that has it raises the alert, which is complete as to it", async () => {
      await world.until("the rule has what it reads", () => watched.rule()!.degraded.length === 0);
      const tag = await watched.run();
      await world.until("the alert is there", () => watched.alerts(tag).length === 1);
      assert.doesNotMatch(String(watched.alerts(tag)[0]!["completeness"]), /E2E_ASKED/);
      assert.equal((await watched.environment(tag))["E2E_ASKED"], TAG);
    });

    await t.step("the audit ledger, health and rules explain say so", async () => {
      const end = Date.now() + PATIENCE_MS;
      let shown = "";
      // Entered within a second, and shown when there is a checkpoint.
      while (!shown.includes("environment.E2E_ASKED") && Date.now() < end) {
        shown = (await world.cli("audit", "show", "--action", "demandChanged", "--format", "json")).stdout;
      }
      assert.match(shown, /environment\.E2E_ASKED/);
      assert.match((await world.cli("health")).stdout, /environment\.E2E_ASKED, demanded: rules read it, since/);
      const explained = await world.cli("rules", "explain", watched.id, "-f", "json");
      assert.deepEqual(JSON.parse(explained.stdout).needs, [VARIABLE]);
    });

    await t.step("an agent that is killed misses nothing of what happens until it is back", async () => {
      const before = world.agentStatus()!.pid;
      Deno.kill(before, "SIGKILL");
      const tag = await watched.run();
      await world.until("another agent runs", () => (world.agentStatus()?.pid ?? before) !== before);
      await world.until("the alert is there", () => watched.alerts(tag).length === 1);
    });

    await watched.remove(VARIABLE, undefined);
    await t.step("when the rule is gone the variable is no longer stored", async () => {
      const environment = await watched.environment(await watched.run());
      assert.equal(environment["E2E_ASKED"], undefined);
    });
  },
});

Deno.test({
  name: "a variable that root's configuration does not allow is refused, and everybody says so",
  ...kernel,
  async fn() {
    await using world = await World.start({ config: "collector:\n  environment_on_demand: []\n  hashing: off\n" });
    const watched = new Watched(world, "refused-variable");
    const where = `event_type = 'start' AND command_line LIKE '%${TAG}%' AND executable_hash IS NULL ` +
      "AND environment ->> 'E2E_ASKED' IS NULL";
    await watched.add(where, VARIABLE, "refused");
    assert.equal(watched.standing("executable_hash"), "refused");
    await world.until("the rule is degraded", () => watched.rule()!.degraded.join().includes("E2E_ASKED is refused"));
    const tag = await watched.run();
    assert.equal((await watched.environment(tag))["E2E_ASKED"], undefined);
    await world.until("the rule, which asks for its absence, alerts", () => watched.alerts(tag).length === 1);
    const { complete, reasons } = JSON.parse(String(watched.alerts(tag)[0]!["completeness"]));
    assert.equal(complete, false);
    assert.match(reasons.join("\n"), /E2E_ASKED is refused: collector\.environment_on_demand does not name it/);
    assert.match(reasons.join("\n"), /executable_hash is refused: collector\.hashing is off/);
    const listed = await world.cli("rules", "list");
    assert.match(listed.stdout + listed.stderr, /degraded: collector procmond: .*is refused[^]*\d+ rules? degraded/);
    assert.match((await world.cli("health")).stdout, /rules read environment\.E2E_ASKED, which is not collected/);
  },
});

Deno.test({
  name: "with hashing on demand executables are hashed while a rule reads their hashes, and no longer",
  ...needs({ root: true, setpriv: true, bpf: true }),
  async fn() {
    await using world = await World.start({ config: "collector:\n  hashing: on-demand\n" });
    const watched = new Watched(world, "reads-hash");
    const directory = `${world.layout.state}/programs`;
    Deno.mkdirSync(directory, { mode: 0o755 });
    // Each a file of its own: what was hashed once is known.
    const program = (name: string): string => {
      Deno.copyFileSync("/bin/true", `${directory}/${name}`);
      Deno.chmodSync(`${directory}/${name}`, 0o755);
      return `${directory}/${name}`;
    };
    const hashes = (path: string): number =>
      world.count("SELECT count(executable_hash) FROM process_events WHERE executable_path = ?", path);
    await world.until("it is said that none is wanted", () => watched.standing("executable_hash") === "on-demand");
    await watched.environment(await watched.run(program("before")));

    const where =
      `event_type = 'modify' AND reason = 'hashed' AND executable_hash IS NOT NULL AND executable_path LIKE '${directory}%'`;
    await watched.add(where, "executable_hash", "demanded");
    const during = program("during"), tag = await watched.run(during);
    await world.until("the hash raises the alert", () => watched.alerts(tag).length === 1);
    assert.ok(hashes(during) > 0);
    assert.equal(hashes(`${directory}/before`), 0);

    await watched.remove("executable_hash", "on-demand");
    const after = program("after");
    await watched.environment(await watched.run(after));
    await watched.environment(await watched.run(after));
    assert.equal(hashes(after), 0);
  },
});
