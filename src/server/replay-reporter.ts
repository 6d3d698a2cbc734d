/** Tells how far a start has replayed the log: records, rate, time left. */
import type { Environment } from '../base/ports/environment.js';
import type { ReplayProgress } from '../partition/index.js';

export class ReplayReporter {
  readonly #environment: Environment;
  #startedMs: number | undefined;
  #last: ReplayProgress = { entriesDone: 0, entriesTotal: 0 };

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Entries that there were to replay. */
  get entries(): number {
    return this.#last.entriesTotal;
  }

  report(progress: ReplayProgress): void {
    this.#last = progress;
    const { entriesDone, entriesTotal } = progress;
    if (entriesDone >= entriesTotal) return;
    const { clock, logger } = this.#environment;
    const nowMs = clock.monotonicMs();
    // The first report comes a second after the start; the rate counts from the first entry seen.
    this.#startedMs ??= nowMs - 1000;
    const entriesPerSecond = entriesDone / Math.max(0.001, (nowMs - this.#startedMs) / 1000);
    // A warning: whoever waits for the node is to see why it does not serve yet, also where only warnings are shown.
    logger.warn('the log is being replayed; the node serves when that is done', {
      entriesDone,
      entriesTotal,
      entriesPerSecond: Math.round(entriesPerSecond),
      secondsLeft: entriesPerSecond > 0 ? Math.ceil((entriesTotal - entriesDone) / entriesPerSecond) : undefined,
    });
  }

  finish(): void {
    if (this.#startedMs === undefined) return;
    const { clock, logger } = this.#environment;
    logger.info('the log was replayed', {
      entries: this.#last.entriesTotal,
      seconds: Number(((clock.monotonicMs() - this.#startedMs) / 1000).toFixed(1)),
    });
  }
}
