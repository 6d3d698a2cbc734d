/** What the replicas of a group have said about checkpoints, as their leader keeps it. */
import type { Lsn, ReplicaId } from '../base/ids.js';
import type { StateHash } from '../state-store/types.js';
import type { CheckpointReport } from './checkpoint-messages.js';

/** One report a replica, the newest: bounded by the size of the group. */
export class CheckpointReports {
  readonly #heard = new Map<ReplicaId, CheckpointReport>();

  add(replica: ReplicaId, report: CheckpointReport): void {
    this.#heard.set(replica, report);
  }

  /** What each replica has at the checkpoint, as far as it is known. */
  hashesAt(lsn: Lsn): Map<ReplicaId, StateHash> {
    const hashes = new Map<ReplicaId, StateHash>();
    for (const [replica, report] of this.#heard) {
      if (report.lsn === lsn && report.hashBefore !== undefined) hashes.set(replica, report.hashBefore);
    }
    return hashes;
  }

  /**
   * The repository that the replica's node sees, by its last word; undefined: it has said nothing. That holds while the node is
   * away: what it has said it need not say again before it says something else.
   */
  repositoryOf(replica: ReplicaId): string | undefined {
    return this.#heard.get(replica)?.repositoryId;
  }

  /** Leadership begins or ends: what was said to an earlier leader is not asked for again. */
  clear(): void {
    this.#heard.clear();
  }
}
