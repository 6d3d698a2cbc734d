import { Option } from 'commander';
import type { Command } from 'commander';
import { countArgument, makeContext, withClient, withCommonOptions } from '../context.js';
import type { CommonOptions } from '../context.js';
import type { CommandIo } from '../io.js';
import { RecordPrinter } from '../record-output.js';
import { addStartOptions } from './read.js';

interface TailCommandOptions extends CommonOptions {
  readonly lines: number;
  readonly from?: number;
  readonly since?: number;
  readonly pageToken?: string;
}

const examples = `
Prints the newest records and then what is appended, until Ctrl-C. A lost
connection is resumed without a gap or a repeat; when retention overtakes the
reader, or the stream is deleted, it ends with an error that says so.

Examples:
  logboom tail web
  logboom tail web -n 100
  logboom tail web --since 5m
  logboom tail web -n 0 --output raw | grep --line-buffered error
`;

export function addTailCommand(program: Command, io: CommandIo): void {
  const lines = new Option('-n, --lines <n>', 'newest records to begin with').argParser(countArgument).default(10);
  const command = program
    .command('tail')
    .description('follow a stream')
    .argument('<stream>', 'name of the stream')
    .addOption(lines)
    .addHelpText('after', examples)
    .action((stream: string, options: TailCommandOptions) => tail(io, stream, options));
  withCommonOptions(addStartOptions(command), io, ['text', 'json', 'raw']);
}

async function tail(io: CommandIo, stream: string, options: TailCommandOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const { from: fromSeq, since: sinceMs, pageToken } = options;
  const named = fromSeq !== undefined || sinceMs !== undefined || pageToken !== undefined;
  const start = named ? { fromSeq, sinceMs, pageToken } : { last: options.lines };
  await withClient(options, async (client) => {
    const printer = new RecordPrinter(context);
    try {
      const pages = client.tailPages(stream, {
        ...start,
        signal: context.signal,
        onInterruption: (error) => context.note(context.messagePalette.yellow(`${error.message}; resuming`)),
        onResumption: () => context.note(context.messagePalette.green('resumed')),
      });
      for await (const page of pages) await printer.print(page);
    } catch (error) {
      if (!context.signal.aborted) throw error;
    }
  });
}
