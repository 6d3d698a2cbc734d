/** Bytes without `Buffer`: allocation, UTF-8, and big-endian integers (so that key order is numeric order). */
const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const slabShareMax = 4096;
const slabBytes = 32 * 1024;
let slab = new ArrayBuffer(slabBytes);
let slabUsed = 0;

/**
 * Zeroed bytes. All but large ones come from a common slab, ten times quicker than with a buffer of their own; they keep the
 * slab alive, which is no waste for values that are made together and dropped together. The shortest V8 would keep on its
 * own heap, until the first one who asks for their buffer, or for a part of them: moving them out then takes longest of all.
 */
export function allocateBytes(length: number): Uint8Array {
  if (length > slabShareMax) return new Uint8Array(length);
  if (slabUsed + length > slabBytes) {
    slab = new ArrayBuffer(slabBytes);
    slabUsed = 0;
  }
  const bytes = new Uint8Array(slab, slabUsed, length);
  slabUsed += length;
  return bytes;
}

const shortText = 128;

/** Short ASCII, which ids and names mostly are, twenty times quicker than by TextEncoder. */
export function encodeUtf8(text: string): Uint8Array {
  const { length } = text;
  if (length > shortText) return utf8Encoder.encode(text);
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return utf8Encoder.encode(text);
    bytes[index] = unit;
  }
  return bytes;
}

/** @throws TypeError on bytes that are not UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  if (bytes.length > shortText) return utf8Decoder.decode(bytes);
  let text = '';
  for (const unit of bytes) {
    if (unit >= 0x80) return utf8Decoder.decode(bytes);
    text += String.fromCharCode(unit);
  }
  return text;
}

export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

export function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    (((bytes[offset] ?? 0) << 24) |
      ((bytes[offset + 1] ?? 0) << 16) |
      ((bytes[offset + 2] ?? 0) << 8) |
      (bytes[offset + 3] ?? 0)) >>>
    0
  );
}

/** `value`: a safe non-negative integer. */
export function writeUint64(bytes: Uint8Array, offset: number, value: number): void {
  writeUint32(bytes, offset, Math.floor(value / 0x1_0000_0000));
  writeUint32(bytes, offset + 4, value >>> 0);
}

/** May be beyond 2^53 - 1 when the bytes are not what `writeUint64` wrote; decoders check. */
export function readUint64(bytes: Uint8Array, offset: number): number {
  const high = readUint32(bytes, offset);
  const low = readUint32(bytes, offset + 4);
  // Not multiplied when it is 0: V8 keeps a product with 2^32 as a floating-point number, whatever it is.
  return high === 0 ? low : high * 0x1_0000_0000 + low;
}
