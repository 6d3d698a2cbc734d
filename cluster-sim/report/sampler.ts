/** Looks at all replicas once a simulated second: for the time line, and for limits that nothing else would notice. */
import { defaultRaftLimits } from '../../src/raft/types.js';
import type { Cluster } from '../nodes/cluster.js';
import type { Manager } from '../nodes/surroundings.js';
import type { TimeLine } from './time-line.js';

const everyMs = 1000;
/**
 * So long after the last moment of a node's process its signs of life may still arrive, and be missed after that. A second of it is
 * this sampler's, the rest is what slow links and clocks add.
 */
const quietWithoutLeaderMsMax = 7000;
/** Events scheduled at once, of a cluster that is not leaking. */
const pendingEventsMax = 200_000;

export class Sampler {
  readonly #cluster: Cluster;
  readonly #timeLine: TimeLine;
  /** When a node's process was last seen to run. */
  readonly #aliveMs = new Map<number, number>();

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
    for (const node of nodes)
      if (node.manager !== undefined && !node.clock.isPaused) this.#aliveMs.set(node.id, world.nowMs);
    for (const node of nodes) {
      const { manager } = node;
      if (manager === undefined || node.clock.isPaused) continue;
      for (const replica of manager.replicas) {
        if (replica.isQuiet && !replica.isLeader) this.#checkLeader(replica);
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

  /** A follower that is quiet has a leader whose node was there a moment ago. */
  #checkLeader({ partitionId, replicaId, leader }: Manager['replicas'][number]): void {
    const { verdict, world } = this.#cluster;
    const leaderNode = this.#cluster.nodeOfReplica(partitionId, leader)?.id;
    const goneMs = world.nowMs - (this.#aliveMs.get(leaderNode ?? 0) ?? 0);
    verdict.require(
      leaderNode === undefined || goneMs <= quietWithoutLeaderMsMax,
      'quiet-followers-have-a-leader',
      () => `replica ${replicaId} of partition ${partitionId} is quiet; node ${leaderNode} is gone for ${goneMs} ms`,
    );
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
