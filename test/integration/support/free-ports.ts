import { createServer } from 'node:net';

/**
 * Two free ports next to each other, on loopback. Below the range that the system gives to outgoing connections: a client
 * that tries a port of that range while its server is down can end up connected to itself.
 */
export async function freePortPair(): Promise<number> {
  return freePorts(2);
}

/** The first of so many free ports, one after another. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 12_000 + 2 * Math.floor(Math.random() * 9000);
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(port + index)));
    if (free.every(Boolean)) return port;
  }
  throw new Error(`no ${count} free ports between 12000 and 30000`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
