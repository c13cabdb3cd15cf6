/** Rules that come and change while the tiers run, from the file to the alert of exactly that version. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });

function ruleText(where: string, more = ""): string {
  return `id: tried-here\ntitle: T\ndescription: D\nseverity: low\n${more}sql: |\n  SELECT pid FROM process_events WHERE ${where}\n`;
}

async function sha256(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

Deno.test({
  name: "a rule that is dropped into the rules directory alerts with its version; a broken edit changes nothing",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const file = `${world.layout.rules}/tried.yml`, tag = `tried${Deno.pid}`;
    const write = (text: string): void => Deno.writeTextFileSync(file, text, { mode: 0o644 });
    const rule = () => world.agentStatus()?.rules.find(({ id }) => id === "tried-here");
    const runs = async (n: number): Promise<void> => {
      await new Deno.Command("/bin/true", { args: [`${tag}-${n}`] }).output();
    };
    const alerts = (n: number) =>
      world.query(
        "SELECT alert_id, rule_hash FROM alerts WHERE rule_id = 'tried-here' AND command_line LIKE ?",
        `%${tag}-${n}`,
      );

    const condition = `event_type = 'start' AND command_line LIKE '%${tag}%'`;
    const draft = ruleText(condition, "status: draft\n"), whole = ruleText(condition);
    write(draft);
    await world.until("the draft judges", () => rule()?.state === "draft");
    await runs(1);
    await world.until("the draft counts", () => rule()!.matches === 1);
    assert.deepEqual([alerts(1), rule()!.hits], [[], 0]);

    write(whole);
    const hash = await sha256(whole);
    await world.until("it is active", () => rule()?.state === "active" && rule()!.hash === hash);
    await runs(2);
    await world.until("it alerts", () => alerts(2).length === 1);
    assert.equal(alerts(2)[0]!["rule_hash"], hash);

    write(ruleText("nope = 1"));
    await world.until("the fault is told", () => rule()?.reason?.includes("nope") === true);
    assert.deepEqual([rule()!.state, rule()!.hash, rule()!.line], ["active", hash, 6]);
    await runs(3);
    await world.until("it alerts as before", () => alerts(3).length === 1);
    assert.equal(alerts(3)[0]!["rule_hash"], hash);

    // The same version everywhere: in the sink's file, in the store, and in what the CLI shows
    const written = (): unknown[] =>
      Deno.readTextFileSync(`${world.layout.agent}/alerts.jsonl`).trimEnd().split("\n").map((line) => JSON.parse(line))
        .filter(({ ruleId }) => ruleId === "tried-here").map(({ ruleHash }) => ruleHash);
    await world.until("the sink has both", () => written().length >= 2);
    assert.deepEqual(written(), [hash, hash]);
    const listed = JSON.parse((await world.cli("rules", "list", "-f", "json")).stdout);
    assert.equal(listed.find((row: { rule_id: string }) => row.rule_id === "tried-here").rule_hash, hash);
    const detail = await world.cli("alerts", String(alerts(3)[0]!["alert_id"]));
    assert.match(detail.stdout, new RegExp(`its version +${hash}`));
    const health = await world.cli("health");
    assert.match(
      health.stdout,
      /1 rule active in an earlier version, because the file is not right[^]*as before .*nope/,
    );
    write(whole);
    await world.until("it is mended", () => rule()?.reason === null);
    const replayed = await world.cli("rules", "replay", "tried-here", "-f", "json", "--since", "1h", "--limit", "9");
    const replay = JSON.parse(replayed.stdout);
    assert.equal(replay.matches, 3, "what the draft counted too");
    assert.ok(replay.events > 0);

    Deno.removeSync(file);
    await world.until("it is gone", () => rule() === undefined);
  },
});
