const lineFeed = 10;

/**
 * Splits chunks of bytes into lines at each LF, and at nothing else: a CR stays where it is, bytes that are no UTF-8 stay
 * as they are, an empty line is a line, and so is what follows the last LF, once `finish` says that nothing comes any more.
 *
 * Lines are given as ranges of a buffer, so that a fast reader makes no object a line:
 *
 *     splitter.push(chunk);
 *     while (splitter.next()) use(splitter.buffer, splitter.start, splitter.end);
 *
 * A line that goes over chunks is put together up to `lineBytesMax`; of a longer one only the length is counted, and
 * `oversizeBytes` tells it when the line is complete.
 */
export class LineSplitter {
  /** The line that `next` found: `[start, end)` of `buffer`, valid until the next call of `push`. */
  buffer: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  /** Length of the line when it is longer than allowed; otherwise 0. Then there is nothing in `buffer`. */
  oversizeBytes = 0;
  readonly #lineBytesMax: number;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** The beginning of a line whose end has not come, in copies of its own. */
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes of the incomplete line behind the last LF. */
  get incompleteBytes(): number {
    return this.#partBytes;
  }

  /** Gives the next bytes; all lines of the chunk before must have been taken. */
  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** Finds the next complete line; false when the chunk has none any more. */
  next(): boolean {
    const chunk = this.#chunk;
    const from = this.#position;
    if (from >= chunk.length) return false;
    const found = chunk.indexOf(lineFeed, from);
    if (found < 0) {
      this.#keep(chunk, from, chunk.length);
      this.#position = chunk.length;
      return false;
    }
    this.#position = found + 1;
    if (this.#partBytes === 0) this.#take(chunk, from, found);
    else {
      this.#keep(chunk, from, found);
      this.#takeParts();
    }
    return true;
  }

  /** At the end of the input: what follows the last LF; false when nothing does. */
  finish(): boolean {
    if (this.#partBytes === 0) return false;
    this.#takeParts();
    return true;
  }

  #take(buffer: Buffer, start: number, end: number): void {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
    this.oversizeBytes = end - start > this.#lineBytesMax ? end - start : 0;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    this.#partBytes += end - start;
    if (this.#partBytes > this.#lineBytesMax) this.#parts = [];
    else if (end > start) this.#parts.push(Buffer.from(chunk.subarray(start, end)));
  }

  #takeParts(): void {
    const bytes = this.#partBytes;
    if (bytes > this.#lineBytesMax) {
      this.buffer = Buffer.alloc(0);
      this.start = this.end = 0;
      this.oversizeBytes = bytes;
    } else
      this.#take(this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts, bytes), 0, bytes);
    this.#parts = [];
    this.#partBytes = 0;
  }
}
