import type { Http2Stream } from 'node:http2';
import { LinkFormatError, type EncodedFrame, type Frame, type FrameAssembler } from '../frame.js';

/**
 * Writes frames in one go; calls back when the connection has taken them. Answers false when the caller should wait for
 * that before it writes more.
 */
export function writeFrames(stream: Http2Stream, frames: readonly EncodedFrame[], onTaken?: () => void): boolean {
  const chunks = frames.flatMap((frame) => frame.chunks);
  let hasRoom = true;
  stream.cork();
  for (const [index, chunk] of chunks.entries()) {
    const isLast = index === chunks.length - 1;
    hasRoom = isLast && onTaken !== undefined ? stream.write(chunk, onTaken) : stream.write(chunk);
  }
  stream.uncork();
  return hasRoom;
}

/** Resolves when the stream takes more, or is closed. */
export function roomIn(stream: Http2Stream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed || stream.destroyed) return resolve();
    const finish = (): void => {
      stream.off('drain', finish);
      stream.off('close', finish);
      resolve();
    };
    stream.on('drain', finish);
    stream.on('close', finish);
  });
}

/**
 * The first frame of a stream; rejects with what `assembler` refuses, or when the stream ends first. Whatever comes
 * after it is read and ignored, so that the end of the stream shows.
 */
export function readFirstFrame(stream: Http2Stream, assembler: FrameAssembler): Promise<Frame> {
  return new Promise((resolve, reject) => {
    const finish = (work: () => void): void => {
      stream.off('data', onData);
      stream.off('end', onEnd);
      stream.off('close', onEnd);
      stream.resume();
      work();
    };
    const onData = (chunk: Buffer): void => {
      try {
        const [frame] = assembler.push(chunk);
        if (frame !== undefined) finish(() => resolve(frame));
      } catch (error) {
        finish(() => reject(error instanceof Error ? error : new Error(String(error))));
      }
    };
    const onEnd = (): void => reject(new LinkFormatError('truncated', 'the stream ended without a whole frame'));
    stream.on('data', onData);
    stream.once('end', onEnd);
    stream.once('close', onEnd);
  });
}

/** The frames of a stream one by one; nothing more is read from it than what is asked for, but for the last chunk. */
export class FrameReader {
  readonly #stream: Http2Stream;
  #frames: Frame[] = [];
  #failure: Error | undefined;
  #hasEnded = false;
  #isDiscarding = false;
  #wake: (() => void) | undefined;

  constructor(stream: Http2Stream, assembler: FrameAssembler) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => this.#take(assembler, chunk));
    stream.on('error', (error) => this.fail(error));
    for (const event of ['end', 'close']) {
      stream.on(event, () => {
        this.#hasEnded = true;
        this.#wake?.();
      });
    }
  }

  /** The next frame; undefined at the end. Rejects with what broke the stream, or was given to `fail`. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const frame = this.#frames.shift();
      if (frame !== undefined || this.#hasEnded) return frame;
      this.#stream.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Ends the reading. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.discard();
    this.#wake?.();
  }

  /** What still comes is thrown away, so that the stream can end. Nothing may be asked for afterwards. */
  discard(): void {
    this.#isDiscarding = true;
    this.#frames = [];
    this.#stream.resume();
  }

  #take(assembler: FrameAssembler, chunk: Buffer): void {
    if (this.#isDiscarding) return;
    try {
      this.#frames.push(...assembler.push(chunk));
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.#frames.length === 0) return;
    this.#stream.pause();
    this.#wake?.();
  }
}
