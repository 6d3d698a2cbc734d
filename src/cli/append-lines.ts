import { isLogboomError } from '../base/errors.js';
import type { Appender, AppenderOptions, LogboomClient } from '../client/index.js';
import { CommandError } from './failure.js';
import { LineSplitter } from './lines.js';
import type { Source } from './sources.js';

export interface AppendLinesOptions {
  readonly producerId: string | undefined;
  readonly fencingToken: string | undefined;
  readonly codec: 'zstd' | 'none';
  /** Read all sources at once, as they grow, rather than one after another. */
  readonly together: boolean;
  /** Aborts to end in good order: what was read is appended. */
  readonly signal: AbortSignal;
  /** Told when the server takes nothing for a while, and when it does again. */
  readonly onInterruption: (error: Error) => void;
  readonly onResumption: () => void;
}

/** What was done so far, at any time. */
export class AppendTotals {
  /** Lines of earlier runs of the same producer. */
  skipped = 0;
  /** Bytes read from the sources, LFs included. */
  readBytes = 0;
  /** Bytes of lines without LF that were left for the next run. */
  leftBytes = 0;
  #appender: Appender | undefined;

  follow(appender: Appender): void {
    this.#appender = appender;
  }

  /** Records stored by this run, and the bytes of their lines. */
  get records(): number {
    return this.#appender?.appendedRecords ?? 0;
  }
  get bytes(): number {
    return this.#appender?.appendedBytes ?? 0;
  }
  get firstSeq(): number | undefined {
    return this.#appender?.firstSeq;
  }
  get lastSeq(): number | undefined {
    return this.#appender?.lastSeq;
  }
}

/** Encoding adds this much to a value at most: the field's tag and its length. */
const encodingBytesMax = 6;

/**
 * Appends every line of the sources as a record, in bounded memory. With a producer id the lines are its record numbers,
 * counted over all sources in their order, so that lines the server has are skipped; whether they are the same lines is
 * checked with the last of them.
 *
 * @throws CommandError LINE_TOO_LONG, PRODUCER_MISMATCH, after everything before was appended
 */
export async function appendLines(
  client: LogboomClient,
  stream: string,
  sources: readonly Source[],
  options: AppendLinesOptions,
  totals: AppendTotals,
): Promise<void> {
  const run = await LineAppend.open(client, stream, options, totals);
  let failure: unknown;
  try {
    if (options.together) await run.appendTogether(sources);
    else for (const source of sources) await run.appendSource(source, true);
    run.checkAllSkipped();
  } catch (error) {
    failure = error;
  }
  // Also after a failure: what came before it is appended.
  await run.close(failure);
}

class LineAppend {
  readonly #appender: Appender;
  readonly #options: AppendLinesOptions;
  readonly #totals: AppendTotals;
  readonly #lineBytesMax: number;
  /** Lines that the server has of this producer, and the last of them when it is still there. */
  readonly #storedLines: number;
  readonly #lastStored: Buffer | undefined;
  #lines = 0;

  static async open(
    client: LogboomClient,
    stream: string,
    options: AppendLinesOptions,
    totals: AppendTotals,
  ): Promise<LineAppend> {
    const { producerId, fencingToken, codec, onInterruption, onResumption } = options;
    // A new epoch fences what an earlier run, killed a moment ago, may still have under way.
    const producer: AppenderOptions['producer'] =
      producerId === undefined ? undefined : { id: producerId, takeOver: true };
    const [state, limits] = await Promise.all([
      producerId === undefined ? undefined : client.producer(stream, producerId),
      client.cluster.limits(),
    ]);
    const lastStored = state?.lastSeq === undefined ? undefined : await storedValue(client, stream, state.lastSeq);
    const appender = await client.appender(stream, {
      producer,
      fencingToken,
      codec,
      inFlightBatchesMax: 8,
      onInterruption,
      onResumption,
    });
    const storedLines = producerId === undefined ? 0 : appender.nextRecordNumber;
    const lineBytesMax = limits.recordBytes - encodingBytesMax;
    return new LineAppend(appender, options, totals, { lineBytesMax, storedLines, lastStored });
  }

  private constructor(
    appender: Appender,
    options: AppendLinesOptions,
    totals: AppendTotals,
    facts: { lineBytesMax: number; storedLines: number; lastStored: Buffer | undefined },
  ) {
    this.#appender = appender;
    totals.follow(appender);
    this.#options = options;
    this.#totals = totals;
    this.#lineBytesMax = facts.lineBytesMax;
    this.#storedLines = facts.storedLines;
    this.#lastStored = facts.lastStored;
  }

  /** @param toEnd whether an incomplete last line is a record once the source ends */
  async appendSource(source: Source, toEnd: boolean): Promise<void> {
    const splitter = new LineSplitter(this.#lineBytesMax);
    let lineOfSource = 0;
    const take = async (): Promise<void> => {
      lineOfSource += 1;
      if (splitter.oversizeBytes > 0)
        throw tooLong(source.name, lineOfSource, splitter.oversizeBytes, this.#lineBytesMax);
      if (this.#appender.full) await this.#appender.ready();
      this.#line(splitter, source.name, lineOfSource);
    };
    for await (const event of source.events(this.#options.signal)) {
      if (event === 'end-of-line') {
        if (splitter.finish()) await take();
        lineOfSource = 0;
        continue;
      }
      this.#totals.readBytes += event.length;
      splitter.push(event);
      while (splitter.next()) {
        // The usual case without a promise a line.
        if (this.#appender.full || splitter.oversizeBytes > 0) await take();
        else this.#line(splitter, source.name, (lineOfSource += 1));
      }
    }
    if (toEnd && !this.#options.signal.aborted) {
      if (splitter.finish()) await take();
    } else this.#totals.leftBytes += splitter.incompleteBytes;
  }

  /** All at once: each goes on for ever, so one after another would never come to the second. */
  async appendTogether(sources: readonly Source[]): Promise<void> {
    await Promise.all(sources.map((source) => this.appendSource(source, false)));
  }

  /** The sources must hold at least what the producer has appended; otherwise they are not what it was used for. */
  checkAllSkipped(): void {
    if (this.#lines >= this.#storedLines || this.#options.signal.aborted) return;
    throw mismatch(
      this.#options.producerId ?? '',
      `it has appended ${this.#storedLines} lines, and the input has only ${this.#lines}`,
    );
  }

  async close(failure: unknown): Promise<void> {
    try {
      await this.#appender.close();
    } catch (error) {
      // The server's refusal is the cause of whatever came after it.
      failure = isLogboomError(error) || failure === undefined ? error : failure;
    }
    if (failure !== undefined) throw failure as Error;
  }

  #line(splitter: LineSplitter, sourceName: string, lineOfSource: number): void {
    const { buffer, start, end } = splitter;
    this.#lines += 1;
    if (this.#lines <= this.#storedLines) {
      this.#totals.skipped += 1;
      const isLast = this.#lines === this.#storedLines;
      if (isLast && this.#lastStored && buffer.compare(this.#lastStored, 0, this.#lastStored.length, start, end) !== 0)
        throw mismatch(
          this.#options.producerId ?? '',
          `line ${lineOfSource} of ${sourceName} differs from what it appended last`,
        );
      return;
    }
    this.#appender.enqueueBytes(buffer, start, end);
  }
}

/** The value at `seq`; undefined when retention has deleted it. */
async function storedValue(client: LogboomClient, stream: string, seq: number): Promise<Buffer | undefined> {
  try {
    const page = await client.readPage(stream, { fromSeq: seq, limit: 1 });
    for (const record of page) return Buffer.from(record.value);
    return undefined;
  } catch (error) {
    if (isLogboomError(error, 'RECORD_TRIMMED')) return undefined;
    throw error;
  }
}

function tooLong(source: string, line: number, bytes: number, limit: number): CommandError {
  return new CommandError(
    'LINE_TOO_LONG',
    `line ${line} of ${source} has ${bytes} bytes, the limit is ${limit}; everything before it was appended, nothing from it on`,
    'Cut the line, or raise limits.recordBytes of the server.',
  );
}

function mismatch(producerId: string, what: string): CommandError {
  return new CommandError(
    'PRODUCER_MISMATCH',
    `the input does not go on where producer ${producerId} stopped: ${what}; nothing was appended`,
    'Was the file rotated? Give all files from the first on, in order, or use another --producer ID for this input.',
  );
}
