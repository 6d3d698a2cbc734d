/**
 * Metadata: the state machine of partition 0, which holds the cluster's nodes, partitions and settings, and the pure
 * functions that decide from it.
 *
 * A change, on the leader of partition 0 (apply decides):
 *
 *     const command = { type: 'drain-node', nodeId, drain: true, expectedVersion: node.version };
 *     const { result } = await replica.propose(encodeCommand(command, { timeMs: clock.wallMs() }));
 *     const { tableVersion } = expectApplied(result);
 *
 * `encodeCommand` is told the cluster's feature level, and refuses what not every node can read. A command whose outcome is
 * unknown is proposed again as it was.
 *
 * In the background, on the leader of partition 0: what `nextMove` answers is proposed as `set-placement`; what
 * `leaderTransfers` answers is sent to the leaders of the partitions.
 *
 * In the background, on the leader of every partition: what `nextStep` answers is done; what `placementReports` answers is
 * proposed to partition 0. On every node: replicas that the table gives to it are made and run, `lost` ones and those that
 * the table does not have any more are deleted.
 *
 * Readers watch the topic `tableTopic`, and take `machine.state`; nodes without a replica of partition 0 get it as
 * `encodePartitionTable(state)`.
 */
export type * from './types.js';
export { metadataPartitionId } from './limits.js';
export { supportedFeatureLevel } from './feature-level.js';

export { encodeCommand } from './commands/codec.js';
export type * from './commands/commands.js';
export { metadataMutants, type MetadataMutant } from './mutants.js';
export { expectApplied, MetadataMachine, tableTopic } from './metadata-machine.js';

export { clusterSettings, settingRules } from './settings.js';
export { initialSlotPattern } from './slots.js';

export { initialPlacement } from './placement/initial-placement.js';
export { nextFeatureLevel } from './placement/next-feature-level.js';
export { leaderTransfers } from './placement/leader-transfers.js';
export type { Liveness } from './placement/liveness.js';
export { nextMove } from './placement/next-move.js';
export type { Move } from './placement/move.js';

export { nextStep, placementReports } from './reconcile.js';
export type { ActualConfiguration, GroupFacts, ReconcileStep } from './reconcile.js';

export { decodePartitionTable, encodePartitionTable, routeOf } from './routing.js';
