import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId } from '../../src/base/ids.js';
import { backoffMs } from '../../src/transport/backoff.js';
import { decodeError, encodeError } from '../../src/transport/error-codec.js';
import { hellosDisagree, helloHeaders, readHello, type LinkIdentity } from '../../src/transport/identity.js';
import { LogRate } from '../../src/transport/log-rate.js';
import { resolveLinkOptions } from '../../src/transport/options.js';
import { OutgoingQueue } from '../../src/transport/outgoing-queue.js';
import { CallBudget } from '../../src/transport/http2/call-budget.js';
import { appendOf, heartbeat } from './support/nodes.js';

const [p1, p2] = [asPartitionId(1), asPartitionId(2)];

describe('the queue of a peer', () => {
  it('holds messages and bytes within its limits, in order, whatever is offered and taken', () => {
    const step = fc.oneof(fc.record({ offer: fc.nat(3000) }), fc.record({ take: fc.integer({ min: 1, max: 4000 }) }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const limits = { messagesMax: 10, bytesMax: 6000 };
        const queue = new OutgoingQueue(limits);
        const waiting: number[] = [];
        let lost = 0;
        for (const [index, each] of steps.entries()) {
          if ('offer' in each) {
            if (queue.offer(p1, appendOf(new Uint8Array(each.offer), index + 1)) === 'queued') waiting.push(index + 1);
            else lost += 1;
          } else {
            const { deliveries, sizes } = queue.take(each.take);
            expect(deliveries.length > 0).toBe(waiting.length > 0);
            expect(sizes.length).toBe(deliveries.length);
            const lsns = deliveries.map(({ message }) => (message.type === 'append' ? message.previousLsn + 1 : 0));
            expect(lsns).toEqual(waiting.splice(0, deliveries.length));
          }
          expect(queue.length).toBe(waiting.length);
          expect(queue.length).toBeLessThanOrEqual(limits.messagesMax);
          expect(queue.bytes).toBeLessThanOrEqual(limits.bytesMax);
        }
        expect(queue.dropped).toBe(lost);
      }),
    );
  });

  it('takes one message above the limit when nothing else waits', () => {
    const queue = new OutgoingQueue({ messagesMax: 10, bytesMax: 100 });
    expect(queue.offer(p1, appendOf(new Uint8Array(500)))).toBe('queued');
    expect(queue.offer(p1, heartbeat(1))).toBe('dropped-first');
  });

  it('tells of a loss once for each partition, and again when it has been less than half full', () => {
    const queue = new OutgoingQueue({ messagesMax: 4, bytesMax: 1e6 });
    for (let round = 0; round < 4; round++) queue.offer(p1, heartbeat(round));
    expect([1, 2, 1, 2].map((id) => queue.offer(asPartitionId(id), heartbeat(9)))).toEqual([
      'dropped-first',
      'dropped-first',
      'dropped',
      'dropped',
    ]);
    expect(queue.take(1).deliveries).toHaveLength(1);
    queue.offer(p2, heartbeat(4));
    expect(queue.offer(p1, heartbeat(9))).toBe('dropped');
    queue.take(1e6);
    for (let round = 0; round < 4; round++) queue.offer(p1, heartbeat(round));
    expect(queue.offer(p1, heartbeat(9))).toBe('dropped-first');
    queue.clear();
    expect([queue.length, queue.bytes, queue.dropped]).toEqual([0, 0, 10]);
  });
});

describe('backoff', () => {
  const limits = { minMs: 50, maxMs: 2000 };
  const at = (attempt: number, random: number): number => backoffMs(limits, attempt, { nextUint32: () => random });
  it('doubles up to its limit, and scatters over the upper half', () => {
    expect([1, 2, 3, 6, 7, 1000].map((attempt) => at(attempt, 0))).toEqual([25, 50, 100, 800, 1000, 1000]);
    expect(at(1, 2 ** 31)).toBe(37.5);
    expect(at(1000, 2 ** 32 - 1)).toBeLessThan(2000);
  });
});

it('a rate of log lines lets the first through, and counts those it holds back', () => {
  const rate = new LogRate(1000);
  expect([0, 10, 999, 1000, 1001, 2500].map((nowMs) => rate.take(nowMs))).toEqual([
    0,
    undefined,
    undefined,
    2,
    undefined,
    1,
  ]);
});

it('a budget of calls refuses what goes over it, but for a single large one', () => {
  const budget = new CallBudget({ callsMax: 2, callBytesMax: 100 });
  const release = budget.enter(asNodeId(2), 500);
  expect(() => budget.enter(asNodeId(2), 1)).toThrow(LogboomError);
  release();
  budget.enter(asNodeId(2), 10);
  budget.enter(asNodeId(2), 10);
  expect(() => budget.enter(asNodeId(2), 1)).toThrow('2 calls with 20 bytes');
});

describe('options', () => {
  it.each([{ queueBytesMax: 0 }, { pingIntervalMs: Number.NaN }, { backoffMinMs: 5000 }, { streamWindowBytes: 100 }])(
    'refuse %o',
    (options) => {
      expect(() => resolveLinkOptions(options)).toThrow('links between nodes');
    },
  );
});

describe('hellos', () => {
  const self: LinkIdentity = { nodeId: asNodeId(1), incarnation: 'a1', clusterId: 'c1', featureLevel: 3 };
  const hello = (change: Partial<LinkIdentity>, to?: number) =>
    readHello(helloHeaders({ ...self, nodeId: asNodeId(2), ...change }, to === undefined ? undefined : asNodeId(to)));

  it('travel in headers', () => {
    expect(hello({ featureLevel: 0 }, 1)).toEqual({
      linkVersion: 1,
      nodeId: 2,
      toNodeId: 1,
      incarnation: 'a1',
      clusterId: 'c1',
      featureLevel: 0,
      takesPresence: true,
    });
    const { 'logboom-presence': _presence, ...older } = helloHeaders({ ...self, nodeId: asNodeId(2) }, undefined);
    expect(readHello(older).takesPresence).toBe(false);
    expect(hello({ nodeId: undefined, clusterId: undefined })).toMatchObject({
      nodeId: undefined,
      clusterId: undefined,
    });
  });

  it.each([
    [{}, undefined],
    [{ 'logboom-link-version': '2' }, 'LINK_VERSION_MISMATCH'],
    [{ 'logboom-link-version': '01' }, 'LINK_CORRUPT'],
    [{ 'logboom-incarnation': undefined }, 'LINK_CORRUPT'],
    [{ 'logboom-incarnation': 'a b' }, 'LINK_CORRUPT'],
    [{ 'logboom-node-id': '-1' }, 'LINK_CORRUPT'],
    [{ 'logboom-cluster-id': 'x'.repeat(200) }, 'LINK_CORRUPT'],
  ])('with %o are refused with %s', (change, reason) => {
    const read = () => readHello({ ...helloHeaders(self, undefined), ...change });
    if (reason === undefined) expect(read()).toBeDefined();
    else expect(read).toThrow(expect.objectContaining({ reason }));
  });

  it.each([
    ['members', {}, 1, undefined],
    ['members', {}, 3, 'NODE_MISMATCH'],
    ['members', { clusterId: 'c2' }, 1, 'CLUSTER_MISMATCH'],
    ['members', { clusterId: undefined }, 1, 'CLUSTER_MISMATCH'],
    ['members', { nodeId: undefined }, 1, 'CLUSTER_MISMATCH'],
    ['open', { clusterId: undefined, nodeId: undefined }, undefined, undefined],
    ['open', { clusterId: 'c2' }, undefined, 'CLUSTER_MISMATCH'],
  ] as const)('of %s with %o to %s: %s', (access, change, to, reason) => {
    expect(hellosDisagree(self, hello(change, to), access)?.reason).toBe(reason);
  });

  it('of members are refused while there is no cluster', () => {
    const lonely = { ...self, clusterId: undefined };
    expect(hellosDisagree(lonely, hello({}), 'members')?.reason).toBe('CLUSTER_NOT_FORMED');
    expect(hellosDisagree(lonely, hello({}), 'open')).toBeUndefined();
  });
});

describe('errors on links', () => {
  it('keep reason, facts and retry hint', () => {
    const error = new LogboomError('QUEUE_FULL', 'full', { facts: { limit: 12, queue: 'a' }, retryAfterMs: 50 });
    const back = decodeError(encodeError(error));
    expect({ ...back, message: back.message }).toEqual({ ...error, message: error.message });
    expect(back.retryable).toBe(true);
  });

  it('of a newer build become INTERNAL, and say what they were', () => {
    const body = { reason: 'TOO_NEW', message: 'what', facts: { a: 1 }, retryable: true };
    const back = decodeError(new TextEncoder().encode(JSON.stringify(body)));
    expect(back.reason).toBe('INTERNAL');
    expect(back.message).toBe('TOO_NEW: what');
    expect(back.facts).toEqual({ a: 1, reason: 'TOO_NEW', retryable: 'true' });
  });

  it('are LINK_CORRUPT when they are none', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((json) => new TextEncoder().encode(json)),
        ),
        (body) => {
          expect(decodeError(body).reason).toBe('LINK_CORRUPT');
        },
      ),
    );
  });
});
