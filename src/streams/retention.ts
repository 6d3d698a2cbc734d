/** What the leader proposes in the background: where streams begin from now on, and which producers are forgotten. */
import type { StateReader } from '../base/state-machine.js';
import { findBatch, scanBatches, seqAtTime } from './batch-index.js';
import type { BatchEntry } from './batch-index.js';
import type { DropProducersCommand, SetFirstSeqCommand } from './commands/commands.js';
import { isExpired } from './commands/drop-producers.js';
import { decodeProducerValue } from './index-values.js';
import { keyProducerId, Keyspace, producerKey, streamRange } from './keys.js';
import type { StreamsLimits } from './limits.js';
import type { StreamView } from './types.js';

/**
 * The command that retention asks for at this time; undefined when nothing is to be deleted. Whole batches only: by age a
 * batch goes when its append time is more than `retentionAgeMs` ago; by bytes the oldest go until the stored bytes of the
 * rest are at or below `retentionBytes` (a stream whose newest batch alone is larger keeps nothing).
 *
 * @param nowMs the leader's wall time; do not call while it cannot be trusted
 */
export async function retentionCommand(
  reader: StateReader,
  stream: StreamView,
  nowMs: number,
): Promise<SetFirstSeqCommand | undefined> {
  const { retentionAgeMs, retentionBytes } = stream.config;
  const isTooLarge = retentionBytes > 0 && stream.storedBytes > retentionBytes;
  if (stream.firstSeq === stream.nextSeq || (retentionAgeMs === 0 && !isTooLarge)) return undefined;
  const [oldest] = await scanBatches(reader, stream.id, stream.firstSeq, stream.nextSeq, 1);
  // Another first seq was set meanwhile; the next round sees it.
  if (oldest?.firstSeq !== stream.firstSeq) return undefined;
  const byAge =
    retentionAgeMs === 0 ? stream.firstSeq : await firstSeqByAge(reader, stream, oldest, nowMs - retentionAgeMs);
  const byBytes = isTooLarge ? await firstSeqByBytes(reader, stream, oldest) : stream.firstSeq;
  const firstSeq = Math.max(byAge, byBytes);
  return firstSeq > stream.firstSeq ? { type: 'set-first-seq', streamId: stream.id, firstSeq } : undefined;
}

/** Looks at the oldest batch first: in most rounds it is not old enough. */
async function firstSeqByAge(
  reader: StateReader,
  stream: StreamView,
  oldest: BatchEntry,
  fromMs: number,
): Promise<number> {
  return oldest.appendTimeMs >= fromMs ? stream.firstSeq : seqAtTime(reader, stream, fromMs);
}

async function firstSeqByBytes(reader: StateReader, stream: StreamView, oldest: BatchEntry): Promise<number> {
  /** Counted like `bytesThrough`, over all batches that the stream ever had. */
  const bytesThroughEnd = oldest.bytesThrough - oldest.storedBytes + stream.storedBytes;
  const bytesFrom = (batch: BatchEntry): number => bytesThroughEnd - (batch.bytesThrough - batch.storedBytes);
  return findBatch(reader, stream, (batch) => bytesFrom(batch) <= stream.config.retentionBytes);
}

export interface ExpiredProducers {
  /** What to propose; undefined when none of those looked at has expired. */
  readonly command: DropProducersCommand | undefined;
  /** Where the next call goes on; undefined when all producers of the stream were looked at. */
  readonly next: string | undefined;
}

const producersPerRound = 500;

/**
 * Looks at the next producers of a stream, at most 500, for those that have no retained record and have been idle for
 * `producerIdleMs`. Apply checks again.
 *
 * @param after `next` of the call before, undefined to begin
 */
export async function expiredProducers(
  reader: StateReader,
  stream: StreamView,
  nowMs: number,
  limits: Pick<StreamsLimits, 'producerIdleMs'>,
  after?: string,
): Promise<ExpiredProducers> {
  const idleMs = limits.producerIdleMs;
  const range = streamRange(Keyspace.producer, stream.id);
  const from = after === undefined ? range.from : producerKey(stream.id, `${after}\0`);
  const entries = await reader.scanIndex({ from, to: range.to, limit: producersPerRound });
  const producerIds = entries
    .filter(({ value }) => isExpired(decodeProducerValue(value), stream.firstSeq, nowMs, idleMs))
    .map(({ key }) => keyProducerId(key));
  const last = entries.at(-1);
  return {
    command:
      producerIds.length === 0 ? undefined : { type: 'drop-producers', streamId: stream.id, producerIds, idleMs },
    next: last === undefined || entries.length < producersPerRound ? undefined : keyProducerId(last.key),
  };
}
