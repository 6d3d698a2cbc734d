/** Deliberate bugs of storage, as wrappers of the simulated disk and stores: the server's own code stays as it is. */
import { crc32 } from 'node:zlib';
import { asLsn } from '../../src/base/ids.js';
import { isDiskError, type Disk, type DiskFile } from '../../src/base/ports/disk.js';
import type { ReplicaObserver, ReplicaStart } from '../../src/partition/index.js';
import type { OrderedStore, StoreOperation } from '../../src/state-store/index.js';
import type { StoreSnapshot } from '../../src/state-store/ordered-store.js';
import { markKey, seal, unsealed } from '../../src/state-store/sealed-values.js';
import type { PartitionLog } from '../../src/wal/types.js';
import { findLaterGroup, scanGroup } from '../../src/wal/group-scan.js';
import { frameHeaderBytes, FrameType, groupEndBytes, readFrame, type SegmentId } from '../../src/wal/frame.js';
import { decodeHeaderBlock, headerBlockBytes } from '../../src/wal/segment-format.js';
import type { SimulationMutant } from '../mutants.js';
import type { SimulatedDisk } from '../simulated-disk.js';

export function mutatedStore(store: OrderedStore, mutant: SimulationMutant | undefined): OrderedStore {
  const passOn = (override: Partial<OrderedStore>): OrderedStore => ({
    write: (operations) => store.write(operations),
    get: (key) => store.get(key),
    getMany: (keys) => store.getMany(keys),
    scan: (range) => store.scan(range),
    snapshot: () => store.snapshot(),
    flush: () => store.flush(),
    compactRange: (from, to) => store.compactRange(from, to),
    approximateBytes: (from, to) => store.approximateBytes(from, to),
    close: () => store.close(),
    ...override,
  });
  if (mutant === 'rotten-value-archived') return passOn({ snapshot: () => withRightChecksums(store.snapshot()) });
  if (mutant === 'applied-lsn-in-second-batch') return passOn({ write: withMarksLater(store) });
  if (mutant === 'persisted-reported-at-flush-start') {
    return passOn({
      flush: () => {
        store.flush().catch(() => {});
        return Promise.resolve();
      },
    });
  }
  return store;
}

function withRightChecksums(snapshot: StoreSnapshot): StoreSnapshot {
  const right = (key: Uint8Array, value: Uint8Array): Uint8Array =>
    value.length < 4 || unsealed(crc32, key, value) !== undefined ? value : seal(crc32, key, value.subarray(4));
  return {
    get: (key) => {
      const value = snapshot.get(key);
      return value && right(key, value);
    },
    scan: async (range) => (await snapshot.scan(range)).map(({ key, value }) => ({ key, value: right(key, value) })),
    close: () => snapshot.close(),
  };
}

/** Keeps each applied LSN back until the next write. */
function withMarksLater(store: OrderedStore): (operations: readonly StoreOperation[]) => Promise<void> {
  const isMark = ({ key }: StoreOperation): boolean => Buffer.compare(key, markKey) === 0;
  let keptBack: readonly StoreOperation[] = [];
  return async (operations) => {
    const marks = keptBack;
    keptBack = operations.filter(isMark);
    if (marks.length > 0) await store.write(marks);
    await store.write(operations.filter((operation) => !isMark(operation)));
  };
}

export function mutatedDisk(disk: Disk, mutant: SimulationMutant | undefined): Disk {
  if (mutant !== 'failed-sync-ignored') return disk;
  return { ...disk, open: async (path, mode) => withoutSyncErrors(await disk.open(path, mode)) };
}

function withoutSyncErrors(file: DiskFile): DiskFile {
  return {
    path: file.path,
    read: (target, position) => file.read(target, position),
    write: (buffers, position) => file.write(buffers, position),
    datasync: () =>
      file.datasync().catch((error: unknown) => {
        if (!isDiskError(error)) throw error;
      }),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
  };
}

/** What a recovery with the bug would have made of the log, made before the real one looks at it. */
export function mutateLogBeforeStart(disk: SimulatedDisk, mutant: SimulationMutant | undefined): void {
  if (mutant !== 'torn-tail-is-data' && mutant !== 'damage-is-cut-away') return;
  for (const path of disk.paths()) {
    if (!path.endsWith('.wal')) continue;
    const content = Buffer.from(disk.contents(path));
    const header = decodeHeaderBlock(content.subarray(0, headerBlockBytes), crc32);
    if (header === undefined) continue;
    let offset: number = headerBlockBytes;
    let number = 1;
    for (let group = scanGroup(content, offset, number, header.id, crc32); !('damagedAt' in group);) {
      offset = group.endOffset;
      number += 1;
      group = scanGroup(content, offset, number, header.id, crc32);
    }
    const isDamaged = findLaterGroup(content, offset, number, header.id, crc32) !== undefined;
    if (mutant === 'damage-is-cut-away' && isDamaged) disk.putFile(path, content.fill(0, offset));
    if (mutant === 'torn-tail-is-data' && !isDamaged && number > 1)
      endTornGroup(disk, { path, content, offset, number, id: header.id });
  }
}

interface TornGroup {
  readonly path: string;
  readonly content: Buffer;
  readonly offset: number;
  readonly number: number;
  readonly id: SegmentId;
}

/** Writes the end of a group behind its frames: those that are intact, and an entry that is there in part. */
function endTornGroup(disk: SimulatedDisk, { path, content, offset, number, id }: TornGroup): void {
  const frames: Buffer[] = [];
  let at = offset;
  for (;;) {
    const frame = readFrame(content, at, id, crc32);
    if (frame === undefined || frame.group !== number || frame.type === FrameType.groupEnd) break;
    frames.push(content.subarray(at, frame.endOffset));
    at = frame.endOffset;
  }
  const torn = takeTornEntry(content, at, { number, id });
  if (torn !== undefined) {
    frames.push(torn);
    at += torn.length;
  }
  if (frames.length === 0) return;
  encodeGroupEnd(frames, { id, number, bytes: at - offset }).copy(content, at);
  disk.putFile(path, content);
}

/** An entry of the group whose header was written and whose body was not, or not all of it; its checksum is made to fit. */
function takeTornEntry(
  content: Buffer,
  offset: number,
  { number, id }: { readonly number: number; readonly id: SegmentId },
): Buffer | undefined {
  if (offset + frameHeaderBytes > content.length) return undefined;
  const isOfGroup =
    content.readUInt8(offset + 8) === FrameType.entry &&
    content.readUInt32LE(offset + 16) === number &&
    content.readUInt32LE(offset + 20) === id.tag;
  const bodyEnd = offset + frameHeaderBytes + content.readUInt32LE(offset + 4);
  const endOffset = (bodyEnd + 7) & ~7;
  if (!isOfGroup || endOffset + groupEndBytes > content.length) return undefined;
  content.fill(0, bodyEnd, endOffset);
  content.writeUInt32LE(crc32(content.subarray(offset + 4, bodyEnd), id.seed), offset);
  return content.subarray(offset, endOffset);
}

/** As `GroupEncoder.end` writes it; the layout is drawn in src/wal/frame.ts. */
function encodeGroupEnd(
  frames: readonly Buffer[],
  { id, number, bytes }: { id: SegmentId; number: number; bytes: number },
): Buffer {
  const crcs = Buffer.concat(frames.map((frame) => frame.subarray(0, 4)));
  const end = Buffer.alloc(groupEndBytes);
  const bodyBytes = groupEndBytes - frameHeaderBytes;
  [
    bodyBytes,
    FrameType.groupEnd,
    0,
    number,
    id.tag,
    id.seed,
    id.tag,
    bytes,
    frames.length,
    crc32(crcs, id.seed),
    0,
  ].forEach((word, index) => end.writeUInt32LE(word, 4 * (index + 1)));
  end.writeUInt32LE(crc32(end.subarray(4), id.seed), 0);
  return end;
}

/** The trim points that a server with the bug would have set: right after the right one. */
export function mutatedObserver(
  observer: ReplicaObserver,
  start: ReplicaStart,
  { mutant, logs }: { mutant: SimulationMutant | undefined; logs: Map<number, PartitionLog> },
): ReplicaObserver {
  // What the observer is shown as a reader of the log is the log itself.
  const log = start.log as PartitionLog;
  logs.set(start.partitionId, log);
  if (mutant === 'trim-to-applied') {
    return withOverrides(observer, {
      onApplied: (appliedLsn, stateHash) => {
        observer.onApplied(appliedLsn, stateHash);
        log.setTrimPoint(appliedLsn, start.confState);
      },
    });
  }
  if (mutant === 'trim-beyond-archived') {
    return withOverrides(observer, {
      onPersisted: (persistedLsn) => {
        observer.onPersisted(persistedLsn);
        log.setTrimPoint(persistedLsn, start.confState);
      },
    });
  }
  if (mutant === 'trim-ignores-persisted') {
    return withOverrides(observer, {
      onArchive: (archive) => {
        observer.onArchive(archive);
        if (archive.trimPoint > 0) log.setTrimPoint(archive.trimPoint, start.confState);
      },
    });
  }
  if (mutant === 'trim-touches-other-log') {
    return withOverrides(observer, {
      onTrimPoint: (trimPoint) => {
        observer.onTrimPoint(trimPoint);
        for (const other of logs.values()) {
          if (other !== log) other.setTrimPoint(asLsn(Math.min(trimPoint, other.durableLsn)), start.confState);
        }
      },
    });
  }
  return observer;
}

function withOverrides(observer: ReplicaObserver, overrides: Partial<ReplicaObserver>): ReplicaObserver {
  return {
    onOutput: (output) => observer.onOutput(output),
    onDurable: (token, durableLsn) => observer.onDurable(token, durableLsn),
    onConfChange: (lsn, term, confState) => observer.onConfChange(lsn, term, confState),
    onApplied: (appliedLsn, stateHash) => observer.onApplied(appliedLsn, stateHash),
    onStoreReopened: (appliedLsn) => observer.onStoreReopened(appliedLsn),
    onLeadershipGivenUp: (fault) => observer.onLeadershipGivenUp(fault),
    onPersisted: (persistedLsn) => observer.onPersisted(persistedLsn),
    onTrimPoint: (trimPoint) => observer.onTrimPoint(trimPoint),
    onArchive: (archive) => observer.onArchive(archive),
    onInstalling: (start, from) => observer.onInstalling(start, from),
    onInstalled: (start, stateHash) => observer.onInstalled(start, stateHash),
    onFault: (error) => observer.onFault(error),
    onDiscarded: () => observer.onDiscarded(),
    ...overrides,
  };
}
