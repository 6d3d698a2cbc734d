/** Builds what is kept in memory from the stored state. */
import type { IndexEntry, StateReader } from '../base/state-machine.js';
import type { ClearingWork } from './clearing-work.js';
import { decodeBatchValue, decodeNumberValue, decodeStreamValue } from './index-values.js';
import { entryTimeKey, keyFirstSeq, Keyspace, keyspaceRange, keyStreamId, streamRange } from './keys.js';
import type { StreamState, StreamTable } from './stream-table.js';

const scanLimit = 1000;
/** Streams whose newest batch is looked up at the same time. */
const concurrency = 64;

/** Fills the tables and answers the entry time. */
export async function loadStreams(reader: StateReader, streams: StreamTable, clearing: ClearingWork): Promise<number> {
  const stored = reader.getIndex(entryTimeKey);
  let entryTimeMs = stored === undefined ? 0 : decodeNumberValue(stored);
  await forEachEntry(reader, Keyspace.cleared, async (entries) => {
    for (const { key, value } of entries) clearing.clearedBelow(keyStreamId(key), decodeNumberValue(value));
  });
  await forEachEntry(reader, Keyspace.stream, async (entries) => {
    for (let from = 0; from < entries.length; from += concurrency) {
      const loaded = await Promise.all(
        entries.slice(from, from + concurrency).map((entry) => loadStream(reader, entry)),
      );
      for (const stream of loaded) {
        streams.add(stream);
        if (stream.firstSeq > 0) clearing.firstSeqSet(0, stream.id, stream.firstSeq);
        entryTimeMs = Math.max(entryTimeMs, stream.lastAppendMs);
      }
    }
  });
  await forEachEntry(reader, Keyspace.deletedStream, async (entries) => {
    for (const { key } of entries) clearing.streamDeleted(0, keyStreamId(key));
  });
  return entryTimeMs;
}

/** The stored stream, brought up to its newest batch. */
async function loadStream(reader: StateReader, entry: IndexEntry): Promise<StreamState> {
  const id = keyStreamId(entry.key);
  const state = { id, ...decodeStreamValue(entry.value) };
  const [newest] = await reader.scanIndex({ ...streamRange(Keyspace.batch, id), reverse: true, limit: 1 });
  if (newest === undefined) return state;
  const firstSeq = keyFirstSeq(newest.key);
  if (firstSeq < state.nextSeq) return state;
  const batch = decodeBatchValue(newest.value);
  state.nextSeq = firstSeq + batch.recordCount;
  state.bytesThrough = batch.bytesThrough;
  state.lastAppendMs = batch.appendTimeMs;
  return state;
}

async function forEachEntry(
  reader: StateReader,
  keyspace: (typeof Keyspace)[keyof typeof Keyspace],
  visit: (entries: IndexEntry[]) => Promise<void>,
): Promise<void> {
  const { from, to } = keyspaceRange(keyspace);
  for (let start = from; ;) {
    const entries = await reader.scanIndex({ from: start, to, limit: scanLimit });
    await visit(entries);
    const last = entries.at(-1);
    if (last === undefined || entries.length < scanLimit) return;
    start = new Uint8Array(last.key.length + 1);
    start.set(last.key);
  }
}
