/** Whether the replicas of a group have the same state at a checkpoint (rule 5), as a pure decision. */
import type { ReplicaId } from '../base/ids.js';
import { isQuorum } from '../raft/index.js';
import type { ConfState } from '../raft/types.js';
import { equalStateHashes, formatStateHash } from '../state-store/index.js';
import type { StateHash } from '../state-store/types.js';

export type Agreement =
  /** A quorum has what this replica has; `differing` have something else. */
  | { readonly type: 'agreed'; readonly differing: readonly ReplicaId[] }
  /** Not enough is known. */
  | { readonly type: 'open'; readonly unheard: readonly ReplicaId[] }
  /** A quorum has something else than this replica. */
  | { readonly type: 'differs'; readonly agreed: StateHash }
  /** All voters were heard, and no state has a quorum: nobody knows what is right. */
  | { readonly type: 'no-majority' };

/** @param hashes what each replica has at the checkpoint, this one included */
export function judgeCheckpoint(
  conf: Pick<ConfState, 'voters' | 'votersOutgoing'>,
  own: StateHash,
  hashes: ReadonlyMap<ReplicaId, StateHash>,
): Agreement {
  const kinds = new Map<string, StateHash>();
  for (const hash of hashes.values()) kinds.set(formatStateHash(hash), hash);
  const has = (hash: StateHash) => (replica: ReplicaId) => {
    const other = hashes.get(replica);
    return other !== undefined && equalStateHashes(other, hash);
  };
  const agreed = [...kinds.values()].find((hash) => isQuorum(conf, has(hash)));
  if (agreed !== undefined) {
    if (!equalStateHashes(agreed, own)) return { type: 'differs', agreed };
    return { type: 'agreed', differing: [...hashes.keys()].filter((replica) => !has(own)(replica)) };
  }
  const unheard = [...new Set([...conf.voters, ...conf.votersOutgoing])].filter((voter) => !hashes.has(voter));
  return unheard.length > 0 ? { type: 'open', unheard } : { type: 'no-majority' };
}
