/** From settings to the options of the layers below. */
import { defaultArchivingOptions } from '../partition/index.js';
import { defaultStateStoreSizes } from '../state-store/index.js';
import { defaultStreamsLimits } from '../streams/index.js';
import { defaultWalOptions } from '../wal/index.js';
import { entryOverheadBytes, trimModeOf } from './config/contradictions.js';
import { createMachine } from './replicas.js';
import type { NodeId } from '../base/ids.js';
import type { MetadataMachine, MetadataResult } from '../metadata/index.js';
import type { ArchivingOptions, PartitionManagerOptions } from '../partition/index.js';
import type { OrderedStoreProvider } from '../state-store/index.js';
import type { StreamsLimits, StreamsResult, StreamsStateMachine } from '../streams/index.js';
import type { Configuration } from './config/index.js';

export function streamsLimitsOf({ limits, producers }: Configuration): StreamsLimits {
  return {
    ...defaultStreamsLimits,
    recordBytesMax: limits.recordBytes,
    batchBytesMax: limits.batchBytes,
    batchRecordsMax: limits.batchRecords,
    attributesPerRecordMax: limits.attributesPerRecord,
    attributeBytesPerRecordMax: limits.attributeBytesPerRecord,
    // Of the node, and so of each partition as well; the node's own count is checked before.
    streamsMax: limits.streams,
    producersPerStreamMax: limits.producersPerStream,
    producerIdleMs: producers.expiryMs,
  };
}

export type ManagerOptions = PartitionManagerOptions<
  StreamsResult | MetadataResult,
  StreamsStateMachine | MetadataMachine
>;

/** What the node's membership says. */
export type MemberOptions = Pick<
  ManagerOptions,
  'replicas' | 'transport' | 'presence' | 'nodesKnown' | 'clusterId' | 'recordedRepository'
>;

function archivingOptions({ snapshots, trim }: Configuration): ArchivingOptions {
  return {
    ...defaultArchivingOptions,
    automatic: snapshots.automatic,
    logBytes: snapshots.logBytes,
    ageMs: snapshots.maxAgeMs,
    bytesPerSecondMax: snapshots.bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : snapshots.bytesPerSecond,
    manifestsKept: snapshots.keep,
    graceMs: snapshots.collectGraceMs,
    // What was seen to be without use by runs that are further apart than half the period counts anew.
    collectEveryMs: Math.min(defaultArchivingOptions.collectEveryMs, snapshots.collectGraceMs / 4),
    trimMarginEntries: trim.marginEntries,
    trimDelayMs: trim.delayMs,
    bootstrapHoldMs: trim.bootstrapHoldMs,
  };
}

/**
 * Elections are timed more finely than heartbeats: two replicas whose chance timeouts fall into one tick split the votes, while a
 * heartbeat more often only costs more.
 */
const ticksPerHeartbeat = 2;

export function partitionManagerOptions(
  configuration: Configuration,
  nodeId: NodeId,
  storeProvider: OrderedStoreProvider,
  onReplay: NonNullable<ManagerOptions['onReplay']>,
  member: MemberOptions,
): ManagerOptions {
  const { wal, stateStore, append, limits, cluster } = configuration;
  const { blockCacheBytes } = stateStore;
  return {
    nodeId,
    ...member,
    offersMax: configuration.snapshots.concurrent,
    tickMs: cluster.heartbeatMs / ticksPerHeartbeat,
    storeProvider,
    createMachine,
    onReplay,
    wal: {
      segmentBytes: wal.segmentBytes,
      recentEntriesCacheBytes: wal.cacheBytes,
      spareSegments: wal.spareSegments,
      // What was accepted before a disk was found full must fit into the segment at hand.
      maxPendingBytes: Math.min(defaultWalOptions.maxPendingBytes, wal.segmentBytes / 2),
    },
    storeSizes: {
      ...defaultStateStoreSizes,
      records: { ...defaultStateStoreSizes.records, blockCacheBytes },
      index: { ...defaultStateStoreSizes.index, blockCacheBytes },
    },
    flush: {
      budgetBytes: stateStore.dirtyBudgetBytes,
      // Applies wait only when flushes cannot keep up: at twice the budget.
      hardLimitBytes: 2 * stateStore.dirtyBudgetBytes,
      storeBytes: stateStore.flushBytes,
      ageMs: stateStore.flushAgeMs,
    },
    replica: {
      electionTicks: Math.round((ticksPerHeartbeat * cluster.electionTimeoutMs) / cluster.heartbeatMs),
      heartbeatTicks: ticksPerHeartbeat,
      // As long as the others' patience: what comes again sooner need not wake a group.
      quietAfterTicks: Math.round((ticksPerHeartbeat * cluster.electionTimeoutMs) / cluster.heartbeatMs),
      trimMode: trimModeOf(configuration),
      archiving: archivingOptions(configuration),
      // The node's admission is the limit that clients meet; a replica's own only guards against a bug in it.
      proposalsMax: append.inFlightItems + 1024,
      proposalBytesMax: append.inFlightBytes + limits.batchBytes + entryOverheadBytes,
      raftLimits: {
        entryBytesMax: limits.batchBytes + entryOverheadBytes,
        uncommittedBytesMax: append.inFlightBytes + limits.batchBytes,
      },
    },
  };
}
