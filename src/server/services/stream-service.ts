/** The cold methods of StreamService: streams and producers. */
import { LogboomError } from '../../base/errors.js';
import { nextIdentity } from '../../base/ports/random.js';
import {
  createStreamCommand,
  deleteStreamCommand,
  encodeCommand,
  expectResult,
  getProducer,
  requireStream,
  updateStreamCommand,
} from '../../streams/index.js';
import type { Environment } from '../../base/ports/environment.js';
import type { StreamView, StreamsCommand, StreamsLimits, StreamsResult } from '../../streams/index.js';
import type { AppendAdmission } from '../admission.js';
import { listAllStreams } from './list-streams.js';
import { streamRights } from '../security/rights.js';
import type { CallContext } from '../rpc/calls.js';
import type { ListedStream, StreamsPage } from './all-streams.js';
import type { ListStreamsRequest } from './list-streams.js';
import type { Router, StreamsReplica } from './routing.js';

/** Messages as proto-loader decodes them: 64-bit numbers as text, fields that are not set and have no default left out. */
export interface CreateStreamRequest {
  readonly name: string;
  readonly config: { readonly retentionAgeMs: string; readonly retentionBytes: string } | null;
  readonly fencingToken: string;
  readonly ifNotExists: boolean;
}
export interface UpdateStreamRequest {
  readonly name: string;
  readonly retentionAgeMs?: string;
  readonly retentionBytes?: string;
  readonly fencingToken?: string;
  readonly expectedFencingToken?: string;
}
export interface DeleteStreamRequest {
  readonly name: string;
  readonly expectedEpoch?: string;
}
export interface GetProducerRequest {
  readonly stream: string;
  readonly producerId: string;
}

export interface StreamServiceParts {
  readonly environment: Environment;
  readonly router: Router;
  readonly admission: AppendAdmission;
  readonly limits: StreamsLimits;
  /** The cluster's: what may be written to the log. */
  readonly featureLevel: () => number;
  /** Streams of the whole node. */
  readonly streamsMax: number;
  /** Resolves when a replica here shows everything that was acknowledged before the call. */
  readonly confirm: (replica: StreamsReplica, signal: AbortSignal) => Promise<void>;
}

export class StreamMethods {
  readonly #parts: StreamServiceParts;

  constructor(parts: StreamServiceParts) {
    this.#parts = parts;
  }

  async createStream(request: CreateStreamRequest): Promise<object> {
    const { router, admission, limits, environment } = this.#parts;
    admission.assertDiskHasRoom();
    const config = {
      retentionAgeMs: unsigned(request.config?.retentionAgeMs ?? '0', 'config.retention_age_ms'),
      retentionBytes: unsigned(request.config?.retentionBytes ?? '0', 'config.retention_bytes'),
    };
    const { name, fencingToken, ifNotExists } = request;
    const epoch = nextIdentity(environment.random);
    const command = createStreamCommand({ name, config, fencingToken, ifNotExists }, epoch, limits);
    const replica = router.replicaOfStream(name);
    // Advisory: streams that other partitions create at this moment are not counted.
    if (!replica.machine.streamByName(name)) this.#requireRoomForStream();
    const { stream, created } = expectResult(await this.#propose(replica, command), 'stream-created');
    return { stream: streamMessage(stream, replica), created };
  }

  async getStream({ name }: { readonly name: string }, { signal }: CallContext): Promise<object> {
    const replica = this.#parts.router.replicaOfStream(name);
    await replica.awaitLinearizable(signal);
    return { stream: streamMessage(requireStream(replica.machine, name), replica) };
  }

  /** Those of the partitions that have a replica here. */
  async listStreams(request: ListStreamsRequest, { signal, caller }: CallContext): Promise<StreamsPage> {
    const replicas = [...this.#parts.router.replicas()];
    await Promise.all(replicas.map((replica) => this.#parts.confirm(replica, signal)));
    const isVisible = caller.isUnlimited ? undefined : (name: string): boolean => caller.mayOn(name, streamRights);
    const { streams, nextPageToken } = listAllStreams(replicas, request, this.#parts.environment.crc32, isVisible);
    return { streams: streams.map(({ replica, stream }) => streamMessage(stream, replica)), nextPageToken };
  }

  async updateStream(request: UpdateStreamRequest): Promise<object> {
    const { router, limits } = this.#parts;
    const replica = router.replicaOfStream(request.name);
    const stream = requireStream(replica.machine, request.name);
    const command = updateStreamCommand(
      stream,
      {
        retentionAgeMs: optionalUnsigned(request.retentionAgeMs, 'retention_age_ms'),
        retentionBytes: optionalUnsigned(request.retentionBytes, 'retention_bytes'),
        fencingToken: request.fencingToken,
        expectedFencingToken: request.expectedFencingToken,
      },
      limits,
    );
    const updated = expectResult(await this.#propose(replica, command), 'stream-updated');
    return { stream: streamMessage(updated.stream, replica) };
  }

  async deleteStream(request: DeleteStreamRequest): Promise<object> {
    const replica = this.#parts.router.replicaOfStream(request.name);
    const stream = requireStream(replica.machine, request.name);
    const command = deleteStreamCommand(stream, optionalUnsigned(request.expectedEpoch, 'expected_epoch'));
    const { firstSeq, nextSeq } = expectResult(await this.#propose(replica, command), 'stream-deleted');
    return { firstSeq, nextSeq };
  }

  async getProducer(request: GetProducerRequest, { signal }: CallContext): Promise<object> {
    const replica = this.#parts.router.replicaOfStream(request.stream);
    await replica.awaitLinearizable(signal);
    const stream = requireStream(replica.machine, request.stream);
    const producer = getProducer(replica.reader, stream, request.producerId);
    if (!producer) return { epoch: 0, nextRecordNumber: 0, streamEpoch: stream.epoch, known: false, lastSeq: 0 };
    const { epoch, nextRecordNumber, lastSeq } = producer;
    return { epoch, nextRecordNumber, streamEpoch: stream.epoch, known: true, lastSeq };
  }

  async #propose(replica: StreamsReplica, command: StreamsCommand): Promise<StreamsResult> {
    const { environment, featureLevel } = this.#parts;
    const stamp = { timeMs: Math.floor(environment.clock.wallMs()), featureLevel: featureLevel() };
    return (await replica.propose(encodeCommand(command, stamp))).result;
  }

  #requireRoomForStream(): void {
    const { router, streamsMax } = this.#parts;
    let streams = 0;
    for (const { machine } of router.replicas()) streams += machine.streamCount;
    if (streams < streamsMax) return;
    throw new LogboomError(
      'STREAM_LIMIT_REACHED',
      `the node holds ${streams} streams; limits.streams allows ${streamsMax}`,
      {
        facts: { limit: 'limits.streams', used: streams, max: streamsMax },
      },
    );
  }
}

function streamMessage(stream: StreamView, replica: StreamsReplica): ListedStream {
  return {
    name: stream.name,
    epoch: stream.epoch,
    partition: replica.partitionId,
    config: stream.config,
    firstSeq: stream.firstSeq,
    nextSeq: stream.nextSeq,
    storedBytes: stream.storedBytes,
    createdUnixMs: stream.createdMs,
    lastAppendUnixMs: stream.lastAppendMs,
    fencingToken: stream.fencingToken,
    producerCount: stream.producerCount,
  };
}

/** @throws LogboomError INVALID_ARGUMENT beyond 2^53 - 1 */
function unsigned(text: string, field: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new LogboomError('INVALID_ARGUMENT', `${field} is ${text}; it must not be beyond 2^53 - 1`, {
    facts: { field, value: text },
  });
}

function optionalUnsigned(text: string | undefined, field: string): number | undefined {
  return text === undefined ? undefined : unsigned(text, field);
}
