/** Tails of a real server: across kill -9, and read too slowly. */
import { expect, test } from 'vitest';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { SeededRandom, testSeed } from './support/random.js';
import { originOf, valueOf, Writer } from './support/writers.js';

const kills = 4;
const mib = 2 ** 20;

test('tails across kill -9: no gap, no repeat', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(restlessSettings);
  await host.start();
  const client = host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } });
  await client.streams.create('tailed');
  const writers = (['zstd', 'none'] as const).map(
    (codec, index) =>
      new Writer(
        host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } }),
        { index, stream: 'tailed', kind: 'producer', codec, valueBytesMax: 4000 },
        random.seed,
      ),
  );
  const stopping = new AbortController();
  const tails = [{ fromSeq: 0 }, { last: 10 }, { fromSeq: 0, maxBytes: 4096 }].map((start) => ({
    start,
    next: 0,
    records: 0,
    interruptions: 0,
  }));
  const following = tails.map(async (state) => {
    const onInterruption = (): void => void state.interruptions++;
    const lastNumbers = new Map<number, number>();
    try {
      for await (const record of client.tail('tailed', { ...state.start, signal: stopping.signal, onInterruption })) {
        if (record.seq !== state.next) throw new Error(`a tail got seq ${record.seq} after ${state.next - 1}`);
        state.next++;
        state.records++;
        const origin = originOf(record.value);
        const writer = writers[origin?.writer ?? -1];
        if (!origin || !writer || !valueOf(writer.options, origin.number).equals(record.value))
          throw new Error(`a tail got other bytes at seq ${record.seq}`);
        if (origin.number !== (lastNumbers.get(origin.writer) ?? -1) + 1)
          throw new Error(`a tail got record ${origin.number} of writer ${origin.writer} out of order`);
        lastNumbers.set(origin.writer, origin.number);
      }
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
  });
  const failed = Promise.all(following).then(() => new Promise<never>(() => {}));
  failed.catch(() => {});
  for (const writer of writers) writer.run();
  for (let round = 0; round < kills; round++) {
    // All of them live at each kill.
    const seen = tails.map(({ records }) => records);
    await Promise.race([
      failed,
      expect
        .poll(() => tails.every(({ records }, index) => records > (seen[index] ?? 0) + 50), {
          timeout: 60_000,
          interval: 20,
        })
        .toBe(true),
    ]);
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 200)));
    await host.process.kill();
    await host.start();
  }
  await Promise.all(writers.map((writer) => writer.stop()));
  const { nextSeq } = await client.streams.get('tailed');
  await Promise.race([
    failed,
    expect
      .poll(() => tails.map(({ next }) => next), { timeout: 60_000, interval: 20 })
      .toEqual(tails.map(() => nextSeq)),
  ]);
  stopping.abort();
  await Promise.all(following);
  const interruptions = tails.map((tail) => tail.interruptions);
  expect(Math.min(...interruptions)).toBeGreaterThan(0);
  console.log(
    `tails: ${kills} kills, ${tails.length} tails of ${nextSeq} records each, ${interruptions.join(' and ')} interruptions, no gap and no repeat, seed ${random.seed}`,
  );
});

test('a reader that has stopped reading costs bounded memory, and then gets everything', async () => {
  const appendBytes = 200 * mib;
  const recordBytes = 60_000;
  const host = await ServerHost.make({
    partitions: 2,
    wal: { segmentBytes: '32MiB', cacheBytes: '8MiB' },
    stateStore: { flushBytes: '4MiB', dirtyBudgetBytes: '16MiB' },
    disk: { lowWaterMarkBytes: 0 },
  });
  await host.start();
  const client = host.client({ codec: 'none' });
  const slowClient = host.client();
  await client.streams.create('slow');
  const appender = await client.appender('slow');
  const noise = Buffer.from(
    Array.from({ length: recordBytes * 2 }, (_, index) => (index * 7919 + (index >> 3) * 31) & 0xff),
  );
  let appended = 0;
  const append = async (bytes: number): Promise<void> => {
    for (const end = appended + Math.ceil(bytes / recordBytes); appended < end; appended++) {
      const value = noise.subarray(appended % recordBytes, (appended % recordBytes) + recordBytes);
      value.writeUInt32LE(appended, 0);
      await appender.ready();
      appender.enqueue(value);
    }
    await appender.flush();
  };
  // What the node takes for itself is there before it counts.
  await append(40 * mib);
  const tail = slowClient.tailPages('slow', { fromSeq: 0 })[Symbol.asyncIterator]();
  const first = await tail.next();
  const beforeBytes = host.process.anonymousBytes;
  let peakBytes = beforeBytes;
  const sampling = setInterval(() => (peakBytes = Math.max(peakBytes, host.process.anonymousBytes)), 50);
  await append(appendBytes);
  clearInterval(sampling);
  peakBytes = Math.max(peakBytes, host.process.anonymousBytes);

  let next = 0;
  for (let result = first; !result.done; result = await tail.next()) {
    for (const record of result.value) {
      if (record.seq !== next || record.value.readUInt32LE(0) !== next)
        throw new Error(`seq ${record.seq} follows ${next - 1}`);
      next++;
    }
    if (next >= appended) break;
  }
  await tail.return?.();
  await appender.close();
  const growthMib = (peakBytes - beforeBytes) / mib;
  console.log(
    `slow reader: RssAnon ${(beforeBytes / mib).toFixed(0)} MiB, at most ${growthMib.toFixed(0)} MiB more while ${appendBytes / mib} MiB were appended; all ${next} records read in the end`,
  );
  expect(next).toBe(appended);
  expect(growthMib).toBeLessThan(150);
});
