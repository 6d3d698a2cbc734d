import { afterEach } from 'vitest';
import type { LogboomError } from '../../../src/base/errors.js';
import { asLsn, asNodeId, asReplicaId, asTerm, type NodeId } from '../../../src/base/ids.js';
import { noLogger, type Logger } from '../../../src/base/ports/logger.js';
import type { Metrics } from '../../../src/base/ports/metrics.js';
import type { Message } from '../../../src/raft/index.js';
import { nodeEnvironmentParts } from '../../../src/server/adapters/node-environment.js';
import {
  Links,
  type Delivery,
  type LinkIdentity,
  type LinkOptions,
  type LinksConfiguration,
  type LinkTls,
  type LossScope,
  type MemberHello,
  type NodeAddress,
  type PeerStatus,
} from '../../../src/transport/index.js';

/** Short times, so that what takes a link seconds takes a test a fraction of one. */
export const quickOptions: Partial<LinkOptions> = {
  connectTimeoutMs: 1000,
  pingIntervalMs: 50,
  pingTimeoutMs: 400,
  stallTimeoutMs: 60_000,
  backoffMinMs: 10,
  backoffMaxMs: 100,
  handshakeTimeoutMs: 500,
};

export interface TestNode {
  readonly id: NodeId;
  readonly links: Links;
  readonly delivered: { from: NodeId; delivery: Delivery }[];
  readonly signsOfLife: { from: NodeId; epoch: number }[];
  readonly losses: { node: NodeId; partitions: LossScope }[];
  readonly warnings: string[];
  /** Sums of counters, by name. */
  readonly counters: Map<string, number>;
  address: NodeAddress;
}

export interface TestNodeSetup {
  readonly port?: number;
  readonly identity?: Partial<LinkIdentity>;
  readonly options?: Partial<LinkOptions>;
  readonly tls?: LinkTls;
  readonly admit?: (hello: MemberHello) => LogboomError | undefined;
  readonly deliver?: () => void | Promise<void>;
}

const running = new Set<Links>();
afterEach(async () => {
  await Promise.all([...running].map((links) => links.stop()));
  running.clear();
});

export async function startNode(id: number, setup: TestNodeSetup = {}): Promise<TestNode> {
  const nodeId = asNodeId(id);
  const node: Omit<TestNode, 'links'> = {
    id: nodeId,
    delivered: [],
    losses: [],
    signsOfLife: [],
    warnings: [],
    counters: new Map(),
    address: { host: '127.0.0.1', port: setup.port ?? 0 },
  };
  const configuration: LinksConfiguration = {
    listen: node.address,
    options: { ...quickOptions, ...setup.options },
    ...(setup.tls === undefined ? {} : { tls: setup.tls }),
    host: {
      identity: () => ({ nodeId, incarnation: `i${id}`, clusterId: 'c1', featureLevel: 1, ...setup.identity }),
      admit: setup.admit ?? (() => undefined),
      deliver: (from, deliveries) => {
        for (const delivery of deliveries) node.delivered.push({ from, delivery });
        return setup.deliver?.();
      },
      onPresence: (from, epoch) => void node.signsOfLife.push({ from, epoch }),
      onUnreachable: (lost, partitions) => void node.losses.push({ node: lost, partitions }),
    },
  };
  const logger: Logger = { ...noLogger, warn: (message) => void node.warnings.push(message) };
  const environment = { ...nodeEnvironmentParts, logger, metrics: countingMetrics(node.counters) };
  const links = new Links(environment, configuration);
  running.add(links);
  node.address = await links.run();
  return Object.assign(node, { links });
}

function countingMetrics(sums: Map<string, number>): Metrics {
  const nothing = { set: () => {}, observe: () => {} };
  return {
    counter: (name) => ({ add: (value) => void sums.set(name, (sums.get(name) ?? 0) + value) }),
    gauge: () => nothing,
    histogram: () => nothing,
  };
}

/** Everyone knows everyone. */
export function connectAll(nodes: readonly TestNode[]): void {
  for (const node of nodes) {
    for (const peer of nodes) if (peer !== node) node.links.setPeer(peer.id, peer.address);
  }
}

export async function until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function statusOf(node: TestNode, peer: { readonly id: NodeId }): PeerStatus {
  const found = node.links.status.find(({ nodeId }) => nodeId === peer.id);
  if (found === undefined) throw new Error(`node ${node.id} has no peer ${peer.id}`);
  return found;
}

export const isConnected = (node: TestNode, peer: TestNode): boolean => statusOf(node, peer).state === 'connected';

export function heartbeat(round: number): Message {
  const [from, to] = [asReplicaId(1), asReplicaId(2)];
  return { type: 'heartbeat', from, to, term: asTerm(1), commit: asLsn(0), round };
}

export function appendOf(data: Uint8Array, lsn = 1): Message {
  return {
    type: 'append',
    from: asReplicaId(1),
    to: asReplicaId(2),
    term: asTerm(1),
    previousLsn: asLsn(lsn - 1),
    previousTerm: asTerm(1),
    commit: asLsn(0),
    entries: [{ term: asTerm(1), lsn: asLsn(lsn), kind: 0, data }],
  };
}

export const roundsOf = (node: TestNode): number[] =>
  node.delivered.flatMap(({ delivery: { message } }) => (message.type === 'heartbeat' ? [message.round] : []));
