/** A change of the placement of one partition, and why. */
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { ReplicaRole } from '../types.js';

export type MoveReason =
  /** A replica that is on its way to a node that died, or is to be emptied, goes elsewhere. */
  | 'redirect'
  | 'over-replicated'
  | 'dead-node'
  | 'under-replicated'
  | 'draining-node'
  | 'zone-spread'
  | 'balance'
  /** A node gets the metadata. */
  | 'metadata-replica'
  /** One of the nodes that have it is to vote on it. */
  | 'metadata-voter'
  /** No replica moves; another one becomes the preferred leader. */
  | 'preferred-leader';

/** A `set-placement` to be proposed. */
export interface Move {
  readonly reason: MoveReason;
  readonly partitionId: PartitionId;
  /** The command's `expectedVersion`. */
  readonly expectedVersion: number;
  readonly desired: readonly { readonly nodeId: NodeId; readonly role: ReplicaRole }[];
  /** The replica that is to go. */
  readonly from: ReplicaId | undefined;
  /** The node that is to get a replica, or to be the preferred leader. */
  readonly to: NodeId | undefined;
}
