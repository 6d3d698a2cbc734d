import type { X509Certificate } from 'node:crypto';
import type {
  Http2SecureServer,
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import { LogboomError } from '../../base/errors.js';
import type { NodeId } from '../../base/ids.js';
import type { Timer } from '../../base/ports/clock.js';
import { encodeError } from '../error-codec.js';
import { linkFailure } from '../failures.js';
import { encodeFrame, FrameKind } from '../frame.js';
import { hellosDisagree, helloHeaders, isMember, readHello, type Hello, type MemberHello } from '../identity.js';
import { LogRate } from '../log-rate.js';
import type { CallMethod, LinkParts, NodeAddress } from '../types.js';
import { certificateRefusal, isCertifiedFor as isNameCertified } from './certified-names.js';
import { IncomingCall } from './incoming-call.js';
import { IncomingMessages } from './incoming-messages.js';
import type { Received } from './peer-link.js';
import { SessionWatch } from './session-watch.js';
import {
  afterThisEvent,
  callPathPrefix,
  formatAddress,
  makeServer,
  messagesPath,
  tlsOptions,
  type ConnectionSocket,
} from './sessions.js';
import { writeFrames } from './frame-stream.js';

type TLSSocket = Extract<ConnectionSocket, { getPeerX509Certificate: unknown }>;

interface IncomingSession {
  /** Whether a member has shown itself on it. */
  isAdmitted: boolean;
  calls: number;
  /** Of the other side, signed by the authority; undefined without TLS. */
  readonly certificate: X509Certificate | undefined;
  readonly watch: SessionWatch;
  handshakeTimer: Timer | undefined;
}

export interface LinkServerEvents {
  /** A member has opened its stream of messages to this node. */
  onPeer(hello: MemberHello): void;
}

/** Where the links of other nodes arrive: checks who they are, takes their messages, serves their calls. */
export class LinkServer {
  readonly #parts: LinkParts;
  readonly #listenAddress: NodeAddress;
  readonly #methods: ReadonlyMap<string, CallMethod>;
  readonly #events: LinkServerEvents;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #sessions = new Map<ServerHttp2Session, IncomingSession>();
  /** Connections, also those that are no session yet. */
  readonly #sockets = new Set<ConnectionSocket>();
  /** The newest stream of messages of each peer. */
  readonly #streams = new Map<NodeId, IncomingMessages>();
  readonly #received = new Map<NodeId, { messages: number; bytes: number }>();
  readonly #calls = new Set<IncomingCall>();
  readonly #refusalLog: LogRate;
  #isDraining = false;
  #onCallsDone: (() => void) | undefined;

  constructor(
    parts: LinkParts,
    listenAddress: NodeAddress,
    methods: ReadonlyMap<string, CallMethod>,
    events: LinkServerEvents,
  ) {
    this.#parts = parts;
    this.#listenAddress = listenAddress;
    this.#methods = methods;
    this.#events = events;
    this.#refusalLog = new LogRate(parts.options.refusalLogIntervalMs);
    this.#server = makeServer(parts);
    this.#server.on('connection', (socket: ConnectionSocket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session) => this.#onSession(session));
    this.#server.on('stream', (stream, headers) => this.#onStream(stream, headers));
    const { logger } = parts.environment;
    this.#server.on('sessionError', (error) => logger.debug('a session of another node broke', { error }));
    // Without a listener, a stranger's bytes would be an uncaught error.
    this.#server.on('tlsClientError', (error) => logger.debug('a TLS handshake failed', { error }));
  }

  /**
   * Listens; answers where.
   *
   * @throws LogboomError ADDRESS_IN_USE, CONFIGURATION_INVALID
   */
  run(): Promise<NodeAddress> {
    const { host, port } = this.#listenAddress;
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void => reject(listenError(error, this.#listenAddress));
      this.#server.once('error', onError);
      this.#server.listen(port, host, () => {
        this.#server.off('error', onError);
        const { logger } = this.#parts.environment;
        this.#server.on('error', (error) => logger.error('the server of links has a problem', { error }));
        const address = this.#server.address();
        resolve({ host, port: typeof address === 'object' && address !== null ? address.port : port });
      });
    });
  }

  renewTls(): void {
    const { tls } = this.#parts;
    if (tls !== undefined) (this.#server as Http2SecureServer).setSecureContext(tlsOptions(tls));
  }

  receivedFrom(nodeId: NodeId): Received {
    return this.#received.get(nodeId) ?? { messages: 0, bytes: 0 };
  }

  forget(nodeId: NodeId): void {
    this.#streams.get(nodeId)?.close();
    this.#streams.delete(nodeId);
    this.#received.delete(nodeId);
  }

  /** Refuses new calls; resolves when those under way are over, at the latest when `stop` ends them. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#calls.size === 0) return;
    await new Promise<void>((resolve) => (this.#onCallsDone = resolve));
  }

  async stop(): Promise<void> {
    this.#isDraining = true;
    for (const call of this.#calls) call.cancel(shuttingDown());
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : Promise.resolve();
    // As `destroySoon`: what has called this may be handling a frame.
    await new Promise<void>((resolve) => afterThisEvent(resolve));
    for (const session of this.#sessions.keys()) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    this.#onCallsDone?.();
  }

  #onSession(session: ServerHttp2Session): void {
    const { environment, options } = this.#parts;
    const events = { onRoundTrip: () => {}, onDead: () => session.destroy() };
    const state: IncomingSession = {
      isAdmitted: false,
      calls: 0,
      certificate: peerCertificate(session),
      watch: new SessionWatch(session, environment.clock, options, events),
      handshakeTimer: undefined,
    };
    this.#sessions.set(session, state);
    session.on('close', () => {
      state.watch.stop();
      state.handshakeTimer?.cancel();
      this.#sessions.delete(session);
    });
    session.on('error', () => {});
    state.watch.run();
    this.#limitStranger(session, state);
  }

  /** Who shows no credentials, and has no call under way, does not stay. */
  #limitStranger(session: ServerHttp2Session, state: IncomingSession): void {
    const { environment, options } = this.#parts;
    state.handshakeTimer = environment.clock.setTimer(options.handshakeTimeoutMs, () => {
      if (state.isAdmitted) return;
      if (state.calls > 0) this.#limitStranger(session, state);
      else session.destroy();
    });
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // What breaks a stream closes it; that is handled.
    stream.on('error', () => {});
    const state = stream.session === undefined ? undefined : this.#sessions.get(stream.session as ServerHttp2Session);
    if (state === undefined) return stream.close();
    try {
      const path = String(headers[':path']);
      if (path === messagesPath) this.#acceptMessages(stream, state, this.#admit(headers, state, 'members'));
      else this.#acceptCall(stream, state, headers, path);
    } catch (error) {
      this.#refuse(stream, linkFailure(error, 'not-sent'));
    }
  }

  /** @throws LogboomError why the other node is refused */
  #admit(headers: IncomingHttpHeaders, { certificate }: IncomingSession, access: CallMethod['access']): Hello {
    const { host, tls } = this.#parts;
    const hello = readHello(headers);
    // Before anything that it says of itself is looked at.
    const stranger = access === 'certified' ? undefined : tls && certificateRefusal(tls, certificate, hello);
    if (stranger !== undefined) throw stranger;
    const disagreement = hellosDisagree(host.identity(), hello, access === 'members' ? 'members' : 'open');
    if (disagreement !== undefined) throw disagreement;
    const refusal = access === 'members' && isMember(hello) ? host.admit(hello) : undefined;
    if (refusal !== undefined) throw refusal;
    return hello;
  }

  #acceptMessages(stream: ServerHttp2Stream, state: IncomingSession, hello: Hello): void {
    if (!isMember(hello)) return stream.close();
    const { nodeId } = hello;
    state.isAdmitted = true;
    const counts = this.#received.get(nodeId) ?? { messages: 0, bytes: 0 };
    this.#received.set(nodeId, counts);
    const labels = { peer: String(nodeId) };
    const { metrics } = this.#parts;
    const incoming = new IncomingMessages(this.#parts, stream, hello, (messages, bytes) => {
      counts.messages += messages;
      counts.bytes += bytes;
      metrics.receivedMessages.add(messages, labels);
      metrics.receivedBytes.add(bytes, labels);
    });
    this.#streams.get(nodeId)?.close();
    this.#streams.set(nodeId, incoming);
    stream.once('close', () => {
      if (this.#streams.get(nodeId) === incoming) this.#streams.delete(nodeId);
    });
    this.#greet(stream, hello);
    incoming.run();
    this.#events.onPeer(hello);
  }

  #acceptCall(stream: ServerHttp2Stream, state: IncomingSession, headers: IncomingHttpHeaders, path: string): void {
    const name = path.startsWith(callPathPrefix) ? path.slice(callPathPrefix.length) : '';
    const method = this.#methods.get(name);
    const hello = this.#admit(headers, state, method?.access ?? 'members');
    if (method === undefined) throw new LogboomError('UNIMPLEMENTED', `this node has no method '${name}' for nodes`);
    if (this.#isDraining) throw shuttingDown();
    const { callsMax } = this.#parts.options;
    if (state.calls >= callsMax) {
      throw new LogboomError('QUEUE_FULL', `${callsMax} calls of this node are being served; send again later`, {
        facts: { callsMax },
        retryAfterMs: 50,
      });
    }
    if (method.access === 'members') state.isAdmitted = true;
    this.#greet(stream, hello);
    void this.#serve(new IncomingCall(this.#parts, stream, name, method), state, name, hello, headers);
  }

  async #serve(
    call: IncomingCall,
    state: IncomingSession,
    method: string,
    hello: Hello,
    headers: IncomingHttpHeaders,
  ): Promise<void> {
    state.calls += 1;
    this.#calls.add(call);
    const { certificate } = state;
    const isCertifiedFor =
      this.#parts.tls === undefined
        ? undefined
        : (host: string): boolean => certificate !== undefined && isNameCertified(certificate, host);
    const reason = await call.serve(hello, headers, isCertifiedFor);
    state.calls -= 1;
    this.#calls.delete(call);
    this.#parts.metrics.served.add(1, { method, reason });
    if (this.#calls.size === 0) this.#onCallsDone?.();
  }

  #greet(stream: ServerHttp2Stream, hello: Hello): void {
    stream.respond({ ':status': 200, ...helloHeaders(this.#parts.host.identity(), hello.nodeId) });
  }

  #refuse(stream: ServerHttp2Stream, error: LogboomError): void {
    const { environment, metrics, host } = this.#parts;
    metrics.refused.add(1, { reason: error.reason });
    const heldBack = this.#refusalLog.take(environment.clock.monotonicMs());
    if (heldBack !== undefined) {
      const remote = stream.session?.socket.remoteAddress;
      environment.logger.warn('refused a stream of another node', {
        remote,
        reason: error.reason,
        detail: error.message,
        heldBack,
      });
    }
    if (stream.closed || stream.destroyed) return;
    stream.respond({ ':status': 403, ...helloHeaders(host.identity(), undefined) });
    stream.resume();
    writeFrames(stream, [encodeFrame(environment.crc32, FrameKind.error, encodeError(error))]);
    stream.end(() => stream.close());
  }
}

function peerCertificate({ socket }: ServerHttp2Session): X509Certificate | undefined {
  // Not `in`: the socket of a session is a proxy, which answers what it gets from the socket and knows of nothing.
  return (socket as Partial<Pick<TLSSocket, 'getPeerX509Certificate'>>).getPeerX509Certificate?.();
}

function shuttingDown(): LogboomError {
  return new LogboomError('SHUTTING_DOWN', 'the other node is stopping', { retryAfterMs: 100 });
}

function listenError(error: Error, address: NodeAddress): LogboomError {
  const at = formatAddress(address);
  const options = { facts: { address: at }, cause: error };
  return 'code' in error && error.code === 'EADDRINUSE'
    ? new LogboomError('ADDRESS_IN_USE', `${at}, for links between nodes, is in use by another process`, options)
    : new LogboomError('CONFIGURATION_INVALID', `cannot listen on ${at} for links: ${error.message}`, options);
}
