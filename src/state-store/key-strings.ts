/** Keys as strings for Map and comparison: one UTF-16 unit a byte, so that strings sort as the bytes do. */
export function keyString(key: Uint8Array): string {
  const buffer = key instanceof Buffer ? key : Buffer.from(key.buffer, key.byteOffset, key.length);
  return buffer.toString('latin1');
}
