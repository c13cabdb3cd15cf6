import { backlog } from "../../alert_lives/backlog.ts";

Deno.test("a backlog is delivered whole and in order once its sink takes alerts again, while more come", async () => {
  await backlog(5_000, { pauseMs: 5, samples: 20 });
});
