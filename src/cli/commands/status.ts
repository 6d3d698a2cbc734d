import type { Command } from 'commander';
import type { ClusterInfo, PartitionInfo, StreamInfo } from '../../client/index.js';
import { makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { formatBytes, formatDuration, formatTime, plural } from '../format.js';
import type { Palette } from '../format.js';
import type { CommandIo } from '../io.js';
import { partitionNotes, partitionTable } from '../partition-view.js';
import { streamTable } from './stream.js';

const examples = `
Shows the node, every LSN of its partitions (trim point <= persisted <=
applied <= commit <= durable), snapshots that are taken or fetched, what holds
trimming, and the positions of the streams.

Examples:
  logboom status
  logboom status --output json | jq '.partitions[].replicas[].persisted_lsn'
`;

const streamsShown = 20;

export function addStatusCommand(program: Command, io: CommandIo): void {
  const command = program
    .command('status')
    .description('show nodes, partitions and streams')
    .addHelpText('after', examples)
    .action((options: CommonOptions) => status(io, options));
  withCommonOptions(command, io, ['text', 'json']);
}

async function status(io: CommandIo, options: CommonOptions): Promise<void> {
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    const { signal } = context;
    const listStreams = async (): Promise<StreamInfo[]> => {
      const infos: StreamInfo[] = [];
      for await (const info of client.streams.list({ signal })) infos.push(info);
      return infos;
    };
    const [cluster, partitions, streams] = await Promise.all([
      client.cluster.describe({ signal }),
      client.cluster.partitions({ signal }),
      listStreams(),
    ]);
    if (options.output === 'json') {
      const { slotPartitions: _, ...shown } = cluster;
      await context.output.write(toJsonLine({ ...shown, partitions, streams }));
    } else await context.output.write(statusText(context, cluster, partitions, streams));
  });
}

function statusText(
  context: CommandContext,
  cluster: ClusterInfo,
  partitions: readonly PartitionInfo[],
  streams: readonly StreamInfo[],
): string {
  const { palette } = context;
  const parts = cluster.nodes.map((node) => nodeText(node, palette));
  parts.push(`${palette.bold('partitions')}\n${partitionTable(partitions)}${partitionNotes(partitions, palette)}`);
  if (streams.length === 0) parts.push(`${palette.bold('streams')}\nnone yet\n`);
  else {
    const shown = [...streams].sort((a, b) => (b.lastAppendMs ?? 0) - (a.lastAppendMs ?? 0)).slice(0, streamsShown);
    const rest = streams.length - shown.length;
    const more = rest > 0 ? palette.dim(`and ${rest} more, appended to longer ago: see \`logboom stream list\`\n`) : '';
    parts.push(`${palette.bold('streams')}\n${streamTable(shown)}${more}`);
  }
  return parts.join('\n');
}

function nodeText(node: ClusterInfo['nodes'][number], palette: Palette): string {
  const state = node.state === 'ok' ? palette.green('ok') : palette.red(node.state);
  const upMs = Math.max(0, Date.now() - node.startedUnixMs);
  // Of a node that does not answer, others know no more.
  const isSilent = node.startedUnixMs === 0;
  const rows = isSilent
    ? [['addresses', node.advertisedAddresses.join(', ')]]
    : [
        ['version', node.version],
        ['addresses', node.advertisedAddresses.join(', ')],
        ['data directory', `${node.dataDirectory} (${formatBytes(node.diskFreeBytes)} free)`],
        ['write-ahead log', `${formatBytes(node.walBytes)} in ${plural(node.walSegments, 'segment')}`],
        ['streams', String(node.streamCount)],
        ['memory', formatBytes(node.memoryRssBytes)],
        ['started', `${formatTime(node.startedUnixMs)} (${formatDuration(upMs)} ago)`],
      ];
  const lines = rows.map(([name, value]) => `  ${name?.padEnd(17)}${value}`);
  return `${palette.bold(`node ${node.id} (${node.name})`)} ${state}\n${lines.join('\n')}\n`;
}
