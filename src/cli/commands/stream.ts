import { Option } from 'commander';
import type { Command } from 'commander';
import type { StreamInfo } from '../../client/index.js';
import { durationArgument, makeContext, sizeArgument, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { UsageError } from '../failure.js';
import { formatBytes, formatCount, formatDuration, formatTable, formatTime, plural } from '../format.js';
import type { CommandIo } from '../io.js';

interface RetentionOptions extends CommonOptions {
  readonly retentionAge?: number;
  readonly retentionBytes?: number;
  readonly fencingToken?: string;
}

function zeroOrDuration(text: string): number {
  return text === '0' ? 0 : durationArgument(text);
}

function withRetention(command: Command): Command {
  return command
    .addOption(
      new Option('--retention-age <duration>', 'delete records older than this; 0 keeps them').argParser(
        zeroOrDuration,
      ),
    )
    .addOption(
      new Option('--retention-bytes <size>', 'delete the oldest records above this size; 0 keeps them').argParser(
        sizeArgument,
      ),
    )
    .option('--fencing-token <token>', 'take only appends that carry this token; empty: all');
}

export function addStreamCommands(program: Command, io: CommandIo): void {
  const stream = program
    .command('stream')
    .description('make, list, describe, change and delete streams')
    .addHelpText(
      'after',
      `
Examples:
  logboom stream create web --retention-age 7d
  logboom stream list web/
  logboom stream describe web
  logboom stream delete web
`,
    );
  addCreate(stream, io);
  addList(stream, io);
  addDescribe(stream, io);
  addUpdate(stream, io);
  addDelete(stream, io);
}

function addCreate(stream: Command, io: CommandIo): void {
  const command = stream
    .command('create')
    .description('make a stream')
    .argument('<name>', '1 to 255 letters, digits and . _ - / :')
    .option('--if-not-exists', 'take the existing one, whatever its configuration')
    .addHelpText(
      'after',
      `
A stream of this name that exists already is taken when its configuration is
the same, and refused otherwise (STREAM_ALREADY_EXISTS).

Examples:
  logboom stream create web
  logboom stream create web --retention-age 7d --retention-bytes 10GiB
`,
    )
    .action((name: string, options: RetentionOptions & { ifNotExists?: boolean }) =>
      withClient(options, async (client) => {
        const context = makeContext(io, options.output);
        const { retentionAge: retentionAgeMs, retentionBytes, fencingToken, ifNotExists } = options;
        const { signal } = context;
        const made = { retentionAgeMs, retentionBytes, fencingToken, ifNotExists, signal };
        const info = await client.streams.create(name, made);
        await print(
          context,
          info,
          info.created ? `made stream ${name} in partition ${info.partition}` : `stream ${name} exists`,
        );
      }),
    );
  withCommonOptions(withRetention(command), io, ['text', 'json']);
}

function addList(stream: Command, io: CommandIo): void {
  const command = stream
    .command('list')
    .alias('ls')
    .description('list streams')
    .argument('[prefix]', 'only names that begin with this')
    .addHelpText(
      'after',
      `
Examples:
  logboom stream list
  logboom stream list web/ --output json
`,
    )
    .action((prefix: string | undefined, options: CommonOptions) =>
      withClient(options, async (client) => {
        const context = makeContext(io, options.output);
        const infos: StreamInfo[] = [];
        for await (const info of client.streams.list({ prefix, signal: context.signal })) {
          if (options.output === 'json') await context.output.write(toJsonLine(info));
          else infos.push(info);
        }
        if (options.output === 'json') return;
        if (infos.length === 0) context.note('no streams yet; make one with `logboom stream create NAME`');
        else await context.output.write(streamTable(infos));
      }),
    );
  withCommonOptions(command, io, ['text', 'json']);
}

/** Positions and sizes of streams, for `stream list` and `status`. */
export function streamTable(streams: readonly StreamInfo[]): string {
  const rows = streams.map((info) => [
    info.name,
    info.partition,
    formatCount(info.nextSeq - info.firstSeq),
    formatCount(info.firstSeq),
    formatCount(info.nextSeq),
    formatBytes(info.storedBytes),
    info.lastAppendMs === undefined ? '-' : formatTime(info.lastAppendMs),
  ]);
  return formatTable(['NAME', 'PARTITION', 'RECORDS', 'FIRST SEQ', 'NEXT SEQ', 'STORED', 'LAST APPEND'], rows);
}

function addDescribe(stream: Command, io: CommandIo): void {
  const command = stream
    .command('describe')
    .description('show a stream: positions, sizes, configuration')
    .argument('<name>', 'name of the stream')
    .addHelpText(
      'after',
      `
Examples:
  logboom stream describe web
  logboom stream describe web --output json | jq .next_seq
`,
    )
    .action((name: string, options: CommonOptions) =>
      withClient(options, async (client) => {
        const context = makeContext(io, options.output);
        const info = await client.streams.get(name, { signal: context.signal });
        await print(context, info, description(info));
      }),
    );
  withCommonOptions(command, io, ['text', 'json']);
}

function description(info: StreamInfo): string {
  const rows = [
    ['name', info.name],
    ['epoch', String(info.epoch)],
    ['partition', String(info.partition)],
    ['records', formatCount(info.nextSeq - info.firstSeq)],
    ['first seq', formatCount(info.firstSeq)],
    ['next seq', formatCount(info.nextSeq)],
    ['stored', formatBytes(info.storedBytes)],
    ['created', formatTime(info.createdMs)],
    ['last append', info.lastAppendMs === undefined ? '-' : formatTime(info.lastAppendMs)],
    ['producers', formatCount(info.producerCount)],
    ['retention age', info.retentionAgeMs === 0 ? 'for ever' : formatDuration(info.retentionAgeMs)],
    ['retention bytes', info.retentionBytes === 0 ? 'no limit' : formatBytes(info.retentionBytes)],
    ['fencing token', info.fencingToken === '' ? 'none' : info.fencingToken],
  ];
  return rows.map(([name, value]) => `${name?.padEnd(16)}${value}`).join('\n');
}

function addUpdate(stream: Command, io: CommandIo): void {
  const command = stream
    .command('update')
    .description('change retention or the fencing token of a stream')
    .argument('<name>', 'name of the stream')
    .option('--expected-fencing-token <token>', 'only when the stream carries this token now; empty: none')
    .addHelpText(
      'after',
      `
Examples:
  logboom stream update web --retention-age 30d
  logboom stream update web --fencing-token b --expected-fencing-token a
`,
    )
    .action((name: string, options: RetentionOptions & { expectedFencingToken?: string }) =>
      withClient(options, async (client) => {
        const context = makeContext(io, options.output);
        const { retentionAge: retentionAgeMs, retentionBytes, fencingToken, expectedFencingToken } = options;
        if (retentionAgeMs === undefined && retentionBytes === undefined && fencingToken === undefined)
          throw new UsageError('nothing to change: give --retention-age, --retention-bytes or --fencing-token');
        const change = { retentionAgeMs, retentionBytes, fencingToken, expectedFencingToken, signal: context.signal };
        const info = await client.streams.update(name, change);
        await print(context, info, description(info));
      }),
    );
  withCommonOptions(withRetention(command), io, ['text', 'json']);
}

function addDelete(stream: Command, io: CommandIo): void {
  const command = stream
    .command('delete')
    .description('delete a stream with all its records')
    .argument('<name>', 'name of the stream')
    .addHelpText(
      'after',
      `
There is no way back. The space is given back in the background.

Examples:
  logboom stream delete web
`,
    )
    .action((name: string, options: CommonOptions) =>
      withClient(options, async (client) => {
        const context = makeContext(io, options.output);
        const { firstSeq, nextSeq } = await client.streams.delete(name, { signal: context.signal });
        const text = `deleted stream ${name} with ${plural(nextSeq - firstSeq, 'record')}`;
        await print(context, { name, firstSeq, nextSeq }, text);
      }),
    );
  withCommonOptions(command, io, ['text', 'json']);
}

async function print(context: CommandContext, value: object, text: string): Promise<void> {
  await context.output.write(context.format === 'json' ? toJsonLine(value) : `${text}\n`);
}
