import { describe, expect, onTestFinished, test } from 'vitest';
import type { ClusterResponses, PageMessage } from './support/messages.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { batchOf, collect, detailsOf, reasonOf, startTestNode, unary, valuesOf } from './support/test-node.js';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Repeats until it holds. */
async function eventually(holds: () => Promise<boolean> | boolean, timeoutMs = 10_000): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error('it never came about');
    await pause(20);
  }
}

describe('appends in flight', () => {
  test('of unary calls are refused above the limit of the node, with a hint, and pass later', async () => {
    const { call, append } = await startTestNode({
      flags: ['--append-in-flight-items=4', '--append-session-in-flight-items=4'],
    });
    await call('createStream', { name: 's' });
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, (_, index) => append('s', [`r${index}`])));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    const details = detailsOf(refused[0]!.reason);
    expect(details.errorInfo).toMatchObject({
      reason: 'QUEUE_FULL',
      metadata: { limit: 'append.inFlightItems', max: '4' },
    });
    expect(details.retryDelayMs).toBeGreaterThan(0);
    const { stream } = await call('getStream', { name: 's' });
    expect(Number(stream.nextSeq)).toBe(outcomes.length - refused.length);
    await append('s', ['later']);
  });

  test('of a session hold back the client, and none is refused', async () => {
    const { call, streams } = await startTestNode({
      flags: ['--append-session-in-flight-items=5', '--append-in-flight-items=5'],
    });
    await call('createStream', { name: 's' });
    const session = streams.appendSession();
    const { messages, ended } = collect(session);
    for (let index = 0; index < 500; index++)
      session.write({ requestId: index, append: { stream: 's', batch: batchOf([`r${index}`]) } });
    session.end();
    expect(await ended).toBeUndefined();
    expect(messages.map((message) => [message.result, Number(message.ok?.firstSeq)])).toEqual(
      messages.map((_, index) => ['ok', index]),
    );
    expect(messages).toHaveLength(500);
  });

  test('a session that sends and never reads is held back: memory stays bounded', async () => {
    const mib = 2 ** 20;
    const { call, streams, metrics } = await startTestNode({ flags: ['--append-session-in-flight-bytes=9MiB'] });
    await call('createStream', { name: 's', config: { retentionBytes: mib } });
    const identity = (bytes: Buffer): Buffer => bytes;
    const session = streams.makeBidiStreamRequest('/logboom.v1.StreamService/AppendSession', identity, identity);
    session.on('error', () => {});
    // Refused appends cost the server an answer each, and nobody takes them: the client reads one, and no more.
    const filling = Buffer.concat([Buffer.from([0xfa, 0x07, 0xe8, 0x07]), Buffer.alloc(1000)]);
    const request = Buffer.concat([Buffer.from([0x08, 1, 0x12, 9, 0x0a, 7]), Buffer.from('missing'), filling]);
    session.write(request);
    await new Promise<void>((resolve) => session.once('data', () => resolve()));
    session.pause();
    let accepted = 0;
    let acceptedMs = performance.now();
    while (performance.now() - acceptedMs < 1000 && accepted < 20_000) {
      if (session.writableLength >= 64) await pause(5);
      else {
        session.write(request);
        acceptedMs = performance.now();
        if (++accepted % 500 === 0) await pause(0);
      }
    }
    const text = await metrics();
    const answered = Number(/^logboom_append_refused_total\{reason="BATCH_EMPTY"\} (\d+)/m.exec(text)?.[1]);
    // The server took in what its window allows and what answers the windows of HTTP/2 hold; the rest waits at the client.
    expect(accepted).toBeLessThan(20_000);
    expect(answered).toBeLessThan(10_000);
    session.cancel();
    await call('getStream', { name: 's' });
  });
});

describe('a full disk', () => {
  test('refuses appends and new streams, goes on reading and deleting, and recovers by itself', async () => {
    let free = 2 ** 40;
    const disk = { ...nodeEnvironmentParts.disk, freeBytes: async () => free };
    const { call, append, cluster, node } = await startTestNode({
      flags: ['--disk-check-interval-ms=100'],
      start: { environment: { disk } },
    });
    await call('createStream', { name: 's' });
    await append('s', ['a']);
    // Below the mark, and above what the log itself needs for a segment.
    free = 300 * 2 ** 20;
    await eventually(async () => (await reasonOf(append('s', ['b']))) === 'DISK_FULL');
    expect(await reasonOf(call('createStream', { name: 't' }))).toBe('DISK_FULL');
    expect(valuesOf(await call('read', { stream: 's', limit: 1 }))).toEqual(['a']);
    expect((await unary<ClusterResponses>(cluster)('describeCluster', {})).nodes[0]?.state).toContain('disk full');
    const readiness = (await (await fetch(`${node.addresses.http}/readyz`)).json()) as {
      ready: boolean;
      degraded: string[];
    };
    expect(readiness.ready).toBe(true);
    expect(readiness.degraded[0]).toContain('disk full');
    await call('deleteStream', { name: 's' });
    free = 2 ** 40;
    await eventually(async () => (await reasonOf(call('createStream', { name: 's', ifNotExists: true }))) === 'OK');
    await append('s', ['c']);
  });
});

describe('limits of streams and reads', () => {
  test('STREAM_LIMIT_REACHED counts the whole node', async () => {
    const { call } = await startTestNode({ flags: ['--limits-streams=5'] });
    for (let index = 0; index < 5; index++) await call('createStream', { name: `s${index}` });
    try {
      await call('createStream', { name: 'one-more' });
      expect.unreachable();
    } catch (error) {
      expect(detailsOf(error).errorInfo).toMatchObject({ reason: 'STREAM_LIMIT_REACHED', metadata: { max: '5' } });
    }
    expect(await call('createStream', { name: 's3', ifNotExists: true })).toMatchObject({ created: false });
    await call('deleteStream', { name: 's0' });
    await call('createStream', { name: 'one-more' });
  });

  test('pages wait for memory, and are all served', async () => {
    const { call, append } = await startTestNode({
      flags: ['--read-in-flight-bytes=4MiB', '--limits-page-records=50'],
    });
    await call('createStream', { name: 's' });
    await append(
      's',
      Array.from({ length: 60 }, (_, index) => `${index}`.padEnd(10_000, 'x')),
    );
    const pages = await Promise.all(Array.from({ length: 50 }, () => call('read', { stream: 's' })));
    for (const page of pages) expect(page.recordCount).toBe(50);
    expect(await reasonOf(call('read', { stream: 's', limit: 51 }))).toBe('INVALID_ARGUMENT');
  });

  test('above read.tails a tail is refused', async () => {
    const { call, streams } = await startTestNode({ flags: ['--read-tails=1'] });
    await call('createStream', { name: 's' });
    const first = streams.tail({ stream: 's' });
    const messages = collect(first);
    await messages.until(1);
    expect(detailsOf(await collect(streams.tail({ stream: 's' })).ended).errorInfo.reason).toBe('QUEUE_FULL');
    first.cancel();
    await messages.ended;
    await eventually(async () => {
      const next = streams.tail({ stream: 's' });
      const got = collect(next);
      const refused = await Promise.race([got.until(1).then(() => false), got.ended.then(() => true)]);
      next.cancel();
      return !refused;
    });
  });
});

describe('tails', () => {
  test('without news there is a sign of life', async () => {
    const { call, streams } = await startTestNode({ flags: ['--read-tail-keepalive-ms=200ms'] });
    await call('createStream', { name: 's' });
    const tail = streams.tail({ stream: 's' });
    const { messages, until } = collect(tail);
    const startedMs = performance.now();
    await until(4);
    expect(performance.now() - startedMs).toBeGreaterThan(500);
    expect(messages.every((message) => message.recordCount === 0 && message.nextPageToken !== '')).toBe(true);
    tail.cancel();
  });

  test('a slow reader misses nothing, and is told when retention overtakes it', async () => {
    const { call, streams, append } = await startTestNode({
      flags: ['--read-tail-bytes=64KiB', '--state-store-flush-age-ms=100ms'],
    });
    await call('createStream', { name: 's', config: {} });
    const slow = streams.tail({ stream: 's', fromSeq: 0 });
    let overtaken: (error: unknown) => void = () => {};
    const ended = new Promise((resolve) => (overtaken = resolve));
    slow.on('error', overtaken);
    const value = 'x'.repeat(20_000);
    const seen: number[] = [];
    const take = (message: PageMessage): void => {
      for (const slice of message.batches)
        for (let index = 0; index < slice.windowCount; index++)
          seen.push(Number(slice.firstSeq) + slice.windowOffset + index);
    };
    // The first message is the sign that the tail has begun. (A client of grpc-js that has not read anything yet takes in
    // whatever comes.)
    await new Promise<void>((resolve) => slow.once('data', () => resolve()));
    slow.pause();
    for (let index = 0; index < 200; index++)
      await append(
        's',
        Array.from({ length: 5 }, () => value),
      );
    // 20 MB were appended: more than the windows of HTTP/2 hold.
    await call('updateStream', { name: 's', retentionBytes: 200_000 });
    await eventually(async () => Number((await call('getStream', { name: 's' })).stream.firstSeq) > 950);
    slow.on('data', take);
    slow.resume();
    const error = await ended;
    expect(detailsOf(error).errorInfo.reason).toBe('RECORD_TRIMMED');
    expect(Number(detailsOf(error).errorInfo.metadata['first_seq'])).toBeGreaterThan(950);
    expect(seen).toEqual(seen.map((_, index) => index));
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.length).toBeLessThan(950);
  });
});

test('thirty tails and sessions at once: no warning of Node about leaks, and all end when the node drains', async () => {
  const warned: Error[] = [];
  const onWarning = (warning: Error): void => void warned.push(warning);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const { node, call, streams } = await startTestNode();
  await call('createStream', { name: 's' });
  const tails = Array.from({ length: 30 }, () => collect(streams.tail({ stream: 's' })));
  const sessions = Array.from({ length: 30 }, () => {
    const session = streams.appendSession();
    session.write({ requestId: 1, append: { stream: 's', batch: batchOf(['x']) } });
    return collect(session);
  });
  await Promise.all([...tails, ...sessions].map(({ until }) => until(1)));
  await node.drain();
  for (const { ended } of [...tails, ...sessions])
    expect(detailsOf(await ended).errorInfo.reason).toBe('SHUTTING_DOWN');
  expect(warned).toEqual([]);
});

describe('retention', () => {
  test('by bytes and by age moves the first seq, and the space comes back', async () => {
    const { call, append, cluster, metrics } = await startTestNode({ flags: ['--state-store-flush-age-ms=100ms'] });
    await call('createStream', { name: 'bytes', config: { retentionBytes: 50_000 } });
    await call('createStream', { name: 'age', config: { retentionAgeMs: 300 } });
    for (let index = 0; index < 50; index++) await append('bytes', ['y'.repeat(10_000)]);
    await append('age', ['old', 'old']);
    await pause(400);
    await append('age', ['new']);
    await eventually(async () => Number((await call('getStream', { name: 'bytes' })).stream.firstSeq) >= 45);
    await eventually(async () => Number((await call('getStream', { name: 'age' })).stream.firstSeq) >= 2);
    expect(await reasonOf(call('read', { stream: 'bytes', fromSeq: 0 }))).toBe('RECORD_TRIMMED');
    const { stream } = await call('getStream', { name: 'bytes' });
    expect(Number(stream.storedBytes)).toBeLessThanOrEqual(50_000);
    expect(Number(stream.nextSeq)).toBe(50);
    await eventually(async () => /logboom_retention_deleted_batches_total \d\d/.test(await metrics()));
    const { partitions } = await unary<ClusterResponses>(cluster)('listPartitions', {});
    for (const { replicas } of partitions) expect(replicas[0].fault).toBe('');
  });
});
