/** The TypeScript client of Logboom. Start at {@link LogboomClient}; docs/client.md is its guide. */
export { LogboomClient } from './client.js';
export type { AppenderOptions, ClientOptions, ProducerState } from './client.js';
export type { AppendBatchOptions, AppendBatchResult } from './append.js';
export { Appender } from './appender.js';
export type { AppenderLimits, AppendResult } from './appender.js';
export type { RecordFields, RecordInput } from './batch-buffer.js';
export type {
  Cluster,
  ClusterInfo,
  ClusterSetting,
  CreatedSnapshot,
  Limits,
  MemberInfo,
  Membership,
  NodeInfo,
  PartitionInfo,
  PartitionPlacement,
  ReplicaInfo,
  SnapshotInfo,
  SnapshotList,
  TrimOutcome,
  Verification,
  VerificationProgress,
} from './cluster.js';
export type { CallOptions } from './connection.js';
export type { CredentialOptions, TlsOptions } from './credentials.js';
export { ClientError, isClientError } from './errors.js';
export type { ClientErrorCode } from './errors.js';
export type { ContextOptions, ContextRecords, Page, ReadOptions, ReadPageOptions, ReadStart } from './reader.js';
export { BatchRecords, LogRecord } from './records.js';
export type { RecordAttribute, RecordProducer } from './records.js';
export type { RetryOptions } from './retry.js';
export type { CreateStreamOptions, StreamInfo, Streams, UpdateStreamOptions } from './streams.js';
export type { TailOptions, TailPage } from './tail.js';
export { errorRegistry, isLogboomError, LogboomError } from '../base/errors.js';
export type { ErrorFacts, Reason } from '../base/errors.js';
export { noLogger } from '../base/ports/logger.js';
export type { Logger } from '../base/ports/logger.js';
