export { PartitionArchive, type WriteSnapshotParts } from './archive.js';
export { CollectionMemory, type CollectionOptions, type CollectionReport } from './collector.js';
export { defaultGraceMs, defaultSnapshotSizes, type SnapshotOptions } from './options.js';
export { SnapshotRepository } from './repository.js';
export { restoreSnapshot, type RestoreSnapshotParts } from './restorer.js';
export type * from './types.js';
