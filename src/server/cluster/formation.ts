/**
 * How empty nodes become a cluster: each asks the others what they are until it is a member of one.
 *
 * The founder, the node with the lowest id of the list, forms the cluster when every listed node answers that it is
 * empty and was given the same list: it draws the cluster id and writes the record. A member adopts the record of any
 * node that has one, once it is named there with its own incarnation, and writes it too.
 *
 * Safety. The record is shown to others only after it is durable here; a node that has one shows it from the first answer of
 * each start on, and never takes another, for it does not ask any more. So:
 *
 * - The cluster exists from the moment the founder's record is durable. A crash before it leaves all empty, and the
 *   founder begins anew, with another cluster id, of which nobody has heard. A crash after it finds the record, and whoever
 *   is still empty adopts it, from the founder or from a member who did.
 * - Two clusters that share a node cannot both come into being: only a node that comes first in a list founds, it founds
 *   only with nodes that have the very same list, and so the same founder; and a founder founds once a disk. A founder
 *   whose disk was wiped forms another cluster only if nobody has adopted the first one's record. Then the first one never
 *   served anything, and should its disk come back, links refuse its cluster id.
 * - An empty directory is not taken for a node that had votes and entries: the record names incarnations, and each
 *   member compares its own. Nothing is acknowledged before all members have shown the record (cluster-start.ts), so a
 *   member that is empty after that was wiped, and others have the record to tell it so.
 */
import { LogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { nextIdentity } from '../../base/ports/random.js';
import { writeFormationRecord } from './formation-record.js';
import { judgeFormation } from './formation-verdict.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ListedNode } from '../config/index.js';
import type { FormationRecord } from './formation-record.js';
import type { FormationAnswer, FormationState } from './formation-verdict.js';

const askAgainMs = 200;
const waitingLogMs = 5000;

export interface FormationParts {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'disk' | 'crc32' | 'logger'>;
  /** Absolute; locked by this node, with node.json. */
  readonly directory: string;
  /** What this node is: without a record. */
  readonly own: FormationState;
  /** Rejects when the node does not answer. */
  readonly ask: (node: ListedNode) => Promise<FormationState>;
  readonly signal: AbortSignal;
}

/**
 * Resolves with the record when it is durable here; with `replace` when there is a cluster that knows this node with another
 * data directory.
 *
 * @throws LogboomError CLUSTER_MISMATCH, SHUTTING_DOWN; DiskError
 */
export async function joinFormation(parts: FormationParts): Promise<FormationRecord | 'replace'> {
  const { environment, directory, own, signal } = parts;
  const { clock, logger } = environment;
  let loggedMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const verdict = judgeFormation(own, await askAll(parts));
    if (verdict.type === 'refuse') throw verdict.error;
    if (verdict.type === 'replace') return 'replace';
    if (verdict.type !== 'wait') {
      const record = verdict.type === 'adopt' ? verdict.record : newRecord(parts, verdict.members);
      await writeFormationRecord(environment, directory, record);
      const members = record.members.map(({ id }) => id);
      logger.info(verdict.type === 'form' ? 'the cluster is formed' : 'the node is a member of the cluster', {
        clusterId: record.clusterId,
        members,
      });
      return record;
    }
    if (clock.monotonicMs() - loggedMs >= waitingLogMs) {
      loggedMs = clock.monotonicMs();
      logger.info('the cluster is not formed yet', { because: verdict.because });
    }
    await sleep(clock, askAgainMs, signal);
  }
  throw new LogboomError('SHUTTING_DOWN', 'the node stops before a cluster was formed');
}

function askAll({ own, ask }: FormationParts): Promise<FormationAnswer[]> {
  const others = own.listed.filter(({ id }) => id !== own.self.id);
  return Promise.all(
    others.map(async (node): Promise<FormationAnswer> => {
      try {
        return { node, state: await ask(node) };
      } catch (error) {
        return { node, failure: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}

function newRecord({ environment, own }: FormationParts, members: FormationRecord['members']): FormationRecord {
  const { random, clock } = environment;
  return {
    clusterId: nextIdentity(random).toString(16).padStart(14, '0'),
    formedUnixMs: Math.floor(clock.wallMs()),
    partitionCount: own.partitionCount,
    replicationFactor: own.replicationFactor,
    members,
  };
}
