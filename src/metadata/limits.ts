/** What apply holds every command to. Part of the format: a change needs a new feature level. */
export const metadataLimits = {
  nodesMax: 256,
  /** Removed ones included. */
  nodeRecordsMax: 4096,
  nodeIdMax: 0xffff_ffff,
  /** Of the partition table; 0 is metadata itself. */
  partitionIdMax: 0xffff,
  partitionsMax: 4097,
  /** Leaves room for as many again. */
  initialReplicaIdMax: 0xffff_ffff,
  replicasPerPartitionMax: 16,
  replicationFactorMax: 7,
  textBytesMax: 255,
  addressesMax: 16,
  /** The oldest are forgotten beyond it. */
  retiredIncarnationsMax: 64,
} as const;

/** Hash slots of every cluster. Never to be changed. */
export const slotCount = 4096;

/** Partition of the cluster's state itself. */
export const metadataPartitionId = 0;
