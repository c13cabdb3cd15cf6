import { agentLives } from "../../alert_lives/agent_lives.ts";
import { alertLives } from "../../alert_lives/cycles.ts";

Deno.test("every alert arrives though what delivers them is killed again and again, and nothing that is known is lost", async () => {
  await alertLives(20);
});

Deno.test("every alert arrives though the agent itself is killed again and again, and nothing that is known is lost", async () => {
  await agentLives(2);
});
