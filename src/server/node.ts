/** A node: everything put together, started and stopped in order. */
import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { sleep } from '../base/ports/clock.js';
import { LevelDbProvider } from '../state-store/index.js';
import { Links } from '../transport/index.js';
import { makeLogger } from './adapters/pino-logger.js';
import { nodeEnvironmentParts } from './adapters/node-environment.js';
import { PromMetrics } from './adapters/prom-metrics.js';
import { ZstdCompressor } from './adapters/zstd-compressor.js';
import { shuttingDown } from './admission.js';
import { openAround } from './cluster-around.js';
import type { AppendAdmission } from './admission.js';
import { DiskWatch } from './disk-watch.js';
import { Health } from './health.js';
import { HttpServer } from './http-server.js';
import { formatAddress, reachableAddress } from './listen.js';
import { MemberNode } from './member-node.js';
import { ReplayReporter } from './replay-reporter.js';
import { connectRepository } from './snapshots.js';
import { NodeSecurity } from './security/node-security.js';
import { NodeServices } from './services/index.js';
import { StopSequence } from './stop-sequence.js';
import type { Environment } from '../base/ports/environment.js';
import type { Logger } from '../base/ports/logger.js';
import type { Configuration } from './config/index.js';
import type { ClusterMember } from './cluster/cluster-member.js';
import type { NodeIdentity } from './data-directory.js';
import type { ObservedReplica } from './health.js';
import type { NodeManager } from './replicas.js';
import type { NodeFacts } from './services/cluster-service.js';

/** How long clients that were asked to leave may take before their connections are closed. */
const leaveMs = 500;

export interface StartOptions {
  /** Standard error when it is not given. */
  readonly logger?: Logger;
  /** Called when the node must not go on: its WAL has failed. Ends the process with code 1 when it is not given. */
  readonly onFatal?: (error: Error) => void;
  /** Replaces parts of the environment; for tests. */
  readonly environment?: Partial<Environment>;
}

export interface RunningNode {
  readonly addresses: {
    /** `HOST:PORT` of gRPC. */
    readonly grpc: string;
    /** `http://HOST:PORT` of metrics and health. */
    readonly http: string;
    /** What clients are told. */
    readonly advertised: readonly string[];
  };
  readonly name: string;
  readonly version: string;
  readonly identity: NodeIdentity;
  readonly clusterId: string;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly isNewDirectory: boolean;
  /** What the start took, all in all. */
  readonly startMs: number;
  readonly replayedEntries: number;
  /** Health NOT_SERVING, nothing new is taken, tails end, what is in flight is answered. Resolves when it is. */
  drain(): Promise<void>;
  /** Drains, flushes, closes, and releases the data directory. */
  stop(): Promise<void>;
}

const version = readVersion();

function readVersion(): string {
  // The same from src/server and dist/server.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * Starts a node: lock, identity, partitions, listeners, health SERVING. What was started is stopped again when a later
 * step fails.
 *
 * @throws LogboomError CONFIGURATION_INVALID, DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH, WAL_CORRUPT,
 * STATE_STORE_CORRUPT, ADDRESS_IN_USE
 */
export async function startNode(configuration: Configuration, options: StartOptions = {}): Promise<RunningNode> {
  const node = new Node(configuration, options);
  try {
    await node.start();
    return node;
  } catch (error) {
    await node.abandon();
    throw error;
  }
}

class Node implements RunningNode {
  readonly version = version;
  readonly name: string;
  readonly dataDirectory: string;
  addresses = { grpc: '', http: '', advertised: [] as readonly string[] };
  startMs = 0;
  readonly #configuration: Configuration;
  readonly #options: StartOptions;
  readonly #environment: Environment;
  readonly #metrics: PromMetrics;
  readonly #compressor = new ZstdCompressor();
  readonly #replay: ReplayReporter;
  readonly #stops: StopSequence;
  readonly #drain = new AbortController();
  readonly #startedUnixMs: number;
  #security: NodeSecurity | undefined;
  #node: MemberNode | undefined;
  #services: NodeServices | undefined;
  #diskWatch: DiskWatch | undefined;
  #health: Health | undefined;
  #draining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(configuration: Configuration, options: StartOptions) {
    this.#configuration = configuration;
    this.#options = options;
    // Every session and every tail listens to it; Node would take more than ten listeners for a leak.
    setMaxListeners(0, this.#drain.signal);
    this.name = configuration.nodeName === '' ? `node-${configuration.nodeId}` : configuration.nodeName;
    this.dataDirectory = path.resolve(configuration.dataDir);
    this.#metrics = new PromMetrics();
    const logger = options.logger ?? makeLogger(configuration.log);
    this.#environment = {
      ...nodeEnvironmentParts,
      compressor: this.#compressor,
      metrics: this.#metrics,
      logger: logger.child({ node: this.name }),
      ...options.environment,
    };
    this.#stops = new StopSequence(this.#environment.logger);
    this.#startedUnixMs = Math.floor(this.#environment.clock.wallMs());
    this.#replay = new ReplayReporter(this.#environment);
  }

  get #member(): ClusterMember | undefined {
    return this.#node?.member;
  }

  get #manager(): NodeManager | undefined {
    return this.#node?.manager;
  }

  get identity(): NodeIdentity {
    return this.#opened(this.#node).directory.identity;
  }

  get clusterId(): string {
    return this.#member?.clusterId ?? '';
  }

  get isNewDirectory(): boolean {
    return this.#opened(this.#node).directory.isNew;
  }

  get replayedEntries(): number {
    return this.#replay.entries;
  }

  async start(): Promise<void> {
    const { clock, logger } = this.#environment;
    const startedMs = clock.monotonicMs();
    this.#stops.push(
      () => this.#metrics.close(),
      () => this.#compressor.stop(),
    );
    // First: a certificate that cannot be used is told before anything is made.
    const security = await NodeSecurity.open(this.#environment, this.#configuration);
    this.#security = security;
    security.run();
    this.#stops.push(() => security.stop());
    await this.#listen(await this.#startServices(await this.#startMember()));
    this.startMs = clock.monotonicMs() - startedMs;
    this.#health?.setPhase('serving');
    logger.info('the node serves', {
      grpc: this.addresses.grpc,
      http: this.addresses.http,
      dataDirectory: this.dataDirectory,
      version,
      clusterId: this.clusterId,
      startMs: Math.round(this.startMs),
      replayedEntries: this.replayedEntries,
    });
  }

  /** Gives back what a start that failed has taken; nothing was acknowledged, so nothing is drained. */
  async abandon(): Promise<void> {
    // What fails here was logged; the caller is to hear why the start failed.
    await this.#stops.run().catch(() => {});
  }

  drain(): Promise<void> {
    this.#draining ??= this.#runDrain();
    return this.#draining;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#runStop();
    return this.#stopping;
  }

  async #startMember(): Promise<ClusterMember> {
    const { host, port, advertisedAddresses } = this.#configuration;
    const node = new MemberNode({
      environment: this.#environment,
      configuration: this.#configuration,
      security: this.#opened(this.#security),
      makeLinks: (environment, configuration) => new Links(environment, configuration),
      storeProvider: new LevelDbProvider(this.#environment.disk),
      connectRepository: (clusterId) => connectRepository(this.#environment, this.#configuration, clusterId),
      dataDirectory: this.dataDirectory,
      holder: { pid: process.pid, hostname: hostname() },
      name: this.name,
      version,
      advertisedAddresses: advertisedAddresses.length > 0 ? advertisedAddresses : [reachableAddress(host, port)],
      onReplay: (progress) => this.#replay.report(progress),
      onFatal: (error, what) => this.#onFatal(error, what),
    });
    this.#node = node;
    this.#stops.push(() => node.stop());
    await node.start();
    this.#replay.finish();
    return this.#opened(node.member);
  }

  async #startServices(member: ClusterMember): Promise<NodeServices> {
    const { disk } = this.#configuration;
    const opened = openAround({
      nodeId: this.identity.nodeId,
      clock: this.#environment.clock,
      member,
      security: this.#opened(this.#security),
    });
    this.#stops.push(() => opened.close());
    const services = new NodeServices({
      environment: this.#environment,
      configuration: this.#configuration,
      partitions: member.partitions,
      drain: this.#drain.signal,
      nodeFacts: () => this.#facts(),
      replicaOf: (id) => this.#opened(this.#manager).replicaOf(id),
      repository: this.#opened(this.#node).repository?.connection,
      cluster: opened.around,
      security: this.#opened(this.#security),
    });
    this.#services = services;
    const setDiskFull: AppendAdmission['setDiskFull'] = (state) => {
      services.admission.setDiskFull(state);
      this.#opened(this.#manager).isShortOfSpace = state !== undefined;
    };
    const diskWatch = new DiskWatch(this.#environment, { setDiskFull }, { directory: this.dataDirectory, ...disk });
    this.#diskWatch = diskWatch;
    await diskWatch.run();
    this.#stops.push(() => diskWatch.stop());
    return services;
  }

  async #listen(services: NodeServices): Promise<void> {
    const { host, port, httpHost, httpPort, advertisedAddresses } = this.#configuration;
    const { clock, logger } = this.#environment;
    const health = new Health({
      clock,
      replicas: () => this.#observedReplicas(),
      degraded: () => (this.#state() === 'ok' ? undefined : this.#state()),
      onChange: (ready) => {
        services.grpc.setServing(ready);
        logger.info('readiness has changed', { ready, reasons: health.readiness.reasons });
      },
    });
    this.#health = health;
    health.run();
    this.#stops.push(() => health.stop());
    const http = new HttpServer({
      host: httpHost,
      port: httpPort ?? (port === 0 ? 0 : port + 1),
      health,
      logger,
      metricsText: () => this.#metrics.text(),
    });
    // Before gRPC: a load balancer asks for readiness first.
    const boundHttpPort = await http.run();
    this.#stops.push(() => http.stop());
    const boundPort = await services.grpc.run();
    this.#stops.push(() => services.grpc.stop());
    const listening = formatAddress(host, boundPort);
    this.addresses = {
      grpc: listening,
      http: `http://${formatAddress(httpHost, boundHttpPort)}`,
      advertised: advertisedAddresses.length > 0 ? advertisedAddresses : [reachableAddress(host, boundPort)],
    };
    this.#member?.announce(this.addresses.advertised, this.#node?.repository?.connection);
  }

  async #runDrain(): Promise<void> {
    const { clock, logger } = this.#environment;
    const services = this.#opened(this.#services);
    const timeoutMs = this.#configuration.shutdown.drainMs;
    logger.info('the node drains', { timeoutMs });
    this.#health?.setPhase('draining');
    // While requests are still sent on, so that they find the new leaders.
    await this.#member?.handOver();
    void services.admission.close();
    this.#drain.abort(shuttingDown());
    const left = services.grpc.drain();
    const timeout = new AbortController();
    const ended = services.calls.close().then(() => timeout.abort());
    await sleep(clock, timeoutMs, timeout.signal);
    if (!timeout.signal.aborted) {
      logger.warn('calls are cancelled: they did not end in time', { timeoutMs });
      services.calls.abortAll();
      await ended;
    }
    const leaving = new AbortController();
    void left.then(() => leaving.abort());
    await sleep(clock, leaveMs, leaving.signal);
    await this.#manager?.drain(timeoutMs);
  }

  async #runStop(): Promise<void> {
    await this.drain();
    await this.#stops.run();
    this.#environment.logger.info('the node has stopped', { dataDirectory: this.dataDirectory });
  }

  #onFatal(error: Error, what: string): void {
    this.#environment.logger.error(what, { error });
    if (this.#options.onFatal) this.#options.onFatal(error);
    else process.exit(1);
  }

  *#observedReplicas(): Iterable<ObservedReplica> {
    for (const replica of this.#manager?.replicas ?? []) {
      const { partitionId, lsns, leader, fault } = replica;
      // One that comes or goes is no reason to send clients elsewhere: its group does not count on it.
      if (this.#member?.isSettled(partitionId) === false) continue;
      const catchesUp = this.#member?.isBehind(partitionId) ?? false;
      const { commit: commitLsn, applied: appliedLsn } = lsns;
      yield { partitionId, commitLsn, appliedLsn, hasLeader: leader !== 0, catchesUp, fault };
    }
  }

  #state(): string {
    if (this.#drain.signal.aborted) return 'draining';
    if (this.#diskWatch?.isFull) return 'disk full: free space is below disk.lowWaterMarkBytes, appends are refused';
    return this.#manager?.appendsRefused()?.message ?? 'ok';
  }

  #facts(): NodeFacts {
    const manager = this.#opened(this.#manager);
    return {
      identity: this.identity,
      clusterId: this.clusterId,
      name: this.name,
      version,
      startedUnixMs: this.#startedUnixMs,
      dataDirectory: this.dataDirectory,
      advertisedAddresses: this.addresses.advertised,
      diskFreeBytes: this.#diskWatch?.freeBytes ?? 0,
      walStats: manager.walStats,
      memoryRssBytes: process.memoryUsage.rss(),
      state: this.#state(),
    };
  }

  #opened<Part>(part: Part | undefined): Part {
    if (part === undefined) throw new Error('the node has not started');
    return part;
  }
}
