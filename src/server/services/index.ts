/** All services of a node, wired. */
import { AppendAdmission, ReadBudget } from '../admission.js';
import { Calls } from '../rpc/calls.js';
import { ErrorReporter } from '../rpc/errors.js';
import { GrpcServer } from '../rpc/grpc-server.js';
import { streamsLimitsOf } from '../partition-options.js';
import { Appender } from './appends.js';
import { runAppendSession } from './append-session.js';
import { ClusterMethods } from './cluster-service.js';
import { Pages, Reads } from './reads.js';
import { Router } from './routing.js';
import { StreamMethods } from './stream-service.js';
import { Tails } from './tails.js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Environment } from '../../base/ports/environment.js';
import type { Configuration } from '../config/index.js';
import type { MessageSink } from '../rpc/calls.js';
import type { NodeFacts } from './cluster-service.js';
import type { ListStreamsRequest } from './list-streams.js';
import type { Partitions } from './routing.js';
import type {
  CreateStreamRequest,
  DeleteStreamRequest,
  GetProducerRequest,
  UpdateStreamRequest,
} from './stream-service.js';

/** What a request has around its batch: names, tokens, tags. */
const requestOverheadBytes = 64 * 1024;

export interface NodeServicesParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly partitions: Partitions;
  /** Aborts when the node drains: sessions and tails end. */
  readonly drain: AbortSignal;
  readonly nodeFacts: () => NodeFacts;
}

export class NodeServices {
  readonly admission: AppendAdmission;
  readonly calls: Calls;
  readonly grpc: GrpcServer;
  readonly #parts: NodeServicesParts;
  readonly #errors: ErrorReporter;
  readonly #router: Router;

  constructor(parts: NodeServicesParts) {
    this.#parts = parts;
    const { environment, configuration } = parts;
    const { append, limits, grpc, host, port } = configuration;
    this.#errors = new ErrorReporter(environment);
    this.#router = new Router(parts.partitions, environment.crc32);
    this.admission = new AppendAdmission({
      // A request has some bytes around its batch; the largest batch must pass alone.
      inFlightBytesMax: append.inFlightBytes + requestOverheadBytes,
      inFlightItemsMax: append.inFlightItems,
    });
    this.calls = new Calls({ errors: this.#errors, clock: environment.clock, metrics: environment.metrics });
    this.grpc = new GrpcServer({
      host,
      port,
      messageBytesMax: limits.batchBytes + requestOverheadBytes,
      ...grpc,
      streamMethods: this.#streamMethods(),
      clusterMethods: this.#clusterMethods(),
    });
  }

  #streamMethods(): UntypedServiceImplementation {
    const { environment, configuration, drain } = this.#parts;
    const { append, read, limits } = configuration;
    const { calls } = this;
    const router = this.#router;
    const streamsLimits = streamsLimitsOf(configuration);
    const shared = { environment, router, admission: this.admission, limits: streamsLimits };
    const streams = new StreamMethods({ ...shared, streamsMax: limits.streams });
    const appender = new Appender(shared);
    const pages = new Pages(environment);
    const budget = new ReadBudget({ inFlightBytesMax: read.inFlightBytes, waitingItemsMax: read.waitingItems });
    const reads = new Reads({ environment, router, budget, pageRecordsMax: limits.pageRecords }, pages);
    const tails = new Tails({
      clock: environment.clock,
      metrics: environment.metrics,
      router,
      pages,
      tailsMax: read.tails,
      messageBytesMax: read.tailBytes,
      keepaliveMs: read.tailKeepaliveMs,
      drain,
    });
    const sessionOptions = {
      inFlightBytesMax: append.sessionInFlightBytes,
      inFlightItemsMax: append.sessionInFlightItems,
      drain,
      publicError: (error: unknown) => this.#errors.publicError(error, 'AppendSession'),
    };
    return {
      CreateStream: calls.unary('CreateStream', (request: CreateStreamRequest) => streams.createStream(request)),
      GetStream: calls.unary('GetStream', (request: { name: string }, context) => streams.getStream(request, context)),
      ListStreams: calls.unary('ListStreams', (request: ListStreamsRequest, context) =>
        streams.listStreams(request, context),
      ),
      UpdateStream: calls.unary('UpdateStream', (request: UpdateStreamRequest) => streams.updateStream(request)),
      DeleteStream: calls.unary('DeleteStream', (request: DeleteStreamRequest) => streams.deleteStream(request)),
      GetProducer: calls.unary('GetProducer', (request: GetProducerRequest, context) =>
        streams.getProducer(request, context),
      ),
      Append: calls.unaryBytes('Append', (bytes, { signal }) => appender.appendUnary(bytes, signal)),
      AppendSession: calls.session('AppendSession', (call, context) =>
        runAppendSession(call, context, appender, sessionOptions),
      ),
      Read: calls.unaryBytes('Read', (bytes, context) => reads.read(bytes, context)),
      Tail: calls.streamBytes('Tail', (bytes, sink, context) => tails.tail(bytes, sink, context)),
      GetContext: calls.unaryBytes('GetContext', (bytes, context) => reads.getContext(bytes, context)),
    };
  }

  #clusterMethods(): UntypedServiceImplementation {
    const { configuration, partitions, nodeFacts } = this.#parts;
    const cluster = new ClusterMethods({ configuration, partitions, router: this.#router, nodeFacts });
    const { calls } = this;
    return {
      DescribeCluster: calls.unary('DescribeCluster', () => cluster.describeCluster()),
      ListPartitions: calls.unary('ListPartitions', () => cluster.listPartitions()),
      VerifyPartition: calls.stream(
        'VerifyPartition',
        (request: { partition: number }, sink: MessageSink<object>, context) =>
          cluster.verifyPartition(request, sink, context),
      ),
    };
  }
}
