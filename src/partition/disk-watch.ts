/** Whether the disk under a node's log does its work, looked at once a tick. */
import type { LogboomError } from '../base/errors.js';
import type { Logger } from '../base/ports/logger.js';
import type { StorageFault } from '../raft/types.js';
import type { WriteAheadLog } from '../wal/types.js';

export interface DiskWatchParts {
  readonly wal: Pick<WriteAheadLog, 'space' | 'writeAgeMs'>;
  /** A disk that is at one write of the log for longer hangs, as long as it has not shown that it is only slow. */
  readonly hangMs: number;
  /** Why the node takes no appends, besides what the log says. */
  readonly refusal: () => LogboomError | undefined;
  readonly logger: Logger;
}

/** How much longer than `hangMs` a disk may take at the most that was taken for hanging and was not. */
const patienceMax = 8;
/** After so many ticks without a write that takes longer than `hangMs`, half of the patience is gone. */
const calmTicks = 1200;

/**
 * A disk that was taken for hanging, and came to the end of its write, was slow: next time it gets twice the time. When the disks of
 * all nodes are slow, under others' load for one, leaders that always gave up after the same time handed their leaderships around for
 * as long as it lasted, and nobody got anything written.
 */
export class DiskWatch {
  readonly #parts: DiskWatchParts;
  #patience = 1;
  #calmTicks = 0;
  #lateTicks = 0;
  #fault: StorageFault | undefined;

  constructor(parts: DiskWatchParts) {
    this.#parts = parts;
  }

  /** As of the last tick. */
  get fault(): StorageFault | undefined {
    return this.#fault;
  }

  tick(): void {
    const { wal, logger } = this.#parts;
    const { writeAgeMs } = wal;
    const hangMs = this.#patience * this.#parts.hangMs;
    // A process that stood still finds writes old that were done long since, and hears of it before its second tick.
    this.#lateTicks = writeAgeMs > hangMs ? this.#lateTicks + 1 : 0;
    const before = this.#fault;
    // A disk that is full takes votes for a long time yet; one that hangs takes nothing.
    this.#fault = this.#lateTicks >= 2 ? 'hang' : this.#isFull ? 'full' : undefined;
    if (this.#fault === 'hang' && before !== 'hang') {
      logger.error('the disk hangs: a write to the log does not come to an end', { writeAgeMs, hangMs });
    }
    if (before === 'hang' && this.#fault !== 'hang') {
      this.#patience = Math.min(patienceMax, 2 * this.#patience);
      logger.info('the disk takes writes to the log again');
    }
    this.#calmTicks = writeAgeMs > this.#parts.hangMs ? 0 : this.#calmTicks + 1;
    if (this.#calmTicks % calmTicks === 0 && this.#calmTicks > 0) this.#patience = Math.max(1, this.#patience / 2);
  }

  get #isFull(): boolean {
    return this.#parts.wal.space === 'low' || this.#parts.refusal()?.reason === 'DISK_FULL';
  }
}
