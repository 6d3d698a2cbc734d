/**
 * Every setting of a node, once. The configuration file, the flags, the environment variables, docs/configuration.md and
 * the type {@link Configuration} all come from this table.
 */
import { defaultFlushSchedulerOptions } from '../../state-store/flush-decision.js';
import {
  addresses,
  bytes,
  durationMs,
  file,
  flag,
  integer,
  listedNodes,
  oneOf,
  optionalInteger,
  someOf,
  text,
} from './setting.js';
import type { Setting } from './setting.js';

const kib = 2 ** 10;
const mib = 2 ** 20;
const gib = 2 ** 30;
const tib = 2 ** 40;
const secondMs = 1000;
const minuteMs = 60 * secondMs;
const dayMs = 24 * 60 * minuteMs;

export const settings = {
  nodeId: integer({
    default: 1,
    min: 1,
    max: 65_535,
    description: 'Number of the node in its cluster. A data directory belongs to one node id for good.',
  }),
  nodeName: text({
    default: '',
    lengthMax: 128,
    defaultText: 'node-<nodeId>',
    description: 'Name of the node in status, logs and metrics.',
  }),
  zone: text({
    default: 'default',
    lengthMax: 128,
    description: 'Failure domain of the node: replicas of a partition are spread over zones.',
  }),
  dataDir: text({
    default: 'data',
    min: 1,
    lengthMax: 1024,
    description: 'Directory of everything the node stores. Relative paths start at the working directory.',
  }),
  host: text({
    default: '127.0.0.1',
    min: 1,
    description: 'Address that gRPC listens on. Beyond loopback it needs tls and security.tokensFile.',
  }),
  port: integer({ default: 7400, min: 0, max: 65_535, description: 'Port of gRPC; 0 takes any free one.' }),
  httpHost: text({
    default: '127.0.0.1',
    min: 1,
    description:
      'Address that HTTP (metrics and health) listens on. It is never encrypted: beyond loopback see security.allowInsecureListen.',
  }),
  httpPort: optionalInteger({
    default: undefined,
    min: 0,
    max: 65_535,
    defaultText: 'port + 1',
    description: 'Port of HTTP (metrics and health); 0 takes any free one.',
  }),
  advertisedAddresses: addresses({
    default: [],
    defaultText: 'the listen address',
    description: 'Addresses that clients are told to connect to, where they differ from the listen address.',
  }),
  partitions: integer({
    default: 8,
    min: 1,
    max: 1024,
    description: 'Number of stream partitions. Fixed when the data directory is made.',
  }),
  cluster: {
    nodes: listedNodes({
      default: [],
      description:
        'The nodes that form a cluster, this one included, each with the address of its links. The same list on every node; once the cluster is formed, who belongs to it is in its metadata. Neither this nor cluster.join: one node alone.',
    }),
    join: addresses({
      default: [],
      defaultText: 'none',
      description:
        'Addresses of links of members of a cluster, any of them. An empty node asks them to be let in; a member looks there for the others when it finds them nowhere else.',
    }),
    linkHost: text({
      default: '',
      defaultText: 'host',
      description: 'Address that links between nodes listen on. Beyond loopback it needs cluster.linkCertificateFile.',
    }),
    linkPort: optionalInteger({
      default: undefined,
      min: 1,
      max: 65_535,
      defaultText: 'port + 2',
      description: 'Port of links between nodes.',
    }),
    linkCertificateFile: file({
      description:
        'Certificate that the node shows on links, PEM, with those between it and its authority. With it links are mutual TLS; on all nodes or on none.',
    }),
    linkKeyFile: file({ description: 'Private key of cluster.linkCertificateFile, PEM.' }),
    linkCaFile: file({ description: 'Authorities that certificates of other nodes on links must be signed by, PEM.' }),
    linkServerName: text({
      default: '',
      defaultText: 'the host of each node in cluster.nodes',
      description: 'Name that the certificates of all nodes on links carry, where it is not their host.',
    }),
    replicationFactor: optionalInteger({
      default: undefined,
      min: 1,
      max: 7,
      defaultText: '3, or the number of nodes when that is less',
      description:
        'Replicas of each partition when the cluster is formed; later "logboom cluster set replication-factor N".',
    }),
    heartbeatMs: durationMs({
      default: 100,
      min: 10,
      max: 10 * secondMs,
      description: 'How often the leader of a partition tells the other replicas that it is there.',
    }),
    electionTimeoutMs: durationMs({
      default: 500,
      min: 50,
      max: minuteMs,
      description:
        'How long a replica hears nothing of its leader before it stands for election; by chance up to twice as long.',
    }),
  },
  security: {
    tokensFile: file({
      description:
        'Tokens file: who may do what (docs/security.md). With it gRPC calls need a token; changes are in force within a second or two.',
    }),
    allowInsecureListen: someOf(['grpc', 'http', 'links'], {
      default: [],
      description:
        'Listeners that may be reached from other machines although they are not secured: whoever reaches grpc or links can then read, write and delete everything, or replace it; http shows metrics.',
    }),
  },
  tls: {
    certificateFile: file({
      description:
        'Certificate of gRPC, PEM, with those between it and its authority. With it gRPC is TLS. Changes are in force within a second or two.',
    }),
    keyFile: file({ description: 'Private key of tls.certificateFile, PEM.' }),
    clientCaFile: file({
      description:
        'Authorities that certificates of clients must be signed by, PEM. With it a client without one is refused (mutual TLS).',
    }),
    nodeCaFile: file({
      defaultText: 'the authorities that Node.js knows',
      description:
        'Authorities that certificates of gRPC of other nodes must be signed by where requests are forwarded to them, PEM.',
    }),
  },
  limits: {
    recordBytes: bytes({
      default: mib,
      min: kib,
      max: 64 * mib,
      description: 'Encoded bytes of one record.',
    }),
    batchBytes: bytes({
      default: 8 * mib,
      min: kib,
      max: 64 * mib,
      description: 'Bytes of one batch, encoded and uncompressed.',
    }),
    batchRecords: integer({ default: 10_000, min: 1, max: 1_000_000, description: 'Records of one batch.' }),
    attributesPerRecord: integer({ default: 64, min: 0, max: 10_000, description: 'Attributes of one record.' }),
    attributeBytesPerRecord: bytes({
      default: 16 * kib,
      min: 0,
      max: mib,
      description: 'Bytes of keys and values of the attributes of one record.',
    }),
    pageRecords: integer({ default: 10_000, min: 1, max: 100_000, description: 'Records of one page of a read.' }),
    streams: integer({ default: 20_000, min: 1, max: 10_000_000, description: 'Streams that the node holds.' }),
    producersPerStream: integer({
      default: 10_000,
      min: 1,
      max: 10_000_000,
      description: 'Producers of one stream whose position is remembered.',
    }),
  },
  append: {
    inFlightBytes: bytes({
      default: 64 * mib,
      min: kib,
      max: 16 * gib,
      description: 'Bytes of appends that the node has taken and not yet answered. More is refused with QUEUE_FULL.',
    }),
    inFlightItems: integer({
      default: 8192,
      min: 1,
      max: 1_000_000,
      description: 'Number of appends that the node has taken and not yet answered. More is refused with QUEUE_FULL.',
    }),
    sessionInFlightBytes: bytes({
      default: 16 * mib,
      min: kib,
      max: gib,
      description:
        'Bytes in flight of one append session. Above it the session is not read from: HTTP/2 holds the client back.',
    }),
    sessionInFlightItems: integer({
      default: 1024,
      min: 1,
      max: 100_000,
      description: 'Appends in flight of one append session. Above it the session is not read from.',
    }),
  },
  read: {
    inFlightBytes: bytes({
      default: 96 * mib,
      min: kib,
      max: 16 * gib,
      description: 'Bytes of pages being read or on their way to clients, by their max_bytes. Further reads wait.',
    }),
    waitingItems: integer({
      default: 1000,
      min: 0,
      max: 1_000_000,
      description: 'Reads that may wait for read.inFlightBytes. More are refused with QUEUE_FULL.',
    }),
    tailBytes: bytes({
      default: 256 * kib,
      min: kib,
      max: 64 * mib,
      description:
        'Largest message of a tail, and so the memory that a slow reader costs. One larger record still passes, alone.',
    }),
    tails: integer({
      default: 1000,
      min: 0,
      max: 1_000_000,
      description: 'Tails at the same time. More are refused with QUEUE_FULL.',
    }),
    tailKeepaliveMs: durationMs({
      default: 10 * secondMs,
      min: 100,
      max: 10 * minuteMs,
      description: 'How often a tail without news gets a sign of life.',
    }),
  },
  wal: {
    segmentBytes: bytes({
      default: 64 * mib,
      min: mib,
      max: gib,
      multipleOf: 4 * kib,
      description: 'Size of a segment file of the write-ahead log. The largest batch must fit into half of it.',
    }),
    cacheBytes: bytes({
      default: 16 * mib,
      min: mib,
      max: 16 * gib,
      description: 'Recent entries kept in memory, of all partitions together.',
    }),
    spareSegments: integer({
      default: 2,
      min: 0,
      max: 64,
      description: 'Segment files made or kept in advance, so that an append never waits for one.',
    }),
  },
  stateStore: {
    dirtyBudgetBytes: bytes({
      default: defaultFlushSchedulerOptions.budgetBytes,
      min: mib,
      max: 64 * gib,
      description: 'Unflushed bytes of all state stores together; the fullest is flushed above it.',
    }),
    flushBytes: bytes({
      default: defaultFlushSchedulerOptions.storeBytes,
      min: 64 * kib,
      max: 16 * gib,
      description: 'Unflushed bytes of one state store at which it is flushed.',
    }),
    flushAgeMs: durationMs({
      default: defaultFlushSchedulerOptions.ageMs,
      min: 100,
      max: dayMs,
      description: 'Age of the oldest unflushed write at which a state store is flushed.',
    }),
    blockCacheBytes: bytes({
      default: 256 * kib,
      min: 0,
      max: 16 * gib,
      description: 'Block cache of each database of a state store.',
    }),
  },
  trim: {
    mode: oneOf(['auto', 'archived', 'persisted', 'none'], {
      default: 'auto',
      description:
        'What lets log entries go: a snapshot in the repository (archived, the only one in a cluster), what the node has flushed (persisted, for one node alone), or nothing. auto: archived in a cluster and where a repository is set, otherwise persisted.',
    }),
    marginEntries: integer({
      default: 0,
      min: 0,
      max: 1_000_000_000,
      description: 'Log entries below the archived LSN that are kept, in mode archived.',
    }),
    delayMs: durationMs({
      default: 10 * minuteMs,
      min: 0,
      max: 30 * dayMs,
      description:
        'How long a snapshot is archived before the log is trimmed to it: a replica that was away for less finds the log, and fetches no snapshot.',
    }),
    bootstrapHoldMs: durationMs({
      default: 30 * minuteMs,
      min: 0,
      max: 7 * dayMs,
      description:
        'How long a replica that fetches a snapshot keeps the log from being trimmed. Twice as long for each further one when the log was trimmed past a snapshot before it was in place.',
    }),
  },
  snapshots: {
    repository: text({
      default: '',
      lengthMax: 2048,
      description:
        'Where snapshots go, the same for all nodes of a cluster: a directory that all of them see, file:///path, or s3://bucket/prefix?region=...&endpoint=...&path-style=true. Empty: no snapshots.',
    }),
    automatic: flag({
      default: true,
      description: 'Whether snapshots are taken without being asked for, once a repository is set.',
    }),
    logBytes: bytes({
      default: 256 * mib,
      min: 64 * kib,
      max: 16 * tib,
      description: 'Bytes of log entries of a partition after which a snapshot is due.',
    }),
    maxAgeMs: durationMs({
      default: 60 * minuteMs,
      min: secondMs,
      max: 30 * dayMs,
      description: 'Age of the last snapshot at which another is due, when anything was appended since.',
    }),
    keep: integer({ default: 3, min: 1, max: 1000, description: 'Snapshots of a partition that are kept.' }),
    concurrent: integer({
      default: 1,
      min: 1,
      max: 64,
      description: 'Snapshots that the node takes at the same time, and as many states that it streams to other nodes.',
    }),
    bytesPerSecond: bytes({
      default: 0,
      min: 0,
      max: tib,
      defaultText: 'no limit',
      description:
        'Bytes a second that the upload of a snapshot, an import of one, and a state that is streamed to another node may each ' +
        'take; 0: as fast as it goes.',
    }),
    collectGraceMs: durationMs({
      default: 360 * minuteMs,
      min: minuteMs,
      max: 30 * dayMs,
      description:
        'How long what no snapshot needs is left in the repository. The same on all nodes; a snapshot that takes longer than half of it is given up.',
    }),
  },
  retention: {
    checkIntervalMs: durationMs({
      default: 10 * secondMs,
      min: 100,
      max: dayMs,
      description: 'How often streams are checked for records that retention lets go.',
    }),
  },
  producers: {
    expiryMs: durationMs({
      default: 7 * dayMs,
      min: minuteMs,
      max: 3650 * dayMs,
      description: 'How long after its last append a producer is remembered when none of its records is retained.',
    }),
  },
  disk: {
    lowWaterMarkBytes: bytes({
      default: 512 * mib,
      min: 0,
      max: 64 * tib,
      description:
        'Free bytes below which appends are refused with DISK_FULL, until a quarter more is free again. Must leave room to flush and trim.',
    }),
    checkIntervalMs: durationMs({
      default: secondMs,
      min: 100,
      max: 10 * minuteMs,
      description: 'How often the free space is looked at.',
    }),
  },
  grpc: {
    maxConcurrentStreams: integer({
      default: 4096,
      min: 1,
      max: 1_000_000,
      description: 'Calls at the same time on one connection.',
    }),
    keepaliveMs: durationMs({
      default: 30 * secondMs,
      min: secondMs,
      max: dayMs,
      description: 'How often a silent connection is probed.',
    }),
    keepaliveTimeoutMs: durationMs({
      default: 20 * secondMs,
      min: secondMs,
      max: 10 * minuteMs,
      description: 'How long after a probe an answer may take before the connection is closed.',
    }),
  },
  shutdown: {
    drainMs: durationMs({
      default: 10 * secondMs,
      min: 0,
      max: 10 * minuteMs,
      description: 'How long a stopping node waits for the calls in flight before it cancels them.',
    }),
  },
  log: {
    level: oneOf(['debug', 'info', 'warn', 'error'], { default: 'info', description: 'Least level that is logged.' }),
    format: oneOf(['json', 'text'], { default: 'json', description: 'One JSON object a line, or lines for people.' }),
  },
} as const satisfies SettingTree;

interface SettingTree {
  readonly [key: string]: Setting<unknown> | SettingTree;
}

type ValuesOf<Tree> = {
  readonly [Key in keyof Tree]: Tree[Key] extends Setting<infer Value> ? Value : ValuesOf<Tree[Key]>;
};

/** The settings in force. Paths of keys are those of the table: `configuration.wal.segmentBytes`. */
export type Configuration = ValuesOf<typeof settings>;

/** A setting with its names in all sources. */
export interface SettingEntry {
  /** `wal.segmentBytes` */
  readonly key: string;
  /** `--wal-segment-bytes` */
  readonly flag: string;
  /** `LOGBOOM_WAL_SEGMENT_BYTES` */
  readonly variable: string;
  readonly setting: Setting<unknown>;
}

function isSetting(node: Setting<unknown> | SettingTree): node is Setting<unknown> {
  return 'schema' in node;
}

function entriesOf(tree: SettingTree, prefix: string): SettingEntry[] {
  return Object.entries(tree).flatMap(([name, node]) => {
    const key = `${prefix}${name}`;
    if (!isSetting(node)) return entriesOf(node, `${key}.`);
    const words = key.replaceAll('.', '-').replaceAll(/([A-Z])/g, '-$1');
    return [
      {
        key,
        flag: `--${words.toLowerCase()}`,
        variable: `LOGBOOM_${words.toUpperCase().replaceAll('-', '_')}`,
        setting: node,
      },
    ];
  });
}

/** The table as a list, in its order. */
export const settingEntries: readonly SettingEntry[] = entriesOf(settings, '');
