/** A full disk: a small file system of its own when this machine lets us mount one, and ENOSPC at the disk port in any case. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isClientError, isLogboomError, LogboomClient } from '../../src/client/index.js';
import { readStream, verifyAll } from './support/contents.js';
import { FaultyDisk } from './support/faulty-disk.js';
import { startLocalNode } from './support/local-node.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { StreamChecker } from './support/stream-checker.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { Writer } from './support/writers.js';

const mib = 2 ** 20;

/** Mounts a file system of that size; tells why not when it cannot. */
function mountSmallFileSystem(directory: string, bytes: number): string | undefined {
  mkdirSync(directory);
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory], {
    encoding: 'utf8',
  });
  if (status !== 0) return error?.message ?? stderr.trim();
  onTestFinished(() => void spawnSync('umount', ['-l', directory]));
  return undefined;
}

/** Takes all the space that is left. */
function fillUp(file: string): void {
  const descriptor = openSync(file, 'a');
  for (let size = mib; size >= 512;) {
    try {
      if (writeSync(descriptor, Buffer.alloc(size)) < size) size /= 2;
    } catch {
      size /= 2;
    }
  }
  closeSync(descriptor);
}

/** One stream that is appended to record by record. */
class Ledger {
  readonly acknowledged: string[] = [];
  /** Committed or not when the disk was full, and nobody knows. */
  open: string | undefined;
  readonly #client: LogboomClient;

  constructor(client: LogboomClient) {
    this.#client = client;
  }

  /** Answers the reason of the first refusal. No append may be left without an answer. */
  async appendUntilRefused(timeoutMs: number): Promise<string> {
    const deadlineMs = Date.now() + timeoutMs;
    while (Date.now() < deadlineMs) {
      const value = `${this.acknowledged.length} `.padEnd(20_000, 'x');
      try {
        await this.#append(value);
      } catch (error) {
        if (isLogboomError(error, 'QUEUE_FULL')) {
          // Segments of the test are small: there is one being made now and then.
          await pause(5);
          continue;
        }
        if (isLogboomError(error)) return error.reason;
        // Under way when a store could not be written any more; what comes after it is refused.
        if (!isClientError(error, 'OUTCOME_UNKNOWN') || !isLogboomError(error.cause, 'STATE_STORE_FAILED')) throw error;
        expect(this.open, 'one append is under way at a time').toBeUndefined();
        this.open = value;
      }
    }
    return 'never refused';
  }

  async appendUntilAccepted(timeoutMs: number): Promise<number> {
    const startedMs = Date.now();
    for (;;) {
      try {
        await this.check();
        await this.#append(`${this.acknowledged.length} after`);
        return Date.now() - startedMs;
      } catch (error) {
        if (!isLogboomError(error) || Date.now() - startedMs > timeoutMs) throw error;
        // The one that was open has become certain between the check and the append.
        if (!error.retryable && error.reason !== 'SEQ_MISMATCH') throw error;
        await pause(50);
      }
    }
  }

  /** All that was acknowledged is there, in order, and nothing else but perhaps what is open. */
  async check(): Promise<void> {
    const values = (await readStream(this.#client, 'full')).values.map(String);
    if (this.open !== undefined && values.length > this.acknowledged.length) {
      this.acknowledged.push(this.open);
      this.open = undefined;
    }
    expect(values).toEqual(this.acknowledged);
  }

  async #append(value: string): Promise<void> {
    await this.#client.append('full', [value], { expectedNextSeq: this.acknowledged.length });
    this.acknowledged.push(value);
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('a full file system: appends are refused with DISK_FULL, reads go on, and it recovers by itself', async (context) => {
  const mountPoint = path.join(temporaryDirectory(), 'small');
  const refusal = mountSmallFileSystem(mountPoint, 320 * mib);
  if (refusal !== undefined) {
    console.log(
      `full disk: not on a real file system, no mount here (${refusal}); the test at the disk port stands in`,
    );
    return context.skip(refusal);
  }
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(
    { ...restlessSettings, disk: { lowWaterMarkBytes: '8MiB', checkIntervalMs: 100 } },
    { dataDirectory: path.join(mountPoint, 'data') },
  );
  await host.start();
  const client = host.client({ codec: 'none', retry: { attemptsMax: 1 } });
  for (const stream of ['full', 'other']) await client.streams.create(stream);
  const ledger = new Ledger(client);
  // Others keep many appends under way all the time.
  const writers = (['producer', 'unary', 'session without producer'] as const).map(
    (kind, index) =>
      new Writer(
        host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } }),
        { index, stream: 'other', kind, codec: 'none', valueBytesMax: 2000, pendingRecordsMax: 20, pauseMs: 5 },
        random.seed,
      ),
  );
  for (const writer of writers) writer.run();

  const filler = path.join(mountPoint, 'filler');
  let recoveryMs = 0;
  const rounds = 2;
  for (let round = 1; round <= rounds; round++) {
    // Filled while appends go on, so that whatever is being written meets it.
    const refused = ledger.appendUntilRefused(60_000);
    await pause(random.between(200, 500));
    fillUp(filler);
    expect(await refused, host.process.log).toBe('DISK_FULL');
    // Also what the node itself has given back meanwhile.
    for (let again = 0; again < 10; again++) {
      fillUp(filler);
      await pause(100);
    }
    expect(await ledger.appendUntilRefused(100), 'still').toBe('DISK_FULL');
    await ledger.check();
    expect((await client.cluster.describe()).nodes[0]?.state).toMatch(/disk/);
    expect(host.process.hasExited).toBe(false);
    if (round === rounds) break;
    rmSync(filler);
    recoveryMs = Math.max(recoveryMs, await ledger.appendUntilAccepted(30_000));
    const before = writers.map(({ acknowledged }) => acknowledged.size);
    await expect
      .poll(() => writers.every(({ acknowledged }, index) => acknowledged.size > (before[index] ?? 0)), {
        timeout: 30_000,
      })
      .toBe(true);
  }

  // Killed while it is full. A start without space says so; with space, what was acknowledged is there.
  const reopened = (await host.metrics()).sum('logboom_partition_store_reopened_total');
  await host.process.kill();
  fillUp(filler);
  const without = host.spawn();
  const served = without.started().then(
    () => without.kill(),
    () => {},
  );
  expect((await without.exited).code, without.log).toBe(1);
  await served;
  expect(without.log).toMatch(/no space|disk.*full|bytes (are )?free|DISK_FULL/i);
  rmSync(filler);
  await host.start();
  await ledger.appendUntilAccepted(30_000);
  await Promise.all(writers.map((writer) => writer.stop()));
  await ledger.check();
  const checker = new StreamChecker('other', writers);
  await checker.check(client);
  expect((await verifyAll(client)).damaged).toBe(0);
  console.log(
    `full disk: filled ${rounds} times to the last byte, ${ledger.acknowledged.length} and ${checker.checkedRecords} records there, ` +
      `recovered in ${recoveryMs} ms, ${reopened} state stores reopened, seed ${random.seed}`,
  );
});

test('ENOSPC at the disk port: the log makes no further segment, appends are refused, reads go on, and it recovers by itself', async () => {
  const disk = new FaultyDisk();
  const directory = path.join(temporaryDirectory(), 'data');
  const local = await startLocalNode(directory, { ...restlessSettings, partitions: 2 }, { environment: { disk } });
  const client = new LogboomClient({ address: local.node.addresses.grpc, codec: 'none', retry: { attemptsMax: 1 } });
  onTestFinished(() => client.close());
  await client.streams.create('full');
  const ledger = new Ledger(client);
  disk.fault = (operation, file) => (file.includes('/wal/') && operation === 'open' ? 'ENOSPC' : undefined);
  disk.free = 1000;
  expect(await ledger.appendUntilRefused(60_000)).toBe('DISK_FULL');
  expect(ledger.acknowledged.length).toBeGreaterThan(10);
  await ledger.check();
  disk.fault = () => undefined;
  disk.free = undefined;
  const recoveryMs = await ledger.appendUntilAccepted(30_000);
  await ledger.check();
  await client.close();
  await local.stop();
  const again = await startLocalNode(directory, { ...restlessSettings, partitions: 2 });
  expect((await readStream(again.client, 'full')).values.map(String)).toEqual(ledger.acknowledged);
  console.log(
    `ENOSPC at the port: refused after ${ledger.acknowledged.length - 1} records, recovered in ${recoveryMs} ms`,
  );
});
