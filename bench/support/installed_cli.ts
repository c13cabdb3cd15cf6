/**
 * The command line as `deno task build --launcher` makes it: launcher, parts, and what Deno knows of them.
 *
 * @module
 */
import { makeParts } from "../../deploy/bundle.ts";
import { findLibc } from "../../deploy/launch.ts";
import { launcherText } from "../../deploy/launcher.ts";
import { fillDenoDir } from "../../deploy/place.ts";
import { installedPaths, tierGrants } from "../../deploy/privileges.ts";
import type { StateLayout } from "../../proto/state_layout.ts";

/** Makes it in `directory`, an absolute path, for one state; the path of the launcher. */
export async function installCli(directory: string, layout: StateLayout): Promise<string> {
  const program = await makeParts(`${directory}/parts`, Deno.execPath()), launcher = `${directory}/daemoneye-cli`;
  const denoDir = `${directory}/deno_dir`, deno = Deno.realPathSync(Deno.execPath());
  const grants = tierGrants("cli", { ...installedPaths(findLibc()), layout, rulesDirs: [layout.rules] });
  const args = ["--state", layout.state];
  Deno.writeTextFileSync(launcher, launcherText("", { tier: "cli", grants, deno, denoDir, program, args }));
  Deno.chmodSync(launcher, 0o755);
  await fillDenoDir({ deno, denoDir }, [program], ["--ext=js"]);
  return launcher;
}
