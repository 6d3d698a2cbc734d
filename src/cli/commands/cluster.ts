import type { Command } from 'commander';
import type { ClusterInfo, LogboomClient, Membership, NodeInfo, PartitionInfo } from '../../client/index.js';
import { diagnose, leaderOf, replicaLag, worstFirst } from '../cluster-diagnosis.js';
import type { Finding } from '../cluster-diagnosis.js';
import { makeContext, toJsonLine, withClient, withCommonOptions } from '../context.js';
import type { CommandContext, CommonOptions } from '../context.js';
import { formatDuration, formatTable, plural } from '../format.js';
import type { Palette } from '../format.js';
import type { CommandIo } from '../io.js';
import { membershipFindings } from '../membership-findings.js';
import { addClusterLocal } from './cluster-local.js';
import { addMemberCommands } from './cluster-members.js';

const statusExamples = `
Shows the nodes, whether they stay, and what they lead; of each partition its leader, the nodes of
its replicas and by how many entries the last of them is behind; and what is
blocked, why, and what to do about it.

Examples:
  logboom cluster status
  logboom cluster status --output json | jq '.findings[]'
`;

export function addClusterCommands(program: Command, io: CommandIo): void {
  const cluster = program
    .command('cluster')
    .description('look at a cluster and change it, or run one on this machine')
    .addHelpText(
      'after',
      `
Examples:
  logboom cluster local -n 3
  logboom cluster status
  logboom cluster drain 1 --wait && logboom cluster remove 1
  logboom cluster replace 2
`,
    );
  const status = cluster
    .command('status')
    .description('show nodes, leaders, replicas, lag, and what is blocked')
    .addHelpText('after', statusExamples)
    .action((options: CommonOptions) => showStatus(io, options));
  withCommonOptions(status, io, ['text', 'json']);
  addMemberCommands(cluster, io);
  addClusterLocal(cluster, io);
}

async function showStatus(io: CommandIo, options: CommonOptions): Promise<void> {
  const context = makeContext(io, options.output);
  await withClient(options, async (client) => {
    const { signal } = context;
    const [cluster, partitions, membership] = await Promise.all([
      client.cluster.describe({ signal }),
      client.cluster.partitions({ signal }),
      membershipOf(client, signal),
    ]);
    const findings = [...diagnose(cluster.nodes, partitions), ...(membership ? membershipFindings(membership) : [])];
    const seen = { cluster, partitions, membership, findings: findings.toSorted(worstFirst) };
    if (options.output === 'text') return context.output.write(statusText(context, seen));
    const { slotPartitions: _slots, limits: _limits, ...shown } = cluster;
    await context.output.write(toJsonLine({ ...shown, partitions, membership, findings: seen.findings }));
  });
}

/** Undefined of a node alone; and while the metadata has no leader, for the rest is worth showing then above all. */
async function membershipOf(client: LogboomClient, signal: AbortSignal): Promise<Membership | undefined> {
  const { isLogboomError } = await import('../../client/index.js');
  try {
    return await client.cluster.membership({ signal });
  } catch (error) {
    if (isLogboomError(error) && ['CLUSTER_NOT_FORMED', 'NOT_LEADER', 'UNIMPLEMENTED'].includes(error.reason))
      return undefined;
    throw error;
  }
}

interface Seen {
  readonly cluster: ClusterInfo;
  readonly partitions: readonly PartitionInfo[];
  readonly membership: Membership | undefined;
  readonly findings: readonly Finding[];
}

function statusText({ palette }: CommandContext, { cluster, partitions, membership, findings }: Seen): string {
  const { nodes, clusterId } = cluster;
  const verdict = verdictOf(findings, palette);
  const what = `${plural(nodes.length, 'node')}, ${plural(partitions.length, 'partition')}`;
  const parts = [
    `${palette.bold(`cluster ${clusterId}`)}: ${what}; ${verdict}\n`,
    nodeTable(nodes, partitions, membership),
    replicaTable(nodes, partitions),
  ];
  if (findings.length > 0) parts.push(findings.map((finding) => findingText(finding, palette)).join(''));
  return parts.join('\n');
}

function verdictOf(findings: readonly Finding[], palette: Palette): string {
  if (findings.some(({ severity }) => severity === 'blocked')) return palette.red('something is blocked, see below');
  if (findings.some(({ severity }) => severity === 'degraded')) return palette.yellow('it serves, and needs attention');
  return palette.green('all is well');
}

function findingText({ severity, what, action }: Finding, palette: Palette): string {
  const colour = ({ blocked: 'red', degraded: 'yellow', note: 'dim' } as const)[severity];
  return `${palette[colour](severity)}: ${what}\n${action === '' ? '' : `  ${action}\n`}`;
}

function nodeTable(
  nodes: readonly NodeInfo[],
  partitions: readonly PartitionInfo[],
  membership: Membership | undefined,
): string {
  const draining = membership?.members.filter(({ state }) => state === 'draining').map(({ id }) => id) ?? [];
  const rows = nodes.map((node) => {
    const held = partitions.filter(({ replicas }) => replicas.some(({ nodeId }) => nodeId === node.id));
    const led = partitions.filter((partition) => leaderOf(partition)?.nodeId === node.id);
    const isSilent = node.startedUnixMs === 0;
    return [
      node.id,
      node.name,
      node.zone,
      // Why, stands below.
      `${node.state.split(':')[0] ?? ''}${draining.includes(node.id) ? ', draining' : ''}`,
      node.advertisedAddresses.join(' '),
      led.length,
      held.length,
      node.version,
      isSilent ? '-' : formatDuration(Math.max(0, Date.now() - node.startedUnixMs)),
    ];
  });
  return formatTable(['ID', 'NAME', 'ZONE', 'STATE', 'ADDRESS', 'LEADS', 'REPLICAS', 'VERSION', 'UP'], rows);
}

function replicaTable(nodes: readonly NodeInfo[], partitions: readonly PartitionInfo[]): string {
  const nameOf = (id: number): string => nodes.find((node) => node.id === id)?.name ?? `node ${id}`;
  const rows = partitions.map((partition) => {
    const leader = leaderOf(partition);
    const replicas = partition.replicas.toSorted((left, right) => left.nodeId - right.nodeId);
    const lags = replicas.map((replica) => replicaLag(replica, leader));
    const known = lags.filter((lag) => lag !== undefined);
    return [
      partition.id,
      leader ? nameOf(leader.nodeId) : 'none',
      leader?.term ?? '-',
      leader?.commitLsn ?? '-',
      replicas.map((replica, index) => `${nameOf(replica.nodeId)}${lags[index] === undefined ? '?' : ''}`).join(' '),
      known.length === 0 ? '-' : Math.max(...known),
      partition.streamCount,
    ];
  });
  const table = formatTable(['PARTITION', 'LEADER', 'TERM', 'COMMIT', 'REPLICAS', 'LAG', 'STREAMS'], rows);
  const hasSilent = rows.some((row) => String(row[4]).includes('?'));
  return hasSilent ? `${table}?: does not answer, or nobody leads whom it could be compared with\n` : table;
}
