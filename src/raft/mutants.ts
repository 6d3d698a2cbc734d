/**
 * Deliberate bugs of the consensus core. The simulator compiles one in to prove that its checkers would find it; each
 * is looked at in exactly one place. Production never sets one.
 */
export const raftMutants = {
  'vote-before-durable': 'answers a vote before it is persisted',
  'leader-counts-itself-at-send':
    'a leader counts its own entries when they are handed to the WAL, not when they are synced',
  'drop-current-term-check': 'a leader commits entries of older terms by counting replicas',
  'read-before-term-commit': 'ReadIndex does not wait for the first commit of the term',
  'ignore-lease-drift-bound': 'a lease lasts a whole election timeout of the leader, however fast other clocks run',
  'conf-change-before-current-term-commit':
    'a new leader proposes a configuration change while an inherited one may be pending',
  'removed-leader-counts-itself': 'a leader that was removed goes on and adds itself to the quorum',
  'accept-stale-append': 'an append below the commit LSN is written, and the commit LSN follows it down',
  'accept-append-below-snapshot':
    'an append from before a snapshot counts as if the log still reached so far, and the commit LSN follows it down',
  'campaign-with-unapplied-conf-change': 'campaigns under a configuration that a committed entry already replaced',
  'quiet-although-a-follower-lags': 'a group falls quiet although a follower does not hold all of the log',
  'quiet-under-a-dead-leader': "followers stay quiet when nothing is heard of their leader's node any more",
  'ignore-durability-term': 'a durability report counts although the log was overwritten in a later term',
} as const;

export type RaftMutant = keyof typeof raftMutants;

export function isRaftMutant(name: string): name is RaftMutant {
  return Object.hasOwn(raftMutants, name);
}
