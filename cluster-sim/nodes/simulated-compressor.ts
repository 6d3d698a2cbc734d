/** A codec of the simulator's own under zstd's number: runs of equal bytes, behind the size. Deterministic, and quick. */
import type { Clock } from '../../src/base/ports/clock.js';
import { sleep } from '../../src/base/ports/clock.js';
import { CompressionError, type Codec, type Compressor } from '../../src/base/ports/compressor.js';

const sizeBytes = 4;

export function compressRuns(bytes: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(sizeBytes + 2 * bytes.length);
  let at = out.writeUInt32LE(bytes.length, 0);
  for (let from = 0; from < bytes.length;) {
    let to = from + 1;
    while (to < bytes.length && to - from < 255 && bytes[to] === bytes[from]) to += 1;
    out[at] = to - from;
    out[at + 1] = bytes[from] as number;
    at += 2;
    from = to;
  }
  // A copy, which does not keep what was too much.
  return new Uint8Array(out.subarray(0, at));
}

/** @throws CompressionError */
export function expandRuns(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.length < sizeBytes) throw new CompressionError('no size');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = view.getUint32(0, true);
  if (size > maxBytes) throw new CompressionError(`declares ${size} bytes, at most ${maxBytes} are accepted`);
  const out = new Uint8Array(size);
  let at = 0;
  for (let from = sizeBytes; from + 1 < bytes.length; from += 2) {
    const run = bytes[from] as number;
    if (run === 0 || at + run > size) throw new CompressionError('damaged');
    const byte = bytes[from + 1] as number;
    // Most runs are short: a call of `fill` costs more than they do.
    for (const end = at + run; at < end; at += 1) out[at] = byte;
  }
  if (at !== size) throw new CompressionError('damaged');
  return out;
}

export class SimulatedCompressor implements Compressor {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async compress(_codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
    await sleep(this.#clock, 0.05);
    return compressRuns(bytes);
  }

  async decompress(_codec: Codec, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
    await sleep(this.#clock, 0.05);
    return expandRuns(bytes, maxBytes);
  }
}
