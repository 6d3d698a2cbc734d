/** Responses of the hot methods, written to the wire; payloads are copied once, into the message that goes out. */
import { ProtobufWriter } from '../../base/protobuf.js';
import { errorRegistry } from '../../base/errors.js';
import { boundedFacts, boundedText } from './status.js';
import type { LogboomError } from '../../base/errors.js';
import type { AppendedResult, ContextPage, Page, PageSlice } from '../../streams/index.js';

const durabilityQuorumSynced = 1;
const pageEnd = { limit: 1, stream: 2 } as const;

/** As grpc-js wants its messages, without a copy. */
function toBuffer(writer: ProtobufWriter): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function appendResponse(result: AppendedResult): ProtobufWriter {
  const writer = new ProtobufWriter()
    .uint64(1, result.firstSeq)
    .uint64(2, result.lastSeq)
    .uint64(3, result.streamEpoch)
    .uint64(4, result.lsn)
    .int64(5, Math.floor(result.appendTimeMs))
    .uint64(6, durabilityQuorumSynced);
  return result.repeated ? writer.bool(7, true) : writer;
}

export function encodeAppendResponse(result: AppendedResult): Buffer {
  return toBuffer(appendResponse(result));
}

/** `requestId` is the varint of the request, which goes back as it came. */
export function encodeAppendSessionOk(requestId: Uint8Array, result: AppendedResult): Buffer {
  return withRequestId(requestId, new ProtobufWriter().message(2, appendResponse(result)));
}

export function encodeAppendSessionError(requestId: Uint8Array, error: LogboomError): Buffer {
  const { status, retryable } = errorRegistry[error.reason];
  const writer = new ProtobufWriter().int64(1, status).string(2, boundedText(error.message)).string(3, error.reason);
  for (const [name, value] of boundedFacts(error)) {
    writer.message(4, new ProtobufWriter().string(1, name).string(2, value));
  }
  if (retryable) writer.bool(5, true);
  if (error.retryAfterMs !== undefined) writer.uint64(6, Math.max(1, Math.ceil(error.retryAfterMs)));
  return withRequestId(requestId, new ProtobufWriter().message(3, writer));
}

function withRequestId(requestId: Uint8Array, rest: ProtobufWriter): Buffer {
  const tag = Uint8Array.of(8);
  return Buffer.concat([tag, requestId, rest.finish()]);
}

function writeSlices(writer: ProtobufWriter, slices: readonly PageSlice[]): ProtobufWriter {
  for (const slice of slices) writer.message(1, sliceWriter(slice));
  return writer;
}

function sliceWriter(slice: PageSlice): ProtobufWriter {
  const batch = new ProtobufWriter();
  if (slice.codec !== 0) batch.uint64(1, slice.codec);
  batch
    .uint64(2, slice.recordCount)
    .uint64(3, slice.uncompressedBytes)
    .bytes(slice.codec === 0 ? 4 : 5, slice.payload);
  const writer = new ProtobufWriter()
    .uint64(1, slice.firstSeq)
    .int64(2, Math.floor(slice.appendTimeMs))
    .uint64(3, slice.lsn)
    .message(4, batch)
    .uint64(5, slice.windowOffset)
    .uint64(6, slice.windowCount);
  if (slice.producer) {
    const { id, epoch, firstRecordNumber } = slice.producer;
    writer.message(7, new ProtobufWriter().string(1, id).uint64(2, epoch).uint64(3, firstRecordNumber));
  }
  return writer;
}

export function encodeReadResponse(page: Page): Buffer {
  const writer = writeSlices(new ProtobufWriter(), page.slices)
    .uint64(2, page.recordCount)
    .string(3, page.nextPageToken)
    .uint64(4, pageEnd[page.end])
    .uint64(5, page.stream.firstSeq)
    .uint64(6, page.stream.nextSeq)
    .uint64(7, page.stream.epoch);
  return toBuffer(writer);
}

export function encodeTailResponse(page: Page): Buffer {
  const writer = writeSlices(new ProtobufWriter(), page.slices)
    .uint64(2, page.recordCount)
    .string(3, page.nextPageToken)
    .uint64(4, page.stream.firstSeq)
    .uint64(5, page.stream.nextSeq)
    .uint64(6, page.stream.epoch);
  return toBuffer(writer);
}

export function encodeGetContextResponse(page: ContextPage): Buffer {
  const writer = writeSlices(new ProtobufWriter(), page.slices)
    .uint64(2, page.beforeCount)
    .uint64(3, page.afterCount)
    .bool(4, page.moreBefore)
    .bool(5, page.moreAfter)
    .uint64(6, page.stream.firstSeq)
    .uint64(7, page.stream.nextSeq)
    .uint64(8, page.stream.epoch);
  return toBuffer(writer);
}
