import { LogboomError } from '../../base/errors.js';
import type { NodeId } from '../../base/ids.js';

/** Limits the calls under way to one peer, in number and in request bytes. */
export class CallBudget {
  readonly #limits: { readonly callsMax: number; readonly callBytesMax: number };
  #calls = 0;
  #bytes = 0;

  constructor(limits: { readonly callsMax: number; readonly callBytesMax: number }) {
    this.#limits = limits;
  }

  get calls(): number {
    return this.#calls;
  }

  /**
   * Answers what is to be called, once, when the call is over.
   *
   * @throws LogboomError QUEUE_FULL
   */
  enter(nodeId: NodeId, requestBytes: number): () => void {
    const { callsMax, callBytesMax } = this.#limits;
    const tooManyBytes = this.#bytes > 0 && this.#bytes + requestBytes > callBytesMax;
    if (this.#calls >= callsMax || tooManyBytes) {
      throw new LogboomError(
        'QUEUE_FULL',
        `${this.#calls} calls with ${this.#bytes} bytes are under way to node ${nodeId}; send again later`,
        { facts: { node: nodeId, calls: this.#calls, bytes: this.#bytes, callsMax, callBytesMax }, retryAfterMs: 50 },
      );
    }
    this.#calls += 1;
    this.#bytes += requestBytes;
    return () => {
      this.#calls -= 1;
      this.#bytes -= requestBytes;
    };
  }
}
