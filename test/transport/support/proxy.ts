import { createServer, connect, type Socket } from 'node:net';
import { afterEach } from 'vitest';
import type { NodeAddress } from '../../../src/transport/index.js';

/** A TCP connection that can be cut, held and damaged on its way from client to server. */
export interface Proxy {
  readonly address: NodeAddress;
  /** Bytes passed from clients so far. */
  readonly passed: () => number;
  /** Ends all connections at once. */
  cut(): void;
  /** Passes nothing on, in both directions, until it is called with false; connections stay. */
  hold(isHeld: boolean): void;
  /** Passes `bytes` more from clients, and cuts then, wherever that is in a frame. */
  cutAfter(bytes: number): void;
  /** Flips one bit of what clients send, once, `bytes` from now. */
  damageAfter(bytes: number): void;
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

export async function startProxy(target: NodeAddress): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let passed = 0;
  let cutAt = Number.POSITIVE_INFINITY;
  let damageAt = Number.POSITIVE_INFINITY;
  let isHeld = false;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const passOn = (chunk: Buffer, to: Socket): void => {
    if (damageAt < passed + chunk.length) {
      chunk[Math.max(0, damageAt - passed)]! ^= 0x10;
      damageAt = Number.POSITIVE_INFINITY;
    }
    const end = Math.min(chunk.length, cutAt - passed);
    to.write(chunk.subarray(0, end));
    passed += end;
    if (end === chunk.length) return;
    cutAt = Number.POSITIVE_INFINITY;
    to.end();
    setImmediate(cut);
  };
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      if (isHeld) socket.pause();
    }
    client.on('data', (chunk) => passOn(chunk, upstream));
    upstream.on('data', (chunk) => client.write(chunk));
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    cut();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    address: { host: '127.0.0.1', port },
    passed: () => passed,
    cut,
    hold: (held) => {
      isHeld = held;
      for (const socket of sockets) {
        if (held) socket.pause();
        else socket.resume();
      }
    },
    cutAfter: (bytes) => (cutAt = passed + bytes),
    damageAfter: (bytes) => (damageAt = passed + bytes),
  };
}
