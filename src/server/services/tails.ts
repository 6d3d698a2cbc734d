/**
 * Tail: pages from a position on, and then what is appended, as it is appended.
 *
 * A reader costs one page of memory at most: the next page is read when the one before has left for the network, so that
 * HTTP/2 flow control paces a slow reader. What it misses meanwhile waits in the store, not in a queue; when retention
 * overtakes it, the read answers RECORD_TRIMMED, and when the stream is deleted, STREAM_NOT_FOUND.
 */
import { LogboomError } from '../../base/errors.js';
import { readLimits } from '../../streams/index.js';
import { orAborted } from '../rpc/calls.js';
import { decodeTailRequest } from '../wire/requests.js';
import { encodeTailResponse } from '../wire/responses.js';
import type { Clock } from '../../base/ports/clock.js';
import type { Gauge, Metrics } from '../../base/ports/metrics.js';
import type { CallContext, MessageSink } from '../rpc/calls.js';
import type { Pages } from './reads.js';
import type { Router, StreamsReplica } from './routing.js';

export interface TailsParts {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly router: Router;
  readonly pages: Pages;
  readonly tailsMax: number;
  readonly messageBytesMax: number;
  readonly keepaliveMs: number;
  /** Aborts when the node drains; the reason ends the tails. */
  readonly drain: AbortSignal;
}

export class Tails {
  readonly #parts: TailsParts;
  readonly #gauge: Gauge;
  #open = 0;

  constructor(parts: TailsParts) {
    this.#parts = parts;
    this.#gauge = parts.metrics.gauge('logboom_tails', 'Tails being served.');
  }

  async tail(bytes: Buffer, sink: MessageSink<Buffer>, context: CallContext): Promise<void> {
    const { tailsMax, drain } = this.#parts;
    if (drain.aborted) throw drain.reason;
    if (this.#open >= tailsMax) {
      throw new LogboomError('QUEUE_FULL', `the node serves ${this.#open} tails already (read.tails)`, {
        facts: { limit: 'read.tails', used: this.#open, max: tailsMax },
        retryAfterMs: 1000,
      });
    }
    this.#gauge.set(++this.#open);
    try {
      await this.#untilDrained(context.signal, (signal) => this.#follow(bytes, sink, signal));
    } finally {
      this.#gauge.set(--this.#open);
    }
  }

  /** Not AbortSignal.any: in Node 20 each of its signals leaves something behind in the sources, and `drain` lives long. */
  async #untilDrained(signal: AbortSignal, follow: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { drain } = this.#parts;
    const either = new AbortController();
    const onAbort = (): void => either.abort(signal.aborted ? signal.reason : drain.reason);
    const sources = [signal, drain];
    for (const source of sources) source.addEventListener('abort', onAbort, { once: true });
    try {
      await follow(either.signal);
    } finally {
      for (const source of sources) source.removeEventListener('abort', onAbort);
    }
  }

  async #follow(bytes: Buffer, sink: MessageSink<Buffer>, signal: AbortSignal): Promise<void> {
    const { router, pages, messageBytesMax, clock } = this.#parts;
    const request = decodeTailRequest(bytes);
    const replica = router.replicaOfStream(request.stream);
    await replica.awaitLinearizable(signal);
    const reader = pages.readerOf(replica);
    const { stream, start, expectedEpoch } = request;
    const resolved = await reader.resolveStart(replica.reader, stream, start, 'forward', expectedEpoch);
    const streamId = resolved.stream.id;
    let { position } = resolved;
    const maxBytes = Math.min(request.maxBytes ?? messageBytesMax, messageBytesMax);
    const options = { acceptCodecs: request.acceptCodecs, maxBytes: checkedBytes(request.maxBytes, maxBytes) };
    const news = new News(replica, streamId);
    try {
      let writtenMs = Number.NEGATIVE_INFINITY;
      for (;;) {
        if (signal.aborted) throw signal.reason;
        news.clear();
        const page = await reader.readPageAt(replica.reader, streamId, position, {
          ...options,
          limit: readLimits.recordsMax,
        });
        position = page.next;
        const quietMs = clock.monotonicMs() - writtenMs;
        if (page.recordCount > 0 || quietMs >= this.#parts.keepaliveMs) {
          pages.count(page.slices);
          await orAborted(sink.write(encodeTailResponse(page)), signal);
          writtenMs = clock.monotonicMs();
        }
        if (page.end === 'stream') await news.wait(clock, writtenMs + this.#parts.keepaliveMs, signal);
      }
    } finally {
      news.close();
    }
  }
}

/** The API's range, not the server's own cap, decides what is refused. */
function checkedBytes(asked: number | undefined, capped: number): number {
  return asked !== undefined && (asked < readLimits.bytesMin || asked > readLimits.bytesMax) ? asked : capped;
}

/** Remembers a change from `clear` on, so that none between a read and the wait after it is missed. */
class News {
  readonly #unwatch: () => void;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(replica: StreamsReplica, topic: number) {
    this.#unwatch = replica.watch(topic, () => {
      this.#changed = true;
      this.#wake?.();
    });
  }

  clear(): void {
    this.#changed = false;
  }

  /** Resolves at the first change, at `deadlineMs` (monotonic), or when the signal aborts. */
  wait(clock: Clock, deadlineMs: number, signal: AbortSignal): Promise<void> {
    if (this.#changed || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () => finish());
      const finish = (): void => {
        timer.cancel();
        this.#wake = undefined;
        signal.removeEventListener('abort', finish);
        resolve();
      };
      this.#wake = finish;
      signal.addEventListener('abort', finish, { once: true });
    });
  }

  close(): void {
    this.#unwatch();
  }
}
