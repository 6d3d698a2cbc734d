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
