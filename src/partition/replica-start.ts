/** What a replica starts from: its log's and its store's, which must fit each other. */
import { LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type ReplicaId } from '../base/ids.js';
import type { StateMachine } from '../base/state-machine.js';
import { RaftCore } from '../raft/index.js';
import type { ConfState, HardState, QuietOptions, RaftOptions } from '../raft/types.js';
import type { StateStore } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import { confStateKey, decodeConfState } from './conf-state.js';
import type { ReplicaObserver } from './observer.js';
import type { ReplicaParts, ReplicaPresence } from './replica-options.js';
import { Watermarks } from './watermarks.js';

/** Opens one store after another; what a store that was given up still reports is not listened to. */
export class StoreGenerations {
  readonly #open: (onPersisted: (lsn: Lsn) => void) => Promise<StateStore>;
  #generation = 0;
  onPersisted: (lsn: Lsn) => void = () => {};

  constructor(open: (onPersisted: (lsn: Lsn) => void) => Promise<StateStore>) {
    this.#open = open;
  }

  open(): Promise<StateStore> {
    this.#generation += 1;
    const generation = this.#generation;
    return this.#open((lsn) => {
      if (generation === this.#generation) this.onPersisted(lsn);
    });
  }
}

export interface StartState {
  readonly replicaId: ReplicaId;
  readonly hardState: HardState;
  readonly confState: ConfState;
}

export function startState(log: PartitionLog, store: StateStore): StartState {
  const { recovered } = log;
  const stored = store.getIndex(confStateKey);
  return {
    replicaId: recovered.replicaId,
    hardState: recovered.hardState,
    // Without a configuration entry above the trim point, the one at the trim point still holds.
    confState: stored === undefined ? recovered.confState : decodeConfState(stored),
  };
}

/** What decides a core's behaviour, of the replica's options; what it starts from is given. */
export function makeCore<Result, Machine extends StateMachine<Result>>(
  { options, environment, mutant, host }: ReplicaParts<Result, Machine>,
  start: StartState & Pick<RaftOptions, 'log' | 'applied'>,
  isIdle: () => boolean,
): RaftCore {
  const { replicaId: id, ...rest } = start;
  const { presence } = host;
  const quiet = presence && quietOptions(presence, options.quietAfterTicks, isIdle);
  return new RaftCore({
    id,
    ...rest,
    electionTicks: options.electionTicks,
    heartbeatTicks: options.heartbeatTicks,
    random: environment.random,
    limits: options.raftLimits,
    ...options.reads,
    ...(quiet === undefined ? {} : { quiet }),
    ...(mutant === undefined ? {} : { mutant }),
  });
}

function quietOptions(presence: ReplicaPresence, afterTicks: number, isIdle: () => boolean): QuietOptions {
  return {
    afterTicks,
    epoch: () => presence.epoch,
    epochOf: (replicaId) => {
      const nodeId = presence.nodeOf(replicaId);
      return nodeId === undefined ? undefined : presence.epochOf(nodeId);
    },
    isIdle,
  };
}

/** A store is never ahead of its own log, and what it has applied was committed. */
export function startWatermarks({ durableLsn: durable }: PartitionLog, store: StateStore): Watermarks {
  const { appliedLsn: applied, persistedLsn: persisted } = store;
  return new Watermarks({ durable, commit: applied, applied, persisted });
}

export function observeStart<Result, Machine extends StateMachine<Result>>(
  { observe, log }: ReplicaParts<Result, Machine>,
  start: StartState,
  store: StateStore,
): ReplicaObserver | undefined {
  const { partitionId, durableLsn } = log;
  const { appliedLsn, persistedLsn, stateHash } = store;
  return observe?.({ partitionId, ...start, log, durableLsn, appliedLsn, persistedLsn, stateHash });
}

/** A store and a log that do not touch cannot be made one replica; starting anyway would lose or invent entries. */
export function checkFit(log: PartitionLog, store: StateStore): void {
  const advice =
    'The two do not come from the same moment of the same node. Put back the whole data directory from one copy, or ' +
    'replace the node by one with an empty data directory.';
  const facts = {
    partition: log.partitionId,
    appliedLsn: store.appliedLsn,
    trimPoint: log.trimPoint,
    lastLsn: log.lastLsn,
  };
  if (store.appliedLsn < log.trimPoint) {
    throw new LogboomError(
      'STATE_STORE_CORRUPT',
      `the state store of partition ${log.partitionId} ends at LSN ${store.appliedLsn}, but its log begins only at ` +
        `${asLsn(log.trimPoint + 1)}: entries between them are missing. ${advice}`,
      { facts },
    );
  }
  if (store.appliedLsn > log.durableLsn) {
    throw new LogboomError(
      'STATE_STORE_CORRUPT',
      `the state store of partition ${log.partitionId} is at LSN ${store.appliedLsn}, but its log ends at ` +
        `${log.durableLsn}: the end of the log is lost. ${advice}`,
      { facts },
    );
  }
}
