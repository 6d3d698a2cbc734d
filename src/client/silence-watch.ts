import { ClientError } from './errors.js';
import type { Route } from './routes.js';

/** Without a word for so long, a node that has a request is looked after. An election is over sooner. */
const silenceMsDefault = 1500;

/** What is needed of a connection. */
interface Examiner {
  examine(route: Route): Promise<boolean>;
}

/**
 * Watches over a request under way, for nodes that stand still or are cut off: their connections last for a long time, and
 * the leader is another one by then. A node that is merely slow answers a question in between, and is waited for.
 */
export class SilenceWatch {
  readonly #examiner: Examiner;
  readonly #route: Route;
  readonly #abandon: (error: Error) => void;
  readonly #silenceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #heardAtMs = performance.now();
  #ended = false;

  /** @param abandon is called at most once, to end a request that may be sent elsewhere */
  constructor(examiner: Examiner, route: Route, abandon: (error: Error) => void, silenceMs = silenceMsDefault) {
    this.#examiner = examiner;
    this.#route = route;
    this.#abandon = abandon;
    this.#silenceMs = silenceMs;
    this.#arm(silenceMs);
  }

  /** The node has answered something. */
  heard(): void {
    this.#heardAtMs = performance.now();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#look(), delayMs);
    // It is the request that keeps the process alive.
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const heardAtMs = this.#heardAtMs;
    const leftMs = heardAtMs + this.#silenceMs - performance.now();
    if (leftMs > 0) return this.#arm(leftMs);
    const isLost = await this.#examiner.examine(this.#route);
    if (this.#ended) return;
    if (!isLost || this.#heardAtMs !== heardAtMs) return this.#arm(this.#silenceMs);
    this.end();
    this.#abandon(new ClientError('CONNECTION_LOST', `the node does not answer (${this.#route.address})`));
  }
}
