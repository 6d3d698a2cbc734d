/**
 * Gives back the space of what no reader can see any more: batches below the first seq of a stream, and everything of
 * deleted streams. Local to a replica, outside of the replicated state and its hash, in bounded steps:
 *
 *     for (;;) {
 *       const step = await nextPhysicalDeletion(machine, store, { persistedLsn: store.persistedLsn });
 *       if (step === undefined) break;
 *       await store.deletePhysically(step.deletion);
 *       step.done();
 *     }
 *
 * One loop at a time for a replica. What a step deletes it finds by scanning, and how far a stream is cleared is stored
 * with the deletions, so that an interrupted run, or a crash that undoes the last steps, is simply continued.
 */
import type { Lsn } from '../base/ids.js';
import { asLsn } from '../base/ids.js';
import type { IndexWrite, PhysicalDeletion, StateReader } from '../base/state-machine.js';
import { scanBatches } from './batch-index.js';
import type { BatchEntry } from './batch-index.js';
import type { ClearingTask, ClearingWork } from './clearing-work.js';
import { encodeNumberValue } from './index-values.js';
import { batchKey, clearedKey, deletedStreamKey, Keyspace, producerBatchKey, streamRange } from './keys.js';

export interface PhysicalDeletionStep {
  readonly deletion: PhysicalDeletion;
  readonly streamId: number;
  /** To be called when the deletion was done, before the next step is asked for. */
  done(): void;
}

export interface PhysicalDeletionBudget {
  /** Only what is garbage since this LSN or longer; the store's persisted LSN. */
  readonly persistedLsn: Lsn;
  /** Batches of one step; 1,000 when not set. */
  readonly batchesMax?: number;
}

const batchesMaxDefault = 1000;

/** The next step; undefined when there is nothing to delete (yet). */
export async function nextPhysicalDeletion(
  machine: { readonly clearing: ClearingWork },
  reader: StateReader,
  budget: PhysicalDeletionBudget,
): Promise<PhysicalDeletionStep | undefined> {
  const { clearing } = machine;
  const task = clearing.next(budget.persistedLsn);
  if (task === undefined) return undefined;
  const batchesMax = budget.batchesMax ?? batchesMaxDefault;
  return task.type === 'retention'
    ? retentionStep(clearing, reader, task, batchesMax)
    : deletedStreamStep(clearing, reader, task, batchesMax);
}

type TaskOf<Type extends ClearingTask['type']> = Extract<ClearingTask, { readonly type: Type }>;

async function retentionStep(
  clearing: ClearingWork,
  reader: StateReader,
  task: TaskOf<'retention'>,
  batchesMax: number,
): Promise<PhysicalDeletionStep> {
  const { streamId, fromSeq, toSeq } = task;
  const batches = await scanBatches(reader, streamId, fromSeq, toSeq, batchesMax);
  const last = batches.at(-1);
  const clearedBelow = last !== undefined && batches.length === batchesMax ? last.endSeq : toSeq;
  const progress = { key: clearedKey(streamId), value: encodeNumberValue(clearedBelow) };
  return {
    streamId,
    deletion: deletionOf(streamId, batches, [progress]),
    done: () => clearing.retentionCleared(task, clearedBelow),
  };
}

/** First the batches, then the producers, at last the note that there was such a stream. */
async function deletedStreamStep(
  clearing: ClearingWork,
  reader: StateReader,
  task: TaskOf<'deleted-stream'>,
  batchesMax: number,
): Promise<PhysicalDeletionStep> {
  const { streamId, fromSeq } = task;
  const batches = await scanBatches(reader, streamId, fromSeq, Number.MAX_SAFE_INTEGER, batchesMax);
  const last = batches.at(-1);
  if (last !== undefined) {
    return {
      streamId,
      deletion: deletionOf(streamId, batches, []),
      done: () => clearing.deletedStreamCleared(task, last.endSeq),
    };
  }
  const producers = await reader.scanIndex({ ...streamRange(Keyspace.producer, streamId), limit: batchesMax });
  const isLast = producers.length < batchesMax;
  const index = producers.map(({ key }) => remove(key));
  if (isLast) index.push(remove(clearedKey(streamId)), remove(deletedStreamKey(streamId)));
  return {
    streamId,
    deletion: { recordLsns: [], index },
    done: () => {
      if (isLast) clearing.deletedStreamCleared(task, undefined);
    },
  };
}

function deletionOf(streamId: number, batches: readonly BatchEntry[], also: readonly IndexWrite[]): PhysicalDeletion {
  const index: IndexWrite[] = [];
  for (const { firstSeq, producer } of batches) {
    index.push(remove(batchKey(streamId, firstSeq)));
    if (producer !== undefined) index.push(remove(producerBatchKey(streamId, producer.lsn, producer.firstNumber)));
  }
  return { recordLsns: batches.map((batch) => asLsn(batch.lsn)), index: [...index, ...also] };
}

const remove = (key: Uint8Array): IndexWrite => ({ key, value: undefined });
