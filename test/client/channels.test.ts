import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { credentials, Metadata, Server, ServerCredentials, type Client } from '@grpc/grpc-js';
import { Channels } from '../../src/client/channels.js';

const passThrough = (bytes: Buffer): Buffer => bytes;
const method = {
  path: '/test/Echo',
  requestStream: false,
  responseStream: false,
  requestSerialize: passThrough,
  requestDeserialize: passThrough,
  responseSerialize: passThrough,
  responseDeserialize: passThrough,
} as const;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function echo(client: Client): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 2000 };
    client.makeUnaryRequest(
      method.path,
      passThrough,
      passThrough,
      Buffer.from('x'),
      new Metadata(),
      options,
      (error, value) => (error ? reject(error) : resolve(value as Buffer)),
    );
  });
}

/** Accepts connections and says nothing, as a node does that is killed at that moment. */
async function listenSilently(port: number, onConnection: (socket: Socket) => void): Promise<TcpServer> {
  const server = createTcpServer(onConnection);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return server;
}

async function serve(address: string): Promise<void> {
  const server = new Server();
  server.addService(
    { Echo: method },
    { Echo: (call: { request: Buffer }, answer: (e: null, b: Buffer) => void) => answer(null, call.request) },
  );
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
  );
  cleanups.push(() => server.forceShutdown());
}

test('a peer that vanished while it was being connected to is reached again when it is back', async () => {
  const probe = await listenSilently(0, () => {});
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  const address = `127.0.0.1:${port}`;
  const options = { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 100 };
  const channels = new Channels(
    options,
    () => credentials.createInsecure(),
    () => performance.now(),
  );
  cleanups.push(() => channels.close());
  await expect(echo(channels.to(address))).rejects.toMatchObject({ code: 14 });

  const sockets: Socket[] = [];
  const silent = await listenSilently(port, (socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
  });
  cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
  while (sockets.length === 0) await pause(10);
  // No more connections, but the one that was accepted stays open and silent.
  silent.close();
  await serve(address);

  const startedMs = performance.now();
  for (;;) {
    try {
      expect((await echo(channels.to(address))).toString()).toBe('x');
      return;
    } catch (error) {
      if (performance.now() - startedMs > 10_000) throw error;
      await pause(50);
    }
  }
});
