/** Batch codecs; the numbers are on disk and on the wire (`logboom.v1.Codec`). */
export const Codec = { none: 0, zstd: 1 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

/** Compression off the JavaScript thread. */
export interface Compressor {
  /** Compressed bytes that carry their uncompressed size. */
  compress(codec: Codec, bytes: Uint8Array): Promise<Uint8Array>;
  /**
   * @throws CompressionError when the bytes are damaged, declare no size, or declare more than `maxBytes`; never
   * allocates more than `maxBytes`
   */
  decompress(codec: Codec, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array>;
}

export class CompressionError extends Error {
  override readonly name = 'CompressionError';
}
