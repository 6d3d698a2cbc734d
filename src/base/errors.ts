/** gRPC status codes that errors map to (numbers of the gRPC specification). */
export const GrpcStatus = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

interface ErrorClass {
  readonly status: GrpcStatus;
  /** Whether the very same request can succeed when it is simply sent again, after the retry hint where one is given. */
  readonly retryable: boolean;
  readonly explanation: string;
}

/**
 * Every reason that a client, an operator or a log line can meet. Reasons are part of the API: they are never renamed
 * and never change their meaning. docs/errors.md is made from this table.
 */
export const errorRegistry = {
  INVALID_ARGUMENT: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A field of the request is missing, malformed or out of its range.',
  },
  BATCH_MALFORMED: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'The bytes of a record batch are not a valid encoding, or do not hold what its header says.',
  },
  BATCH_EMPTY: { status: GrpcStatus.invalidArgument, retryable: false, explanation: 'An append holds no record.' },
  BATCH_TOO_LARGE: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A batch exceeds the limit of bytes or of records; split it.',
  },
  RECORD_TOO_LARGE: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A record exceeds the limit of a record.',
  },
  ATTRIBUTES_TOO_LARGE: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'The attributes of a record exceed their limit of number or bytes.',
  },
  CODEC_NOT_SUPPORTED: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'The server does not know this compression codec.',
  },
  STREAM_NAME_INVALID: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A stream name is empty, too long or has characters that are not allowed.',
  },
  STREAM_NOT_FOUND: { status: GrpcStatus.notFound, retryable: false, explanation: 'There is no stream of this name.' },
  STREAM_ALREADY_EXISTS: {
    status: GrpcStatus.alreadyExists,
    retryable: false,
    explanation: 'A stream of this name exists with another configuration.',
  },
  STREAM_LIMIT_REACHED: {
    status: GrpcStatus.resourceExhausted,
    retryable: false,
    explanation: 'The node holds as many streams as it is configured for.',
  },
  STREAM_EPOCH_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation:
      'The stream was deleted and created again, or its history forked in a restore, since the caller last saw it.',
  },
  SEQ_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The stream does not end where the conditional append expected it to.',
  },
  FENCING_TOKEN_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The stream carries another fencing token than the append.',
  },
  PRODUCER_CONFLICT: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'These record numbers of the producer are stored already, with other content.',
  },
  PRODUCER_GAP: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'Record numbers between the last stored one of the producer and this batch are missing.',
  },
  PRODUCER_OVERLAP: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation:
      'The batch repeats some record numbers of the producer and adds others; go on from the next expected number.',
  },
  PRODUCER_FENCED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'A newer incarnation of this producer has appended with a higher epoch.',
  },
  PRODUCER_LIMIT_REACHED: {
    status: GrpcStatus.resourceExhausted,
    retryable: false,
    explanation: 'The stream has as many producers as it may have.',
  },
  PRODUCER_NOT_FOUND: {
    status: GrpcStatus.notFound,
    retryable: false,
    explanation: 'The stream has no records of this producer that could give a context.',
  },
  PAGE_TOKEN_INVALID: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A page token is truncated, altered or of another version.',
  },
  PAGE_TOKEN_WRONG_DIRECTION: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A page token made for one direction was used for the other.',
  },
  PAGE_TOKEN_WRONG_STREAM: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A page token of one stream was used for another.',
  },
  RECORD_TRIMMED: {
    status: GrpcStatus.outOfRange,
    retryable: false,
    explanation: 'The position is below what retention has left of the stream.',
  },
  SEQ_BEYOND_END: {
    status: GrpcStatus.outOfRange,
    retryable: false,
    explanation: 'The position is beyond the end of the stream.',
  },
  NOT_LEADER: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'This replica does not lead the partition; the hint says who does.',
  },
  LEADERSHIP_LOST: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation:
      'The outcome of the append is unknown: the replica lost its leadership while it was under way. Retrying is safe with a producer id.',
  },
  QUEUE_FULL: {
    status: GrpcStatus.resourceExhausted,
    retryable: true,
    explanation: 'A bounded queue is full; send again after the retry hint.',
  },
  DISK_FULL: {
    status: GrpcStatus.resourceExhausted,
    retryable: true,
    explanation: 'The disk has reached its low-water mark; appends are refused until there is space, reads go on.',
  },
  DATA_CORRUPT: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation: 'Stored bytes fail their checksum; they are not served.',
  },
  PARTITION_NOT_FOUND: {
    status: GrpcStatus.notFound,
    retryable: false,
    explanation: 'There is no partition of this number.',
  },
  PARTITION_STOPPED: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The partition has stopped after a fault that the log names.',
  },
  SHUTTING_DOWN: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The node is stopping; another attempt may meet it running again.',
  },
  DEADLINE_EXCEEDED: {
    status: GrpcStatus.deadlineExceeded,
    retryable: true,
    explanation:
      'The deadline passed first. An append may still have been stored; retrying is safe with a producer id.',
  },
  CANCELLED: { status: GrpcStatus.cancelled, retryable: false, explanation: 'The caller gave up.' },
  UNIMPLEMENTED: {
    status: GrpcStatus.unimplemented,
    retryable: false,
    explanation: 'This build does not do that yet.',
  },
  INTERNAL: {
    status: GrpcStatus.internal,
    retryable: false,
    explanation: 'A bug or a fault of the node; its log has the details.',
  },
  CONFIGURATION_INVALID: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A setting is unknown, malformed, out of range or contradicts another.',
  },
  DATA_DIRECTORY_LOCKED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'Another process uses the data directory.',
  },
  DATA_DIRECTORY_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The data directory belongs to another node or was written by a newer format.',
  },
  WAL_CORRUPT: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation: 'The write-ahead log is damaged before its end; the node does not start on it.',
  },
  WAL_FAILED: {
    status: GrpcStatus.unavailable,
    retryable: false,
    explanation: 'A write or sync of the write-ahead log failed; the node stops.',
  },
  STATE_STORE_CORRUPT: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation: 'A state store does not fit the log, or a value in it fails its checksum.',
  },
  STATE_STORE_FAILED: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'A state store failed and is being reopened at its persisted LSN.',
  },
  ADDRESS_IN_USE: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'Another process listens on the address.',
  },
  CLUSTER_ALREADY_INITIALIZED: {
    status: GrpcStatus.alreadyExists,
    retryable: false,
    explanation: 'The cluster has been formed, under another cluster id than the request names.',
  },
  NODE_NOT_FOUND: {
    status: GrpcStatus.notFound,
    retryable: false,
    explanation: 'The cluster has no node of this id, or it was removed.',
  },
  NODE_REMOVED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation:
      'This incarnation of the node was removed or replaced; it joins again only with an empty data directory.',
  },
  NODE_INCARNATION_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation:
      'The node id belongs to another data directory: two nodes have the same id, or the disk was wiped. A node that lost its disk is to be replaced.',
  },
  NODE_HAS_REPLICAS: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The node still holds replicas; drain it first.',
  },
  NODE_LIMIT_REACHED: {
    status: GrpcStatus.resourceExhausted,
    retryable: false,
    explanation: 'The cluster has as many nodes as it may have.',
  },
  QUORUM_WOULD_BE_LOST: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The change would take a majority of the voters from a partition.',
  },
  REPLICATION_FACTOR_TOO_HIGH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'There are, or would be, fewer active nodes than the replication factor.',
  },
  PLACEMENT_INVALID: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The replicas that were asked for cannot be placed so.',
  },
  PLACEMENT_IN_PROGRESS: {
    status: GrpcStatus.failedPrecondition,
    retryable: true,
    explanation: 'A replica of the partition is moving; only one moves at a time.',
  },
  REPLICA_NOT_FOUND: {
    status: GrpcStatus.notFound,
    retryable: false,
    explanation: 'The partition never had a replica of this id.',
  },
  NODE_HAS_NO_REPLICA: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The node that is to lead a partition has no replica of it, or there is no other replica to lead it.',
  },
  REPLICA_IS_LEARNER: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The replica that is to lead a partition does not vote in it, or not yet.',
  },
  REPLICA_NOT_ANSWERING: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The replica that is to lead a partition does not answer the one that leads it now.',
  },
  REPLICA_BEHIND: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The replica that is to lead a partition lacks too many entries of its log; it catches up by itself.',
  },
  TRANSFER_IN_PROGRESS: {
    status: GrpcStatus.aborted,
    retryable: true,
    explanation: 'The leadership of the partition is being handed to another replica.',
  },
  TRANSFER_FAILED: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation:
      'The leadership of the partition was not handed over in time; the leader before leads on, or another replica was elected.',
  },
  METADATA_VERSION_MISMATCH: {
    status: GrpcStatus.aborted,
    retryable: false,
    explanation: 'What is to be changed has changed since the caller read it; read again and decide anew.',
  },
  FEATURE_LEVEL_UNSUPPORTED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'A node is too old for the feature level of the cluster.',
  },
  REPOSITORY_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The cluster uses another snapshot repository.',
  },
  REPOSITORY_UNAVAILABLE: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The snapshot repository was not reached or gave no answer in time.',
  },
  REPOSITORY_REFUSED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation:
      'The snapshot repository denies access, is full, or is not set up as it must be; somebody has to change that.',
  },
  SNAPSHOT_CORRUPT: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation:
      'An object of the snapshot repository is damaged or missing, or objects do not fit together; an older snapshot may be whole.',
  },
  SNAPSHOT_NOT_FOUND: {
    status: GrpcStatus.notFound,
    retryable: false,
    explanation: 'The snapshot repository has no such snapshot, or none any more.',
  },
  SNAPSHOT_VERSION_UNSUPPORTED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'An object of the snapshot repository was written in a newer format than this build reads.',
  },
  SNAPSHOT_EXPIRED: {
    status: GrpcStatus.aborted,
    retryable: true,
    explanation:
      'Writing a snapshot took longer than half the grace period of collection, after which its chunks are not safe from it any more.',
  },
  NODE_UNREACHABLE: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation:
      'The node that was asked has no working link to the node that can answer. When the fact `outcome` is `unknown`, the request had left already and may have been carried out.',
  },
  REPOSITORY_NOT_CONFIGURED: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'No snapshot repository is configured.',
  },
  SNAPSHOT_PENDING: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'A node that was alone and has trimmed its log takes snapshots before a second one can join it.',
  },
  SNAPSHOT_NOT_CONFIRMED: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation:
      'A snapshot was written, but no quorum of replicas has confirmed its state; it does not count as archived.',
  },
  STATE_DIVERGED: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation:
      'The state of a replica is not that of the majority of its group; it stops serving and is made anew under another id.',
  },
  STATE_DISPUTED: {
    status: GrpcStatus.dataLoss,
    retryable: false,
    explanation: 'The replicas of a partition have different states, and none of them a majority; the partition stops.',
  },
  CLUSTER_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The node belongs to another cluster, or to none.',
  },
  CLUSTER_NOT_FORMED: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation: 'The node does not belong to a cluster yet.',
  },
  NODE_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'Another node answers at the address than the one that is expected there.',
  },
  LINK_VERSION_MISMATCH: {
    status: GrpcStatus.failedPrecondition,
    retryable: false,
    explanation: 'The two nodes have no version of the protocol of links in common; upgrade the older one.',
  },
  LINK_CORRUPT: {
    status: GrpcStatus.unavailable,
    retryable: true,
    explanation:
      'Bytes between two nodes were damaged on their way, or do not come from a node; the link starts again.',
  },
  TOKEN_MISSING: {
    status: GrpcStatus.unauthenticated,
    retryable: false,
    explanation: 'The node admits calls with a token only, and the call carries none.',
  },
  TOKEN_INVALID: {
    status: GrpcStatus.unauthenticated,
    retryable: false,
    explanation: 'The node does not know the token of the call: it is misspelt, was never given out, or was withdrawn.',
  },
  TOKEN_EXPIRED: {
    status: GrpcStatus.unauthenticated,
    retryable: false,
    explanation: 'The token of the call was valid until the time that the error names.',
  },
  PERMISSION_DENIED: {
    status: GrpcStatus.permissionDenied,
    retryable: false,
    explanation: 'The token of the call does not have the right that the error names, on the stream or the cluster.',
  },
  NODE_CERTIFICATE_MISMATCH: {
    status: GrpcStatus.permissionDenied,
    retryable: false,
    explanation: 'The certificate that the other side of a link showed is not one of the node that it claims to be.',
  },
  MESSAGE_TOO_LARGE: {
    status: GrpcStatus.invalidArgument,
    retryable: false,
    explanation: 'A request or an answer between nodes exceeds its limit of bytes.',
  },
} as const satisfies Record<string, ErrorClass>;

export type Reason = keyof typeof errorRegistry;

/** Facts needed to act on an error; they travel as the metadata of `google.rpc.ErrorInfo`. */
export type ErrorFacts = Readonly<Record<string, string | number>>;

/** Every expected failure. `message` names the field, the value and the limit, and says what to do next. */
export class LogboomError extends Error {
  override readonly name = 'LogboomError';
  readonly reason: Reason;
  readonly facts: ErrorFacts;
  /** When to try again, for errors that pass by themselves. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    options: { facts?: ErrorFacts; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.facts = options.facts ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  get status(): GrpcStatus {
    return errorRegistry[this.reason].status;
  }

  get retryable(): boolean {
    return errorRegistry[this.reason].retryable;
  }
}

export function isLogboomError(error: unknown, reason?: Reason): error is LogboomError {
  return error instanceof LogboomError && (reason === undefined || error.reason === reason);
}
