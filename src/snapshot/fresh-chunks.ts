import type { Clock } from '../base/ports/clock.js';
import type { ManifestChunk } from './types.js';

export interface FreshChunk {
  readonly chunk: ManifestChunk;
  /** Monotonic; it was not there before. */
  readonly uploadedMs: number;
}

/**
 * Chunks that this process has uploaded and that no manifest names yet, by the hash of their content: what a repetition
 * after a failure does not upload again. Only those are kept that are young enough for a manifest to come in time.
 */
export class FreshChunks {
  readonly #clock: Clock;
  readonly #ageMsMax: number;
  readonly #chunks = new Map<string, FreshChunk>();

  constructor({ clock, graceMs }: { clock: Clock; graceMs: number }) {
    this.#clock = clock;
    this.#ageMsMax = graceMs / 4;
  }

  get(sha256: string): FreshChunk | undefined {
    const fresh = this.#chunks.get(sha256);
    if (fresh === undefined || this.#clock.monotonicMs() - fresh.uploadedMs < this.#ageMsMax) return fresh;
    this.#chunks.delete(sha256);
    return undefined;
  }

  add(sha256: string, chunk: ManifestChunk, uploadedMs: number): void {
    this.#chunks.set(sha256, { chunk, uploadedMs });
  }

  /** They are in a manifest, or not to be trusted. */
  forget(): void {
    this.#chunks.clear();
  }
}
