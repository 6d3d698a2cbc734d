/** How far one replica's own log goes (rules 1 to 3 of the design): decides, asserts, and trims. */
import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import type { PartitionLog } from '../wal/types.js';
import type { ArchiveState } from './archive-state.js';
import type { ConfHistory } from './conf-history.js';
import type { ReplicaObserver } from './observer.js';
import { decideTrim, type TrimDecision } from './trim.js';
import type { TrimMode } from './types.js';
import type { Watermarks } from './watermarks.js';

export interface LogTrimmingParts {
  readonly mode: TrimMode;
  readonly hasRepository: boolean;
  readonly log: PartitionLog;
  readonly watermarks: Watermarks;
  readonly observer: ReplicaObserver | undefined;
  readonly confHistory: () => ConfHistory;
  readonly archive: () => ArchiveState;
  /** What keeps this replica, as the leader, from archiving or from proposing to trim; empty: nothing. */
  readonly leaderHolds: () => string;
  readonly nodesKnown: () => number;
}

export class LogTrimming {
  readonly #parts: LogTrimmingParts;

  constructor(parts: LogTrimmingParts) {
    this.#parts = parts;
  }

  decide(): TrimDecision {
    const { mode, hasRepository, log, watermarks, archive, leaderHolds, nodesKnown } = this.#parts;
    return decideTrim({
      mode,
      hasRepository,
      trimPoint: log.trimPoint,
      persistedLsn: watermarks.persisted,
      archive: archive(),
      leaderHolds: leaderHolds(),
      nodesKnown: nodesKnown(),
    });
  }

  /** As far as is safe now, with the configuration in force there. */
  trim(): void {
    const { mode, log, watermarks, observer, archive, confHistory } = this.#parts;
    const { trimPoint } = this.decide();
    if (trimPoint <= log.trimPoint) return;
    this.#assertSafe(mode, trimPoint, watermarks.persisted, archive().archivedLsn);
    observer?.onTrimPoint(trimPoint);
    log.setTrimPoint(trimPoint, confHistory().atTrimPoint(trimPoint));
    confHistory().forgetBelow(trimPoint);
  }

  /** Rules 1 and 3. With more than one node, the safe point is the archived LSN. */
  #assertSafe(mode: TrimMode, trimPoint: Lsn, persistedLsn: Lsn, archivedLsn: Lsn): void {
    assert(trimPoint <= persistedLsn, () => `trim point ${trimPoint} is above the persisted LSN ${persistedLsn}`);
    assert(
      mode !== 'archived' || trimPoint <= archivedLsn,
      () => `trim point ${trimPoint} is above the archived LSN ${archivedLsn}`,
    );
  }
}
