/** Whether the disk under a node's log does its work, looked at once a tick. */
import type { LogboomError } from '../base/errors.js';
import type { Logger } from '../base/ports/logger.js';
import type { StorageFault } from '../raft/types.js';
import type { WriteAheadLog } from '../wal/types.js';

export interface DiskWatchParts {
  readonly wal: Pick<WriteAheadLog, 'space' | 'writeAgeMs'>;
  /** A disk that is at one write of the log for longer hangs. */
  readonly hangMs: number;
  /** Why the node takes no appends, besides what the log says. */
  readonly refusal: () => LogboomError | undefined;
  readonly logger: Logger;
}

export class DiskWatch {
  readonly #parts: DiskWatchParts;
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
    const { wal, hangMs, logger } = this.#parts;
    const { writeAgeMs } = wal;
    // A process that stood still finds writes old that were done long since, and hears of it before its second tick.
    this.#lateTicks = writeAgeMs > hangMs ? this.#lateTicks + 1 : 0;
    const before = this.#fault;
    // A disk that is full takes votes for a long time yet; one that hangs takes nothing.
    this.#fault = this.#lateTicks >= 2 ? 'hang' : this.#isFull ? 'full' : undefined;
    if (this.#fault === 'hang' && before !== 'hang') {
      logger.error('the disk hangs: a write to the log does not come to an end', { writeAgeMs, hangMs });
    }
    if (before === 'hang' && this.#fault !== 'hang') logger.info('the disk takes writes to the log again');
  }

  get #isFull(): boolean {
    return this.#parts.wal.space === 'low' || this.#parts.refusal()?.reason === 'DISK_FULL';
  }
}
