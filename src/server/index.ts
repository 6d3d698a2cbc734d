/** What the command line, tests and benchmarks need of the server. */
export { loadConfiguration } from './config/index.js';
export type { Configuration, SettingEntry } from './config/index.js';
export { startNode } from './node.js';
export type { RunningNode, StartOptions } from './node.js';
export { runNode } from './run-node.js';
export { withRepository } from './restore/offline.js';
export { planRestore, restoreNode } from './restore/restore-node.js';
export type { RestoredPartition } from './restore/restore-node.js';
export type { RestorePlan } from './restore/plan.js';
export { removeDamaged, verifyArchive } from '../snapshot/index.js';
export type { ArchiveVerification, SnapshotProgress, SnapshotRepository } from '../snapshot/index.js';
