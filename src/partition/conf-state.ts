/** A group's configuration as it is kept in the state, beside what the state machine writes. */
import { LogboomError } from '../base/errors.js';
import type { ReplicaId } from '../base/ids.js';
import { decodeConfChange, membersOf } from '../raft/index.js';
import type { ConfState, Entry } from '../raft/types.js';

/**
 * Index key of the configuration in force at the applied LSN. Keys below 0x10 belong to the partition, those below 0x08
 * to the state store.
 */
export const confStateKey = Uint8Array.of(0x08);

export function encodeConfState(confState: ConfState): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(confState));
}

/** @throws LogboomError STATE_STORE_CORRUPT */
export function decodeConfState(bytes: Uint8Array): ConfState {
  const fail = (problem: string): never => {
    throw new LogboomError('STATE_STORE_CORRUPT', `the stored configuration of the partition ${problem}`);
  };
  let value: Partial<Record<keyof ConfState, unknown>>;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as typeof value;
  } catch {
    return fail('is not JSON');
  }
  const replicas = (field: 'voters' | 'votersOutgoing' | 'learners' | 'learnersNext'): readonly ReplicaId[] => {
    const list = value[field];
    if (!Array.isArray(list) || !list.every((id) => Number.isSafeInteger(id) && id > 0))
      return fail(`has no valid ${field}`);
    return list as readonly ReplicaId[];
  };
  return {
    voters: replicas('voters'),
    votersOutgoing: replicas('votersOutgoing'),
    learners: replicas('learners'),
    learnersNext: replicas('learnersNext'),
    autoLeave: value.autoLeave === true,
  };
}

/** Index key of the highest replica id that any change of the configuration has named, up to the applied LSN. */
export const highestReplicaKey = Uint8Array.of(0x0b);

/** An id that has left the configuration must not come back into it, and its members of now do not tell which have. */
export function highestReplicaId(stored: Uint8Array | undefined, confState: ConfState, change?: Entry): ReplicaId {
  const known = stored === undefined ? 0 : Number(new TextDecoder().decode(stored));
  if (!Number.isSafeInteger(known)) {
    throw new LogboomError('STATE_STORE_CORRUPT', 'the stored highest replica id of the partition is not a number');
  }
  const named = change === undefined ? [] : decodeConfChange(change.data).steps.map(({ replica }) => replica);
  return Math.max(known, ...membersOf(confState), ...named) as ReplicaId;
}

export const encodeHighestReplicaId = (replicaId: ReplicaId): Uint8Array => new TextEncoder().encode(String(replicaId));
