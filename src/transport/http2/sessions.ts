/** Settings of sessions, the same on both sides. */
import { connect, constants, createSecureServer, createServer } from 'node:http2';
import type { ClientHttp2Session, Http2SecureServer, Http2Server, Http2Session, Settings } from 'node:http2';
import type { LinkOptions } from '../options.js';
import type { LinkParts, LinkTls, NodeAddress } from '../types.js';

/** MB, of one session: above its windows and what is written ahead. Node refuses streams beyond it. */
const sessionMemoryMax = 256;
const headerListBytesMax = 16_384;

export type ConnectionSocket = Http2Session['socket'];

export const messagesPath = '/logboom.link.v1/messages';
export const callPathPrefix = '/logboom.link.v1/call/';
export const timeoutHeader = 'logboom-timeout-ms';
export const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;

function settings({ streamWindowBytes, callsMax }: LinkOptions): Settings {
  return {
    enablePush: false,
    initialWindowSize: streamWindowBytes,
    maxFrameSize: 1 << 20,
    maxHeaderListSize: headerListBytesMax,
    // The stream of messages, and one that takes its place.
    maxConcurrentStreams: callsMax + 2,
  };
}

export function tlsOptions({ certificate, key, certificateAuthority }: LinkTls): {
  cert: Buffer;
  key: Buffer;
  ca: Buffer;
  minVersion: 'TLSv1.3';
  rejectUnauthorized: true;
} {
  return {
    cert: Buffer.from(certificate),
    key: Buffer.from(key),
    ca: Buffer.from(certificateAuthority),
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
  };
}

export interface OpenedSession {
  readonly session: ClientHttp2Session;
  /**
   * Ends session and connection. A session that is destroyed by itself waits for its socket, and so for the end of an
   * attempt to connect, which takes minutes where a machine is gone and nothing answers: a stopped process would not end.
   */
  readonly destroy: () => void;
}

/** A session that connects; the caller takes its errors. */
export function openSession({ options, tls }: LinkParts, address: NodeAddress): OpenedSession {
  const scheme = tls === undefined ? 'http' : 'https';
  const attempt = new AbortController();
  // An option of the socket, to which it is passed on; the types leave those out.
  const socketOptions = { signal: attempt.signal };
  const session = connect(`${scheme}://${formatAddress(address)}`, {
    settings: settings(options),
    maxSessionMemory: sessionMemoryMax,
    ...socketOptions,
    ...(tls === undefined ? {} : tlsOptions(tls)),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  });
  session.once('connect', (_session, socket) => {
    // Small messages must not wait for acknowledgements of others.
    socket.setNoDelay(true);
    session.setLocalWindowSize(options.sessionWindowBytes);
  });
  const destroy = (): void => {
    const { connecting } = session;
    destroySoon(session);
    if (connecting) attempt.abort();
  };
  return { session, destroy };
}

/**
 * Ends a session, after the event that is being handled. Destroyed from within one that a received frame has caused (a stream that
 * was reset, a peer that goes away), with other streams open, Node's session writes what is pending without end: the process
 * spins, and its memory grows until it is killed. Seen with Node 20.20 in `Http2Session::CopyDataIntoOutgoing`.
 */
export function destroySoon(session: Http2Session): void {
  afterThisEvent(() => session.destroy());
}

/** As `destroySoon`; it keeps the process alive until then. */
export function afterThisEvent(work: () => void): void {
  // eslint-disable-next-line no-restricted-globals -- the simulator has links of its own in the place of Node's HTTP/2
  setImmediate(work);
}

export function makeServer({ options, tls }: LinkParts): Http2Server | Http2SecureServer {
  const common = { settings: settings(options), maxSessionMemory: sessionMemoryMax };
  const server =
    tls === undefined
      ? createServer(common)
      : createSecureServer({
          ...common,
          ...tlsOptions(tls),
          requestCert: true,
          handshakeTimeout: options.connectTimeoutMs,
        });
  server.maxConnections = options.sessionsMax;
  server.on('connection', (socket: ConnectionSocket) => socket.setNoDelay(true));
  server.on('session', (session) => session.setLocalWindowSize(options.sessionWindowBytes));
  return server;
}

/** `127.0.0.1:7400`, `[::1]:7400` */
export function formatAddress({ host, port }: NodeAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
