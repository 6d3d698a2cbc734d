import { describe, expect, it } from 'vitest';
import { keyString } from '../../src/state-store/key-strings.js';

describe('key strings', () => {
  it('have one unit a byte, for keys of every kind and length', () => {
    for (const length of [0, 1, 9, 64, 255, 256, 257, 1000]) {
      const bytes = Array.from({ length }, (_, at) => (at * 37 + 200) % 256);
      const expected = bytes.map((byte) => String.fromCharCode(byte)).join('');
      const padded = Uint8Array.from([7, ...bytes, 7]);
      expect(keyString(Uint8Array.from(bytes))).toBe(expected);
      expect(keyString(Buffer.from(bytes))).toBe(expected);
      expect(keyString(padded.subarray(1, -1))).toBe(expected);
    }
  });

  it('stay as they are when the bytes change, and when another key is asked for', () => {
    const key = Uint8Array.of(1, 2, 3);
    const text = keyString(key);
    key.fill(9);
    expect(keyString(Uint8Array.of(4, 5, 6, 7))).toBe('\u0004\u0005\u0006\u0007');
    expect(text).toBe('\u0001\u0002\u0003');
  });
});
