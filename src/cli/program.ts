import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isLogboomError } from '../base/errors.js';
import { addAppendCommand } from './commands/append.js';
import { addClusterCommands } from './commands/cluster.js';
import { addContextCommand } from './commands/context.js';
import { addNodeCommands } from './commands/node.js';
import { addPartitionCommands } from './commands/partition.js';
import { addReadCommand } from './commands/read.js';
import { addSnapshotCommands } from './commands/snapshot.js';
import { addStatusCommand } from './commands/status.js';
import { addStreamCommands } from './commands/stream.js';
import { addTailCommand } from './commands/tail.js';
import { addTokenCommands } from './commands/token.js';
import { addTrimCommands } from './commands/trim.js';
import { exitCode, failureJson, failureText, UsageError } from './failure.js';
import type { CommandIo } from './io.js';
import { helpHint, usageErrorOf } from './usage.js';

const examples = `
Examples:
  logboom dev                            run a node
  logboom cluster local -n 3             run a cluster of three on this machine
  logboom append web access.log          append a file, a record a line
  logboom read web --last 20             print the newest records
  logboom tail web                       follow a stream
  logboom status                         look at the node

Exit codes: 0 done, 1 failed, 2 wrong usage.
\`logboom COMMAND --help\` has examples of each command.
`;

/** Runs one command line, without the names of program and script; answers the exit code. */
export async function runCommandLine(args: readonly string[], io: CommandIo): Promise<number> {
  const program = new Command('logboom')
    .description('A partitioned log server and its command line.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', examples)
    // What stands behind a command is that command's: "trim" has options and commands of its own.
    .enablePositionalOptions()
    .showSuggestionAfterError();
  // Loaded for the list in its help alone: client commands are to start without the server.
  const settings = args[0] === 'server' ? (await import('../server/config/index.js')).settingEntries : undefined;
  addNodeCommands(program, io, settings);
  addStreamCommands(program, io);
  addAppendCommand(program, io);
  addReadCommand(program, io);
  addTailCommand(program, io);
  addContextCommand(program, io);
  addStatusCommand(program, io);
  addPartitionCommands(program, io);
  addSnapshotCommands(program, io);
  addTrimCommands(program, io);
  addClusterCommands(program, io);
  addTokenCommands(program, io);
  for (const command of commandsOf(program)) configure(command, io);
  let chosen = program;
  program.hook('preAction', (_, command) => {
    chosen = command;
    checkOutputVariable(command, io);
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode.done;
  } catch (error) {
    // A help text, which is printed by now; it is no failure when it was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    const isUsage = error instanceof UsageError;
    const told = isUsage && error.hint === undefined ? new UsageError(error.message, helpHint(chosen)) : error;
    io.stderr.write(wantsJson(args, io) ? failureJson(told) : failureText(told));
    return isUsage || isLogboomError(error, 'CONFIGURATION_INVALID') ? exitCode.usage : exitCode.failed;
  }
}

function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

function configure(command: Command, io: CommandIo): void {
  const width = Math.max(60, Math.min(io.stdout.columns ?? 80, 100));
  command
    .exitOverride((error) => {
      const isHelp = error.exitCode === 0 || error.code === 'commander.help';
      throw isHelp ? error : usageErrorOf(error, command);
    })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // Told as every failure is.
      outputError: () => {},
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
    });
}

const outputFormats = ['text', 'json', 'raw'];

/** A format that only other commands have stands for text: the variable is for all of them. */
function checkOutputVariable(command: Command, io: CommandIo): void {
  const wanted = io.env['LOGBOOM_OUTPUT'];
  if (wanted === undefined || outputFormats.includes(wanted)) return;
  if (!command.options.some(({ long }) => long === '--output')) return;
  throw new UsageError(`LOGBOOM_OUTPUT: "${wanted}" is not valid: it must be one of ${outputFormats.join(', ')}`);
}

/** Also when the command line could not be understood: whoever reads the errors of a script can parse them. */
function wantsJson(args: readonly string[], io: CommandIo): boolean {
  const given = args.flatMap((arg, index) =>
    arg.startsWith('--output=') ? [arg.slice('--output='.length)] : arg === '--output' ? [args[index + 1]] : [],
  );
  return (given.at(-1) ?? io.env['LOGBOOM_OUTPUT']) === 'json';
}

function packageVersion(): string {
  // The same from src/cli and dist/cli.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
