/** Tokens by their digests. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { TokenEntry } from './tokens-file.js';

export const digestOf = (token: string): Buffer => hash('sha256', token, 'buffer');

/** A new token: 256 random bits, behind a word by which scanners for secrets know it. */
export const newToken = (): string => `logboom_${randomBytes(32).toString('base64url')}`;

interface Known {
  readonly entry: TokenEntry;
  readonly digest: Buffer;
}

/** Hexadecimal digits of a digest by which entries are found. */
const keyDigits = 16;

/**
 * Finds the entry of a token without telling, by the time it takes, how near a guess was. A part of the digest finds the
 * candidates, and the whole of it is compared in constant time. What the time of the look-up could tell is whether that
 * part occurs: nobody can choose a digest, and knowing all of one does not help to find its token, which has 256 random
 * bits.
 */
export class TokenTable {
  readonly size: number;
  readonly #known = new Map<string, Known[]>();

  constructor(entries: readonly TokenEntry[]) {
    this.size = entries.length;
    for (const entry of entries) {
      const key = entry.sha256.slice(0, keyDigits);
      const known = { entry, digest: Buffer.from(entry.sha256, 'hex') };
      this.#known.set(key, [...(this.#known.get(key) ?? []), known]);
    }
  }

  find(token: string): TokenEntry | undefined {
    return this.findDigest(digestOf(token));
  }

  findDigest(digest: Buffer): TokenEntry | undefined {
    let found: TokenEntry | undefined;
    for (const known of this.#known.get(digest.toString('hex', 0, keyDigits / 2)) ?? []) {
      if (timingSafeEqual(known.digest, digest)) found = known.entry;
    }
    return found;
  }
}
