/**
 * Keeps the next segment ready, so that a roll waits for nothing, and takes dropped segments back.
 *
 * Directory changes are made one at a time, each synced before the next. So after a crash the segments present are
 * always a gapless range of sequence numbers, and every file that bears a segment's name has an intact header.
 */
import { DiskError, isDiskError, type DiskFile } from '../base/ports/disk.js';
import type { Environment } from '../base/ports/environment.js';
import { sleep } from '../base/ports/clock.js';
import type { WalMetrics } from './metrics.js';
import type { WalOptions } from './options.js';
import { fileNames, newSegmentId, Segment, writeHeader, type OpenSegments } from './segment.js';

export interface SupplyHost {
  readonly environment: Environment;
  readonly options: WalOptions;
  readonly directory: string;
  readonly metrics: WalMetrics;
  readonly openSegments: OpenSegments;
  /** How much of the segment being written is used, from 0 to 1: paces the filling of the next. */
  usedFraction(): number;
  /** The space state changed. */
  onSpace(space: 'ok' | 'low'): void;
  /** Anything but a full disk; final. */
  onFailure(error: unknown): void;
}

const fillChunkBytes = 1024 * 1024;
/** The next segment is ready when the one in use is filled to a fifth less than whole. */
const fillLead = 1.25;
/** How often a fill that pauses looks at how much of the segment in use is left. */
const fillLookMs = 20;
/** Dirty pages that zero-filling may leave to the next fdatasync of the log. */
const fillSyncBytes = 4 * fillChunkBytes;

export class SegmentSupply {
  private readonly host: SupplyHost;
  /** Names of files that can be used again without filling. */
  private readonly spares: string[];
  private ready: Segment | undefined;
  private waiter: ((segment: Segment | undefined) => void) | undefined;
  private readonly stopping = new AbortController();
  private wakeRetry: (() => void) | undefined;
  private currentSpace: 'ok' | 'low' = 'ok';
  /** When the last step towards the segment that a commit group waits for was done, or the wait began. */
  private steppedMs = 0;
  /** The preparation under way. */
  private preparing: Promise<void> = Promise.resolve();
  /** Directory changes, one after another. */
  private directoryChanges: Promise<void> = Promise.resolve();

  constructor(host: SupplyHost, spares: readonly string[], ready: Segment | undefined) {
    this.host = host;
    this.spares = [...spares];
    this.ready = ready;
  }

  get space(): 'ok' | 'low' {
    return this.currentSpace;
  }

  get isReady(): boolean {
    return this.ready !== undefined;
  }

  /** How long the disk has been at one step of making the segment that a commit group waits for; 0 when none does. */
  get stepAgeMs(): number {
    return this.waiter === undefined ? 0 : this.host.environment.clock.monotonicMs() - this.steppedMs;
  }

  /** Starts to make the segment after the one in use, unless it is there. Call when the one in use has a synced group. */
  prepare(sequence: number): void {
    if (this.ready !== undefined) return;
    this.preparing = this.preparing
      .then(() => this.makeReady(sequence))
      .catch((error: unknown) => {
        this.host.onFailure(error);
        this.give(undefined);
      });
  }

  /** The next segment, as soon as there is one; undefined when the supply is stopped or has failed. */
  take(): Promise<Segment | undefined> {
    const { ready } = this;
    if (ready !== undefined || this.stopping.signal.aborted) {
      this.ready = undefined;
      return Promise.resolve(ready);
    }
    return new Promise((resolve) => {
      this.waiter = resolve;
      this.stepped();
    });
  }

  /** Takes back a segment that nothing needs any more. Call in ascending order. */
  recycle(segment: Segment): void {
    void this.changeDirectory(async () => {
      const { environment, directory, openSegments, options } = this.host;
      await openSegments.close(segment);
      const name = fileNames.spare(segment.sequence);
      const sparesMax = Math.max(options.spareSegments, this.currentSpace === 'low' ? 1 : 0);
      const keep = this.spares.length < sparesMax && segment.sizeBytes === options.segmentBytes;
      // It gets its new header under the spare's name, durable by then: a crash must not find it under the old one.
      if (keep) await environment.disk.rename(segment.path, `${directory}/${name}`);
      else await environment.disk.removeFile(segment.path);
      await environment.disk.syncDirectory(directory);
      if (keep) this.spares.push(name);
      this.wakeRetry?.();
    }).catch((error: unknown) => this.host.onFailure(error));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.wakeRetry?.();
    this.give(undefined);
    await this.preparing;
    await this.directoryChanges;
    if (this.ready !== undefined) await this.host.openSegments.close(this.ready);
  }

  private stepped(): void {
    this.steppedMs = this.host.environment.clock.monotonicMs();
  }

  private give(segment: Segment | undefined): void {
    const { waiter } = this;
    this.waiter = undefined;
    if (waiter !== undefined) waiter(segment);
    else this.ready = segment;
  }

  private async makeReady(sequence: number): Promise<void> {
    while (!this.stopping.signal.aborted) {
      this.stepped();
      try {
        const segment = await this.make(sequence);
        if (segment === undefined) return;
        this.setSpace('ok');
        this.give(segment);
        return;
      } catch (error) {
        if (!isDiskError(error, 'ENOSPC')) throw error;
        this.setSpace('low');
        await this.retryLater();
      }
    }
  }

  /** Undefined when stopped meanwhile. */
  private async make(sequence: number): Promise<Segment | undefined> {
    const { environment, directory, metrics, openSegments } = this.host;
    const path = `${directory}/${fileNames.segment(sequence)}`;
    const spare = this.spares.pop();
    const staging = spare ?? fileNames.filling(sequence);
    const id = newSegmentId(environment);
    try {
      const filled = await this.fill(`${directory}/${staging}`, spare !== undefined, { sequence, id });
      if (!filled) return undefined;
    } catch (error) {
      if (spare !== undefined) this.spares.push(spare);
      throw error;
    }
    await this.changeDirectory(async () => {
      await environment.disk.rename(`${directory}/${staging}`, path);
      await environment.disk.syncDirectory(directory);
    });
    const segment = new Segment(path, sequence, id, this.host.options.segmentBytes);
    await openSegments.with(segment, () => Promise.resolve());
    metrics.segmentsMade.add(1, { from: spare === undefined ? 'new' : 'recycled' });
    return segment;
  }

  /** Makes the content of a segment under its staging name: zeros, unless it is a spare, and the header, synced. */
  private async fill(path: string, isSpare: boolean, header: Pick<Segment, 'sequence' | 'id'>): Promise<boolean> {
    const { environment, options, directory } = this.host;
    const { segmentBytes } = options;
    if (!isSpare) await this.checkFreeBytes();
    const file = await environment.disk.open(path, isSpare ? 'read-write' : 'create');
    let complete = false;
    try {
      complete = isSpare || (await this.fillWithZeros(file));
      if (complete) await writeHeader(environment, file, { segmentBytes, ...header });
      return complete;
    } finally {
      await file.close();
      if (!complete && !isSpare) {
        await this.changeDirectory(async () => {
          await environment.disk.removeFile(path);
          await environment.disk.syncDirectory(directory);
        });
      }
    }
  }

  private async checkFreeBytes(): Promise<void> {
    const { environment, options, directory } = this.host;
    const free = await environment.disk.freeBytes(directory);
    const needed = options.segmentBytes + options.minFreeBytes;
    if (free < needed) throw new DiskError('ENOSPC', directory, `${free} bytes are free, a segment needs ${needed}`);
  }

  /**
   * Zeros that are really written: blocks that were only reserved turn into written ones at the first write, which
   * makes every fdatasync of an append commit file system metadata as well (measured: 3,800/s against 2,300/s).
   */
  private async fillWithZeros(file: DiskFile): Promise<boolean> {
    const { clock } = this.host.environment;
    const { segmentBytes, zeroFillBytesPerSecond } = this.host.options;
    const zeros = Buffer.alloc(Math.min(fillChunkBytes, segmentBytes));
    const startMs = clock.monotonicMs();
    let unsynced = 0;
    let isHurried = false;
    for (let at = 0; at < segmentBytes;) {
      const chunk = zeros.subarray(0, Math.min(zeros.length, segmentBytes - at));
      // Groups that come so fast are large, and go past the page cache as well; small ones find their pages in it.
      await file.write([chunk], at, { uncached: isHurried });
      this.stepped();
      at += chunk.length;
      unsynced += chunk.length;
      if (unsynced >= fillSyncBytes || at === segmentBytes) {
        await file.datasync();
        this.stepped();
        unsynced = 0;
      }
      if (this.stopping.signal.aborted) return false;
      if (at === segmentBytes) break;
      isHurried = await this.pauseFill(startMs + (1000 * at) / zeroFillBytesPerSecond, at / segmentBytes);
    }
    return true;
  }

  /**
   * Until `untilMs`, or until appends have used so much of their segment that the fill has to go on; answers whether they have.
   */
  private async pauseFill(untilMs: number, filledFraction: number): Promise<boolean> {
    const { clock } = this.host.environment;
    while (!this.stopping.signal.aborted) {
      const aheadMs = untilMs - clock.monotonicMs();
      const isHurried = fillLead * this.host.usedFraction() >= filledFraction;
      if (isHurried || this.waiter !== undefined || aheadMs <= 0) return isHurried;
      await sleep(clock, Math.min(aheadMs, fillLookMs), this.stopping.signal);
    }
    return false;
  }

  private changeDirectory(change: () => Promise<void>): Promise<void> {
    const done = this.directoryChanges.then(change);
    this.directoryChanges = done.catch(() => {});
    return done;
  }

  private setSpace(space: 'ok' | 'low'): void {
    if (space === this.currentSpace) return;
    this.currentSpace = space;
    this.host.metrics.spaceLow.set(space === 'low' ? 1 : 0);
    this.host.onSpace(space);
  }

  private async retryLater(): Promise<void> {
    const wake = new AbortController();
    this.wakeRetry = () => wake.abort();
    if (!this.stopping.signal.aborted)
      await sleep(this.host.environment.clock, this.host.options.spaceRetryMs, wake.signal);
    this.wakeRetry = undefined;
  }
}
