import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import type { CallContext, CallMethod } from '../../src/transport/index.js';
import { connectAll, isConnected, startNode, statusOf, until, type TestNode } from './support/nodes.js';

const echo: CallMethod = {
  kind: 'unary',
  access: 'members',
  requestBytesMax: 1 << 20,
  handle: async (request) => request,
};

/** Two nodes, of which the second serves the methods. */
async function pair(methods: Readonly<Record<string, CallMethod>>): Promise<[TestNode, TestNode]> {
  const [one, two] = [await startNode(1), await startNode(2)];
  for (const [name, method] of Object.entries(methods)) two.links.handle(name, method);
  connectAll([one, two]);
  await until(() => isConnected(one, two), 'the link');
  return [one, two];
}

const bytes = (length: number): Uint8Array => new Uint8Array(length).map((_, index) => index % 251);
const never = (): Promise<never> => new Promise(() => {});

describe('calls with one answer', () => {
  it('carry bytes of any size both ways, many at a time', async () => {
    const [one, two] = await pair({ echo });
    const sizes = [0, 1, 16_384, 100_000, 1 << 20];
    const answers = await Promise.all(sizes.map((size) => one.links.call(two.id, 'echo', bytes(size))));
    expect(answers.map((answer, index) => Buffer.compare(answer, bytes(sizes[index] ?? 0)))).toEqual(
      sizes.map(() => 0),
    );
    expect(statusOf(one, two).callsUnderWay).toBe(0);
  });

  it('wait for the first attempt to connect', async () => {
    const [one, two] = [await startNode(1), await startNode(2)];
    two.links.handle('echo', echo);
    one.links.setPeer(two.id, two.address);
    expect(await one.links.call(two.id, 'echo', bytes(3))).toEqual(Buffer.from(bytes(3)));
  });

  it('bring back the errors of the handler', async () => {
    const full = new LogboomError('QUEUE_FULL', 'no room', { facts: { limit: 3 }, retryAfterMs: 20 });
    const method = (handle: () => Promise<never>): CallMethod => ({ ...echo, kind: 'unary', handle });
    const [one, two] = await pair({
      full: method(() => Promise.reject(full)),
      bug: method(() => Promise.reject(new Error('secret detail'))),
    });
    const call = (name: string): Promise<Uint8Array> => one.links.call(two.id, name, bytes(1));
    await expect(call('full')).rejects.toMatchObject({ reason: 'QUEUE_FULL', facts: { limit: 3 }, retryAfterMs: 20 });
    await expect(call('bug')).rejects.toMatchObject({
      reason: 'INTERNAL',
      message: expect.not.stringContaining('secret') as string,
    });
    await expect(call('nothing')).rejects.toMatchObject({ reason: 'UNIMPLEMENTED' });
    expect(isConnected(one, two)).toBe(true);
  });

  it('end at their deadline and when the caller gives up, and tell the handler', async () => {
    const ended: string[] = [];
    const hang = async (_request: Uint8Array, { signal }: CallContext): Promise<never> => {
      signal.addEventListener('abort', () => ended.push((signal.reason as LogboomError).reason));
      return never();
    };
    const [one, two] = await pair({ hang: { ...echo, kind: 'unary', handle: hang } });
    await expect(one.links.call(two.id, 'hang', bytes(1), { timeoutMs: 50 })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    await until(() => ended.length === 1, 'the handler to be told');
    const abort = new AbortController();
    const call = one.links.call(two.id, 'hang', bytes(1), { signal: abort.signal });
    setTimeout(() => abort.abort(), 30);
    await expect(call).rejects.toMatchObject({ reason: 'CANCELLED' });
    await until(() => ended.length === 2, 'the handler to be told');
    expect(ended[1]).toBe('CANCELLED');
    await expect(one.links.call(two.id, 'hang', bytes(1), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      reason: 'CANCELLED',
    });
  });

  it('that give up in thousands leave the session alive', async () => {
    const [one, two] = await pair({ echo, hang: { ...echo, kind: 'unary', handle: never } });
    const abort = new AbortController();
    const calls = Array.from({ length: 3000 }, () =>
      one.links.call(two.id, 'hang', bytes(1), { signal: abort.signal }),
    );
    const settled = Promise.allSettled(calls);
    abort.abort();
    await settled;
    expect(await one.links.call(two.id, 'echo', bytes(3))).toHaveLength(3);
    expect(one.losses).toEqual([]);
  });

  it('refuse requests and answers above their limits', async () => {
    const [one, two] = await pair({ echo });
    const request = bytes((1 << 20) + 1);
    await expect(one.links.call(two.id, 'echo', request)).rejects.toMatchObject({ reason: 'MESSAGE_TOO_LARGE' });
    const options = { responseBytesMax: 99 };
    await expect(one.links.call(two.id, 'echo', bytes(100), options)).rejects.toMatchObject({
      reason: 'MESSAGE_TOO_LARGE',
    });
    expect(await one.links.call(two.id, 'echo', bytes(99), options)).toHaveLength(99);
  });

  it('end with an unknown outcome when the other node goes', async () => {
    const [one, two] = await pair({ hang: { ...echo, kind: 'unary', handle: never } });
    const call = one.links.call(two.id, 'hang', bytes(1));
    const refused = expect(call).rejects.toMatchObject({ reason: /SHUTTING_DOWN|NODE_UNREACHABLE/ });
    setTimeout(() => void two.links.stop(), 50);
    await refused;
  });

  it('are served to the end by a node that drains, which takes no new ones', async () => {
    const slow = (): Promise<Uint8Array> => new Promise((resolve) => setTimeout(() => resolve(bytes(4)), 150));
    const [one, two] = await pair({ echo, slow: { ...echo, kind: 'unary', handle: slow } });
    const call = one.links.call(two.id, 'slow', bytes(1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const drained = two.links.drain(5000);
    await expect(one.links.call(two.id, 'echo', bytes(1))).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
    await drained;
    expect(await call).toHaveLength(4);
  });
});

describe('calls before membership', () => {
  it('reach open methods by address alone, and no others', async () => {
    const stranger = await startNode(1, { identity: { nodeId: undefined, clusterId: undefined } });
    const two = await startNode(2, { admit: () => new LogboomError('NODE_MISMATCH', 'nobody') });
    let seen: string | undefined;
    const probe = async (_: Uint8Array, { hello }: CallContext): Promise<Uint8Array> => {
      seen = `${hello.incarnation} ${hello.clusterId}`;
      return bytes(2);
    };
    two.links.handle('probe', { kind: 'unary', access: 'open', requestBytesMax: 100, handle: probe });
    two.links.handle('echo', echo);
    expect(await stranger.links.callAt(two.address, 'probe', bytes(1))).toHaveLength(2);
    expect(seen).toBe('i1 undefined');
    await expect(stranger.links.callAt(two.address, 'echo', bytes(1))).rejects.toMatchObject({
      reason: 'CLUSTER_MISMATCH',
    });
    await expect(stranger.links.callAt({ host: '127.0.0.1', port: 1 }, 'probe', bytes(1))).rejects.toMatchObject({
      reason: 'NODE_UNREACHABLE',
      facts: { outcome: 'not-sent' },
    });
  });
});

describe('calls with many answers', () => {
  /** Counts what it was asked for. */
  const counter = (size: number, count: number): { made: number; ended: boolean; method: CallMethod } => {
    const state = { made: 0, ended: false };
    const handle = async function* (): AsyncGenerator<Uint8Array> {
      try {
        for (; state.made < count; state.made++) yield bytes(size);
      } finally {
        state.ended = true;
      }
    };
    return Object.assign(state, { method: { ...echo, kind: 'stream' as const, handle } });
  };

  it('give all of them in order, and then end or fail', async () => {
    const handle = async function* (request: Uint8Array): AsyncGenerator<Uint8Array> {
      for (let length = 0; length < 5; length++) yield bytes(length * 10_000);
      if (request.length > 0) throw new LogboomError('RECORD_TRIMMED', 'gone', { facts: { firstSeq: 9 } });
    };
    const [one, two] = await pair({ some: { ...echo, kind: 'stream', handle } });
    const lengths: number[] = [];
    for await (const message of one.links.callStream(two.id, 'some', bytes(0))) lengths.push(message.length);
    expect(lengths).toEqual([0, 10_000, 20_000, 30_000, 40_000]);
    const failing = async (): Promise<void> => {
      for await (const message of one.links.callStream(two.id, 'some', bytes(1))) lengths.push(message.length);
    };
    await expect(failing()).rejects.toMatchObject({ reason: 'RECORD_TRIMMED', facts: { firstSeq: 9 } });
    expect(lengths).toHaveLength(10);
  });

  it('come no faster than they are read, and stop when the reader leaves', async () => {
    const source = counter(100_000, 100_000);
    const [one, two] = await pair({ count: source.method, echo });
    const stream = one.links.callStream(two.id, 'count', bytes(1));
    for (let read = 0; read < 10; read++) await stream.next();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const made = source.made;
    // A window of 8 MiB, and what sockets hold.
    expect(made).toBeLessThan(250);
    expect(await one.links.call(two.id, 'echo', bytes(3))).toHaveLength(3);
    for (let read = 0; read < 300; read++) await stream.next();
    expect(source.made).toBeGreaterThan(made);
    await stream.return();
    await until(() => source.ended, 'the handler to end');
    expect(source.made).toBeLessThan(1000);
    expect(statusOf(one, two).callsUnderWay).toBe(0);
  });
});
