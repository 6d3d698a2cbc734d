import type { ClientHttp2Stream } from 'node:http2';
import type { Crc32 } from '../../base/ports/environment.js';
import { encodeMessages, encodePresence, type EncodedFrame } from '../frame.js';
import type { LinkOptions } from '../options.js';
import type { OutgoingQueue } from '../outgoing-queue.js';
import { writeFrames } from './frame-stream.js';
import type { Outflow } from './session-watch.js';

/**
 * Moves messages from the queue to a stream. What is queued while a write is under way leaves together in the next
 * frame; only full frames are written ahead of it. What the connection does not take stays in the queue, so that
 * memory is bounded by `writeAheadBytes`, one frame, and the queue's own limits.
 */
export class MessageWriter implements Outflow {
  readonly #stream: ClientHttp2Stream;
  readonly #queue: OutgoingQueue;
  readonly #crc32: Crc32;
  readonly #options: LinkOptions;
  readonly #onWritten: (messages: number, bytes: number) => void;
  #pendingBytes = 0;
  #writesDone = 0;

  constructor(
    stream: ClientHttp2Stream,
    queue: OutgoingQueue,
    crc32: Crc32,
    options: LinkOptions,
    onWritten: (messages: number, bytes: number) => void,
  ) {
    this.#stream = stream;
    this.#queue = queue;
    this.#crc32 = crc32;
    this.#options = options;
    this.#onWritten = onWritten;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get writesDone(): number {
    return this.#writesDone;
  }

  /** Writes what may be written now. */
  write(): void {
    while (this.#queue.length > 0 && this.#mayWrite()) this.#writeFrame();
  }

  /** Ahead of the messages that wait: it says nothing of them. Not into a connection that takes nothing. */
  writePresence(epoch: number): void {
    if (this.#stream.closed || this.#stream.destroyed || this.#pendingBytes >= this.#options.writeAheadBytes) return;
    this.#writeOut(encodePresence(this.#crc32, epoch));
  }

  #mayWrite(): boolean {
    if (this.#stream.closed || this.#stream.destroyed) return false;
    if (this.#pendingBytes === 0) return true;
    const { writeAheadBytes, frameBytesTarget } = this.#options;
    return this.#pendingBytes < writeAheadBytes && this.#queue.bytes >= frameBytesTarget;
  }

  #writeFrame(): void {
    const { deliveries, sizes } = this.#queue.take(this.#options.frameBytesTarget);
    const frame = encodeMessages(this.#crc32, deliveries, sizes);
    this.#writeOut(frame);
    this.#onWritten(deliveries.length, frame.bytes);
  }

  #writeOut(frame: EncodedFrame): void {
    this.#pendingBytes += frame.bytes;
    writeFrames(this.#stream, [frame], () => {
      this.#pendingBytes -= frame.bytes;
      this.#writesDone += 1;
      this.write();
    });
  }
}
