/**
 * The header of a zstd frame (RFC 8878, 3.1.1.1):
 *
 * ```
 * | magic 4 | descriptor 1 | window 0 or 1 | dictionary id 0 to 4 | content size 0, 1, 2, 4 or 8 | blocks ...
 * ```
 *
 * The descriptor says which of them are there: bits 7 and 6 the size of the content size, bit 5 that there is no window
 * (the frame is one segment), bits 1 and 0 the size of the dictionary id.
 */
const magic = 0xfd2f_b528;
const singleSegmentBit = 0x20;

/** The content size that a frame declares; undefined when the bytes are no frame or it declares none. */
export function zstdContentBytes(bytes: Uint8Array): number | undefined {
  if (bytes.length < 6) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0, true) !== magic) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & singleSegmentBit) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const position = 5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes;
  const sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
  if (sizeBytes === 0 || position + sizeBytes > bytes.length) return undefined;
  switch (sizeBytes) {
    case 1:
      return view.getUint8(position);
    case 2:
      return view.getUint16(position, true) + 256;
    case 4:
      return view.getUint32(position, true);
    default: {
      const size = view.getBigUint64(position, true);
      return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : undefined;
    }
  }
}

/**
 * A frame of a streaming encoder, which could not know the content size when it wrote the header, with that size put
 * into it: four more bytes, and their flag in the descriptor. The encoder makes frames with a window, without a
 * dictionary and without a size; another one comes back as it is.
 */
export function declareContentBytes(frame: Buffer, contentBytes: number): Buffer {
  if (zstdContentBytes(frame) !== undefined) return frame;
  const declared = Buffer.allocUnsafe(frame.length + 4);
  frame.copy(declared, 0, 0, 6);
  declared[4] = (frame[4] as number) | 0x80;
  declared.writeUInt32LE(contentBytes, 6);
  frame.copy(declared, 10, 6);
  return declared;
}
