export { onObjectStore } from './failures.js';
export { PartitionArchive } from './archive.js';
export { CollectionMemory } from './collector.js';
export type { SnapshotOptions } from './options.js';
export { SnapshotRepository } from './repository.js';
export { restoreSnapshot, type RestoreSnapshotParts } from './restorer.js';
export type * from './types.js';
export type { WriteSnapshotParts } from './writer.js';
