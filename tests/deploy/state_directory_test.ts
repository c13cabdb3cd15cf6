import assert from "node:assert/strict";
import { prepareState, StateError, TierLock } from "../../deploy/state_directory.ts";
import { ordinaryPrincipals, principalsOf } from "../../deploy/principals.ts";
import type { Principals } from "../../deploy/principals.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import { needs } from "../support/needs.ts";

const asRoot = needs({ root: true });
const who: Principals = asRoot.ignore ? ordinaryPrincipals(Deno.uid()!, Deno.gid()!) : principalsOf("", "");

async function inTemporary(test: (layout: StateLayout, directory: string) => void | Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(stateLayout(`${directory}/state`), directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function refuses(act: () => void, ...patterns: RegExp[]): void {
  assert.throws(act, (error: Error) => {
    assert.ok(error instanceof StateError, `${error.name}: ${error.message}`);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });
}

function look(path: string): string {
  const { uid, gid, mode } = Deno.lstatSync(path);
  return `${uid}:${gid} ${(mode! & 0o7777).toString(8)}`;
}

Deno.test("prepareState() makes every directory, token and key, and again changes nothing", () =>
  inTemporary((layout) => {
    prepareState(layout, who);
    assert.equal(look(layout.state), `${who.supervisor}:${who.readerGroup} 755`);
    assert.equal(look(layout.run), `${who.supervisor}:${who.busGroup} 1771`);
    assert.equal(look(layout.requests), `${who.agent}:${who.adminGroup} 3730`);
    assert.equal(look(layout.collector), `${who.collector}:${who.readerGroup} 2750`);
    assert.equal(look(layout.agent), `${who.agent}:${who.readerGroup} 2750`);
    assert.equal(look(layout.rules), `${who.supervisor}:${who.readerGroup} 755`);
    assert.equal(look(layout.token), `${who.supervisor}:${who.busGroup} 640`);
    const token = Deno.readTextFileSync(layout.token);
    assert.match(token, /^[0-9a-f]{64}\n$/);
    const keyGroup = who.supervisor === 0 ? 0 : who.busGroup;
    assert.equal(look(layout.keys), `${who.supervisor}:${keyGroup} 700`);
    assert.equal(look(layout.redactionKey), `${who.supervisor}:${keyGroup} 400`);
    const key = Deno.readTextFileSync(layout.redactionKey);
    assert.match(key, /^[0-9a-f]{64}\n$/);
    assert.notEqual(key, token);
    prepareState(layout, who);
    assert.equal(Deno.readTextFileSync(layout.token), token);
    assert.equal(Deno.readTextFileSync(layout.redactionKey), key);
  }));

Deno.test("prepareState() mends modes that were changed", () =>
  inTemporary((layout) => {
    prepareState(layout, who);
    for (const path of [layout.run, layout.agent, layout.collector]) Deno.chmodSync(path, 0o777);
    prepareState(layout, who);
    assert.equal(look(layout.run), `${who.supervisor}:${who.busGroup} 1771`);
    assert.equal(look(layout.agent), `${who.agent}:${who.readerGroup} 2750`);
  }));

const SECRETS = [
  ["token", (layout: StateLayout) => layout.token, `${who.supervisor}:${who.busGroup} 640`],
  [
    "ledger key",
    (layout: StateLayout) => layout.ledgerKey,
    `${who.supervisor}:${asRoot.ignore ? who.busGroup : 0} 400`,
  ],
  ["key", (layout: StateLayout) => layout.redactionKey, `${who.supervisor}:${asRoot.ignore ? who.busGroup : 0} 400`],
] as const;

for (const [secret, pathOf, wanted] of SECRETS) {
  for (
    const [what, spoil] of [
      ["is empty", (path: string) => {
        Deno.chmodSync(path, 0o600);
        Deno.writeTextFileSync(path, "");
      }],
      ["is readable for all", (path: string) => Deno.chmodSync(path, 0o644)],
      ["is a link to another file", (path: string) => {
        Deno.renameSync(path, `${path}.other`);
        Deno.symlinkSync(`${path}.other`, path);
      }],
    ] as const
  ) {
    Deno.test(`prepareState() makes a new ${secret} where the old one ${what}`, () =>
      inTemporary((layout) => {
        prepareState(layout, who);
        const path = pathOf(layout), before = Deno.readTextFileSync(path);
        spoil(path);
        prepareState(layout, who);
        assert.equal(look(path), wanted);
        assert.ok(Deno.lstatSync(path).isFile);
        assert.match(Deno.readTextFileSync(path), /^[0-9a-f]{64}\n$/);
        assert.notEqual(Deno.readTextFileSync(path), before);
      }));
  }
}

Deno.test("prepareState() refuses a symbolic link, a file and a directory that others can write, with the mend", () =>
  inTemporary((layout, directory) => {
    Deno.mkdirSync(`${directory}/real`);
    Deno.symlinkSync(`${directory}/real`, layout.state);
    refuses(() => prepareState(layout, who), /is a symbolic link; name its target with --state/);
    Deno.removeSync(layout.state);
    Deno.writeTextFileSync(layout.state, "");
    refuses(
      () => prepareState(layout, who),
      /is not a directory; move it away, or name another directory with --state/,
    );
    Deno.removeSync(layout.state);
    Deno.mkdirSync(layout.state);
    Deno.chmodSync(layout.state, 0o777);
    refuses(() => prepareState(layout, who), /can be written by others \(mode 777\)/, /chmod 755 .*\/state'/);
  }));

Deno.test("prepareState() says that the parent does not exist", () =>
  inTemporary((_, directory) => {
    refuses(
      () => prepareState(stateLayout(`${directory}/no/such/state`), who),
      /cannot be made: .*\/no\/such does not exist; make it, or name a directory that you can write with --state/,
    );
  }));

Deno.test({
  name: "prepareState() refuses a state directory of another user, and a tier's directory of another",
  ignore: asRoot.ignore,
  fn: () =>
    inTemporary((layout) => {
      Deno.mkdirSync(layout.state);
      Deno.chownSync(layout.state, 1234, 1234);
      refuses(
        () => prepareState(layout, who),
        /belongs to user 1234, but this is user 0/,
        /remove it, or name another/,
      );
      Deno.chownSync(layout.state, 0, 0);
      prepareState(layout, who);
      Deno.chownSync(layout.agent, 1234, 1234);
      refuses(
        () => prepareState(layout, who),
        /agent belongs to user 1234, but its tier runs as user 64172; 'chown -R/,
      );
    }),
});

Deno.test({
  name: "prepareState() does not follow what the agent left in place of the requests directory",
  ignore: asRoot.ignore,
  fn: () =>
    inTemporary((layout, directory) => {
      prepareState(layout, who);
      Deno.removeSync(layout.requests);
      Deno.mkdirSync(`${directory}/target`, { mode: 0o700 });
      Deno.symlinkSync(`${directory}/target`, layout.requests);
      refuses(() => prepareState(layout, who), /requests is not a directory/);
      assert.equal(look(`${directory}/target`), "0:0 700");
      Deno.removeSync(layout.requests);
      Deno.mkdirSync(layout.requests, { mode: 0o777 });
      Deno.chownSync(layout.requests, who.collector, who.busGroup);
      refuses(() => prepareState(layout, who), /requests belongs to user 64171/);
      // The agent's own is made what it should be
      Deno.chownSync(layout.requests, who.agent, who.busGroup);
      prepareState(layout, who);
      assert.equal(look(layout.requests), `${who.agent}:${who.adminGroup} 3730`);
    }),
});

Deno.test("TierLock is held once, names its holder, and is free again after release", () =>
  inTemporary((layout) => {
    prepareState(layout, who);
    const lock = new TierLock(layout, "agent");
    refuses(
      () => new TierLock(layout, "agent"),
      new RegExp(`runs already, started by process ${Deno.pid}; stop that first`),
    );
    new TierLock(layout, "collector").release();
    lock.release();
    new TierLock(layout, "agent").release();
  }));
