/**
 * Streams: the state machine of a partition, and everything that reads what it wrote.
 *
 * An append, on the leader (apply decides; only what nothing in flight can change is checked before):
 *
 *     const batch = await verifyBatch(parseRecordBatch(batchBytes), { compressor, crc32, limits });
 *     const stream = requireStream(machine, name);
 *     const command = appendCommand(stream, batch, { producer, expectedNextSeq, fencingToken, expectedEpoch }, limits);
 *     const { lsn, result } = await replica.propose(encodeCommand(command, { timeMs: clock.wallMs() }));
 *     const appended = expectResult(result, 'appended');
 *
 * A read, on any replica that may serve it:
 *
 *     const pages = new PageReader({ machine, compressor, crc32 });
 *     const page = await pages.readPage(replica.reader, name, { start, direction, limit, maxBytes, acceptCodecs });
 *
 * A tail: `resolveStart` once, then `readPageAt` from `page.next` whenever the topic `stream.id` changes.
 *
 * In the background: the leader proposes what `retentionCommand` and `expiredProducers` answer for each stream; every
 * replica runs the loop of `nextPhysicalDeletion`.
 */
export { defaultStreamsLimits, readLimits } from './limits.js';
export type { StreamsLimits } from './limits.js';
export type * from './types.js';

export { parseRecordBatch, verifyBatch } from './record-batch.js';
export type { VerifiedBatch } from './record-batch.js';

export { encodeCommand } from './commands/codec.js';
export type { AppendCommand, StreamsCommand } from './commands/commands.js';
export { expectResult, StreamsStateMachine } from './streams-state-machine.js';

export { appendCommand, createStreamCommand, deleteStreamCommand, updateStreamCommand } from './admission.js';
export type { AppendConditions, CreateStreamRequest } from './admission.js';
export { requireEpoch, requireStream } from './stream-table.js';
export { slotOf } from '../base/hash-slot.js';
export { validateStreamName } from './stream-name.js';

export { PageReader } from './read-page.js';
export type { PageReaderOptions, ReadPageRequest } from './read-page.js';
export { listStreams } from './list.js';
export { getProducer } from './producer-table.js';

export { expiredProducers, retentionCommand } from './retention.js';
export { nextPhysicalDeletion } from './physical-deletion.js';
