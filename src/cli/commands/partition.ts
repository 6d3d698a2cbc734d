import { setTimeout as sleep } from 'node:timers/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import type { LogboomClient, Verification } from '../../client/index.js';
import {
  countArgument,
  durationArgument,
  makeContext,
  positiveArgument,
  toJsonLine,
  withClient,
  withCommonOptions,
} from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { CommandError, failureJson, failureText, UsageError } from '../failure.js';
import { formatBytes, formatCount, formatTime, plural } from '../format.js';
import type { CommandIo } from '../io.js';
import { partitionNotes, partitionTable } from '../partition-view.js';
import { Progress } from '../progress.js';

export function addPartitionCommands(program: Command, io: CommandIo): void {
  const partition = program
    .command('partition')
    .description('look at partitions, verify what they store, move them and their leaders')
    .addHelpText(
      'after',
      `
Examples:
  logboom partition list --watch
  logboom partition verify --all
  logboom partition transfer-leader 3 --to n2
`,
    );
  addList(partition, io);
  addMove(partition, io);
  addVerify(partition, io);
  addTransfer(partition, io);
}

interface MoveOptions extends CommonOptions {
  readonly from: number;
  readonly to: number;
}

function addMove(partition: Command, io: CommandIo): void {
  const node = (flags: string, description: string): Option =>
    new Option(flags, description).argParser(positiveArgument).makeOptionMandatory();
  const command = partition
    .command('move')
    .description('move a replica from one node to another')
    .argument('<id>', 'number of the partition', positiveArgument)
    .addOption(node('--from <node>', 'node id of the one that has a replica'))
    .addOption(node('--to <node>', 'node id of one that has none'))
    .addHelpText(
      'after',
      `
The new replica gets the log, or a snapshot, and votes once it has caught up;
then the old one goes. Appends and reads go on. \`logboom cluster status\` shows
how far it is.

Examples:
  logboom partition move 3 --from 1 --to 4
`,
    )
    .action((id: number, options: MoveOptions) =>
      withClient(options, async (client) => {
        const { output, format, signal } = makeContext(io, options.output);
        const move = { partition: id, fromNode: options.from, toNode: options.to };
        const placement = await client.cluster.movePartition(move, { signal });
        const text = `partition ${id}: its replica on node ${options.from} moves to node ${options.to}\n`;
        await output.write(format === 'json' ? toJsonLine(placement) : text);
      }),
    );
  withCommonOptions(command, io, ['text', 'json']);
}

interface ListOptions extends CommonOptions {
  readonly watch?: boolean;
  readonly interval: number;
}

function addList(partition: Command, io: CommandIo): void {
  const command = partition
    .command('list')
    .alias('ls')
    .description('list partitions, replicas and LSNs')
    .option('-w, --watch', 'again and again, until interrupted')
    .addOption(
      new Option('--interval <duration>', 'from one look to the next').argParser(durationArgument).default(1000, '1s'),
    )
    .addHelpText(
      'after',
      `
In a cluster a line is a replica: the leader has the role "leader", and one
whose node does not answer "unreachable". Below stand faults, snapshots that
are taken or fetched, and what holds trimming. With --watch and --output json
each look is one line, with its time.

Examples:
  logboom partition list
  logboom partition list --watch
  logboom partition list --output json | jq .id
`,
    )
    .action((options: ListOptions) =>
      withClient(options, (client) => {
        const context = makeContext(io, options.output);
        return options.watch ? watchList(context, client, options) : printList(context, client);
      }),
    );
  withCommonOptions(command, io, ['text', 'json']);
}

async function printList(context: CommandContext, client: LogboomClient): Promise<void> {
  const partitions = await client.cluster.partitions({ signal: context.signal });
  if (context.format === 'text')
    await context.output.write(`${partitionTable(partitions)}${partitionNotes(partitions, context.palette)}`);
  else for (const info of partitions) await context.output.write(toJsonLine(info));
}

const clearScreen = '\u001b[H\u001b[2J';

/** A look that fails is told and followed by the next one: it is when nodes fail that somebody watches. */
async function watchList(context: CommandContext, client: LogboomClient, { interval }: ListOptions): Promise<void> {
  const { signal, output, palette, io } = context;
  while (!signal.aborted) {
    const time = formatTime(Date.now());
    try {
      const partitions = await client.cluster.partitions({ signal });
      const text = `${palette.dim(time)}\n${partitionTable(partitions)}${partitionNotes(partitions, palette)}`;
      if (context.format === 'json') await output.write(toJsonLine({ time, partitions }));
      else await output.write(io.stdout.isTTY === true ? `${clearScreen}${text}` : `${text}\n`);
    } catch (error) {
      if (signal.aborted) return;
      io.stderr.write(context.format === 'json' ? failureJson(error) : failureText(error));
    }
    await sleep(interval, undefined, { signal }).catch(() => {});
  }
}

function addVerify(partition: Command, io: CommandIo): void {
  const command = partition
    .command('verify')
    .description('verify the checksum of every value')
    .argument('[id]', 'number of the partition', countArgument)
    .option('--all', 'every partition')
    .addHelpText(
      'after',
      `
Ends with exit code 1 when something is damaged. Appends and reads go on
meanwhile.

Examples:
  logboom partition verify 3
  logboom partition verify --all
`,
    )
    .action((id: number | undefined, options: CommonOptions & { all?: boolean }) => verify(io, id, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function verify(
  io: CommandIo,
  id: number | undefined,
  options: CommonOptions & { all?: boolean },
): Promise<void> {
  if ((id === undefined) === (options.all !== true)) throw new UsageError('give the number of a partition, or --all');
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    const ids = id === undefined ? (await client.cluster.partitions()).map((partition) => partition.id) : [id];
    let damaged = 0;
    for (const partition of ids) damaged += await verifyOne(context, client, partition);
    if (damaged > 0)
      throw new CommandError(
        'DATA_CORRUPT',
        `${plural(damaged, 'stored value')} damaged`,
        'What is damaged is not served. Keep the data directory, and see the server’s log.',
      );
  });
}

async function verifyOne(context: CommandContext, client: LogboomClient, partition: number): Promise<number> {
  let state = { records: 0, bytes: 0, totalBytes: undefined as number | undefined };
  const progress = new Progress(context.io.stderr, () => state);
  if (context.format === 'text') progress.start();
  let result: Verification;
  try {
    result = await client.cluster.verifyPartition(partition, {
      signal: context.signal,
      onProgress: ({ values, bytes, totalBytes }) =>
        (state = { records: values, bytes, totalBytes: totalBytes || undefined }),
    });
  } finally {
    progress.stop();
  }
  const { values, bytes, digest, appliedLsn, damaged } = result;
  if (context.format === 'json') {
    await context.output.write(toJsonLine({ partition, values, bytes, digest, appliedLsn, damaged }));
    return damaged.length;
  }
  const { palette } = context;
  const verdict = damaged.length === 0 ? palette.green('ok') : palette.red(`${damaged.length} DAMAGED`);
  const what = `${formatCount(values)} values, ${formatBytes(bytes)}, applied LSN ${appliedLsn}, digest ${digest}`;
  await context.output.write(`partition ${partition}: ${verdict}, ${what}\n`);
  for (const { database, keyHex, problem } of damaged)
    await context.output.write(`  ${database} ${keyHex}: ${problem}\n`);
  return damaged.length;
}

interface TransferOptions extends CommonOptions {
  readonly to?: string;
}

function addTransfer(partition: Command, io: CommandIo): void {
  const command = partition
    .command('transfer-leader')
    .description('let another node lead a partition')
    .argument('<id>', 'number of the partition', countArgument)
    .option('--to <node>', 'id or name of the node that is to lead; without it, whichever lacks least')
    .addHelpText(
      'after',
      `
Ends when the other node leads. Appends that are under way are finished before,
and those that come meanwhile wait for the new leader: none fails.

Examples:
  logboom partition transfer-leader 3
  logboom partition transfer-leader 3 --to n2
`,
    )
    .action((id: number, options: TransferOptions) => transfer(io, id, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function transfer(io: CommandIo, partition: number, options: TransferOptions): Promise<void> {
  const context = makeContext(io, options.output);
  const { signal, palette } = context;
  await withClient(options, async (client) => {
    const { nodes } = await client.cluster.describe({ signal, ownView: true });
    const node = options.to === undefined ? undefined : nodeNamed(options.to, nodes);
    const startedMs = performance.now();
    const outcome = await client.cluster.transferLeadership(partition, { node, signal });
    const tookMs = Math.round(performance.now() - startedMs);
    if (context.format === 'json') return context.output.write(toJsonLine({ partition, ...outcome, tookMs }));
    const nameOf = (id: number): string => nodes.find((known) => known.id === id)?.name ?? `node ${id}`;
    const { node: leader, formerNode, term } = outcome;
    const what =
      leader === formerNode
        ? `${nameOf(leader)} leads it already`
        : `${palette.green(nameOf(leader))} leads it, ${nameOf(formerNode)} did before; it took ${tookMs} ms`;
    await context.output.write(`partition ${partition}: ${what}, term ${term}\n`);
  });
}

function nodeNamed(wanted: string, nodes: readonly { readonly id: number; readonly name: string }[]): number {
  const found = nodes.find(({ name }) => name === wanted) ?? nodes.find(({ id }) => String(id) === wanted);
  if (found !== undefined) return found.id;
  const known = nodes.map(({ id, name }) => `${id} (${name})`).join(', ');
  throw new CommandError('NODE_NOT_FOUND', `there is no node ${wanted}`, `The cluster has ${known}.`);
}
