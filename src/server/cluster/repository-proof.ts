/**
 * Keeps in the metadata which snapshot repository this node has proved to see, so that leaders that have not heard it know: one
 * that takes over while this node is away trims the log on the record.
 *
 * What makes a trim unsafe is a voter whose node cannot read what the trim relies on, above all because its repository is
 * another one: a directory of its own. A node says of itself alone what it sees, by the id that is in the repository; a record
 * is of one data directory (incarnation), for a node that is replaced begins without one; and it counts only as long as it names the
 * repository of the leader that asks.
 */
import { isLogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { register, type RegistrationParts } from './registration.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { RepositoryAccess } from '../../partition/index.js';

const lookEveryMs = 1000;
/** A store that is away for a moment is no other one. */
export const withdrawAfterMs = 60_000;

export interface Sight {
  /** What the metadata says. */
  readonly recorded: string;
  /** What the node sees now; empty: it does not reach its repository; undefined: none is configured. */
  readonly seen: string | undefined;
  /** For how long it has not reached it. */
  readonly blindForMs: number;
}

/** What the metadata is to say. */
export function provenRepository({ recorded, seen, blindForMs }: Sight): string {
  if (seen !== '') return seen ?? '';
  return blindForMs < withdrawAfterMs ? recorded : '';
}

/** Ends when `parts.signal` aborts. */
export async function keepRepositoryProof(
  parts: RegistrationParts,
  repository: Pick<RepositoryAccess, 'provenId'> | undefined,
): Promise<void> {
  const { environment, self, signal } = parts;
  const { clock, logger } = environment;
  let seenMs = clock.monotonicMs();
  let problem = '';
  while (!signal.aborted) {
    const seen = repository?.provenId;
    if (seen !== '') seenMs = clock.monotonicMs();
    const known = parts.known()?.nodes.get(self.id);
    if (known?.incarnation === self.incarnation && known.state !== 'removed') {
      const blindForMs = clock.monotonicMs() - seenMs;
      const repositoryId = provenRepository({ recorded: known.repositoryId, seen, blindForMs });
      try {
        // All else stays as it is, also what an operator has changed.
        if (repositoryId !== known.repositoryId)
          await register({ ...parts, self: { ...descriptionOf(known, self), repositoryId } });
        problem = '';
      } catch (error) {
        if (!isLogboomError(error)) throw error;
        if (!error.retryable && error.message !== problem)
          logger.warn('the cluster does not take which repository this node sees', { error: error.message });
        problem = error.message;
      }
    }
    await sleep(clock, lookEveryMs, signal);
  }
}

function descriptionOf(known: NodeDescription, like: NodeDescription): NodeDescription {
  const fields = Object.keys(like) as (keyof NodeDescription)[];
  return Object.fromEntries(fields.map((field) => [field, known[field]])) as unknown as NodeDescription;
}
