import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { streamGone } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { DropProducersCommand } from './commands.js';
import type { ProducerValue } from '../index-values.js';
import type { StreamsResult } from '../types.js';

export const dropProducersType = 6;
export const dropProducersVersion = 1;

export function encodeDropProducers(command: DropProducersCommand): readonly HeaderField[] {
  return [command.streamId, command.idleMs, command.producerIds];
}

export function decodeDropProducers(header: HeaderReader): DropProducersCommand {
  const streamId = header.integer();
  const idleMs = header.integer();
  return { type: 'drop-producers', streamId, idleMs, producerIds: header.texts() };
}

/** The leader named candidates; what has become of them since decides. */
export function applyDropProducers(command: DropProducersCommand, context: ApplyContext): StreamsResult {
  const { streams, producers, transaction, timeMs } = context;
  const stream = streams.applyingById(command.streamId);
  if (stream === undefined) return streamGone(command.streamId);
  let count = 0;
  for (const producerId of command.producerIds) {
    const producer = producers.get(stream.id, producerId, transaction);
    if (producer === undefined || !isExpired(producer, stream.firstSeq, timeMs, command.idleMs)) continue;
    producers.delete(stream.id, producerId, transaction);
    count += 1;
  }
  if (count > 0) {
    stream.producerCount -= count;
    streams.store(stream, transaction);
  }
  return { type: 'producers-dropped', count };
}

/** No record of it is retained, and it has been idle for so long, in entry time. */
export function isExpired(producer: ProducerValue, firstSeq: number, timeMs: number, idleMs: number): boolean {
  return producer.lastSeq < firstSeq && timeMs - producer.lastAppendMs >= idleMs;
}
