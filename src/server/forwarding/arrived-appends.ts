import { encodeAppendSessionError } from '../wire/responses.js';
import { streamNameOf } from './stream-name.js';
import type { LogboomError } from '../../base/errors.js';
import type { PartitionId } from '../../base/ids.js';
import type { AppendTurn, SessionAppends, SessionRequest } from '../services/session-appends.js';
import type { Leaders } from './leaders.js';

export interface ArrivedAppendsParts {
  readonly leaders: Pick<Leaders, 'routeOf' | 'arrived'>;
  readonly partitionOf: (stream: string) => PartitionId;
  readonly publicError: (error: unknown) => LogboomError;
}

/**
 * Appends of a session that another node has sent here: carried out here or refused. Not before this node serves as the leader:
 * until it has applied what its predecessors acknowledged, it may not know the stream, and would say for good that there is none.
 */
export class ArrivedAppends implements SessionAppends {
  readonly #parts: ArrivedAppendsParts;
  readonly #local: SessionAppends;

  constructor(parts: ArrivedAppendsParts, local: SessionAppends) {
    this.#parts = parts;
    this.#local = local;
  }

  async answer(request: SessionRequest, signal: AbortSignal, turn: AppendTurn): Promise<Buffer> {
    const { leaders, partitionOf, publicError } = this.#parts;
    const stream = streamNameOf(request.append);
    const partitionId = stream === undefined ? undefined : partitionOf(stream);
    const isServed = partitionId === undefined || leaders.routeOf(partitionId)?.type === 'local';
    if (isServed) return this.#local.answer(request, signal, turn);
    try {
      await turn.previous;
      await leaders.arrived(partitionId, signal);
    } catch (error) {
      turn.done();
      return encodeAppendSessionError(request.requestId, publicError(error));
    }
    return this.#local.answer(request, signal, turn);
  }

  close(): void {
    this.#local.close();
  }
}
