import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isClientError, isLogboomError, LogboomClient } from '../../src/client/index.js';
import type { ClientOptions } from '../../src/client/index.js';
import { Drop, FakeServer, Refusal } from './fake-server.js';

let server: FakeServer;
let client: LogboomClient;
const quickRetry = { attemptsMax: 6, initialDelayMs: 5, delayMsMax: 20 };

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

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);

describe('batching', () => {
  test('records of one turn go out in one batch, and each learns its own position', async () => {
    const appender = await client.appender('s');
    const results = await Promise.all(numbers(100).map((value) => appender.append(value)));
    expect(results.map((result) => result.seq)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(server.count('AppendSession')).toBe(1);
    expect(appender.appendedRecords).toBe(100);
    expect([appender.firstSeq, appender.lastSeq]).toEqual([0, 99]);
  });

  test('what is pending while the limit of batches is in flight goes out together in the next', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    server.before = (method) => (method === 'AppendSession' ? held : undefined);
    const appender = await client.appender('s', { inFlightBatchesMax: 1 });
    const promises = [appender.append('first')];
    await vi.waitFor(() => expect(server.count('AppendSession')).toBe(1));
    for (const value of numbers(50)) {
      promises.push(appender.append(value));
      await Promise.resolve();
    }
    release();
    await Promise.all(promises);
    expect(server.stream('s').batches.map((batch) => batch.records.length)).toEqual([1, 50]);
  });

  test('batches are cut at their limits of bytes and records, of the server too', async () => {
    server.limits = { ...server.limits, batchRecords: 10 };
    const appender = await client.appender('s', { batchBytesMax: 100 });
    await Promise.all([
      ...numbers(25).map((v) => appender.append(v)),
      appender.append('x'.repeat(300)),
      appender.append('y'),
    ]);
    const sizes = server.stream('s').batches.map((batch) => batch.records.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(server.values('s')).toEqual([...numbers(25), 'x'.repeat(300), 'y']);
  });

  test('values, timestamps and attributes arrive as they were given', async () => {
    const appender = await client.appender('s');
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    await Promise.all([
      appender.append('grüße 😀'),
      appender.append(bytes),
      appender.append(''),
      appender.append({ value: 'v', timestampNanos: -5n, attributes: { host: 'a', ключ: 'ü' } }),
      appender.append({ value: bytes, timestampNanos: 1_700_000_000_123_456_789n }),
    ]);
    const records = [];
    for await (const record of client.read('s')) records.push(record);
    expect(records.map((record) => record.value)).toEqual([
      Buffer.from('grüße 😀'),
      bytes,
      Buffer.alloc(0),
      Buffer.from('v'),
      bytes,
    ]);
    expect(records[3]!.timestampNanos).toBe(-5n);
    expect(records[3]!.attributes).toEqual([
      { key: 'host', value: 'a' },
      { key: 'ключ', value: 'ü' },
    ]);
    expect(records[0]!.timestampNanos).toBeUndefined();
  });

  test('large batches are compressed, small ones and incompressible ones are not', async () => {
    connect({ codec: 'zstd' });
    const appender = await client.appender('s', { batchBytesMax: 200_000 });
    await appender.append('short');
    await appender.append('a log line that repeats itself '.repeat(50));
    await Promise.all(numbers(5000).map((value) => appender.append(`line ${value} of many that are alike`)));
    const noise = Buffer.from(Array.from({ length: 2000 }, () => Math.floor(Math.random() * 256)));
    await appender.append(noise);
    expect(server.codecs[0]).toBe(0);
    expect(server.codecs[1]).toBe(1);
    expect(server.codecs.at(-1)).toBe(0);
    expect(server.codecs.slice(2, -1).every((codec) => codec === 1)).toBe(true);
    expect(server.values('s').slice(2, -1)).toEqual(
      numbers(5000).map((value) => `line ${value} of many that are alike`),
    );
  });
});

describe('exactly once', () => {
  test('answers that are lost with the connection do not make repeats', async () => {
    server.after = (method, _request, count) => {
      if (method === 'AppendSession' && count % 3 === 0) throw new Drop('after storing');
    };
    const appender = await client.appender('s', { batchRecordsMax: 7 });
    const results = await Promise.all(numbers(200).map((value) => appender.append(value)));
    expect(server.values('s')).toEqual(numbers(200));
    expect(results.map((result) => result.seq)).toEqual(Array.from({ length: 200 }, (_, index) => index));
    expect(results.some((result) => result.repeated)).toBe(true);
    expect(server.sessions).toBeGreaterThan(1);
  });

  test('a server that restarts again and again under load loses and repeats nothing', async () => {
    const appender = await client.appender('s', { batchRecordsMax: 5 });
    const promises: Promise<unknown>[] = [];
    for (let round = 0; round < 8; round += 1) {
      for (const value of numbers(40)) promises.push(appender.append(`${round}-${value}`));
      await new Promise((resolve) => setTimeout(resolve, round % 3));
      if (round % 2 === 1) await server.restart();
    }
    await Promise.all(promises);
    const expected = Array.from({ length: 8 }, (_, round) => numbers(40).map((value) => `${round}-${value}`)).flat();
    expect(server.values('s')).toEqual(expected);
  });

  test('batches refused for now, and those that then miss their predecessor, are sent again in order', async () => {
    server.before = (method, _request, count) => {
      if (method === 'AppendSession' && (count === 2 || count === 9)) throw new Refusal('QUEUE_FULL', {}, 5);
    };
    const appender = await client.appender('s', { batchRecordsMax: 3, inFlightBatchesMax: 4 });
    await Promise.all(numbers(60).map((value) => appender.append(value)));
    expect(server.values('s')).toEqual(numbers(60));
    expect(server.sessions).toBe(1);
  });

  test('a retry hint of the server is waited for', async () => {
    const times: number[] = [];
    server.before = (method, _request, count) => {
      if (method !== 'AppendSession') return;
      times.push(performance.now());
      if (count === 1) throw new Refusal('DISK_FULL', {}, 150);
    };
    const appender = await client.appender('s');
    await appender.append('x');
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(149);
  });

  test('an interruption is told once, when it lasts, and so is its end', async () => {
    const told: string[] = [];
    const appender = await client.appender('s', {
      onInterruption: (error) => told.push(isLogboomError(error) ? error.reason : error.message),
      onResumption: () => told.push('resumed'),
    });
    let refuseUntilMs = performance.now() + 200;
    server.before = (method) => {
      if (method === 'AppendSession' && performance.now() < refuseUntilMs) throw new Refusal('QUEUE_FULL', {}, 100);
    };
    await appender.append('a short one');
    expect(told).toEqual([]);
    refuseUntilMs = performance.now() + 1800;
    await appender.append('a long one');
    expect(told).toEqual(['QUEUE_FULL', 'resumed']);
  });

  test('a named producer goes on where the server has it, and fences its former self when asked to', async () => {
    const first = await client.appender('s', { producer: { id: 'p' } });
    await first.append('a');
    const second = await client.appender('s', { producer: { id: 'p', takeOver: true } });
    expect(second.nextRecordNumber).toBe(1);
    expect(second.producer).toEqual({ id: 'p', epoch: 1 });
    await second.append('b');
    await expect(first.append('c')).rejects.toSatisfy((error) => isLogboomError(error, 'PRODUCER_FENCED'));
    expect(server.values('s')).toEqual(['a', 'b']);
  });
});

describe('without a producer', () => {
  test('an append whose answer is lost is reported as unknown, and later ones go on', async () => {
    server.after = (method, _request, count) => {
      if (method === 'AppendSession' && count === 1) throw new Drop();
    };
    const appender = await client.appender('s', { producer: false });
    await expect(appender.append('a')).rejects.toSatisfy((error) => isClientError(error, 'OUTCOME_UNKNOWN'));
    expect((await appender.append('b')).seq).toBe(1);
    expect(server.values('s')).toEqual(['a', 'b']);
  });

  test('what was certainly refused is sent again', async () => {
    server.before = (method, _request, count) => {
      if (method === 'AppendSession' && count < 3) throw new Refusal('QUEUE_FULL', {}, 1);
    };
    const appender = await client.appender('s', { producer: false, batchRecordsMax: 2 });
    await Promise.all(numbers(9).map((value) => appender.append(value)));
    expect(server.values('s')).toEqual(numbers(9));
  });

  test('the unknown outcome of enqueued records is told by the next flush, once', async () => {
    server.after = (method, _request, count) => {
      if (method === 'AppendSession' && count === 1) throw new Drop();
    };
    const appender = await client.appender('s', { producer: false });
    appender.enqueue('a');
    await expect(appender.flush()).rejects.toSatisfy((error) => isClientError(error, 'OUTCOME_UNKNOWN'));
    appender.enqueue('b');
    await appender.flush();
  });
});

describe('failure', () => {
  test('a final refusal fails everything behind it, so that nothing overtakes', async () => {
    server.before = (method, _request, count) => {
      if (method === 'AppendSession' && count === 2) throw new Refusal('FENCING_TOKEN_MISMATCH', { stream: 's' });
    };
    const appender = await client.appender('s', { batchRecordsMax: 1 });
    const outcomes = await Promise.allSettled(numbers(10).map((value) => appender.append(value)));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', ...Array<string>(9).fill('rejected')]);
    await expect(appender.append('more')).rejects.toSatisfy((error) => isLogboomError(error, 'FENCING_TOKEN_MISMATCH'));
    await expect(appender.flush()).rejects.toThrow(/FENCING_TOKEN_MISMATCH/);
    await expect(appender.close()).rejects.toThrow();
  });

  test('a record over the limit is refused alone', async () => {
    server.limits = { ...server.limits, recordBytes: 100 };
    const appender = await client.appender('s');
    const good = appender.append('a');
    await expect(appender.append('x'.repeat(101))).rejects.toSatisfy((error) =>
      isLogboomError(error, 'RECORD_TOO_LARGE'),
    );
    await Promise.all([good, appender.append('b')]);
    expect(server.values('s')).toEqual(['a', 'b']);
  });

  test('no progress for too long gives up with the last error', async () => {
    const appender = await client.appender('s', { giveUpAfterMs: 150 });
    await appender.append('a');
    await server.stop();
    await expect(appender.append('b')).rejects.toSatisfy(
      (error) => isClientError(error, 'UNREACHABLE') || isClientError(error, 'CONNECTION_LOST'),
    );
  });

  test('a server that takes batches and never answers is given up on', async () => {
    server.before = (method) => (method === 'AppendSession' ? new Promise(() => {}) : undefined);
    const appender = await client.appender('s', { giveUpAfterMs: 100 });
    await expect(appender.append('a')).rejects.toSatisfy((error) => isLogboomError(error, 'DEADLINE_EXCEEDED'));
  });

  test('a stream that is not there is told at once', async () => {
    await expect(client.appender('nowhere')).rejects.toSatisfy((error) => isLogboomError(error, 'STREAM_NOT_FOUND'));
  });
});

describe('bounds and ends', () => {
  test('more than may be pending is refused, and ready tells when to go on', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    server.before = (method) => (method === 'AppendSession' ? held : undefined);
    const appender = await client.appender('s', { pendingRecordsMax: 10 });
    const promises = numbers(10).map((value) => appender.append(value));
    expect(appender.full).toBe(true);
    await expect(appender.append('more')).rejects.toSatisfy((error) => isClientError(error, 'APPENDER_FULL'));
    let isReady = false;
    const ready = appender.ready().then(() => (isReady = true));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(isReady).toBe(false);
    release();
    await ready;
    await Promise.all([...promises, appender.append('more')]);
    expect(server.values('s')).toHaveLength(11);
    expect([appender.pendingRecords, appender.pendingBytes]).toEqual([0, 0]);
  });

  test('bulk without promises: enqueue, ready, flush', async () => {
    const appender = await client.appender('s', { pendingRecordsMax: 500, batchRecordsMax: 100 });
    const text = Buffer.from(numbers(3000).join('\n'));
    for (let start = 0; start < text.length;) {
      const newline = text.indexOf(10, start);
      const end = newline < 0 ? text.length : newline;
      if (appender.full) await appender.ready();
      appender.enqueueBytes(text, start, end);
      start = end + 1;
    }
    await appender.flush();
    expect(server.values('s')).toEqual(numbers(3000));
  });

  test('close waits for what is pending, refuses what comes later', async () => {
    const appender = await client.appender('s');
    const pending = appender.append('a');
    await client.close();
    expect((await pending).seq).toBe(0);
    await expect(appender.append('b')).rejects.toSatisfy((error) => isClientError(error, 'CLOSED'));
    await expect(client.streams.get('s')).rejects.toSatisfy((error) => isClientError(error, 'CLOSED'));
  });

  test('an aborted signal rejects what is pending with its reason', async () => {
    server.before = (method) => (method === 'AppendSession' ? new Promise(() => {}) : undefined);
    const controller = new AbortController();
    const appender = await client.appender('s', { signal: controller.signal });
    const pending = appender.append('a');
    const flushed = appender.flush();
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(pending).rejects.toThrow('enough');
    await expect(flushed).rejects.toThrow('enough');
    await expect(appender.append('b')).rejects.toThrow('enough');
  });

  test('a conditional appender carries the position on from batch to batch', async () => {
    const appender = await client.appender('s', { expectedNextSeq: 0, batchRecordsMax: 2 });
    await Promise.all(numbers(10).map((value) => appender.append(value)));
    await client.append('s', ['in between']);
    await expect(appender.append('x')).rejects.toSatisfy((error) => isLogboomError(error, 'SEQ_MISMATCH'));
  });
});
