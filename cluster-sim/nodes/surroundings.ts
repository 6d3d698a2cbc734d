/** What a node sees of the cluster around it. */
import type { Environment } from '../../src/base/ports/environment.js';
import type { PartitionManager, RepositoryAccess } from '../../src/partition/index.js';
import type { RaftMutant } from '../../src/raft/index.js';
import type { WireMessage } from '../../src/raft/types.js';
import type { StateStoreSizes } from '../../src/state-store/index.js';
import type { StreamsResult } from '../../src/streams/index.js';
import type { WalOptions } from '../../src/wal/index.js';
import type { ClusterChecker } from '../checkers/cluster-checker.js';
import type { TableChecker } from '../checkers/table-checker.js';
import type { Verdict } from '../checkers/verdict.js';
import type { ObservedMachine } from '../clients/observed-machine.js';
import type { RandomStream } from '../engine/random.js';
import type { World } from '../engine/world.js';
import type { SimulationMutant } from '../mutants.js';
import type { Network } from '../network/network.js';
import type { LinkFabric } from '../network/simulated-links.js';
import type { StaleMessages } from '../network/stale-messages.js';
import type { Plan } from '../plan.js';
import type { SimulatedStoreProvider } from '../simulated-ordered-store.js';
import type { NodeClock } from './node-clock.js';
import type { SharedObjects } from './shared-objects.js';

/** The server's partitions, as one process runs them. */
export type Manager = PartitionManager<StreamsResult, ObservedMachine>;

/** A machine, as the server's process on it and those who send it messages see it. */
export interface Machine {
  readonly id: number;
  readonly clock: NodeClock;
  readonly stores: SimulatedStoreProvider;
  /** Undefined where nothing is archived. */
  readonly repository:
    | {
        /** The repository that its process has seen last. */
        readonly recordedId: string;
        connect(environment: Environment, clock: NodeClock, clusterId: string): RepositoryAccess;
        stop(): Promise<void>;
      }
    | undefined;
  /** Of all its replicas, where the simulator wires them together. */
  readonly replicaId: number;
  readonly state: 'down' | 'starting' | 'up' | 'stopping';
  readonly manager: Manager | undefined;
}

export interface Surroundings {
  readonly world: World;
  readonly plan: Plan;
  readonly network: Network;
  /** Undefined where no old messages are delivered. */
  readonly staleMessages: StaleMessages | undefined;
  readonly verdict: Verdict;
  readonly checker: ClusterChecker;
  readonly raftMutant: RaftMutant | undefined;
  readonly mutant: SimulationMutant | undefined;
  readonly walOptions: Partial<WalOptions>;
  readonly storeSizes: StateStoreSizes;
  readonly faultsOn: boolean;
  readonly fabric: LinkFabric;
  readonly tables: TableChecker;
  /** What the snapshot repository holds. */
  readonly objects: SharedObjects;
  /** Simulated time until which nobody reaches the object store. */
  readonly objectsDownUntilMs: number;
  /** One stream a subsystem: asking for it again goes on with it. */
  random(subsystem: string): RandomStream;
  readonly nodes: readonly Machine[];
  nodeOfReplica(partitionId: number, replicaId: number): Machine | undefined;
  createMachine(partitionId: number): ObservedMachine;
  /** The node was told that it was removed, and has ended. */
  nodeExpelled(nodeId: number): void;
  /** The node refuses its data: someone is to replace it. */
  replaceLater(nodeId: number): void;
  count(what: string, by?: number): void;
  /** An event for the time line; node 0 is the cluster. */
  note(nodeId: number, text: string): void;
  /** A message as it is delivered. */
  trace(nodeId: number, partitionId: number, message: WireMessage): void;
}
