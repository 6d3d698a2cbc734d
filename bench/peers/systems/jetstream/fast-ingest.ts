import type { PeerStream } from '../system.js';
import type { FastIngest, JetStreamInternalModule, NatsConnection } from './nats-api.js';

/** The largest number of messages an acknowledgement is asked for; the server lowers it when it is busy. */
const ackIntervalMax = 128;

/**
 * A stream fed by fast ingest: messages without replies, of which the server acknowledges how far it has come. `append`
 * resolves when that is behind the record; while records wait, one ping after the other asks.
 */
export class FastIngestStream implements PeerStream {
  readonly #connection: NatsConnection;
  readonly #module: JetStreamInternalModule;
  readonly #subject: string;
  readonly #ackInterval: number;
  #ingest: Promise<FastIngest> | undefined;
  #acknowledged = 0;
  #asking = false;
  #failure: Error | undefined;
  readonly #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];

  constructor(connection: NatsConnection, module: JetStreamInternalModule, subject: string, inFlightMax: number) {
    this.#connection = connection;
    this.#module = module;
    this.#subject = subject;
    // Of two windows in flight one is to be acknowledged while the other fills.
    this.#ackInterval = Math.max(1, Math.min(ackIntervalMax, Math.floor(inFlightMax / 4)));
  }

  async append(value: Buffer): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#ingest === undefined) {
      this.#acknowledged = 1;
      const options = { ackInterval: this.#ackInterval, allowGaps: false, maxOutstandingAcks: 2 };
      this.#ingest = this.#module.startFastIngest(this.#connection, this.#subject, value, options);
      await this.#ingest;
      return;
    }
    const ingest = await this.#ingest;
    const settled = new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
    ingest.add(this.#subject, value).then(
      ({ ackSeq }) => this.#advance(ackSeq),
      (error: unknown) => this.#fail(error),
    );
    if (!this.#asking) void this.#ask(ingest);
    return settled;
  }

  async #ask(ingest: FastIngest): Promise<void> {
    this.#asking = true;
    try {
      while (this.#waiting.length > 0) this.#advance((await ingest.ping()).ackSeq);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#asking = false;
    }
  }

  #advance(acknowledged: number): void {
    const count = acknowledged - this.#acknowledged;
    if (count <= 0) return;
    this.#acknowledged = acknowledged;
    for (const { resolve } of this.#waiting.splice(0, count)) resolve();
  }

  #fail(error: unknown): void {
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#failure ??= failure;
    for (const { reject } of this.#waiting.splice(0)) reject(failure);
  }
}
