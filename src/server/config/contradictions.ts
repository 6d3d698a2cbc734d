/** Settings that are right by themselves and wrong together. */
import { parseObjectStoreLocation } from '../../object-store/index.js';
import { clusterContradictions, isListed } from './cluster-contradictions.js';
import { securityContradictions } from './security-contradictions.js';
import { formatBytes } from './units.js';
import type { Contradiction } from './contradiction.js';
import type { Configuration } from './settings.js';

/** What an entry of the log takes besides the batch's own bytes: command header, frame header, padding, commit group. */
export const entryOverheadBytes = 64 * 1024;

const quantityRules: readonly {
  readonly smaller: readonly [string, (configuration: Configuration) => number];
  readonly larger: readonly [string, (configuration: Configuration) => number];
  readonly slackBytes?: number;
  /** `smaller` must fit into `larger` divided by this. */
  readonly share?: number;
  readonly because: string;
}[] = [
  {
    smaller: ['limits.recordBytes', (c) => c.limits.recordBytes],
    larger: ['limits.batchBytes', (c) => c.limits.batchBytes],
    because: 'the largest record must fit into a batch',
  },
  {
    smaller: ['limits.attributeBytesPerRecord', (c) => c.limits.attributeBytesPerRecord],
    larger: ['limits.recordBytes', (c) => c.limits.recordBytes],
    because: 'attributes are part of the record',
  },
  {
    smaller: ['limits.batchBytes', (c) => c.limits.batchBytes],
    larger: ['wal.segmentBytes', (c) => c.wal.segmentBytes],
    share: 2,
    slackBytes: entryOverheadBytes,
    because: 'the largest batch must fit into half of a segment',
  },
  {
    smaller: ['limits.batchBytes', (c) => c.limits.batchBytes],
    larger: ['append.sessionInFlightBytes', (c) => c.append.sessionInFlightBytes],
    because: 'the largest batch must be allowed in flight',
  },
  {
    smaller: ['append.sessionInFlightBytes', (c) => c.append.sessionInFlightBytes],
    larger: ['append.inFlightBytes', (c) => c.append.inFlightBytes],
    because: 'one session must not be allowed more than the node',
  },
  {
    smaller: ['append.sessionInFlightItems', (c) => c.append.sessionInFlightItems],
    larger: ['append.inFlightItems', (c) => c.append.inFlightItems],
    because: 'one session must not be allowed more than the node',
  },
  {
    smaller: ['stateStore.flushBytes', (c) => c.stateStore.flushBytes],
    larger: ['stateStore.dirtyBudgetBytes', (c) => c.stateStore.dirtyBudgetBytes],
    because: 'a single store must be able to reach its threshold within the budget',
  },
];

/** Everything that contradicts; empty when the configuration holds together. */
export function findContradictions(configuration: Configuration): Contradiction[] {
  const found: Contradiction[] = [];
  for (const { smaller, larger, slackBytes = 0, share = 1, because } of quantityRules) {
    const [smallerKey, smallerOf] = smaller;
    const [largerKey, largerOf] = larger;
    const [least, given] = [smallerOf(configuration) + slackBytes, largerOf(configuration)];
    if (least <= given / share) continue;
    const format = largerKey.endsWith('Bytes') ? formatBytes : String;
    const slack = slackBytes === 0 ? '' : ` with ${formatBytes(slackBytes)} around it`;
    found.push({
      keys: [smallerKey, largerKey],
      message: `${largerKey} (${format(given)}) is too small for ${smallerKey} (${format(smallerOf(configuration))})${slack}: ${because}`,
    });
  }
  return [
    ...found,
    ...listenContradictions(configuration),
    ...securityContradictions(configuration),
    ...diskContradictions(configuration),
    ...snapshotContradictions(configuration),
    ...clusterContradictions(configuration),
  ];
}

function listenContradictions({ port, httpPort }: Configuration): Contradiction[] {
  const found: Contradiction[] = [];
  if (httpPort !== undefined && port !== 0 && httpPort === port) {
    found.push({
      keys: ['port', 'httpPort'],
      message: `port and httpPort are both ${port}: gRPC and HTTP need one each`,
    });
  }
  if (httpPort === undefined && port === 65_535) {
    found.push({
      keys: ['port', 'httpPort'],
      message: 'port is 65535, and httpPort, not set, would be 65536: set httpPort',
    });
  }
  return found;
}

function diskContradictions({ disk, stateStore }: Configuration): Contradiction[] {
  const least = stateStore.dirtyBudgetBytes;
  if (disk.lowWaterMarkBytes === 0 || disk.lowWaterMarkBytes >= least) return [];
  return [
    {
      keys: ['disk.lowWaterMarkBytes', 'stateStore.dirtyBudgetBytes'],
      message:
        `disk.lowWaterMarkBytes (${formatBytes(disk.lowWaterMarkBytes)}) is smaller than stateStore.dirtyBudgetBytes ` +
        `(${formatBytes(least)}): a full disk must leave room to flush everything. 0 turns the mark off`,
    },
  ];
}

/** What `trim.mode` auto stands for. */
export function trimModeOf({ trim, cluster, snapshots }: Configuration): 'archived' | 'persisted' | 'none' {
  if (trim.mode !== 'auto') return trim.mode;
  return isListed({ cluster }) || snapshots.repository !== '' ? 'archived' : 'persisted';
}

function snapshotContradictions({ trim, cluster, snapshots }: Configuration): Contradiction[] {
  const found: Contradiction[] = [];
  if (trim.mode === 'persisted' && isListed({ cluster })) {
    found.push({
      keys: ['trim.mode', cluster.nodes.length > 0 ? 'cluster.nodes' : 'cluster.join'],
      message:
        'trim.mode is persisted, and the node is one of a cluster: in a cluster the log is trimmed only to what is archived in a ' +
        'snapshot repository, for another node may need the entries. Leave trim.mode out, and set snapshots.repository',
    });
  }
  if (trim.mode === 'archived' && !isListed({ cluster }) && snapshots.repository === '') {
    found.push({
      keys: ['trim.mode', 'snapshots.repository'],
      message: 'trim.mode is archived, and snapshots.repository is not set: the log would never be trimmed. Set it',
    });
  }
  if (snapshots.repository === '') return found;
  try {
    parseObjectStoreLocation('snapshots.repository', snapshots.repository, '/');
  } catch (error) {
    found.push({ keys: ['snapshots.repository'], message: error instanceof Error ? error.message : String(error) });
  }
  return found;
}
