/** Looks at all replicas once a simulated second: for the time line, and for limits that nothing else would notice. */
import { defaultRaftLimits } from '../../src/raft/types.js';
import type { Cluster } from '../nodes/cluster.js';
import type { TimeLine } from './time-line.js';

const everyMs = 1000;
/** Events scheduled at once, of a cluster that is not leaking. */
const pendingEventsMax = 200_000;

export class Sampler {
  readonly #cluster: Cluster;
  readonly #timeLine: TimeLine;

  constructor(cluster: Cluster, timeLine: TimeLine) {
    this.#cluster = cluster;
    this.#timeLine = timeLine;
  }

  /** What the replicas are like at the end. */
  end(): void {
    if (this.#timeLine.isKept) this.#draw();
  }

  run(): void {
    this.#cluster.world.after(everyMs, () => {
      this.#sample();
      this.run();
    });
  }

  #sample(): void {
    const { checker, nodes, verdict, world } = this.#cluster;
    if (this.#timeLine.isKept) this.#draw();
    verdict.require(
      world.pendingEvents <= pendingEventsMax,
      'memory-is-bounded',
      () => `${world.pendingEvents} events are scheduled at once`,
    );
    for (const node of nodes) {
      const { manager } = node;
      if (manager === undefined || node.clock.isPaused) continue;
      for (const replica of manager.replicas) {
        const record = checker.record(replica.partitionId, node.replicaIdIn(replica.partitionId));
        if (record?.isLeader !== true) continue;
        for (const follower of replica.raftStatus.progress) {
          verdict.require(
            follower.inflightMessages <= defaultRaftLimits.inflightMessagesMax,
            'memory-is-bounded',
            () => `${record.name}: ${follower.inflightMessages} messages are under way to replica ${follower.replica}`,
          );
        }
      }
    }
  }

  #draw(): void {
    for (const record of this.#cluster.checker.records) {
      this.#timeLine.sample({
        atMs: this.#cluster.world.nowMs,
        nodeId: record.nodeId,
        partitionId: record.partitionId,
        role: record.running ? (record.isLeader ? 'leader' : 'follower') : 'down',
        term: record.term,
        last: record.lastLsn,
        durable: record.durableLsn,
        commit: record.commit,
        applied: record.applied,
        persisted: record.persisted,
      });
    }
  }
}
