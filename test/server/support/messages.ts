/** Messages of the API as proto-loader decodes them (64-bit numbers and enums as text), as far as tests look at them. */
export interface StreamMessage {
  readonly name: string;
  readonly epoch: string;
  readonly partition: number;
  readonly config: { readonly retentionAgeMs: string; readonly retentionBytes: string };
  readonly firstSeq: string;
  readonly nextSeq: string;
  readonly storedBytes: string;
  readonly createdUnixMs: string;
  readonly lastAppendUnixMs: string;
  readonly fencingToken: string;
  readonly producerCount: number;
}

export interface AppendResponseMessage {
  readonly firstSeq: string;
  readonly lastSeq: string;
  readonly streamEpoch: string;
  readonly lsn: string;
  readonly durability: string;
  readonly repeated: boolean;
}

export interface BatchSliceMessage {
  readonly firstSeq: string;
  readonly lsn: string;
  readonly batch: { readonly records: { readonly records: readonly { readonly value: Buffer }[] } };
  readonly windowOffset: number;
  readonly windowCount: number;
  readonly producer: { readonly id: string } | null;
}

export interface PageMessage {
  readonly batches: readonly BatchSliceMessage[];
  readonly recordCount: number;
  readonly nextPageToken: string;
  readonly end: string;
  readonly firstSeq: string;
  readonly nextSeq: string;
  readonly streamEpoch: string;
}

export interface SessionAnswerMessage {
  readonly requestId: string;
  readonly result: 'ok' | 'error';
  readonly ok?: AppendResponseMessage;
  readonly error?: { readonly code: number; readonly reason: string; readonly retryable: boolean };
}

export interface ReplicaMessage {
  readonly persistedLsn: string;
  readonly appliedLsn: string;
  readonly commitLsn: string;
  readonly durableLsn: string;
  readonly archivedLsn?: string;
  readonly stateHash: string;
  readonly fault: string;
}

export interface VerifyMessage {
  readonly done: boolean;
  readonly values: string;
  readonly digest: string;
  readonly damaged: readonly object[];
}

/** What the unary methods of StreamService answer. */
export interface StreamResponses {
  createStream: { readonly stream: StreamMessage; readonly created: boolean };
  getStream: { readonly stream: StreamMessage };
  updateStream: { readonly stream: StreamMessage };
  deleteStream: { readonly firstSeq: string; readonly nextSeq: string };
  listStreams: { readonly streams: readonly StreamMessage[]; readonly nextPageToken: string };
  getProducer: { readonly known: boolean; readonly nextRecordNumber: string };
  append: AppendResponseMessage;
  read: PageMessage;
  getContext: PageMessage;
}

/** And those of ClusterService. */
export interface ClusterResponses {
  describeCluster: {
    readonly clusterId: string;
    readonly nodes: readonly {
      readonly walBytes: string;
      readonly diskFreeBytes: string;
      readonly state: string;
    }[];
    readonly slotPartitions: readonly number[];
    readonly leaders: readonly { readonly partition: number; readonly node: number; readonly term: string }[];
    readonly limits: object;
  };
  listPartitions: {
    readonly partitions: readonly {
      readonly id: number;
      readonly slotCount: number;
      readonly replicas: readonly [ReplicaMessage];
    }[];
  };
}
