/**
 * The structure of a zstd frame (RFC 8878, section 3.1.1), read without decompressing it.
 *
 * ```
 * frame   magic 28 B5 2F FD | header | blocks | checksum (4, optional)
 * header  descriptor (1) | window (0-1) | dictionary id (0-4) | content size (0-8)
 * block   3 bytes, little-endian: last (bit 0), type (bits 1-2), size (bits 3-23) | content
 * ```
 */
import { CompressionError } from './ports/compressor.js';

const magic = 0xfd2fb528;
const blockBytesMax = 128 * 1024;
const blockType = { raw: 0, rle: 1, compressed: 2, reserved: 3 } as const;

/**
 * Size of the content that the frame declares, after checking that `bytes` are exactly one frame: all of its blocks, and
 * nothing behind them.
 *
 * @throws CompressionError when they are not, or the frame declares no size or needs a dictionary
 */
export function zstdContentBytes(bytes: Uint8Array): number {
  if (bytes.byteLength < 6) throw new CompressionError(`${bytes.byteLength} bytes are too few for a zstd frame`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== magic) throw new CompressionError('no zstd frame: its magic number is missing');
  const header = readHeader(view);
  const end = endOfBlocks(view, header.endsAt, header.contentBytes) + (header.hasChecksum ? 4 : 0);
  if (end !== bytes.byteLength) {
    throw new CompressionError(
      `the zstd frame ends at byte ${end} of ${bytes.byteLength}; exactly one frame is allowed`,
    );
  }
  return header.contentBytes;
}

function readHeader(view: DataView): { contentBytes: number; hasChecksum: boolean; endsAt: number } {
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw new CompressionError('the reserved bit of the zstd frame header is set');
  if ((descriptor & 0x03) !== 0) throw new CompressionError('the zstd frame needs a dictionary');
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  if (sizeBytes === 0) throw new CompressionError('the zstd frame does not declare its content size');
  const at = 5 + (singleSegment ? 0 : 1);
  if (at + sizeBytes > view.byteLength) throw new CompressionError('the zstd frame header is cut short');
  const contentBytes = readSize(view, at, sizeBytes);
  if (!Number.isSafeInteger(contentBytes)) throw new CompressionError('the zstd frame declares an impossible size');
  return { contentBytes, hasChecksum: (descriptor & 0x04) !== 0, endsAt: at + sizeBytes };
}

function readSize(view: DataView, at: number, sizeBytes: number): number {
  if (sizeBytes === 1) return view.getUint8(at);
  // Two bytes count from 256: smaller sizes fit into one.
  if (sizeBytes === 2) return view.getUint16(at, true) + 256;
  if (sizeBytes === 4) return view.getUint32(at, true);
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

function endOfBlocks(view: DataView, start: number, contentBytes: number): number {
  let at = start;
  for (let last = false; !last;) {
    if (at + 3 > view.byteLength) throw new CompressionError('the zstd frame is cut short');
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === blockType.reserved) throw new CompressionError('the zstd frame has a block of a reserved type');
    if (size > blockBytesMax) throw new CompressionError('the zstd frame has a block above the largest size');
    if (type === blockType.raw && size > contentBytes) {
      throw new CompressionError('the zstd frame holds more than the content size it declares');
    }
    at += 3 + (type === blockType.rle ? 1 : size);
  }
  return at;
}

/**
 * A frame of a streaming encoder, which could not know the content size when it wrote the header, with that size put
 * into it: four more bytes, and their flag in the descriptor. The encoder makes frames with a window, without a
 * dictionary and without a size; another one comes back as it is.
 */
export function declareContentBytes(frame: Buffer, contentBytes: number): Buffer {
  const descriptor = frame.readUInt8(4);
  const isPlain = (descriptor & 0b1110_0011) === 0;
  if (!isPlain) return frame;
  const declared = Buffer.allocUnsafe(frame.length + 4);
  frame.copy(declared, 0, 0, 6);
  declared.writeUInt8(descriptor | 0x80, 4);
  declared.writeUInt32LE(contentBytes, 6);
  frame.copy(declared, 10, 6);
  return declared;
}
