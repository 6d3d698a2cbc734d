import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2';
import { LogboomError } from '../../base/errors.js';
import type { NodeId } from '../../base/ids.js';
import type { Timer } from '../../base/ports/clock.js';
import { decodeError } from '../error-codec.js';
import { linkFailure, unreachable } from '../failures.js';
import { FrameAssembler, FrameKind } from '../frame.js';
import { hellosDisagree, helloHeaders, isMember, readHello, type MemberHello } from '../identity.js';
import type { OutgoingQueue } from '../outgoing-queue.js';
import type { LinkParts, NodeAddress } from '../types.js';
import { MessageWriter } from './message-writer.js';
import { SessionWatch } from './session-watch.js';
import { formatAddress, messagesPath, openSession } from './sessions.js';

export interface ConnectionEvents {
  onOpen(hello: MemberHello): void;
  onWritten(messages: number, bytes: number): void;
  onRoundTrip(roundTripMs: number): void;
  /** Exactly once, unless `close` was called before; also when the connection never opened. */
  onEnd(error: LogboomError): void;
}

/** What a peer sends back on the stream of messages: at most an error. */
const answerBytesMax = 65_536;

/** One attempt at a session with a peer, and what becomes of it. Never used again once it ended. */
export class Connection {
  readonly session: ClientHttp2Session;
  readonly #destroy: () => void;
  readonly #parts: LinkParts;
  readonly #address: NodeAddress;
  readonly #toNodeId: NodeId;
  readonly #events: ConnectionEvents;
  readonly #stream: ClientHttp2Stream;
  readonly #writer: MessageWriter;
  readonly #watch: SessionWatch;
  readonly #connectTimer: Timer;
  #isOpen = false;
  #hasEnded = false;

  constructor(
    parts: LinkParts,
    peer: { readonly nodeId: NodeId; readonly address: NodeAddress },
    queue: OutgoingQueue,
    events: ConnectionEvents,
  ) {
    const { clock, crc32 } = parts.environment;
    const { options } = parts;
    this.#parts = parts;
    this.#address = peer.address;
    this.#toNodeId = peer.nodeId;
    this.#events = events;
    const { session, destroy } = openSession(parts, peer.address);
    this.session = session;
    this.#destroy = destroy;
    const headers = helloHeaders(parts.host.identity(), peer.nodeId);
    this.#stream = this.session.request({ ':method': 'POST', ':path': messagesPath, ...headers }, { endStream: false });
    this.#writer = new MessageWriter(this.#stream, queue, crc32, options, (messages, bytes) =>
      events.onWritten(messages, bytes),
    );
    const watchEvents = {
      onRoundTrip: (roundTripMs: number) => events.onRoundTrip(roundTripMs),
      onDead: (detail: string) => this.#end(unreachable(`${this.#name}: ${detail}`, 'unknown')),
    };
    this.#watch = new SessionWatch(this.session, clock, options, watchEvents, this.#writer);
    this.#connectTimer = clock.setTimer(options.connectTimeoutMs, () =>
      this.#end(unreachable(`${this.#name} did not answer within ${options.connectTimeoutMs} ms`, 'not-sent')),
    );
    this.#listen();
  }

  get isOpen(): boolean {
    return this.#isOpen && !this.#hasEnded;
  }

  /** Sends what is in the queue, as far as the connection takes it. */
  write(): void {
    if (this.isOpen) this.#writer.write();
  }

  writePresence(epoch: number): void {
    if (this.isOpen) this.#writer.writePresence(epoch);
  }

  /** Tears down without an event. */
  close(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#connectTimer.cancel();
    this.#watch.stop();
    this.#destroy();
  }

  get #name(): string {
    return `node ${this.#toNodeId} at ${formatAddress(this.#address)}`;
  }

  #end(error: LogboomError): void {
    if (this.#hasEnded) return;
    this.close();
    this.#events.onEnd(error);
  }

  #listen(): void {
    const broke = (error: unknown): void => {
      const detail = error instanceof Error ? error.message : 'the connection was closed';
      this.#end(unreachable(`${this.#name}: ${detail}`, 'unknown', error));
    };
    this.session.on('error', broke);
    this.session.on('close', () => broke(undefined));
    // A peer that goes away in good order still finishes what is under way, but takes nothing new.
    this.session.on('goaway', (code) => broke(new Error(`the peer is going away (HTTP/2 error code ${code})`)));
    this.#stream.on('error', broke);
    this.#stream.on('close', () => broke(undefined));
    this.#stream.on('response', (headers) => this.#onResponse(headers));
    const assembler = new FrameAssembler(this.#parts.environment.crc32, answerBytesMax);
    this.#stream.on('data', (chunk: Buffer) => this.#onAnswer(assembler, chunk));
    this.#stream.on('end', () => broke(new Error('the peer ended the stream of messages')));
  }

  /** A refusal follows as an error frame. */
  #onResponse(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (headers[':status'] !== 200) return;
    try {
      const hello = readHello(headers);
      const { host } = this.#parts;
      // What the peer was told to be, it must say itself.
      const refusal = hellosDisagree(host.identity(), { ...hello, toNodeId: undefined }, 'members');
      if (refusal !== undefined) throw refusal;
      if (!isMember(hello) || hello.nodeId !== this.#toNodeId) throw this.#otherNode(hello.nodeId);
      const notAdmitted = host.admit(hello);
      if (notAdmitted !== undefined) throw notAdmitted;
      this.#open(hello);
    } catch (error) {
      this.#end(linkFailure(error, 'not-sent'));
    }
  }

  #open(hello: MemberHello): void {
    this.#connectTimer.cancel();
    this.#isOpen = true;
    this.#watch.run();
    this.#events.onOpen(hello);
    this.write();
  }

  #otherNode(actual: NodeId | undefined): LogboomError {
    return new LogboomError(
      'NODE_MISMATCH',
      `at ${formatAddress(this.#address)} answers node ${actual ?? 'without an id'}, not node ${this.#toNodeId}`,
      { facts: { expected: this.#toNodeId, actual: actual ?? '' } },
    );
  }

  #onAnswer(assembler: FrameAssembler, chunk: Buffer): void {
    try {
      for (const { kind, body } of assembler.push(chunk)) {
        if (kind === FrameKind.error) this.#end(decodeError(body));
      }
    } catch (error) {
      this.#end(linkFailure(error, 'unknown'));
    }
  }
}
