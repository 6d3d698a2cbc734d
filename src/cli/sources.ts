import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CommandError } from './failure.js';

/** What a source tells besides bytes: `end-of-line` ends an incomplete line although no LF came. */
export type SourceEvent = Buffer | 'end-of-line';

/** Bytes to be split into lines. */
export interface Source {
  /** For messages. */
  readonly name: string;
  /** Undefined when it is not known how much will come. */
  readonly totalBytes: number | undefined;
  /** A chunk is valid until the next one is asked for. */
  events(signal: AbortSignal): AsyncIterable<SourceEvent>;
}

const chunkBytes = 256 * 1024;

/** Checks that a file can be read, before anything is appended. */
export async function fileSource(path: string, options: FollowOptions | undefined): Promise<Source> {
  const facts = await stat(path);
  if (facts.isDirectory()) throw new CommandError('EISDIR', `${path} is a directory`, 'Give the files in it.');
  await (await open(path, 'r')).close();
  const totalBytes = facts.isFile() && !options ? facts.size : undefined;
  return {
    name: path,
    totalBytes,
    events: (signal) => (options ? followFile(path, options, signal) : readFile(path, signal)),
  };
}

export function streamSource(name: string, stream: Readable): Source {
  return {
    name,
    totalBytes: undefined,
    async *events(signal) {
      const onAbort = (): void => void stream.destroy();
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        for await (const chunk of stream) {
          if (signal.aborted) return;
          yield typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
  };
}

async function* readFile(path: string, signal: AbortSignal): AsyncGenerator<SourceEvent> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafeSlow(chunkBytes);
    for (;;) {
      if (signal.aborted) return;
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

export interface FollowOptions {
  /** How often the file is looked at. */
  readonly pollMs: number;
  /** Told when the file was replaced or cut, and when it is gone for now. */
  readonly onNotice: (message: string) => void;
}

/**
 * The bytes of a file from its beginning, and what is written to it until `signal` aborts.
 *
 * - Renamed and made anew (as logrotate does): the old file is read to its end, and once more after the new one was seen,
 *   then the new one from its beginning.
 * - Cut (copytruncate): what was written between the last look and the cut is lost to any reader; the file is read from
 *   its beginning again. Noticed by a size below what was read.
 * - Gone: waits for it to come back.
 *
 * An incomplete last line ends with its file; otherwise it waits for its LF.
 */
async function* followFile(path: string, options: FollowOptions, signal: AbortSignal): AsyncGenerator<SourceEvent> {
  let file: FileHandle = await open(path, 'r');
  let inode = (await file.stat()).ino;
  let position = 0;
  let gone = false;
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  try {
    while (!signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead > 0) {
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
        continue;
      }
      const facts = await stat(path).catch(() => undefined);
      if (!facts) {
        if (!gone) options.onNotice(`${path} is gone; waiting for it to come back`);
        gone = true;
      } else if (facts.ino !== inode) {
        const next: FileHandle = await open(path, 'r');
        // Whoever had the old file open may have written to it until the new one was there.
        for (;;) {
          const { bytesRead: rest } = await file.read(buffer, 0, buffer.length, position);
          if (rest === 0) break;
          position += rest;
          yield buffer.subarray(0, rest);
        }
        await file.close();
        file = next;
        inode = (await file.stat()).ino;
        position = 0;
        gone = false;
        options.onNotice(`${path} was replaced; going on with the new file`);
        yield 'end-of-line';
        continue;
      } else if (facts.size < position) {
        position = 0;
        options.onNotice(`${path} was cut; going on from its beginning`);
        yield 'end-of-line';
        continue;
      }
      await wait(options.pollMs, signal);
    }
  } finally {
    await file.close();
  }
}

function wait(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, delayMs);
    signal.addEventListener('abort', finish, { once: true });
  });
}
