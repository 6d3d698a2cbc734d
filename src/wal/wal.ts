/** The write-ahead log of a node, put together. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { PartitionId, ReplicaId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { ConfState } from '../raft/types.js';
import { EntryCache } from './entry-cache.js';
import { EntryIndex } from './entry-index.js';
import { EntryReader } from './entry-reader.js';
import { bodyBytes, frameBytes, type PartitionState } from './frame.js';
import { GroupCommit, stoppedError } from './group-commit.js';
import { walMetrics, type WalMetrics } from './metrics.js';
import { checkWalOptions, defaultWalOptions, maxEntryBytes, maxStateBytes, type WalOptions } from './options.js';
import { WalPartition, type PartitionHost } from './partition-log.js';
import { CreateOperation, RemoveOperation, type Operation } from './pending.js';
import { recover, type Recovered } from './recovery.js';
import { initialState } from './replay.js';
import { OpenSegments, type Segment } from './segment.js';
import { encodeFooter } from './segment-format.js';
import { PositionMemory } from './segment-index.js';
import { SegmentSupply } from './segment-supply.js';
import type { PartitionLog, WalStats, WriteAheadLog } from './types.js';

/**
 * One log of all partitions. What it maintains:
 *  - an entry is reported durable only when the group that holds it, and all groups before it, are synced;
 *  - the segments on disk are a gapless range, and the newest begins with the state of every partition; so the oldest
 *    may go whenever no partition needs its entries, and nothing else is lost with it (a crash may keep too much, never
 *    too little);
 *  - after a failed write or sync nothing is written, reported or accepted any more (rule 7).
 */
export class Wal implements WriteAheadLog {
  readonly failed: Promise<Error>;
  private readonly environment: Environment;
  private readonly options: WalOptions;
  private readonly directory: string;
  private readonly metrics: WalMetrics;
  private readonly openSegments: OpenSegments;
  private readonly positions: PositionMemory;
  private readonly cache: EntryCache;
  private readonly reader: EntryReader;
  private readonly supply: SegmentSupply;
  private readonly groupCommit: GroupCommit;
  /** In use, ascending; the last one is being written. */
  private readonly segments: Segment[];
  private readonly partitions = new Map<PartitionId, WalPartition>();
  /** Created or removed, and not durably so. */
  private readonly changing = new Set<WalPartition>();
  private failure: Error | undefined;
  private reportFailure: (error: Error) => void = () => {};
  private stopping: Promise<void> | undefined;
  private isOpening = true;
  /** Nothing touches the directory any more. */
  private isClosing = false;
  /** Resolves when nothing more becomes durable: failed or stopped. */
  private readonly ended: Promise<void>;
  private reportEnd: () => void = () => {};
  /** Footers being written. */
  private sealing: Promise<void> = Promise.resolve();

  /**
   * Opens the log in `directory`, which must exist and belong to nobody else; makes a new one in an empty directory.
   *
   * @throws LogboomError WAL_CORRUPT naming file and offset, DATA_DIRECTORY_MISMATCH, CONFIGURATION_INVALID, DISK_FULL
   */
  static async open(environment: Environment, options: Partial<WalOptions>, directory: string): Promise<Wal> {
    const complete = { ...defaultWalOptions, ...options };
    checkWalOptions(complete);
    const openSegments = new OpenSegments(environment.disk, complete.openFilesMax);
    const positions = new PositionMemory(complete.positionBytesMax);
    try {
      const recovered = await recover(environment, { openSegments, positions }, directory, complete.segmentBytes);
      const wal = new Wal(environment, complete, { directory, openSegments, positions, recovered });
      await wal.begin();
      return wal;
    } catch (error) {
      await openSegments.end();
      throw error;
    }
  }

  private constructor(
    environment: Environment,
    options: WalOptions,
    start: {
      readonly directory: string;
      readonly openSegments: OpenSegments;
      readonly positions: PositionMemory;
      readonly recovered: Recovered;
    },
  ) {
    const { recovered, openSegments, positions, directory } = start;
    this.environment = environment;
    this.options = options;
    this.directory = directory;
    this.openSegments = openSegments;
    this.positions = positions;
    this.metrics = walMetrics(environment.metrics);
    this.failed = new Promise((resolve) => {
      this.reportFailure = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.reportEnd = resolve;
    });
    this.cache = new EntryCache(options.recentEntriesCacheBytes, options.loadedEntriesCacheBytes);
    this.reader = new EntryReader(environment.crc32, openSegments, positions, this.metrics);
    this.segments = recovered.segments;
    const shared = { environment, options, openSegments, metrics: this.metrics };
    this.supply = new SegmentSupply(
      {
        ...shared,
        directory,
        usedFraction: () => this.usedFraction(),
        onSpace: (space) => this.onSpace(space),
        onFailure: (error) => this.fail(error),
      },
      recovered.spares,
      recovered.next,
    );
    this.groupCommit = new GroupCommit(
      {
        ...shared,
        writtenPartitions: () => this.writtenPartitions(),
        takeSegment: () => this.supply.take(),
        onRolled: (segment, sealed) => this.onRolled(segment, sealed),
        onSynced: () => this.cache.evict(),
        onFailure: (error) => this.fail(error),
      },
      this.segments.at(-1),
    );
    for (const [id, { state, index }] of recovered.partitions) {
      this.partitions.set(id, new WalPartition(id, this.partitionHost, { state, index, isNew: false }));
    }
    for (const segment of recovered.footerless) this.seal(segment);
    if (recovered.cutBytes > 0) {
      environment.logger.info('the write-ahead log ended in a torn group, which was cut', { directory });
    }
  }

  partition(id: PartitionId): PartitionLog | undefined {
    const partition = this.partitions.get(id);
    return partition !== undefined && this.changing.has(partition) ? undefined : partition;
  }

  async createPartition(id: PartitionId, replicaId: ReplicaId, confState: ConfState): Promise<PartitionLog> {
    assert(!this.partitions.has(id), () => `partition ${id} exists`);
    const state = initialState(replicaId, confState);
    this.checkStateRoom(state);
    const partition = new WalPartition(id, this.partitionHost, { state, index: new EntryIndex(), isNew: true });
    this.partitions.set(id, partition);
    this.changing.add(partition);
    try {
      await this.durably((onDurable) => new CreateOperation(partition, confState, onDurable));
    } catch (error) {
      this.partitions.delete(id);
      throw error;
    } finally {
      this.changing.delete(partition);
    }
    return partition;
  }

  async removePartition(id: PartitionId): Promise<void> {
    const partition = this.partitions.get(id);
    if (partition === undefined) return;
    partition.markRemoved();
    this.partitions.delete(id);
    this.changing.add(partition);
    await this.durably((onDurable) => new RemoveOperation(partition, onDurable));
    this.changing.delete(partition);
    this.dropSegments();
  }

  get partitionIds(): readonly PartitionId[] {
    return [...this.partitions.keys()].sort((a, b) => a - b);
  }

  get stats(): WalStats {
    const bytes = this.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
    const [holder, next] = this.oldestHolders();
    const newest = this.segments.at(-1)?.sequence ?? 0;
    const holds = holder !== undefined && holder.segment.sequence < newest;
    const until = next?.segment.sequence ?? newest;
    const reclaimable = holds ? this.segments.filter(({ sequence }) => sequence < until) : [];
    return {
      segments: this.segments.length,
      bytes,
      oldestSegmentHeldBy: holds ? holder.partitionId : undefined,
      reclaimableBytes: reclaimable.reduce((sum, segment) => sum + segment.sizeBytes, 0),
    };
  }

  get space(): 'ok' | 'low' {
    return this.supply.space;
  }

  get canAccept(): boolean {
    const { roomBytes, pendingBytes } = this.groupCommit;
    if (this.failure !== undefined || this.stopping !== undefined || this.space === 'low') return false;
    const fits = this.supply.isReady || pendingBytes < roomBytes;
    return fits && pendingBytes < this.options.maxPendingBytes;
  }

  get pendingBytes(): number {
    return this.groupCommit.pendingBytes;
  }

  get writeAgeMs(): number {
    return Math.max(this.groupCommit.writeAgeMs, this.space === 'low' ? 0 : this.supply.stepAgeMs);
  }

  stop(): Promise<void> {
    this.stopping ??= this.runStop();
    return this.stopping;
  }

  private async runStop(): Promise<void> {
    // Without space for another segment, waiting for one could take for ever; `onSpace` sees to it from here on.
    if (this.space === 'low') await this.supply.stop();
    await this.groupCommit.finish();
    await this.sealing;
    this.isClosing = true;
    await this.supply.stop();
    await this.openSegments.end();
    this.reportEnd();
  }

  private get partitionHost(): PartitionHost {
    return {
      cache: this.cache,
      reader: this.reader,
      maxEntryBytes: maxEntryBytes(this.options),
      enqueue: (operation) => this.enqueue(operation),
      durably: (operation) => this.durably(operation),
      onDroppable: () => this.dropSegments(),
    };
  }

  private async begin(): Promise<void> {
    const first = (this.segments.at(-1)?.sequence ?? 0) + 1;
    this.supply.prepare(first);
    if (this.segments.length > 0) {
      this.isOpening = false;
      return this.reportSegments();
    }
    await this.groupCommit.begin();
    if (this.failure !== undefined) throw this.failure;
    this.isOpening = false;
    if (this.groupCommit.current !== undefined) return;
    throw new LogboomError('DISK_FULL', 'there is no space for the first segment of the write-ahead log');
  }

  private enqueue(operation: Operation): void {
    if (this.failure !== undefined || this.stopping !== undefined) throw stoppedError(this.failure);
    this.groupCommit.enqueue(operation);
  }

  /** Throws when the log has failed or stopped already; rejects when it does so first. */
  private durably(operation: (onDurable: () => void) => Operation): Promise<void> {
    let durable = false;
    let report = (): void => {};
    const done = new Promise<void>((resolve) => (report = resolve));
    this.enqueue(
      operation(() => {
        durable = true;
        report();
      }),
    );
    return Promise.race([done, this.ended]).then(() => {
      if (!durable) throw stoppedError(this.failure);
    });
  }

  private *writtenPartitions(): Iterable<WalPartition> {
    for (const partition of this.partitions.values()) if (partition.isWritten) yield partition;
    // Removed, but not yet as far as the frames go.
    for (const partition of this.changing) {
      if (partition.isWritten && this.partitions.get(partition.partitionId) !== partition) yield partition;
    }
  }

  /** Every segment begins with the state of all partitions. */
  private checkStateRoom(added: PartitionState): void {
    let bytes = frameBytes(bodyBytes.partitionState(added.confState));
    for (const { written } of this.partitions.values())
      bytes += frameBytes(bodyBytes.partitionState(written.confState));
    const limit = maxStateBytes(this.options);
    if (bytes <= limit) return;
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `the state of ${this.partitions.size + 1} partitions takes ${bytes} bytes in every segment of the write-ahead ` +
        `log, which is limited to ${limit}; raise segmentBytes (${this.options.segmentBytes})`,
    );
  }

  private onRolled(segment: Segment, sealed: Segment | undefined): void {
    this.segments.push(segment);
    this.supply.prepare(segment.sequence + 1);
    if (sealed !== undefined) this.seal(sealed);
    this.dropSegments();
    this.reportSegments();
  }

  /** Writes the footer in the background: nothing waits for it, a start without it reads the whole segment instead. */
  private seal(segment: Segment): void {
    segment.users++;
    this.sealing = this.sealing.then(async () => {
      try {
        if (this.failure !== undefined) return;
        for (const section of segment.index.values()) section.seal();
        const footer = encodeFooter(segment.index, segment, segment.id, this.environment.crc32);
        const offset = segment.sizeBytes - footer.length;
        await this.openSegments.with(segment, async (file) => {
          await file.write([footer], offset);
          await file.datasync();
        });
        for (const section of segment.index.values()) {
          section.markStored(offset);
          this.positions.touch(section);
        }
      } catch (error) {
        this.fail(error);
      } finally {
        segment.users--;
        this.dropSegments();
      }
    });
  }

  /** Gives up segments that no partition needs, oldest first: gaps would look like lost segments. */
  private dropSegments(): void {
    if (this.failure !== undefined || this.isClosing) return;
    let needed = this.segments.at(-1)?.sequence ?? 0;
    for (const partition of [...this.partitions.values(), ...this.changing]) {
      needed = Math.min(needed, partition.index.oldestSegment?.sequence ?? needed);
    }
    let dropped = false;
    for (;;) {
      const [oldest] = this.segments;
      if (oldest === undefined || oldest.sequence >= needed || oldest.users > 0) break;
      this.segments.shift();
      for (const section of oldest.index.values()) this.positions.forget(section);
      this.supply.recycle(oldest);
      dropped = true;
    }
    if (dropped) this.reportSegments();
  }

  /** The partitions that hold the oldest and the second oldest segment. */
  private oldestHolders(): { readonly partitionId: PartitionId; readonly segment: Segment }[] {
    const holders: { partitionId: PartitionId; segment: Segment }[] = [];
    for (const { partitionId, index } of this.partitions.values()) {
      const segment = index.oldestSegment;
      if (segment !== undefined) holders.push({ partitionId, segment });
    }
    return holders.sort((a, b) => a.segment.sequence - b.segment.sequence).slice(0, 2);
  }

  private usedFraction(): number {
    const { current } = this.groupCommit;
    return current === undefined ? 0 : current.endOffset / current.sizeBytes;
  }

  private reportSegments(): void {
    this.metrics.segments.set(this.segments.length);
    this.metrics.bytes.set(this.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0));
  }

  private onSpace(space: 'ok' | 'low'): void {
    const { logger } = this.environment;
    if (space === 'low') logger.warn('no space for another segment of the write-ahead log', { path: this.directory });
    else logger.info('there is space for the write-ahead log again', { path: this.directory });
    const mayWait = !this.isOpening && this.stopping === undefined;
    if (space === 'low' && !mayWait) void this.supply.stop();
  }

  private fail(error: unknown): void {
    if (this.failure !== undefined) return;
    const cause = error instanceof Error ? error : new Error(String(error));
    this.failure = stoppedError(cause);
    this.environment.logger.error('the write-ahead log has failed', { error: cause });
    this.groupCommit.abort();
    void this.supply.stop();
    this.reportFailure(this.failure);
    this.reportEnd();
  }
}
