/**
 * Who is let in: on every member the door, on the node that leads the metadata the decision.
 *
 * A node whose id is new is registered when it has shown what only nodes have; otherwise it waits until an operator approves it.
 * One that comes with an empty data directory under the id of a node that is known waits as well, until an operator says that
 * the old data is gone for good: what that has promised is not on the new disk.
 */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { seatIn } from './formation-record.js';
import {
  decodeJoinAnswer,
  decodeJoinRequest,
  encodeJoinAnswer,
  encodeJoinRequest,
  joinRequestBytesMax,
} from './join-call.js';
import { notLeader } from './metadata-proposals.js';
import type { NodeId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { ClusterState, NodeDescription, NodeView } from '../../metadata/index.js';
import type { CallMethod } from '../../transport/index.js';
import type { FormationRecord } from './formation-record.js';
import type { JoinAnswer, JoinRequest, JoinTrust } from './join-call.js';
import type { MetadataProposals } from './metadata-proposals.js';

/** A node that waits asks every second. */
const pendingMs = 10_000;
const pendingMax = 64;

/** A node that waits for an operator. */
export interface PendingNode {
  readonly node: NodeDescription;
  readonly kind: 'add' | 'replace';
}

export interface JoinDeskParts {
  readonly clock: Clock;
  readonly nodeId: NodeId;
  readonly proposals: MetadataProposals;
  readonly state: () => ClusterState | undefined;
  /** What the cluster was formed of; undefined while this node is no member. */
  readonly record: () => FormationRecord | undefined;
  readonly leader: () => NodeId | undefined;
  /** Nodes that answer now. */
  readonly connected: () => readonly NodeId[];
  /** Name that the certificates of all nodes carry on links, and nobody else's; empty: each carries its host. */
  readonly sharedName: string;
  readonly call: (nodeId: NodeId, request: Uint8Array) => Promise<Uint8Array>;
  /** What the first node to join has to wait for; undefined: nothing. @throws LogboomError why none can */
  readonly prepare: () => string | undefined;
}

export class JoinDesk {
  readonly #parts: JoinDeskParts;
  readonly #pending = new Map<NodeId, PendingNode & { readonly seenMs: number }>();

  constructor(parts: JoinDeskParts) {
    this.#parts = parts;
  }

  /** Those that wait for an operator; known on the node that leads the metadata. */
  get pending(): readonly PendingNode[] {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const [id, { seenMs }] of this.#pending) if (nowMs - seenMs > pendingMs) this.#pending.delete(id);
    return [...this.#pending.values()].map(({ node, kind }) => ({ node, kind }));
  }

  /** Of nodes that are no members yet. */
  get door(): CallMethod {
    return {
      kind: 'unary',
      access: 'certified',
      requestBytesMax: joinRequestBytesMax,
      handle: async (request, { hello, isCertifiedFor }) => {
        const { node } = decodeJoinRequest(request);
        if (node.id !== hello.nodeId || node.incarnation !== hello.incarnation) {
          throw new LogboomError('INVALID_ARGUMENT', 'a node speaks for itself only');
        }
        return encodeJoinAnswer(await this.#passOn(node, this.#trustOf(node, isCertifiedFor)));
      },
    };
  }

  /** Of members, for nodes that have asked them. */
  get forwarded(): CallMethod {
    return {
      kind: 'unary',
      access: 'members',
      requestBytesMax: joinRequestBytesMax,
      handle: async (request) => encodeJoinAnswer(await this.#decide(decodeJoinRequest(request))),
    };
  }

  /** An operator lets in a node that waits. @throws LogboomError NODE_NOT_FOUND; the reason of a refusal */
  async approve(nodeId: NodeId): Promise<void> {
    const clusterId = this.#parts.record()?.clusterId ?? '';
    const node = this.#waiting(nodeId, 'add');
    const because = this.#parts.prepare();
    if (because !== undefined) {
      throw new LogboomError('SNAPSHOT_PENDING', `node ${nodeId} cannot be let in yet: ${because}`, {
        retryAfterMs: 1000,
      });
    }
    await this.#parts.proposals.propose({ type: 'register-node', clusterId, node });
  }

  /** An operator gives up the data of a node for one that waits. @throws LogboomError NODE_NOT_FOUND; the reason of a refusal */
  async replace(nodeId: NodeId): Promise<void> {
    const node = this.#waiting(nodeId, 'replace');
    const oldIncarnation = this.#parts.state()?.nodes.get(nodeId)?.incarnation ?? '';
    await this.#parts.proposals.propose({ type: 'replace-node', oldIncarnation, node });
  }

  /** Those that have stopped asking go, and then the one that asked first: whoever still waits asks again. */
  #makeRoom(): void {
    const [first] = this.pending.length < pendingMax ? [] : this.#pending.keys();
    if (first !== undefined) this.#pending.delete(first);
  }

  #waiting(nodeId: NodeId, kind: PendingNode['kind']): NodeDescription {
    const found = this.pending.find((one) => one.node.id === nodeId && one.kind === kind);
    if (found !== undefined) return found.node;
    const what =
      kind === 'add'
        ? `no node ${nodeId} waits to be let in: start it with an empty data directory and cluster.join`
        : `no new node ${nodeId} waits to take its place: start it with an empty data directory, its old node id, and ` +
          'cluster.join; if it runs already with its old one, there is nothing to replace';
    throw new LogboomError('NODE_NOT_FOUND', what, { facts: { node: nodeId } });
  }

  /** @throws LogboomError NODE_CERTIFICATE_MISMATCH */
  #trustOf({ id, linkAddress }: NodeDescription, isCertifiedFor: ((host: string) => boolean) | undefined): JoinTrust {
    if (isCertifiedFor === undefined) return 'shared';
    const { sharedName } = this.#parts;
    const host = sharedName === '' ? linkAddress.slice(0, linkAddress.lastIndexOf(':')) : sharedName;
    if (isCertifiedFor(host)) return sharedName === '' ? 'certificate' : 'shared';
    throw new LogboomError(
      'NODE_CERTIFICATE_MISMATCH',
      `node ${id} says that its links are at ${linkAddress}, and its certificate is not one for ${host}`,
      { facts: { node: id, names: host } },
    );
  }

  async #passOn(node: NodeDescription, trust: JoinTrust): Promise<JoinAnswer> {
    const { record, proposals, leader, nodeId, call } = this.#parts;
    if (record() === undefined) {
      throw new LogboomError('CLUSTER_NOT_FORMED', 'this node does not belong to a cluster yet', {
        retryAfterMs: 1000,
      });
    }
    if (proposals.isLeader) return this.#decide({ node, trust });
    const to = leader();
    if (to === undefined || to === nodeId) throw notLeader();
    try {
      return decodeJoinAnswer(await call(to, encodeJoinRequest(node, trust)));
    } catch (error) {
      // This node itself is turned away, removed for one: that says nothing of the node that asks, which would end by it.
      const isOwn = isLogboomError(error) && error.facts['node'] === nodeId && node.id !== nodeId;
      throw isOwn ? notLeader() : error;
    }
  }

  /** @throws LogboomError why the node is not let in */
  async #decide({ node, trust }: JoinRequest): Promise<JoinAnswer> {
    const { proposals, state: stateOf, record } = this.#parts;
    const [state, formed] = [stateOf(), record()];
    if (!proposals.isLeader || state === undefined || formed === undefined) throw notLeader();
    const known = state.nodes.get(node.id);
    const isNew = known === undefined || (known.state === 'removed' && known.incarnation !== node.incarnation);
    if (isNew) return this.#newNode(node, trust, formed.clusterId);
    if (known.state === 'removed' || known.retiredIncarnations.includes(node.incarnation)) throw retired(node.id);
    if (known.incarnation !== node.incarnation) return this.#otherIncarnation(known, node);
    const seat = seatIn(state, node.id);
    if (seat === undefined)
      return { type: 'wait', because: 'it is registered, and is to get a replica of the metadata' };
    this.#pending.delete(node.id);
    return { type: 'welcome', record: { ...formed, seat } };
  }

  async #newNode(node: NodeDescription, trust: JoinTrust, clusterId: string): Promise<JoinAnswer> {
    if (trust === 'certificate') {
      this.#makeRoom();
      this.#pending.set(node.id, { node, kind: 'add', seenMs: this.#parts.clock.monotonicMs() });
      return { type: 'wait', because: `an operator has to approve it: "logboom cluster add ${node.id}"` };
    }
    const because = this.#parts.prepare();
    if (because !== undefined) return { type: 'wait', because };
    await this.#parts.proposals.propose({ type: 'register-node', clusterId, node });
    return { type: 'wait', because: 'it is registered, and is to get a replica of the metadata' };
  }

  #otherIncarnation(known: NodeView, node: NodeDescription): JoinAnswer {
    if (this.#parts.nodeId === node.id || this.#parts.connected().includes(node.id)) {
      throw new LogboomError(
        'NODE_INCARNATION_MISMATCH',
        `node ${node.id} is in the cluster and answers, at ${known.linkAddress}, with another data directory: two nodes cannot ` +
          'have one id. Give this one another node id',
        { facts: { node: node.id, incarnation: node.incarnation, registered_incarnation: known.incarnation } },
      );
    }
    this.#makeRoom();
    this.#pending.set(node.id, { node, kind: 'replace', seenMs: this.#parts.clock.monotonicMs() });
    return {
      type: 'wait',
      because:
        `the cluster knows node ${node.id} with another data directory (incarnation ${known.incarnation}): its votes and ` +
        'entries are not in this one. Put that one back; or, when it is gone for good, "logboom cluster replace ' +
        `${node.id}"`,
    };
  }
}

function retired(nodeId: NodeId): LogboomError {
  return new LogboomError(
    'NODE_REMOVED',
    `node ${nodeId} was removed from the cluster with this data directory: it can join again only with an empty one`,
    { facts: { node: nodeId } },
  );
}
