/** What keeps a cluster from working as it should, and what to do: from what the cluster says of itself, nothing else. */
import type { NodeInfo, PartitionInfo, ReplicaInfo } from '../client/index.js';
import { formatBytes, formatCount, plural } from './format.js';
import { bootstrapText } from './partition-view.js';
import { explainHeld } from './trim-reasons.js';

export interface Finding {
  /** `blocked`: something is refused or waits. `degraded`: all works, with less in reserve. */
  readonly severity: 'blocked' | 'degraded' | 'note';
  readonly what: string;
  /** Empty when there is nothing to do. */
  readonly action: string;
}

/** Entries by which a replica may be behind for a moment under load. */
const lagMax = 10_000;

/** A log of this size is worth a word when it could fill the rest of its disk. */
const logBytesMin = 2 ** 30;

const isSilent = (replica: ReplicaInfo): boolean => replica.role === 'unreachable';

/** The replica that leads; of several that believe so, the one that was elected last. */
export function leaderOf({ replicas }: PartitionInfo): ReplicaInfo | undefined {
  const leaders = replicas.filter(({ role }) => role === 'leader');
  return leaders.toSorted((left, right) => right.term - left.term)[0];
}

/** Entries that the replica has yet to apply of what is committed; undefined when that is not known. */
export function replicaLag(replica: ReplicaInfo, leader: ReplicaInfo | undefined): number | undefined {
  if (!leader || isSilent(replica)) return undefined;
  return Math.max(0, leader.commitLsn - replica.appliedLsn);
}

/** The worst first. */
export function diagnose(nodes: readonly NodeInfo[], partitions: readonly PartitionInfo[]): Finding[] {
  const findings = [
    ...nodes.flatMap(nodeFindings),
    ...quorumFindings(nodes, partitions),
    ...replicaFindings(nodes, partitions),
    ...snapshotFindings(partitions),
    ...logFindings(nodes, partitions),
    ...trimFindings(partitions),
  ];
  return findings.toSorted(worstFirst);
}

const order = ['blocked', 'degraded', 'note'];

export function worstFirst(left: Finding, right: Finding): number {
  return order.indexOf(left.severity) - order.indexOf(right.severity);
}

function nodeFindings({ id, name, state, advertisedAddresses }: NodeInfo): Finding[] {
  if (state === 'ok') return [];
  const node = `node ${id} (${name})`;
  const unreachable = /^unreachable: ?(.*)$/s.exec(state);
  if (!unreachable) {
    return [{ severity: 'blocked', what: `${node}: ${state}`, action: `See the log of ${name}.` }];
  }
  const address = advertisedAddresses[0] ?? 'its address';
  return [
    {
      severity: 'degraded',
      what: `${node}: ${unreachable[1]}`,
      action: `Is it running, and is ${address} reachable from the other nodes? Start it, or see its log.`,
    },
  ];
}

/** Partitions by what they have in common, so that the loss of a node does not fill the screen. */
function quorumFindings(nodes: readonly NodeInfo[], partitions: readonly PartitionInfo[]): Finding[] {
  const withoutQuorum = partitions.filter(
    ({ replicas }) => 2 * replicas.filter((each) => !isSilent(each)).length <= replicas.length,
  );
  const withoutLeader = partitions.filter((partition) => !withoutQuorum.includes(partition) && !leaderOf(partition));
  const withoutReserve = partitions.filter(
    (partition) =>
      !withoutQuorum.includes(partition) && partition.replicas.some(isSilent) && reserveOf(partition) === 0,
  );
  const silentNodes = nodes.filter(({ state }) => state.startsWith('unreachable')).map(({ name }) => name);
  const findings: Finding[] = [];
  if (withoutQuorum.length > 0) {
    findings.push({
      severity: 'blocked',
      what: `${idsOf(withoutQuorum, partitions)}: a majority of the replicas does not answer, so appends and reads wait`,
      action: `Start enough of ${silentNodes.join(', ')} for a majority of each partition.`,
    });
  }
  if (withoutLeader.length > 0) {
    findings.push({
      severity: 'blocked',
      what: `${idsOf(withoutLeader, partitions)}: no leader now, so appends and reads wait`,
      action: 'An election takes about a second. If this stays, see the logs: can the nodes reach each other?',
    });
  }
  if (withoutReserve.length > 0) {
    findings.push({
      severity: 'degraded',
      what: `${idsOf(withoutReserve, partitions)}: one more node that fails stops appends and reads`,
      action: `Bring ${silentNodes.join(', ')} back.`,
    });
  }
  return findings;
}

/** How many more replicas may fall silent. */
function reserveOf({ replicas }: PartitionInfo): number {
  return replicas.filter((replica) => !isSilent(replica)).length - (Math.floor(replicas.length / 2) + 1);
}

function replicaFindings(nodes: readonly NodeInfo[], partitions: readonly PartitionInfo[]): Finding[] {
  const nameOf = (id: number): string => nodes.find((node) => node.id === id)?.name ?? `node ${id}`;
  return partitions.flatMap((partition) => {
    const { id, replicas } = partition;
    const leader = leaderOf(partition);
    return replicas
      .filter((replica) => !isSilent(replica))
      .flatMap((replica): Finding[] => {
        const where = `partition ${id} on ${nameOf(replica.nodeId)}`;
        if (replica.fault !== '')
          return [
            {
              severity: replica === leader ? 'blocked' : 'degraded',
              what: `${where}: ${replica.fault}`,
              action: `See the log of ${nameOf(replica.nodeId)}.`,
            },
          ];
        if (replica.bootstrap) return [bootstrapFinding(where, id, replica.bootstrap)];
        if (leader && leader.appliedLsn === replica.appliedLsn && leader.stateHash !== replica.stateHash)
          return [
            {
              severity: 'blocked',
              what: `${where}: at LSN ${replica.appliedLsn} its content differs from the leader's`,
              action: 'Do not trust either before `logboom partition verify` of both; keep the data directories.',
            },
          ];
        const lag = replicaLag(replica, leader) ?? 0;
        if (lag > lagMax)
          return [
            {
              severity: 'degraded',
              what: `${where} is ${formatCount(lag)} entries behind`,
              action:
                'It catches up by itself after it was away. If the number grows, its disk or its link is too slow.',
            },
          ];
        return [];
      });
  });
}

/** A replica that was away for longer than the log goes back, or is new. */
function bootstrapFinding(where: string, partition: number, bootstrap: NonNullable<ReplicaInfo['bootstrap']>): Finding {
  const what = `${where} ${bootstrapText(bootstrap)}`;
  return { severity: 'degraded', what, action: bootstrapAction(partition, bootstrap.problem) };
}

function bootstrapAction(partition: number, problem: string): string {
  if (problem === '') return 'Nothing to do: the log goes on where the snapshot ends, and it serves again by itself.';
  if (/space|disk full|ENOSPC|bytes are free/i.test(problem))
    return 'Make room on that node’s disk: it is tried again by itself.';
  if (/no snapshot is made of it|fails its checksum/.test(problem))
    return 'The data of the replica that leads is damaged: stop its node, so that another one leads and sends its state.';
  if (/nothing was committed|the leader of the group is not known/.test(problem))
    return 'Bring back nodes until a majority of the replicas of that partition is there: its leader sends its state then.';
  if (/no snapshot repository is configured/.test(problem))
    return 'Set snapshots.repository on that node to the place that the others use, and restart it.';
  if (/has no snapshot of that LSN/.test(problem))
    return `Take one with \`logboom snapshot create ${partition}\`, and see that all nodes use the same repository.`;
  return 'It is tried again by itself. If this stays, see docs/recovery.md and the log of that node.';
}

function snapshotFindings(partitions: readonly PartitionInfo[]): Finding[] {
  const failures = byReason(partitions, ({ snapshotFailure }) => [snapshotFailure]);
  return [...failures].map(([reason, failed]) => ({
    severity: 'degraded',
    what: `${idsOf(failed, partitions)}: the last snapshot failed: ${reason}`,
    action: 'It is tried again by itself; the log is kept until one succeeds. `logboom snapshot create` tries at once.',
  }));
}

/** The log of a node grows as far as something holds it, and then its disk is full. */
function logFindings(nodes: readonly NodeInfo[], partitions: readonly PartitionInfo[]): Finding[] {
  return nodes
    .filter(({ walBytes, diskFreeBytes }) => walBytes >= logBytesMin && walBytes >= diskFreeBytes)
    .map(({ id, name, walBytes, diskFreeBytes }) => {
      const isHeld = partitions.some((partition) => (leaderOf(partition)?.trimHeldBecause ?? '') !== '');
      return {
        severity: 'degraded',
        what: `node ${id} (${name}): its log has ${formatBytes(walBytes)}, and ${formatBytes(diskFreeBytes)} of its disk are free`,
        action: isHeld
          ? 'It is not trimmed, see below; `logboom trim explain` says what to do.'
          : '`logboom partition list` shows which partition is trimmed the least; take snapshots more often (snapshots.logBytes).',
      };
    });
}

function trimFindings(partitions: readonly PartitionInfo[]): Finding[] {
  // Failed snapshots have a finding of their own, and replicas that are behind trim by themselves, as time does.
  const elsewhere = new Set(['SNAPSHOT_FAILED', 'SNAPSHOT_UNDER_WAY', 'REPLICA_BEHIND', 'DELAY']);
  const actions = new Map<string, string>();
  const held = byReason(partitions, ({ trimHeldBecause }) =>
    explainHeld(trimHeldBecause)
      .filter(({ kind }) => !elsewhere.has(kind))
      .map(({ reason, action }) => {
        actions.set(reason, action);
        return reason;
      }),
  );
  return [...held].map(([reason, some]) => ({
    severity: 'note',
    what: `${idsOf(some, partitions)}: the log is not trimmed: ${reason}`,
    action: actions.get(reason) ?? '',
  }));
}

/** Partitions by what their leaders say. */
function byReason(
  partitions: readonly PartitionInfo[],
  reasonsOf: (leader: ReplicaInfo) => readonly string[],
): Map<string, PartitionInfo[]> {
  const found = new Map<string, PartitionInfo[]>();
  for (const partition of partitions) {
    const leader = leaderOf(partition);
    for (const reason of leader ? reasonsOf(leader) : []) {
      if (reason !== '') found.set(reason, [...(found.get(reason) ?? []), partition]);
    }
  }
  return found;
}

function idsOf(some: readonly PartitionInfo[], all: readonly PartitionInfo[]): string {
  if (some.length === all.length && all.length > 1) return `all ${plural(all.length, 'partition')}`;
  const ids = some.map(({ id }) => id);
  return ids.length > 12
    ? plural(ids.length, 'partition')
    : `partition${ids.length === 1 ? '' : 's'} ${ids.join(', ')}`;
}
