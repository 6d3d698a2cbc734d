/**
 * What holds the trimming of a partition's log, in plain words with what to do. Servers tell reasons as text
 * (src/partition/trim.ts, archiver.ts); test/cli/trim-reasons.test.ts holds these patterns against what they say.
 */

export interface HeldReason {
  /** For scripts. */
  readonly kind: HeldKind;
  /** As the server says it. */
  readonly reason: string;
  /** Empty when there is nothing to do. */
  readonly action: string;
}

type HeldKind =
  | 'NO_REPOSITORY'
  | 'NO_SNAPSHOT'
  | 'SNAPSHOT_UNDER_WAY'
  | 'SNAPSHOT_FAILED'
  | 'SNAPSHOT_NOT_READABLE'
  | 'NOT_COMMITTED'
  | 'REPOSITORY_PROBLEM'
  | 'REPOSITORY_NOT_PROVED'
  | 'BOOTSTRAP'
  | 'MARGIN'
  | 'DELAY'
  | 'REPLICA_BEHIND'
  | 'MODE_NONE'
  | 'SECOND_NODE'
  | 'OTHER';

interface Rule {
  readonly kind: HeldKind;
  readonly pattern: RegExp;
  readonly action: string;
}

const untilThen = 'Until then the log grows.';

const rules: readonly Rule[] = [
  {
    kind: 'NO_REPOSITORY',
    pattern: /^no snapshot repository is configured/,
    action:
      'Set snapshots.repository on every node to one place that all of them see, such as s3://BUCKET/PREFIX or a shared ' +
      'directory, and restart them one after another; see docs/snapshots.md.',
  },
  {
    kind: 'NO_SNAPSHOT',
    pattern: /^no complete snapshot exists yet/,
    action:
      'Take one with `logboom snapshot create`, or wait until one is due (snapshots.logBytes, snapshots.maxAgeMs).',
  },
  {
    kind: 'SNAPSHOT_UNDER_WAY',
    pattern: /^a snapshot is under way/,
    action: 'Wait for it: trimming goes on by itself when it is archived.',
  },
  {
    kind: 'SNAPSHOT_FAILED',
    pattern: /^the last snapshot failed: /,
    action: `Remove the cause; it is tried again by itself, or at once with \`logboom snapshot create\`. ${untilThen}`,
  },
  {
    kind: 'SNAPSHOT_NOT_READABLE',
    pattern: /^the newest snapshot cannot be read back: /,
    action:
      'If the repository is well again this passes by itself. If objects of it are lost, take another snapshot with ' +
      '`logboom snapshot create`: the log still has what it needs.',
  },
  {
    kind: 'NOT_COMMITTED',
    pattern: /^the trim point cannot be committed: /,
    action: 'It is tried again by itself. If this stays, see `logboom cluster status` for what keeps appends waiting.',
  },
  {
    kind: 'REPOSITORY_NOT_PROVED',
    pattern: /^replicas? [\d, ]+: the node has not proved that it sees/,
    action:
      'Is that node up, and is its snapshots.repository the same place as the others’? Directories of the same name on ' +
      'different machines are not. Its log says whether it reaches the repository.',
  },
  {
    kind: 'BOOTSTRAP',
    pattern: /^replica [\d, ]+ is fetching a snapshot/,
    action:
      'Wait for it: it needs the log from its snapshot on. Trimming goes on after trim.bootstrapHoldMs, or after twice ' +
      'that for each import that came too late.',
  },
  {
    kind: 'MARGIN',
    pattern: /^trim\.marginEntries keeps /,
    action: 'Nothing: so it is configured. Lower trim.marginEntries to keep less.',
  },
  {
    kind: 'DELAY',
    pattern: /^trim\.delayMs: /,
    action: 'Nothing: it passes by itself, and is so configured. Lower trim.delayMs to trim sooner.',
  },
  {
    kind: 'REPLICA_BEHIND',
    pattern: /^this replica has persisted LSN /,
    action:
      'Nothing: it trims its own log when its store has flushed so far. If it stays, its disk is too slow or full.',
  },
  {
    kind: 'MODE_NONE',
    pattern: /^trim\.mode is none/,
    action: 'So it is configured: set trim.mode to auto to have the log trimmed.',
  },
  {
    kind: 'SECOND_NODE',
    pattern: /^trim\.mode persisted holds for a single node only/,
    action: 'Set trim.mode to auto, and snapshots.repository on every node; see docs/snapshots.md.',
  },
];

/** What a connection to a repository complains of is in its store's words: everything that no rule knows. */
const repositoryAction =
  'See docs/object-storage.md for what the repository needs. It is tried again by itself, and the log of the node says ' +
  `when it was reached. ${untilThen}`;

/** Parts of what the server says, which are joined by `; `: a failure may have such a mark within. */
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (const part of text.split('; ')) {
    const isReason = rules.some(({ pattern }) => pattern.test(part));
    if (isReason || parts.length === 0) parts.push(part);
    else parts[parts.length - 1] += `; ${part}`;
  }
  return parts;
}

/** @param text `trimHeldBecause` of a replica; empty: nothing is held */
export function explainHeld(text: string): HeldReason[] {
  if (text === '') return [];
  return partsOf(text).map((reason) => {
    const rule = rules.find(({ pattern }) => pattern.test(reason));
    if (rule) return { kind: rule.kind, reason, action: rule.action };
    return /repository/i.test(reason)
      ? { kind: 'REPOSITORY_PROBLEM', reason, action: repositoryAction }
      : { kind: 'OTHER', reason, action: '' };
  });
}
