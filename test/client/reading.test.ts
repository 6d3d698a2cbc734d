import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isClientError, isLogboomError, LogboomClient } from '../../src/client/index.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { BatchRecords, unpackBatches } from '../../src/client/records.js';
import { BatchBuffer } from '../../src/client/batch-buffer.js';
import { ZstdCompressor } from '../../src/client/zstd.js';
import { zstdContentBytes } from '../../src/base/zstd-frame.js';
import { Drop, FakeServer, Refusal } from './fake-server.js';

let server: FakeServer;
let client: LogboomClient;

beforeEach(async () => {
  server = await new FakeServer().start();
  server.add('s');
  const retry = { attemptsMax: 4, initialDelayMs: 5, delayMsMax: 20 };
  client = new LogboomClient({ address: server.address, codec: 'none', retry });
});
afterEach(async () => {
  await client.close().catch(() => {});
  await server.stop();
});

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `r${from + index}`);

describe('read', () => {
  beforeEach(() => client.append('s', numbers(20)));

  test('walks pages to the end of the stream, forward and backward', async () => {
    const forward = [];
    for await (const record of client.read('s')) forward.push(record.text);
    expect(forward).toEqual(numbers(20));
    expect(server.count('Read')).toBe(7);
    const backward = [];
    for await (const record of client.read('s', { reverse: true })) backward.push([record.seq, record.text]);
    expect(backward).toEqual(
      numbers(20)
        .map((value, seq) => [seq, value])
        .reverse(),
    );
  });

  test('a limit counts over pages, and no page beyond it is fetched', async () => {
    const values = [];
    for await (const record of client.read('s', { limit: 7, fromSeq: 5 })) values.push(record.text);
    expect(values).toEqual(numbers(7, 5));
    expect(server.count('Read')).toBe(3);
    for await (const record of client.read('s', { limit: 0 })) values.push(record.text);
    expect(values).toHaveLength(7);
  });

  test('one page is fetched ahead, not more', async () => {
    const pages = client.readPages('s')[Symbol.asyncIterator]();
    await pages.next();
    await vi.waitFor(() => expect(server.count('Read')).toBe(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.count('Read')).toBe(2);
    await pages.return?.();
  });

  test('a page that fails for now is asked again, without a gap', async () => {
    server.before = (method, _request, count) => {
      if (method === 'Read' && count % 2 === 0) throw new Drop();
    };
    const values = [];
    for await (const record of client.read('s')) values.push(record.text);
    expect(values).toEqual(numbers(20));
  });

  test('at most one place to begin', async () => {
    await expect(client.readPage('s', { fromSeq: 1, last: 2 })).rejects.toThrow(/fromSeq and last/);
  });

  test('a position of 0 is sent, not left out', async () => {
    await client.readPage('s', { fromSeq: 0 });
    expect(server.requests.at(-1)!.request).toMatchObject({ start: 'fromSeq', fromSeq: 0 });
  });
});

describe('tail', () => {
  const collect = async (count: number, options: Parameters<LogboomClient['tail']>[1] = {}): Promise<string[]> => {
    const values: string[] = [];
    for await (const record of client.tail('s', options)) {
      values.push(record.text);
      if (values.length === count) break;
    }
    return values;
  };

  test('begins at the newest records and goes on with new ones', async () => {
    await client.append('s', numbers(10));
    const tailed = collect(6, { last: 3 });
    await vi.waitFor(() => expect(server.count('Tail')).toBe(1));
    await client.append('s', numbers(3, 10));
    expect(await tailed).toEqual(numbers(6, 7));
  });

  test('resumes after lost connections without gap or repeat', async () => {
    const interruptions: Error[] = [];
    let resumptions = 0;
    const tailed = collect(200, {
      onInterruption: (error) => interruptions.push(error),
      onResumption: () => (resumptions += 1),
    });
    await vi.waitFor(() => expect(server.count('Tail')).toBe(1));
    const appender = await client.appender('s');
    for (let round = 0; round < 10; round += 1) {
      for (const value of numbers(20, round * 20)) void appender.append(value);
      await appender.flush();
      if (round % 3 === 1) await server.restart();
    }
    expect(await tailed).toEqual(numbers(200));
    expect(interruptions.length).toBeGreaterThanOrEqual(1);
    expect(resumptions).toBe(interruptions.length);
  });

  test('"from now on" is fixed before the first connection: what is appended while that fails is not skipped', async () => {
    await client.append('s', ['old']);
    server.before = async (method, _request, count) => {
      if (method !== 'Tail' || count > 2) return;
      server.append({
        stream: 's',
        batch: { codec: 0, records: { records: [{ value: Buffer.from(`new${count}`) }] } },
      });
      throw new Drop();
    };
    expect(await collect(2)).toEqual(['new1', 'new2']);
  });

  test('gives up when it never worked', async () => {
    await server.stop();
    await expect(collect(1)).rejects.toSatisfy((error) => isClientError(error, 'UNREACHABLE'));
  });

  test('gives up resuming after the given time', async () => {
    await client.append('s', ['a']);
    let reached = (): void => {};
    const first = new Promise<void>((resolve) => (reached = resolve));
    const tailed = (async () => {
      for await (const _ of client.tail('s', { last: 1, resumeForMs: 60 })) reached();
    })();
    await first;
    await server.stop();
    await expect(tailed).rejects.toSatisfy((error) => isClientError(error));
  });

  test('is told when it was cut off', async () => {
    server.before = (method) => {
      if (method === 'Tail') throw new Refusal('RECORD_TRIMMED', { first_seq: '9' });
    };
    await expect(collect(1, { fromSeq: 0 })).rejects.toSatisfy((error) => isLogboomError(error, 'RECORD_TRIMMED'));
  });

  test('ends with its signal', async () => {
    const controller = new AbortController();
    const tailed = collect(1, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 40);
    await expect(tailed).rejects.toThrow('enough');
  });
});

describe('batches', () => {
  const slice = (values: readonly string[], windowOffset: number, windowCount: number) => {
    const buffer = new BatchBuffer(0, 16, false);
    for (const value of values) {
      buffer.measure(value);
      buffer.add(value);
    }
    const batch = {
      codec: Codec.none,
      recordCount: values.length,
      uncompressedBytes: buffer.payloadBytes,
      records: buffer.payload,
      compressed: undefined,
    };
    const producer = { id: 'p', epoch: 2, firstRecordNumber: 100 };
    return { firstSeq: 50, appendTimeUnixMs: 5, lsn: 3, batch, windowOffset, windowCount, producer };
  };

  test('a window gives its records in both directions, with their positions and numbers', () => {
    const message = slice(numbers(10), 3, 4);
    const batch = new BatchRecords(message, message.batch.records);
    const seen = [...batch.records()].map((record) => [record.seq, record.text, record.producer?.recordNumber]);
    expect(seen).toEqual([3, 4, 5, 6].map((index) => [50 + index, `r${index}`, 100 + index]));
    expect([...batch.records(true)].map((record) => record.text)).toEqual(['r6', 'r5', 'r4', 'r3']);
  });

  test('a window beyond its batch is refused', () => {
    const message = slice(numbers(3), 2, 2);
    expect(() => [...new BatchRecords(message, message.batch.records).records()]).toThrow(/holds 3 records/);
  });

  test('compressed slices, small and large, come back; damaged ones are refused', async () => {
    const compressor = new ZstdCompressor();
    for (const count of [10, 20_000]) {
      const message = slice(numbers(count), 0, count);
      for (let round = 0; round < 3; round += 1) {
        const compressed = Buffer.from(await compressor.compress(Codec.zstd, message.batch.records));
        expect(zstdContentBytes(compressed)).toBe(message.batch.records.length);
        const batch = { ...message.batch, codec: Codec.zstd, records: undefined, compressed };
        const [unpacked] = await unpackBatches([{ ...message, batch }], compressor);
        expect([...unpacked!.records()].map((record) => record.text)).toEqual(numbers(count));
        const damaged = { ...batch, compressed: compressed.subarray(0, compressed.length - 3) };
        await expect(unpackBatches([{ ...message, batch: damaged }], compressor)).rejects.toThrow(
          /cannot be decompressed/,
        );
        const lying = { ...batch, uncompressedBytes: 5 };
        await expect(unpackBatches([{ ...message, batch: lying }], compressor)).rejects.toThrow(/declares/);
        // The worker needs a moment to start; the first rounds may run without it.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    compressor.close();
  });
});
