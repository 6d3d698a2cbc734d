/** Randomness, real or simulated. Never for secrets. */
export interface Random {
  /** Uniform in [0, 2^32). */
  nextUint32(): number;
}

/** Uniform in [0, bound); `bound` is an integer in [1, 2^32]. The modulo bias is below 2^-10 for every bound under 2^22. */
export function nextInteger(random: Random, bound: number): number {
  return random.nextUint32() % bound;
}

/** Uniform in [1, 2^53): an identity that is new with overwhelming probability, such as an incarnation or a stream epoch. */
export function nextIdentity(random: Random): number {
  const high = random.nextUint32() & 0x1f_ffff;
  return high * 0x1_0000_0000 + random.nextUint32() || 1;
}
