/**
 * `watch`: events and alerts as they are stored, on a screen of their own or, where the output is no terminal, line by
 * line until somebody ends it.
 *
 * @module
 */
import { atMostArguments, choiceOption, integerOption, spanOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { conditions } from "./conditions.ts";
import { blindness } from "./coverage.ts";
import { runLive } from "./live_screen.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { FOLLOWED_KINDS, FOLLOWED_NAMES, Follower, MAX_ROWS } from "./watch_follower.ts";
import { WatchView } from "./watch_view.ts";

export async function watch(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "watch");
  const kind = choiceOption(call, "show", FOLLOWED_KINDS) ?? "all";
  const intervalMs = spanOption(call, "interval", 1_000), back = spanOption(call, "back", 10_000);
  const lastsMs = call.values["for"] === undefined ? null : spanOption(call, "for", 1);
  const limit = integerOption(call, "limit", 1, 1_000_000_000, null) ?? Infinity;
  const where = conditions(call), isNumber = /^\d+$/.test(String(call.values["user"] ?? ""));
  if ((call.values["type"] !== undefined || isNumber) && kind !== "events") {
    throw new UsageError(
      `${isNumber ? "--user with a number" : "--type"} needs --show events: alerts do not have that`,
    );
  }
  const follower = new Follower(findPlaces(call), kind, where, call.now() - back);
  if (call.isInteractive && call.format === "table") {
    if (lastsMs !== null || limit !== Infinity) {
      throw new UsageError(
        `--${lastsMs === null ? "limit" : "for"} is for lines and not for a screen; add --format jsonl`,
      );
    }
    await runLive(call, new WatchView(call, follower), intervalMs);
    return EXIT.complete;
  }
  if (call.format === "json") {
    throw new UsageError("watch has no end to close a JSON array at; --format jsonl has none");
  }
  return await stream(call, follower, intervalMs, { lastsMs: lastsMs ?? Infinity, limit });
}

/** What ends a stream, whichever comes first. */
interface End {
  readonly lastsMs: number;
  readonly limit: number;
}

/** Rows until there were so many, the time is over, or the reader goes. */
async function stream(call: Call, follower: Follower, intervalMs: number, { lastsMs, limit }: End): Promise<Exit> {
  const format = call.format === "table" ? "jsonl" : call.format;
  const output = openRows({ ...call, format }, FOLLOWED_NAMES, []), began = performance.now();
  for (let wanted = limit;;) {
    const { rows, missed } = follower.read();
    for (const row of rows.slice(0, wanted)) output.add(row.cells);
    wanted -= Math.min(wanted, rows.length);
    call.out.flush();
    if (wanted === 0) break;
    if (missed) call.note(`More than ${MAX_ROWS} at once: events has those that are left out`);
    const left = lastsMs - (performance.now() - began);
    if (left <= 0) break;
    await new Promise((resolve) => setTimeout(resolve, Math.min(intervalMs, left)));
  }
  const blind = blindness(follower.statuses(call.now()));
  if (blind !== null) call.note(`Nothing new can come: ${blind} (health says more)`);
  return blind === null ? EXIT.complete : EXIT.degraded;
}
