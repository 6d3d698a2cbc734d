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

/** What a range with snapshots must have met. */
const everySnapshots = [
  'bootstraps interrupted',
  'nodes away for long',
  'nodes cut off from the object store',
  'object store answers lost',
  'object store errors',
  'object store operations delayed',
  'object store operations that arrived late',
  'object store outages',
  'object store slow',
  'objects cut short',
  'objects damaged',
  'objects gone missing',
  'objects read as missing',
  'objects read corrupt',
  'objects read cut short',
  'snapshots archived',
  'snapshots installed',
  'trims by archived LSN',
];

const required: Readonly<Record<Profile, readonly string[]>> = {
  bootstrap: [
    ...everySnapshots,
    'appends acknowledged',
    'configuration changes',
    'elections',
    'nodes replaced',
    'wiped disks',
  ],
  calm: ['appends acknowledged', 'commits', 'elections', 'linearizable reads', 'snapshots archived', 'trims by archived LSN', 'walks'],
  swarm: [...everySwarm, ...everySnapshots],
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

export function missingCoverage(profile: Profile, counts: Readonly<Record<string, number>>): readonly string[] {
  return required[profile].filter((name) => (counts[name] ?? 0) === 0);
}
