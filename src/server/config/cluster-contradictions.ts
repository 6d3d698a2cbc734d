/** Settings of a cluster that are right by themselves and wrong together. */
import { isLoopback } from '../../base/loopback.js';
import type { Configuration } from './settings.js';
import type { Contradiction } from './contradiction.js';

/** All founders vote in the metadata group, and a group of more voters is slower without being safer. */
const nodesMax = 7;
/** Fewer heartbeats an election timeout, and one that is late starts an election. */
const heartbeatsPerElectionMin = 3;

/** Any one of them can be lost; each more costs every append another copy. */
const replicationFactorDefault = 3;

const linkPortOffset = 2;
const portMax = 65_535;

/** One of several nodes, or to become one of them. */
export const isListed = ({ cluster }: Pick<Configuration, 'cluster'>): boolean =>
  cluster.nodes.length > 0 || cluster.join.length > 0;

/**
 * Where links listen; undefined: nowhere, and no other node can join. A node that was started alone listens for them unasked
 * where that gives nobody more than its gRPC port does. Port 0: any free one.
 */
export function linkListenAddress(
  configuration: Configuration,
): { readonly host: string; readonly port: number } | undefined {
  const { cluster, host, port, security, tls } = configuration;
  const address = {
    host: cluster.linkHost === '' ? host : cluster.linkHost,
    port: cluster.linkPort ?? (port === 0 ? 0 : port + linkPortOffset),
  };
  const isAskedFor = isListed({ cluster }) || cluster.linkHost !== '' || cluster.linkPort !== undefined;
  const isSecured = cluster.linkCertificateFile !== '' || security.allowInsecureListen.includes('links');
  const isOpenAnyway =
    isLoopback(host) && security.tokensFile === '' && tls.certificateFile === '' && address.port <= portMax;
  return isAskedFor || isSecured || isOpenAnyway ? address : undefined;
}

/** Where other nodes find the links of this one: as the list says, else where it says itself; empty: not known before it listens. */
export function advertisedLinkAddress(configuration: Configuration, advertised: readonly string[] = []): string {
  const { cluster, nodeId } = configuration;
  const listed = cluster.nodes.find(({ id }) => id === nodeId);
  if (listed !== undefined) return listed.linkAddress;
  const listens = linkListenAddress(configuration);
  if (listens === undefined || listens.port === 0) return '';
  const { host, port } = listens;
  const [first = ''] = [...configuration.advertisedAddresses, ...advertised];
  const isEverywhere = ['0.0.0.0', '::', '[::]'].includes(host);
  return `${isEverywhere && first !== '' ? first.slice(0, first.lastIndexOf(':')) : host}:${port}`;
}

/** What a cluster is formed with; of a node alone, what it is to have when others have joined it. */
export function replicationFactorOf({ cluster }: Configuration): number {
  const { nodes, replicationFactor } = cluster;
  return replicationFactor ?? Math.min(replicationFactorDefault, nodes.length === 0 ? Infinity : nodes.length);
}

export function clusterContradictions(configuration: Configuration): Contradiction[] {
  const isAlone = configuration.cluster.nodes.length === 0;
  return [
    ...(isAlone ? [] : listContradictions(configuration)),
    ...portContradictions(configuration),
    ...timeContradictions(configuration),
  ];
}

function listContradictions({ cluster, nodeId }: Configuration): Contradiction[] {
  const { nodes, replicationFactor } = cluster;
  const found: Contradiction[] = [];
  const complain = (message: string, ...more: string[]): void => {
    found.push({ keys: ['cluster.nodes', ...more], message });
  };
  for (const property of ['id', 'linkAddress'] as const) {
    const values = nodes.map((node) => node[property]);
    const twice = values.find((value, index) => values.indexOf(value) !== index);
    if (twice !== undefined) complain(`cluster.nodes has ${property === 'id' ? 'node' : 'address'} ${twice} twice`);
  }
  if (nodes.length === 1) complain('cluster.nodes has one node: leave it out for a node alone, or list three or more');
  if (nodes.length > nodesMax)
    complain(`cluster.nodes has ${nodes.length} nodes; a cluster is formed of at most ${nodesMax}`);
  if (!nodes.some(({ id }) => id === nodeId)) {
    complain(`nodeId is ${nodeId}, and cluster.nodes has only ${nodes.map(({ id }) => id).join(', ')}`, 'nodeId');
  }
  if (replicationFactor !== undefined && replicationFactor > nodes.length) {
    complain(
      `cluster.replicationFactor is ${replicationFactor}, and cluster.nodes has ${nodes.length} nodes: two replicas of a partition on one node would be lost together`,
      'cluster.replicationFactor',
    );
  }
  return found;
}

function portContradictions(configuration: Configuration): Contradiction[] {
  const { port, httpPort, cluster } = configuration;
  const found: Contradiction[] = [];
  if (port === 0) {
    if (!isListed(configuration)) return found;
    found.push({
      keys: ['port', cluster.nodes.length > 0 ? 'cluster.nodes' : 'cluster.join'],
      message:
        `port is 0 and ${cluster.nodes.length > 0 ? 'cluster.nodes' : 'cluster.join'} is set: other nodes forward requests to ` +
        'this port, so it must be a fixed one',
    });
    return found;
  }
  const link = linkListenAddress(configuration);
  if (link === undefined) return found;
  const taken = [
    ['port', port],
    ['httpPort', httpPort ?? port + 1],
  ] as const;
  for (const [key, value] of taken) {
    if (value === link.port)
      found.push({ keys: [key, 'cluster.linkPort'], message: `${key} and the port of links are both ${value}` });
  }
  if (link.port > portMax) {
    found.push({
      keys: ['port', 'cluster.linkPort'],
      message: `cluster.linkPort, not set, would be ${link.port}: set it`,
    });
  }
  return found;
}

function timeContradictions({ cluster }: Configuration): Contradiction[] {
  const { heartbeatMs, electionTimeoutMs } = cluster;
  if (electionTimeoutMs >= heartbeatsPerElectionMin * heartbeatMs) return [];
  return [
    {
      keys: ['cluster.electionTimeoutMs', 'cluster.heartbeatMs'],
      message: `cluster.electionTimeoutMs (${electionTimeoutMs} ms) is less than ${heartbeatsPerElectionMin} times cluster.heartbeatMs (${heartbeatMs} ms): one heartbeat that is late would start an election`,
    },
  ];
}
