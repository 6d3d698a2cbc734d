/** What links need of their node, and what they answer. */
import type { LogboomError } from '../base/errors.js';
import type { NodeId, PartitionId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { WireMessage } from '../raft/index.js';
import type { Delivery } from './frame.js';
import type { Hello, LinkIdentity, MemberHello } from './identity.js';
import type { LinkMetrics } from './metrics.js';
import type { LinkOptions } from './options.js';

/** A host name or IP address (IPv6 without brackets) and a TCP port. */
export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Mutual TLS: each side shows its certificate and verifies the other's. PEM. Read anew for every connection; the side that
 * takes connections is told of changes by `Links.renewTls`.
 */
export interface LinkTls {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** What certificates of other nodes must be signed by. */
  readonly certificateAuthority: Uint8Array;
  /** The name that certificates of other nodes must carry; by default the host that is connected to. */
  readonly serverName?: string | undefined;
  /**
   * Names of which a certificate must carry one so that whoever connects with it is taken for that node; undefined: for a
   * node that does not say which one it is.
   */
  readonly namesOf: (nodeId: NodeId | undefined) => readonly string[];
}

/** Partitions that may have lost messages to a peer. */
export type LossScope = readonly PartitionId[] | 'all';

/** The node as its links see it. */
export interface LinkHost {
  /** Asked anew for every stream: what a node is changes when it joins. */
  identity(): LinkIdentity;
  /**
   * Whether to talk to a member of this node's cluster; asked on both sides of every link, and for every call. `undefined`
   * admits; an error is sent to the other side, which shows it to its operator.
   */
  admit(hello: MemberHello): LogboomError | undefined;
  /**
   * Takes messages, in order. Data of entries are views of what was received. No more is read from the peer before an
   * answered promise is settled; it must not reject.
   */
  deliver(from: NodeId, deliveries: readonly Delivery[]): void | Promise<void>;
  /** A sign of life of a peer. */
  onPresence(from: NodeId, epoch: number): void;
  /** Messages of these partitions to `nodeId` were, or may have been, lost: their cores shall probe. Once an episode. */
  onUnreachable(nodeId: NodeId, partitions: LossScope): void;
}

export interface CallContext {
  readonly hello: Hello;
  /** Aborts when the caller is gone, its deadline has passed or this node stops; `reason` is the LogboomError. */
  readonly signal: AbortSignal;
  /** What is left of the caller's patience as the call arrived; undefined when it has no end. */
  readonly timeoutMs: number | undefined;
  /** Whether the caller's certificate is one for a host; undefined without TLS. */
  readonly isCertifiedFor: ((host: string) => boolean) | undefined;
}

interface CallMethodBase {
  /**
   * `open`: usable by nodes that are no members yet; `admit` is not asked. `certified`: by whoever has a certificate of the
   * authority, also one that is not of a node that is known here; what it is for, the method has to look at.
   */
  readonly access: 'members' | 'open' | 'certified';
  readonly requestBytesMax: number;
}

/** A handler throws a LogboomError for every expected failure; it must give up when `context.signal` aborts. */
export type CallMethod =
  | (CallMethodBase & {
      readonly kind: 'unary';
      handle(request: Uint8Array, context: CallContext): Promise<Uint8Array>;
    })
  | (CallMethodBase & {
      /** The next message is asked for when the connection has taken the one before. */
      readonly kind: 'stream';
      handle(request: Uint8Array, context: CallContext): AsyncIterable<Uint8Array>;
    });

export interface CallOptions {
  /** From now to the end of the answer. Of a unary call by default `callDeadlineMs`; of a stream none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Of the answer, or of each message of a stream. */
  readonly responseBytesMax?: number;
}

export interface LinkFailure {
  readonly error: LogboomError;
  readonly atUnixMs: number;
}

export interface PeerStatus {
  readonly nodeId: NodeId;
  readonly address: NodeAddress;
  /** Of the link from this node to the peer. `waiting` for the next attempt to connect. */
  readonly state: 'connecting' | 'connected' | 'waiting' | 'stopped';
  /** What the peer says of itself; undefined unless connected. */
  readonly hello: MemberHello | undefined;
  /** Why the last connection, or the last attempt at one, ended. */
  readonly lastFailure: LinkFailure | undefined;
  /** The last answer of the peer that it does not talk to this node, or the reverse. */
  readonly lastRefusal: LinkFailure | undefined;
  readonly queueMessages: number;
  readonly queueBytes: number;
  readonly callsUnderWay: number;
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  readonly droppedMessages: number;
  /** Of the last ping; undefined unless connected. */
  readonly roundTripMs: number | undefined;
}

/** What a node uses of its links: `Links` over HTTP/2, in the simulator others over a simulated network. */
export interface NodeLinks {
  /** The methods of `Links`, which say what they do. */
  handle(method: string, implementation: CallMethod): void;
  run(): Promise<NodeAddress>;
  renewTls(): void;
  setPeer(nodeId: NodeId, address: NodeAddress): void;
  removePeer(nodeId: NodeId): void;
  send(nodeId: NodeId, partitionId: PartitionId, messages: readonly WireMessage[]): void;
  sendPresence(epoch: number): void;
  call(nodeId: NodeId, method: string, request: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  callAt(address: NodeAddress, method: string, request: Uint8Array, options?: CallOptions): Promise<Uint8Array>;
  readonly status: readonly Pick<PeerStatus, 'nodeId' | 'state'>[];
  stop(): Promise<void>;
}

/** Of one node; what it connects to and listens on is its own affair. */
export type MakeLinks = (environment: LinkEnvironment, configuration: LinksConfiguration) => NodeLinks;

export type LinkEnvironment = Pick<Environment, 'clock' | 'random' | 'crc32' | 'logger' | 'metrics'>;

export interface LinksConfiguration {
  /** Port 0 takes any free one. */
  readonly listen: NodeAddress;
  readonly host: LinkHost;
  /** Undefined: plain text. All nodes of a cluster must agree. */
  readonly tls?: LinkTls;
  readonly options?: Partial<LinkOptions>;
}

/** What the parts of this folder share. */
export interface LinkParts {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'crc32' | 'logger'>;
  readonly options: LinkOptions;
  readonly metrics: LinkMetrics;
  readonly host: LinkHost;
  readonly tls: LinkTls | undefined;
}
