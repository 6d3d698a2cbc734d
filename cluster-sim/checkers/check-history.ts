/** The check of the whole history, at the end of a run: each stream is linearizable by itself. */
import type { StreamsResult } from '../../src/streams/index.js';
import type { History, StreamOperation, StreamOutcome } from '../clients/history.js';
import type { Cluster } from '../nodes/cluster.js';
import { checkStream } from './stream-model.js';

export function checkHistory(cluster: Cluster, history: History): void {
  for (const [index, stream] of cluster.plan.streams.entries()) {
    const operations = history.operations
      .filter((operation) => operation.stream === index && !operation.withoutEffect)
      .map((operation) => resolved(operation, (key) => cluster.applied.resultOf(key)))
      .filter((operation) => operation !== undefined);
    const answer = checkStream(operations);
    cluster.count('operations checked for linearizability', operations.length);
    if (answer.type === 'undecided') cluster.count('histories left undecided');
    if (answer.type !== 'violated') continue;
    const { call, outcome, client, invokedMs, returnedMs } = answer.stuckAt as StreamOperation;
    cluster.verdict.broken(
      'linearizability',
      `stream ${stream.name}: no order of operations explains that client ${client}, asking ${JSON.stringify(call)} at ` +
        `${invokedMs.toFixed(3)} ms, was told ${JSON.stringify(outcome)} at ${returnedMs?.toFixed(3)} ms`,
    );
  }
}

/**
 * An open operation may have taken effect at any time after it began. What the replicas applied tells whether it did,
 * and with what answer; so that it need not be guessed, which takes exponential time. Undefined: it never did. Whether
 * the answers that clients did get agree with that is still for the check to find.
 */
function resolved(
  operation: StreamOperation,
  resultOf: (key: number) => StreamsResult | undefined,
): StreamOperation | undefined {
  if (operation.outcome !== undefined) return operation;
  if (operation.call.type === 'get') return undefined;
  for (const key of operation.commandKeys) {
    const outcome = outcomeOf(resultOf(key));
    if (outcome !== undefined) return { ...operation, outcome };
  }
  return undefined;
}

function outcomeOf(result: StreamsResult | undefined): StreamOutcome | undefined {
  switch (result?.type) {
    case 'appended':
      return { type: 'appended', epoch: result.streamEpoch, firstSeq: result.firstSeq };
    case 'stream-created':
      return { type: 'created', epoch: result.stream.epoch };
    case 'stream-deleted':
      return { type: 'deleted' };
    default:
      return undefined;
  }
}
