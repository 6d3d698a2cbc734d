import { Option } from 'commander';
import type { Command } from 'commander';
import { countArgument, makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommonOptions } from '../context.js';
import type { CommandIo } from '../io.js';
import { RecordPrinter } from '../record-output.js';

interface ContextCommandOptions extends CommonOptions {
  readonly before: number;
  readonly after: number;
  readonly sameProducer?: boolean;
}

const examples = `
Prints the records around one record, by position and not by time; the record
itself is marked with >. With --same-producer they are those that the same
producer appended before and after it.

Examples:
  logboom context web 4711
  logboom context web 4711 -B 0 -A 50
  logboom context web 4711 --same-producer
`;

export function addContextCommand(program: Command, io: CommandIo): void {
  const command = program
    .command('context')
    .description('print the records around one record')
    .argument('<stream>', 'name of the stream')
    .argument('<seq>', 'position of the record', countArgument)
    .addOption(new Option('-B, --before <n>', 'records before it').argParser(countArgument).default(5))
    .addOption(new Option('-A, --after <n>', 'records after it').argParser(countArgument).default(5))
    .option('--same-producer', 'only records of the same producer')
    .addHelpText('after', examples)
    .action((stream: string, seq: number, options: ContextCommandOptions) => context(io, stream, seq, options));
  withCommonOptions(command, io, ['text', 'json', 'raw']);
}

async function context(io: CommandIo, stream: string, seq: number, options: ContextCommandOptions): Promise<void> {
  const commandContext = makeContext(io, options.output);
  const { before, after, sameProducer } = options;
  await withClient(options, async (client) => {
    const { signal, output } = commandContext;
    const found = await client.context(stream, seq, { before, after, sameProducer, signal });
    await new RecordPrinter(commandContext).print(found.records, seq);
    if (options.output !== 'json') return;
    const { beforeCount, afterCount, moreBefore, moreAfter, firstSeq, nextSeq } = found;
    await output.write(toJsonLine({ beforeCount, afterCount, moreBefore, moreAfter, firstSeq, nextSeq }));
  });
}
