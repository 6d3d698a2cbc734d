/** The group's configuration on its way to what metadata desires, against a naive model of configuration changes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asNodeId, asPartitionId, asReplicaId } from '../../src/base/ids.js';
import type { ReplicaId } from '../../src/base/ids.js';
import { nextStep, placementReports } from '../../src/metadata/index.js';
import type {
  ActualConfiguration,
  GroupFacts,
  PartitionView,
  ReconcileStep,
  ReplicaRole,
  ReplicaState,
  ReplicaView,
} from '../../src/metadata/index.js';

const replica = (id: number, state: ReplicaState = 'settled', role: ReplicaRole = 'voter'): ReplicaView => ({
  replicaId: asReplicaId(id),
  nodeId: asNodeId(id),
  role,
  state,
});

function partition(replicas: readonly ReplicaView[], nextReplicaId?: number): PartitionView {
  return {
    id: asPartitionId(1),
    replicas,
    initialVoters: [asReplicaId(1)],
    nextReplicaId: nextReplicaId ?? 1 + Math.max(...replicas.map(({ replicaId }) => replicaId)),
    lastRequestId: 0,
    version: 1,
  };
}

function configuration(voters: readonly number[], learners: readonly number[] = []): ActualConfiguration {
  return {
    voters: voters.map(asReplicaId),
    votersOutgoing: [],
    learners: learners.map(asReplicaId),
    learnersNext: [],
    autoLeave: false,
    highestReplicaId: Math.max(...voters, ...learners),
  };
}

function facts(leader: number, healthy: readonly number[], caughtUp: readonly number[] = healthy): GroupFacts {
  return {
    leader: asReplicaId(leader),
    changePending: false,
    healthy: new Set(healthy.map(asReplicaId)),
    caughtUp: new Set(caughtUp.map(asReplicaId)),
  };
}

/** As one line. */
function textOf(step: ReconcileStep): string {
  switch (step.type) {
    case 'change':
      return step.operations.map(({ type, replicaId }) => `${type} ${replicaId}`).join(', ');
    case 'wait':
      return `wait: ${step.reason} ${step.replicaId ?? ''}`.trimEnd();
    case 'transfer-leadership':
      return `transfer to ${step.to}`;
    case 'leave-joint':
    case 'done':
      return step.type;
  }
}

/** A configuration change as the dissertation has it, without any of the cleverness of the code. */
function applied(conf: ActualConfiguration, step: ReconcileStep & { type: 'change' }, autoLeave: boolean) {
  const voters = new Set(conf.voters);
  const learners = new Set(conf.learners);
  const learnersNext = new Set<ReplicaId>();
  for (const { type, replicaId } of step.operations) {
    expect(conf.votersOutgoing).toEqual([]);
    if (!voters.has(replicaId) && !learners.has(replicaId)) {
      expect(type, 'a new replica begins as a learner').toBe('add-learner');
      expect(replicaId, 'a removed replica id never returns').toBeGreaterThan(conf.highestReplicaId);
    }
    voters.delete(replicaId);
    learners.delete(replicaId);
    if (type === 'add-voter') voters.add(replicaId);
    if (type === 'add-learner') (conf.voters.includes(replicaId) ? learnersNext : learners).add(replicaId);
  }
  const changed = [...voters].filter((id) => !conf.voters.includes(id)).length;
  const gone = conf.voters.filter((id) => !voters.has(id)).length;
  const isJoint = changed + gone > 1;
  return {
    voters: [...voters],
    votersOutgoing: isJoint ? conf.voters : [],
    learners: isJoint ? [...learners] : [...learners, ...learnersNext],
    learnersNext: isJoint ? [...learnersNext] : [],
    autoLeave: isJoint && autoLeave,
    highestReplicaId: Math.max(conf.highestReplicaId, ...voters, ...learners),
  };
}

const left = (conf: ActualConfiguration): ActualConfiguration => ({
  ...conf,
  votersOutgoing: [],
  learners: [...conf.learners, ...conf.learnersNext],
  learnersNext: [],
  autoLeave: false,
});

const hasQuorum = (voters: readonly ReplicaId[], healthy: ReadonlySet<ReplicaId>): boolean =>
  voters.length === 0 || voters.filter((id) => healthy.has(id)).length > voters.length / 2;
const isServing = (conf: ActualConfiguration, healthy: ReadonlySet<ReplicaId>): boolean =>
  hasQuorum(conf.voters, healthy) && hasQuorum(conf.votersOutgoing, healthy);

describe('the next step', () => {
  const swap = partition([replica(1), replica(2), replica(4, 'joining'), replica(3, 'leaving')]);

  test.each<[string, PartitionView, ActualConfiguration, GroupFacts, string]>([
    ['a new replica begins as a learner', swap, configuration([1, 2, 3]), facts(1, [1, 2, 3]), 'add-learner 4'],
    ['and catches up', swap, configuration([1, 2, 3], [4]), facts(1, [1, 2, 3, 4], [1, 2, 3]), 'wait: catching-up 4'],
    ['or does not answer', swap, configuration([1, 2, 3], [4]), facts(1, [1, 2, 3]), 'wait: unreachable 4'],
    [
      'and takes the place of another in one joint change',
      swap,
      configuration([1, 2, 3], [4]),
      facts(1, [1, 2, 3, 4]),
      'add-voter 4, remove 3',
    ],
    [
      'the leader that is to go hands over first',
      swap,
      configuration([1, 2, 3], [4]),
      facts(3, [1, 2, 3, 4]),
      'transfer to 1',
    ],
    ['nobody wanted is done', partition([replica(1)]), configuration([1]), facts(1, [1]), 'done'],
    ['a surplus learner goes', partition([replica(1)], 9), configuration([1], [2]), facts(1, [1, 2]), 'remove 2'],
    [
      'a replica of a newer table is not touched',
      partition([replica(1)]),
      configuration([1], [2]),
      facts(1, [1, 2]),
      'wait: table-outdated 2',
    ],
    [
      'a single replica moves by way of two voters',
      partition([replica(2, 'joining'), replica(1, 'leaving')]),
      configuration([1], [2]),
      facts(1, [1, 2]),
      'add-voter 2',
    ],
    [
      'then leadership moves',
      partition([replica(2, 'joining'), replica(1, 'leaving')]),
      configuration([1, 2]),
      facts(1, [1, 2]),
      'transfer to 2',
    ],
    [
      'then the old one goes',
      partition([replica(2, 'joining'), replica(1, 'leaving')]),
      configuration([1, 2]),
      facts(2, [1, 2]),
      'remove 1',
    ],
    [
      'a healthy voter stays while the others do not answer',
      partition([replica(1), replica(2), replica(3, 'leaving')]),
      configuration([1, 2, 3]),
      facts(1, [1, 3]),
      'wait: quorum-at-risk 3',
    ],
    [
      'of two that are to go, the dead one goes first',
      partition([replica(1), replica(2, 'leaving'), replica(3, 'lost'), replica(4, 'joining')]),
      configuration([1, 2, 3], [4]),
      facts(1, [1, 2, 4]),
      'add-voter 4, remove 3',
    ],
    [
      'a replica that was removed before is not added again',
      partition([replica(1), replica(2), replica(3)], 9),
      { ...configuration([1, 2]), highestReplicaId: 8 },
      facts(1, [1, 2]),
      'wait: replica-spent 3',
    ],
    [
      'a voter that is to be a learner becomes one',
      partition([replica(1), replica(2), replica(3, 'settled', 'learner')]),
      configuration([1, 2, 3]),
      facts(1, [1, 2, 3]),
      'add-learner 3',
    ],
    [
      'a leader without anybody to follow it waits',
      partition([replica(2), replica(1, 'leaving')]),
      configuration([1, 2]),
      facts(1, [1]),
      'wait: no-successor 1',
    ],
  ])('%s', (_name, desired, actual, known, expected) => {
    expect(textOf(nextStep(desired, actual, known))).toBe(expected);
  });

  test('a joint configuration is left before anything else', () => {
    const joint = { ...configuration([1, 2, 4]), votersOutgoing: [1, 2, 3].map(asReplicaId) };
    expect(textOf(nextStep(swap, joint, facts(1, [1, 2, 3, 4])))).toBe('leave-joint');
    expect(textOf(nextStep(swap, { ...joint, autoLeave: true }, facts(1, [1, 2])))).toBe('wait: change-pending');
    expect(textOf(nextStep(swap, joint, { ...facts(1, [1]), changePending: true }))).toBe('wait: change-pending');
  });
});

describe('reports', () => {
  const desired = partition([replica(1), replica(4, 'joining'), replica(3, 'leaving'), replica(2, 'lost')]);

  test('what has come and what has gone', () => {
    expect(placementReports(desired, configuration([1, 3, 4]), { changePending: false })).toEqual([
      { type: 'replica-joined', replicaId: 4 },
      { type: 'replica-removed', replicaId: 2 },
    ]);
    expect(placementReports(desired, configuration([1, 2, 3], [4]), { changePending: false })).toEqual([]);
  });

  test('nothing while the configuration may change: data would be deleted that votes', () => {
    expect(placementReports(desired, configuration([1, 4]), { changePending: true })).toEqual([]);
    const joint = { ...configuration([1, 4]), votersOutgoing: [asReplicaId(1)] };
    expect(placementReports(desired, joint, { changePending: false })).toEqual([]);
  });
});

/** A group somewhere between an old and a new set of replicas. */
interface Situation {
  readonly desired: PartitionView;
  readonly actual: ActualConfiguration;
  readonly leaderPick: number;
  readonly autoLeave: boolean;
  /** Voters that do not answer. */
  readonly down: readonly ReplicaId[];
}

const situation: fc.Arbitrary<Situation> = fc
  .record({
    voterCount: fc.integer({ min: 1, max: 5 }),
    learnerCount: fc.integer({ min: 0, max: 2 }),
    /** What becomes of each replica that the group has; at least one is wanted in the end. */
    fates: fc.array(fc.constantFrom('settled', 'settled', 'settled', 'leaving', 'lost', 'forgotten'), {
      minLength: 7,
      maxLength: 7,
    }),
    newCount: fc.integer({ min: 0, max: 3 }),
    newLearner: fc.boolean(),
    outgoing: fc.boolean(),
    autoLeave: fc.boolean(),
    leaderPick: fc.nat(),
    downPicks: fc.array(fc.nat({ max: 6 }), { maxLength: 2 }),
  })
  .map((given) => {
    const members = given.voterCount + given.learnerCount;
    const known = Array.from({ length: members }, (_, at) => ({ id: at + 1, fate: given.fates[at]! })).flatMap(
      ({ id, fate }) => (fate === 'forgotten' ? [] : [replica(id, fate as ReplicaState)]),
    );
    const fresh = Array.from({ length: given.newCount }, (_, at) =>
      replica(members + 1 + at, 'joining', given.newLearner && at === 0 ? 'learner' : 'voter'),
    );
    const replicas = [...known, ...fresh];
    if (!replicas.some(({ role, state }) => role === 'voter' && (state === 'settled' || state === 'joining'))) {
      replicas.push(replica(members + given.newCount + 1, 'joining'));
    }
    const actual = configuration(
      Array.from({ length: given.voterCount }, (_, at) => at + 1),
      Array.from({ length: given.learnerCount }, (_, at) => given.voterCount + at + 1),
    );
    const joint = given.outgoing ? { votersOutgoing: actual.voters.slice(0, 3), autoLeave: given.autoLeave } : {};
    const down = given.downPicks.map((at) => actual.voters[at]).filter((id) => id !== undefined);
    return {
      desired: partition(replicas, members + given.newCount + 2),
      actual: { ...actual, ...joint },
      leaderPick: given.leaderPick,
      autoLeave: given.autoLeave,
      down: [...new Set(down)],
    };
  });

/** Walks on until nothing is left to be done, or the step is to wait; answers where that was and how. */
function walk({ desired, actual, leaderPick, autoLeave, down }: Situation) {
  const isDown = new Set(down);
  const isUp = (id: ReplicaId): boolean => !isDown.has(id);
  const everybody = [
    ...actual.voters,
    ...actual.votersOutgoing,
    ...actual.learners,
    ...desired.replicas.map((one) => one.replicaId),
  ];
  const healthy = new Set(everybody.filter(isUp));
  let conf = actual;
  const electable = conf.voters.filter(isUp);
  let leader = electable[leaderPick % Math.max(1, electable.length)];
  const couldServe = isServing(conf, healthy);
  for (let steps = 0; leader !== undefined && couldServe; steps++) {
    expect(steps, 'it comes to an end').toBeLessThan(60);
    if (conf.votersOutgoing.length > 0 && conf.autoLeave) conf = left(conf);
    const step = nextStep(desired, conf, { leader, changePending: false, healthy, caughtUp: healthy });
    if (step.type === 'done' || step.type === 'wait') return { conf, leader, step, couldServe };
    if (step.type === 'change') conf = applied(conf, step, autoLeave);
    else if (step.type === 'leave-joint') conf = left(conf);
    else {
      expect(conf.voters).toContain(step.to);
      expect(healthy.has(step.to)).toBe(true);
      leader = step.to;
    }
    expect(isServing(conf, healthy), 'a majority of healthy voters stays').toBe(true);
    // Nobody is removed while it leads.
    expect([...conf.voters, ...conf.votersOutgoing]).toContain(leader);
  }
  return { conf, leader, step: undefined, couldServe };
}

describe('from any configuration', () => {
  test('repeated steps reach the desired one when everybody is well', () => {
    let changed = 0;
    fc.assert(
      fc.property(situation, (given) => {
        const { conf, step } = walk({ ...given, down: [] });
        expect(textOf(step!)).toBe('done');
        const wanted = given.desired.replicas.filter(({ state }) => state === 'settled' || state === 'joining');
        const ids = (role: ReplicaRole): number[] =>
          wanted.filter((one) => one.role === role).map(({ replicaId }) => replicaId);
        expect(conf.voters.toSorted((a, b) => a - b)).toEqual(ids('voter').toSorted((a, b) => a - b));
        expect(conf.learners.toSorted((a, b) => a - b)).toEqual(ids('learner').toSorted((a, b) => a - b));
        if (conf.voters.join() !== given.actual.voters.join()) changed += 1;
      }),
      { numRuns: 2_000 },
    );
    expect(changed).toBeGreaterThan(400);
  });

  test('no step takes the majority of healthy voters, and those that wait say why', () => {
    const reasons = new Set<string>();
    fc.assert(
      fc.property(situation, (given) => {
        const { step, couldServe } = walk(given);
        if (couldServe && step?.type === 'wait') reasons.add(step.reason);
      }),
      { numRuns: 2_000 },
    );
    expect([...reasons].sort()).toEqual(['no-successor', 'quorum-at-risk']);
  });
});

test('a replica counts as removed only when it was in the group: one that was not is spent first', () => {
  // The leader was replaced without noticing: 4 is a voter by now, with 2 and 3.
  const desired = partition([replica(2), replica(3), replica(5, 'joining'), replica(4, 'leaving')]);
  const outdated = configuration([1, 2, 3]);
  expect(placementReports(desired, outdated, facts(1, [1]))).toEqual([]);
  // One that was given up before it came in: nobody can add it any more, and then it is reported.
  const never = partition([replica(1), replica(2), replica(3), replica(4, 'leaving')]);
  const before = configuration([1, 2, 3]);
  expect(placementReports(never, before, facts(1, [1, 2, 3]))).toEqual([]);
  expect(textOf(nextStep(never, before, facts(1, [1, 2, 3])))).toBe('remove 4');
  const after = { ...before, highestReplicaId: 4 };
  expect(placementReports(never, after, facts(1, [1, 2, 3]))).toEqual([{ type: 'replica-removed', replicaId: 4 }]);
  expect(textOf(nextStep(never, after, facts(1, [1, 2, 3])))).toBe('done');
  // Not before a lower one that is wanted is in.
  const both = partition([replica(1), replica(2), replica(4, 'joining'), replica(5, 'leaving')]);
  expect(textOf(nextStep(both, configuration([1, 2]), facts(1, [1, 2])))).toBe('add-learner 4');
});
