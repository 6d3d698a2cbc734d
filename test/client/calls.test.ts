import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { isClientError, isLogboomError, LogboomClient } from '../../src/client/index.js';
import type { ClientOptions } from '../../src/client/index.js';
import { backoffMs, defaultRetry } from '../../src/client/retry.js';
import { LogboomError } from '../../src/base/errors.js';
import { Drop, FakeServer, Refusal } from './fake-server.js';

let server: FakeServer;
let client: LogboomClient;
const quickRetry = { attemptsMax: 4, initialDelayMs: 5, delayMsMax: 20 };
const connect = (options: ClientOptions = {}): LogboomClient =>
  (client = new LogboomClient({ address: server.address, codec: 'none', retry: quickRetry, ...options }));

beforeEach(async () => {
  server = await new FakeServer().start();
  server.add('s');
  connect();
});
afterEach(async () => {
  await client.close().catch(() => {});
  await server.stop();
});

async function unusedAddress(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return `127.0.0.1:${port}`;
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('errors', () => {
  test('a refusal carries its reason, facts, message and retry hint', async () => {
    server.before = (method) => {
      if (method === 'Read') throw new Refusal('RECORD_TRIMMED', { first_seq: '12', stream: 's' });
      if (method === 'GetStream') throw new Refusal('QUEUE_FULL', {}, 7);
    };
    const trimmed = await rejection(client.readPage('s', { fromSeq: 3 }));
    expect(trimmed).toBeInstanceOf(LogboomError);
    expect(trimmed).toMatchObject({
      reason: 'RECORD_TRIMMED',
      facts: { first_seq: '12', stream: 's' },
      message: 'refused: RECORD_TRIMMED',
      retryable: false,
    });
    expect(await rejection(client.streams.get('s'))).toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 7 });
  });

  test('a snapshot is waited for longer than any other call, unless a deadline is given', async () => {
    connect({ deadlineMs: 100 });
    server.onSnapshots = async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { archivedLsn: 7, manifest: 'm' };
    };
    expect(await client.cluster.createSnapshot(3)).toEqual({ archivedLsn: 7, manifest: 'm' });
    expect(await rejection(client.cluster.createSnapshot(3, { deadlineMs: 100 }))).toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    const abort = new AbortController();
    const aborted = client.cluster.createSnapshot(3, { signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 50);
    expect(await rejection(aborted)).toMatchObject({ message: 'enough' });
  });

  test('a snapshot whose answer was lost is asked for again', async () => {
    server.onSnapshots = (method, request: { partition: number }) => {
      if (server.count(method) === 1) throw new Drop('lost');
      return { archivedLsn: request.partition, manifest: 'm' };
    };
    expect(await client.cluster.createSnapshot(3)).toEqual({ archivedLsn: 3, manifest: 'm' });
  });

  test('no server at the address', async () => {
    const address = await unusedAddress();
    connect({ address, retry: { attemptsMax: 2, initialDelayMs: 1 } });
    const error = await rejection(client.streams.get('s'));
    expect(isClientError(error, 'UNREACHABLE')).toBe(true);
    expect((error as Error).message).toContain(address);
    expect((error as Error).message).toContain('ECONNREFUSED');
  });

  test('something else than a Logboom listens there', async () => {
    const other = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    connect({ address: `127.0.0.1:${(other.address() as AddressInfo).port}`, deadlineMs: 2000 });
    const error = await rejection(client.streams.get('s'));
    expect(isClientError(error) || isLogboomError(error, 'DEADLINE_EXCEEDED')).toBe(true);
    other.close();
  });

  test('addresses that are none are refused before anything is sent', () => {
    for (const address of ['', 'localhost', 'localhost:0', 'localhost:70000', 'a:b'])
      expect(() => new LogboomClient({ address }), address).toThrow();
  });
});

describe('retries', () => {
  test('of what is safe to repeat, until it works', async () => {
    server.before = (method, _request, count) => {
      if (method === 'GetStream' && count < 4) throw count % 2 === 0 ? new Drop() : new Refusal('NOT_LEADER');
    };
    expect((await client.streams.get('s')).name).toBe('s');
    expect(server.count('GetStream')).toBe(4);
  });

  test('end after the given number of attempts', async () => {
    server.before = () => {
      throw new Refusal('QUEUE_FULL');
    };
    await expect(client.streams.get('s')).rejects.toSatisfy((error) => isLogboomError(error, 'QUEUE_FULL'));
    expect(server.count('GetStream')).toBe(4);
  });

  test('never follow a final refusal', async () => {
    await expect(client.streams.get('none')).rejects.toSatisfy((error) => isLogboomError(error, 'STREAM_NOT_FOUND'));
    expect(server.count('GetStream')).toBe(1);
  });

  test('never follow an unknown outcome of what must not happen twice', async () => {
    server.after = () => {
      throw new Drop();
    };
    await expect(client.append('s', ['a'])).rejects.toSatisfy((error) => isClientError(error, 'OUTCOME_UNKNOWN'));
    await expect(client.streams.delete('s')).rejects.toSatisfy((error) => isClientError(error, 'CONNECTION_LOST'));
    await expect(client.streams.create('new')).rejects.toSatisfy((error) => isClientError(error, 'CONNECTION_LOST'));
    expect([server.count('Append'), server.count('DeleteStream'), server.count('CreateStream')]).toEqual([1, 1, 1]);
  });

  test('of an append that names its producer store it once', async () => {
    server.after = (method, _request, count) => {
      if (method === 'Append' && count === 1) throw new Drop();
    };
    const producer = { id: 'p', firstRecordNumber: 0 };
    expect(await client.append('s', ['a', 'b'], { producer })).toMatchObject({
      firstSeq: 0,
      lastSeq: 1,
      repeated: true,
    });
    expect(server.values('s')).toEqual(['a', 'b']);
  });

  test('go to the next address when one does not answer', async () => {
    connect({ addresses: [await unusedAddress(), await unusedAddress(), server.address] });
    expect((await client.streams.get('s')).name).toBe('s');
    expect(client.address).toBe(server.address);
  });

  test('back off exponentially within their bounds, and honour hints', () => {
    const options = { ...defaultRetry, initialDelayMs: 100, delayMsMax: 1000 };
    const delays = [1, 2, 3, 4, 5, 20].map((failures) => backoffMs(options, failures, undefined, () => 1));
    expect(delays).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(backoffMs(options, 1, undefined, () => 0)).toBe(50);
    expect(backoffMs(options, 1, new LogboomError('QUEUE_FULL', '', { retryAfterMs: 5000 }), () => 0)).toBe(5000);
  });
});

describe('deadlines and signals', () => {
  test('a call ends at its deadline', async () => {
    server.before = () => new Promise(() => {});
    const startedMs = performance.now();
    await expect(client.streams.get('s', { deadlineMs: 80 })).rejects.toSatisfy((error) =>
      isLogboomError(error, 'DEADLINE_EXCEEDED'),
    );
    expect(performance.now() - startedMs).toBeLessThan(1500);
  });

  test('retries end at the deadline with what went wrong', async () => {
    server.before = () => {
      throw new Refusal('QUEUE_FULL', {}, 400);
    };
    await expect(client.streams.get('s', { deadlineMs: 1000 })).rejects.toSatisfy((error) =>
      isLogboomError(error, 'QUEUE_FULL'),
    );
    expect(server.count('GetStream')).toBeLessThan(4);
  });

  test('a deadline tells how long it was and whom it was for', async () => {
    server.before = () => new Promise(() => {});
    await expect(client.streams.get('s', { deadlineMs: 50 })).rejects.toThrow(
      /the deadline passed after 0\.\d+ s without an answer \(127\.0\.0\.1:\d+\)$/,
    );
  });

  test('an aborted call rejects with the reason, under way, between attempts, and before', async () => {
    server.before = () => new Promise(() => {});
    const underWay = AbortSignal.timeout(30);
    await expect(client.streams.get('s', { signal: underWay })).rejects.toSatisfy((error) => error === underWay.reason);
    server.before = () => {
      throw new Refusal('QUEUE_FULL', {}, 900);
    };
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('changed my mind')), 60);
    await expect(client.streams.get('s', { signal: controller.signal })).rejects.toThrow('changed my mind');
    await expect(client.streams.get('s', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });
});

test('streams are listed over all pages', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e']) await client.streams.create(name, { ifNotExists: true });
  const names = [];
  for await (const stream of client.streams.list()) names.push(stream.name);
  expect(names).toEqual(['a', 'b', 'c', 'd', 'e', 's']);
});
