/** Who is let in by itself, who waits, and who is refused. */
import { expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asNodeId } from '../../src/base/ids.js';
import { decodeJoinAnswer, encodeJoinRequest } from '../../src/server/cluster/join-call.js';
import { JoinDesk } from '../../src/server/cluster/join-desk.js';
import { Cluster, describeNode, initialize } from '../metadata/support/cluster.js';
import { ManualClock } from './support/manual-clock.js';
import type { JoinDeskParts } from '../../src/server/cluster/join-desk.js';

/** @param leader when it is not the node itself: what that answers */
function deskOf(sharedName: string, leader?: () => Promise<Uint8Array>): { desk: JoinDesk; proposed: string[] } {
  const cluster = new Cluster();
  cluster.accept(
    initialize(
      [1, 2, 3].map((id) => describeNode(id)),
      2,
      3,
    ),
  );
  const proposed: string[] = [];
  const desk = new JoinDesk({
    clock: new ManualClock(),
    nodeId: asNodeId(1),
    proposals: {
      isLeader: leader === undefined,
      propose: async ({ type }: { type: string }) => void proposed.push(type),
    } as unknown as JoinDeskParts['proposals'],
    state: () => cluster.state,
    record: () => ({ clusterId: cluster.state.clusterId }) as ReturnType<JoinDeskParts['record']>,
    leader: () => asNodeId(leader === undefined ? 1 : 2),
    connected: () => [],
    sharedName,
    call: leader ?? (async () => new Uint8Array(0)),
    prepare: () => undefined,
  });
  return { desk, proposed };
}

/** @param certifiedFor names of the certificate that the node shows; undefined: links are plain */
async function ask(desk: JoinDesk, id: number, certifiedFor: readonly string[] | undefined) {
  const node = { ...describeNode(id), incarnation: id.toString(16).padStart(14, '0'), linkAddress: `n${id}:7402` };
  const door = desk.door as { handle: (request: Uint8Array, caller: object) => Promise<Uint8Array> };
  const caller = {
    hello: { nodeId: node.id, incarnation: node.incarnation },
    isCertifiedFor: certifiedFor && ((host: string) => certifiedFor.includes(host)),
  };
  return decodeJoinAnswer(await door.handle(encodeJoinRequest(node), caller));
}

test('where links are plain, whoever reaches them joins', async () => {
  const { desk, proposed } = deskOf('');
  expect(await ask(desk, 4, undefined)).toMatchObject({ type: 'wait' });
  expect(proposed).toEqual(['register-node']);
});

test('the name that nodes share lets in whose certificate carries it, and nobody else', async () => {
  const { desk, proposed } = deskOf('nodes.example');
  await expect(ask(desk, 4, ['n4', 'client.example'])).rejects.toMatchObject({ reason: 'NODE_CERTIFICATE_MISMATCH' });
  expect(proposed).toEqual([]);
  await ask(desk, 4, ['nodes.example']);
  expect(proposed).toEqual(['register-node']);
});

test('a certificate of its host makes it wait for an operator; that many wait costs no memory without end', async () => {
  const { desk, proposed } = deskOf('');
  await expect(ask(desk, 4, ['n5'])).rejects.toMatchObject({ reason: 'NODE_CERTIFICATE_MISMATCH' });
  expect(await ask(desk, 4, ['n4'])).toMatchObject({
    type: 'wait',
    because: expect.stringContaining('cluster add 4') as string,
  });
  expect(desk.pending.map(({ node }) => node.id)).toEqual([4]);
  for (let id = 5; id < 205; id++) await ask(desk, id, [`n${id}`]);
  expect(desk.pending.length).toBeLessThanOrEqual(64);
  expect(desk.pending.at(-1)?.node.id).toBe(204);
  expect(proposed).toEqual([]);
});

test('a member that was removed itself does not pass its own removal on to a node that asks it', async () => {
  const removed = (node: number) => async () => {
    throw new LogboomError('NODE_REMOVED', `node ${node} was removed`, { facts: { node } });
  };
  await expect(ask(deskOf('', removed(1)).desk, 4, undefined)).rejects.toMatchObject({ reason: 'NOT_LEADER' });
  await expect(ask(deskOf('', removed(4)).desk, 4, undefined)).rejects.toMatchObject({ reason: 'NODE_REMOVED' });
  // A second node under this node's id hears what the cluster thinks of it.
  await expect(ask(deskOf('', removed(1)).desk, 1, undefined)).rejects.toMatchObject({ reason: 'NODE_REMOVED' });
});
