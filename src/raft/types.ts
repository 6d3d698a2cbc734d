/**
 * The contract between the consensus core and its host. The core has no I/O, no clock and no randomness of its own: the
 * host feeds it events, then takes one {@link RaftOutput} and carries it out in the order written on its fields.
 */
import type { Lsn, ReplicaId, Term } from '../base/ids.js';
import type { Random } from '../base/ports/random.js';

/** What an entry holds; the numbers are on disk and on the wire. */
export const EntryKind = { normal: 0, confChange: 1, confChangeV2: 2 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface Entry {
  readonly term: Term;
  readonly lsn: Lsn;
  readonly kind: EntryKind;
  /** Empty for the entry that every new leader appends. Never changed after it was handed over. */
  readonly data: Uint8Array;
}

/** What must survive a restart besides the log. A change of `commit` alone needs no sync of its own. */
export interface HardState {
  readonly term: Term;
  /** 0 when this replica has not voted in `term`. */
  readonly vote: ReplicaId;
  readonly commit: Lsn;
}

/** A group's configuration; `votersOutgoing` is not empty only while a joint configuration is in force. Lists ascend. */
export interface ConfState {
  readonly voters: readonly ReplicaId[];
  readonly votersOutgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  readonly learnersNext: readonly ReplicaId[];
  readonly autoLeave: boolean;
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** Where the log begins: everything up to `lsn` is gone from the log and is covered by `confState` and the state store. */
export interface LogStart {
  readonly lsn: Lsn;
  readonly term: Term;
  readonly confState: ConfState;
}

/**
 * The stored log as the core reads it; the WAL's handle of a partition implements it. All calls are synchronous and
 * see everything that was handed to the WAL, durable or not.
 */
export interface LogReader {
  /** The first LSN that can be read; trim point + 1. */
  readonly firstLsn: Lsn;
  /** The last LSN stored; `firstLsn - 1` when the log is empty. */
  readonly lastLsn: Lsn;
  /** Term of an entry in [firstLsn - 1, lastLsn]; undefined outside. Always answered from memory. */
  termAt(lsn: Lsn): Term | undefined;
  /**
   * Entries of [from, to) as far as they are in memory, at least one when `from` is there, and cut so that their data
   * stays under `maxBytes`. Undefined when `from` is not in memory: the host loads it and calls `onLogLoaded`.
   */
  entriesInMemory(from: Lsn, to: Lsn, maxBytes: number): readonly Entry[] | undefined;
}

/** A read that is confirmed: it may be served once `lsn` is applied. */
export interface ConfirmedRead {
  readonly lsn: Lsn;
  readonly context: number;
}

/** Names one handing-over of {@link RaftOutput.persist}; grows by one each time, never reused within one core. */
export type DurabilityToken = number;

export interface Persist {
  readonly token: DurabilityToken;
  /** Present when it changed since the last output. */
  readonly hardState: HardState | undefined;
  /** Contiguous. `entries[0].lsn` may be at or below the last stored LSN: what is stored from there on is replaced. */
  readonly entries: readonly Entry[];
  /**
   * False when only `hardState.commit` changed: it may ride with the next sync, and nothing waits for a report of its
   * token. Whenever one comes, it still says that all lower tokens are synced too.
   */
  readonly mustSync: boolean;
}

/** A configuration change of one replica. `update` changes nothing here; it carries a context through the log. */
export interface ConfChangeStep {
  readonly type: 'add-voter' | 'add-learner' | 'remove' | 'update';
  readonly replica: ReplicaId;
}

/**
 * How to get from one configuration to the next (Raft dissertation, 4.3): `auto` takes a single step when one voter
 * changes and a joint configuration, left automatically, otherwise; `implicit` forces a joint configuration that is
 * left automatically; `explicit` one that is left by an empty change. No steps and `auto` means: leave it.
 */
export interface ConfChange {
  readonly transition: 'auto' | 'implicit' | 'explicit';
  readonly steps: readonly ConfChangeStep[];
  /** Opaque to the core. */
  readonly context: Uint8Array;
}

interface MessageBase {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  /** The sender's term, or for a pre-vote the term it would campaign in; 0 for forwarded requests, which have none. */
  readonly term: Term;
}

export interface AppendRequest extends MessageBase {
  readonly type: 'append';
  readonly previousLsn: Lsn;
  readonly previousTerm: Term;
  readonly commit: Lsn;
  readonly entries: readonly Entry[];
}

export interface AppendResponse extends MessageBase {
  readonly type: 'append-response';
  /** Accepted: the follower's log matches the leader's up to here, durably. Rejected: the request's previousLsn. */
  readonly lsn: Lsn;
  readonly rejected: boolean;
  /** Of a rejection: where the follower's log may match (dissertation 5.3, fast backtracking). */
  readonly hintLsn: Lsn;
  readonly hintTerm: Term;
}

export interface HeartbeatRequest extends MessageBase {
  readonly type: 'heartbeat';
  /** Never above what the receiver is known to store. */
  readonly commit: Lsn;
  /** The leader's count of heartbeat broadcasts; the answer to it confirms leadership at the time it was sent. */
  readonly round: number;
}

export interface HeartbeatResponse extends MessageBase {
  readonly type: 'heartbeat-response';
  readonly round: number;
}

/** In the place of a heartbeat: nothing is to be done for the group, all of whose log is committed; see quiet.ts. */
export interface QuietRequest extends MessageBase {
  readonly type: 'quiet';
  /** The last LSN of the leader's log, all of which the receiver is known to store. */
  readonly commit: Lsn;
  readonly round: number;
  /** Signs of life of the leader's node with this epoch stand for heartbeats from here on. */
  readonly epoch: number;
}

/** The sender is quiet; one that is not answers as to a heartbeat. */
export interface QuietResponse extends MessageBase {
  readonly type: 'quiet-response';
  readonly round: number;
}

export interface VoteRequest extends MessageBase {
  readonly type: 'vote' | 'pre-vote';
  readonly lastLsn: Lsn;
  readonly lastTerm: Term;
  /** Set when the leader asked for it: such a candidate is not held off by a leader that is alive. */
  readonly leadershipTransfer: boolean;
}

export interface VoteResponse extends MessageBase {
  readonly type: 'vote-response' | 'pre-vote-response';
  readonly rejected: boolean;
}

/** "Bootstrap at or above `start.lsn`": the state itself does not travel here. */
export interface SnapshotRequest extends MessageBase {
  readonly type: 'snapshot';
  readonly start: LogStart;
}

/** The follower could not bootstrap: the leader may try another way. */
export interface SnapshotFailedResponse extends MessageBase {
  readonly type: 'snapshot-failed';
}

/** The leader tells its successor to campaign at once (dissertation 3.10). */
export interface TimeoutNowRequest extends MessageBase {
  readonly type: 'timeout-now';
}

/** A follower passes on a request for leadership transfer; `from` is the replica that shall lead. */
export interface TransferLeaderRequest extends MessageBase {
  readonly type: 'transfer-leader';
}

/** A follower passes on proposals; the leader sets term and LSN. */
export interface ProposeRequest extends MessageBase {
  readonly type: 'propose';
  readonly proposals: readonly Proposal[];
}

export interface ReadIndexRequest extends MessageBase {
  readonly type: 'read-index';
  readonly context: number;
}

export interface ReadIndexResponse extends MessageBase {
  readonly type: 'read-index-response';
  readonly lsn: Lsn;
  readonly context: number;
}

/**
 * What the hosts of two replicas tell each other on the same way as their cores. No core takes or makes one. `term` is that of
 * the sender when it was sent.
 */
export interface HostMessage extends MessageBase {
  readonly type: 'host';
  readonly payload: Uint8Array;
}

export type Message =
  | AppendRequest
  | AppendResponse
  | HeartbeatRequest
  | HeartbeatResponse
  | QuietRequest
  | QuietResponse
  | VoteRequest
  | VoteResponse
  | SnapshotRequest
  | SnapshotFailedResponse
  | TimeoutNowRequest
  | TransferLeaderRequest
  | ProposeRequest
  | ReadIndexRequest
  | ReadIndexResponse;

/** What travels between two replicas. */
export type WireMessage = Message | HostMessage;

export interface Proposal {
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** Why a proposal, read or transfer was not taken. Nothing was appended. */
export type RefusalReason =
  /** Another replica leads, see `leader`. */
  | 'not-leader'
  | 'no-leader'
  /** Leadership is on its way to `leader`. */
  | 'transferring'
  /** The leader holds as many uncommitted bytes as it may: try again when some are committed. */
  | 'uncommitted-limit'
  /** One entry is larger than `limits.entryBytesMax`. */
  | 'too-large'
  /** This replica's disk hangs, is full or failed. */
  | 'storage-fault'
  /** This leader is no member of the configuration any more. */
  | 'removed'
  /** Not appended here but sent on to `leader`; whether and where it is appended is not known. Only without `disableProposalForwarding`. */
  | 'forwarded'
  /** Reads only: too many unconfirmed reads. */
  | 'reads-limit'
  /** Transfers only: the target is no voter. */
  | 'not-a-voter';

export interface Refusal {
  readonly ok: false;
  readonly reason: RefusalReason;
  /** 0 when none is known. */
  readonly leader: ReplicaId;
}

/** The proposals were appended, in order, at `firstLsn` ... `lastLsn`; they are lost if leadership is before commit. */
export interface Appended {
  readonly ok: true;
  readonly term: Term;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
}

export type ProposeResult = Appended | Refusal;
export type RequestResult = { readonly ok: true } | Refusal;

export interface Leadership {
  readonly role: Role;
  /** 0 when none is known. */
  readonly leader: ReplicaId;
  readonly term: Term;
}

export interface RaftLimits {
  /** Data bytes of one append message; it holds at least one entry. */
  readonly messageBytesMax: number;
  /** Append messages on their way to one follower. */
  readonly inflightMessagesMax: number;
  /** Data bytes on their way to one follower; one message may go over it. */
  readonly inflightBytesMax: number;
  /** Data bytes a leader holds uncommitted; a single proposal larger than it is taken when there is nothing else. */
  readonly uncommittedBytesMax: number;
  /** Data bytes of one entry. */
  readonly entryBytesMax: number;
  /** Unconfirmed reads a leader holds. */
  readonly pendingReadsMax: number;
}

export const defaultRaftLimits: RaftLimits = {
  messageBytesMax: 1 << 20,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 << 20,
  uncommittedBytesMax: 64 << 20,
  entryBytesMax: 32 << 20,
  pendingReadsMax: 4096,
};

export type ReadMode =
  /** Each read waits for a quorum to confirm leadership (dissertation 6.4). */
  | 'read-index'
  /** Reads are confirmed at once while a quorum has answered within election timeout / drift bound (6.4.1). */
  | 'lease';

export type StorageFault = 'hang' | 'full';

/**
 * One handing-over to the host. Order for the host: (1) hand `persist` to the WAL, so that the LogReader shows it;
 * (2) send `messages`; (3) the rest in any order. A further output may be taken before this one is durable.
 */
export interface RaftOutput {
  /**
   * May leave at once, in order, also before `persist` is durable: a leader's appends go out in parallel with its own
   * WAL write (dissertation 10.2.1). None of them promises anything that is not durable yet.
   */
  readonly messages: readonly Message[];
  /**
   * Append to the WAL, in token order, before anything else of this output is done. When it is synced, call
   * `onWalDurable(token)`; a report covers all lower tokens. Undefined when there is nothing to write.
   */
  readonly persist: Persist | undefined;
  /**
   * Promises about this replica's disk (votes, accepted appends): may leave, in order, only once `durableAfter` has
   * been reported durable. When it has been already, they may leave at once.
   */
  readonly messagesAfterDurable: readonly Message[];
  /** The token that `messagesAfterDurable` wait for; 0 when they wait for nothing. */
  readonly durableAfter: DurabilityToken;
  /**
   * Apply everything up to here, reading the entries from the WAL: min(commit, own durable index). Never goes back;
   * undefined when it did not move. Configuration entries go through `applyConfChange` on the way, and
   * `onApplied` reports progress.
   */
  readonly appliable: Lsn | undefined;
  /** Serve each when its `lsn` is applied. In order of confirmation. */
  readonly confirmedReads: readonly ConfirmedRead[];
  /**
   * Reads that will never be confirmed (leadership or the leader was lost): their contexts. The reader tries again.
   */
  readonly droppedReads: readonly number[];
  /**
   * Bootstrap, outside the core, at or above `lsn`: the leader no longer has the entries this replica needs. When it is
   * ready to replace state and log, ask `beginSnapshot`, replace them, and call `onSnapshotDone`; on failure call
   * `onSnapshotFailed`. No further request comes before one of these. `confState` is only what the leader knew.
   */
  readonly snapshotToInstall: LogStart | undefined;
  /** Present when role, leader or term changed. Act on it after the above. */
  readonly leadership: Leadership | undefined;
}

/** Flow control state of one follower as its leader sees it. */
export interface ProgressStatus {
  readonly replica: ReplicaId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly match: Lsn;
  readonly next: Lsn;
  readonly learner: boolean;
  readonly paused: boolean;
  readonly recentActive: boolean;
  /** LSN of the bootstrap it was sent to; 0 when none. */
  readonly pendingSnapshot: Lsn;
  readonly inflightMessages: number;
  readonly inflightFull: boolean;
}

export interface RaftStatus {
  readonly id: ReplicaId;
  readonly role: Role;
  readonly leader: ReplicaId;
  readonly term: Term;
  readonly vote: ReplicaId;
  readonly commit: Lsn;
  readonly applied: Lsn;
  /** Last entry of the log, durable or not. */
  readonly lastLsn: Lsn;
  /** Last entry known durable here. */
  readonly durableLsn: Lsn;
  readonly confState: ConfState;
  readonly transferee: ReplicaId;
  /**
   * Of a leader: the configuration may be about to change, because a change may be in the log that is not applied yet, or it
   * has not applied the first entry of its term, before which it cannot know.
   */
  readonly confChangePending: boolean;
  /** Empty unless this replica leads. */
  readonly progress: readonly ProgressStatus[];
}

/** What a core that may fall quiet asks its host, see quiet.ts. */
export interface QuietOptions {
  /** Ticks for which a leader has nothing to do before it says so. */
  readonly afterTicks: number;
  /** Of this replica's node, as it sends it now. */
  readonly epoch: () => number;
  /** Of the node of another replica, as it was heard last; undefined when nothing was heard lately. */
  readonly epochOf: (replica: ReplicaId) => number | undefined;
  /** Whether the host, too, has nothing to do for the group for which that would have to be awake. */
  readonly isIdle: () => boolean;
}

export interface RaftOptions {
  readonly id: ReplicaId;
  /** Ticks without a sign of a leader before an election; randomized up to twice that. Above `heartbeatTicks`. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly log: LogReader;
  /**
   * As read from the WAL; everything in `log` at this moment counts as durable. A replica that starts from an imported
   * snapshot starts with at least the snapshot's term.
   */
  readonly hardState: HardState;
  /** Of the state store. The commit LSN starts at max(hardState.commit, applied). */
  readonly applied: Lsn;
  /** The configuration in force at `applied`. */
  readonly confState: ConfState;
  readonly random: Random;
  /**
   * Where a follower that needs trimmed entries shall bootstrap: the newest snapshot that it can fetch, at or above
   * trim point. Undefined: none at the moment, and the follower waits. Default: at or above the trim point.
   */
  readonly snapshotPoint?: () => LogStart | undefined;
  readonly limits?: Partial<RaftLimits>;
  /** Default true. */
  readonly preVote?: boolean;
  /** Default true. A leader that a quorum does not answer steps down; a replica that hears a leader ignores candidates (dissertation 6.2, 4.2.3). */
  readonly checkQuorum?: boolean;
  /** Default 'read-index'. 'lease' needs `checkQuorum`. */
  readonly readMode?: ReadMode;
  /**
   * Lease reads only: the fastest clock of the group runs at most this many times as fast as the slowest; above 1.
   * A lease lasts electionTicks / clockDriftBound of the leader's own ticks. Default 2.
   */
  readonly clockDriftBound?: number;
  /** Default true: `propose` on a follower is refused with the leader's id instead of being sent on. */
  readonly disableProposalForwarding?: boolean;
  /** Default true: a leader that is no voter any more, once that is applied, steps down. */
  readonly stepDownOnRemoval?: boolean;
  /** Default false; for tests: configuration changes are not checked when proposed. */
  readonly disableConfChangeValidation?: boolean;
  /**
   * Default false; to replay transcripts of etcd-io/raft, which acknowledges each append of a leader on its own where
   * one acknowledgement a sync says the same, and also those that bring only a commit LSN and whose answer says nothing new.
   */
  readonly acknowledgeEachAppend?: boolean;
  /** Undefined: the group never falls quiet. */
  readonly quiet?: QuietOptions;
  /** A deliberate bug, see mutants.ts. Only the simulator and tests set it. */
  readonly mutant?: string;
}
