/**
 * Appends of one session, each carried out where the leader of its stream's partition is. The order of the session is
 * kept: an append leaves this node only after those before it were proposed here or have left.
 *
 * A session may append to streams of several partitions, and a refused append does not end it; so there is one session to
 * each node that leads one of them. When a leader is lost, the appends that it has not answered are answered as of
 * unknown outcome, and later ones go to its successor, where record numbers and conditions tell whether they fit.
 */
import { encodeAppendSessionError } from '../wire/responses.js';
import { streamNameOf } from './stream-name.js';
import { UpstreamSession } from './upstream-session.js';
import type { LogboomError } from '../../base/errors.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Clock, Timer } from '../../base/ports/clock.js';
import type { AppendAdmission } from '../admission.js';
import type { AppendTurn, SessionAppends, SessionRequest } from '../services/session-appends.js';
import type { Leaders, RemoteNode } from './leaders.js';
import type { RemoteCalls } from './remote-calls.js';

/** After a change of leaders, the answers of the old one may still be on their way. */
const lateAnswerMs = 250;

export interface RoutedAppendsParts {
  readonly local: SessionAppends;
  readonly leaders: Leaders;
  readonly remote: RemoteCalls;
  readonly admission: AppendAdmission;
  readonly clock: Clock;
  readonly partitionOf: (stream: string) => PartitionId;
  readonly publicError: (error: unknown) => LogboomError;
  /** Of the session. */
  readonly authorization: string | undefined;
}

export class RoutedAppends implements SessionAppends {
  readonly #parts: RoutedAppendsParts;
  readonly #upstreams = new Map<NodeId, UpstreamSession>();
  readonly #unwatch = new Map<PartitionId, () => void>();
  readonly #timers = new Set<Timer>();

  constructor(parts: RoutedAppendsParts) {
    this.#parts = parts;
  }

  async answer(request: SessionRequest, signal: AbortSignal, turn: AppendTurn): Promise<Buffer> {
    const { local, leaders, admission, partitionOf, publicError } = this.#parts;
    const stream = streamNameOf(request.append);
    if (stream === undefined) return local.answer(request, signal, turn);
    const partitionId = partitionOf(stream);
    if (leaders.routeOf(partitionId)?.type === 'local') return local.answer(request, signal, turn);
    let release: (() => void) | undefined;
    try {
      await turn.previous;
      const route = await leaders.await(partitionId, signal);
      if (route.type === 'local') return await local.answer(request, signal, turn);
      release = admission.admit(request.message.length);
      const answer = this.#upstreamTo(route, partitionId).send(partitionId, request);
      turn.done();
      return await answer;
    } catch (error) {
      return encodeAppendSessionError(request.requestId, publicError(error));
    } finally {
      release?.();
      turn.done();
    }
  }

  close(): void {
    for (const unwatch of this.#unwatch.values()) unwatch();
    for (const timer of this.#timers) timer.cancel();
    for (const upstream of this.#upstreams.values()) upstream.end();
    this.#upstreams.clear();
  }

  #upstreamTo(node: RemoteNode, partitionId: PartitionId): UpstreamSession {
    if (!this.#unwatch.has(partitionId)) {
      this.#unwatch.set(
        partitionId,
        this.#parts.leaders.watch(partitionId, () => this.#onLeaderChange(partitionId)),
      );
    }
    let upstream = this.#upstreams.get(node.nodeId);
    if (upstream === undefined) {
      const opened = new UpstreamSession(this.#parts, node, () => {
        if (this.#upstreams.get(node.nodeId) === opened) this.#upstreams.delete(node.nodeId);
      });
      upstream = opened;
      this.#upstreams.set(node.nodeId, opened);
    }
    return upstream;
  }

  /** The node that led may never answer: it can be cut off, or stand still. */
  #onLeaderChange(partitionId: PartitionId): void {
    const timer = this.#parts.clock.setTimer(lateAnswerMs, () => {
      this.#timers.delete(timer);
      const route = this.#parts.leaders.routeOf(partitionId);
      if (route === undefined) return;
      const leader = route.type === 'local' ? undefined : route.nodeId;
      for (const [nodeId, upstream] of this.#upstreams) if (nodeId !== leader) upstream.giveUp(partitionId);
    });
    this.#timers.add(timer);
  }
}
