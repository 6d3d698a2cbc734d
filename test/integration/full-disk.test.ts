/** A full disk: a small file system of its own when this machine lets us mount one, and ENOSPC at the disk port in any case. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isLogboomError } from '../../src/client/index.js';
import type { LogboomClient } from '../../src/client/index.js';
import { readStream, verifyAll } from './support/contents.js';
import { FaultyDisk } from './support/faulty-disk.js';
import { startLocalNode } from './support/local-node.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { temporaryDirectory } from './support/temporary-directory.js';

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

/** Appends one record after another; answers the reason of the first refusal. */
async function appendUntilRefused(client: LogboomClient, expected: string[], timeoutMs: number): Promise<string> {
  const deadlineMs = Date.now() + timeoutMs;
  while (Date.now() < deadlineMs) {
    const value = `${expected.length} `.padEnd(20_000, 'x');
    try {
      await client.append('full', [value], { expectedNextSeq: expected.length });
      expected.push(value);
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      return error.reason;
    }
  }
  return 'never refused';
}

async function appendUntilAccepted(client: LogboomClient, expected: string[], timeoutMs: number): Promise<number> {
  const startedMs = Date.now();
  for (;;) {
    const value = `${expected.length} after`;
    try {
      await client.append('full', [value], { expectedNextSeq: expected.length });
      expected.push(value);
      return Date.now() - startedMs;
    } catch (error) {
      if (!isLogboomError(error) || !error.retryable || Date.now() - startedMs > timeoutMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

test('a full file system: appends are refused with DISK_FULL, reads go on, and it recovers by itself', async (context) => {
  const mountPoint = path.join(temporaryDirectory(), 'small');
  const refusal = mountSmallFileSystem(mountPoint, 320 * mib);
  if (refusal !== undefined) {
    console.log(
      `full disk: not on a real file system, no mount here (${refusal}); the test at the disk port stands in`,
    );
    return context.skip(refusal);
  }
  const host = await ServerHost.make(
    { ...restlessSettings, disk: { lowWaterMarkBytes: '8MiB', checkIntervalMs: 100 } },
    { dataDirectory: path.join(mountPoint, 'data') },
  );
  await host.start();
  const client = host.client({ codec: 'none', retry: { attemptsMax: 1 } });
  await client.streams.create('full');
  await client.streams.create('other');
  const expected: string[] = [];
  for (let append = 0; append < 20; append++) expected.push(`${append}`);
  for (const value of expected) await client.append('full', [value]);

  const filler = path.join(mountPoint, 'filler');
  let recoveryMs = 0;
  for (let round = 0; round < 2; round++) {
    // Filled while appends go on, so that whatever is being written meets it.
    const refused = appendUntilRefused(client, expected, 60_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    fillUp(filler);
    expect(await refused, host.process.log).toBe('DISK_FULL');
    fillUp(filler);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await appendUntilRefused(client, expected, 100), 'still').toBe('DISK_FULL');
    expect((await readStream(client, 'full')).values.map(String)).toEqual(expected);
    expect((await client.cluster.describe()).nodes[0]?.state).toMatch(/disk/);
    expect(host.process.hasExited).toBe(false);
    rmSync(filler);
    recoveryMs = Math.max(recoveryMs, await appendUntilAccepted(client, expected, 30_000));
    expect((await readStream(client, 'full')).values.map(String)).toEqual(expected);
  }

  // Killed while it is full: the start may have to wait for space, what was acknowledged does not go away.
  const refused = appendUntilRefused(client, expected, 60_000);
  await new Promise((resolve) => setTimeout(resolve, 300));
  fillUp(filler);
  expect(await refused).toBe('DISK_FULL');
  const reopened = (await host.metrics()).sum('logboom_partition_store_reopened_total');
  await host.process.kill();
  rmSync(filler);
  await host.start();
  expect((await readStream(client, 'full')).values.map(String)).toEqual(expected);
  expect((await verifyAll(client)).damaged).toBe(0);
  await appendUntilAccepted(client, expected, 30_000);
  console.log(
    `full disk: filled 3 times to the last byte, ${expected.length} records acknowledged and there, recovered in ${recoveryMs} ms, ${reopened} state stores reopened`,
  );
});

test('ENOSPC at the disk port: the log makes no further segment, appends are refused, reads go on, and it recovers by itself', async () => {
  const disk = new FaultyDisk();
  const directory = path.join(temporaryDirectory(), 'data');
  const {
    client: patient,
    node,
    stop,
  } = await startLocalNode(directory, { ...restlessSettings, partitions: 2 }, { environment: { disk } });
  const { LogboomClient: Client } = await import('../../src/client/index.js');
  const client = new Client({ address: node.addresses.grpc, codec: 'none', retry: { attemptsMax: 1 } });
  onTestFinished(() => client.close());
  await client.streams.create('full');
  const expected: string[] = [];
  disk.fault = (operation, file) => (file.includes('/wal/') && operation === 'open' ? 'ENOSPC' : undefined);
  disk.free = 1000;
  expect(await appendUntilRefused(client, expected, 60_000)).toBe('DISK_FULL');
  expect(expected.length).toBeGreaterThan(10);
  expect((await readStream(patient, 'full')).values.map(String)).toEqual(expected);
  disk.fault = () => undefined;
  disk.free = undefined;
  const recoveryMs = await appendUntilAccepted(client, expected, 30_000);
  expect((await readStream(patient, 'full')).values.map(String)).toEqual(expected);
  await client.close();
  await stop();
  const again = await startLocalNode(directory, { ...restlessSettings, partitions: 2 });
  expect((await readStream(again.client, 'full')).values.map(String)).toEqual(expected);
  console.log(`ENOSPC at the port: refused after ${expected.length - 1} records, recovered in ${recoveryMs} ms`);
});
