/**
 * Writes past the page cache (O_DIRECT), for large ones that are seldom read back: what the kernel would copy into fresh
 * pages, write, and keep, the disk takes from memory of this process.
 */
import * as fs from 'node:fs';

/** Of memory, place and length in the file alike; no disk asks for more. */
const blockBytes = 4096;
/** What goes to the disk in one step. */
const stagingBytes = 4 << 20;
/** The log writes a group and fills its next segment at the same time. */
const stagingsKept = 2;

/** TypeScript's ES library leaves it out. */
declare const WebAssembly: {
  readonly Memory: new (descriptor: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};
const wasmPageBytes = 65_536;

/**
 * Node cannot say at which address a buffer lies; the memory of WebAssembly begins at a page of the machine's. Undefined where there
 * is none to be had: it takes gigabytes of addresses, which a limit of the process may not allow.
 */
function makeStaging(): Buffer | undefined {
  const pages = stagingBytes / wasmPageBytes;
  try {
    return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const stagings: Buffer[] = [];

/** The whole blocks within a write: what of it can go past the page cache. */
export function wholeBlocks(position: number, bytes: number): { readonly from: number; readonly to: number } {
  const from = Math.ceil(position / blockBytes) * blockBytes;
  const to = Math.floor((position + bytes) / blockBytes) * blockBytes;
  return { from, to: Math.max(from, to) };
}

/**
 * The same open file once more, for {@link writeBlocks}; undefined where the system or the file system has no such thing. By its
 * descriptor, because its path may belong to another file by now.
 */
export function openUncached(descriptor: number): Promise<number | undefined> {
  // macOS, for one, does not have it.
  const direct = (fs.constants as { readonly O_DIRECT?: number }).O_DIRECT;
  if (direct === undefined) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    fs.open(`/proc/self/fd/${descriptor}`, fs.constants.O_WRONLY | direct, (error, opened) =>
      resolve(error ? undefined : opened),
    );
  });
}

/**
 * Writes whole blocks. Answers how many of their bytes, from the start, are written: fewer than all when the file system takes no
 * more of them like this.
 *
 * @throws NodeJS.ErrnoException
 */
export async function writeBlocks(descriptor: number, bytes: readonly Uint8Array[], position: number): Promise<number> {
  const source = new Source(bytes);
  const staging = stagings.pop() ?? makeStaging();
  if (staging === undefined) return 0;
  let written = 0;
  try {
    while (source.left > 0) {
      const length = source.copyTo(staging);
      const count = await writeOnce(descriptor, staging, length, position + written);
      written += count;
      if (count < length) break;
    }
    return written;
  } finally {
    if (stagings.length < stagingsKept) stagings.push(staging);
  }
}

/** What write(2) answers to those who ask for too much: of alignment, or of the file system. */
const refusals: readonly unknown[] = ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP'];

function writeOnce(descriptor: number, staging: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(descriptor, staging, 0, length, position, (error, count) => {
      if (error === null) resolve(count);
      else if (refusals.includes(error.code)) resolve(0);
      else reject(error);
    });
  });
}

/** Bytes in several pieces, taken from the front. */
class Source {
  readonly #pieces: readonly Uint8Array[];
  #piece = 0;
  #at = 0;
  left: number;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
    this.left = pieces.reduce((total, { length }) => total + length, 0);
  }

  /** Answers how many bytes were copied: as many as are left, or fit. */
  copyTo(target: Buffer): number {
    let copied = 0;
    while (this.left > 0 && copied < target.length) {
      const piece = this.#pieces[this.#piece] as Uint8Array;
      const part = piece.subarray(this.#at, this.#at + target.length - copied);
      target.set(part, copied);
      copied += part.length;
      this.left -= part.length;
      this.#at += part.length;
      if (this.#at < piece.length) continue;
      this.#piece += 1;
      this.#at = 0;
    }
    return copied;
  }
}
