import assert from "node:assert/strict";
import { settingsChange } from "../../../collector/ledger/settings_change.ts";
import type { SettingValue } from "../../../proto/setting_values.ts";
import { TempDir } from "../../agent/support.ts";

Deno.test("settingsChange() says a change at every start until it is entered, and then no more", () => {
  using dir = new TempDir();
  const path = `${dir.path}/settings.json`;
  const values = (id: string): ReadonlyMap<string, SettingValue> =>
    new Map<string, SettingValue>([["collector.id", id], ["collector.ledger_checkpoint_ms", 10_000]]);
  const first = settingsChange(values("a"), path)!;
  assert.equal(first.statement.changed, null);
  // Killed before that was in the ledger.
  assert.equal(settingsChange(values("a"), path)!.statement.digest, first.statement.digest);
  first.entered();
  assert.equal(settingsChange(values("a"), path), null);
  const second = settingsChange(values("b"), path)!;
  assert.deepEqual(second.statement.changed, ["collector.id"]);
  assert.deepEqual(second.statement.settings, { "collector.id": '"b"' });
  assert.deepEqual(settingsChange(values("b"), path)!.statement, second.statement);
  second.entered();
  assert.equal(settingsChange(values("b"), path), null);
});
