/** Rights, and what each method of the API requires. */

/** `admin` on a stream: to create, change and delete it. None of them includes another. */
export const streamRights = ['append', 'read', 'admin'] as const;
export type StreamRight = (typeof streamRights)[number];

/** On nodes and partitions. `read`: to look at them; `admin`: to look, and everything else. */
export const clusterRights = ['read', 'admin'] as const;
export type ClusterRight = (typeof clusterRights)[number];

/** What a call must be allowed. */
export type Requirement =
  /** Any valid token; what is told to whom is the method's business. */
  | { readonly on: 'token' }
  | { readonly on: 'cluster'; readonly anyOf: readonly ClusterRight[] }
  /** On the stream that the request names in field 1. */
  | { readonly on: 'stream'; readonly anyOf: readonly StreamRight[] }
  /** On the stream that each message of the session names. */
  | { readonly on: 'each-message'; readonly anyOf: readonly StreamRight[] };

/**
 * Every method of the API. A method that is not in this table cannot be served (rpc/calls.ts), and
 * test/server/security/rights.test.ts fails when the table and the proto files differ.
 */
export const methodRequirements = {
  CreateStream: { on: 'stream', anyOf: ['admin'] },
  // Whoever may do anything with a stream may know where it stands.
  GetStream: { on: 'stream', anyOf: ['append', 'read', 'admin'] },
  // Lists those streams on which the token has any right.
  ListStreams: { on: 'token' },
  UpdateStream: { on: 'stream', anyOf: ['admin'] },
  DeleteStream: { on: 'stream', anyOf: ['admin'] },
  GetProducer: { on: 'stream', anyOf: ['append', 'read', 'admin'] },
  Append: { on: 'stream', anyOf: ['append'] },
  AppendSession: { on: 'each-message', anyOf: ['append'] },
  Read: { on: 'stream', anyOf: ['read'] },
  Tail: { on: 'stream', anyOf: ['read'] },
  GetContext: { on: 'stream', anyOf: ['read'] },
  // Clients look for leaders and limits with it; the rest of it is for those who may look at the cluster.
  DescribeCluster: { on: 'token' },
  ListPartitions: { on: 'cluster', anyOf: ['read', 'admin'] },
  VerifyPartition: { on: 'cluster', anyOf: ['admin'] },
  CreateSnapshot: { on: 'cluster', anyOf: ['admin'] },
  ListSnapshots: { on: 'cluster', anyOf: ['read', 'admin'] },
  Trim: { on: 'cluster', anyOf: ['admin'] },
  TransferLeadership: { on: 'cluster', anyOf: ['admin'] },
  DescribeMembership: { on: 'cluster', anyOf: ['read', 'admin'] },
  AddNode: { on: 'cluster', anyOf: ['admin'] },
  DrainNode: { on: 'cluster', anyOf: ['admin'] },
  RemoveNode: { on: 'cluster', anyOf: ['admin'] },
  ReplaceNode: { on: 'cluster', anyOf: ['admin'] },
  MovePartition: { on: 'cluster', anyOf: ['admin'] },
  SetClusterSetting: { on: 'cluster', anyOf: ['admin'] },
} as const satisfies Readonly<Record<string, Requirement>>;

export type MethodName = keyof typeof methodRequirements;
