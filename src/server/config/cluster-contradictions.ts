/** Settings of a cluster that are right by themselves and wrong together. */
import type { Configuration } from './settings.js';
import type { Contradiction } from './contradiction.js';

/** All of them vote in every group, and a group of more voters is slower without being safer. */
const nodesMax = 7;
/** Fewer heartbeats an election timeout, and one that is late starts an election. */
const heartbeatsPerElectionMin = 3;

const linkPortOffset = 2;

/** What `cluster.*` comes to where other settings fill the gaps. */
export function linkListenAddress({ cluster, host, port }: Configuration): {
  readonly host: string;
  readonly port: number;
} {
  return { host: cluster.linkHost === '' ? host : cluster.linkHost, port: cluster.linkPort ?? port + linkPortOffset };
}

/** Where other nodes find the links of this one: as the list says, else where it says itself. */
export function advertisedLinkAddress(configuration: Configuration, advertised: readonly string[] = []): string {
  const { cluster, nodeId } = configuration;
  const listed = cluster.nodes.find(({ id }) => id === nodeId);
  if (listed !== undefined) return listed.linkAddress;
  const { host, port } = linkListenAddress(configuration);
  const [first = ''] = [...configuration.advertisedAddresses, ...advertised];
  const isEverywhere = ['0.0.0.0', '::', '[::]'].includes(host);
  return `${isEverywhere && first !== '' ? first.slice(0, first.lastIndexOf(':')) : host}:${port}`;
}

export function replicationFactorOf({ cluster }: Configuration): number {
  return cluster.replicationFactor ?? cluster.nodes.length;
}

export function clusterContradictions(configuration: Configuration): Contradiction[] {
  const { cluster } = configuration;
  if (cluster.nodes.length === 0) return [];
  return [
    ...listContradictions(configuration),
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
  const { port, httpPort } = configuration;
  const found: Contradiction[] = [];
  if (port === 0) {
    found.push({
      keys: ['port', 'cluster.nodes'],
      message:
        'port is 0 and cluster.nodes is set: other nodes forward requests to this port, so it must be a fixed one',
    });
    return found;
  }
  const link = linkListenAddress(configuration);
  const taken = [
    ['port', port],
    ['httpPort', httpPort ?? port + 1],
  ] as const;
  for (const [key, value] of taken) {
    if (value === link.port)
      found.push({ keys: [key, 'cluster.linkPort'], message: `${key} and the port of links are both ${value}` });
  }
  if (link.port > 65_535) {
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
