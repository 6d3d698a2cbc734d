/** Where a partition's log may be trimmed to, as pure decisions (rules 1 to 3 of the design). */
import { asLsn, type Lsn, type ReplicaId } from '../base/ids.js';
import type { ArchiveState } from './archive-state.js';
import type { TrimMode } from './types.js';

export interface TrimFacts {
  readonly mode: TrimMode;
  /** Of this replica's own log. */
  readonly trimPoint: Lsn;
  readonly persistedLsn: Lsn;
  /** As applied here. */
  readonly archive: ArchiveState;
  /** Nodes that metadata knows, this one included. */
  readonly nodesKnown: number;
  /** Whether a snapshot repository is configured. */
  readonly hasRepository: boolean;
  /** What keeps this replica, as the leader, from archiving or from proposing to trim; empty: nothing. */
  readonly leaderHolds: string;
}

export interface TrimDecision {
  /** The trim point that is safe now; never below the present one, and equal to it when trimming is held. */
  readonly trimPoint: Lsn;
  /** Why the log is not trimmed further; empty when only the safe point itself holds it. */
  readonly heldBecause: string;
}

/**
 * How far this replica's own log goes. In mode `archived` the partition's trim point came through the log, and each replica
 * follows it as far as it has persisted what goes (rule 3).
 */
export function decideTrim(facts: TrimFacts): TrimDecision {
  const { archive, persistedLsn } = facts;
  const held = (heldBecause: string): TrimDecision => ({ trimPoint: facts.trimPoint, heldBecause });
  const upTo = (safePoint: Lsn, heldBecause: string): TrimDecision => ({
    trimPoint: asLsn(Math.max(facts.trimPoint, safePoint)),
    heldBecause,
  });
  switch (facts.mode) {
    case 'none':
      return held('trim.mode is none');
    case 'persisted':
      if (facts.nodesKnown > 1) return held('trim.mode persisted holds for a single node only; a second node is known');
      return upTo(persistedLsn, '');
    case 'archived': {
      if (!facts.hasRepository) {
        return held('no snapshot repository is configured: set snapshots.repository on every node');
      }
      if (archive.archivedLsn === 0) {
        return held(facts.leaderHolds === '' ? 'no complete snapshot exists yet' : facts.leaderHolds);
      }
      const behind =
        persistedLsn < archive.trimPoint
          ? `this replica has persisted LSN ${persistedLsn}, below the partition's trim point ${archive.trimPoint}`
          : '';
      const reasons = [behind, facts.leaderHolds].filter((reason) => reason !== '');
      return upTo(asLsn(Math.min(archive.trimPoint, persistedLsn)), reasons.join('; '));
    }
  }
}

/** A replica that is sent to a snapshot now. */
export interface BootstrapHold {
  readonly replica: ReplicaId;
  /** How long it has been fetching this one. */
  readonly forMs: number;
  /** How long it may keep the log from being trimmed for it. */
  readonly holdMs: number;
}

export interface TrimProposalFacts {
  readonly archive: ArchiveState;
  /** Archived LSNs with the time since this leader saw them archived, ascending. */
  readonly archived: readonly { readonly lsn: Lsn; readonly forMs: number }[];
  /** Entries below the archived LSN that are kept. */
  readonly marginEntries: number;
  /** How long an LSN is archived before the log is trimmed to it. */
  readonly delayMs: number;
  /** Voters whose nodes have not proved lately that they see the repository. */
  readonly unproven: readonly ReplicaId[];
  readonly bootstrapping: readonly BootstrapHold[];
}

export interface TrimProposal {
  /** What the log may be trimmed to now; the present trim point when there is nothing to do. */
  readonly trimPoint: Lsn;
  /** What else would be trimmed, and what holds it; empty: nothing is left to trim. */
  readonly heldBecause: string;
}

/** What a leader may propose as the partition's trim point. */
export function proposeTrim(facts: TrimProposalFacts): TrimProposal {
  const { archive, marginEntries, delayMs } = facts;
  const held = (heldBecause: string): TrimProposal => ({ trimPoint: archive.trimPoint, heldBecause });
  const withMargin = (lsn: number): number => Math.max(archive.trimPoint, lsn - marginEntries);
  if (withMargin(archive.archivedLsn) === archive.trimPoint) {
    return held(
      archive.archivedLsn > archive.trimPoint && marginEntries > 0
        ? `trim.marginEntries keeps ${marginEntries} entries below the archived LSN ${archive.archivedLsn}`
        : '',
    );
  }
  if (facts.unproven.length > 0) {
    return held(
      `replica${facts.unproven.length > 1 ? 's' : ''} ${facts.unproven.join(', ')}: the node has not proved that it sees ` +
        "this leader's snapshot repository",
    );
  }
  const fetching = facts.bootstrapping.filter(({ forMs, holdMs }) => forMs < holdMs);
  if (fetching.length > 0) {
    return held(`replica ${fetching.map(({ replica }) => replica).join(', ')} is fetching a snapshot`);
  }
  const ripe = facts.archived.filter(({ forMs }) => forMs >= delayMs).at(-1);
  const trimPoint = asLsn(ripe === undefined ? archive.trimPoint : withMargin(Math.min(ripe.lsn, archive.archivedLsn)));
  if (trimPoint > archive.trimPoint) return { trimPoint, heldBecause: '' };
  return held(`${delayed}LSN ${archive.archivedLsn} has been archived for less than ${delayMs} ms`);
}

const delayed = 'trim.delayMs: ';

/** Whether there is anything that holds trimming besides time, which is as it should be and passes. */
export function isHeldUp(heldBecause: string): boolean {
  return heldBecause !== '' && !heldBecause.startsWith(delayed);
}

/** An LSN, and when a leader saw it archived, monotonic. */
export interface ArchivedAt {
  readonly lsn: Lsn;
  readonly atMs: number;
}

/** Of the time that an LSN has to wait, what two of them that are remembered are apart. */
const delayParts = 32;

/**
 * Archived LSNs with the new one: those whose time will come, and the newest whose time has come. However quickly snapshots
 * follow one another, they are few, and the log goes on with its delay and a thirty-second of it at most.
 */
export function withArchived(archived: readonly ArchivedAt[], next: ArchivedAt, delayMs: number): ArchivedAt[] {
  const ripe = archived.findLastIndex(({ atMs }) => next.atMs - atMs >= delayMs);
  const kept = archived.slice(Math.max(0, ripe));
  const [before, last] = kept.slice(-2);
  const isClose = before !== undefined && last !== undefined && last.atMs - before.atMs < delayMs / delayParts;
  return [...(isClose ? kept.slice(0, -1) : kept), next];
}
