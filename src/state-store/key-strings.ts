/** Where short keys of other kinds are turned into strings. */
const scratch = Buffer.allocUnsafeSlow(256);

/** Keys as strings for Map and comparison: one UTF-16 unit a byte, so that strings sort as the bytes do. */
export function keyString(key: Uint8Array): string {
  if (key instanceof Buffer) return key.toString('latin1');
  // A view would give the key a buffer outside of V8's heap, which costs more than all the rest.
  if (key.length <= scratch.length) {
    scratch.set(key);
    return scratch.toString('latin1', 0, key.length);
  }
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
