/** Entries in memory: the newest of every partition, and older ones that were asked for. */
import { asLsn, type Lsn } from '../base/ids.js';
import type { Entry } from '../raft/types.js';

/** What an entry costs besides its data. */
const entryOverheadBytes = 96;
const costOf = (entry: Entry): number => entry.data.length + entryOverheadBytes;

/** The newest entries of one partition: contiguous, ending at its last LSN. Those not yet durable are always here. */
export class EntryWindow {
  private entries: Entry[] = [];
  /** Slots of `entries` in front that are given up. */
  private head = 0;

  get length(): number {
    return this.entries.length - this.head;
  }

  /** Meaningful when not empty. */
  get first(): Lsn {
    return this.entries[this.head]?.lsn ?? asLsn(0);
  }

  has(lsn: Lsn): boolean {
    return this.length > 0 && lsn >= this.first && lsn < this.first + this.length;
  }

  slice(from: Lsn, to: Lsn, maxBytes: number): Entry[] {
    return sliceEntries(this.entries, this.head + from - this.first, to - from, maxBytes);
  }

  push(entry: Entry): void {
    this.entries.push(entry);
  }

  /** Forgets entries from `from` on; answers their cost. */
  cut(from: Lsn): number {
    if (from >= this.first + this.length) return 0;
    const keep = Math.max(0, Math.min(this.length, from - this.first));
    let cost = 0;
    for (const entry of this.entries.splice(this.head + keep)) cost += costOf(entry);
    return cost;
  }

  /** Forgets entries at or below `lsn`; answers their cost. */
  dropThrough(lsn: Lsn): number {
    let cost = 0;
    while (this.length > 0 && this.first <= lsn) {
      cost += costOf(this.entries[this.head] as Entry);
      (this.entries as (Entry | undefined)[])[this.head] = undefined;
      this.head++;
    }
    if (this.head > 64 && this.head > this.entries.length / 2) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
    return cost;
  }
}

/** At most `count` entries from `start`, cut so that their data stays under `maxBytes`, but at least one. */
function sliceEntries(entries: readonly Entry[], start: number, count: number, maxBytes: number): Entry[] {
  const result: Entry[] = [];
  let bytes = 0;
  for (let slot = start; slot < start + count && slot < entries.length; slot++) {
    const entry = entries[slot] as Entry;
    bytes += entry.data.length;
    if (result.length > 0 && bytes > maxBytes) break;
    result.push(entry);
  }
  return result;
}

/** What the cache needs of a partition's log. */
export interface CachedLog {
  readonly window: EntryWindow;
  readonly lastLsn: Lsn;
  readonly durableLsn: Lsn;
}

interface RecentPiece {
  readonly log: CachedLog;
  lastLsn: Lsn;
  bytes: number;
}

interface LoadedRange {
  readonly log: CachedLog;
  readonly first: Lsn;
  readonly entries: readonly Entry[];
  readonly bytes: number;
}

/**
 * Bounds the windows of all partitions together, oldest piece out first, and holds the loaded ranges, least recently
 * used out first. Entries not yet durable stay whatever the bound says; the WAL's back-pressure bounds them.
 */
export class EntryCache {
  private readonly recentBytesMax: number;
  private readonly loadedBytesMax: number;
  /** What one eviction gives up: recent entries are tracked in pieces of about this size. */
  private readonly pieceBytes: number;
  private recentBytes = 0;
  private loadedBytes = 0;
  private pieces: RecentPiece[] = [];
  private piecesHead = 0;
  /** In the order of their last use. */
  private readonly loaded = new Set<LoadedRange>();

  constructor(recentBytesMax: number, loadedBytesMax: number) {
    this.recentBytesMax = recentBytesMax;
    this.pieceBytes = Math.min(64 * 1024, recentBytesMax / 16);
    this.loadedBytesMax = loadedBytesMax;
  }

  get bytes(): number {
    return this.recentBytes + this.loadedBytes;
  }

  append(log: CachedLog, entries: readonly Entry[]): void {
    const [first] = entries;
    if (first === undefined) return;
    this.cut(log, first.lsn);
    let bytes = 0;
    for (const entry of entries) {
      log.window.push(entry);
      bytes += costOf(entry);
    }
    this.recentBytes += bytes;
    const lastLsn = asLsn(first.lsn + entries.length - 1);
    const piece = this.pieces.at(-1);
    if (piece?.log === log && piece.bytes < this.pieceBytes) {
      piece.lastLsn = lastLsn;
      piece.bytes += bytes;
    } else this.pieces.push({ log, lastLsn, bytes });
  }

  /** The entries from `from` on are replaced. */
  cut(log: CachedLog, from: Lsn): void {
    this.recentBytes -= log.window.cut(from);
    for (const range of this.loaded) {
      if (range.log === log && range.first + range.entries.length > from) this.forget(range);
    }
  }

  /** Gives up recent entries beyond the bound, as far as they are durable. */
  evict(): void {
    while (this.recentBytes > this.recentBytesMax && this.piecesHead < this.pieces.length) {
      const piece = this.pieces[this.piecesHead] as RecentPiece;
      // A truncation may have taken the piece's end; what came instead is in a later piece.
      const through = asLsn(Math.min(piece.lastLsn, piece.log.lastLsn));
      if (through > piece.log.durableLsn) break;
      this.recentBytes -= piece.log.window.dropThrough(through);
      this.piecesHead++;
    }
    if (this.piecesHead > 64 && this.piecesHead > this.pieces.length / 2) {
      this.pieces = this.pieces.slice(this.piecesHead);
      this.piecesHead = 0;
    }
  }

  /** Entries of [from, to) in memory; undefined when `from` is not. */
  get(log: CachedLog, from: Lsn, to: Lsn, maxBytes: number): Entry[] | undefined {
    if (log.window.has(from)) return log.window.slice(from, to, maxBytes);
    for (const range of this.loaded) {
      const start = from - range.first;
      if (range.log !== log || start < 0 || start >= range.entries.length) continue;
      this.loaded.delete(range);
      this.loaded.add(range);
      return sliceEntries(range.entries, start, to - from, maxBytes);
    }
    return undefined;
  }

  addLoaded(log: CachedLog, entries: readonly Entry[]): void {
    const [first] = entries;
    if (first === undefined) return;
    let bytes = 0;
    for (const entry of entries) bytes += costOf(entry);
    const range = { log, first: first.lsn, entries, bytes };
    this.loaded.add(range);
    this.loadedBytes += bytes;
    for (const oldest of this.loaded) {
      // The newest stays, however large: whoever loaded it is about to read it.
      if (this.loadedBytes <= this.loadedBytesMax || oldest === range) break;
      this.forget(oldest);
    }
  }

  private forget(range: LoadedRange): void {
    if (this.loaded.delete(range)) this.loadedBytes -= range.bytes;
  }
}
