/** What is checked, by name, in words for those who did not write it. docs/simulator.md has the same list. */
export const invariants = {
  'archived-is-restorable':
    'A snapshot that counts as archived is in the repository with all its chunks, undamaged, and has the state that replicas had at its LSN; whenever a log is trimmed, such a snapshot reaches at least as far.',
  'applied-never-regresses':
    'A replica applies entries in order; only a store that is reopened goes back, never below what it persisted.',
  assertion: 'No assertion of the server fails, and no exception comes out of it that no fault explains.',
  'campaigns-under-the-newest-configuration':
    'A replica campaigns only when it has applied every configuration change that it knows to be committed: otherwise it counts votes of the wrong voters.',
  'clients-are-answered-as-documented':
    'A client gets no error that the documentation does not name for its situation.',
  'installs-what-was-committed':
    'A snapshot that is installed is of a committed entry, above what the replica knows to be committed.',
  'commit-never-regresses': 'What a replica once knew to be committed stays committed.',
  'committed-is-on-a-durable-quorum':
    'An entry counts as committed only when a majority of the voters (of both sets, in a joint configuration) have it synced on their disks: a power loss of all of them must not lose it.',
  'committed-never-changes':
    'Two replicas never commit different entries at one LSN, and a committed entry is never overwritten.',
  'content-never-changes': 'A record read twice at one position is the same record.',
  'durable-is-durable':
    'A replica that starts again finds its term, its vote and every entry that its log had reported as synced, and nothing that was never written.',
  'equal-lsn-equal-content':
    'Replicas that have applied the same LSN hold the same entries and records, read and compared one by one at the end, whether they applied them or imported them.',
  'equal-lsn-equal-state': 'Replicas that have applied the same LSN have the same state and the same configuration.',
  'leader-commits-its-own-term':
    'A leader commits by counting only entries of its own term (Raft 5.4.2): one of an older term may still be replaced, although a majority has it.',
  'leader-completeness': 'A new leader has every entry that was committed in an earlier term.',
  linearizability:
    'There is an order of all operations on a stream, compatible with their times, that explains every answer clients got.',
  'log-matching': 'Entries of equal LSN and term are equal, and so are all entries before them.',
  'memory-is-bounded': 'Queues, messages under way and scheduled events keep to their limits.',
  'no-stale-reads': 'A linearizable read shows everything that was acknowledged before it began.',
  'nothing-acknowledged-is-lost':
    'Every acknowledged record is found at the end, unless retention or deletion has taken it.',
  'nothing-is-invented': 'Every record that is read was appended by some client.',
  'nothing-is-left-of-imports': 'A replica that is up to date keeps nothing of an import beside its state store.',
  'needed-chunks-stay':
    'Nothing is deleted of the newest archived snapshot: neither its manifest nor a chunk that it names.',
  'nothing-is-there-twice': 'A record is stored once, however often its append was repeated.',
  'one-configuration-change-at-a-time':
    'A leader proposes a configuration change only when the one before it is applied.',
  'one-leader-a-term': 'No two replicas of a group lead in one term.',
  'one-vote-a-term': 'A replica votes for one candidate a term.',
  'page-walks-return-each-record-once': 'Reading a stream page by page gives each record exactly once.',
  'persisted-never-regresses': 'The LSN up to which a state store survives a power loss never goes back.',
  'promises-are-durable':
    'A vote, or an acknowledgement of entries, leaves a replica only when what it promises is synced on its disk: after a power loss the replica would not know of it any more.',
  'quiet-followers-have-a-leader': 'A follower stays quiet only while signs of life of the node of its leader arrive.',
  'quiet-groups-are-at-rest': 'A leader falls quiet only when every member holds all of its log, and all is committed.',
  'rule-1': 'On every replica persisted ≤ applied ≤ commit, and applied ≤ durable.',
  'sound-data-is-accepted': 'A node whose disk was not damaged starts.',
  'successive-quorums-intersect':
    'Any majority under one configuration has a replica in common with any majority under the next.',
  'term-never-regresses': 'The term of a replica never goes back.',
  'trim-within-safe-point':
    'A replica trims its log no further than its own persisted LSN, nor, in a cluster, than the archived LSN.',
  'trims-where-all-voters-see-the-repository':
    'A group trims its log only when the nodes of all its voters have seen the repository that its snapshots are in.',
  'deleted-replicas-never-return':
    'A replica that its node has deleted is never started again under its id: it would answer for votes and entries that it has forgotten.',
  'one-node-a-replica-id': 'A replica id of a partition is given out once, and stays with the node that got it.',
  'one-owner-of-an-incarnation':
    'No two nodes ever have the same incarnation, and one that was retired never comes back.',
  'one-replica-of-a-group-moves':
    'At most one voter of a partition comes and one goes at a time, besides those that a lost disk has taken.',
  'one-table-a-version': "All nodes that show the cluster's table of a version show the same.",
  'placement-keeps-majorities':
    'Placement leaves every group its majority: a replica is deleted only when its group has let it go, and a new configuration has a majority of replicas that still have their data.',
  'removed-nodes-hold-nothing':
    'No replica is placed on a node that was removed, and only a node that was removed or replaced is told so.',
} as const;

export type Invariant = keyof typeof invariants;
