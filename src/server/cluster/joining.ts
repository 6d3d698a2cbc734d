/** A node with an empty data directory asks the members of a cluster to be let in, until it is, or never will be. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { writeFormationRecord } from './formation-record.js';
import { decodeJoinAnswer, encodeJoinRequest } from './join-call.js';
import type { Reason } from '../../base/errors.js';
import type { Environment } from '../../base/ports/environment.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { FormationRecord } from './formation-record.js';

const askAgainMs = 1000;
const waitingLogMs = 5000;
/** Until a node that is gone is known to be, one that comes in its place looks like a second one. */
const secondNodeMs = 15_000;

/** Asking again changes nothing. */
const finalReasons: readonly Reason[] = [
  'CLUSTER_MISMATCH',
  'FEATURE_LEVEL_UNSUPPORTED',
  'INVALID_ARGUMENT',
  'NODE_CERTIFICATE_MISMATCH',
  'NODE_LIMIT_REACHED',
  'NODE_REMOVED',
];

export interface JoiningParts {
  readonly environment: Pick<Environment, 'clock' | 'disk' | 'crc32' | 'logger'>;
  /** Absolute; locked by this node, with node.json. */
  readonly directory: string;
  readonly self: NodeDescription;
  /** `HOST:PORT` of links of any members. */
  readonly addresses: readonly string[];
  readonly ask: (address: string, request: Uint8Array) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
}

/**
 * Resolves with the record when it is durable here.
 *
 * @throws LogboomError why the cluster does not take the node; SHUTTING_DOWN
 */
export async function joinCluster(parts: JoiningParts): Promise<FormationRecord> {
  const { environment, directory, self, signal } = parts;
  const { clock, logger } = environment;
  const startedMs = clock.monotonicMs();
  let loggedMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const outcome = await askAny(parts, clock.monotonicMs() - startedMs);
    if (typeof outcome !== 'string') {
      await writeFormationRecord(environment, directory, outcome);
      logger.info('the node has joined the cluster', { clusterId: outcome.clusterId, node: self.id });
      return outcome;
    }
    if (clock.monotonicMs() - loggedMs >= waitingLogMs) {
      loggedMs = clock.monotonicMs();
      logger.info('the node has not joined the cluster yet', { because: outcome });
    }
    await sleep(clock, askAgainMs, signal);
  }
  throw new LogboomError('SHUTTING_DOWN', 'the node stops before it has joined a cluster');
}

/** The record; or why there is none yet. */
async function askAny({ addresses, ask, self }: JoiningParts, sinceMs: number): Promise<FormationRecord | string> {
  let because = 'no address of a member is given';
  for (const address of addresses) {
    try {
      const answer = decodeJoinAnswer(await ask(address, encodeJoinRequest(self)));
      if (answer.type === 'welcome') return answer.record;
      return answer.because;
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      const isSecond = error.reason === 'NODE_INCARNATION_MISMATCH' && sinceMs > secondNodeMs;
      if (isSecond || finalReasons.includes(error.reason)) throw error;
      because = `${address}: ${error.message}`;
    }
  }
  return because;
}
