/**
 * Who speaks on a link: headers of every stream, in both directions, and what a node checks of them.
 *
 * ```
 * logboom-link-version   1
 * logboom-node-id        decimal; absent while the node has none
 * logboom-incarnation    of the sender's data directory
 * logboom-feature-level  decimal
 * logboom-cluster-id     absent while the node belongs to no cluster
 * logboom-presence       1: takes frames of kind presence; absent in builds that do not know them
 * logboom-to-node-id     who the sender takes the receiver for; absent when it only knows an address
 * ```
 */
import { LogboomError } from '../base/errors.js';
import { asNodeId, type NodeId } from '../base/ids.js';

/** What a node says of itself. */
export interface LinkIdentity {
  /** Undefined while the node has none. */
  readonly nodeId: NodeId | undefined;
  /** Of the data directory; printable ASCII. */
  readonly incarnation: string;
  /** Undefined while the node belongs to no cluster. */
  readonly clusterId: string | undefined;
  /** What the node's build can do; a number that only grows. */
  readonly featureLevel: number;
}

export interface Hello extends LinkIdentity {
  readonly linkVersion: number;
  readonly takesPresence: boolean;
  readonly toNodeId: NodeId | undefined;
}

/** A hello that passed as a member's. */
export interface MemberHello extends Hello {
  readonly nodeId: NodeId;
  readonly clusterId: string;
}

export const linkVersion = 1;

type Headers = Readonly<Record<string, string | string[] | number | undefined>>;

const valueBytesMax = 128;

export function helloHeaders(identity: LinkIdentity, toNodeId: NodeId | undefined): Record<string, string> {
  const { nodeId, incarnation, clusterId, featureLevel } = identity;
  return {
    'logboom-link-version': String(linkVersion),
    'logboom-incarnation': incarnation,
    'logboom-feature-level': String(featureLevel),
    'logboom-presence': '1',
    ...(nodeId === undefined ? {} : { 'logboom-node-id': String(nodeId) }),
    ...(clusterId === undefined ? {} : { 'logboom-cluster-id': clusterId }),
    ...(toNodeId === undefined ? {} : { 'logboom-to-node-id': String(toNodeId) }),
  };
}

/** @throws LogboomError LINK_VERSION_MISMATCH, LINK_CORRUPT */
export function readHello(headers: Headers): Hello {
  const version = readNumber(headers, 'logboom-link-version') ?? missing('logboom-link-version');
  // Of another version, nothing but the version itself can be understood.
  if (version !== linkVersion) {
    throw new LogboomError(
      'LINK_VERSION_MISMATCH',
      `the other node speaks version ${version} of the protocol of links, this one ${linkVersion}; upgrade the older one`,
      { facts: { theirs: version, ours: linkVersion } },
    );
  }
  const nodeId = readNumber(headers, 'logboom-node-id');
  const toNodeId = readNumber(headers, 'logboom-to-node-id');
  return {
    linkVersion: version,
    takesPresence: readNumber(headers, 'logboom-presence') !== undefined,
    nodeId: nodeId === undefined ? undefined : asNodeId(nodeId),
    toNodeId: toNodeId === undefined ? undefined : asNodeId(toNodeId),
    incarnation: readText(headers, 'logboom-incarnation') ?? missing('logboom-incarnation'),
    featureLevel: readNumber(headers, 'logboom-feature-level') ?? missing('logboom-feature-level'),
    clusterId: readText(headers, 'logboom-cluster-id'),
  };
}

/**
 * Why `self` does not talk to who says `hello`; undefined when nothing speaks against it. `open` is for what is usable
 * before membership: then neither side needs a cluster or a node id, but what they have must agree.
 */
export function hellosDisagree(self: LinkIdentity, hello: Hello, access: 'members' | 'open'): LogboomError | undefined {
  if (hello.toNodeId !== undefined && self.nodeId !== undefined && hello.toNodeId !== self.nodeId) {
    return new LogboomError('NODE_MISMATCH', `this is node ${self.nodeId}, not node ${hello.toNodeId}`, {
      facts: { expected: hello.toNodeId, actual: self.nodeId },
    });
  }
  if (access === 'members') {
    if (self.clusterId === undefined) {
      return new LogboomError('CLUSTER_NOT_FORMED', 'this node does not belong to a cluster yet', {
        retryAfterMs: 1000,
      });
    }
    if (hello.clusterId === undefined || hello.nodeId === undefined) return clusterMismatch(self, hello);
  }
  const bothKnown = self.clusterId !== undefined && hello.clusterId !== undefined;
  return bothKnown && self.clusterId !== hello.clusterId ? clusterMismatch(self, hello) : undefined;
}

export function isMember(hello: Hello): hello is MemberHello {
  return hello.nodeId !== undefined && hello.clusterId !== undefined;
}

function clusterMismatch(self: LinkIdentity, hello: Hello): LogboomError {
  const theirs = hello.clusterId === undefined ? 'no cluster' : `cluster ${hello.clusterId}`;
  return new LogboomError(
    'CLUSTER_MISMATCH',
    `the other node belongs to ${theirs}, this one to cluster ${self.clusterId}`,
    { facts: { theirs: hello.clusterId ?? '', ours: self.clusterId ?? '' } },
  );
}

function missing(name: string): never {
  throw new LogboomError('LINK_CORRUPT', `the header ${name} is missing: this is no node of Logboom`);
}

function readText(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value) || value.length > valueBytesMax) {
    throw new LogboomError('LINK_CORRUPT', `the header ${name} is malformed`);
  }
  return value;
}

function readNumber(headers: Headers, name: string): number | undefined {
  const value = readText(headers, name);
  if (value === undefined) return undefined;
  const number = /^(0|[1-9]\d{0,15})$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new LogboomError('LINK_CORRUPT', `the header ${name} is no number`);
  return number;
}
