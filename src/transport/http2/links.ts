import { LogboomError } from '../../base/errors.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import { sleep } from '../../base/ports/clock.js';
import type { WireMessage } from '../../raft/index.js';
import { unreachable } from '../failures.js';
import { linkMetrics } from '../metrics.js';
import { resolveLinkOptions } from '../options.js';
import type {
  CallMethod,
  CallOptions,
  LinkEnvironment,
  LinkParts,
  LinksConfiguration,
  NodeAddress,
  NodeLinks,
  PeerStatus,
} from '../types.js';
import { LinkServer } from './link-server.js';
import { callOnce } from './outgoing-call.js';
import { PeerLink } from './peer-link.js';
import { openSession } from './sessions.js';

const drainPollMs = 10;

/**
 * All links of a node: one server for those who talk to it, and one session to each peer it talks to. Messages may be
 * lost, and after a break repeated by Raft, but those of one connection arrive in order and unchanged.
 */
export class Links implements NodeLinks {
  readonly #parts: LinkParts;
  readonly #server: LinkServer;
  readonly #peers = new Map<NodeId, PeerLink>();
  readonly #methods = new Map<string, CallMethod>();
  #state: 'new' | 'running' | 'stopped' = 'new';

  /** @throws LogboomError CONFIGURATION_INVALID */
  constructor(environment: LinkEnvironment, { listen, host, tls, options }: LinksConfiguration) {
    this.#parts = {
      environment,
      options: resolveLinkOptions(options ?? {}),
      metrics: linkMetrics(environment.metrics),
      host,
      tls,
    };
    this.#server = new LinkServer(this.#parts, listen, this.#methods, {
      onPeer: ({ nodeId }) => this.#peers.get(nodeId)?.wake(),
    });
  }

  /** Makes a method callable by other nodes; its name is one path segment: lower case, digits and `-`. */
  handle(method: string, implementation: CallMethod): void {
    if (!/^[a-z0-9-]+$/.test(method) || this.#methods.has(method)) {
      throw new LogboomError('CONFIGURATION_INVALID', `'${method}' cannot be the name of another method for nodes`);
    }
    this.#methods.set(method, implementation);
  }

  /**
   * Listens and connects to all peers; answers the address that was taken.
   *
   * @throws LogboomError ADDRESS_IN_USE, CONFIGURATION_INVALID
   */
  async run(): Promise<NodeAddress> {
    const address = await this.#server.run();
    if (this.#state === 'new') this.#state = 'running';
    if (this.#state === 'running') for (const peer of this.#peers.values()) peer.run();
    return address;
  }

  /** The certificates of `tls` have changed: connections from here on show and trust the new ones. Others stay. */
  renewTls(): void {
    this.#server.renewTls();
  }

  /** Adds a peer, or tells where it is now. This node itself is no peer. */
  setPeer(nodeId: NodeId, address: NodeAddress): void {
    const known = this.#peers.get(nodeId);
    if (known !== undefined) return known.changeAddress(address);
    const peer = new PeerLink(this.#parts, nodeId, address);
    this.#peers.set(nodeId, peer);
    if (this.#state === 'running') peer.run();
  }

  /** Ends the link both ways. `admit` must refuse the node from here on, or it will be back. */
  removePeer(nodeId: NodeId): void {
    this.#peers.get(nodeId)?.stop();
    this.#peers.delete(nodeId);
    this.#server.forget(nodeId);
  }

  /** Messages of one partition to a peer, in order. Never blocks; what cannot be sent is dropped and reported. */
  send(nodeId: NodeId, partitionId: PartitionId, messages: readonly WireMessage[]): void {
    this.#peers.get(nodeId)?.send(partitionId, messages);
  }

  /** A sign of life to all peers that are connected; `epoch` is an integer from 0 to 2^53 - 1. */
  sendPresence(epoch: number): void {
    for (const peer of this.#peers.values()) peer.sendPresence(epoch);
  }

  /**
   * Asks a peer.
   *
   * @throws LogboomError what the other node answered; NODE_UNREACHABLE (fact `outcome`), DEADLINE_EXCEEDED, CANCELLED,
   * QUEUE_FULL, MESSAGE_TOO_LARGE, LINK_CORRUPT, UNIMPLEMENTED, or why it was refused
   */
  call(nodeId: NodeId, method: string, request: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const peer = this.#peers.get(nodeId);
    return peer === undefined ? Promise.reject(unknownPeer(nodeId)) : peer.call(method, request, options);
  }

  /**
   * Asks a peer for a sequence of messages, which comes no faster than it is read. To be read by `for await`; leaving the
   * loop cancels the call.
   *
   * @throws LogboomError as `call`, while it is read
   */
  async *callStream(
    nodeId: NodeId,
    method: string,
    request: Uint8Array,
    options: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const peer = this.#peers.get(nodeId);
    if (peer === undefined) throw unknownPeer(nodeId);
    yield* peer.callStream(method, request, options);
  }

  /**
   * Asks whoever answers at an address, through a session of its own: for methods with access `open`, before membership.
   *
   * @throws LogboomError as `call`
   */
  async callAt(
    address: NodeAddress,
    method: string,
    request: Uint8Array,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const { session, destroy } = openSession(this.#parts, address);
    session.on('error', () => {});
    try {
      return await callOnce(this.#parts, session, { method, request, toNodeId: undefined, options });
    } finally {
      destroy();
    }
  }

  /** Of every peer, in order of node id. */
  get status(): readonly PeerStatus[] {
    return [...this.#peers.values()]
      .map((peer) => peer.status(this.#server.receivedFrom(peer.nodeId)))
      .toSorted((left, right) => left.nodeId - right.nodeId);
  }

  /**
   * Refuses new calls of other nodes, lets those under way end and queued messages leave, at most for `timeoutMs`.
   * Messages go both ways until `stop`.
   */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#parts.environment;
    const endMs = clock.monotonicMs() + timeoutMs;
    const done = new AbortController();
    await Promise.race([this.#server.drain(), sleep(clock, timeoutMs, done.signal)]);
    done.abort();
    while (clock.monotonicMs() < endMs && [...this.#peers.values()].some((peer) => !peer.isIdle)) {
      await sleep(clock, drainPollMs);
    }
  }

  /** Closes everything; nothing is delivered or reported afterwards. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    for (const peer of this.#peers.values()) peer.stop();
    await this.#server.stop();
  }
}

function unknownPeer(nodeId: NodeId): LogboomError {
  return unreachable(`node ${nodeId} is no peer of this node`, 'not-sent');
}
