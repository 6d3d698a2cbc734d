/** Watches the free space of the data directory: below the low-water mark appends are refused, until there is space. */
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { AppendAdmission } from './admission.js';

export interface DiskWatchOptions {
  readonly directory: string;
  /** 0: the space is only reported. */
  readonly lowWaterMarkBytes: number;
  readonly checkIntervalMs: number;
}

/**
 * Free space at which a refused node accepts appends again: a quarter above the mark, so that it does not turn on and off
 * with every file that a compaction writes and deletes.
 */
export function resumeMarkBytes(lowWaterMarkBytes: number): number {
  return Math.ceil(lowWaterMarkBytes * 1.25);
}

export class DiskWatch {
  readonly #environment: Environment;
  readonly #options: DiskWatchOptions;
  readonly #admission: Pick<AppendAdmission, 'setDiskFull'>;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #freeBytes = 0;
  #full = false;

  constructor(environment: Environment, admission: Pick<AppendAdmission, 'setDiskFull'>, options: DiskWatchOptions) {
    this.#environment = environment;
    this.#admission = admission;
    this.#options = options;
  }

  get freeBytes(): number {
    return this.#freeBytes;
  }

  get isFull(): boolean {
    return this.#full;
  }

  /** Looks once, then goes on by itself until `stop`. */
  async run(): Promise<void> {
    await this.check();
    this.#loop = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async check(): Promise<void> {
    const { disk, logger, metrics } = this.#environment;
    const { directory, lowWaterMarkBytes } = this.#options;
    try {
      this.#freeBytes = await disk.freeBytes(directory);
    } catch (error) {
      logger.warn('the free space of the disk is unknown', { directory, error });
      return;
    }
    metrics
      .gauge('logboom_disk_free_bytes', 'Free bytes of the file system of the data directory.')
      .set(this.#freeBytes);
    const wasFull = this.#full;
    if (this.#freeBytes < lowWaterMarkBytes) this.#full = true;
    else if (this.#freeBytes >= resumeMarkBytes(lowWaterMarkBytes)) this.#full = false;
    if (this.#full) this.#admission.setDiskFull({ freeBytes: this.#freeBytes, lowWaterMarkBytes });
    metrics
      .gauge('logboom_disk_full', '1 while appends are refused because the disk has reached its low-water mark.')
      .set(this.#full ? 1 : 0);
    if (this.#full === wasFull) return;
    const fields = { directory, freeBytes: this.#freeBytes, lowWaterMarkBytes };
    if (this.#full) {
      logger.warn('the disk has reached its low-water mark: appends are refused until there is space', fields);
    } else {
      this.#admission.setDiskFull(undefined);
      logger.info('the disk has space again: appends are accepted', fields);
    }
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await sleep(this.#environment.clock, this.#options.checkIntervalMs, signal);
      if (signal.aborted) return;
      await this.check();
    }
  }
}
