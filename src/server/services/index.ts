/** All services of a node, wired. */
import { AppendAdmission, ReadBudget } from '../admission.js';
import { Calls } from '../rpc/calls.js';
import { ErrorReporter } from '../rpc/errors.js';
import { GrpcServer } from '../rpc/grpc-server.js';
import { authorizedAppends } from './authorized-appends.js';
import { streamsLimitsOf } from '../partition-options.js';
import { Forwarding, isForwarded } from '../forwarding/forwarding.js';
import { authorizationOf } from '../forwarding/remote-calls.js';
import { metadataPartition } from '../replicas.js';
import { callerOf } from '../rpc/definitions.js';
import { allStreams, type StreamsPage } from './all-streams.js';
import { Appender, LocalAppends } from './appends.js';
import { runAppendSession } from './append-session.js';
import { ClusterMethods } from './cluster-service.js';
import { MembershipMethods, type MembershipDesk } from './membership-methods.js';
import { Pages, pageBytes, Reads } from './reads.js';
import { Router } from './routing.js';
import { StreamMethods } from './stream-service.js';
import { SnapshotMethods, type SnapshotParts } from './snapshot-methods.js';
import { TransferMethod, type TransferRequest, type TransferredReplica } from './transfer-method.js';
import { Tails } from './tails.js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { asPartitionId, type PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Configuration } from '../config/index.js';
import type { NodeSecurity } from '../security/node-security.js';
import { decodeGetContextRequest, decodeReadRequest } from '../wire/requests.js';
import { LogboomError } from '../../base/errors.js';
import type { CallContext, MessageSink, UnaryMethod } from '../rpc/calls.js';
import type { MethodName } from '../security/rights.js';
import type { Forward } from '../forwarding/forwarding.js';
import type { Leaders } from '../forwarding/leaders.js';
import type { RemoteCalls } from '../forwarding/remote-calls.js';
import type { ClusterNodes } from './cluster-nodes.js';
import type { NodeFacts } from './cluster-service.js';
import type { ListStreamsRequest } from './list-streams.js';
import type { Partitions, StreamsReplica } from './routing.js';
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
  /** Of any partition, that of the metadata too. @throws LogboomError PARTITION_NOT_FOUND */
  readonly replicaOf: (id: PartitionId) => ReturnType<SnapshotParts['replicaOf']> & TransferredReplica;
  readonly repository: SnapshotParts['repository'];
  /** The other nodes, if there are any. */
  readonly cluster: ClusterAround;
  readonly security: Pick<NodeSecurity, 'gate' | 'serverCredentials'>;
}

export interface ClusterAround {
  readonly leaders: Leaders;
  readonly remote: RemoteCalls;
  readonly nodes: ClusterNodes;
  readonly membership: MembershipDesk;
  readonly featureLevel: () => number;
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
    const { environment, configuration, cluster, security } = parts;
    const { append, limits, grpc, host, port } = configuration;
    this.#errors = new ErrorReporter(environment, (error) => cluster.leaders.explained(error));
    this.#router = new Router(parts.partitions, environment.crc32);
    this.admission = new AppendAdmission({
      // A request has some bytes around its batch; the largest batch must pass alone.
      inFlightBytesMax: append.inFlightBytes + requestOverheadBytes,
      inFlightItemsMax: append.inFlightItems,
    });
    const { clock, metrics } = environment;
    this.calls = new Calls({ errors: this.#errors, clock, metrics, gate: security.gate });
    this.grpc = new GrpcServer({
      host,
      port,
      messageBytesMax: limits.batchBytes + requestOverheadBytes,
      ...grpc,
      credentials: security.serverCredentials,
      gate: security.gate,
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
    const streams = new StreamMethods({
      ...shared,
      featureLevel: this.#parts.cluster.featureLevel,
      streamsMax: limits.streams,
      confirm: this.#confirm(),
    });
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
    };
    const publicError = (error: unknown): LogboomError => this.#errors.publicError(error, 'AppendSession');
    const localAppends = new LocalAppends(appender, publicError);
    const forward = this.#forwarding();
    const change = <Request>(
      name: MethodName,
      streamOf: (request: Request) => string,
      method: (request: Request) => Promise<object>,
    ): object => calls.unaryEither(name, forward.decoded({ name, isIdempotent: false }, streamOf, method));
    const ask = <Request>(
      name: MethodName,
      streamOf: (request: Request) => string,
      method: (request: Request, context: CallContext) => Promise<object>,
    ): object => calls.unaryEither(name, forward.decoded({ name, isIdempotent: true }, streamOf, method));
    const page = (
      name: MethodName,
      decode: (bytes: Buffer) => { readonly maxBytes: number | undefined },
      method: UnaryMethod<Buffer, Buffer>,
    ): object => {
      const reserve = (bytes: Buffer, { signal }: CallContext): Promise<() => void> =>
        budget.acquire(pageBytes(decode(bytes).maxBytes), signal);
      return calls.unaryBytes(name, forward.bytes({ name, isIdempotent: true, reserve }, method));
    };
    const reserveAppend = (bytes: Buffer): (() => void) => this.admission.admit(bytes.length);
    return {
      CreateStream: change<CreateStreamRequest>(
        'CreateStream',
        ({ name }) => name,
        (request) => streams.createStream(request),
      ),
      GetStream: ask<{ name: string }>(
        'GetStream',
        ({ name }) => name,
        (request, context) => streams.getStream(request, context),
      ),
      ListStreams: calls.unary('ListStreams', this.#listStreams(streams)),
      UpdateStream: change<UpdateStreamRequest>(
        'UpdateStream',
        ({ name }) => name,
        (request) => streams.updateStream(request),
      ),
      DeleteStream: change<DeleteStreamRequest>(
        'DeleteStream',
        ({ name }) => name,
        (request) => streams.deleteStream(request),
      ),
      GetProducer: ask<GetProducerRequest>(
        'GetProducer',
        ({ stream }) => stream,
        (request, context) => streams.getProducer(request, context),
      ),
      Append: calls.unaryBytes(
        'Append',
        forward.bytes({ name: 'Append', isIdempotent: false, reserve: reserveAppend }, (bytes, { signal }) =>
          appender.appendUnary(bytes, signal),
        ),
      ),
      AppendSession: calls.session('AppendSession', (call, context) =>
        runAppendSession(
          call,
          context,
          authorizedAppends(context.caller, forward.session(localAppends, context), publicError),
          sessionOptions,
        ),
      ),
      Read: page('Read', decodeReadRequest, (bytes, context) => reads.read(bytes, context)),
      Tail: calls.streamBytes(
        'Tail',
        forward.tail((bytes, sink, context) => tails.tail(bytes, sink, context)),
      ),
      GetContext: page('GetContext', decodeGetContextRequest, (bytes, context) => reads.getContext(bytes, context)),
    } as UntypedServiceImplementation;
  }

  /** Not idempotent: the one that leads when it is asked again may be another, which would hand over once more. */
  #transferLeadership(forward: Forward, partitionOf: (request: { readonly partition: number }) => PartitionId): object {
    const { environment, nodeFacts, replicaOf, cluster } = this.#parts;
    const method = new TransferMethod({
      clock: environment.clock,
      nodeId: () => nodeFacts().identity.nodeId,
      replicaOf,
      nodeOf: (partitionId, replicaId) => cluster.leaders.nodeOf(partitionId, replicaId),
    });
    const name = 'TransferLeadership';
    return this.calls.unaryEither(
      name,
      forward.ofPartition<TransferRequest, object>(
        { name, isIdempotent: false, outlivesLeadership: true },
        partitionOf,
        (request, context) => method.transfer(request, context),
      ),
    );
  }

  #listStreams(streams: StreamMethods): UnaryMethod<ListStreamsRequest, object> {
    const { cluster, environment, partitions } = this.#parts;
    const local: UnaryMethod<ListStreamsRequest, StreamsPage> = (request, context) =>
      streams.listStreams(request, context);
    const elsewhere = (): PartitionId[] =>
      cluster.nodes.partitions.map(({ id }) => id).filter((id) => partitions.replicaOf(id) === undefined);
    return allStreams({ ...cluster, crc32: environment.crc32, elsewhere, local });
  }

  #forwarding(): Forward {
    const { cluster, environment, drain } = this.#parts;
    return new Forwarding({
      ...cluster,
      clock: environment.clock,
      admission: this.admission,
      partitionOf: (stream) => this.#router.partitionOf(stream),
      publicError: (error) => this.#errors.publicError(error, 'AppendSession'),
      drain,
    });
  }

  /** Whoever leads confirms; the wait for a leader is the same as of requests that are sent there. */
  #confirm(): (replica: StreamsReplica, signal: AbortSignal) => Promise<void> {
    const { cluster } = this.#parts;
    return (replica, signal) => {
      const confirm = (): Promise<void> => replica.awaitLinearizable(signal);
      const call = { signal, isForwarded: false };
      return cluster.leaders.run(replica.partitionId, call, { local: confirm, remote: confirm });
    };
  }

  #clusterMethods(): UntypedServiceImplementation {
    const { configuration, partitions, nodeFacts, cluster: around } = this.#parts;
    const cluster = new ClusterMethods({
      configuration,
      partitions,
      router: this.#router,
      nodeFacts,
      others: around.nodes,
      leaders: around.leaders,
    });
    const { calls } = this;
    const snapshots = new SnapshotMethods(this.#parts);
    const forward = this.#forwarding();
    const partitionOf = ({ partition }: { readonly partition: number }): PartitionId => asPartitionId(partition);
    const hasReplica = (request: { readonly partition: number }): boolean =>
      partitionOf(request) === metadataPartition || partitions.replicaOf(partitionOf(request)) !== undefined;
    const onLeader = <Request extends { readonly partition: number }>(
      name: 'CreateSnapshot' | 'Trim',
      method: (request: Request) => Promise<object>,
    ): object => calls.unaryEither(name, forward.ofPartition({ name, isIdempotent: true }, partitionOf, method));
    return {
      ...this.#membershipMethods(),
      CreateSnapshot: onLeader<{ partition: number }>('CreateSnapshot', (request) => snapshots.create(request)),
      TransferLeadership: this.#transferLeadership(forward, partitionOf),
      Trim: onLeader<{ partition: number; dryRun: boolean }>('Trim', (request) => snapshots.trim(request)),
      // Any node with a replica can tell.
      ListSnapshots: calls.unaryEither('ListSnapshots', (request: { partition: number }, bytes, context) => {
        const list = (): Promise<object> => snapshots.list(request);
        if (around === undefined || hasReplica(request)) return list();
        return forward.ofPartition({ name: 'ListSnapshots', isIdempotent: true }, partitionOf, list)(
          request,
          bytes,
          context,
        );
      }),
      DescribeCluster: calls.unary('DescribeCluster', (request: { readonly ownView: boolean }, context) =>
        cluster.describeCluster(request, context),
      ),
      ListPartitions: calls.unary('ListPartitions', (_request: object, context) => cluster.listPartitions(context)),
      VerifyPartition: calls.stream(
        'VerifyPartition',
        (request: { partition: number }, sink: MessageSink<object>, context) =>
          around === undefined || hasReplica(request)
            ? cluster.verifyPartition(request, sink, context)
            : this.#verifyElsewhere(around, request, sink, context),
      ),
    } as UntypedServiceImplementation;
  }

  /** Carried out by the node that leads the metadata. */
  #membershipMethods(): Record<string, object> {
    const { cluster, environment } = this.#parts;
    const { calls } = this;
    const forward = this.#forwarding();
    const methods = cluster && new MembershipMethods(cluster.membership, environment.random);
    const method = <Request>(
      name: MethodName,
      isIdempotent: boolean,
      carryOut: (methods: MembershipMethods, request: Request) => Promise<object>,
    ): Record<string, object> => {
      const local = async (request: Request): Promise<object> => {
        if (methods === undefined) throw nodeAlone();
        return carryOut(methods, request);
      };
      return {
        [name]: calls.unaryEither(
          name,
          forward.ofPartition({ name, isIdempotent }, () => metadataPartition, local),
        ),
      };
    };
    return {
      ...method('DescribeMembership', true, (desk) => desk.describe()),
      ...method('AddNode', false, (desk, request: { node: number }) => desk.add(request)),
      ...method('DrainNode', true, (desk, request: { node: number; cancel: boolean }) => desk.drain(request)),
      ...method('RemoveNode', true, (desk, request: { node: number }) => desk.remove(request)),
      ...method('ReplaceNode', false, (desk, request: { node: number }) => desk.replace(request)),
      ...method('MovePartition', false, (desk, request: Parameters<MembershipMethods['move']>[0]) =>
        desk.move(request),
      ),
      ...method('SetClusterSetting', true, (desk, request: { name: string; value?: string }) => desk.set(request)),
    };
  }

  /** Its leader verifies a partition that has no replica here. */
  #verifyElsewhere(
    { leaders, remote, nodes }: ClusterAround,
    request: { readonly partition: number },
    sink: MessageSink<object>,
    context: CallContext,
  ): Promise<void> {
    const partitionId = asPartitionId(request.partition);
    const { path, requestSerialize } = callerOf('ClusterService', 'VerifyPartition');
    const { signal, deadlineUnixMs } = context;
    const authorization = authorizationOf(context);
    const call = {
      path,
      partitionId,
      isIdempotent: true,
      outlivesLeadership: false,
      signal,
      deadlineUnixMs,
      authorization,
    };
    const missing = async (): Promise<void> => void this.#router.replica(partitionId);
    // Of a partition that the cluster does not have, nobody would ever lead it.
    if (isForwarded(context) || !nodes.partitions.some(({ id }) => id === partitionId)) return missing();
    return leaders.run(
      partitionId,
      { signal, isForwarded: false },
      {
        local: missing,
        remote: (node) => remote.stream(node, call, requestSerialize(request), sink as MessageSink<Buffer>),
      },
    );
  }
}

function nodeAlone(): LogboomError {
  return new LogboomError(
    'CLUSTER_NOT_FORMED',
    'this node is alone and belongs to no cluster: it has no members to look at or to change',
  );
}
