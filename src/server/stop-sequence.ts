import type { Logger } from '../base/ports/logger.js';

type Stop = () => Promise<void> | void;

/** What stops each part that was started, in the order of the starts. */
export class StopSequence {
  readonly #logger: Logger;
  readonly #stops: Stop[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  push(...stops: Stop[]): void {
    this.#stops.push(...stops);
  }

  /** Last started, first stopped. All of them, also when one fails; the first failure is told. */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (const stop of this.#stops.splice(0).toReversed()) {
      try {
        await stop();
      } catch (error) {
        failures.push(error);
        this.#logger.error('a part of the node did not stop cleanly', { error });
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
