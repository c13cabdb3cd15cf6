import assert from "node:assert/strict";
import { bootTag, execId, processId, processOfExec } from "../../proto/identity.ts";

Deno.test("execId() names the first image like its process, and another by the tick of its exec", () => {
  const tag = bootTag("a864b459-34e6-475c-a11f-95f9ef4768e7");
  assert.equal(tag, "a864b459");
  assert.equal(execId(tag, 42, 700, null), processId(tag, 42, 700));
  assert.equal(execId(tag, 42, 700, 705), "a864b459-42-700-705");
});

Deno.test("processOfExec() finds the process of any of its executions", () => {
  assert.equal(processOfExec("a864b459-42-700-705"), "a864b459-42-700");
  assert.equal(processOfExec("a864b459-42-700"), "a864b459-42-700");
});
