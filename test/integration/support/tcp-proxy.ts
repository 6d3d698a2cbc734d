/** A TCP proxy on loopback with the faults of a network. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/**
 * `pass`; `lose-answer`: the connection breaks in place of the first byte that the server answers; `cut-upload`: it breaks
 * after `cutBytes` to the server; `refuse`: it breaks at once; `stall`: nothing goes through any more, and nobody is told.
 */
export type ProxyMode = 'pass' | 'lose-answer' | 'cut-upload' | 'refuse' | 'stall';

export class TcpProxy {
  mode: ProxyMode = 'pass';
  cutBytes = 100_000;
  /** Answers that were lost, uploads that were cut, connections that were refused. */
  faults = 0;
  /** Told of every fault; may set another mode. */
  onFault: () => void = () => {};
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    onTestFinished(() => proxy.stop());
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Open connections of clients. */
  get connections(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    this.#sockets.add(client);
    const server = connect({ host: '127.0.0.1', port: this.#target });
    const end = (): void => {
      this.#sockets.delete(client);
      client.destroy();
      server.destroy();
    };
    const fault = (): void => {
      this.faults++;
      this.onFault();
      end();
    };
    for (const socket of [client, server]) socket.on('error', end);
    client.on('close', end);
    // What is still on its way to the client gets there.
    server.on('end', () => client.end());
    if (this.mode === 'refuse') return fault();
    let sentBytes = 0;
    client.on('data', (bytes) => {
      if (this.mode === 'stall') return;
      sentBytes += bytes.length;
      if (this.mode === 'cut-upload' && sentBytes > this.cutBytes) return fault();
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (this.mode === 'stall') return;
      // The server's «go on» before a large body is no answer.
      if (this.mode === 'lose-answer' && !bytes.toString('latin1').startsWith('HTTP/1.1 100')) return fault();
      client.write(bytes);
    });
  }
}
