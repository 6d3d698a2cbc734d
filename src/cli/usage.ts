import type { Command, CommanderError } from 'commander';
import { UsageError } from './failure.js';

/** Names of a command and those above it: `logboom stream create`. */
function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

/** Where the help for `command` is, as the next step of an error. */
export function helpHint(command: Command): string {
  return `See \`${fullName(command)} --help\`.`;
}

/** commander's errors in the words of this command line. */
export function usageErrorOf(error: CommanderError, command: Command): UsageError {
  const [first = '', suggestion] = error.message.split('\n');
  const message = first
    .replace(/^error: /, '')
    .replace(/^option '([^']*)' argument '(.*)' is invalid\. /, '$1: "$2" is not valid: ')
    .replace(/^command-argument value '(.*)' is invalid for argument '([^']*)'\. /, '<$2>: "$1" is not valid: ')
    .replace('Allowed choices are', 'it must be one of')
    .replace(/'([^']*)'/g, '$1')
    .replace(/\.$/, '');
  const meant = /Did you mean (.*)\?/.exec(suggestion ?? '')?.[1];
  return new UsageError(meant === undefined ? message : `${message}; did you mean ${meant}?`, helpHint(command));
}
