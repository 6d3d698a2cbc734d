/** Reads streams and holds every record against what the writers know. */
import type { LogboomClient, LogRecord } from '../../../src/client/index.js';
import { originOf, valueOf } from './writers.js';
import type { Writer } from './writers.js';

/**
 * One stream, from seq 0 on, continued by every {@link check}:
 *
 * - seq is dense; LSN and append time never go back;
 * - every record is one that a writer appended to this stream, byte for byte;
 * - a producer's records are there each once, in order, without a gap;
 * - other writers' are there at most once, in order, and whole batches of them;
 * - what was acknowledged is there, where and with the LSN and the time that the acknowledgement said;
 * - what was refused is not.
 */
export class StreamChecker {
  readonly stream: string;
  checkedRecords = 0;
  checkedBytes = 0;
  readonly #writers: ReadonlyMap<number, Writer>;
  readonly #lastSeen = new Map<number, number>();
  #nextSeq = 0;
  #lsn = 0;
  #appendTimeMs = 0;

  constructor(stream: string, writers: readonly Writer[]) {
    this.stream = stream;
    this.#writers = new Map(
      writers.filter(({ options }) => options.stream === stream).map((writer) => [writer.options.index, writer]),
    );
  }

  /** Reads on to the end of the stream. What was acknowledged before the call must be there after it. */
  async check(client: LogboomClient): Promise<void> {
    const acknowledged = [...this.#writers.values()].map((writer) => ({ writer, last: writer.lastAcknowledged }));
    for await (const page of client.readPages(this.stream, {
      fromSeq: this.#nextSeq,
      maxBytes: 4 * 2 ** 20,
      deadlineMs: 60_000,
    })) {
      for (const record of page) this.#take(record);
    }
    for (const { writer, last } of acknowledged) {
      const seen = this.#lastSeen.get(writer.options.index) ?? -1;
      if (seen < last)
        this.#fail(`record ${last} of writer ${writer.options.index} was acknowledged, the last one there is ${seen}`);
    }
  }

  #take(record: LogRecord): void {
    const { seq, value } = record;
    const { lsn, appendTimeMs } = record.batch;
    if (seq !== this.#nextSeq) this.#fail(`seq ${seq} follows ${this.#nextSeq - 1}`);
    if (lsn < this.#lsn) this.#fail(`LSN ${lsn} of seq ${seq} follows LSN ${this.#lsn}`);
    if (appendTimeMs < this.#appendTimeMs)
      this.#fail(`the append time of seq ${seq}, ${appendTimeMs}, is before ${this.#appendTimeMs}`);
    this.#nextSeq++;
    this.#lsn = lsn;
    this.#appendTimeMs = appendTimeMs;
    this.checkedRecords++;
    this.checkedBytes += value.length;

    const origin = originOf(value);
    const writer = origin && this.#writers.get(origin.writer);
    if (!writer) this.#fail(`seq ${seq} holds what nobody appended: ${value.toString('latin1', 0, 60)}`);
    const { number } = origin;
    const expected = valueOf(writer.options, number);
    if (!expected.equals(value))
      this.#fail(`seq ${seq} (record ${number} of writer ${origin.writer}) has other bytes than were appended`);
    this.#checkOrder(writer, number, record);
    const acknowledged = writer.acknowledged.get(number);
    if (
      acknowledged &&
      (acknowledged.seq !== seq || acknowledged.lsn !== lsn || acknowledged.appendTimeMs !== appendTimeMs)
    ) {
      this.#fail(
        `record ${number} of writer ${origin.writer} was acknowledged as ${JSON.stringify(acknowledged)}, but is at seq ${seq}, LSN ${lsn}, ${appendTimeMs}`,
      );
    }
    if (writer.refused.has(number))
      this.#fail(`record ${number} of writer ${origin.writer}, at seq ${seq}, had been refused`);
  }

  #checkOrder(writer: Writer, number: number, record: LogRecord): void {
    const { index } = writer.options;
    const last = this.#lastSeen.get(index) ?? -1;
    if (number <= last)
      this.#fail(
        `record ${number} of writer ${index}, at seq ${record.seq}, follows its record ${last}: twice, or out of order`,
      );
    this.#lastSeen.set(index, number);
    if (writer.isNumbered) {
      if (number !== last + 1)
        this.#fail(`records ${last + 1} to ${number - 1} of producer ${index} are missing before seq ${record.seq}`);
      if (record.producer?.id !== writer.producerId || record.producer.recordNumber !== number) {
        this.#fail(
          `seq ${record.seq} carries producer ${JSON.stringify(record.producer)}, expected ${writer.producerId} ${number}`,
        );
      }
      return;
    }
    for (let skipped = last + 1; skipped < number; skipped++) {
      if (writer.acknowledged.has(skipped))
        this.#fail(`record ${skipped} of writer ${index} was acknowledged and is missing before seq ${record.seq}`);
    }
    // A batch that is there in part was not atomic: a record behind the first needs the one before it.
    for (const [first, count] of writer.openBatches) {
      if (number > first && number < first + count && last !== number - 1)
        this.#fail(`the batch of record ${number} of writer ${index} is there in part`);
      if (last >= first && last < first + count - 1 && number !== last + 1)
        this.#fail(`the batch of record ${last} of writer ${index} is there in part`);
    }
  }

  #fail(message: string): never {
    throw new Error(`stream ${this.stream}: ${message}`);
  }
}
