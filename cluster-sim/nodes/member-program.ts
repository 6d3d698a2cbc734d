/** The server as it runs: `MemberNode` on simulated ports, with links, metadata and placement of its own. */
import { asPartitionId } from '../../src/base/ids.js';
import type { MetadataMachine } from '../../src/metadata/index.js';
import { defaultReplicaOptions } from '../../src/partition/index.js';
import { loadConfiguration, type Configuration } from '../../src/server/config/index.js';
import { MemberNode } from '../../src/server/member-node.js';
import type { ClusterMember } from '../../src/server/cluster/cluster-member.js';
import type { ManagerOptions } from '../../src/server/partition-options.js';
import { linkAddressOf, SimulatedLinks } from '../network/simulated-links.js';
import type { MembershipPlan } from '../plan.js';
import { forgettingRemovals, ObservedMetadata } from './member-mutants.js';
import { mutatedObserver } from './mutant-adapters.js';
import { archivingOf } from './node-repository.js';
import { NodeStores } from './node-stores.js';
import { dataDirectory, type ProcessStart, type ServerProgram } from './server-program.js';
import type { Machine, Manager, Surroundings } from './surroundings.js';

/** Links are plain, as where the network keeps others out. */
const noSecurity = { linkTls: undefined, onLinkRenewal: () => {}, followNodes: () => {} };

/** What a clean stop leaves to calls under way. */
const drainMs = 1000;

const defaults = loadConfiguration().configuration;

export class MemberProgram implements ServerProgram {
  zone: string;
  /** How the node is told to find the others: the founders' list, or addresses of members. */
  #finds: 'list' | 'members';
  readonly #cluster: Surroundings;
  readonly #machine: Machine;
  readonly #plan: MembershipPlan;
  /** Of the process that runs. */
  #node: MemberNode | undefined;
  /** By partition: what the last process had. */
  #held = new Map<number, number>();

  constructor(cluster: Surroundings, machine: Machine, plan: MembershipPlan) {
    this.#cluster = cluster;
    this.#machine = machine;
    this.#plan = plan;
    this.#finds = cluster.plan.initialVoters.includes(machine.id) ? 'list' : 'members';
    this.zone = plan.zones[machine.id - 1] ?? '';
  }

  /** Whether its configuration is the list of the founders. */
  get knowsList(): boolean {
    return this.#finds === 'list';
  }

  /** From here on its configuration has the addresses of members, as that of a node that joins. */
  findsMembers(): void {
    this.#finds = 'members';
  }

  /** Undefined while no process runs that has begun to look for its cluster. */
  get member(): ClusterMember | undefined {
    return this.#node?.member;
  }

  async start({ environment, disk, onFatal }: ProcessStart): Promise<Manager> {
    const { id, clock, stores, repository } = this.#machine;
    const { fabric, checker, mutant, verdict } = this.#cluster;
    const node = new MemberNode({
      environment: { ...environment, disk: forgettingRemovals(disk, mutant) },
      configuration: this.#configuration(),
      security: noSecurity,
      makeLinks: (_environment, { host }) =>
        new SimulatedLinks({
          fabric,
          machine: id,
          environment,
          clock,
          host,
          onSent: (partitionId, message) => checker.checkSent(partitionId, message),
          onDelivered: (partitionId, message) => this.#cluster.trace(id, partitionId, message),
          onBug: (error) => verdict.broken('assertion', `node ${id}, links: ${textOf(error)}`),
        }),
      storeProvider: new NodeStores({ provider: stores, disk, mutant }),
      connectRepository: (clusterId) =>
        repository && {
          connection: repository.connect(environment, clock, clusterId),
          stop: () => repository.stop(),
        },
      dataDirectory,
      holder: { pid: 1, hostname: `node-${id}` },
      name: `node-${id}`,
      version: 'simulated',
      advertisedAddresses: [clientAddressOf(id)],
      onReplay: () => {},
      onFatal,
      adjust: (options) => this.#sized(options),
    });
    this.#node = node;
    await node.start();
    node.member?.announce([clientAddressOf(id)], undefined);
    // Who asks for a partition of streams gets one, as in src/server/replicas.ts.
    return node.manager as unknown as Manager;
  }

  async stop(manager: Manager): Promise<void> {
    const node = this.#node;
    await node?.member?.handOver();
    await manager.drain(drainMs);
    await node?.stop();
  }

  ended(): void {
    const manager = this.#node?.manager;
    if (manager !== undefined) {
      this.#held = new Map(manager.replicas.map(({ partitionId, replicaId }) => [partitionId, replicaId]));
    }
    this.#node = undefined;
    this.#cluster.fabric.end(this.#machine.id);
  }

  wiped(): void {
    this.#held.clear();
  }

  replicaIdIn(partitionId: number): number {
    const manager = this.#node?.manager;
    if (manager === undefined) return this.#held.get(partitionId) ?? 0;
    return manager.findReplica(asPartitionId(partitionId))?.replicaId ?? 0;
  }

  #configuration(): Configuration {
    const { plan } = this.#cluster;
    const { id } = this.#machine;
    const founders = plan.initialVoters.map((founder) => ({ id: founder, linkAddress: linkAddressOf(founder) }));
    const others = Array.from({ length: plan.nodes }, (_, index) => index + 1).filter((other) => other !== id);
    return {
      ...defaults,
      nodeId: id,
      zone: this.zone,
      host: `node-${id}`,
      partitions: plan.partitions,
      cluster: {
        ...defaults.cluster,
        // A node that begins alone listens for others only where it is told to.
        linkHost: `node-${id}`,
        // A node without a list is a cluster of its own.
        nodes: this.#finds === 'list' && founders.length > 1 ? founders : [],
        join: this.#finds === 'members' ? others.map(linkAddressOf) : [],
        replicationFactor: this.#finds === 'list' && founders.length > 1 ? this.#plan.replicationFactor : undefined,
        heartbeatMs: 2 * plan.tickMs,
        electionTimeoutMs: plan.electionTicks * plan.tickMs,
      },
      trim: { ...defaults.trim, mode: founders.length > 1 ? 'auto' : 'persisted' },
      snapshots: { ...defaults.snapshots, repository: plan.snapshots === undefined ? '' : 'file:///simulated' },
      retention: { checkIntervalMs: plan.maintenanceMs },
      stateStore: { ...defaults.stateStore, flushAgeMs: plan.flushAgeMs },
    };
  }

  /** The same code with the sizes of a simulated machine, watched by the checkers. */
  #sized(options: ManagerOptions): ManagerOptions {
    const { plan, mutant, raftMutant, checker, walOptions, storeSizes } = this.#cluster;
    const { id } = this.#machine;
    return {
      ...options,
      createMachine: (partitionId) =>
        partitionId === 0 ? this.#metadataMachine() : this.#cluster.createMachine(partitionId),
      wal: walOptions,
      storeSizes,
      flush: { ageMs: plan.flushAgeMs },
      walTargetBytes: 4 * plan.segmentBytes,
      replica: {
        ...options.replica,
        // The writes of one group must fit the small memtables of the simulation.
        processor: { ...defaultReplicaOptions.processor, groupEntriesMax: 128 },
        ...(plan.snapshots === undefined ? {} : { archiving: archivingOf(plan.snapshots).archiving }),
      },
      observe: (start) => mutatedObserver(checker.observe(id, start), start, { mutant, logs: new Map() }),
      ...(raftMutant === undefined ? {} : { mutant: raftMutant }),
    };
  }

  #metadataMachine(): MetadataMachine {
    const { tables, mutant } = this.#cluster;
    const { id } = this.#machine;
    return new ObservedMetadata(mutant, (state) => tables.see(id, state));
  }
}

const clientAddressOf = (machine: number): string => `node-${machine}:7400`;

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
