/** Several servers of the API in this process that share their streams, as nodes of a cluster do. */
import { FakeServer, Refusal } from './fake-server.js';

const slotCount = 8;
const partition = 1;

/**
 * Every node serves every request, as nodes that pass requests on. One of them leads; what each believes of that can be
 * set apart.
 */
export class FakeCluster {
  readonly nodes: readonly FakeServer[];
  /** Index of the node that leads the only partition. */
  leader = 0;
  term = 1;
  /** What the nodes say about the leader; undefined: nothing. */
  told: () => { readonly node: number; readonly term: number } | undefined = () => ({
    node: this.leader,
    term: this.term,
  });
  /** Whether nodes refuse what they do not lead, as a node that knows no better way. */
  refuses = false;

  private constructor(nodes: readonly FakeServer[]) {
    this.nodes = nodes;
    for (const [index, node] of nodes.entries()) {
      node.streams = nodes[0]!.streams;
      node.cluster = () => this.#describe(index);
      node.before = (method) => this.check(index, method);
    }
  }

  static async start(count = 3): Promise<FakeCluster> {
    return new FakeCluster(await Promise.all(Array.from({ length: count }, () => new FakeServer().start())));
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  addresses(): string[] {
    return this.nodes.map(({ address }) => address);
  }

  /** Requests of that method that each node has had. */
  counts(method: string): number[] {
    return this.nodes.map((node) => node.count(method));
  }

  /** @throws Refusal with a hint */
  check(index: number, method: string): void {
    if (!this.refuses || index === this.leader || method === 'DescribeCluster') return;
    throw new Refusal('NOT_LEADER', {
      partition: String(partition),
      leader_address: this.nodes[this.leader]!.address,
    });
  }

  #describe(index: number): object {
    const told = this.told();
    return {
      nodes: this.nodes.map(({ address }, node) => ({ id: node + 1, advertisedAddresses: [address] })),
      slotPartitions: Array.from({ length: slotCount }, () => partition),
      answeredBy: index + 1,
      leaders: told === undefined ? [] : [{ partition, node: told.node + 1, term: told.term }],
    };
  }
}
