/**
 * `completions`: what a shell needs to complete command lines of this program, from the table of commands.
 *
 * @module
 */
import { COMMON_OPTIONS } from "./arguments.ts";
import { type Call, type Command, EXIT, type Exit, UsageError } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { PROGRAM } from "./help.ts";
import { HUNTS } from "./hunts/all.ts";
import { FORMATS } from "./output.ts";

const SHELLS = { bash, zsh, fish } as const;

export function completions(call: Call): Exit {
  const [name, extra] = call.arguments;
  const make = name === undefined || !Object.hasOwn(SHELLS, name) ? undefined : SHELLS[name as keyof typeof SHELLS];
  if (make === undefined || extra !== undefined) throw new UsageError("completions takes bash, zsh or fish");
  call.out.write(make());
  return EXIT.complete;
}

/** First words that a command takes. */
function wordsOf({ name, usage }: Command): string[] {
  if (name === "hunt") return ["list", "show", ...HUNTS.keys()];
  if (name === "export") return ["events", "alerts", "gaps", "processes"];
  if (name === "completions") return Object.keys(SHELLS);
  const words = usage.map((line) => line.split(" ")[1] ?? "").filter((word) => /^[a-z][a-z-]+$/.test(word));
  return [...new Set(words)];
}

/** Options of a command with those of all, by name. */
function optionsOf(command: Command): [name: string, text: string, takesValue: boolean, short: string | undefined][] {
  return Object.entries({ ...command.options, ...COMMON_OPTIONS })
    .map(([name, { text, type, short }]) => [name, text, type === "string", short]);
}

function bash(): string {
  const cases = COMMANDS.map((command) => {
    const words = [...wordsOf(command), ...optionsOf(command).map(([name]) => `--${name}`)];
    return `    ${command.name}) words="${words.join(" ")}" ;;`;
  });
  const common = Object.keys(COMMON_OPTIONS).map((name) => `--${name}`).join(" ");
  return `# bash completion of ${PROGRAM}: source it, or put it into /etc/bash_completion.d
_daemoneye_cli() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words="" word command=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) command="$word"; break ;; esac
  done
  case "$before" in
    --format|-f) COMPREPLY=($(compgen -W "${FORMATS.join(" ")}" -- "$current")); return ;;
    --state|--config|--file|--ledger) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$command" in
    "") words="${COMMANDS.map(({ name }) => name).join(" ")} ${common}" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _daemoneye_cli ${PROGRAM}
`;
}

/** A text within single quotes of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function zsh(): string {
  const commands = COMMANDS.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`);
  const cases = COMMANDS.map((command) => {
    const words = [
      ...wordsOf(command).map((word) => quoted(word)),
      ...optionsOf(command).map(([name, text]) => quoted(`--${name}:${text}`)),
    ];
    return `    ${command.name}) choices=(${words.join(" ")}) ;;`;
  });
  return `#compdef ${PROGRAM}
# zsh completion of ${PROGRAM}: put it into a directory of $fpath as _${PROGRAM}
local -a commands choices
local word command=""
commands=(
${commands.join("\n")}
)
for word in "\${(@)words[2,CURRENT-1]}"; do
  if [[ "$word" != -* ]]; then command="$word"; break; fi
done
if [[ "\${words[CURRENT-1]}" == (--format|-f) ]]; then
  compadd ${FORMATS.join(" ")}
elif [[ -z "$command" ]]; then
  _describe command commands
else
  case "$command" in
${cases.join("\n")}
  esac
  _describe word choices
fi
`;
}

function fish(): string {
  const lines = [`# fish completion of ${PROGRAM}: put it into ~/.config/fish/completions/${PROGRAM}.fish`];
  lines.push(`complete -c ${PROGRAM} -f`);
  for (const command of COMMANDS) {
    lines.push(`complete -c ${PROGRAM} -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.summary)}`);
    const within = `-n '__fish_seen_subcommand_from ${command.name}'`;
    const words = wordsOf(command);
    if (words.length > 0) lines.push(`complete -c ${PROGRAM} ${within} -a ${quoted(words.join(" "))}`);
    for (const [name, { text, type, short }] of Object.entries(command.options)) {
      const value = type === "string" ? " -r" : "";
      lines.push(
        `complete -c ${PROGRAM} ${within} -l ${name}${short === undefined ? "" : ` -s ${short}`}${value} -d ${
          quoted(text)
        }`,
      );
    }
  }
  for (const [name, { text, type, short }] of Object.entries(COMMON_OPTIONS)) {
    const value = name === "format" ? ` -r -a ${quoted(FORMATS.join(" "))}` : type === "string" ? " -r" : "";
    lines.push(
      `complete -c ${PROGRAM} -l ${name}${short === undefined ? "" : ` -s ${short}`}${value} -d ${quoted(text)}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
