export { onObjectStore } from './failures.js';
export { PartitionArchive } from './archive.js';
export { CollectionMemory } from './collector.js';
export type { SnapshotOptions } from './options.js';
export { manifestChecksum as manifestSha256 } from './manifest.js';
export { isClusterId } from './names.js';
export { SnapshotRepository } from './repository.js';
export { readIndexEntries } from './index-reader.js';
export { restoreSnapshot, type RestoreSnapshotParts } from './restorer.js';
export type * from './types.js';
export {
  removeDamaged,
  verifyArchive,
  type ArchiveVerification,
  type DamagedObject,
  type VerifiedSnapshot,
} from './verification.js';
export type { WriteSnapshotParts } from './writer.js';
