/** The messages of proto/logboom/v1, and of google.rpc as far as errors need them. Comments are in the .proto files. */
import { field, message } from './schema.js';
import type { MessageValue } from './schema.js';

export const producerPosition = message({
  id: field.string(1),
  epoch: field.uint64(2),
  firstRecordNumber: field.uint64(3),
});

/** The record set is taken as bytes, which is the same on the wire: records are decoded when they are looked at. */
export const recordBatch = message({
  codec: field.enum(1),
  recordCount: field.uint32(2),
  uncompressedBytes: field.uint32(3),
  records: field.optionalBytes(4),
  compressed: field.optionalBytes(5),
});
export type RecordBatchMessage = MessageValue<typeof recordBatch>;

export const streamConfig = message({ retentionAgeMs: field.uint64(1), retentionBytes: field.uint64(2) });

export const stream = message({
  name: field.string(1),
  epoch: field.uint64(2),
  partition: field.uint32(3),
  config: field.message(4, streamConfig),
  firstSeq: field.uint64(5),
  nextSeq: field.uint64(6),
  storedBytes: field.uint64(7),
  createdUnixMs: field.int64(8),
  lastAppendUnixMs: field.int64(9),
  fencingToken: field.string(10),
  producerCount: field.uint32(11),
});

export const createStreamRequest = message({
  name: field.string(1),
  config: field.message(2, streamConfig),
  fencingToken: field.string(3),
  ifNotExists: field.bool(4),
});
export const createStreamResponse = message({ stream: field.message(1, stream), created: field.bool(2) });

export const getStreamRequest = message({ name: field.string(1) });
export const getStreamResponse = message({ stream: field.message(1, stream) });

export const listStreamsRequest = message({
  prefix: field.string(1),
  limit: field.optionalUint32(2),
  pageToken: field.string(3),
});
export const listStreamsResponse = message({ streams: field.messages(1, stream), nextPageToken: field.string(2) });

export const updateStreamRequest = message({
  name: field.string(1),
  retentionAgeMs: field.optionalUint64(2),
  retentionBytes: field.optionalUint64(3),
  fencingToken: field.optionalString(4),
  expectedFencingToken: field.optionalString(5),
});
export const updateStreamResponse = message({ stream: field.message(1, stream) });

export const deleteStreamRequest = message({ name: field.string(1), expectedEpoch: field.optionalUint64(2) });
export const deleteStreamResponse = message({ firstSeq: field.uint64(1), nextSeq: field.uint64(2) });

export const getProducerRequest = message({ stream: field.string(1), producerId: field.string(2) });
export const getProducerResponse = message({
  epoch: field.uint64(1),
  nextRecordNumber: field.uint64(2),
  streamEpoch: field.uint64(3),
  known: field.bool(4),
  lastSeq: field.uint64(5),
});

export const appendRequest = message({
  stream: field.string(1),
  batch: field.message(2, recordBatch),
  producer: field.message(3, producerPosition),
  expectedNextSeq: field.optionalUint64(4),
  fencingToken: field.optionalString(5),
  expectedEpoch: field.optionalUint64(6),
});
export const appendResponse = message({
  firstSeq: field.uint64(1),
  lastSeq: field.uint64(2),
  streamEpoch: field.uint64(3),
  lsn: field.uint64(4),
  appendTimeUnixMs: field.int64(5),
  durability: field.enum(6),
  repeated: field.bool(7),
});
export type AppendResponseMessage = MessageValue<typeof appendResponse>;

export const appendError = message({
  code: field.int32(1),
  message: field.string(2),
  reason: field.string(3),
  facts: field.stringMap(4),
  retryable: field.bool(5),
  retryAfterMs: field.uint32(6),
});
export const appendSessionRequest = message({ requestId: field.uint64(1), append: field.message(2, appendRequest) });
export const appendSessionResponse = message({
  requestId: field.uint64(1),
  ok: field.message(2, appendResponse),
  error: field.message(3, appendError),
});

export const readRequest = message({
  stream: field.string(1),
  fromSeq: field.optionalUint64(2),
  sinceUnixMs: field.optionalInt64(3),
  last: field.optionalUint64(4),
  pageToken: field.optionalString(5),
  direction: field.enum(6),
  limit: field.optionalUint32(7),
  maxBytes: field.optionalUint32(8),
  acceptCodecs: field.enums(9),
  expectedEpoch: field.optionalUint64(10),
});
export const batchSlice = message({
  firstSeq: field.uint64(1),
  appendTimeUnixMs: field.int64(2),
  lsn: field.uint64(3),
  batch: field.message(4, recordBatch),
  windowOffset: field.uint32(5),
  windowCount: field.uint32(6),
  producer: field.message(7, producerPosition),
});
export type BatchSliceMessage = MessageValue<typeof batchSlice>;
export const readResponse = message({
  batches: field.messages(1, batchSlice),
  recordCount: field.uint32(2),
  nextPageToken: field.string(3),
  end: field.enum(4),
  firstSeq: field.uint64(5),
  nextSeq: field.uint64(6),
  streamEpoch: field.uint64(7),
});

export const tailRequest = message({
  stream: field.string(1),
  fromSeq: field.optionalUint64(2),
  sinceUnixMs: field.optionalInt64(3),
  last: field.optionalUint64(4),
  pageToken: field.optionalString(5),
  maxBytes: field.optionalUint32(6),
  acceptCodecs: field.enums(7),
  expectedEpoch: field.optionalUint64(8),
});
export const tailResponse = message({
  batches: field.messages(1, batchSlice),
  recordCount: field.uint32(2),
  nextPageToken: field.string(3),
  firstSeq: field.uint64(4),
  nextSeq: field.uint64(5),
  streamEpoch: field.uint64(6),
});

export const getContextRequest = message({
  stream: field.string(1),
  seq: field.uint64(2),
  before: field.uint32(3),
  after: field.uint32(4),
  scope: field.enum(5),
  maxBytes: field.optionalUint32(6),
  acceptCodecs: field.enums(7),
  expectedEpoch: field.optionalUint64(8),
});
export const getContextResponse = message({
  batches: field.messages(1, batchSlice),
  beforeCount: field.uint32(2),
  afterCount: field.uint32(3),
  moreBefore: field.bool(4),
  moreAfter: field.bool(5),
  firstSeq: field.uint64(6),
  nextSeq: field.uint64(7),
  streamEpoch: field.uint64(8),
});

export const limits = message({
  recordBytes: field.uint32(1),
  batchBytes: field.uint32(2),
  batchRecords: field.uint32(3),
  pageRecords: field.uint32(4),
  attributesPerRecord: field.uint32(5),
  attributeBytesPerRecord: field.uint32(6),
});
export const node = message({
  id: field.uint32(1),
  name: field.string(2),
  zone: field.string(3),
  version: field.string(4),
  advertisedAddresses: field.strings(5),
  incarnation: field.string(6),
  startedUnixMs: field.int64(7),
  dataDirectory: field.string(8),
  diskFreeBytes: field.uint64(9),
  walBytes: field.uint64(10),
  walSegments: field.uint32(11),
  streamCount: field.uint32(12),
  state: field.string(13),
  memoryRssBytes: field.uint64(14),
});
export const partitionLeader = message({ partition: field.uint32(1), node: field.uint32(2), term: field.uint64(3) });
export const describeClusterRequest = message({ ownView: field.bool(1) });
export const describeClusterResponse = message({
  clusterId: field.string(1),
  nodes: field.messages(2, node),
  slotPartitions: field.uint32s(3),
  answeredBy: field.uint32(4),
  limits: field.message(5, limits),
  leaders: field.messages(6, partitionLeader),
});
export type ClusterDescription = MessageValue<typeof describeClusterResponse>;

export const snapshotProgress = message({
  lsn: field.uint64(1),
  bytesDone: field.uint64(2),
  bytesTotal: field.uint64(3),
});
export const bootstrap = message({
  neededLsn: field.uint64(1),
  progress: field.message(2, snapshotProgress),
  problem: field.string(3),
  fromReplica: field.uint32(4),
  preparing: field.bool(5),
});
export const replica = message({
  replicaId: field.uint32(1),
  nodeId: field.uint32(2),
  role: field.string(3),
  term: field.uint64(4),
  firstLsn: field.uint64(5),
  durableLsn: field.uint64(6),
  commitLsn: field.uint64(7),
  appliedLsn: field.uint64(8),
  persistedLsn: field.uint64(9),
  archivedLsn: field.optionalUint64(10),
  trimPoint: field.uint64(11),
  trimMode: field.string(12),
  trimHeldBecause: field.string(13),
  stateHash: field.string(14),
  dirtyBytes: field.uint64(15),
  storeBytes: field.uint64(16),
  fault: field.string(17),
  groupTrimPoint: field.uint64(18),
  archivedManifest: field.string(19),
  snapshot: field.message(20, snapshotProgress),
  snapshotFailure: field.string(21),
  bootstrap: field.message(22, bootstrap),
});
export const partition = message({
  id: field.uint32(1),
  replicas: field.messages(2, replica),
  slotCount: field.uint32(3),
  streamCount: field.uint32(4),
});
export const listPartitionsRequest = message({});
export const listPartitionsResponse = message({ partitions: field.messages(1, partition) });

export const createSnapshotRequest = message({ partition: field.uint32(1) });
export const createSnapshotResponse = message({ archivedLsn: field.uint64(1), manifest: field.string(2) });

export const listSnapshotsRequest = message({ partition: field.uint32(1) });
export const snapshot = message({
  manifest: field.string(1),
  lsn: field.uint64(2),
  term: field.uint64(3),
  archived: field.bool(4),
});
export const listSnapshotsResponse = message({
  snapshots: field.messages(1, snapshot),
  repositoryId: field.string(2),
});

export const trimRequest = message({ partition: field.uint32(1), dryRun: field.bool(2) });
export const trimResponse = message({
  trimPoint: field.uint64(1),
  archivedLsn: field.uint64(2),
  mode: field.string(3),
  heldBecause: field.string(4),
});

export const transferLeadershipRequest = message({ partition: field.uint32(1), node: field.uint32(2) });
export const transferLeadershipResponse = message({
  node: field.uint32(1),
  formerNode: field.uint32(2),
  term: field.uint64(3),
});
export const member = message({
  id: field.uint32(1),
  name: field.string(2),
  zone: field.string(3),
  state: field.string(4),
  stateSinceUnixMs: field.int64(5),
  linkAddress: field.string(6),
  incarnation: field.string(7),
  replicas: field.uint32(8),
  featureLevel: field.uint32(9),
});
export const pendingNode = message({
  id: field.uint32(1),
  name: field.string(2),
  kind: field.string(3),
  linkAddress: field.string(4),
  incarnation: field.string(5),
});
export const placedReplica = message({
  replicaId: field.uint32(1),
  node: field.uint32(2),
  role: field.string(3),
  state: field.string(4),
});
export const partitionPlacement = message({
  partition: field.uint32(1),
  replicas: field.messages(2, placedReplica),
  waitsFor: field.string(3),
});
export const clusterSetting = message({ name: field.string(1), value: field.string(2), isDefault: field.bool(3) });
export const describeMembershipRequest = message({});
export const describeMembershipResponse = message({
  clusterId: field.string(1),
  tableVersion: field.uint64(2),
  members: field.messages(3, member),
  pending: field.messages(4, pendingNode),
  placements: field.messages(5, partitionPlacement),
  settings: field.messages(6, clusterSetting),
  featureLevel: field.uint32(7),
});
export const addNodeRequest = message({ node: field.uint32(1) });
export const drainNodeRequest = message({ node: field.uint32(1), cancel: field.bool(2) });
export const removeNodeRequest = message({ node: field.uint32(1) });
export const replaceNodeRequest = message({ node: field.uint32(1) });
export const movePartitionRequest = message({
  partition: field.uint32(1),
  fromNode: field.uint32(2),
  toNode: field.uint32(3),
});
export const setClusterSettingRequest = message({ name: field.string(1), value: field.optionalString(2) });

export const damagedValue = message({
  database: field.string(1),
  keyHex: field.string(2),
  problem: field.string(3),
});
export const verifyPartitionRequest = message({ partition: field.uint32(1) });
export const verifyPartitionResponse = message({
  values: field.uint64(1),
  bytes: field.uint64(2),
  totalBytes: field.uint64(3),
  done: field.bool(4),
  digest: field.string(5),
  appliedLsn: field.uint64(6),
  damaged: field.messages(7, damagedValue),
});

/** google/rpc/status.proto, error_details.proto and google/protobuf/{any,duration}.proto. */
export const any = message({ typeUrl: field.string(1), value: field.bytes(2) });
export const rpcStatus = message({ code: field.int32(1), message: field.string(2), details: field.messages(3, any) });
export const errorInfo = message({
  reason: field.string(1),
  domain: field.string(2),
  metadata: field.stringMap(3),
});
export const duration = message({ seconds: field.int64(1), nanos: field.int32(2) });
export const retryInfo = message({ retryDelay: field.message(1, duration) });
