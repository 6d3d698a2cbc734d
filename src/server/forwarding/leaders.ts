/** Where requests for a partition go: to the replica here when it leads, otherwise to the node whose replica does. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';

/** How long a request waits for an election to end before it is refused: a few of them, should the first ones be split. */
const leaderWaitMs = 3000;
/** Where nothing tells of a change, it is looked for this often. */
const lookAgainMs = 50;
const refusedRetryAfterMs = 100;
/** How long a request that another node has sent here waits for a replica that was elected to serve. */
const becomingWaitMs = 1000;

/** What is looked at of a replica here. */
export interface LeadingReplica {
  readonly isLeader: boolean;
  /** It was elected, and will serve in a moment, when it has applied what its predecessors acknowledged. */
  readonly isBecomingLeader: boolean;
  /** 0 when none is known. */
  readonly leader: ReplicaId;
  watchLeadership(onChange: () => void): () => void;
}

/** What this node knows of the cluster. */
export interface ClusterView {
  readonly nodeId: NodeId;
  /** Undefined of a partition that has no replica here, or none yet. */
  replicaOf(partitionId: PartitionId): LeadingReplica | undefined;
  /** The node that says it leads a partition; asked where no replica here could know. */
  leaderOf(partitionId: PartitionId): NodeId | undefined;
  /** Calls back when the answer of `leaderOf` may be another one, until the answered function is called. */
  watchLeaders(onChange: () => void): () => void;
  nodeOf(partitionId: PartitionId, replicaId: ReplicaId): NodeId | undefined;
  /** `HOST:PORT` of gRPC; undefined of an unknown node. */
  addressOf(nodeId: NodeId): string | undefined;
}

export interface RemoteNode {
  readonly nodeId: NodeId;
  readonly address: string;
}

export type Route = { readonly type: 'local' } | ({ readonly type: 'remote' } & RemoteNode);

/** What is needed of a call. */
export interface RoutedCall {
  readonly signal: AbortSignal;
  /** Another node has sent it here: it is carried out here or refused, never sent on, so that no request can circle. */
  readonly isForwarded: boolean;
}

export interface Carriers<Answer> {
  readonly local: () => Promise<Answer>;
  /** Throws NOT_LEADER when the request was certainly not carried out. */
  readonly remote: (node: RemoteNode) => Promise<Answer>;
}

export class Leaders {
  readonly #view: ClusterView;
  readonly #clock: Clock;

  constructor(view: ClusterView, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  /** Undefined of an unknown replica. */
  nodeOf(partitionId: PartitionId, replicaId: ReplicaId): NodeId | undefined {
    return this.#view.nodeOf(partitionId, replicaId);
  }

  /** Undefined when nobody is known to lead. */
  routeOf(partitionId: PartitionId): Route | undefined {
    const replica = this.#view.replicaOf(partitionId);
    if (replica?.isLeader === true) return { type: 'local' };
    // A replica here knows better than what was told: in an election, that is the leader before it.
    const nodeId = replica ? this.#view.nodeOf(partitionId, replica.leader) : this.#view.leaderOf(partitionId);
    // A replica that stopped while it led still believes that it does.
    if (nodeId === undefined || nodeId === this.#view.nodeId) return undefined;
    const address = this.#view.addressOf(nodeId);
    return address === undefined ? undefined : { type: 'remote', nodeId, address };
  }

  /** Calls back when the route may have changed, until the answered function is called. */
  watch(partitionId: PartitionId, onChange: () => void): () => void {
    const unwatchReplica = this.#view.replicaOf(partitionId)?.watchLeadership(onChange);
    const unwatchLeaders = this.#view.watchLeaders(onChange);
    return () => {
      unwatchReplica?.();
      unwatchLeaders();
    };
  }

  /**
   * Carries out a request where the partition's leader is. Refusals that certainly changed nothing are sent after the
   * leader for as long as an election may take.
   *
   * @throws LogboomError NOT_LEADER with a hint; whatever the carriers throw
   */
  async run<Answer>(partitionId: PartitionId, call: RoutedCall, carriers: Carriers<Answer>): Promise<Answer> {
    const untilMs = this.#clock.monotonicMs() + leaderWaitMs;
    for (;;) {
      const route = call.isForwarded
        ? await this.arrived(partitionId, call.signal)
        : await this.await(partitionId, call.signal, untilMs);
      try {
        return await (route.type === 'local' ? carriers.local() : carriers.remote(route));
      } catch (error) {
        const mayWait = !call.isForwarded && this.#clock.monotonicMs() < untilMs;
        if (!isLogboomError(error, 'NOT_LEADER') || !mayWait) throw error;
        await this.#changeOrPause(partitionId, call.signal);
      }
    }
  }

  /**
   * Waits until somebody is known to lead.
   *
   * @param untilMs monotonic
   * @throws LogboomError NOT_LEADER; the signal's reason
   */
  async await(
    partitionId: PartitionId,
    signal: AbortSignal,
    untilMs = this.#clock.monotonicMs() + leaderWaitMs,
  ): Promise<Route> {
    for (;;) {
      if (signal.aborted) throw signal.reason;
      const route = this.routeOf(partitionId);
      if (route !== undefined) return route;
      if (this.#clock.monotonicMs() >= untilMs) throw this.notLeader(partitionId);
      await this.#changeOrPause(partitionId, signal);
    }
  }

  /**
   * Waits until this node serves as the leader, when it was elected and does not do so yet: for requests that another node has
   * sent here. Refused at once, they would come back after a pause, which is long beside the moment that is missing.
   *
   * @throws LogboomError NOT_LEADER; the signal's reason
   */
  async arrived(partitionId: PartitionId, signal: AbortSignal): Promise<Route> {
    const untilMs = this.#clock.monotonicMs() + becomingWaitMs;
    for (;;) {
      if (signal.aborted) throw signal.reason;
      const replica = this.#view.replicaOf(partitionId);
      if (replica?.isLeader === true) return { type: 'local' };
      const mayWait = replica?.isBecomingLeader === true && this.#clock.monotonicMs() < untilMs;
      if (!mayWait) throw this.notLeader(partitionId);
      await this.#changeOrPause(partitionId, signal);
    }
  }

  /** What a caller is told who is to go elsewhere. */
  notLeader(partitionId: PartitionId): LogboomError {
    const route = this.routeOf(partitionId);
    const hint = route?.type === 'remote' ? { leader_node: route.nodeId, leader_address: route.address } : {};
    const message =
      route?.type === 'remote'
        ? `node ${route.nodeId} (${route.address}) leads partition ${partitionId}`
        : `partition ${partitionId} has no leader now`;
    return new LogboomError('NOT_LEADER', message, {
      facts: { partition: partitionId, ...hint },
      retryAfterMs: refusedRetryAfterMs,
    });
  }

  /** A replica's refusal names replicas, which are nothing to callers: this one names nodes. */
  explained(error: LogboomError): LogboomError {
    const { partition, leader_address: address } = error.facts;
    if (error.reason !== 'NOT_LEADER' || typeof partition !== 'number' || address !== undefined) return error;
    return this.notLeader(partition as PartitionId);
  }

  #changeOrPause(partitionId: PartitionId, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.cancel();
        unwatch();
        signal.removeEventListener('abort', finish);
        resolve();
      };
      const timer = this.#clock.setTimer(lookAgainMs, finish);
      const unwatch = this.watch(partitionId, finish);
      signal.addEventListener('abort', finish, { once: true });
    });
  }
}
