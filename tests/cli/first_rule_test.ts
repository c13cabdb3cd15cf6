// docs/first-rule.md: each file on the page is written, each command is run by a shell as a newcomer would, and prints what
// the page says. The agent's part is played with its own loader and detection, whose standing the status file has.
import assert from "node:assert/strict";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { Journal } from "../../agent/journal.ts";
import { RulesLoader } from "../../agent/rules_loader.ts";
import { allSteps } from "../../proto/steps.ts";
import { parseExceptions } from "../../proto/rules/exceptions.ts";
import { TestState } from "../support/test_store.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const PAGE = Deno.readTextFileSync(`${ROOT}docs/first-rule.md`);
const INSTALLED = "rules=/var/lib/daemoneye/rules";
const HOUR_MS = 3_600_000;

type Piece =
  | { readonly kind: "file"; readonly name: string; readonly text: string }
  | { readonly kind: "command"; readonly line: string; readonly prints: readonly string[] };

/** The files and commands of the page, in their order. */
function pieces(): Piece[] {
  return [...PAGE.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(({ 1: kind, 2: text, index }): Piece[] => {
    if (kind === "yaml") {
      const before = PAGE.slice(0, index).trimEnd().split("\n\n").at(-1)!;
      const name = /as\s+`([a-z0-9_-]+\.yml)`/.exec(before)?.[1];
      assert(name !== undefined, `what is this file called? ${text!.slice(0, 80)}`);
      return [{ kind: "file", name, text: text! }];
    }
    assert.equal(kind, "sh");
    const found: { kind: "command"; line: string; prints: string[] }[] = [];
    for (const line of text!.trimEnd().split("\n")) {
      if (line.startsWith("# ")) found.at(-1)!.prints.push(line.slice(2));
      else found.push({ kind: "command", line, prints: [] });
    }
    return found;
  });
}

/** What happened on the host in the last week. */
function fill(state: TestState): void {
  const now = Date.now();
  let pid = 100;
  const event = (hoursAgo: number, cells: Parameters<TestState["event"]>[0]): void =>
    void state.event({ pid: pid++, time: now - hoursAgo * HOUR_MS, name: "sh", user_name: "root", ...cells });
  for (let i = 0; i < 10; i++) {
    const script_path = "/tmp/build/configure";
    event(100 - i, { script_path, user_name: "build", command_line: `sh ${script_path}` });
  }
  for (const script_path of ["/tmp/x.sh", "/tmp/build/other"]) event(80, { script_path, command_line: "sh" });
  event(1, { command_line: "sh -c echo aWQ= | base64 -d | sh", user_name: "deploy" });
  for (let i = 0; i < 5; i++) {
    event(50 + i / 1_000, { event_type: "stop", name: "su", exit_code: 1, user_id: 1000, command_line: "su" });
  }
  event(2, { command_line: "sh /tmp/build/configure", name: "sh" });
}

/** The agent as far as this page needs it: what it makes of the files, said once in a while. */
class Agent implements Disposable {
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(readonly state: TestState, readonly rules: string) {
    this.#timer = setInterval(() => this.say(), 1_000);
    this.say();
  }

  say(): void {
    const options = { deadlineMs: 60_000, journal: new Journal(() => {}), counters: newCounters() };
    const detection = new Detection(allSteps(new RulesLoader([this.rules]).load()), options);
    const time = Date.now(), status = { rules: detection.statuses(), suppressors: detection.suppressions.statuses() };
    this.state.writeStatus({ time, ...status }, { time });
    detection.close();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

Deno.test("every command of docs/first-rule.md runs, and prints what the page says", async () => {
  const home = Deno.makeTempDirSync(), rules = `${home}/rules`, bin = `${home}/bin`;
  try {
    using state = new TestState();
    state.live();
    fill(state);
    for (const path of [rules, bin, `${home}/work`]) Deno.mkdirSync(path);
    const cli = `exec "${Deno.execPath()}" run -A --quiet --no-check "${ROOT}cli/main.ts" ` +
      `--state "${state.directory}" --set rules_dirs="${rules}" "$@"`;
    for (const [name, text] of Object.entries({ "daemoneye-cli": cli, sudo: 'exec "$@"' })) {
      Deno.writeTextFileSync(`${bin}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    }
    using agent = new Agent(state, rules);
    let ran = 0;
    for (const piece of pieces()) {
      if (piece.kind === "file") {
        Deno.writeTextFileSync(`${home}/work/${piece.name}`, piece.text);
        continue;
      }
      if (piece.line === INSTALLED) continue;
      agent.say();
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-e", "-c", `rules="${rules}"\n${piece.line}`],
        cwd: `${home}/work`,
        env: { PATH: `${bin}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
      }).output();
      const printed = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, 0, `${piece.line}: ${code}\n${printed}`);
      for (const text of piece.prints) assert(printed.includes(text), `${piece.line}\n${printed}\nlacks ${text}`);
      ran += 1;
    }
    assert(ran > 30, `only ${ran} commands were found`);
  } finally {
    Deno.removeSync(home, { recursive: true });
  }
});

Deno.test("the exceptions of docs/rules.md hold", () => {
  const page = Deno.readTextFileSync(`${ROOT}docs/rules.md`);
  const blocks = [...page.matchAll(/^```yaml\n(exceptions:\n.*?)^```$/gms)];
  assert.equal(blocks.length, 1);
  const { exceptions } = parseExceptions(blocks[0]![1]!, "exceptions.yml");
  const { id, expiresMs, rules } = exceptions[0]!, named = [...loadNames()];
  assert.deepEqual([id, new Date(expiresMs!).toISOString().slice(0, 10)], ["nightly-backup", "2027-02-01"]);
  for (const { name } of rules!) assert(named.includes(name), `no shipped rule has ${name}`);
});

/** Ids and tags of the shipped rules. */
function loadNames(): Set<string> {
  const { active } = allSteps(new RulesLoader([`${ROOT}rules`]).load());
  return new Set(active.flatMap(({ id, tags }) => [id, ...tags]));
}
