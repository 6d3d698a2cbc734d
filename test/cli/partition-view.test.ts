import { describe, expect, test } from 'vitest';
import type { PartitionInfo, ReplicaInfo } from '../../src/client/index.js';
import { makePalette } from '../../src/cli/format.js';
import { partitionNotes, partitionTable } from '../../src/cli/partition-view.js';
import { progressLine } from '../../src/cli/progress.js';

const palette = makePalette(false);
const replica = (nodeId: number, more: Partial<ReplicaInfo> = {}): ReplicaInfo =>
  ({
    replicaId: nodeId,
    nodeId,
    role: nodeId === 1 ? 'leader' : 'follower',
    term: 2,
    trimPoint: 5,
    groupTrimPoint: 5,
    persistedLsn: 7,
    appliedLsn: 8,
    commitLsn: 9,
    durableLsn: 9,
    storeBytes: 0,
    dirtyBytes: 0,
    trimHeldBecause: '',
    snapshotFailure: '',
    fault: '',
    ...more,
  }) as ReplicaInfo;
const partition = (id: number, ...replicas: ReplicaInfo[]): PartitionInfo => ({
  id,
  replicas,
  slotCount: 1,
  streamCount: 0,
});
const columns = (table: string): string[] => (table.split('\n')[0] ?? '').split(/ {2,}/);

describe('a table of partitions', () => {
  test('has no column for what there is not', () => {
    expect(columns(partitionTable([partition(1, replica(1))]))).not.toContain('ARCHIVED');
    expect(columns(partitionTable([partition(1, replica(1, { archivedLsn: 0 }))]))).not.toContain('ARCHIVED');
  });

  test('shows the archived LSN, and the trim point of the group where a replica has not followed it', () => {
    const behind = replica(2, { trimPoint: 3, archivedLsn: 5 });
    const table = partitionTable([
      partition(1, replica(1, { archivedLsn: 5 }), behind, replica(3, { role: 'unreachable' })),
    ]);
    expect(columns(table).slice(4, 9)).toEqual(['TERM', 'TRIM', 'GROUP TRIM', 'ARCHIVED', 'PERSISTED']);
    const rows = table.trim().split('\n').slice(1);
    expect(rows.map((row) => row.trim().split(/ +/).slice(4, 10))).toEqual([
      ['2', '5', '5', '5', '7', '8'],
      ['2', '3', '5', '5', '7', '8'],
      ['-', '-', '-', '-', '-', '-'],
    ]);
  });
});

const plain = { fromReplica: 0, preparing: false };

test('notes tell of snapshots that are taken, fetched or failed, and of trimming, once for all partitions alike', () => {
  const progress = { lsn: 120, bytesDone: 512, bytesTotal: 1024 };
  const held = replica(1, { trimHeldBecause: 'the last snapshot failed: quota', snapshotFailure: 'quota' });
  const notes = partitionNotes(
    [
      partition(1, held, replica(2, { bootstrap: { ...plain, neededLsn: 80, progress, problem: '' } })),
      partition(2, held, replica(2, { bootstrap: { ...plain, neededLsn: 80, progress: undefined, problem: 'gone' } })),
      partition(6, replica(2, { bootstrap: { ...plain, neededLsn: 80, progress, problem: '', fromReplica: 1 } })),
      partition(
        7,
        replica(2, { bootstrap: { neededLsn: 80, progress, problem: 'gone', fromReplica: 1, preparing: true } }),
      ),
      partition(3, replica(1, { snapshot: { lsn: 0, bytesDone: 0, bytesTotal: 0 }, snapshotFailure: 'slow' })),
      partition(4, replica(1, { snapshot: progress })),
      partition(5, replica(1, { trimHeldBecause: 'this replica has persisted LSN 4, below ...; trim.mode is none' })),
    ],
    palette,
  );
  expect(notes.trim().split('\n')).toEqual([
    'partition 1, 2: trimming is held: the last snapshot failed: quota',
    'partition 1: node 2 is fetching a snapshot of LSN 120, 512 B of 1.0 KiB (50 %)',
    'partition 2: node 2 needs a snapshot of LSN 80 or a later one; the last attempt failed: gone',
    'partition 6: node 2 is fetching the state of replica 1 of LSN 120, 512 B of 1.0 KiB (50 %)',
    'partition 7: node 2 waits for replica 1 to read its state of LSN 120, 512 B of 1.0 KiB (50 %); the last attempt failed: gone',
    'partition 3: node 1 takes a snapshot',
    'partition 3: the last snapshot failed: slow',
    'partition 4: node 1 takes a snapshot of LSN 120, 512 B of 1.0 KiB (50 %)',
    'partition 5: trimming is held: trim.mode is none',
  ]);
});

test('the rate of a snapshot that was joined counts from there', () => {
  const state = { bytes: 3 << 20, bytesBefore: 2 << 20, totalBytes: 4 << 20 };
  expect(progressLine(state, 1000, 120)).toBe('[##################------]  75 %  3.0 MiB  1.0 MiB/s  1.00 s left');
});
