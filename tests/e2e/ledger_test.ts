/**
 * The audit ledger in the running product: it verifies, whoever is killed, and says what happened.
 */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";
import { entriesOf, verifyOnDisk } from "../support/ledger_on_disk.ts";

const kernel = needs({ root: true, bpf: true });

Deno.test({
  name: "smoke",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    await world.until("signed", () => world.collectorStatus()!.ledger.signed > 3);
    console.log(world.collectorStatus()!.ledger);
    console.log(world.stderr);
    await world.stop();
    console.log(await verifyOnDisk(world.layout.ledger));
    for (const each of await entriesOf(world.layout.ledger)) {
      console.log(each.action, each.actor, each.text.slice(0, 300));
    }
    console.log(
      new TextDecoder().decode(
        await new Deno.Command("ls", { args: ["-lRn", world.layout.collector] }).output().then((o) => o.stdout),
      ),
    );
  },
});
