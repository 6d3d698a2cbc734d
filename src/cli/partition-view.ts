/** Partitions for people: a table of their LSNs, and what does not fit into it. */
import type { PartitionInfo, ReplicaInfo } from '../client/index.js';
import { formatBytes, formatTable } from './format.js';
import type { Palette } from './format.js';
import { explainHeld } from './trim-reasons.js';

const isSilent = ({ role }: ReplicaInfo): boolean => role === 'unreachable';

/** The group may let go of more than this replica has: it waits until it has persisted what goes. */
const lagsGroupTrim = (replica: ReplicaInfo): boolean =>
  !isSilent(replica) && replica.groupTrimPoint > replica.trimPoint;

/** Every LSN of rule 1, from the lowest to the highest. */
export function partitionTable(partitions: readonly PartitionInfo[]): string {
  const replicas = partitions.flatMap((partition) => partition.replicas);
  // No columns of dashes where there are no snapshots, and none that repeats the one beside it.
  const archives = replicas.some(({ archivedLsn }) => (archivedLsn ?? 0) > 0);
  const hasGroupTrim = replicas.some(lagsGroupTrim);
  const lsnsOf = (replica: ReplicaInfo): (string | number)[] => [
    replica.term,
    replica.trimPoint,
    ...(hasGroupTrim ? [replica.groupTrimPoint] : []),
    ...(archives ? [replica.archivedLsn || '-'] : []),
    replica.persistedLsn,
    replica.appliedLsn,
    replica.commitLsn,
    replica.durableLsn,
    formatBytes(replica.storeBytes),
    formatBytes(replica.dirtyBytes),
  ];
  const lsns = ['PERSISTED', 'APPLIED', 'COMMIT', 'DURABLE'];
  const trims = ['TRIM', ...(hasGroupTrim ? ['GROUP TRIM'] : []), ...(archives ? ['ARCHIVED'] : [])];
  const columns = ['TERM', ...trims, ...lsns, 'STORE', 'DIRTY'];
  const rows = partitions.flatMap(({ id, replicas: own, streamCount }) =>
    own.map((replica) => [
      id,
      replica.replicaId,
      replica.nodeId,
      replica.role,
      ...(isSilent(replica) ? columns.map(() => '-') : lsnsOf(replica)),
      streamCount,
    ]),
  );
  return formatTable(['ID', 'REPLICA', 'NODE', 'ROLE', ...columns, 'STREAMS'], rows);
}

/** Faults, snapshots that are taken or fetched, and why trimming is held; partitions of which the same is true on one line. */
export function partitionNotes(partitions: readonly PartitionInfo[], palette: Palette): string {
  const notes = new Map<string, number[]>();
  const note = (text: string, id: number): void => {
    const ids = notes.get(text) ?? [];
    if (!ids.includes(id)) notes.set(text, [...ids, id]);
  };
  for (const { id, replicas } of partitions) {
    for (const replica of replicas) {
      const { fault, trimHeldBecause, snapshot, snapshotFailure, bootstrap, nodeId } = replica;
      if (fault !== '') note(palette.red(fault), id);
      if (bootstrap) note(palette.yellow(`node ${nodeId} ${bootstrapText(bootstrap)}`), id);
      if (snapshot) note(`node ${nodeId} takes a snapshot${progressText(snapshot)}`, id);
      // Where trimming waits for it, that says so.
      if (snapshotFailure !== '' && !trimHeldBecause.includes(snapshotFailure))
        note(palette.yellow(`the last snapshot failed: ${snapshotFailure}`), id);
      for (const { kind, reason } of explainHeld(trimHeldBecause)) {
        // A replica that has yet to flush is the rule after a snapshot, and the table shows it; and a delay passes.
        if (kind !== 'REPLICA_BEHIND' && kind !== 'DELAY') note(`trimming is held: ${reason}`, id);
      }
    }
  }
  return [...notes].map(([text, ids]) => `partition ${ids.join(', ')}: ${text}\n`).join('');
}

type Bootstrap = NonNullable<ReplicaInfo['bootstrap']>;
type SnapshotProgress = NonNullable<ReplicaInfo['snapshot']>;

/** `is fetching a snapshot of LSN 1200, 1.2 of 2.4 GiB (50 %)`, to follow the name of a node. */
export function bootstrapText({ neededLsn, progress, problem, fromReplica, preparing }: Bootstrap): string {
  const failed = problem === '' ? '' : `; the last attempt failed: ${problem}`;
  const done = progress && progress.lsn > 0 ? progressText(progress) : '';
  if (preparing) return `waits for replica ${fromReplica} to read its state${done}${failed}`;
  if (done === '') return `needs a snapshot of LSN ${neededLsn} or a later one${failed}`;
  const what = fromReplica > 0 ? `the state of replica ${fromReplica}` : 'a snapshot';
  return `is fetching ${what}${done}${failed}`;
}

/** ` of LSN 1200, 1.2 GiB of 2.4 GiB (50 %)`, as far as it is known. */
export function progressText({ lsn, bytesDone, bytesTotal }: SnapshotProgress): string {
  const which = lsn > 0 ? ` of LSN ${lsn}` : '';
  if (bytesTotal === 0) return which;
  const share = Math.floor(100 * Math.min(1, bytesDone / bytesTotal));
  return `${which}, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} (${share} %)`;
}
