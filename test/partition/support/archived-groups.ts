/** Groups of nodes that archive their state, and what there is to do with them. */
import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { MemoryObjectStore } from '../../../cluster-sim/memory-object-store.js';
import { asReplicaId } from '../../../src/base/ids.js';
import { defaultArchivingOptions, defaultReplicaOptions, type ArchivingOptions } from '../../../src/partition/index.js';
import type { ConfChangeStep } from '../../../src/raft/types.js';
import { textsOf } from './list-machine.js';
import { TestGroup, type NodeOptions, type TestNode } from './nodes.js';

const archiving: ArchivingOptions = {
  ...defaultArchivingOptions,
  automatic: false,
  agreementMs: 3000,
  proofMs: 10_000,
  retryMsMin: 100,
  retryMsMax: 1000,
  trimDelayMs: 0,
};

export function archived(objects: MemoryObjectStore | undefined, over: Partial<ArchivingOptions> = {}): NodeOptions {
  return {
    ...(objects === undefined ? {} : { objects }),
    manager: { replica: { ...defaultReplicaOptions, trimMode: 'archived', archiving: { ...archiving, ...over } } },
  };
}

/** Hardly compressible. */
function textOf(at: number, bytes: number): string {
  let text = `x${at}`;
  for (let part = 0; text.length < bytes; part += 1) text += createHash('sha256').update(`${at} ${part}`).digest('hex');
  return text.slice(0, bytes);
}

export async function appendMany(group: TestGroup, count: number, bytes = 100): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    const leader = await group.leader();
    await group.propose(leader, textOf(at, bytes));
  }
}

/** A running group of three that has a leader and its repository. */
export function three(
  seed: number,
  options: NodeOptions,
  body: (group: TestGroup, leader: TestNode) => Promise<void>,
  limitMs = 600_000,
): Promise<void> {
  const group = new TestGroup(seed, 3, options);
  return group.run(async () => {
    await group.startAll();
    const leader = await group.leader();
    if (options.objects !== undefined) {
      await group.until(() => group.nodes.every(({ repository }) => repository?.problem === ''));
    }
    await body(group, leader);
  }, limitMs);
}

/** A group of three that has trimmed its log, and a fourth node, new, that becomes a learner. */
export function newcomer(
  seed: number,
  objects: MemoryObjectStore,
  body: (group: TestGroup, parts: { leader: TestNode; away: TestNode; archivedLsn: number }) => Promise<void>,
): Promise<void> {
  const group = new TestGroup(seed, 4, { ...archived(objects), voters: [1, 2, 3] });
  return group.run(async () => {
    const members = [1, 2, 3].map((id) => group.node(id));
    for (const node of members) await node.start();
    const leader = await group.leader();
    await group.until(() => members.every(({ repository }) => repository?.problem === ''));
    await appendMany(group, 60, 300);
    const { archivedLsn } = await leader.replica.snapshot();
    await trimmedTo(group, archivedLsn);
    await body(group, { leader, away: group.node(4), archivedLsn });
  });
}

export async function trimmedTo(group: TestGroup, lsn: number): Promise<void> {
  for (const node of group.nodes) if (node.manager !== undefined) await node.replica.flush();
  await group.until(() =>
    group.nodes.every(({ manager }) => manager === undefined || manager.replicas[0]!.status.trimPoint >= lsn),
  );
}

export async function expectEqualReplicas(group: TestGroup): Promise<void> {
  const leader = await group.leader();
  const last = leader.replica.status.appliedLsn;
  await group.until(() => group.nodes.every(({ replica }) => replica.status.appliedLsn >= last));
  const [first, ...others] = group.nodes.map(({ replica }) => replica.status.stateHash);
  for (const other of others) expect(other).toEqual(first);
  const texts = await Promise.all(group.nodes.map(({ replica }) => textsOf(replica.reader)));
  for (const one of texts) expect(one).toEqual(texts[0]);
  const outcomes = await Promise.all(group.nodes.map(({ replica }) => replica.verify()));
  for (const outcome of outcomes) expect(outcome.damaged).toEqual([]);
}

export async function changeMembers(
  group: TestGroup,
  steps: readonly (readonly [ConfChangeStep['type'], number])[],
): Promise<void> {
  const leader = await group.leader();
  const lsn = leader.replica.proposeConfChange({
    transition: 'auto',
    steps: steps.map(([type, replica]) => ({ type, replica: asReplicaId(replica) })),
    context: new Uint8Array(0),
  });
  await group.until(() => leader.replica.status.appliedLsn >= lsn);
}

export async function expectNothingLeft(node: TestNode): Promise<void> {
  const disk = node.disk.mount();
  const names = await disk.list('/data/partitions');
  expect(names.filter((name) => name.includes('.'))).toEqual([]);
  expect(await disk.list('/data/partitions/1')).toEqual(['index', 'records']);
}
