/** The state of all replicas in a few lines, for a report of what did not come about. */
import type { BootstrapStatus, ReplicaStatus } from '../../src/partition/index.js';
import { describeConfiguration } from '../checkers/quorums.js';
import type { Cluster } from '../nodes/cluster.js';

function describeBootstrap(bootstrap: BootstrapStatus | undefined): string {
  if (bootstrap === undefined) return '';
  const { neededLsn, snapshotLsn, progress, problem } = bootstrap;
  const done = progress === undefined ? '' : `, ${progress.bytesDone} of ${progress.bytesTotal} bytes`;
  return ` needs LSN ${neededLsn}, imports ${snapshotLsn ?? 'nothing'}${done}${problem === '' ? '' : ` (${problem})`}`;
}

function describeTrim(status: ReplicaStatus | undefined): string {
  if (status?.role !== 'leader' || status.trimHeldBecause === '') return '';
  return ` archived ${status.archivedLsn ?? 'nothing'}, trimmed to ${status.groupTrimPoint}, held by: ${status.trimHeldBecause}`;
}

export function describeReplicas(cluster: Cluster): string {
  const lines: string[] = [];
  for (const [partitionId, truth] of cluster.checker.truths) {
    lines.push(
      `partition ${partitionId}: ${describeConfiguration(truth.newestConfiguration)}, committed ${truth.committedLsn}`,
    );
    for (const node of cluster.nodes) {
      const record = cluster.checker.record(partitionId, node.replicaIdIn(partitionId));
      const where = `  node ${node.id} replica ${node.replicaIdIn(partitionId)} ${node.keptDown ?? node.state}${node.clock.isPaused ? ' paused' : ''}`;
      if (record === undefined) {
        lines.push(where);
        continue;
      }
      const replica = node.manager?.replicas.find((candidate) => candidate.partitionId === partitionId);
      const status = replica?.raftStatus;
      const progress = status?.progress.map(
        (follower) => `${follower.replica}:${follower.state}/${follower.match}${follower.paused ? '/paused' : ''}`,
      );
      lines.push(
        `${where}: ${status?.role ?? 'stopped'} of ${status?.leader ?? 0} term ${record.term} last ${record.lastLsn} durable ${record.durableLsn} ` +
          `commit ${record.commit} applied ${record.applied} persisted ${record.persisted} in ${describeConfiguration(record.confState)} ` +
          `${progress?.join(' ') ?? ''} ${replica?.status.fault ?? ''}${describeBootstrap(replica?.status.bootstrap)}${describeTrim(replica?.status)}`,
      );
    }
  }
  return lines.join('\n');
}
