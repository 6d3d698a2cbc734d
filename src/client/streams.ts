import { method } from './connection.js';
import type { CallOptions, Connection } from './connection.js';
import { ClientError } from './errors.js';
import * as messages from './messages.js';
import type { MessageValue } from './schema.js';

/** A stream as the server describes it. */
export interface StreamInfo {
  readonly name: string;
  /** Changes when a stream of this name is deleted and created again. */
  readonly epoch: number;
  readonly partition: number;
  /** 0 keeps records for ever. */
  readonly retentionAgeMs: number;
  readonly retentionBytes: number;
  /** Position of the oldest record; equal to `nextSeq` when there is none. */
  readonly firstSeq: number;
  /** Position that the next record will have. */
  readonly nextSeq: number;
  readonly storedBytes: number;
  readonly createdMs: number;
  /** Undefined before the first append. */
  readonly lastAppendMs: number | undefined;
  /** Empty when none is set. */
  readonly fencingToken: string;
  readonly producerCount: number;
}

export interface CreateStreamOptions extends CallOptions {
  readonly retentionAgeMs?: number | undefined;
  readonly retentionBytes?: number | undefined;
  readonly fencingToken?: string | undefined;
  /** Answers the existing stream, whatever its configuration, in place of STREAM_ALREADY_EXISTS. */
  readonly ifNotExists?: boolean | undefined;
}

export interface UpdateStreamOptions extends CallOptions {
  readonly retentionAgeMs?: number | undefined;
  readonly retentionBytes?: number | undefined;
  /** Empty removes it. */
  readonly fencingToken?: string | undefined;
  /** Only when the stream carries this token now (empty: none); otherwise FENCING_TOKEN_MISMATCH. */
  readonly expectedFencingToken?: string | undefined;
}

const listPageMax = 1000;

/** Management of streams; `client.streams`. */
export class Streams {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(name: string, options: CreateStreamOptions = {}): Promise<StreamInfo & { readonly created: boolean }> {
    const { retentionAgeMs = 0, retentionBytes = 0, fencingToken, ifNotExists = false } = options;
    const value = { name, config: { retentionAgeMs, retentionBytes }, fencingToken, ifNotExists };
    const response = await this.#connection.unary(
      method.createStream,
      { message: messages.createStreamRequest, value },
      messages.createStreamResponse,
      { ...bounds(options), stream: name, idempotent: ifNotExists },
    );
    return { ...infoOf(response.stream), created: response.created };
  }

  async get(name: string, options: CallOptions = {}): Promise<StreamInfo> {
    const request = { message: messages.getStreamRequest, value: { name } };
    const response = await this.#connection.unary(method.getStream, request, messages.getStreamResponse, {
      ...bounds(options),
      stream: name,
      idempotent: true,
    });
    return infoOf(response.stream);
  }

  /** Ascending by name, over all pages. */
  async *list(options: CallOptions & { readonly prefix?: string | undefined } = {}): AsyncIterableIterator<StreamInfo> {
    let pageToken = '';
    do {
      const value = { prefix: options.prefix, limit: listPageMax, pageToken };
      const response = await this.#connection.unary(
        method.listStreams,
        { message: messages.listStreamsRequest, value },
        messages.listStreamsResponse,
        { ...bounds(options), idempotent: true },
      );
      yield* response.streams.map(infoOf);
      pageToken = response.nextPageToken;
    } while (pageToken !== '');
  }

  /** What is not given stays as it is. */
  async update(name: string, options: UpdateStreamOptions): Promise<StreamInfo> {
    const { retentionAgeMs, retentionBytes, fencingToken, expectedFencingToken } = options;
    const value = { name, retentionAgeMs, retentionBytes, fencingToken, expectedFencingToken };
    const response = await this.#connection.unary(
      method.updateStream,
      { message: messages.updateStreamRequest, value },
      messages.updateStreamResponse,
      { ...bounds(options), stream: name, idempotent: expectedFencingToken === undefined },
    );
    return infoOf(response.stream);
  }

  /** With all its records. Answers the positions that went with it. */
  async delete(
    name: string,
    options: CallOptions & { readonly expectedEpoch?: number | undefined } = {},
  ): Promise<{ readonly firstSeq: number; readonly nextSeq: number }> {
    const value = { name, expectedEpoch: options.expectedEpoch };
    const request = { message: messages.deleteStreamRequest, value };
    return this.#connection.unary(method.deleteStream, request, messages.deleteStreamResponse, {
      ...bounds(options),
      stream: name,
      idempotent: false,
    });
  }
}

const bounds = ({ signal, deadlineMs }: CallOptions): CallOptions => ({ signal, deadlineMs });

function infoOf(stream: MessageValue<typeof messages.stream> | undefined): StreamInfo {
  if (!stream) throw new ClientError('PROTOCOL', 'an answer without the stream');
  const { config, createdUnixMs, lastAppendUnixMs, ...same } = stream;
  return {
    ...same,
    retentionAgeMs: config?.retentionAgeMs ?? 0,
    retentionBytes: config?.retentionBytes ?? 0,
    createdMs: createdUnixMs,
    lastAppendMs: lastAppendUnixMs === 0 ? undefined : lastAppendUnixMs,
  };
}
