import { Option } from 'commander';
import type { Command } from 'commander';
import { isLogboomError } from '../../base/errors.js';
import type { LogboomClient } from '../../client/index.js';
import { appendLines, AppendTotals } from '../append-lines.js';
import { makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { CommandError, UsageError } from '../failure.js';
import { formatBytes, formatCount, formatDuration, plural } from '../format.js';
import type { CommandIo } from '../io.js';
import { Progress } from '../progress.js';
import { fileSource, streamSource } from '../sources.js';
import type { FollowOptions, Source } from '../sources.js';

interface AppendCommandOptions extends CommonOptions {
  readonly follow?: boolean;
  readonly producer?: string;
  readonly fencingToken?: string;
  readonly codec: 'zstd' | 'none';
  readonly create: boolean;
  readonly progress: boolean;
}

const examples = `
Each line is one record: its bytes without the final LF. A CR stays, and so do
bytes that are no UTF-8; an empty line is a record, and so is a last line
without LF. The stream is made when it is missing.

With --producer the lines are numbered over all FILEs in their order, and the
server remembers how far they came: the same command again, also after it was
killed half-way, appends only what is missing.

With --follow files are read on as they grow, until Ctrl-C; a file that is
replaced (rename) or cut (copytruncate) is read from its beginning. With
--producer only the last FILE may still grow.

Examples:
  logboom append web access.log
  logboom append web access.log.1 access.log --producer web-1
  journalctl -f | logboom append journal -
  logboom append app /var/log/app.log --follow --producer app@$(hostname)
`;

export function addAppendCommand(program: Command, io: CommandIo): void {
  const command = program
    .command('append')
    .description('append lines of files or of standard input to a stream')
    .argument('<stream>', 'name of the stream')
    .argument('[files...]', 'files; - or none: standard input')
    .option('-f, --follow', 'go on as the files grow, until interrupted')
    .option('-p, --producer <id>', 'append every line once, also over several runs')
    .option('--fencing-token <token>', 'the fencing token of the stream')
    .addOption(new Option('--codec <name>', 'compression of batches').choices(['zstd', 'none']).default('zstd'))
    .option('--no-create', 'fail when the stream is missing')
    .option('--no-progress', 'no progress bar on a terminal')
    .addHelpText('after', examples)
    .action((stream: string, files: string[], options: AppendCommandOptions) => append(io, stream, files, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function append(io: CommandIo, stream: string, files: string[], options: AppendCommandOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const totals = new AppendTotals();
  const progress = new Progress(io.stderr, () => ({ records: totals.records, bytes: totals.readBytes, totalBytes }));
  const notice = (message: string): void => progress.interrupt(() => context.note(message));
  const sources = await openSources(context, files, options, notice);
  const totalBytes = sumOf(sources);
  const startedMs = performance.now();
  let failed = false;
  try {
    await withClient(options, async (client) => {
      if (options.create) await createIfMissing(client, stream);
      if (options.progress && options.output === 'text') progress.start();
      const { producer: producerId, fencingToken, codec, follow = false } = options;
      const together = follow && producerId === undefined;
      const { messagePalette: palette } = context;
      await appendLines(
        client,
        stream,
        sources,
        {
          producerId,
          fencingToken,
          codec,
          together,
          signal: io.interrupted,
          onInterruption: (error) => notice(palette.yellow(`${error.message}; trying again for a minute`)),
          onResumption: () => notice(palette.green('resumed')),
        },
        totals,
      );
    });
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    progress.stop();
    if (!failed || totals.records > 0) await report(context, stream, totals, performance.now() - startedMs, options);
  }
  if (io.interrupted.aborted && !options.follow) throw interruption(options.producer);
}

/** Asked first: a token that may append to what is there need not be one that may create. */
async function createIfMissing(client: LogboomClient, stream: string): Promise<void> {
  try {
    await client.streams.get(stream);
  } catch (error) {
    if (!isLogboomError(error, 'STREAM_NOT_FOUND')) throw error;
    await client.streams.create(stream, { ifNotExists: true });
  }
}

function interruption(producerId: string | undefined): Error {
  const next =
    producerId === undefined
      ? 'What was read is appended. With --producer ID the same command can go on where it stopped.'
      : 'What was read is appended. Run the same command again: it goes on where it stopped.';
  return new CommandError('INTERRUPTED', 'interrupted: the input was not read to its end', next);
}

async function openSources(
  context: CommandContext,
  files: readonly string[],
  options: AppendCommandOptions,
  notice: (message: string) => void,
): Promise<Source[]> {
  const { stdin } = context.io;
  if (options.producer === '') throw new UsageError('--producer: an id has 1 to 128 bytes');
  const names = files.length === 0 ? ['-'] : files;
  if (names.filter((name) => name === '-').length > 1)
    throw new UsageError('standard input (-) can be given only once');
  if (options.follow && names.includes('-'))
    throw new UsageError('--follow is for files; standard input is read to its end without it');
  const follow: FollowOptions | undefined = options.follow ? { pollMs: 200, onNotice: notice } : undefined;
  const sources: Source[] = [];
  for (const [index, name] of names.entries()) {
    // Numbers go over all files in order: an earlier file must not grow any more.
    const grows = follow && (options.producer === undefined || index === names.length - 1) ? follow : undefined;
    sources.push(name === '-' ? streamSource('standard input', stdin) : await fileSource(name, grows));
  }
  if (names.includes('-') && stdin.isTTY === true) context.note('reading lines from the terminal; Ctrl-D ends');
  return sources;
}

function sumOf(sources: readonly Source[]): number | undefined {
  let sum = 0;
  for (const { totalBytes } of sources) {
    if (totalBytes === undefined) return undefined;
    sum += totalBytes;
  }
  return sum;
}

async function report(
  context: CommandContext,
  stream: string,
  totals: AppendTotals,
  elapsedMs: number,
  options: AppendCommandOptions,
): Promise<void> {
  const { records, bytes, skipped, firstSeq, lastSeq, leftBytes } = totals;
  const seconds = elapsedMs / 1000;
  if (context.format === 'json') {
    const producer = options.producer;
    const rates = { recordsPerSecond: Math.round(records / seconds), bytesPerSecond: Math.round(bytes / seconds) };
    const summary = {
      stream,
      producer,
      records,
      bytes,
      skipped,
      firstSeq,
      lastSeq,
      seconds: Math.round(seconds * 1e6) / 1e6,
    };
    await context.output.write(toJsonLine({ ...summary, ...rates, leftBytes: leftBytes || undefined }));
    return;
  }
  const { palette } = context;
  const parts = [
    `appended ${palette.bold(plural(records, 'record'))}, ${formatBytes(bytes)} in ${formatDuration(elapsedMs)}`,
  ];
  if (records > 0) {
    parts[0] += ` (${formatCount(records / seconds)} records/s, ${formatBytes(bytes / seconds)}/s)`;
    parts.push(records === 1 ? `seq ${firstSeq}` : `seq ${firstSeq} to ${lastSeq}`);
  }
  if (skipped > 0) parts.push(`${plural(skipped, 'line')} skipped: appended before`);
  await context.output.write(`${parts.join(', ')}\n`);
  if (leftBytes > 0 && options.follow)
    context.note(`${formatBytes(leftBytes)} without an LF at the end were left for the next run`);
}
