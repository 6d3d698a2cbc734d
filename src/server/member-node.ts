/**
 * What of a node runs on ports alone: its data directory, its place in the cluster, its replicas; started and stopped in
 * order. `node.ts` puts it on the real ones and listens for clients; the simulator starts the same class on its own.
 */
import { LogboomError } from '../base/errors.js';
import { firstFeatureLevel } from '../base/feature-level.js';
import { asNodeId } from '../base/ids.js';
import { isDiskError } from '../base/ports/disk.js';
import { PartitionManager } from '../partition/index.js';
import { RetentionTask } from '../partition/retention-task.js';
import { ClusterMember } from './cluster/cluster-member.js';
import { openDataDirectory } from './data-directory.js';
import { partitionManagerOptions, streamsLimitsOf } from './partition-options.js';
import { StopSequence } from './stop-sequence.js';
import type { Environment } from '../base/ports/environment.js';
import type { ReplayProgress } from '../partition/index.js';
import type { OrderedStoreProvider } from '../state-store/index.js';
import type { MakeLinks } from '../transport/index.js';
import type { LinkSecurity } from './cluster/cluster-links.js';
import type { Configuration } from './config/index.js';
import type { DataDirectory, DataDirectoryOptions } from './data-directory.js';
import type { ManagerOptions, MemberOptions } from './partition-options.js';
import type { NodeManager, OwnStreamsReplica } from './replicas.js';
import type { NodeRepository } from './snapshots.js';

export interface MemberNodeParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly security: LinkSecurity;
  readonly makeLinks: MakeLinks;
  readonly storeProvider: OrderedStoreProvider;
  /** Undefined when none is configured. */
  readonly connectRepository: (clusterId: string) => NodeRepository | undefined;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly holder: DataDirectoryOptions['holder'];
  readonly name: string;
  readonly version: string;
  /** What clients and other nodes are told. */
  readonly advertisedAddresses: readonly string[];
  readonly onReplay: (progress: ReplayProgress) => void;
  /** The process must not go on. */
  readonly onFatal: (error: Error, what: string) => void;
  /** Last word on the options; the simulator's sizes, and what it watches replicas with. */
  readonly adjust?: (options: ManagerOptions) => ManagerOptions;
}

export class MemberNode {
  readonly #parts: MemberNodeParts;
  readonly #stops: StopSequence;
  #directory: DataDirectory | undefined;
  #member: ClusterMember | undefined;
  #manager: NodeManager | undefined;
  #repository: NodeRepository | undefined;

  constructor(parts: MemberNodeParts) {
    this.#parts = parts;
    this.#stops = new StopSequence(parts.environment.logger);
  }

  get directory(): DataDirectory {
    return opened(this.#directory);
  }

  /** Undefined before the directory is open. */
  get member(): ClusterMember | undefined {
    return this.#member;
  }

  /** Undefined before the node belongs to a cluster. */
  get manager(): NodeManager | undefined {
    return this.#manager;
  }

  get repository(): NodeRepository | undefined {
    return this.#repository;
  }

  /**
   * Resolves when the node belongs to a cluster and knows what it holds for it; leaders may still be to be elected. After a
   * failure, `stop` gives back what was taken.
   *
   * @throws LogboomError CONFIGURATION_INVALID, DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH, WAL_CORRUPT,
   * STATE_STORE_CORRUPT, ADDRESS_IN_USE
   */
  async start(): Promise<void> {
    const directory = await this.#openDirectory();
    const member = this.#makeMember(directory);
    const record = await member.join();
    const manager = await this.#openPartitions(directory, {
      clusterId: record.clusterId,
      replicas: member.placements(record),
      transport: member.transport,
      presence: member.presence,
      nodesKnown: () => member.nodesKnown,
      recordedRepository: (partitionId, replicaId) => member.repositoryOf(partitionId, replicaId),
    });
    this.#stops.push(() => member.detach());
    await member.attach(manager, record);
  }

  stop(): Promise<void> {
    return this.#stops.run();
  }

  async #openDirectory(): Promise<DataDirectory> {
    const { environment, configuration, dataDirectory, holder } = this.#parts;
    const directory = await openDataDirectory(environment, {
      path: dataDirectory,
      nodeId: asNodeId(configuration.nodeId),
      partitionCount: configuration.partitions,
      holder,
    }).catch((error: unknown) => {
      throw this.#directoryError(error);
    });
    this.#directory = directory;
    this.#stops.push(() => directory.release());
    return directory;
  }

  /** What the file system says, in terms of the setting. */
  #directoryError(error: unknown): unknown {
    if (!isDiskError(error)) return error;
    const { dataDirectory } = this.#parts;
    const reason = error.code === 'ENOSPC' ? 'DISK_FULL' : 'CONFIGURATION_INVALID';
    return new LogboomError(
      reason,
      `the data directory ${dataDirectory} cannot be used: ${error.message}. Make it a directory that this user may ` +
        'write to, or choose another one (dataDir)',
      { facts: { directory: dataDirectory, code: error.code }, cause: error },
    );
  }

  #makeMember(directory: DataDirectory): ClusterMember {
    const { environment, configuration, security, makeLinks, name, version, advertisedAddresses } = this.#parts;
    const member = new ClusterMember({
      environment,
      configuration,
      directory,
      security,
      makeLinks,
      name,
      version,
      advertisedAddresses,
      onReplica: (replica) => this.#startRetention(replica),
      onFatal: (error) =>
        this.#parts.onFatal(error, 'the node cannot hold what the cluster gives to it: it ends at once'),
    });
    this.#member = member;
    this.#stops.push(() => member.stop());
    return member;
  }

  async #openPartitions({ identity }: DataDirectory, membership: MemberOptions): Promise<NodeManager> {
    const { environment, configuration, connectRepository, storeProvider, version, dataDirectory, onReplay } =
      this.#parts;
    const { adjust = (options) => options } = this.#parts;
    const options = partitionManagerOptions(configuration, identity.nodeId, storeProvider, onReplay, membership);
    const repository = connectRepository(membership.clusterId);
    this.#repository = repository;
    this.#stops.push(() => repository?.stop());
    const manager: NodeManager = await PartitionManager.open(
      environment,
      adjust({
        ...options,
        softwareVersion: version,
        ...(repository === undefined ? {} : { repository: repository.connection }),
      }),
      dataDirectory,
    );
    this.#manager = manager;
    this.#stops.push(() => manager.stop());
    void manager.failed.then((error) =>
      this.#parts.onFatal(
        error,
        'the write-ahead log has failed: the node ends at once, and does not trust what it reads back',
      ),
    );
    return manager;
  }

  /** Answers what ends it. */
  #startRetention(replica: OwnStreamsReplica): () => Promise<void> {
    const { environment, configuration } = this.#parts;
    const retention = new RetentionTask(environment, replica, {
      checkIntervalMs: configuration.retention.checkIntervalMs,
      limits: streamsLimitsOf(configuration),
      featureLevel: () => this.#member?.featureLevel ?? firstFeatureLevel,
    });
    retention.run();
    return () => retention.stop();
  }
}

function opened<Part>(part: Part | undefined): Part {
  if (part === undefined) throw new Error('the node has not started');
  return part;
}
