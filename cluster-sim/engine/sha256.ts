import { createHash } from 'node:crypto';

/** In hex, over the parts one after another. Part of the simulated world, which may use what is pure of Node. */
export class Sha256 {
  readonly #hash = createHash('sha256');

  add(part: Uint8Array | string): this {
    this.#hash.update(part);
    return this;
  }

  /** Once. */
  digest(): string {
    return this.#hash.digest('hex');
  }
}
