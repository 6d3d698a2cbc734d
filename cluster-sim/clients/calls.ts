/** Requests of clients to nodes, over a network of their own that may lose requests and answers. */
import { LogboomError } from '../../src/base/errors.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import type { Manager } from '../nodes/surroundings.js';
import type { RandomStream } from '../engine/random.js';

/** Where a call is served: the process that took it. */
export interface Serving {
  readonly node: SimulatedNode;
  readonly manager: Manager;
}

/** The call may or may not have been carried out. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';
}

const latencyMsMin = 0.3;
const latencyMsMax = 2;

export class Caller {
  readonly #cluster: Cluster;
  readonly #random: RandomStream;
  readonly #timeoutMs: number;

  constructor(cluster: Cluster, random: RandomStream, timeoutMs = 2000) {
    this.#cluster = cluster;
    this.#random = random;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @throws OutcomeUnknown when no answer came in time
   * @throws LogboomError as the node answered
   */
  call<Answer>(nodeId: number, work: (serving: Serving) => Promise<Answer>): Promise<Answer> {
    const { world, plan } = this.#cluster;
    return new Promise((resolve, reject) => {
      const timeout = world.after(this.#timeoutMs, () => reject(new OutcomeUnknown(`no answer of node ${nodeId}`)));
      const answer = (settle: () => void): void => {
        if (this.#isLost(plan.clients.loss)) return;
        world.after(this.#latencyMs(), () => {
          timeout.cancel();
          settle();
        });
      };
      if (this.#isLost(plan.clients.loss)) return;
      world.after(this.#latencyMs(), () => {
        const node = this.#cluster.node(nodeId);
        const manager = node?.manager;
        if (node === undefined || manager === undefined || !node.isUp) {
          answer(() => reject(new LogboomError('SHUTTING_DOWN', 'connection refused')));
          return;
        }
        node.clock.inProcess(() => {
          const isServing = (): boolean => node.manager === manager;
          carryOut(work, { node, manager }).then(
            (value) => isServing() && answer(() => resolve(value)),
            (error: Error) => isServing() && answer(() => reject(error)),
          );
        });
      });
    });
  }

  #latencyMs(): number {
    return this.#random.between(latencyMsMin, latencyMsMax);
  }

  #isLost(odds: number): boolean {
    return this.#cluster.faultsOn && this.#random.chance(odds);
  }
}

/** What throws at once fails the call, too. */
async function carryOut<Answer>(work: (serving: Serving) => Promise<Answer>, serving: Serving): Promise<Answer> {
  return work(serving);
}
