export {
  aloneOn,
  PartitionManager,
  type PartitionManagerOptions,
  type ReplayProgress,
  type ReplicaPlacement,
} from './partition-manager.js';
export { Replica } from './replica.js';
export { defaultReplicaOptions, type ReplicaHost, type ReplicaOptions, type ReplicaParts } from './replica-options.js';
export { defaultProcessorOptions, type ProcessorOptions } from './processor.js';
export { decideTrim, type TrimDecision, type TrimFacts } from './trim.js';
export type * from './types.js';
export type { ReplicaObserver, ReplicaStart } from './observer.js';
