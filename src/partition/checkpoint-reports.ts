/** What the replicas of a group have said about checkpoints, as their leader keeps it. */
import type { Lsn, ReplicaId } from '../base/ids.js';
import type { StateHash } from '../state-store/types.js';
import type { CheckpointReport } from './checkpoint-messages.js';

interface Heard {
  readonly report: CheckpointReport;
  readonly atMs: number;
}

/** One report a replica, the newest: bounded by the size of the group. */
export class CheckpointReports {
  readonly #heard = new Map<ReplicaId, Heard>();

  add(replica: ReplicaId, report: CheckpointReport, nowMs: number): void {
    this.#heard.set(replica, { report, atMs: nowMs });
  }

  /** What each replica has at the checkpoint, as far as it is known. */
  hashesAt(lsn: Lsn): Map<ReplicaId, StateHash> {
    const hashes = new Map<ReplicaId, StateHash>();
    for (const [replica, { report }] of this.#heard) {
      if (report.lsn === lsn && report.hashBefore !== undefined) hashes.set(replica, report.hashBefore);
    }
    return hashes;
  }

  /** Whether the replica's node said since `sinceMs` that it sees the repository. */
  hasProved(replica: ReplicaId, repositoryId: string, sinceMs: number): boolean {
    const heard = this.#heard.get(replica);
    return heard !== undefined && heard.atMs >= sinceMs && heard.report.repositoryId === repositoryId;
  }

  /** Leadership begins or ends: what was said to an earlier leader is not asked for again. */
  clear(): void {
    this.#heard.clear();
  }
}
