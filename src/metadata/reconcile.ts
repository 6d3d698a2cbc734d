/**
 * How the leader of a group brings the group's own configuration to what metadata desires: one step at a time, decided anew
 * from what is applied, so that it can be taken up by any leader at any point. Pure.
 */
import type { NodeId, ReplicaId } from '../base/ids.js';
import type { PartitionView, ReplicaView } from './types.js';

/** A group's configuration, as of what the leader has applied. */
export interface ActualConfiguration {
  readonly voters: readonly ReplicaId[];
  /** Not empty: the configuration is a joint one. */
  readonly votersOutgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  readonly learnersNext: readonly ReplicaId[];
  /** The group leaves the joint configuration by itself. */
  readonly autoLeave: boolean;
  /** The highest replica id that the group's configuration ever had. */
  readonly highestReplicaId: number;
}

/** What only the leader knows. */
export interface GroupFacts {
  /** Itself. */
  readonly leader: ReplicaId;
  /**
   * The configuration may be about to change: a change is in the log and not applied yet, or the leader has not applied the
   * first entry of its term, before which it cannot know.
   */
  readonly changePending: boolean;
  /** Members that answered within the election timeout, the leader among them. */
  readonly healthy: ReadonlySet<ReplicaId>;
  /** Members so close to the end of the log that their vote would not hold it up. */
  readonly caughtUp: ReadonlySet<ReplicaId>;
}

export interface ConfigurationOperation {
  readonly type: 'add-voter' | 'add-learner' | 'remove';
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId | undefined;
}

export type WaitReason =
  /** A change is under way, or a joint configuration is about to be left. */
  | 'change-pending'
  /** The group has a member that this table does not know of yet: the table is older than the configuration. */
  | 'table-outdated'
  /** The new replica has not got the log yet. */
  | 'catching-up'
  /** The new replica does not answer. */
  | 'unreachable'
  /** What is left to be done would leave no majority of healthy voters. */
  | 'quorum-at-risk'
  /** The leader is to go, and no voter that stays is ready to lead. */
  | 'no-successor'
  /** A desired replica was removed from the group before; it has to be made anew under another id. */
  | 'replica-spent';

export type ReconcileStep =
  | { readonly type: 'done' }
  | { readonly type: 'wait'; readonly reason: WaitReason; readonly replicaId: ReplicaId | undefined }
  /** One change of the configuration: with several operations a joint one, that the group leaves by itself. */
  | { readonly type: 'change'; readonly operations: readonly ConfigurationOperation[] }
  | { readonly type: 'leave-joint' }
  | { readonly type: 'transfer-leadership'; readonly to: ReplicaId };

/**
 * The next step of the leader.
 *
 * Why it is safe:
 * - A replica id that has left the configuration never comes back: only ids above `highestReplicaId` are added. A leader
 *   with an old table may still want a replica that its successor's table has given up; the configuration, which is in the
 *   log, knows better.
 * - A leader with an old table removes nothing that its table does not know: ids from `nextReplicaId` on are another's work.
 * - A voter is taken away only when a majority of the voters left is healthy, and only after what is to take its place votes
 *   or in the same joint change. So a configuration with a healthy majority is followed by one that has one too.
 * - A voter is added only when it has caught up: it never makes a majority that is not yet there for the log.
 */
export function nextStep(desired: PartitionView, actual: ActualConfiguration, facts: GroupFacts): ReconcileStep {
  if (facts.changePending) return wait('change-pending');
  if (actual.votersOutgoing.length > 0) return actual.autoLeave ? wait('change-pending') : { type: 'leave-joint' };
  const outdated = [...actual.voters, ...actual.learners].find((id) => id >= desired.nextReplicaId);
  if (outdated !== undefined) return wait('table-outdated', outdated);
  const plan = new Plan(desired, actual, facts);
  return plan.dropLearner() ?? plan.bringIn() ?? plan.spend() ?? plan.takeOut() ?? plan.rest();
}

export interface PlacementReport {
  readonly type: 'replica-joined' | 'replica-removed';
  readonly replicaId: ReplicaId;
}

/**
 * What the leader is to tell metadata. None while the configuration may change: once metadata has dropped a replica, its
 * node deletes the data, which must not be that of a voter.
 */
export function placementReports(
  desired: PartitionView,
  actual: ActualConfiguration,
  { changePending }: Pick<GroupFacts, 'changePending'>,
): readonly PlacementReport[] {
  if (changePending || actual.votersOutgoing.length > 0) return [];
  const reports: PlacementReport[] = [];
  for (const { replicaId, role, state } of desired.replicas) {
    if (state === 'joining') {
      const members = role === 'voter' ? actual.voters : actual.learners;
      if (members.includes(replicaId)) reports.push({ type: 'replica-joined', replicaId });
    } else if (state !== 'settled' && isOut(replicaId, actual)) {
      reports.push({ type: 'replica-removed', replicaId });
    }
  }
  return reports;
}

/**
 * Whether a replica was in the group and is no member any more: for ever, whatever a leader says that was replaced without noticing.
 * One that was never in may be added yet, by a leader with an older table.
 */
function isOut(replicaId: ReplicaId, { voters, learners, highestReplicaId }: ActualConfiguration): boolean {
  return replicaId <= highestReplicaId && !voters.includes(replicaId) && !learners.includes(replicaId);
}

class Plan {
  readonly #wanted: readonly ReplicaView[];
  readonly #leaving: readonly ReplicaId[];
  readonly #nodeOf: ReadonlyMap<ReplicaId, NodeId>;
  readonly #actual: ActualConfiguration;
  readonly #facts: GroupFacts;

  constructor(desired: PartitionView, actual: ActualConfiguration, facts: GroupFacts) {
    this.#wanted = desired.replicas.filter(({ state }) => state === 'joining' || state === 'settled');
    this.#leaving = desired.replicas
      .filter(({ state }) => state === 'leaving' || state === 'lost')
      .map(({ replicaId }) => replicaId);
    this.#nodeOf = new Map(desired.replicas.map(({ replicaId, nodeId }) => [replicaId, nodeId]));
    this.#actual = actual;
    this.#facts = facts;
  }

  /** A learner that nobody wants has no vote to be missed. */
  dropLearner(): ReconcileStep | undefined {
    const surplus = this.#actual.learners.find((id) => !this.#isWanted(id));
    return surplus === undefined ? undefined : this.#change(this.#operation('remove', surplus));
  }

  /** Adds what is missing, as a learner, one at a time; makes it a voter when it has caught up. */
  bringIn(): ReconcileStep | undefined {
    const toPromote = ascending(this.#actual.learners.filter((id) => this.#isWantedVoter(id)));
    const ready = toPromote.find((id) => this.#facts.healthy.has(id) && this.#facts.caughtUp.has(id));
    if (ready !== undefined) return this.#promote(ready);
    const coming = toPromote.find((id) => this.#facts.healthy.has(id));
    if (coming !== undefined) return wait('catching-up', coming);
    // One that does not answer must not keep others from coming; an id must not be overtaken by a higher one, though.
    const missing = this.#missing().find((id) => id > this.#actual.highestReplicaId);
    if (missing !== undefined) return this.#change(this.#operation('add-learner', missing));
    return toPromote[0] === undefined ? undefined : wait('unreachable', toPromote[0]);
  }

  /**
   * One that was given up before it came in: a change that names it changes nothing else, and nobody can add it any more. Not before
   * what is wanted is in, for lower ids would be spent with it.
   */
  spend(): ReconcileStep | undefined {
    const [never] = ascending(
      this.#leaving.filter(
        (id) => id > this.#actual.highestReplicaId && this.#missing().every((wanted) => wanted < id),
      ),
    );
    return never === undefined ? undefined : this.#change(this.#operation('remove', never));
  }

  /** Everything wanted is there: what is not wanted goes. */
  takeOut(): ReconcileStep | undefined {
    const surplus = this.#surplusVoters();
    const [first] = surplus;
    if (first === undefined) return undefined;
    const spent = this.#missing()[0];
    if (spent !== undefined) return wait('replica-spent', spent);
    const removable = surplus.find((id) => id !== this.#facts.leader && this.#isHealthyWithout(id));
    if (removable !== undefined) return this.#change(this.#leaveOperation(removable));
    if (surplus.includes(this.#facts.leader)) return this.#handOver();
    return wait('quorum-at-risk', first);
  }

  /** What was removed before and is wanted still cannot be had. */
  rest(): ReconcileStep {
    const spent = this.#missing()[0];
    return spent === undefined ? { type: 'done' } : wait('replica-spent', spent);
  }

  /**
   * In the place of a voter that is to go where there is one: the number of voters stays, through a joint configuration. The
   * new voter is healthy, so a healthy majority of the old voters is one of the new ones too.
   */
  #promote(replicaId: ReplicaId): ReconcileStep {
    const surplus = this.#surplusVoters();
    const replaced = surplus.find((id) => id !== this.#facts.leader);
    const add = this.#operation('add-voter', replicaId);
    if (replaced !== undefined) return this.#change(add, this.#leaveOperation(replaced));
    // The leader is the one to go: it hands over first, to a voter that stays, or else to the new one once that votes.
    const successor = surplus.length > 0 ? this.#successor() : undefined;
    return successor === undefined ? this.#change(add) : { type: 'transfer-leadership', to: successor };
  }

  #handOver(): ReconcileStep {
    const successor = this.#successor();
    return successor === undefined
      ? wait('no-successor', this.#facts.leader)
      : { type: 'transfer-leadership', to: successor };
  }

  /** In the order of preference of the table. */
  #successor(): ReplicaId | undefined {
    return this.#wanted
      .map(({ replicaId }) => replicaId)
      .find(
        (id) =>
          id !== this.#facts.leader &&
          this.#isWantedVoter(id) &&
          this.#actual.voters.includes(id) &&
          this.#facts.healthy.has(id) &&
          this.#facts.caughtUp.has(id),
      );
  }

  /** Voters that are not wanted as such: those that do not answer first, the leader last. */
  #surplusVoters(): readonly ReplicaId[] {
    const rank = (id: ReplicaId): number => (id === this.#facts.leader ? 2 : this.#facts.healthy.has(id) ? 1 : 0);
    return ascending(this.#actual.voters.filter((id) => !this.#isWantedVoter(id))).toSorted(
      (one, other) => rank(one) - rank(other),
    );
  }

  /** Wanted and not a member, ascending. */
  #missing(): readonly ReplicaId[] {
    const { voters, learners } = this.#actual;
    return ascending(
      this.#wanted.map(({ replicaId }) => replicaId).filter((id) => !voters.includes(id) && !learners.includes(id)),
    );
  }

  #isHealthyWithout(replicaId: ReplicaId): boolean {
    const left = this.#actual.voters.filter((id) => id !== replicaId);
    const healthy = left.filter((id) => this.#facts.healthy.has(id)).length;
    return left.length > 0 && healthy >= Math.floor(left.length / 2) + 1;
  }

  #isWanted(replicaId: ReplicaId): boolean {
    return this.#wanted.some((replica) => replica.replicaId === replicaId);
  }

  #isWantedVoter(replicaId: ReplicaId): boolean {
    return this.#wanted.some((replica) => replica.replicaId === replicaId && replica.role === 'voter');
  }

  /** A voter that is wanted as a learner becomes one. */
  #leaveOperation(replicaId: ReplicaId): ConfigurationOperation {
    return this.#operation(this.#isWanted(replicaId) ? 'add-learner' : 'remove', replicaId);
  }

  #operation(type: ConfigurationOperation['type'], replicaId: ReplicaId): ConfigurationOperation {
    return { type, replicaId, nodeId: this.#nodeOf.get(replicaId) };
  }

  #change(...operations: readonly ConfigurationOperation[]): ReconcileStep {
    return { type: 'change', operations };
  }
}

function wait(reason: WaitReason, replicaId?: ReplicaId): ReconcileStep {
  return { type: 'wait', reason, replicaId };
}

function ascending(ids: readonly ReplicaId[]): ReplicaId[] {
  return ids.toSorted((one, other) => one - other);
}
