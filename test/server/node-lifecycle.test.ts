import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { writeSealedJson } from '../../src/server/sealed-json.js';
import type { StreamResponses } from './support/messages.js';
import { healthClient } from './support/standard-clients.js';
import { batchOf, streamClient, collect, detailsOf, startTestNode, unary, valuesOf } from './support/test-node.js';
import { temporaryDirectory } from './support/temporary-directory.js';

test('a restart keeps everything, and replays nothing after a clean stop', async () => {
  const first = await startTestNode();
  await first.call('createStream', { name: 's' });
  for (let index = 0; index < 20; index++) await first.append('s', [`r${index}`]);
  const { clusterId } = first.node;
  expect(clusterId).toMatch(/^[0-9a-f]{14}$/);
  expect(first.node.isNewDirectory).toBe(true);
  await first.stop();
  const second = await startTestNode({ directory: first.directory });
  expect(second.node.isNewDirectory).toBe(false);
  expect(second.node.clusterId).toBe(clusterId);
  expect(second.node.replayedEntries).toBe(0);
  const page = await second.call('read', { stream: 's' });
  expect(valuesOf(page)).toEqual(Array.from({ length: 20 }, (_, index) => `r${index}`));
  expect(await second.append('s', ['more'])).toMatchObject({ firstSeq: '20' });
});

test('a directory of a node that was alone for good is taken over, under its cluster id, also when that was cut short', async () => {
  const first = await startTestNode();
  await first.call('createStream', { name: 's' });
  await first.append('s', ['kept']);
  const { clusterId, identity } = first.node;
  await first.stop();
  const files = ['node.json', 'cluster.json'].map((name) => path.join(first.directory, name)) as [string, string];
  const layout1 = { formatVersion: 1, ...identity, clusterId };
  for (const isCutShort of [false, true]) {
    // Layout 1: the cluster id is in node.json, and there is no cluster.json; cut short, there is one already.
    await writeSealedJson(nodeEnvironmentParts, files[0], layout1);
    if (!isCutShort) await rm(files[1]);
    const node = await startTestNode({ directory: first.directory });
    expect(node.node.clusterId).toBe(clusterId);
    expect(valuesOf(await node.call('read', { stream: 's' }))).toEqual(['kept']);
    expect(JSON.parse(await readFile(files[0], 'utf8'))).toMatchObject({ formatVersion: 2, nodeId: identity.nodeId });
    expect(JSON.parse(await readFile(files[1], 'utf8'))).toMatchObject({ clusterId, replicationFactor: 3 });
    await node.stop();
  }
});

describe('a start that fails gives everything back', () => {
  test('a second node on the directory', async () => {
    const first = await startTestNode();
    await expect(startTestNode({ directory: first.directory })).rejects.toMatchObject({
      reason: 'DATA_DIRECTORY_LOCKED',
      facts: { pid: process.pid },
    });
    await first.call('createStream', { name: 'still-alive' });
  });

  test('a data directory that is a file', async () => {
    const file = path.join(await temporaryDirectory(), 'file');
    await writeFile(file, 'not a directory');
    await expect(startTestNode({ directory: path.join(file, 'data') })).rejects.toMatchObject({
      reason: 'CONFIGURATION_INVALID',
      message: expect.stringContaining('(dataDir)') as string,
    });
  });

  test.each(['port', 'httpPort'])('%s in use', async (setting) => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const directory = path.join(await temporaryDirectory(), 'data');
    const flags = setting === 'port' ? [`--port=${port}`, '--http-port=0'] : ['--port=0', `--http-port=${port}`];
    await expect(startTestNode({ directory, flags })).rejects.toMatchObject({
      reason: 'ADDRESS_IN_USE',
      message: expect.stringContaining(`127.0.0.1:${port} is in use`) as string,
      facts: { setting },
    });
    await startTestNode({ directory });
  });
});

describe('a stopping node', () => {
  test('says so, answers what is in flight, ends tails and sessions with SHUTTING_DOWN, and takes nothing new', async () => {
    const { node, streams, call, append } = await startTestNode();
    await call('createStream', { name: 's' });
    await append('s', ['a']);
    const healthWatcher = healthClient(node.addresses.grpc);
    const health = collect(healthWatcher.watch({ service: 'logboom.v1.StreamService' }));
    const tail = collect(streams.tail({ stream: 's', fromSeq: 0 }));
    const session = streams.appendSession();
    const answers = collect(session);
    await Promise.all([health.until(1), tail.until(1)]);
    for (let index = 0; index < 50; index++)
      session.write({ requestId: index, append: { stream: 's', batch: batchOf(['b']) } });
    await answers.until(1);
    const drained = node.drain();
    const [tailError, sessionError] = await Promise.all([tail.ended, answers.ended]);
    for (const error of [tailError, sessionError]) {
      expect(error).toMatchObject({ code: 14 });
      expect(detailsOf(error).errorInfo.reason).toBe('SHUTTING_DOWN');
      expect(detailsOf(error).retryDelayMs).toBeGreaterThan(0);
    }
    // Answers come in order up to where the session was cut; nothing was left out in between.
    expect(answers.messages.map((message) => Number(message.requestId))).toEqual(
      answers.messages.map((_, index) => index),
    );
    expect(health.messages.at(-1)?.status).toBe('NOT_SERVING');
    await expect(append('s', ['late'])).rejects.toMatchObject({ code: 14 });
    await drained;
    expect(await (await fetch(`${node.addresses.http}/readyz`)).json()).toMatchObject({
      ready: false,
      reasons: ['the node is draining'],
    });
    await node.stop();
    healthWatcher.close();
    await expect(fetch(`${node.addresses.http}/readyz`)).rejects.toThrow();
  });

  test('stops once, however often it is asked', async () => {
    const { node } = await startTestNode();
    await Promise.all([node.stop(), node.stop(), node.drain()]);
    await node.stop();
  });

  test('leaves no handle, timer or socket behind', async () => {
    // What the first node starts for the process (libuv's pool, the pipe of the log) is there before.
    await (await startTestNode()).stop();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = process.getActiveResourcesInfo().toSorted();
    for (let round = 0; round < 3; round++) {
      const { append, call, streams, stop } = await startTestNode();
      await call('createStream', { name: 's' });
      await append('s', ['x'.repeat(100_000)]);
      const tail = collect(streams.tail({ stream: 's' }));
      await tail.until(1);
      await stop();
      await tail.ended;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(process.getActiveResourcesInfo().toSorted()).toEqual(before);
  });
});

test('a WAL that fails ends the node at once, and is told', async () => {
  let broken = false;
  const { disk } = nodeEnvironmentParts;
  const failing = {
    ...disk,
    open: async (...parameters: Parameters<typeof disk.open>) => {
      const file = await disk.open(...parameters);
      const datasync = file.datasync.bind(file);
      file.datasync = () => (broken ? Promise.reject(new Error('EIO: sync')) : datasync());
      return file;
    },
  };
  let fatal: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => (fatal = resolve));
  const { call, append } = await startTestNode({
    start: { environment: { disk: failing }, onFatal: (error) => fatal(error) },
  });
  await call('createStream', { name: 's' });
  broken = true;
  const lost = append('s', ['never acknowledged']).then(
    () => 'acknowledged',
    () => 'refused',
  );
  expect((await failed).message).toMatch(/sync|write-ahead|WAL/i);
  // The process would end here; whatever becomes of the append, it is not acknowledged.
  const outcome = await Promise.race([lost, new Promise((resolve) => setTimeout(resolve, 200, 'no answer'))]);
  expect(outcome).not.toBe('acknowledged');
});

describe('as a process', () => {
  const root = path.resolve(import.meta.dirname, '../..');
  /** Exits by itself, without process.exit: a handle, timer or socket that a stopped node left behind would keep it alive. */
  const script = `
    const { loadConfiguration, runNode } = await import('./src/server/index.ts');
    const { configuration } = loadConfiguration({ flags: process.argv.slice(1) });
    const onStarted = ({ addresses }) => console.log(JSON.stringify(addresses));
    process.exitCode = await runNode(configuration, { onStarted });`;

  async function launch(directory: string): Promise<{
    child: ChildProcess;
    grpc: string;
    exit: Promise<{ code: number | null; signal: string | null }>;
    log: () => string;
  }> {
    const flags = ['--port=0', '--partitions=2', '--wal-segment-bytes=32MiB', `--data-dir=${directory}`];
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, '--', ...flags], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const exit = once(child, 'exit').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
    }));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, grpc: (JSON.parse(line.toString()) as { grpc: string }).grpc, exit, log: () => log };
  }

  test('SIGTERM under load: exits 0 by itself, and everything acknowledged is there', async () => {
    const directory = path.join(await temporaryDirectory(), 'data');
    const first = await launch(directory);
    const client = streamClient(first.grpc);
    const call = unary<StreamResponses>(client);
    await call('createStream', { name: 's' });
    const session = client.appendSession();
    const answers = collect(session);
    let sent = 0;
    let open = true;
    const feed = (): void => {
      while (open && session.write({ requestId: sent, append: { stream: 's', batch: batchOf([`r${sent}`]) } })) sent++;
      if (open) session.once('drain', feed);
    };
    session.on('error', () => (open = false));
    feed();
    await answers.until(100);
    first.child.kill('SIGTERM');
    await answers.ended;
    open = false;
    expect(await first.exit, first.log()).toEqual({ code: 0, signal: null });
    client.close();
    const acknowledged = answers.messages.filter((message) => message.result === 'ok');
    expect(acknowledged.length).toBeGreaterThanOrEqual(100);
    const second = await launch(directory);
    const again = streamClient(second.grpc);
    const { stream } = await unary<StreamResponses>(again)('getStream', { name: 's' });
    expect(Number(stream.nextSeq)).toBeGreaterThanOrEqual(acknowledged.length);
    const page = await unary<StreamResponses>(again)('read', { stream: 's', limit: 10_000 });
    for (const { requestId, ok } of acknowledged.slice(0, 10_000)) {
      expect(valuesOf(page)[Number(ok?.firstSeq)] ?? `r${requestId}`).toBe(`r${requestId}`);
    }
    again.close();
    second.child.kill('SIGINT');
    expect(await second.exit, second.log()).toEqual({ code: 0, signal: null });
  }, 60_000);

  // A terminal sends Ctrl-C to the whole process group, and npm passes on to the node what it gets.
  test('Ctrl-C under npm, which arrives twice, stops it in good order', async () => {
    const { child, grpc, exit, log } = await launch(path.join(await temporaryDirectory(), 'data'));
    const client = streamClient(grpc);
    await unary<StreamResponses>(client)('createStream', { name: 's' });
    client.close();
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect(await exit, log()).toEqual({ code: 0, signal: null });
  }, 60_000);

  test('a second signal ends it at once with code 1', async () => {
    const { child, grpc, exit } = await launch(path.join(await temporaryDirectory(), 'data'));
    const client = streamClient(grpc);
    await unary<StreamResponses>(client)('createStream', { name: 's' });
    // A caller that neither reads nor leaves keeps the drain waiting.
    const session = client.appendSession();
    session.on('error', () => {});
    const write = (): void => {
      for (let index = 0; index < 200; index++)
        session.write({ requestId: index, append: { stream: 's', batch: batchOf(['x'.repeat(100_000)]) } });
    };
    write();
    await new Promise((resolve) => setTimeout(resolve, 300));
    child.kill('SIGTERM');
    child.kill('SIGINT');
    const { code } = await exit;
    expect(code).toBe(1);
    client.close();
  }, 60_000);
});
