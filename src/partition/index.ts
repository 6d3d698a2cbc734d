export {
  PartitionManager,
  type PartitionManagerOptions,
  type ReplayProgress,
  type ReplicaPlacement,
} from './partition-manager.js';
export { noRepository } from './archiver.js';
export { defaultReplicaOptions } from './replica-options.js';
export type { Replica } from './replica.js';
export { unfitError, type TransferOptions } from './leadership-transfer.js';
export { chooseSuccessor, otherVoters, unfitnessOf } from './successors.js';
export type * from './types.js';
export type { ArchiveState } from './archive-state.js';
export type { ReplicaObserver, ReplicaStart } from './observer.js';
export { RepositoryConnection, type RepositoryAccess } from './repository-access.js';
export { defaultArchivingOptions, type ArchivingOptions } from './snapshot-options.js';
export { beginLogs, restoreReplica, type RestoredLog, type RestoredReplica } from './restored-replica.js';
