/** HTTP beside gRPC: /metrics for Prometheus, /healthz (liveness) and /readyz (readiness). */
import { createServer } from 'node:http';
import { formatAddress, listenError } from './listen.js';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Logger } from '../base/ports/logger.js';
import type { Health } from './health.js';

export interface HttpServerParts {
  readonly host: string;
  readonly port: number;
  readonly health: Health;
  readonly logger: Logger;
  /** The Prometheus text format. */
  readonly metricsText: () => Promise<string>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export class HttpServer {
  readonly #parts: HttpServerParts;
  readonly #server: Server;

  constructor(parts: HttpServerParts) {
    this.#parts = parts;
    this.#server = createServer(
      { requestTimeout: 10_000, headersTimeout: 10_000, keepAliveTimeout: 5000 },
      (request, response) => {
        void this.#handle(request, response);
      },
    );
    this.#server.maxConnections = 256;
  }

  /**
   * Listens; answers the port.
   *
   * @throws LogboomError ADDRESS_IN_USE, CONFIGURATION_INVALID
   */
  run(): Promise<number> {
    const { host, port } = this.#parts;
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void => reject(listenError(error, formatAddress(host, port), 'httpPort'));
      this.#server.once('error', onError);
      this.#server.listen(port, host.replace(/^\[(.*)\]$/, '$1'), () => {
        this.#server.off('error', onError);
        this.#server.on('error', (error) => this.#parts.logger.error('the HTTP server has a problem', { error }));
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : port);
      });
    });
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#parts.logger.error('an HTTP request failed', { url: request.url, error });
      answer = text(500, 'internal error');
    }
    const { status, type, body } = answer;
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer({ method, url = '/' }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD');
    const { health, metricsText } = this.#parts;
    switch (url.split('?')[0]) {
      case '/metrics':
        return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await metricsText() };
      case '/healthz': {
        const { healthy, reasons } = health.liveness;
        return json(healthy ? 200 : 503, { alive: healthy, reasons });
      }
      case '/readyz': {
        const { healthy, reasons } = health.readiness;
        return json(healthy ? 200 : 503, { ready: healthy, reasons, degraded: health.degraded });
      }
      default:
        return text(404, 'there are /metrics, /healthz and /readyz');
    }
  }
}

function text(status: number, message: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${message}\n` };
}

function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}
