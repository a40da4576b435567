// `attune completion`: a script that completes commands and options in bash, zsh or fish.
import { Argument, type Command } from 'commander';
import { say } from './report.ts';

export function registerCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a completion script, for: source <(attune completion bash)')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action((shell: string) => say(completion(program, shell)));
}

/** What may follow a command: its subcommands, or its options. */
function wordsAfter({ commands, options }: Command): string {
  const names = commands.map((command) => command.name());
  const longs = options.flatMap(({ long }) => long ?? []);
  return [...(names.length > 0 ? names : longs), '--help'].join(' ');
}

/** @param program with all of its commands */
export function completion(program: Command, shell: string): string {
  const tree = program.commands.flatMap((command): [string, Command][] => [
    [command.name(), command],
    ...command.commands.map((own): [string, Command] => [`${command.name()} ${own.name()}`, own]),
  ]);
  if (shell === 'fish') {
    const top = `complete -c attune -f -n __fish_use_subcommand -a '${wordsAfter(program)}'`;
    const rest = tree.map(([path, command]) => {
      const seen = path.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
      return `complete -c attune -n '${seen.join('; and ')}' -a '${wordsAfter(command)}'`;
    });
    return [top, ...rest].join('\n');
  }
  const cases = [...tree].reverse().map(([path, command]) => {
    return `    "${path}"*) words="${wordsAfter(command)}" ;;`;
  });
  const script = [
    '_attune() {',
    '  local words',
    // The words between the program and the one that is being completed.
    `  case "${'$'}{COMP_WORDS[*]:1:COMP_CWORD-1}" in`,
    ...cases,
    `    *) words="${wordsAfter(program)}" ;;`,
    '  esac',
    `  COMPREPLY=($(compgen -W "$words" -- "${'$'}{COMP_WORDS[COMP_CWORD]}"))`,
    '}',
    'complete -o default -F _attune attune',
  ];
  return [...(shell === 'zsh' ? ['autoload -U bashcompinit && bashcompinit'] : []), ...script].join(
    '\n',
  );
}
