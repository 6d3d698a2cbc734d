import { assert } from '../base/assert.js';
import { asReplicaId, type ReplicaId } from '../base/ids.js';
import type { ConfChange, ConfChangeStep, ConfState } from './types.js';
import { ByteReader, ByteWriter, RaftDecodeError, varintBytes } from './wire.js';

/** A change that the current configuration does not allow. */
export class ConfChangeError extends Error {
  override readonly name = 'ConfChangeError';
}

export const emptyConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

const noContext = new Uint8Array(0);
export const leaveJoint: ConfChange = { transition: 'auto', steps: [], context: noContext };

export function isJoint(conf: ConfState): boolean {
  return conf.votersOutgoing.length > 0;
}

/** Voter now or, in a joint configuration, before. */
export function isVoter(conf: ConfState, replica: ReplicaId): boolean {
  return conf.voters.includes(replica) || conf.votersOutgoing.includes(replica);
}

/** Everyone the leader sends to, ascending. */
export function membersOf(conf: ConfState): ReplicaId[] {
  return sorted(new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners, ...conf.learnersNext]));
}

export function votersOf(conf: ConfState): ReplicaId[] {
  return isJoint(conf) ? sorted(new Set([...conf.voters, ...conf.votersOutgoing])) : [...conf.voters];
}

/**
 * The configuration after `change`. The transition decides how: leave a joint configuration, enter one, or take a
 * single step (dissertation 4.1 and 4.3).
 *
 * @throws ConfChangeError when the change does not fit `conf`
 */
export function changeConf(conf: ConfState, change: ConfChange): ConfState {
  if (change.transition === 'auto' && change.steps.length === 0) return leaveJointConf(conf);
  if (change.transition !== 'auto' || change.steps.length > 1) {
    return enterJointConf(conf, change.steps, change.transition !== 'explicit');
  }
  return simpleConf(conf, change.steps);
}

/** At most one voter changes: majorities before and after share a member, so no joint configuration is needed. */
export function simpleConf(conf: ConfState, steps: readonly ConfChangeStep[]): ConfState {
  if (isJoint(conf)) throw new ConfChangeError("can't apply simple config change in joint config");
  const draft = draftOf(conf);
  applySteps(draft, steps);
  const before = new Set(conf.voters);
  let changed = 0;
  for (const voter of draft.voters) if (!before.has(voter)) changed += 1;
  for (const voter of before) if (!draft.voters.has(voter)) changed += 1;
  if (changed > 1) throw new ConfChangeError('more than one voter changed without entering joint config');
  return finish(draft);
}

/** The present voters become the outgoing half; the steps change the incoming half. */
export function enterJointConf(conf: ConfState, steps: readonly ConfChangeStep[], autoLeave: boolean): ConfState {
  if (isJoint(conf)) throw new ConfChangeError('config is already joint');
  if (conf.voters.length === 0) throw new ConfChangeError("can't make a zero-voter config joint");
  const draft = draftOf(conf);
  draft.outgoing = new Set(conf.voters);
  draft.autoLeave = autoLeave;
  applySteps(draft, steps);
  return finish(draft);
}

/** Only the incoming half counts from now on; voters that were to become learners do. */
export function leaveJointConf(conf: ConfState): ConfState {
  if (!isJoint(conf)) throw new ConfChangeError("can't leave a non-joint config");
  const draft = draftOf(conf);
  for (const replica of draft.learnersNext) draft.learners.add(replica);
  draft.learnersNext.clear();
  draft.outgoing.clear();
  draft.autoLeave = false;
  return finish(draft);
}

interface Draft {
  voters: Set<ReplicaId>;
  outgoing: Set<ReplicaId>;
  learners: Set<ReplicaId>;
  learnersNext: Set<ReplicaId>;
  autoLeave: boolean;
}

function draftOf(conf: ConfState): Draft {
  return {
    voters: new Set(conf.voters),
    outgoing: new Set(conf.votersOutgoing),
    learners: new Set(conf.learners),
    learnersNext: new Set(conf.learnersNext),
    autoLeave: conf.autoLeave,
  };
}

function applySteps(draft: Draft, steps: readonly ConfChangeStep[]): void {
  for (const { type, replica } of steps) {
    // Replica 0 is "none": a host neutralizes a step by setting it.
    if (replica === 0 || type === 'update') continue;
    if (type === 'add-voter') {
      forget(draft, replica);
      draft.voters.add(replica);
    } else if (type === 'remove') {
      forget(draft, replica);
    } else if (!draft.learners.has(replica)) {
      forget(draft, replica);
      // One that still votes in the outgoing half becomes a learner when the joint configuration is left: nobody is
      // voter and learner at once.
      (draft.outgoing.has(replica) ? draft.learnersNext : draft.learners).add(replica);
    }
  }
  if (draft.voters.size === 0) throw new ConfChangeError('removed all voters');
}

function forget(draft: Draft, replica: ReplicaId): void {
  draft.voters.delete(replica);
  draft.learners.delete(replica);
  draft.learnersNext.delete(replica);
}

function finish(draft: Draft): ConfState {
  const conf: ConfState = {
    voters: sorted(draft.voters),
    votersOutgoing: sorted(draft.outgoing),
    learners: sorted(draft.learners),
    learnersNext: sorted(draft.learnersNext),
    autoLeave: draft.autoLeave,
  };
  assertValidConf(conf);
  return conf;
}

export function assertValidConf(conf: ConfState): void {
  for (const learner of conf.learners) {
    assert(!isVoter(conf, learner), () => `replica ${learner} is voter and learner`);
  }
  for (const next of conf.learnersNext) {
    assert(conf.votersOutgoing.includes(next), () => `replica ${next} is to become a learner but is no outgoing voter`);
  }
  assert(isJoint(conf) || !conf.autoLeave, () => 'automatic leave outside of a joint configuration');
}

function sorted(replicas: Iterable<ReplicaId>): ReplicaId[] {
  return [...replicas].sort((a, b) => a - b);
}

const stepTypes = ['add-voter', 'remove', 'update', 'add-learner'] as const;
const transitions = ['auto', 'implicit', 'explicit'] as const;
const formatVersion = 1;

/**
 * Bytes of a configuration entry; none for leaving a joint configuration.
 *
 * ```
 * u8 version = 1 | u8 transition | varint steps | steps x (u8 type, varint replica) | varint length, context
 * ```
 */
export function encodeConfChange(change: ConfChange): Uint8Array {
  if (change.transition === 'auto' && change.steps.length === 0 && change.context.length === 0) return noContext;
  let size = 2 + varintBytes(change.steps.length) + varintBytes(change.context.length) + change.context.length;
  for (const step of change.steps) size += 1 + varintBytes(step.replica);
  const writer = new ByteWriter(size);
  writer.byte(formatVersion);
  writer.byte(transitions.indexOf(change.transition));
  writer.varint(change.steps.length);
  for (const step of change.steps) {
    writer.byte(stepTypes.indexOf(step.type));
    writer.varint(step.replica);
  }
  writer.blob(change.context);
  return writer.bytes;
}

/** @throws RaftDecodeError when the bytes are no configuration change */
export function decodeConfChange(data: Uint8Array): ConfChange {
  if (data.length === 0) return leaveJoint;
  const reader = new ByteReader(data);
  const version = reader.byte();
  if (version !== formatVersion) throw new RaftDecodeError(`configuration change of version ${version}`);
  const transition = transitions[reader.byte()];
  if (transition === undefined) throw new RaftDecodeError('unknown transition');
  const steps: ConfChangeStep[] = [];
  for (let left = reader.count(2); left > 0; left -= 1) {
    const type = stepTypes[reader.byte()];
    if (type === undefined) throw new RaftDecodeError('unknown kind of configuration step');
    steps.push({ type, replica: asReplicaId(reader.varint()) });
  }
  const context = reader.blob();
  reader.end();
  return { transition, steps, context };
}
