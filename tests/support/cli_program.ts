/**
 * The CLI as it is installed: bundled in parts, in a process of its own, under exactly the grants of its tier.
 *
 * @module
 */
import { makeParts } from "../../deploy/bundle.ts";
import { LIBC_PATHS, tierGrants } from "../../deploy/privileges.ts";
import { BUNDLE_FLAGS, grantFlags } from "../../deploy/runtime_flags.ts";
import { asUser } from "../../deploy/tier_command.ts";
import type { TestState } from "./test_store.ts";

/** A user and a group that own nothing. */
export const NOBODY = 65_534;

export interface ProgramResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface ProgramOptions {
  readonly user?: number;
  readonly stdin?: string;
  readonly env?: Record<string, string>;
  /** Flags of `deno run` instead of the computed grants. */
  readonly flags?: readonly string[];
}

/** A bundle that every user may read; disposed of, it is gone. */
export class CliProgram implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "daemoneye-cli-program-" });
  readonly path = `${this.directory}/parts/main.js`;

  static async make(): Promise<CliProgram> {
    const program = new CliProgram();
    try {
      Deno.chmodSync(program.directory, 0o755);
      await makeParts(`${program.directory}/parts`, Deno.execPath());
      return program;
    } catch (error) {
      program[Symbol.dispose]();
      throw error;
    }
  }

  /** All that the program gets of the environment. Deno wants a directory of its own also where nobody has a home. */
  get environment(): Record<string, string> {
    return { PATH: "/usr/bin:/bin", DENO_DIR: `${this.directory}/deno_dir` };
  }

  /** The command line that the launcher of an installed system amounts to. */
  command(state: TestState, args: readonly string[], flags?: readonly string[]): string[] {
    const grants = tierGrants("cli", {
      layout: state.layout,
      rulesDirs: [state.layout.rules],
      configFiles: [`${state.directory}/config.yaml`],
      alertHosts: [],
      libc: LIBC_PATHS.x86_64[0]!,
    });
    const given = flags ?? grantFlags(grants);
    return [Deno.execPath(), "run", ...BUNDLE_FLAGS, ...given, this.path, "--state", state.directory, ...args];
  }

  async run(state: TestState, args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
    const line = this.command(state, args, options.flags);
    const [program, ...rest] = options.user === undefined ? line : asUser(options.user, options.user, line);
    const child = new Deno.Command(program!, {
      args: rest,
      clearEnv: true,
      env: { ...this.environment, TZ: "UTC", ...options.env },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (options.stdin !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(options.stdin));
      await writer.close();
    }
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}
