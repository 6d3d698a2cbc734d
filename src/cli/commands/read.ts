import { Option } from 'commander';
import type { Command } from 'commander';
import type { Page, ReadOptions } from '../../client/index.js';
import {
  countArgument,
  makeContext,
  positiveArgument,
  timeArgument,
  toJsonLine,
  withClient,
  withCommonOptions,
} from '../context.js';
import type { CommonOptions } from '../context.js';
import type { CommandIo } from '../io.js';
import { RecordPrinter } from '../record-output.js';

interface ReadCommandOptions extends CommonOptions {
  readonly from?: number;
  readonly since?: number;
  readonly last?: number;
  readonly pageToken?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

const examples = `
Without a place to begin it reads from the oldest record, or with --reverse
from the newest, to the end. TIME is ISO 8601 (2026-01-31T12:00:00Z), how long
ago (10m), or Unix milliseconds; it is compared with the time of the append.

At its end it prints a page token, with which a later read goes on: on standard
error, or with --output json as next_page_token in a last line of its own.
--output raw prints each record's bytes and an LF, and no token.

Examples:
  logboom read web --last 20
  logboom read web --since 10m --limit 100
  logboom read web --reverse --limit 5
  logboom read web --output raw > copy.log
  logboom read web --output json | jq -r 'select(.seq != null) | .value'
`;

/** What the options of `read` and `tail` have in common. */
export function addStartOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--from <seq>', 'begin with this record')
        .argParser(countArgument)
        .conflicts(['since', 'last', 'pageToken']),
    )
    .addOption(
      new Option('--since <time>', 'begin with what was appended at or after this time')
        .argParser(timeArgument)
        .conflicts(['last', 'pageToken']),
    )
    .addOption(new Option('--page-token <token>', 'go on where an earlier read ended'));
}

export function addReadCommand(program: Command, io: CommandIo): void {
  const command = program
    .command('read')
    .description('print records of a stream')
    .argument('<stream>', 'name of the stream')
    .addOption(
      new Option('--last <n>', 'begin with the newest so many records')
        .argParser(positiveArgument)
        .conflicts(['pageToken']),
    )
    .option('-r, --reverse', 'newest first')
    .addOption(new Option('--limit <n>', 'at most so many records').argParser(positiveArgument))
    .addHelpText('after', examples)
    .action((stream: string, options: ReadCommandOptions) => read(io, stream, options));
  withCommonOptions(addStartOptions(command), io, ['text', 'json', 'raw']);
}

function whereItEnded({ end, nextPageToken, nextSeq }: Page, reverse = false): string {
  if (end === 'limit') return `more with --page-token ${nextPageToken}`;
  if (reverse) return 'that was the oldest';
  return `end of the stream, next seq ${nextSeq}; what comes later: --page-token ${nextPageToken}`;
}

async function read(io: CommandIo, stream: string, options: ReadCommandOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const { from: fromSeq, since: sinceMs, last, pageToken, reverse, limit } = options;
  const wanted: ReadOptions = { fromSeq, sinceMs, last, pageToken, reverse, limit, signal: context.signal };
  await withClient(options, async (client) => {
    const printer = new RecordPrinter(context);
    let end: Page | undefined;
    try {
      for await (const page of client.readPages(stream, wanted)) {
        await printer.print(page);
        end = page;
        context.signal.throwIfAborted();
      }
    } catch (error) {
      // Nobody reads any more, or the user has seen enough.
      if (!context.signal.aborted) throw error;
      return;
    }
    if (!end) return;
    const { nextPageToken, firstSeq, nextSeq } = end;
    if (options.output === 'json')
      await context.output.write(toJsonLine({ nextPageToken, end: end.end, firstSeq, nextSeq }));
    else if (options.output === 'text') context.note(context.messagePalette.dim(whereItEnded(end, reverse)));
  });
}
