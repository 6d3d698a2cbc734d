import { connect } from 'node:net';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { asNodeId, asPartitionId } from '../../src/base/ids.js';
import { unansweredPort } from '../support/unanswered-port.js';
import { tlsOf } from './support/certificates.js';
import { appendOf, heartbeat, isConnected, roundsOf, startNode, statusOf, until } from './support/nodes.js';
import { startProxy } from './support/proxy.js';

const p1 = asPartitionId(1);

describe('a connection that is not sound', () => {
  it('cut within frames: nothing but whole messages, in order, arrives, and it goes on', async () => {
    const [one, two] = [await startNode(1), await startNode(2)];
    const proxy = await startProxy(two.address);
    one.links.setPeer(two.id, proxy.address);
    for (let round = 0; round < 10; round++) {
      await until(() => isConnected(one, two), 'the link');
      proxy.cutAfter(3000 + round * 7001);
      for (let message = 0; message < 20; message++) {
        one.links.send(two.id, p1, [appendOf(new Uint8Array(10_000).fill(round), 1)]);
      }
      await until(() => !isConnected(one, two), 'the cut');
    }
    await until(() => isConnected(one, two), 'the link');
    one.links.send(two.id, p1, [heartbeat(1)]);
    await until(() => roundsOf(two).length === 1, 'a message');
    for (const { delivery } of two.delivered) {
      const { message } = delivery;
      if (message.type !== 'append') continue;
      const { data } = message.entries[0]!;
      expect(data.length).toBe(10_000);
      expect(data.every((byte) => byte === data[0])).toBe(true);
    }
    expect(one.losses.every(({ partitions }) => partitions === 'all')).toBe(true);
  });

  it('damaged: the damage is found, told, and never delivered', async () => {
    const [one, two] = [await startNode(1), await startNode(2)];
    const proxy = await startProxy(two.address);
    one.links.setPeer(two.id, proxy.address);
    await until(() => isConnected(one, two), 'the link');
    proxy.damageAfter(50_000);
    one.links.send(two.id, p1, [appendOf(new Uint8Array(200_000))]);
    await until(() => statusOf(one, two).lastFailure !== undefined, 'the damage to be found');
    expect(statusOf(one, two).lastFailure?.error.reason).toBe('LINK_CORRUPT');
    expect(two.delivered).toEqual([]);
    expect(two.warnings).toEqual(['received malformed bytes from a node']);
    await until(() => isConnected(one, two), 'the link');
    one.links.send(two.id, p1, [appendOf(new Uint8Array(200_000))]);
    await until(() => two.delivered.length === 1, 'a message');
  });

  it('that carries frames above the limit is refused by the receiver', async () => {
    const one = await startNode(1);
    const two = await startNode(2, { options: { frameBytesMax: 100_000 } });
    one.links.setPeer(two.id, two.address);
    await until(() => isConnected(one, two), 'the link');
    one.links.send(two.id, p1, [appendOf(new Uint8Array(200_000))]);
    await until(() => statusOf(one, two).lastFailure !== undefined, 'the refusal');
    expect(statusOf(one, two).lastFailure?.error).toMatchObject({ reason: 'LINK_CORRUPT', facts: { fault: 'length' } });
  });

  it('that passes nothing on is torn down and made again', async () => {
    const [one, two] = [await startNode(1), await startNode(2)];
    const proxy = await startProxy(two.address);
    one.links.setPeer(two.id, proxy.address);
    await until(() => isConnected(one, two), 'the link');
    proxy.hold(true);
    await until(() => !isConnected(one, two), 'the link to be found dead');
    expect(statusOf(one, two).lastFailure?.error.message).toContain('no answer to a ping');
    proxy.hold(false);
    await until(() => isConnected(one, two), 'the link');
  });
});

describe('a machine that is gone', () => {
  const attempts = (): number => process.getActiveResourcesInfo().filter((type) => type === 'ConnectWrap').length;

  it.each([
    ['plain', {}],
    ['with TLS', { tls: tlsOf('cluster') }],
  ])('no attempt to connect outlives its time, its call, or the links: %s', async (_, setup) => {
    const gone = { host: '127.0.0.1', port: await unansweredPort() };
    await until(() => attempts() === 0, 'what filled the port');
    const options = { connectTimeoutMs: 100, backoffMinMs: 1000, backoffMaxMs: 1000 };
    const one = await startNode(1, { ...setup, options });
    one.links.setPeer(asNodeId(2), gone);
    await until(() => attempts() === 1, 'the attempt');
    await until(() => statusOf(one, { id: asNodeId(2) }).lastFailure !== undefined, 'its end');
    await until(() => attempts() === 0, 'its socket', 500);

    await expect(one.links.callAt(gone, 'm', new Uint8Array(), { timeoutMs: 100 })).rejects.toThrow('100 ms');
    await until(() => attempts() === 0, 'the socket of the call', 500);

    await until(() => attempts() === 1, 'the next attempt');
    await one.links.stop();
    await until(() => attempts() === 0, 'its socket', 500);
  });
});

describe('strangers at the port', () => {
  it.each([
    ['garbage', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['more garbage', Buffer.alloc(100_000, 0xa5)],
    ['nothing', Buffer.alloc(0)],
    ['the beginning of HTTP/2 and no more', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ])('that send %s are thrown out', async (_, bytes) => {
    const node = await startNode(1);
    const socket = connect(node.address.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.write(bytes);
    await closed;
    const two = await startNode(2);
    two.links.setPeer(node.id, node.address);
    await until(() => isConnected(two, node), 'the link');
  });
});

describe('a peer that does not keep up', () => {
  it('costs a bounded amount of memory, and messages of its own', async () => {
    const queueBytesMax = 4 << 20;
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const one = await startNode(1, { options: { queueBytesMax } });
    const two = await startNode(2, { deliver: () => held });
    one.links.setPeer(two.id, two.address);
    await until(() => isConnected(one, two), 'the link');
    global.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    const [entries, entryBytes] = [2000, 128 * 1024];
    for (let lsn = 1; lsn <= entries; lsn++) {
      one.links.send(two.id, p1, [appendOf(new Uint8Array(entryBytes), lsn)]);
      if (lsn % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { queueBytes, droppedMessages, state } = statusOf(one, two);
    expect(queueBytes).toBeLessThanOrEqual(queueBytesMax);
    expect(droppedMessages).toBeGreaterThan(entries / 2);
    // The session is alive: it is the peer that is slow.
    expect(state).toBe('connected');
    // Once an episode: the window still took some of the queue in between.
    expect(one.losses.length).toBeGreaterThan(0);
    expect(one.losses.length).toBeLessThan(10);
    // Both ends are in this process: queue, writes ahead, the window, and kernel buffers outside.
    const taken = entries - droppedMessages;
    expect(taken * entryBytes).toBeLessThan(64 << 20);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(entries * entryBytes);
    release();
    await until(() => two.delivered.length === taken, 'what was taken');
  });

  it('because it is suspended is torn down, and met again when it goes on', async () => {
    const one = await startNode(1);
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(new URL('support/peer-process.ts', import.meta.url)), '60000'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    try {
      const port = await new Promise<number>((resolve) => {
        child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())));
      });
      const peer = { id: asNodeId(2) };
      one.links.setPeer(peer.id, { host: '127.0.0.1', port });
      const state = (): string => statusOf(one, peer).state;
      await until(() => state() === 'connected', 'the link');
      child.kill('SIGSTOP');
      for (let lsn = 1; lsn <= 100; lsn++) one.links.send(peer.id, p1, [appendOf(new Uint8Array(1 << 20), lsn)]);
      expect(statusOf(one, peer).queueBytes).toBeLessThanOrEqual(32 << 20);
      await until(() => state() !== 'connected', 'the link to be found dead');
      child.kill('SIGCONT');
      await until(() => state() === 'connected', 'the link to be back');
      expect(await one.links.call(peer.id, 'echo', new Uint8Array(5))).toHaveLength(5);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

it('a process whose links have stopped ends by itself', async () => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL('support/peer-process.ts', import.meta.url)), '300'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const code = await new Promise((resolve) => child.on('exit', resolve));
  expect(code).toBe(0);
});
