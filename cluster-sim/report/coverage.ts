/** What a range of runs must have met: a fault that never happened has proved nothing. */
import type { Profile } from '../plan.js';

/** Names of counts; all must be above 0 over a range. */
const everySwarm = [
  'appends acknowledged',
  'appends retried',
  'clean restarts',
  'clock drifts',
  'clock jumps',
  'commits',
  'conditional appends refused',
  'configuration changes',
  'correlated power losses',
  'crashes',
  'crashes at an I/O boundary',
  'crashes with pending writes',
  'damage detected',
  'disk errors',
  'elections',
  'failed syncs',
  'flushes',
  'full disks',
  'hung disks',
  'isolations',
  'leaders that stepped down for a disk that hung',
  'leaders that stepped down for a disk that was full',
  'leadership transfers',
  'linearizable reads',
  'log truncations',
  'messages duplicated',
  'messages lost',
  'messages queuedForBandwidth',
  'messages reordered',
  'messages replayed',
  'misdirected writes',
  'nodes replaced',
  'partial partitions',
  'pauses',
  'physical deletions',
  'power losses',
  'power losses with unsynced writes',
  'repeats answered with the original position',
  'retention steps',
  'rolling restarts',
  'runs ended with a quorum healed',
  'runs ended with equal states',
  'slow disks',
  'slow links',
  'store failures',
  'stores reopened',
  'streams deleted',
  'torn sectors',
  'trims',
  'walks',
  'wiped disks',
];

const required: Readonly<Record<Profile, readonly string[]>> = {
  calm: ['appends acknowledged', 'commits', 'elections', 'linearizable reads', 'walks'],
  swarm: everySwarm,
  lease: ['appends acknowledged', 'elections', 'network cuts', 'reads of leaders after elections'],
  single: ['appends acknowledged', 'trims', 'crashes', 'power losses', 'stores reopened', 'flushes'],
  churn: [
    'configuration changes',
    'leadership transfers',
    'wiped disks',
    'nodes replaced',
    'crashes',
    'elections',
    'stalled stores',
  ],
};

/** Ranges of fewer seeds are too small to have met everything. */
export const coverageSeedsMin = 30;

/** Features of later issues: they count 0, and nothing is claimed about them. */
export const notYet: readonly string[] = [
  'snapshots installed, bootstraps, object store faults, trims by archived LSN: not yet, they come with snapshots',
];

export function missingCoverage(profile: Profile, counts: Readonly<Record<string, number>>): readonly string[] {
  return required[profile].filter((name) => (counts[name] ?? 0) === 0);
}
