/**
 * Replicas that the simulator itself wires together: each node has one of every partition, under one id, and messages go
 * where that id is. No links, no metadata: what they could get wrong is left out.
 */
import { InvariantViolation } from '../../src/base/assert.js';
import { isLogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId, asReplicaId } from '../../src/base/ids.js';
import {
  defaultReplicaOptions,
  PartitionManager,
  type AskOptions,
  type ReplicaPlacement,
  type ReplicaStart,
} from '../../src/partition/index.js';
import { decodeMessage, encodeMessage } from '../../src/raft/index.js';
import type { ConfState, WireMessage } from '../../src/raft/types.js';
import type { StreamsResult } from '../../src/streams/index.js';
import type { PartitionLog } from '../../src/wal/types.js';
import type { ObservedMachine } from '../clients/observed-machine.js';
import { acceptHalfImports } from './import-mutants.js';
import { mutatedObserver } from './mutant-adapters.js';
import { runMaintenance } from './maintenance.js';
import { archivingOf, sizesOf, wiredClusterId } from './node-repository.js';
import { NodeStores } from './node-stores.js';
import { askPeer } from './peer-calls.js';
import { watchQuiet } from './quiet-groups.js';
import { dataDirectory, type ProcessStart, type ServerProgram } from './server-program.js';
import type { Machine, Manager, Surroundings } from './surroundings.js';

/** Of a frame with a sign of life. */
const presenceBytes = 24;

export class WiredProgram implements ServerProgram {
  readonly #cluster: Surroundings;
  readonly #node: Machine;

  constructor(cluster: Surroundings, node: Machine) {
    this.#cluster = cluster;
    this.#node = node;
  }

  async start({ environment, disk, isAlive, onFatal }: ProcessStart): Promise<Manager> {
    const { plan, mutant } = this.#cluster;
    const logs = new Map<number, PartitionLog>();
    for (const path of [dataDirectory, `${dataDirectory}/wal`, `${dataDirectory}/partitions`]) {
      if (!(await disk.exists(path))) await disk.makeDirectory(path);
      // Also one that was there: see src/server/data-directory.ts.
      await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
    }
    const { snapshots } = plan;
    const storeProvider = new NodeStores({ provider: this.#node.stores, disk, mutant });
    if (mutant === 'half-import-accepted') {
      const { objects, storeSizes: sizes } = this.#cluster;
      const directories = this.#placements().map(({ partitionId }) => `${dataDirectory}/partitions/${partitionId}`);
      const { crc32 } = environment;
      await acceptHalfImports({ disk, provider: storeProvider, crc32, sizes, objects, directories });
    }
    const repository = this.#node.repository?.connect(environment, this.#node.clock, wiredClusterId);
    const options = {
      nodeId: asNodeId(this.#node.id),
      replicas: this.#placements(),
      transport: {
        send: (partitionId: number, messages: readonly WireMessage[]) => this.#send(isAlive, partitionId, messages),
        ask: (partitionId: number, to: number, request: Uint8Array, askOptions: AskOptions) =>
          askPeer(this.#cluster, this.#node, { partitionId, to, request, ...askOptions }),
      },
      clusterId: wiredClusterId,
      recordedRepository: (partitionId: number, replicaId: number) =>
        this.#cluster.nodeOfReplica(partitionId, replicaId)?.repository?.recordedId ?? '',
      ...(snapshots === undefined ? {} : { snapshotSizes: sizesOf(snapshots) }),
      presence: {
        nodeOf: (partitionId: number, replicaId: number) => {
          const node = this.#cluster.nodeOfReplica(partitionId, replicaId);
          return node && asNodeId(node.id);
        },
        send: (epoch: number) => this.#sendPresence(isAlive, epoch),
      },
      nodesKnown: () => plan.nodes,
      storeProvider,
      createMachine: (partitionId: number) => this.#cluster.createMachine(partitionId),
      wal: this.#cluster.walOptions,
      flush: { ageMs: plan.flushAgeMs },
      storeSizes: this.#cluster.storeSizes,
      replica: {
        ...defaultReplicaOptions,
        electionTicks: plan.electionTicks,
        // Soon: clients leave groups alone for moments only.
        quietAfterTicks: 2,
        reads: { readMode: plan.readMode },
        // The writes of one group must fit the small memtables of the simulation.
        processor: { ...defaultReplicaOptions.processor, groupEntriesMax: 128 },
        ...(snapshots === undefined ? {} : archivingOf(snapshots)),
      },
      tickMs: plan.tickMs,
      walTargetBytes: 4 * plan.segmentBytes,
      observe: (start: ReplicaStart) =>
        mutatedObserver(this.#cluster.checker.observe(this.#node.id, start), start, { mutant, logs }),
      ...(repository === undefined ? {} : { repository }),
      ...(this.#cluster.raftMutant === undefined ? {} : { mutant: this.#cluster.raftMutant }),
    };
    const manager = await PartitionManager.open<StreamsResult, ObservedMachine>(environment, options, dataDirectory);
    if (isAlive()) {
      void manager.failed.then(onFatal);
      runMaintenance(this.#node.clock, manager, this.#cluster, isAlive);
    }
    return manager;
  }

  async stop(manager: Manager): Promise<void> {
    await manager.drain(1000);
    await manager.stop();
    await this.#node.repository?.stop();
  }

  ended(): void {}

  wiped(): void {}

  replicaIdIn(): number {
    return this.#node.replicaId;
  }

  #placements(): ReplicaPlacement[] {
    const { plan } = this.#cluster;
    const confState: ConfState = {
      voters: plan.initialVoters.map(asReplicaId),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    return Array.from({ length: plan.partitions }, (_, index) => ({
      partitionId: asPartitionId(index + 1),
      replicaId: asReplicaId(this.#node.replicaId),
      confState,
    }));
  }

  #send(isAlive: () => boolean, partitionId: number, messages: readonly WireMessage[]): void {
    // The process died in the middle of what it is doing: none of the rest leaves the machine.
    if (!isAlive()) return;
    const { network, checker, staleMessages } = this.#cluster;
    const { id } = this.#node;
    for (const message of messages) {
      checker.checkSent(partitionId, message);
      const target = this.#cluster.nodeOfReplica(partitionId, message.to);
      if (target === undefined) continue;
      const bytes = encodeMessage(message);
      const deliver = (): void => receive(this.#cluster, target, partitionId, bytes);
      if (message.type === 'append' && message.entries.length > 0)
        staleMessages?.keep(id, target.id, partitionId, deliver);
      network.send(id, target.id, bytes.length, deliver);
    }
  }

  #sendPresence(isAlive: () => boolean, epoch: number): void {
    if (!isAlive()) return;
    const { id } = this.#node;
    for (const target of this.#cluster.nodes) {
      if (target.id === id) continue;
      this.#cluster.network.send(id, target.id, presenceBytes, () => receivePresence(target, id, epoch));
    }
  }
}

/** A sign of life of another node. */
function receivePresence(node: Machine, from: number, epoch: number): void {
  if (node.state !== 'up' && node.state !== 'stopping') return;
  node.clock.inProcess(() => node.manager?.hear(asNodeId(from), epoch));
}

/** A message from the network. */
function receive(cluster: Surroundings, node: Machine, partitionId: number, bytes: Uint8Array): void {
  if (node.state !== 'up' && node.state !== 'stopping') return;
  node.clock.inProcess(() => {
    const { manager } = node;
    if (manager === undefined) return;
    const message = decodeMessage(bytes);
    if (message.to !== node.replicaId) return;
    cluster.trace(node.id, partitionId, message);
    try {
      watchQuiet(cluster, manager, partitionId, () => manager.deliver(asPartitionId(partitionId), message));
    } catch (error) {
      // The replica has stopped on it already, and told its observer.
      if (!(error instanceof InvariantViolation) && !isLogboomError(error)) throw error;
    }
  });
}
