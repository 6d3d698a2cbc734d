/**
 * Where other nodes are: what the configuration lists, and what the metadata says. Neither is always newer: an operator moves
 * nodes by changing the list, and a node that was moved tells the metadata. So the list counts first, and a node that is not
 * found there is looked for at the other address.
 */
import type { NodeId } from '../../base/ids.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { ListedNode } from '../config/index.js';

export class PeerAddresses {
  readonly #self: NodeId;
  readonly #listed: ReadonlyMap<number, string>;
  readonly #used = new Map<NodeId, string>();
  #told = new Map<NodeId, string>();

  constructor(self: NodeId, listed: readonly ListedNode[]) {
    this.#self = self;
    this.#listed = new Map(listed.map(({ id, linkAddress }) => [id, linkAddress]));
  }

  /** The address to use of each; one that was moved while this node runs is there where it says. */
  known(nodes: readonly Pick<NodeDescription, 'id' | 'linkAddress'>[]): { id: NodeId; address: string }[] {
    const known = nodes.map(({ id, linkAddress }) => {
      const before = this.#told.get(id);
      const hasMoved = before !== undefined && before !== linkAddress;
      const address = hasMoved ? linkAddress : (this.#used.get(id) ?? this.#listed.get(id) ?? linkAddress);
      this.#used.set(id, address);
      return { id, address };
    });
    this.#told = new Map(nodes.map(({ id, linkAddress }) => [id, linkAddress]));
    return known;
  }

  /** The one that is not in use of two; undefined when there is only one. */
  other(nodeId: NodeId): string | undefined {
    const [listed, told] = [this.#listed.get(nodeId), this.#told.get(nodeId)];
    const used = this.#used.get(nodeId);
    const other = [listed, told].find((address) => address !== undefined && address !== used);
    if (other !== undefined) this.#used.set(nodeId, other);
    return other;
  }

  /** Of all nodes but this one. */
  get all(): readonly string[] {
    const listed = [...this.#listed].filter(([id]) => id !== this.#self).map(([, address]) => address);
    return [...new Set([...this.#told.values(), ...listed])];
  }
}
