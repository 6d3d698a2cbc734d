import type { ServerHttp2Stream } from 'node:http2';
import { encodeError } from '../error-codec.js';
import { linkFailure } from '../failures.js';
import {
  decodeMessages,
  decodePresence,
  encodeFrame,
  FrameAssembler,
  frameHeaderBytes,
  FrameKind,
  LinkFormatError,
} from '../frame.js';
import type { Frame } from '../frame.js';
import type { MemberHello } from '../identity.js';
import type { LinkParts } from '../types.js';
import { writeFrames } from './frame-stream.js';
import { NGHTTP2_NO_ERROR } from './sessions.js';

/** Takes the messages of one peer off its stream and hands them on, no faster than they are taken. */
export class IncomingMessages {
  readonly #parts: LinkParts;
  readonly #stream: ServerHttp2Stream;
  readonly #hello: MemberHello;
  readonly #assembler: FrameAssembler;
  readonly #onReceived: (messages: number, bytes: number) => void;
  /** Frames of the last chunk, while the one before them is being delivered. */
  #pending: Frame[] = [];
  #isDelivering = false;
  /** After a malformed frame, nothing that follows means anything. */
  #isBroken = false;

  constructor(
    parts: LinkParts,
    stream: ServerHttp2Stream,
    hello: MemberHello,
    onReceived: (messages: number, bytes: number) => void,
  ) {
    this.#parts = parts;
    this.#stream = stream;
    this.#hello = hello;
    this.#assembler = new FrameAssembler(parts.environment.crc32, parts.options.frameBytesMax);
    this.#onReceived = onReceived;
  }

  run(): void {
    this.#stream.on('data', (chunk: Buffer) => {
      this.#guard(() => {
        this.#pending.push(...this.#assembler.push(chunk));
        this.#deliver();
      });
    });
    this.#stream.on('end', () => {
      this.#guard(() => this.#assembler.end());
      this.#stream.end();
    });
  }

  /** Ends the stream; a newer one of the same peer has taken its place, or the node stops. */
  close(): void {
    this.#pending = [];
    if (!this.#stream.closed) this.#stream.close(NGHTTP2_NO_ERROR);
  }

  #deliver(): void {
    while (!this.#isDelivering) {
      const frame = this.#pending.shift();
      if (frame === undefined) break;
      const taken = this.#handOn(frame);
      if (taken !== undefined) this.#wait(taken);
    }
  }

  #handOn(frame: Frame): void | Promise<void> {
    if (frame.kind === FrameKind.presence) {
      this.#parts.host.onPresence(this.#hello.nodeId, decodePresence(frame));
      return;
    }
    if (frame.kind !== FrameKind.messages) {
      throw new LinkFormatError('kind', `a frame of kind ${frame.kind} in a stream of messages`);
    }
    const deliveries = decodeMessages(frame);
    this.#onReceived(deliveries.length, frame.body.length + frameHeaderBytes);
    return this.#parts.host.deliver(this.#hello.nodeId, deliveries);
  }

  #wait(taken: Promise<void>): void {
    this.#isDelivering = true;
    this.#stream.pause();
    void taken.then(() => {
      this.#isDelivering = false;
      this.#guard(() => this.#deliver());
      if (!this.#isDelivering) this.#stream.resume();
    });
  }

  /** A stream with a malformed frame cannot be read any further; the peer connects again. */
  #guard(work: () => void): void {
    if (this.#isBroken) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof LinkFormatError)) throw error;
      const { logger, crc32 } = this.#parts.environment;
      const { nodeId } = this.#hello;
      logger.warn('received malformed bytes from a node', { node: nodeId, fault: error.fault, detail: error.message });
      this.#isBroken = true;
      this.#pending = [];
      if (this.#stream.closed || this.#stream.destroyed) return;
      writeFrames(this.#stream, [encodeFrame(crc32, FrameKind.error, encodeError(linkFailure(error, 'unknown')))]);
      this.#stream.end(() => this.close());
    }
  }
}
