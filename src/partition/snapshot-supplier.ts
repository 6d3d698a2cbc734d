/**
 * Streams the state of a replica to others of its group that need it and find it nowhere else: the other side of
 * peer-snapshot.ts.
 *
 * What is offered is pinned: one state, of an LSN at which a quorum has the same, as of a snapshot in a repository. It is made by
 * the leader, but goes on being served by the replica that made it, whoever leads then, until nobody has asked for anything
 * of it for a while. Everything is asked for, and nothing is sent by itself: a replica that dies in the middle of it leaves
 * nothing behind here but a pinned state, for that while.
 */
import { isLogboomError, LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type PartitionId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { LogicalView, StateScan } from '../base/state-machine.js';
import { PinnedSnapshot, type SnapshotProgress, type SnapshotSizes } from '../snapshot/index.js';
import type { SnapshotFacts } from '../snapshot/types.js';
import type { Checkpoint } from './archiver.js';
import { decodePeerRequest, encodeOpenAnswer, manifestPartBytes } from './peer-messages.js';
import { Slots } from './slots.js';

export interface SnapshotSupplierParts {
  readonly partitionId: PartitionId;
  readonly clusterId: string;
  readonly environment: Environment;
  readonly facts: Pick<SnapshotFacts, 'replicaId' | 'nodeId' | 'softwareVersion'>;
  readonly isLeader: () => boolean;
  /** A state that the group stands for. @throws LogboomError NOT_LEADER, SNAPSHOT_NOT_CONFIRMED, STATE_DIVERGED, ... */
  readonly pin: (signal: AbortSignal) => Promise<Checkpoint>;
  readonly logicalView: (state: StateScan) => Promise<LogicalView>;
  /** The node's places for states that are offered. */
  readonly slots: Slots;
  readonly sizes: SnapshotSizes;
  readonly bytesPerSecondMax: number;
  /** What nobody has asked for any more for so long is given up. */
  readonly idleMs: number;
}

interface Preparing {
  readonly abort: AbortController;
  done: Promise<void>;
  lsn: Lsn;
  progress: SnapshotProgress;
}

interface Offered {
  readonly snapshot: PinnedSnapshot;
  /** Gives back the node's place. */
  readonly release: () => void;
  /** Chunks that are being made. */
  readonly making: Slots;
  readonly abort: AbortController;
  underWay: number;
}

export class SnapshotSupplier {
  readonly #parts: SnapshotSupplierParts;
  readonly #stopping = new AbortController();
  #preparing: Preparing | undefined;
  #offered: Offered | undefined;
  /** Those that are not offered any more, until nobody reads them. */
  readonly #closing = new Set<Promise<void>>();
  /** What the last preparation ended with, for the next one who asks. */
  #failure: Error | undefined;
  #usedMs = 0;

  constructor(parts: SnapshotSupplierParts) {
    this.#parts = parts;
  }

  /**
   * @throws LogboomError NOT_LEADER when this replica has nothing to offer and does not lead; SNAPSHOT_NOT_FOUND when what is asked
   * for is not offered, or not any more; DATA_CORRUPT, SNAPSHOT_NOT_CONFIRMED, ... when no state can be pinned
   */
  async answer(bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    this.#stopping.signal.throwIfAborted();
    const request = decodePeerRequest(bytes);
    this.#usedMs = this.#parts.environment.clock.monotonicMs();
    switch (request.type) {
      case 'open':
        return this.#open(request.minLsn);
      case 'manifest':
        return this.#of(request.id).snapshot.encodedManifest.subarray(
          request.offset,
          request.offset + manifestPartBytes,
        );
      case 'chunk':
        return this.#chunk(this.#of(request.id), request.name, signal);
      case 'close':
        if (this.#offered?.snapshot.id === request.id) this.#withdraw();
        return new Uint8Array(0);
    }
  }

  /** About once a second. */
  tick(): void {
    const idleMs = this.#parts.environment.clock.monotonicMs() - this.#usedMs;
    if (idleMs < this.#parts.idleMs) return;
    this.#preparing?.abort.abort(new Error('nobody asks for it any more'));
    if (this.#offered?.underWay === 0) this.#withdraw();
  }

  halt(reason: LogboomError): void {
    this.#stopping.abort(reason);
    this.#preparing?.abort.abort(reason);
    this.#withdraw();
  }

  /** Resolves when nothing is pinned any more, after `halt`. */
  async ended(): Promise<void> {
    await this.#preparing?.done;
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #open(minLsn: Lsn): Uint8Array {
    const offered = this.#offered?.snapshot;
    if (offered !== undefined && offered.manifest.lsn >= minLsn) {
      const { id, manifest, encodedManifest } = offered;
      return encodeOpenAnswer({ type: 'ready', id, lsn: manifest.lsn, manifestBytes: encodedManifest.length });
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    this.#preparing ??= this.#prepare();
    const { lsn, progress } = this.#preparing;
    return encodeOpenAnswer({ type: 'preparing', lsn, ...progress });
  }

  #prepare(): Preparing {
    const { partitionId, isLeader } = this.#parts;
    if (!isLeader()) {
      throw new LogboomError(
        'NOT_LEADER',
        `this replica of partition ${partitionId} neither leads nor offers a snapshot`,
        {
          facts: { partition: partitionId },
          retryAfterMs: 1000,
        },
      );
    }
    // One that is too old for whoever asks is trimmed past: it is of no use to others either.
    this.#withdraw();
    const preparing: Preparing = {
      abort: new AbortController(),
      done: Promise.resolve(),
      lsn: asLsn(0),
      progress: { bytesDone: 0, bytesTotal: 0 },
    };
    preparing.done = this.#pinAndMeasure(preparing)
      .catch((error: unknown) => {
        if (!preparing.abort.signal.aborted) this.#failure = error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => (this.#preparing = undefined));
    return preparing;
  }

  async #pinAndMeasure(preparing: Preparing): Promise<void> {
    const { partitionId, clusterId, environment, facts, slots, sizes, bytesPerSecondMax, pin, logicalView } =
      this.#parts;
    const { signal } = preparing.abort;
    const release = await slots.take(signal);
    try {
      const { state, lsn, term, confState } = await pin(signal);
      preparing.lsn = lsn;
      const snapshot = await PinnedSnapshot.of({
        environment,
        clusterId,
        partitionId,
        state,
        logicalView,
        facts: { lsn, term, confState, stateHash: state.stateHash, ...facts },
        sizes,
        signal,
        bytesPerSecondMax,
        onProgress: (progress) => (preparing.progress = progress),
      });
      if (signal.aborted) await snapshot.close();
      signal.throwIfAborted();
      environment.logger.info('a snapshot is offered to replicas that need it', {
        lsn,
        chunks: snapshot.manifest.chunks.length,
      });
      this.#offered = {
        snapshot,
        release,
        making: new Slots(sizes.chunksInFlightMax),
        abort: new AbortController(),
        underWay: 0,
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  #of(id: string): Offered {
    const offered = this.#offered;
    if (offered?.snapshot.id === id) return offered;
    const { partitionId } = this.#parts;
    throw new LogboomError('SNAPSHOT_NOT_FOUND', `partition ${partitionId} offers no snapshot ${id}, or not any more`, {
      facts: { partition: partitionId, snapshot: id },
    });
  }

  async #chunk(offered: Offered, name: string, signal: AbortSignal): Promise<Uint8Array> {
    offered.underWay += 1;
    const ending = AbortSignal.any([signal, offered.abort.signal]);
    try {
      const release = await offered.making.take(ending);
      try {
        return await offered.snapshot.chunk(name);
      } catch (error) {
        // A state that does not give what it gave before, or cannot be read any more, is of no use to anybody.
        const isOfNoUse = !isLogboomError(error, 'SNAPSHOT_NOT_FOUND') && this.#offered === offered;
        if (isOfNoUse) this.#withdraw();
        throw error;
      } finally {
        release();
      }
    } finally {
      offered.underWay -= 1;
      this.#usedMs = this.#parts.environment.clock.monotonicMs();
    }
  }

  /** It is closed when the chunks that are being made of it are done; no more of them are begun. */
  #withdraw(): void {
    const offered = this.#offered;
    if (offered === undefined) return;
    this.#offered = undefined;
    const { partitionId, environment, sizes } = this.#parts;
    const gone = new LogboomError(
      'SNAPSHOT_NOT_FOUND',
      `the snapshot of partition ${partitionId} is not offered any more`,
    );
    offered.abort.abort(gone);
    const close = async (): Promise<void> => {
      const none = new AbortController().signal;
      for (let place = 0; place < sizes.chunksInFlightMax; place += 1) await offered.making.take(none);
      await offered.snapshot.close();
    };
    const closing = close()
      .catch((error: unknown) => environment.logger.warn('a pinned state was not closed', { error: String(error) }))
      .finally(() => {
        offered.release();
        this.#closing.delete(closing);
      });
    this.#closing.add(closing);
  }
}
