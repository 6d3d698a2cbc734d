import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isLogboomError } from '../base/errors.js';
import { addAppendCommand } from './commands/append.js';
import { addContextCommand } from './commands/context.js';
import { addNodeCommands } from './commands/node.js';
import { addPartitionCommands } from './commands/partition.js';
import { addReadCommand } from './commands/read.js';
import { addStatusCommand } from './commands/status.js';
import { addStreamCommands } from './commands/stream.js';
import { addTailCommand } from './commands/tail.js';
import { exitCode, failureJson, failureText, UsageError } from './failure.js';
import type { CommandIo } from './io.js';

const examples = `
Examples:
  logboom dev                            run a node
  logboom append web access.log          append a file, a record a line
  logboom read web --last 20             print the newest records
  logboom tail web                       follow a stream
  logboom status                         look at the node

Exit codes: 0 done, 1 failed, 2 wrong usage. \`logboom COMMAND --help\` has examples of each command.
`;

/** Runs one command line, without the names of program and script; answers the exit code. */
export async function runCommandLine(args: readonly string[], io: CommandIo): Promise<number> {
  const program = new Command('logboom')
    .description('A replicated, partitioned log server and its command line.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText('after', examples)
    .showSuggestionAfterError();
  addNodeCommands(program, io);
  addStreamCommands(program, io);
  addAppendCommand(program, io);
  addReadCommand(program, io);
  addTailCommand(program, io);
  addContextCommand(program, io);
  addStatusCommand(program, io);
  addPartitionCommands(program, io);
  for (const command of commandsOf(program)) configure(command, io);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode.done;
  } catch (error) {
    // commander has printed what there is to say: help texts are no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    io.stderr.write(wantsJson(args) ? failureJson(error) : failureText(error));
    const isUsage = error instanceof UsageError || isLogboomError(error, 'CONFIGURATION_INVALID');
    return isUsage ? exitCode.usage : exitCode.failed;
  }
}

function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

function configure(command: Command, io: CommandIo): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(text),
    // Written out by `error: ...`, on one line, as all failures are.
    outputError: (text, write) => write(text),
    getOutHelpWidth: () => 100,
    getErrHelpWidth: () => 100,
  });
}

function wantsJson(args: readonly string[]): boolean {
  return args.some((arg, index) => arg === '--output=json' || (arg === '--output' && args[index + 1] === 'json'));
}

function packageVersion(): string {
  // The same from src/cli and dist/cli.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
