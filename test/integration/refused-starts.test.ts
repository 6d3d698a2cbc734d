/** Starts that must not happen: exit code 1, what is wrong by name, and what to do about it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { readStream } from './support/contents.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import type { Settings } from './support/server-process.js';
import { findSegments } from './support/wal-file.js';

/** A host whose data directory holds one record, and whose node has stopped. */
async function usedHost(): Promise<ServerHost> {
  const host = await ServerHost.make(restlessSettings);
  await host.start();
  const client = host.client();
  await client.streams.create('kept');
  await client.append('kept', ['the record']);
  expect(await host.process.stop()).toEqual({ code: 0, signal: null });
  return host;
}

async function expectRefusal(
  host: ServerHost,
  told: readonly (string | RegExp)[],
  settings: Settings = {},
): Promise<void> {
  const refused = host.spawn(settings);
  // One that serves must not keep the test waiting.
  void refused.started().then(
    () => refused.signal('SIGKILL'),
    () => {},
  );
  expect((await refused.exited).code, refused.log).toBe(1);
  for (const words of told) expect(refused.log).toMatch(words);
}

async function expectUnharmed(host: ServerHost): Promise<void> {
  await host.start();
  expect((await readStream(host.client(), 'kept')).values.map(String)).toEqual(['the record']);
}

test('a data directory of another node id, and of another number of partitions', async () => {
  const host = await usedHost();
  await expectRefusal(host, ['belongs to node 1', 'nodeId is 2', /set nodeId to 1, or choose another directory/], {
    nodeId: 2,
  });
  await expectRefusal(host, ['made with 4 partitions', 'partitions is 5', /Set partitions to 4/], { partitions: 5 });
  await expectUnharmed(host);
  console.log('refused: another node id, another number of partitions');
});

test('a data directory, and a log segment, of a newer format', async () => {
  const host = await usedHost();
  const identityPath = path.join(host.dataDirectory, 'node.json');
  const identity = readFileSync(identityPath, 'utf8');
  writeFileSync(identityPath, JSON.stringify({ ...(JSON.parse(identity) as object), formatVersion: 3 }));
  await expectRefusal(host, [
    host.dataDirectory,
    'written in format 3',
    /this build reads up to 2: run a newer Logboom/,
  ]);
  writeFileSync(identityPath, identity);

  const segment = findSegments(host.dataDirectory).at(-1);
  if (!segment) throw new Error('the log has no segment');
  const newer = Buffer.from(segment.bytes);
  newer.writeUInt32LE(2, 8);
  newer.writeUInt32LE(crc32(newer.subarray(0, 4092)), 4092);
  writeFileSync(segment.path, newer);
  await expectRefusal(host, [segment.path, 'format version 2', /this build reads version 1/]);
  writeFileSync(segment.path, segment.bytes);
  await expectUnharmed(host);
  console.log('refused: a newer directory, a newer log segment');
});

test('a damaged identity, and a directory that holds something else', async () => {
  const host = await usedHost();
  const identityPath = path.join(host.dataDirectory, 'node.json');
  const identity = readFileSync(identityPath, 'utf8');
  writeFileSync(identityPath, identity.replace(/"partitionCount": \d/, '"partitionCount": 9'));
  await expectRefusal(host, ['node.json', /checksum/]);
  writeFileSync(identityPath, identity);
  await expectUnharmed(host);

  const other = await ServerHost.make(restlessSettings);
  mkdirSync(other.dataDirectory, { recursive: true });
  writeFileSync(path.join(other.dataDirectory, 'thesis.tex'), 'ten years of work');
  await expectRefusal(other, [other.dataDirectory, 'thesis.tex']);
  expect(readFileSync(path.join(other.dataDirectory, 'thesis.tex'), 'utf8')).toBe('ten years of work');
  console.log('refused: a damaged identity, a directory of something else');
});

test('two processes on one data directory: the second one names the first, which serves on', async () => {
  const host = await usedHost();
  await host.start();
  const first = host.process;
  const second = await ServerHost.make(restlessSettings, { dataDirectory: host.dataDirectory });
  await expectRefusal(second, [`in use by process ${first.pid}`, /stop it, or choose another/]);
  const client = host.client();
  await client.append('kept', ['another']);
  // The lock dies with its process, also under kill -9; a left-over holder.json does not count.
  await first.kill();
  await second.start();
  expect((await readStream(second.client(), 'kept')).values.map(String)).toEqual(['the record', 'another']);
  console.log('refused: a second process; it starts when the first was killed');
});

test.each([
  { name: 'gRPC', offset: 0, setting: 'port' },
  { name: 'HTTP', offset: 1, setting: 'httpPort' },
])('the port of $name in use', async ({ offset, setting }) => {
  const host = await usedHost();
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(host.port + offset, '127.0.0.1', resolve));
  onTestFinished(() => void holder.close());
  await expectRefusal(host, [`127.0.0.1:${host.port + offset} is in use`, new RegExp(`set ${setting} to another`)]);
  await new Promise((resolve) => holder.close(resolve));
  await expectUnharmed(host);
});
