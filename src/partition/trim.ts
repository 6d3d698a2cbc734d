/** Where a partition's log may be trimmed to, as a pure decision (rules 2 and 3 of the design). */
import { asLsn, type Lsn } from '../base/ids.js';
import type { TrimMode } from './types.js';

export interface TrimFacts {
  readonly mode: TrimMode;
  readonly trimPoint: Lsn;
  readonly persistedLsn: Lsn;
  /** Newest snapshot that is complete and verified in object storage; undefined: none, or not known. */
  readonly archivedLsn: Lsn | undefined;
  /** Nodes that metadata knows, this one included. */
  readonly nodesKnown: number;
  /** Whether a snapshot repository is configured. */
  readonly hasRepository: boolean;
}

export interface TrimDecision {
  /** The trim point that is safe now; never below the present one, and equal to it when trimming is held. */
  readonly trimPoint: Lsn;
  /** Why the log is not trimmed further; empty when only the safe point itself holds it. */
  readonly heldBecause: string;
}

export function decideTrim(facts: TrimFacts): TrimDecision {
  const held = (heldBecause: string): TrimDecision => ({ trimPoint: facts.trimPoint, heldBecause });
  const upTo = (safePoint: Lsn): TrimDecision => ({
    trimPoint: asLsn(Math.max(facts.trimPoint, safePoint)),
    heldBecause: '',
  });
  switch (facts.mode) {
    case 'none':
      return held('trim.mode is none');
    case 'persisted':
      if (facts.nodesKnown > 1) return held('trim.mode persisted holds for a single node only; a second node is known');
      return upTo(facts.persistedLsn);
    case 'archived':
      if (!facts.hasRepository) return held('no snapshot repository is configured');
      if (facts.archivedLsn === undefined) return held('no complete snapshot exists yet');
      return upTo(facts.archivedLsn);
  }
}
