/** The invariants of consensus and storage, checked as things happen; each check costs a constant time, or nearly so. */
import { crc32 } from 'node:zlib';
import type { ReplicaId } from '../../src/base/ids.js';
import type { ArchiveState, ReplicaObserver, ReplicaStart } from '../../src/partition/index.js';
import {
  EntryKind,
  type ConfState,
  type Entry,
  type LogReader,
  type LogStart,
  type RaftOutput,
  type StorageFault,
  type WireMessage,
} from '../../src/raft/types.js';
import { PartitionTruth } from './partition-truth.js';
import {
  describeConfiguration,
  isQuorum,
  membersOf,
  quorumsIntersect,
  sameConfiguration,
  votersOf,
} from './quorums.js';
import { ReplicaRecord } from './replica-record.js';
import type { Verdict } from './verdict.js';

/** What the checker tells those who count and draw. */
export interface ClusterEvents {
  onLeader(record: ReplicaRecord): void;
  onTruncation(record: ReplicaRecord): void;
  onCommit(record: ReplicaRecord, commit: number): void;
  onConfiguration(record: ReplicaRecord, confState: ConfState): void;
  onStoreReopened(record: ReplicaRecord): void;
  onTrim(record: ReplicaRecord): void;
  /** The group has committed that its log may be trimmed further. */
  onGroupTrim(record: ReplicaRecord, trimPoint: number): void;
  onLeadershipGivenUp(record: ReplicaRecord, fault: StorageFault): void;
  onPersisted(record: ReplicaRecord): void;
  /** The group has committed that a newer snapshot is archived. */
  onArchived(record: ReplicaRecord, archive: ArchiveState): void;
  /** `isOfPeer`: it is the state of another replica, as far as the process that was asked for it has lived to tell. */
  onInstalled(record: ReplicaRecord, isOfPeer: boolean): void;
  /** The replica stopped; the node decides whether that is a broken invariant. */
  onFault(record: ReplicaRecord, error: Error): void;
}

export class ClusterChecker {
  readonly #verdict: Verdict;
  readonly #events: ClusterEvents;
  readonly #truths = new Map<number, PartitionTruth>();
  readonly #records = new Map<number, ReplicaRecord>();
  /** Of disks that are gone. */
  readonly #lost = new Map<number, ReplicaRecord>();
  readonly #nodesKnown: () => number;
  /** Whether configurations are the work of the server's placement. */
  readonly isPlaced: boolean;

  constructor(
    verdict: Verdict,
    events: ClusterEvents,
    { nodesKnown, isPlaced }: { readonly nodesKnown: () => number; readonly isPlaced: boolean },
  ) {
    this.isPlaced = isPlaced;
    this.#verdict = verdict;
    this.#events = events;
    this.#nodesKnown = nodesKnown;
  }

  truth(partitionId: number): PartitionTruth | undefined {
    return this.#truths.get(partitionId);
  }

  get truths(): ReadonlyMap<number, PartitionTruth> {
    return this.#truths;
  }

  record(partitionId: number, replicaId: number): ReplicaRecord | undefined {
    return this.#records.get(recordKey(partitionId, replicaId));
  }

  get records(): Iterable<ReplicaRecord> {
    return this.#records.values();
  }

  /** The node's process is gone. */
  nodeStopped(nodeId: number): void {
    for (const record of this.#records.values()) {
      if (record.nodeId !== nodeId) continue;
      record.running = false;
      record.isLeader = false;
    }
  }

  /** The replicas of a node have lost what they had promised: nothing is expected of them any more. */
  nodeLost(nodeId: number): void {
    for (const [key, record] of this.#records) {
      if (record.nodeId !== nodeId) continue;
      this.#records.delete(key);
      this.#lost.set(key, record);
    }
  }

  /** A leader has stopped to send heartbeats, and its followers will not miss them: nobody must be waiting for anything. */
  fellQuiet(partitionId: number, replicaId: number): void {
    const leader = this.record(partitionId, replicaId);
    if (leader === undefined) return;
    const { lastLsn, commit, confState } = leader;
    for (const member of [leader, ...membersOf(confState).map((id) => this.record(partitionId, id))]) {
      this.#verdict.require(
        member === undefined || (member.durableLsn >= lastLsn && commit === lastLsn),
        'quiet-groups-are-at-rest',
        () =>
          `${leader.name} is quiet at LSN ${lastLsn}, ${commit} is committed, ${member?.name} has ${member?.durableLsn}`,
      );
    }
  }

  /** Whether a replica has an entry durably, or had it until its disk was lost: it may have said so before. */
  wasDurableAt(partitionId: number, replicaId: number, lsn: number, term: number): boolean {
    const key = recordKey(partitionId, replicaId);
    return (this.#records.get(key) ?? this.#lost.get(key))?.durableTerms[lsn] === term;
  }

  /** For `PartitionManagerOptions.observe`. */
  observe(nodeId: number, start: ReplicaStart): ReplicaObserver {
    const { partitionId, replicaId } = start;
    const key = recordKey(partitionId, replicaId);
    let truth = this.#truths.get(partitionId);
    if (truth === undefined) {
      truth = new PartitionTruth(start.confState);
      this.#truths.set(partitionId, truth);
    }
    let record = this.#records.get(key);
    if (record === undefined) {
      record = new ReplicaRecord({ partitionId, replicaId, nodeId }, start.confState);
      this.#records.set(key, record);
    }
    this.#started(record, start);
    return new Observation({
      verdict: this.#verdict,
      events: this.#events,
      checker: this,
      truth,
      record,
      log: start.log,
      nodesKnown: this.#nodesKnown,
    });
  }

  #started(record: ReplicaRecord, start: ReplicaStart): void {
    const truth = this.#truths.get(record.partitionId);
    if (truth !== undefined && record.wasInstalledBefore(start.log)) {
      record.installed(truth.committedTerms);
      this.#events.onInstalled(record, false);
    }
    record.installing = undefined;
    this.#verdict.require(
      !record.discarded,
      'deleted-replicas-never-return',
      () => `${record.name}: starts, although its node has deleted it`,
    );
    const problem = record.restarted(start.log, start.hardState);
    this.#verdict.require(problem === undefined, 'durable-is-durable', () => `${record.name}: ${problem}`);
    this.#verdict.require(
      start.persistedLsn >= record.persisted,
      'persisted-never-regresses',
      () => `${record.name}: started with persisted LSN ${start.persistedLsn}, it had reported ${record.persisted}`,
    );
    record.persisted = start.persistedLsn;
    // A trim point is durable only with what was written after it.
    record.trimPoint = start.log.firstLsn - 1;
    record.applied = start.appliedLsn;
    record.inForceLsn = 0;
    record.commit = Math.max(start.hardState.commit, start.appliedLsn);
    record.confState = start.confState;
    record.running = true;
    record.isLeader = false;
    this.#verdict.require(
      start.appliedLsn <= start.durableLsn,
      'rule-1',
      () => `${record.name}: started with applied LSN ${start.appliedLsn} above durable LSN ${start.durableLsn}`,
    );
    this.checkState(record, start.appliedLsn, start.stateHash);
  }

  checkState(record: ReplicaRecord, lsn: number, hash: ReplicaStart['stateHash']): void {
    const other = this.#truths.get(record.partitionId)?.stateAt(lsn, hash);
    this.#verdict.require(
      other === undefined,
      'equal-lsn-equal-state',
      () =>
        `${record.name}: state hash at LSN ${lsn} is ${hash.high}:${hash.low}, another replica had ${other?.high}:${other?.low}`,
    );
  }

  /** What leaves a node as a promise about its disk must be on its disk; and whoever campaigns must know who votes. */
  checkSent(partitionId: number, message: WireMessage): void {
    if (message.type === 'vote') this.#checkCampaign(partitionId, message.from);
    if ((message.type !== 'vote-response' && message.type !== 'append-response') || message.rejected) return;
    const record = this.record(partitionId, message.from);
    if (record === undefined) return;
    if (message.type !== 'append-response') {
      this.#verdict.require(
        record.durableTerm > message.term || (record.durableTerm === message.term && record.durableVote === message.to),
        'promises-are-durable',
        () =>
          `${record.name}: votes for ${message.to} in term ${message.term}; durable are term ${record.durableTerm}, vote ${record.durableVote}`,
      );
    } else {
      this.#verdict.require(
        record.durableLsn >= message.lsn || record.durableTerm > message.term,
        'promises-are-durable',
        () => `${record.name}: acknowledges entries up to ${message.lsn}, durable are those up to ${record.durableLsn}`,
      );
    }
  }

  #checkCampaign(partitionId: number, replicaId: number): void {
    const record = this.record(partitionId, replicaId);
    if (record === undefined) return;
    const { pendingConfigurationLsn, applied, commit } = record;
    this.#verdict.require(
      pendingConfigurationLsn === 0 || pendingConfigurationLsn > commit,
      'campaigns-under-the-newest-configuration',
      () =>
        `${record.name}: campaigns with applied LSN ${applied}, while the configuration entry ${pendingConfigurationLsn} is committed`,
    );
  }
}

function recordKey(partitionId: number, replicaId: number): number {
  return partitionId * 100_000 + replicaId;
}

interface ObservationParts {
  readonly verdict: Verdict;
  readonly events: ClusterEvents;
  readonly checker: ClusterChecker;
  readonly truth: PartitionTruth;
  readonly record: ReplicaRecord;
  readonly log: LogReader;
  readonly nodesKnown: () => number;
}

/** One run of one replica. */
class Observation implements ReplicaObserver {
  #installsFromPeer = false;
  readonly #parts: ObservationParts;
  readonly #record: ReplicaRecord;
  readonly #truth: PartitionTruth;
  readonly #verdict: Verdict;

  constructor(parts: ObservationParts) {
    this.#parts = parts;
    this.#record = parts.record;
    this.#truth = parts.truth;
    this.#verdict = parts.verdict;
  }

  onOutput(output: RaftOutput): void {
    const { persist, leadership } = output;
    if (persist !== undefined) {
      if (persist.hardState !== undefined) this.#checkHardState(persist.hardState);
      for (const entry of persist.entries) this.#checkEntry(entry, persist.entries);
      this.#checkConfigurationEntries(persist.entries);
      if (this.#record.handedOver(persist)) this.#parts.events.onTruncation(this.#record);
      if (persist.hardState !== undefined) this.#committed(persist.hardState.commit);
    }
    if (leadership === undefined) return;
    this.#record.isLeader = leadership.role === 'leader';
    if (this.#record.isLeader) this.#checkLeader(leadership.term);
  }

  onDurable(token: number): void {
    this.#record.durable(token);
  }

  onConfChange(lsn: number, _term: number, confState: ConfState): void {
    const record = this.#record;
    record.confState = confState;
    record.inForceLsn = Math.max(record.inForceLsn, lsn);
    const { configurations } = this.#truth;
    const known = configurations.find((configuration) => configuration.lsn === lsn);
    if (known !== undefined) {
      this.#verdict.require(
        sameConfiguration(known.confState, confState),
        'equal-lsn-equal-state',
        () =>
          `${record.name}: the configuration at LSN ${lsn} is ${describeConfiguration(confState)}, another replica had ` +
          describeConfiguration(known.confState),
      );
      return;
    }
    const previous = this.#truth.newestConfiguration;
    this.#verdict.require(
      quorumsIntersect(previous, confState),
      'successive-quorums-intersect',
      () =>
        `${record.name}: ${describeConfiguration(previous)} is followed at LSN ${lsn} by ${describeConfiguration(confState)}`,
    );
    if (this.#parts.checker.isPlaced) this.#checkPlacement(previous, confState);
    configurations.push({ lsn, confState });
    this.#parts.events.onConfiguration(record, confState);
  }

  onApplied(appliedLsn: number, stateHash: ReplicaStart['stateHash']): void {
    const record = this.#record;
    this.#verdict.require(
      appliedLsn > record.applied,
      'applied-never-regresses',
      () => `${record.name}: applied LSN goes from ${record.applied} to ${appliedLsn}`,
    );
    record.applied = appliedLsn;
    this.#checkRuleOne();
    this.#checkLogBeginning();
    this.#parts.checker.checkState(record, appliedLsn, stateHash);
  }

  onStoreReopened(appliedLsn: number): void {
    const record = this.#record;
    this.#verdict.require(
      appliedLsn >= record.persisted && appliedLsn <= record.applied,
      'applied-never-regresses',
      () =>
        `${record.name}: reopened at LSN ${appliedLsn}, outside of [persisted ${record.persisted}, applied ${record.applied}]`,
    );
    record.applied = appliedLsn;
    // What a store that was closed without a flush shows when it is opened again, its databases hold durably.
    record.persisted = Math.max(record.persisted, appliedLsn);
    this.#parts.events.onStoreReopened(record);
  }

  onLeadershipGivenUp(fault: StorageFault): void {
    this.#parts.events.onLeadershipGivenUp(this.#record, fault);
  }

  onPersisted(persistedLsn: number): void {
    const record = this.#record;
    this.#verdict.require(
      persistedLsn >= record.persisted,
      'persisted-never-regresses',
      () => `${record.name}: persisted LSN goes from ${record.persisted} to ${persistedLsn}`,
    );
    record.persisted = persistedLsn;
    this.#checkRuleOne();
    this.#parts.events.onPersisted(record);
  }

  onTrimPoint(trimPoint: number): void {
    const record = this.#record;
    const safePoint = this.#safePoint;
    this.#verdict.require(
      trimPoint <= safePoint,
      'trim-within-safe-point',
      () =>
        `${record.name}: trims to ${trimPoint} with persisted LSN ${record.persisted} and archived LSN ` +
        `${this.#truth.archivedLsn} in a cluster of ${this.#parts.nodesKnown()}`,
    );
    this.#verdict.require(
      trimPoint >= record.trimPoint,
      'trim-within-safe-point',
      () => `${record.name}: trim point goes from ${record.trimPoint} to ${trimPoint}`,
    );
    record.trimPoint = trimPoint;
    this.#parts.events.onTrim(record);
  }

  onArchive(archive: ArchiveState): void {
    const { archivedLsn, trimPoint } = archive;
    const record = this.#record;
    this.#verdict.require(
      // Of a group of entries that is applied and not yet reported, the store shows it already.
      trimPoint <= archivedLsn && archivedLsn <= record.commit,
      'trim-within-safe-point',
      () => `${record.name}: trim point ${trimPoint}, archived LSN ${archivedLsn}, commit LSN ${record.commit}`,
    );
    record.archivedLsn = archivedLsn;
    const truth = this.#truth;
    const [isNewer, isTrimmed] = [archivedLsn > truth.archivedLsn, trimPoint > truth.trimPoint];
    truth.archivedLsn = Math.max(truth.archivedLsn, archivedLsn);
    truth.trimPoint = Math.max(truth.trimPoint, trimPoint);
    if (isNewer) this.#parts.events.onArchived(record, archive);
    if (isTrimmed) this.#parts.events.onGroupTrim(record, trimPoint);
  }

  onInstalling(start: LogStart, from: ReplicaId | undefined): void {
    const record = this.#record;
    this.#installsFromPeer = from !== undefined;
    const { committedTerms, archivedLsn } = this.#truth;
    this.#verdict.require(
      committedTerms[start.lsn] === start.term && start.lsn > record.commit,
      'installs-what-was-committed',
      () =>
        `${record.name}: installs a snapshot of LSN ${start.lsn}, term ${start.term}, at commit LSN ${record.commit}; committed is ` +
        `term ${committedTerms[start.lsn]}, archived LSN ${archivedLsn}`,
    );
    record.installing = start;
  }

  onInstalled(start: LogStart, stateHash: ReplicaStart['stateHash']): void {
    this.#record.installed(this.#truth.committedTerms);
    this.#parts.checker.checkState(this.#record, start.lsn, stateHash);
    this.#parts.events.onInstalled(this.#record, this.#installsFromPeer);
  }

  onFault(error: Error): void {
    this.#record.running = false;
    this.#record.isLeader = false;
    this.#parts.events.onFault(this.#record, error);
  }

  /** Where the server places replicas: what it makes of a group can go on, also when the group was hurt before. */
  #checkPlacement(before: ConfState, after: ConfState): void {
    const { checker } = this.#parts;
    const { partitionId, name } = this.#record;
    const hasData = (replica: number): boolean => checker.record(partitionId, replica)?.discarded === false;
    this.#verdict.require(
      isQuorum(after, hasData),
      'placement-keeps-majorities',
      () =>
        `${name}: ${describeConfiguration(before)} is followed by ${describeConfiguration(after)}, and only ` +
        `{${votersOf(after).filter(hasData).join(' ')}} have their data`,
    );
    const added = after.voters.filter((voter) => !votersOf(before).includes(voter));
    const removed = before.voters.filter((voter) => !after.voters.includes(voter) && hasData(voter));
    this.#verdict.require(
      added.length <= 1 && removed.length <= 1,
      'one-replica-of-a-group-moves',
      () =>
        `${name}: ${describeConfiguration(before)} is followed by ${describeConfiguration(after)}: {${added.join(' ')}} come, ` +
        `{${removed.join(' ')}} go`,
    );
  }

  /** A group has let a replica go before its node deletes it: its vote may be needed until then. */
  onDiscarded(): void {
    const record = this.#record;
    const { newestConfiguration } = this.#truth;
    this.#verdict.require(
      !votersOf(newestConfiguration).includes(record.replicaId),
      'placement-keeps-majorities',
      () => `${record.name} is deleted, and votes in its group: ${describeConfiguration(newestConfiguration)}`,
    );
    record.discarded = true;
    record.running = false;
    record.isLeader = false;
  }

  #checkHardState({ term, vote, commit }: { term: number; vote: number; commit: number }): void {
    const record = this.#record;
    this.#verdict.require(
      term >= record.term,
      'term-never-regresses',
      () => `${record.name}: term goes from ${record.term} to ${term}`,
    );
    this.#verdict.require(
      term > record.term || record.vote === 0 || vote === record.vote,
      'one-vote-a-term',
      () => `${record.name}: votes for ${record.vote} and for ${vote} in term ${term}`,
    );
    this.#verdict.require(
      commit >= record.commit,
      'commit-never-regresses',
      () => `${record.name}: commit LSN goes from ${record.commit} to ${commit}`,
    );
  }

  #checkEntry(entry: Entry, entries: readonly Entry[]): void {
    const record = this.#record;
    const first = entries[0] as Entry;
    const previousTerm = entry === first ? record.terms[entry.lsn - 1] : entries[entry.lsn - first.lsn - 1]?.term;
    this.#verdict.require(
      entry.lsn > record.commit,
      'committed-never-changes',
      () => `${record.name}: entry ${entry.lsn} is written at or below commit LSN ${record.commit}`,
    );
    const problem = this.#truth.entryWritten(entry.lsn, entry.term, previousTerm ?? -1, crc32(entry.data, entry.kind));
    this.#verdict.require(problem === undefined, 'log-matching', () => `${record.name}: ${problem}`);
  }

  /** A leader proposes one configuration change at a time (dissertation 4.1): what it inherited counts. */
  #checkConfigurationEntries(entries: readonly Entry[]): void {
    const record = this.#record;
    let pendingLsn = record.pendingConfigurationLsn;
    for (const { lsn, kind, term } of entries) {
      if (kind === EntryKind.normal) continue;
      this.#verdict.require(
        !record.isLeader || term !== record.term || pendingLsn === 0 || pendingLsn >= lsn,
        'one-configuration-change-at-a-time',
        () =>
          `${record.name}: proposes a configuration change at ${lsn} as leader of term ${term}, while that at ${pendingLsn} is not applied`,
      );
      pendingLsn = lsn;
    }
  }

  #committed(commit: number): void {
    const record = this.#record;
    if (commit <= record.commit) return;
    record.commit = commit;
    const term = record.terms[commit];
    this.#verdict.require(
      commit <= record.lastLsn,
      'rule-1',
      () => `${record.name}: commit LSN ${commit} above last entry ${record.lastLsn}`,
    );
    const { committedTerms } = this.#truth;
    if (commit < committedTerms.length) {
      this.#verdict.require(
        committedTerms[commit] === term,
        'committed-never-changes',
        () =>
          `${record.name}: entry ${commit} of term ${term} is committed, as is one of term ${committedTerms[commit]}`,
      );
      return;
    }
    // Raft 5.4.2: only an entry of its own term may a leader commit by counting; those before it come along.
    this.#verdict.require(
      !record.isLeader || term === record.term,
      'leader-commits-its-own-term',
      () => `${record.name}: commits ${commit}, an entry of term ${term}, as the leader of term ${record.term}`,
    );
    for (let lsn = committedTerms.length; lsn <= commit; lsn += 1)
      this.#truth.committed(record.terms[lsn] as number, record.term);
    const isDurableAt = (replica: number): boolean =>
      this.#parts.checker.wasDurableAt(record.partitionId, replica, commit, term as number);
    this.#verdict.require(
      isQuorum(record.confState, isDurableAt),
      'committed-is-on-a-durable-quorum',
      () =>
        `${record.name}: commits ${commit}, durable only at replicas ` +
        `{${votersOf(record.confState).filter(isDurableAt).join(' ')}} of ` +
        describeConfiguration(record.confState),
    );
    this.#parts.events.onCommit(record, commit);
  }

  #checkLeader(term: number): void {
    const record = this.#record;
    const other = this.#truth.ledBy(term, record.replicaId);
    this.#verdict.require(
      other === undefined,
      'one-leader-a-term',
      () => `${record.name} and replica ${other} both lead in term ${term}`,
    );
    // A candidate may learn late that it won an old term: what newer leaders committed meanwhile it need not have.
    const committedLsn = this.#truth.committedBefore(term);
    const { committedTerms } = this.#truth;
    this.#verdict.require(
      record.terms[committedLsn] === committedTerms[committedLsn],
      'leader-completeness',
      () =>
        `${record.name}: leads in term ${term} with term ${record.terms[committedLsn]} at LSN ${committedLsn}, where an entry of term ` +
        `${committedTerms[committedLsn]} is committed; its last entry is ${record.lastLsn}`,
    );
    this.#parts.events.onLeader(record);
  }

  get #safePoint(): number {
    const archivedLsn = this.#parts.nodesKnown() === 1 ? Number.POSITIVE_INFINITY : this.#truth.archivedLsn;
    return Math.min(this.#record.persisted, archivedLsn);
  }

  /** Where the log really begins, whatever the replica has said about it. */
  #checkLogBeginning(): void {
    const record = this.#record;
    const gone = this.#parts.log.firstLsn - 1;
    this.#verdict.require(
      gone <= record.trimPoint || gone <= this.#safePoint,
      'trim-within-safe-point',
      () =>
        `${record.name}: the log has lost entries up to ${gone}, with trim point ${record.trimPoint}, persisted LSN ${record.persisted} ` +
        `and archived LSN ${this.#truth.archivedLsn}`,
    );
  }

  #checkRuleOne(): void {
    const { persisted, applied, commit, durableLsn } = this.#record;
    this.#verdict.require(
      persisted <= applied && applied <= commit && applied <= durableLsn,
      'rule-1',
      () => `${this.#record.name}: persisted ${persisted}, applied ${applied}, commit ${commit}, durable ${durableLsn}`,
    );
  }
}
