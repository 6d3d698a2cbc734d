import { at } from './at.js';
import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';

/**
 * Append messages that are on their way to one follower: a ring of (last LSN, bytes), oldest first. Bounded in
 * messages and in bytes; the message that crosses the byte limit is still let through, so that one large entry is
 * never stuck.
 */
export class Inflights {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  /** Grows by doubling up to `messagesMax`: most followers have few messages on their way. */
  #lsns: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  /** Records a message whose last entry is `lsn`; LSNs do not descend. */
  add(lsn: Lsn, bytes: number): void {
    assert(!this.full, () => `inflights overflow: ${this.#count} messages, ${this.#bytes} bytes`);
    if (this.#count === this.#lsns.length) this.#grow();
    const at = (this.#start + this.#count) % this.#lsns.length;
    this.#lsns[at] = lsn;
    this.#sizes[at] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Frees every message whose last entry is at or below `lsn`. */
  freeUpTo(lsn: Lsn): void {
    while (this.#count > 0 && at(this.#lsns, this.#start) <= lsn) {
      this.#bytes -= at(this.#sizes, this.#start);
      this.#start = (this.#start + 1) % this.#lsns.length;
      this.#count -= 1;
    }
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const size = Math.min(this.#messagesMax, Math.max(8, this.#lsns.length * 2));
    const lsns = new Array<number>(size).fill(0);
    const sizes = new Array<number>(size).fill(0);
    for (let i = 0; i < this.#count; i += 1) {
      const from = (this.#start + i) % this.#lsns.length;
      lsns[i] = at(this.#lsns, from);
      sizes[i] = at(this.#sizes, from);
    }
    this.#lsns = lsns;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
