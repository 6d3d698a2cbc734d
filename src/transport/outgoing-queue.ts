import type { PartitionId } from '../base/ids.js';
import { messageBytes, type WireMessage } from '../raft/index.js';
import { deliveryBytes, type Delivery } from './frame.js';

export interface QueueLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/** Messages for one frame, with their own encoded sizes. */
export interface Batch {
  readonly deliveries: readonly Delivery[];
  readonly sizes: readonly number[];
}

/**
 * Raft messages that wait for one peer, in order. A full queue takes no more: Raft repeats what it has to, and what
 * waits already is what the peer needs first.
 */
export class OutgoingQueue {
  readonly #limits: QueueLimits;
  readonly #items: { readonly delivery: Delivery; readonly size: number; readonly bytes: number }[] = [];
  /** Items before it have been taken. */
  #head = 0;
  #bytes = 0;
  #dropped = 0;
  /** Partitions that lost a message since the queue was last less than half full. */
  readonly #losers = new Set<PartitionId>();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Bytes of the frames to come, without their headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Messages dropped, ever. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Answers `queued`, `dropped`, or `dropped-first` when this is the partition's first loss of an episode: from a first
   * drop until the queue is less than half full.
   */
  offer(partitionId: PartitionId, message: WireMessage): 'queued' | 'dropped' | 'dropped-first' {
    const size = messageBytes(message);
    const bytes = deliveryBytes(partitionId, size);
    const { messagesMax, bytesMax } = this.#limits;
    const isFull = this.length >= messagesMax || this.#bytes + bytes > bytesMax;
    if (isFull && this.length > 0) return this.lose(partitionId);
    this.#items.push({ delivery: { partitionId, message }, size, bytes });
    this.#bytes += bytes;
    return 'queued';
  }

  /** Counts a message of the partition as dropped. */
  lose(partitionId: PartitionId): 'dropped' | 'dropped-first' {
    this.#dropped += 1;
    if (this.#losers.has(partitionId)) return 'dropped';
    this.#losers.add(partitionId);
    return 'dropped-first';
  }

  /** Takes messages of about `bytesTarget`, at least one while there is one. */
  take(bytesTarget: number): Batch {
    const deliveries: Delivery[] = [];
    const sizes: number[] = [];
    let bytes = 0;
    for (; this.#head < this.#items.length; this.#head += 1) {
      const item = this.#items[this.#head];
      if (item === undefined || (bytes > 0 && bytes + item.bytes > bytesTarget)) break;
      deliveries.push(item.delivery);
      sizes.push(item.size);
      bytes += item.bytes;
    }
    this.#bytes -= bytes;
    this.#forgetTaken();
    const { messagesMax, bytesMax } = this.#limits;
    if (this.length * 2 < messagesMax && this.#bytes * 2 < bytesMax) this.#losers.clear();
    return { deliveries, sizes };
  }

  /** Drops everything, and ends the episode. */
  clear(): void {
    this.#dropped += this.length;
    this.#items.length = 0;
    this.#head = 0;
    this.#bytes = 0;
    this.#losers.clear();
  }

  /** Taken items are let go of when they are the larger part, so that taking costs the same whatever waits. */
  #forgetTaken(): void {
    if (this.#head * 2 < this.#items.length) return;
    this.#items.splice(0, this.#head);
    this.#head = 0;
  }
}
