import type { Logger } from '../base/ports/logger.js';
import type { ClusterDescription } from './messages.js';
import type { Routes } from './routes.js';

/** How old what is known of the cluster may become while it is used. */
const ageMsMax = 10_000;
/** Least time between two refreshes; while they do not help it doubles up to the second. */
const intervalMsMin = 200;
const intervalMsMax = 5_000;
/** Nodes asked in one refresh. */
const askedMax = 3;

export interface MapRefreshParts {
  readonly routes: Routes;
  readonly logger: Logger;
  /** One question to one node, bounded in time. */
  readonly describe: (address: string) => Promise<ClusterDescription>;
  readonly nowMs?: () => number;
}

/**
 * Keeps what a client knows of the cluster up to date: one refresh at a time, at a bounded rate, and only while there are
 * requests, so that an idle client is silent.
 */
export class MapRefresh {
  readonly #parts: MapRefreshParts;
  readonly #nowMs: () => number;
  #running: Promise<void> | undefined;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #learnedAtMs = Number.NEGATIVE_INFINITY;
  /** Refreshes one soon after another: the ones before have failed, or told of no leader. */
  #fruitless = 0;

  constructor(parts: MapRefreshParts) {
    this.#parts = parts;
    this.#nowMs = parts.nowMs ?? ((): number => performance.now());
  }

  get isFresh(): boolean {
    return this.#nowMs() - this.#learnedAtMs <= ageMsMax;
  }

  /** To be called when what is known was used: `isDoubtful` when it did not lead to a leader. */
  used(isDoubtful: boolean): void {
    if (isDoubtful || !this.isFresh) void this.refresh();
  }

  /** Resolves when it is done, whether it succeeded or not; at once when the last one was just now. */
  refresh(): Promise<void> {
    if (this.#running) return this.#running;
    const intervalMs = Math.min(intervalMsMax, intervalMsMin * 2 ** this.#fruitless);
    const nowMs = this.#nowMs();
    if (nowMs - this.#startedAtMs < intervalMs) return Promise.resolve();
    if (nowMs - this.#startedAtMs > ageMsMax) this.#fruitless = 0;
    else this.#fruitless += 1;
    this.#startedAtMs = nowMs;
    this.#running = this.#ask().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Another call has brought a description. */
  learned(description: ClusterDescription): void {
    this.#learnedAtMs = this.#nowMs();
    this.#parts.routes.learn(description);
  }

  async #ask(): Promise<void> {
    const { routes, describe, logger } = this.#parts;
    for (const address of routes.candidates().slice(0, askedMax)) {
      try {
        const description = await describe(address);
        routes.answered(address);
        this.learned(description);
        return;
      } catch (error) {
        logger.debug('a node did not describe the cluster', { address, error });
        routes.failed({ address, partition: undefined }, error);
      }
    }
  }
}
