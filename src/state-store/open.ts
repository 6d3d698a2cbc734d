import { assert, InvariantViolation } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { Lsn } from '../base/ids.js';
import { defaultStateStoreSizes, type StateStoreOptions } from './options.js';
import { type OrderedStore, StoreCorruption } from './ordered-store.js';
import {
  type AppliedMark,
  decodeMark,
  emptyMark,
  endOfDeletionKeys,
  endOfKeys,
  firstDeletionKey,
  lsnOfDeletionKey,
  markKey,
  recordsKey,
  replaceAdvice,
  startOfKeys,
  unsealed,
} from './sealed-values.js';
import { PairedStateStore } from './state-store.js';
import type { StateStore } from './types.js';

/**
 * Opens the state of a replica as of its last flush, or an empty one.
 *
 * @throws LogboomError STATE_STORE_CORRUPT when the databases do not fit each other or are damaged: the replica must be
 * replaced; STATE_STORE_FAILED when they cannot be opened (a full disk, a lock, too many files)
 */
export async function openStateStore(options: StateStoreOptions): Promise<StateStore> {
  const { directory, provider } = options;
  const sizes = options.sizes ?? defaultStateStoreSizes;
  assert(
    sizes.indexMemtableBytesMax < sizes.index.writeBufferBytes,
    () =>
      `the index is flushed at ${sizes.indexMemtableBytesMax} bytes, its memtable flushes itself at ${sizes.index.writeBufferBytes}`,
  );
  const opened: OrderedStore[] = [];
  try {
    const records = await provider.open(`${directory}/records`, sizes.records);
    opened.push(records);
    const index = await provider.open(`${directory}/index`, sizes.index);
    opened.push(index);
    const mark = await readMark(records, index, options);
    return new PairedStateStore({
      records,
      index,
      mark,
      deletions: await readDeletions(index, options),
      sizes,
      options,
    });
  } catch (error) {
    await Promise.allSettled(opened.map((store) => store.close()));
    throw openingError(directory, error);
  }
}

function openingError(directory: string, error: unknown): unknown {
  if (error instanceof LogboomError || error instanceof InvariantViolation) return error;
  if (error instanceof StoreCorruption) {
    const message = `the state store in ${directory} is damaged: ${error.message}. ${replaceAdvice}`;
    return new LogboomError('STATE_STORE_CORRUPT', message, { facts: { directory }, cause: error });
  }
  const message = `the state store in ${directory} cannot be opened: ${String(error)}`;
  return new LogboomError('STATE_STORE_FAILED', message, { facts: { directory }, cause: error });
}

/**
 * The mark of the index, checked against the records. Records become durable in LSN order, so when the newest one that
 * the index counts on is there, all are.
 */
async function readMark(
  records: OrderedStore,
  index: OrderedStore,
  { directory, crc32 }: StateStoreOptions,
): Promise<AppliedMark> {
  const sealed = index.get(markKey);
  if (sealed === undefined) {
    const [entry] = await index.scan({ from: startOfKeys, to: endOfKeys, limit: 1 });
    if (entry === undefined) return emptyMark;
    throw new LogboomError(
      'STATE_STORE_CORRUPT',
      `the state store in ${directory} has an index without its applied LSN: an import was not finished, or the mark was lost. ${replaceAdvice}`,
      { facts: { directory } },
    );
  }
  const value = unsealed(crc32, markKey, sealed);
  if (value === undefined) {
    throw new LogboomError(
      'STATE_STORE_CORRUPT',
      `the applied LSN of the state store in ${directory} fails its checksum. ${replaceAdvice}`,
      {
        facts: { directory },
      },
    );
  }
  const mark = decodeMark(value);
  if (mark.lastRecordsLsn > 0 && records.get(recordsKey(mark.lastRecordsLsn)) === undefined) {
    throw new LogboomError(
      'STATE_STORE_CORRUPT',
      `the state store in ${directory} does not fit together: its index is at LSN ${mark.appliedLsn} and points to the records of ` +
        `LSN ${mark.lastRecordsLsn}, which the records database does not have. One of the two was restored or deleted alone, or the disk ` +
        `lost writes that it had confirmed. ${replaceAdvice}`,
      { facts: { directory, appliedLsn: mark.appliedLsn, missingRecordsLsn: mark.lastRecordsLsn } },
    );
  }
  return mark;
}

/** Requests of physical deletions. Their checksums matter: a key that rotted would delete what is still needed. */
async function readDeletions(index: OrderedStore, { crc32 }: StateStoreOptions): Promise<Lsn[]> {
  const entries = await index.scan({ from: firstDeletionKey, to: endOfDeletionKeys, limit: deletionsLoadedMax });
  const sound = entries.filter(({ key, value }) => unsealed(crc32, key, value) !== undefined);
  return sound.map(({ key }) => lsnOfDeletionKey(key)).filter((lsn) => lsn !== undefined);
}

/** Those beyond are found at the next open, when these are gone. */
const deletionsLoadedMax = 131_072;
