/**
 * What a write-ahead log should hold: the naive way, without any disk. Operations are one sequence; what a crash leaves
 * must be the state after some prefix of it that holds every operation reported durable, where the operation after the
 * prefix may be there in part: its hard state and some of its entries.
 */
import type { Lsn, PartitionId, ReplicaId, Term } from '../../../src/base/ids.js';
import { asLsn } from '../../../src/base/ids.js';
import type { ConfState, Entry, HardState } from '../../../src/raft/types.js';
import type { PartitionLog, WriteAheadLog } from '../../../src/wal/types.js';
import { hardState, readAll } from './simulated.js';

export interface ModelPartition {
  replicaId: ReplicaId;
  hardState: HardState;
  trimPoint: number;
  trimTerm: number;
  confState: ConfState;
  lastLsn: number;
  /** Of the last reset: there are no entries at or below it. */
  resetLsn: number;
  /** Also those at or below the trim point: they may be there or not. */
  entries: Map<number, Entry>;
}

export type ModelOperation = { readonly partition: PartitionId; durable: boolean } & (
  | { readonly kind: 'persist'; readonly hardState: HardState | undefined; readonly entries: readonly Entry[] }
  | { readonly kind: 'trim'; readonly lsn: Lsn; readonly confState: ConfState }
  | { readonly kind: 'create'; readonly replicaId: ReplicaId; readonly confState: ConfState }
  | { readonly kind: 'remove' }
  | {
      readonly kind: 'reset';
      readonly lsn: Lsn;
      readonly term: Term;
      readonly confState: ConfState;
      readonly hardState: HardState;
    }
);

export type ModelState = Map<PartitionId, ModelPartition>;

export function cloneState(state: ModelState): ModelState {
  return new Map([...state].map(([id, partition]) => [id, { ...partition, entries: new Map(partition.entries) }]));
}

export function termAt(partition: ModelPartition, at: number): number | undefined {
  if (at === partition.trimPoint) return partition.trimTerm;
  if (at < partition.trimPoint || at > partition.lastLsn) return undefined;
  return partition.entries.get(at)?.term;
}

/** Applies the operation, of a persist only the first `entryCount` entries. */
export function applyOperation(state: ModelState, operation: ModelOperation, entryCount = Infinity): void {
  if (operation.kind === 'create') {
    state.set(operation.partition, {
      replicaId: operation.replicaId,
      hardState: hardState(0, 0, 0),
      trimPoint: 0,
      trimTerm: 0,
      confState: operation.confState,
      lastLsn: 0,
      resetLsn: 0,
      entries: new Map(),
    });
    return;
  }
  if (operation.kind === 'remove') {
    state.delete(operation.partition);
    return;
  }
  const partition = state.get(operation.partition);
  if (partition === undefined) throw new Error(`no partition ${operation.partition} for ${operation.kind}`);
  if (operation.kind === 'trim') {
    partition.trimTerm = termAt(partition, operation.lsn) ?? -1;
    partition.trimPoint = operation.lsn;
    partition.confState = operation.confState;
  } else if (operation.kind === 'reset') {
    partition.hardState = operation.hardState;
    partition.trimPoint = operation.lsn;
    partition.trimTerm = operation.term;
    partition.confState = operation.confState;
    partition.lastLsn = operation.lsn;
    partition.resetLsn = operation.lsn;
    partition.entries.clear();
  } else applyPersist(partition, operation, entryCount);
}

function applyPersist(
  partition: ModelPartition,
  operation: ModelOperation & { kind: 'persist' },
  entryCount: number,
): void {
  const list = operation.entries.slice(0, entryCount);
  for (const entry of list) {
    for (let at = entry.lsn; at <= partition.lastLsn; at++) partition.entries.delete(at);
    partition.entries.set(entry.lsn, entry);
    partition.lastLsn = entry.lsn;
  }
  if (operation.hardState === undefined) return;
  const whole = list.length === operation.entries.length;
  const commit = whole ? operation.hardState.commit : Math.min(operation.hardState.commit, partition.lastLsn);
  partition.hardState = {
    ...operation.hardState,
    commit: asLsn(Math.max(partition.hardState.commit, commit)),
  };
}

export interface Observed {
  readonly log: PartitionLog;
  readonly entries: ReadonlyMap<number, Entry>;
}

export async function observe(wal: WriteAheadLog): Promise<Map<PartitionId, Observed>> {
  const observed = new Map<PartitionId, Observed>();
  for (const id of wal.partitionIds) {
    const log = wal.partition(id);
    if (log === undefined) throw new Error(`partition ${id} is listed and not there`);
    const list = await readAll(log);
    observed.set(id, { log, entries: new Map(list.map((entry) => [entry.lsn, entry])) });
  }
  return observed;
}

/** What differs, or undefined. */
export function difference(
  state: ModelState,
  observed: ReadonlyMap<PartitionId, Observed>,
  persistedLsns: ReadonlyMap<ReplicaId, number>,
): string | undefined {
  const ids = [...state.keys()].sort().join();
  if (ids !== [...observed.keys()].sort().join()) return `partitions ${[...observed.keys()].join()} instead of ${ids}`;
  for (const [id, expected] of state) {
    const found = observed.get(id) as Observed;
    const problem = partitionDifference(expected, found, persistedLsns.get(expected.replicaId) ?? 0);
    if (problem !== undefined) return `partition ${id}: ${problem}`;
  }
  return undefined;
}

function partitionDifference(
  expected: ModelPartition,
  { log, entries }: Observed,
  persisted: number,
): string | undefined {
  const { recovered } = log;
  const want = [expected.replicaId, expected.hardState, expected.trimPoint, expected.trimTerm, expected.confState];
  const have = [
    recovered?.replicaId,
    recovered?.hardState,
    recovered?.trimPoint,
    recovered?.trimTerm,
    recovered?.confState,
  ];
  if (JSON.stringify(have) !== JSON.stringify(want))
    return `${JSON.stringify(have)} instead of ${JSON.stringify(want)}`;
  if (log.lastLsn !== expected.lastLsn) return `last LSN ${log.lastLsn} instead of ${expected.lastLsn}`;
  if (log.durableLsn !== log.lastLsn) return `durable LSN ${log.durableLsn} below last LSN ${log.lastLsn}`;
  const needed = Math.max(expected.resetLsn, Math.min(expected.trimPoint, persisted));
  for (let at = needed + 1; at <= expected.lastLsn; at++) {
    const [a, b] = [entries.get(at), expected.entries.get(at)];
    if (b === undefined) return `the model does not know entry ${at}`;
    if (a === undefined) return `entry ${at} is missing`;
    if (a.term !== b.term || a.kind !== b.kind || Buffer.compare(a.data, b.data) !== 0) {
      return `entry ${at} of term ${a.term} instead of ${b.term}`;
    }
  }
  for (let at = expected.trimPoint - 1; at <= expected.lastLsn + 1; at++) {
    const [a, b] = [log.termAt(asLsn(at)), termAt(expected, at)];
    if (a !== b) return `term ${a} at ${at} instead of ${b}`;
  }
  return undefined;
}

/**
 * Finds the prefix of the operations that the observed state is the result of.
 *
 * @throws Error when there is none at or after the last operation reported durable
 */
export function matchPrefix(
  base: ModelState,
  operations: readonly ModelOperation[],
  observed: ReadonlyMap<PartitionId, Observed>,
  persistedLsns: ReadonlyMap<ReplicaId, number>,
): ModelState {
  const acknowledged = operations.findLastIndex(({ durable }) => durable) + 1;
  const state = cloneState(base);
  const problems: string[] = [];
  for (let done = 0; ; done++) {
    if (done >= acknowledged) {
      const problem = difference(state, observed, persistedLsns);
      if (problem === undefined) return state;
      problems.push(`after ${done}: ${problem}`);
      const next = operations[done];
      if (next?.kind === 'persist') {
        for (let count = 1; count < next.entries.length; count++) {
          const partly = cloneState(state);
          applyOperation(partly, next, count);
          const remainder = difference(partly, observed, persistedLsns);
          if (remainder === undefined) return partly;
          problems.push(`after ${done} and ${count} entries: ${remainder}`);
        }
      }
    }
    const operation = operations[done];
    if (operation === undefined) break;
    applyOperation(state, operation);
  }
  throw new Error(
    `${acknowledged} of ${operations.length} operations were reported durable, but\n${problems.slice(0, 40).join('\n')}`,
  );
}
