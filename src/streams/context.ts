/**
 * The records around one record, in the stream or in its producer's own numbering. By position: batches are walked
 * outward from the record, however many there are in between.
 *
 * Bytes are shared between the sides: each may use half of what the record itself leaves, and what the other does not need.
 */
import { LogboomError } from '../base/errors.js';
import type { StateReader } from '../base/state-machine.js';
import { BackwardCursor, ForwardCursor, ProducerCursor, RecordsGone } from './batch-cursor.js';
import type { BatchCursor } from './batch-cursor.js';
import { scanBatchesBackward } from './batch-index.js';
import type { BatchEntry } from './batch-index.js';
import { loadBatches } from './batch-loader.js';
import { readLimits } from './limits.js';
import { inRange, pageBytes } from './read-options.js';
import { compressedSlice, cutPlain, fit, sliceBytes, sliceOverheadBytes } from './slice-cutter.js';
import type { LoadedBatch, SliceCutter, Window } from './slice-cutter.js';
import type { ContextPage, ContextRequest, PageSlice, StreamView } from './types.js';
import { asLsn } from '../base/ids.js';

export interface ContextSource {
  readonly reader: StateReader;
  readonly stream: StreamView;
  readonly cutter: SliceCutter;
}

/** What lies on one side of the record's batch. */
interface Side {
  /** Outward from the record. */
  readonly batches: readonly { readonly batch: LoadedBatch; readonly window: Window }[];
  /** Bytes that they take; exact, because a side gets no more than it needs when the other could use it. */
  readonly bytes: number;
  /** There are more than were asked for. */
  readonly hasMore: boolean;
}

/** The seq lies within the retained stream. @throws RecordsGone, LogboomError PRODUCER_NOT_FOUND, INVALID_ARGUMENT */
export async function readContext(source: ContextSource, request: ContextRequest): Promise<ContextPage> {
  inRange('before', request.before, 0, readLimits.contextRecordsMax);
  inRange('after', request.after, 0, readLimits.contextRecordsMax);
  const bytesMax = pageBytes(request.maxBytes);
  const { entry, batch } = await loadTarget(source, request);
  const at = request.seq - entry.firstSeq;
  const window = { from: Math.max(0, at - request.before), to: Math.min(entry.recordCount, at + request.after + 1) };
  const [down, up] = cursorsAround(source, request, entry);
  const before = await gather(source, down, request.before - (at - window.from), bytesMax, true);
  const after = await gather(source, up, request.after - (window.to - at - 1), bytesMax, false);
  const own = await cutTarget(source.cutter, batch, at, window, bytesMax, { before: before.bytes, after: after.bytes });

  const isDownOpen = own.window.from === window.from;
  const isUpOpen = own.window.to === window.to;
  const slicesBefore = isDownOpen ? await take(source.cutter, before, own.bytesBefore, bytesMax, true) : noSlices;
  const slicesAfter = isUpOpen
    ? await take(source.cutter, after, own.bytesBefore - slicesBefore.bytes + own.bytesAfter, bytesMax, false)
    : noSlices;
  return {
    slices: [...slicesBefore.slices.toReversed(), own.slice, ...slicesAfter.slices],
    beforeCount: at - own.window.from + slicesBefore.records,
    afterCount: own.window.to - at - 1 + slicesAfter.records,
    moreBefore: own.window.from > 0 || slicesBefore.isCut || before.hasMore,
    moreAfter: own.window.to < entry.recordCount || slicesAfter.isCut || after.hasMore,
    stream: source.stream,
  };
}

async function loadTarget(
  source: ContextSource,
  { seq, scope }: ContextRequest,
): Promise<{ entry: BatchEntry; batch: LoadedBatch }> {
  const { reader, stream } = source;
  const [entry] = await scanBatchesBackward(reader, stream.id, 0, seq + 1, 1);
  if (entry === undefined || entry.endSeq <= seq) throw new RecordsGone(seq);
  if (scope === 'producer' && entry.producer === undefined) {
    throw new LogboomError(
      'PRODUCER_NOT_FOUND',
      `Record ${seq} was appended without a producer id; ask for the stream's context.`,
      {
        facts: { seq },
      },
    );
  }
  const ref = {
    lsn: asLsn(entry.lsn),
    firstSeq: entry.firstSeq,
    recordCount: entry.recordCount,
    bytes: entry.storedBytes,
  };
  const [batch] = await loadBatches(reader, stream.id, [ref]);
  if (batch === undefined) throw new RecordsGone(seq);
  return { entry, batch };
}

/** Cursors over the batches below and above the record's own. */
function cursorsAround(
  { reader, stream }: ContextSource,
  { scope }: ContextRequest,
  entry: BatchEntry,
): [BatchCursor, BatchCursor] {
  const { producer, firstSeq, endSeq, recordCount } = entry;
  if (scope === 'stream' || producer === undefined) {
    return [new BackwardCursor(reader, stream, firstSeq, stream.firstSeq), new ForwardCursor(reader, stream, endSeq)];
  }
  return [
    new ProducerCursor(reader, stream, producer.lsn, producer.firstNumber, true),
    new ProducerCursor(reader, stream, producer.lsn, producer.firstNumber + recordCount, false),
  ];
}

/** Batches outward until there are enough records or bytes. */
async function gather(
  source: ContextSource,
  cursor: BatchCursor,
  count: number,
  bytesMax: number,
  isDown: boolean,
): Promise<Side> {
  const batches: { batch: LoadedBatch; window: Window }[] = [];
  let recordsLeft = count;
  let bytes = 0;
  while (recordsLeft > 0 && bytes < bytesMax) {
    const refs = await cursor.take(recordsLeft, bytesMax - bytes);
    if (refs.length === 0) break;
    for (const batch of await loadBatches(source.reader, source.stream.id, refs)) {
      const { recordCount } = batch.records;
      const taken = Math.min(recordsLeft, recordCount);
      const window = isDown ? { from: recordCount - taken, to: recordCount } : { from: 0, to: taken };
      batches.push({ batch, window });
      recordsLeft -= taken;
      bytes += await neededBytes(source.cutter, batch, window, bytesMax);
    }
  }
  const outermost = batches.at(-1);
  const isInside =
    outermost !== undefined && outermost.window.to - outermost.window.from < outermost.batch.records.recordCount;
  return { batches, bytes, hasMore: isInside || (await cursor.hasMore()) };
}

async function neededBytes(
  cutter: SliceCutter,
  batch: LoadedBatch,
  { from, to }: Window,
  bytesMax: number,
): Promise<number> {
  const { payload, uncompressedBytes, recordCount } = batch.records;
  const overhead = sliceOverheadBytes(batch);
  if (cutter.staysCompressed(batch) && overhead + payload.length <= bytesMax) return overhead + payload.length;
  if (to - from === recordCount) return overhead + uncompressedBytes;
  // The outermost batch of a side only. Its records may be of any size.
  const { offsets } = await cutter.plain(batch);
  return overhead + (offsets[to] ?? 0) - (offsets[from] ?? 0);
}

interface OwnSlice {
  readonly slice: PageSlice;
  readonly window: Window;
  /** What is left for the batches on either side. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** The record with as many neighbours of its own batch as its sides' shares allow. */
async function cutTarget(
  cutter: SliceCutter,
  batch: LoadedBatch,
  at: number,
  window: Window,
  bytesMax: number,
  wanted: { readonly before: number; readonly after: number },
): Promise<OwnSlice> {
  if (cutter.staysCompressed(batch)) {
    const slice = compressedSlice(batch, window);
    const bytesLeft = bytesMax - sliceBytes(batch, slice);
    const [bytesBefore, bytesAfter] = share(bytesLeft, wanted.before, wanted.after);
    if (bytesLeft >= 0) return { slice, window, bytesBefore, bytesAfter };
  }
  const plain = await cutter.plain(batch);
  const { offsets } = plain;
  const bytesOf = ({ from, to }: Window): number => (offsets[to] ?? 0) - (offsets[from] ?? 0);
  const down = { from: window.from, to: at };
  const up = { from: at + 1, to: window.to };
  const bytesLeft = Math.max(0, bytesMax - sliceOverheadBytes(batch) - bytesOf({ from: at, to: at + 1 }));
  const [shareDown, shareUp] = share(bytesLeft, wanted.before + bytesOf(down), wanted.after + bytesOf(up));
  const fitDown = fit(offsets, down, shareDown, true, 0);
  // A side that its own batch has cut short leaves what it could not use to the other.
  const isDownCut = fitDown.from > down.from;
  const forUp = isDownCut ? bytesLeft - bytesOf(fitDown) : shareUp;
  const fitUp = fit(offsets, up, forUp, false, 0);
  const forDown = isDownCut ? bytesOf(fitDown) : fitUp.to < up.to ? bytesLeft - bytesOf(fitUp) : shareDown;
  const own = { from: fitDown.from, to: fitUp.to };
  return {
    slice: cutPlain(plain, own),
    window: own,
    bytesBefore: forDown - bytesOf(fitDown),
    bytesAfter: forUp - bytesOf(fitUp),
  };
}

/** Half for each, and what one does not want for the other. */
function share(bytes: number, before: number, after: number): [number, number] {
  const half = Math.floor(bytes / 2);
  const forBefore = Math.min(before, Math.max(half, bytes - after));
  return [forBefore, bytes - forBefore];
}

interface TakenSlices {
  readonly slices: readonly PageSlice[];
  readonly records: number;
  readonly bytes: number;
  /** Some of what was wanted did not fit. */
  readonly isCut: boolean;
}

const noSlices: TakenSlices = { slices: [], records: 0, bytes: 0, isCut: true };

/** Slices outward as far as the bytes reach. */
async function take(
  cutter: SliceCutter,
  side: Side,
  bytesShare: number,
  bytesMax: number,
  fromEnd: boolean,
): Promise<TakenSlices> {
  const slices: PageSlice[] = [];
  let bytesLeft = bytesShare;
  let records = 0;
  for (const { batch, window } of side.batches) {
    // Never the whole of an empty page: the record itself is there already.
    const slice = await cutter.cut(batch, window, { bytesLeft, bytesMax: Math.max(bytesMax, bytesLeft + 1), fromEnd });
    if (slice === undefined) return { slices, records, bytes: bytesShare - bytesLeft, isCut: true };
    slices.push(slice);
    bytesLeft -= sliceBytes(batch, slice);
    records += slice.windowCount;
    if (slice.windowCount < window.to - window.from)
      return { slices, records, bytes: bytesShare - bytesLeft, isCut: true };
  }
  return { slices, records, bytes: bytesShare - bytesLeft, isCut: false };
}
