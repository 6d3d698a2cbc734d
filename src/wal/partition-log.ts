/** One partition's log: what was handed over, what is encoded, and what is durable. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type PartitionId, type Term } from '../base/ids.js';
import type { ConfState, Entry, HardState, Persist } from '../raft/types.js';
import { EntryWindow, type CachedLog, type EntryCache } from './entry-cache.js';
import { TermRuns, type EntryIndex } from './entry-index.js';
import type { EntryReader } from './entry-reader.js';
import type { MutablePartitionState } from './replay.js';
import { PersistOperation, ResetOperation, TrimOperation, type Operation, type PartitionTarget } from './pending.js';
import type { PartitionLog, RecoveredPartition } from './types.js';

export interface PartitionHost {
  readonly cache: EntryCache;
  readonly reader: EntryReader;
  readonly maxEntryBytes: number;
  /** @throws LogboomError WAL_FAILED, SHUTTING_DOWN */
  enqueue(operation: Operation): void;
  /** The same; resolves when it is durable, and rejects when the log fails or stops first. */
  durably(operation: (onDurable: () => void) => Operation): Promise<void>;
  /** Something may have become droppable. */
  onDroppable(): void;
}

export class WalPartition implements PartitionLog, PartitionTarget, CachedLog {
  readonly partitionId: PartitionId;
  recovered: RecoveredPartition;
  readonly window = new EntryWindow();
  readonly index: EntryIndex;
  readonly written: MutablePartitionState;
  isWritten: boolean;
  commitToWrite: Lsn;
  durableLsn: Lsn;
  pendingBytes = 0;
  private readonly host: PartitionHost;
  private readonly terms: TermRuns;
  private handed: { hardState: HardState; trimPoint: Lsn; trimTerm: Term; lastLsn: Lsn };
  private durableTrimPoint: Lsn;
  private persistedLsn = asLsn(0);
  /** Of the last reset; what the index still holds at or below it is void. */
  private resetLsn = asLsn(0);
  private isRemoved = false;
  /** Grows whenever entries are replaced: a read from disk that began before may be of the old ones. */
  private cuts = 0;
  /** Operations with entries that are not durable yet, in order. */
  private readonly pendingPersists: PersistOperation[] = [];

  constructor(
    partitionId: PartitionId,
    host: PartitionHost,
    start: { readonly state: MutablePartitionState; readonly index: EntryIndex; readonly isNew: boolean },
  ) {
    const { state, index, isNew } = start;
    const { replicaId, hardState, trimPoint, trimTerm, confState, lastLsn } = state;
    this.partitionId = partitionId;
    this.host = host;
    this.index = index;
    this.written = { ...state };
    this.isWritten = !isNew;
    this.recovered = { replicaId, hardState, trimPoint, trimTerm, confState };
    this.handed = { hardState, trimPoint, trimTerm, lastLsn };
    this.durableTrimPoint = trimPoint;
    this.commitToWrite = hardState.commit;
    this.durableLsn = lastLsn;
    this.terms = new TermRuns(index.termRuns());
  }

  get firstLsn(): Lsn {
    return asLsn(this.handed.trimPoint + 1);
  }

  get lastLsn(): Lsn {
    return this.handed.lastLsn;
  }

  get trimPoint(): Lsn {
    return this.handed.trimPoint;
  }

  get oldestLsn(): Lsn {
    const floor = Math.max(this.resetLsn, Math.min(this.handed.trimPoint, this.persistedLsn));
    if (this.index.last > floor) return asLsn(Math.max(this.index.first, floor + 1));
    return this.window.length > 0 ? this.window.first : asLsn(this.handed.lastLsn + 1);
  }

  termAt(lsn: Lsn): Term | undefined {
    const { trimPoint, trimTerm, lastLsn } = this.handed;
    if (lsn === trimPoint) return trimTerm;
    return lsn > trimPoint && lsn <= lastLsn ? this.terms.at(lsn) : undefined;
  }

  entriesInMemory(from: Lsn, to: Lsn, maxBytes: number): readonly Entry[] | undefined {
    if (from >= to || from > this.lastLsn) return [];
    return this.host.cache.get(this, from, to, maxBytes);
  }

  append(persist: Persist, onDurable: () => void): void {
    this.checkPresent();
    const { entries, hardState } = persist;
    const [first] = entries;
    const lastLsn = first === undefined ? this.lastLsn : asLsn(first.lsn + entries.length - 1);
    this.checkEntries(entries);
    if (hardState !== undefined) this.checkHardState(hardState, lastLsn);
    const urgent = persist.mustSync || entries.length > 0;
    const operation = new PersistOperation(this, hardState, entries, { urgent, onDurable });
    this.host.enqueue(operation);
    if (hardState !== undefined) this.handed.hardState = hardState;
    if (first === undefined) return;
    if (first.lsn <= this.lastLsn) this.cutFrom(first.lsn);
    for (const entry of entries) this.terms.append(entry.lsn, entry.term);
    this.handed.lastLsn = lastLsn;
    this.host.cache.append(this, entries);
    this.pendingPersists.push(operation);
  }

  async read(from: Lsn, to: Lsn, maxBytes: number): Promise<readonly Entry[]> {
    for (;;) {
      this.checkPresent();
      const end = asLsn(Math.min(to, this.lastLsn + 1));
      if (from >= end) return [];
      const inMemory = this.host.cache.get(this, from, end, maxBytes);
      if (inMemory !== undefined) return inMemory;
      if (from < this.oldestLsn) {
        throw new LogboomError(
          'RECORD_TRIMMED',
          `partition ${this.partitionId}: LSN ${from} is no longer in the log, which begins at ${this.oldestLsn}`,
          { facts: { partition: this.partitionId, first_lsn: this.oldestLsn } },
        );
      }
      const { segment, section } = this.index.sectionOf(from);
      if (!section.resident) {
        await this.host.reader.loadPositions(this.partitionId, segment, section);
        continue;
      }
      const { cuts } = this;
      // From the window on the index may still speak of entries that are being replaced.
      const until = this.window.length > 0 ? asLsn(Math.min(end, this.window.first)) : end;
      const entries = await this.host.reader.read(this.partitionId, this.index, { from, to: until, maxBytes });
      if (cuts === this.cuts) return entries;
    }
  }

  async load(from: Lsn, to: Lsn, maxBytes: number): Promise<void> {
    if (this.host.cache.get(this, from, to, maxBytes) !== undefined) return;
    const { cuts } = this;
    const entries = await this.read(from, to, maxBytes);
    // Replaced meanwhile, between the read and here: the next load gets the new ones.
    if (cuts === this.cuts) this.host.cache.addLoaded(this, entries);
  }

  setTrimPoint(lsn: Lsn, confState: ConfState): void {
    this.checkPresent();
    if (lsn <= this.handed.trimPoint) return;
    assert(
      lsn <= this.lastLsn,
      () => `partition ${this.partitionId}: trim point ${lsn} above last LSN ${this.lastLsn}`,
    );
    const term = this.terms.at(lsn);
    this.host.enqueue(new TrimOperation(this, { lsn, term, confState }));
    this.handed.trimPoint = lsn;
    this.handed.trimTerm = term;
    this.terms.dropThrough(lsn);
  }

  setPersistedLsn(lsn: Lsn): void {
    if (lsn <= this.persistedLsn) return;
    this.persistedLsn = lsn;
    this.dropFromIndex();
  }

  resetTo(start: { lsn: Lsn; term: Term; confState: ConfState; hardState: HardState }): Promise<void> {
    this.checkPresent();
    const { lsn, term, confState, hardState } = start;
    assert(
      hardState.commit <= lsn,
      () => `partition ${this.partitionId}: reset to ${lsn} with commit ${hardState.commit}`,
    );
    const durable = this.host.durably(
      (onDurable) => new ResetOperation(this, { lsn, term, confState }, hardState, onDurable),
    );
    this.cutFrom(asLsn(1));
    this.resetLsn = lsn;
    const { replicaId } = this.recovered;
    this.recovered = { replicaId, hardState, trimPoint: lsn, trimTerm: term, confState };
    this.handed = { hardState, trimPoint: lsn, trimTerm: term, lastLsn: lsn };
    return durable;
  }

  /** Also after the partition was removed: a late reader gets an error, not another partition's bytes. */
  markRemoved(): void {
    this.isRemoved = true;
    this.cutFrom(asLsn(1));
  }

  onOperationDurable(operation: Operation): void {
    this.pendingBytes -= operation.bytes;
    if (operation === this.pendingPersists[0]) this.pendingPersists.shift();
  }

  onTrimDurable(lsn: Lsn): void {
    this.durableTrimPoint = lsn;
    this.dropFromIndex();
  }

  onResetDurable(lsn: Lsn): void {
    this.durableTrimPoint = lsn;
    if (this.durableLsn < lsn) this.durableLsn = lsn;
    this.host.onDroppable();
  }

  /** Rule 3: an entry is given up only at or below both the trim point, which must be durable, and the persisted LSN. */
  private dropFromIndex(): void {
    const held = this.index.oldestSegment;
    this.index.dropThrough(asLsn(Math.min(this.durableTrimPoint, this.persistedLsn)));
    if (this.index.oldestSegment !== held) this.host.onDroppable();
  }

  private cutFrom(from: Lsn): void {
    this.cuts++;
    this.terms.cut(from);
    this.host.cache.cut(this, from);
    if (this.durableLsn >= from) this.durableLsn = asLsn(from - 1);
    for (const operation of this.pendingPersists) {
      if (operation.validThrough >= from) operation.validThrough = asLsn(from - 1);
    }
  }

  private checkPresent(): void {
    if (!this.isRemoved) return;
    throw new LogboomError('PARTITION_NOT_FOUND', `partition ${this.partitionId} was removed from this node`);
  }

  private checkHardState(hardState: HardState, lastLsn: Lsn): void {
    const { hardState: before } = this.handed;
    assert(
      hardState.term >= before.term && hardState.commit >= before.commit && hardState.commit <= lastLsn,
      () =>
        `partition ${this.partitionId}: hard state from ${showHardState(before)} to ${showHardState(hardState)}, last LSN ${lastLsn}`,
    );
  }

  private checkEntries(entries: readonly Entry[]): void {
    const [first] = entries;
    if (first === undefined) return;
    const { trimPoint, lastLsn, hardState } = this.handed;
    assert(
      first.lsn > trimPoint && first.lsn > hardState.commit && first.lsn <= lastLsn + 1,
      () =>
        `partition ${this.partitionId}: entry ${first.lsn} with trim point ${trimPoint}, commit ${hardState.commit}, last LSN ${lastLsn}`,
    );
    entries.forEach(({ lsn, data }, position) => {
      assert(
        lsn === first.lsn + position,
        () => `partition ${this.partitionId}: entry ${lsn} in the place of ${first.lsn + position}`,
      );
      assert(
        data.length <= this.host.maxEntryBytes,
        () => `partition ${this.partitionId}: entry of ${data.length} bytes; at most ${this.host.maxEntryBytes}`,
      );
    });
  }
}

const showHardState = ({ term, vote, commit }: HardState): string => `term ${term}, vote ${vote}, commit ${commit}`;
