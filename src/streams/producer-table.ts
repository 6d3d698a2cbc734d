/** Producer states: the store has them all, memory the most recently used. */
import type { StateReader, StateTransaction } from '../base/state-machine.js';
import { asSeq } from '../base/ids.js';
import { decodeProducerValue, encodeProducerValue } from './index-values.js';
import type { ProducerValue } from './index-values.js';
import { producerKey } from './keys.js';
import type { ProducerView, StreamView } from './types.js';

/**
 * Apply's view. A state that was evicted is read back from the transaction, which sees the writes before it: what is
 * cached never changes what apply does.
 */
export class ProducerTable {
  readonly #cachedMax: number;
  /** In order of use, the least recent first. */
  readonly #cached = new Map<string, ProducerValue>();

  constructor(cachedMax: number) {
    this.#cachedMax = cachedMax;
  }

  get cachedCount(): number {
    return this.#cached.size;
  }

  get(streamId: number, producerId: string, transaction: StateTransaction): ProducerValue | undefined {
    const name = cacheName(streamId, producerId);
    let value = this.#cached.get(name);
    if (value === undefined) {
      const bytes = transaction.getIndex(producerKey(streamId, producerId));
      if (bytes === undefined) return undefined;
      value = decodeProducerValue(bytes);
    } else this.#cached.delete(name);
    this.#remember(name, value);
    return value;
  }

  put(streamId: number, producerId: string, value: ProducerValue, transaction: StateTransaction): void {
    transaction.putIndex(producerKey(streamId, producerId), encodeProducerValue(value));
    const name = cacheName(streamId, producerId);
    this.#cached.delete(name);
    this.#remember(name, value);
  }

  delete(streamId: number, producerId: string, transaction: StateTransaction): void {
    transaction.deleteIndex(producerKey(streamId, producerId));
    this.#cached.delete(cacheName(streamId, producerId));
  }

  clear(): void {
    this.#cached.clear();
  }

  #remember(name: string, value: ProducerValue): void {
    this.#cached.set(name, value);
    if (this.#cached.size <= this.#cachedMax) return;
    for (const oldest of this.#cached.keys()) {
      this.#cached.delete(oldest);
      return;
    }
  }
}

const cacheName = (streamId: number, producerId: string): string => `${streamId}/${producerId}`;

/** Where a producer stands; undefined when the stream does not know it. What a restarted producer asks before it goes on. */
export function getProducer(reader: StateReader, stream: StreamView, producerId: string): ProducerView | undefined {
  const bytes = reader.getIndex(producerKey(stream.id, producerId));
  if (bytes === undefined) return undefined;
  const value = decodeProducerValue(bytes);
  return {
    epoch: value.epoch,
    nextRecordNumber: value.nextNumber,
    lastSeq: asSeq(value.lastSeq),
    lastAppendMs: value.lastAppendMs,
  };
}
