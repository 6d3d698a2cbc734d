/** Nodes on simulated machines: the partition manager as the server runs it, on a simulated clock, disk, stores and network. */
import { crc32 } from 'node:zlib';
import { RandomStream } from '../../../cluster-sim/engine/random.js';
import { World } from '../../../cluster-sim/engine/world.js';
import { NodeClock } from '../../../cluster-sim/nodes/node-clock.js';
import { NodeStores } from '../../../cluster-sim/nodes/node-stores.js';
import { settleLater } from '../../../cluster-sim/simulated-clock.js';
import { MemoryObjectStore } from '../../../cluster-sim/memory-object-store.js';
import { SimulatedCompressor } from '../../../cluster-sim/nodes/simulated-compressor.js';
import { SimulatedDisk } from '../../../cluster-sim/simulated-disk.js';
import { noStoreFaults, SimulatedStoreProvider } from '../../../cluster-sim/simulated-ordered-store.js';
import { asNodeId, asPartitionId, asReplicaId } from '../../../src/base/ids.js';
import { LogboomError } from '../../../src/base/errors.js';
import type { Disk, DiskFile } from '../../../src/base/ports/disk.js';
import type { Environment } from '../../../src/base/ports/environment.js';
import type { Logger } from '../../../src/base/ports/logger.js';
import { noMetrics } from '../../../src/base/ports/metrics.js';
import {
  defaultReplicaOptions,
  PartitionManager,
  RepositoryConnection,
  type AskOptions,
  type PartitionManagerOptions,
  type ReplicaPlacement,
} from '../../../src/partition/index.js';
import { decodeMessage, encodeMessage } from '../../../src/raft/index.js';
import type { WireMessage } from '../../../src/raft/types.js';
import type { ObjectStore } from '../../../src/object-store/types.js';
import { SnapshotRepository } from '../../../src/snapshot/index.js';
import { defaultStateStoreSizes, type OrderedStoreProvider } from '../../../src/state-store/index.js';
import { confState } from '../../wal/support/simulated.js';
import { ListMachine, type Added } from './list-machine.js';

export type Manager = PartitionManager<Added, ListMachine>;
export type TestReplica = Manager['replicas'][number];

export const partitionId = asPartitionId(1);
export const dataDirectory = '/data';
const kibibyte = 1024;

export interface NodeOptions {
  /** Replica ids of the group's voters at its beginning; those of the nodes when not given. */
  readonly voters?: readonly number[];
  readonly nodesKnown?: () => number;
  readonly partitions?: number;
  readonly manager?: Partial<PartitionManagerOptions<Added, ListMachine>>;
  /** Stands between the node and its databases. */
  readonly wrapStores?: (provider: OrderedStoreProvider) => OrderedStoreProvider;
  /** The node's view of object storage; without one, there are no snapshots. */
  readonly objects?: ObjectStore;
  /** Called for every machine that is made. */
  readonly prepareMachine?: (machine: ListMachine) => void;
}

type Asked = AskOptions & { readonly partition: number; readonly to: number; readonly request: Uint8Array };
type AnswerTravel = 'lose' | ((answer: Uint8Array) => Uint8Array);
const unchanged = (answer: Uint8Array): Uint8Array => answer;

export class TestNode {
  readonly id: number;
  readonly clock: NodeClock;
  readonly disk: SimulatedDisk;
  readonly stores: SimulatedStoreProvider;
  /** Errors and warnings. */
  readonly complaints: string[] = [];
  openFiles = 0;
  options: NodeOptions;
  manager: Manager | undefined;
  repository: RepositoryConnection | undefined;
  readonly #group: TestGroup;
  readonly #random: RandomStream;

  constructor(group: TestGroup, id: number, options: NodeOptions) {
    this.#group = group;
    this.id = id;
    this.options = options;
    this.clock = new NodeClock(group.world, 0, 0);
    this.disk = new SimulatedDisk(this.clock, new RandomStream(group.seed, `disk-${id}`));
    this.disk.putFile(`${dataDirectory}/wal/placeholder`, new Uint8Array());
    this.disk.putFile(`${dataDirectory}/partitions/placeholder`, new Uint8Array());
    this.#random = new RandomStream(group.seed, `node-${id}`);
    this.stores = new SimulatedStoreProvider({
      clock: this.clock,
      random: new RandomStream(group.seed, `stores-${id}`),
      faults: { ...noStoreFaults, flushMsMax: 40 },
    });
  }

  get running(): Manager {
    if (this.manager === undefined) throw new Error(`node ${this.id} does not run`);
    return this.manager;
  }

  get replica(): TestReplica {
    return this.running.replicaOf(partitionId);
  }

  async start(): Promise<Manager> {
    const disk = this.#countingDisk(this.disk.mount());
    const provider = new NodeStores({ provider: this.stores, disk, mutant: undefined });
    const { options } = this;
    const environment = this.#environment(disk);
    this.repository = this.#connect(environment);
    this.manager = await PartitionManager.open<Added, ListMachine>(
      environment,
      {
        nodeId: asNodeId(this.id),
        replicas: Array.from({ length: options.partitions ?? 1 }, (_, at) => this.#placement(at + 1)),
        clusterId: 'c'.repeat(14),
        snapshotSizes: { recordsChunkBytes: 4 * kibibyte, indexChunkBytes: kibibyte, checkpointBytes: 8 * kibibyte },
        transport: {
          send: (partition, messages) => this.#group.send(this, partition, messages),
          ask: (partition, to, request, askOptions) => this.#group.ask(this, { partition, to, request, ...askOptions }),
        },
        nodesKnown: options.nodesKnown ?? (() => this.#group.nodes.length),
        storeProvider: options.wrapStores?.(provider) ?? provider,
        createMachine: () => {
          const machine = new ListMachine();
          options.prepareMachine?.(machine);
          return machine;
        },
        wal: { segmentBytes: 64 * kibibyte, maxPendingBytes: 32 * kibibyte, minFreeBytes: 0, spaceRetryMs: 100 },
        storeSizes: {
          ...defaultStateStoreSizes,
          records: { ...defaultStateStoreSizes.records, writeBufferBytes: 256 * kibibyte },
          index: { ...defaultStateStoreSizes.index, writeBufferBytes: 128 * kibibyte },
          indexMemtableBytesMax: 96 * kibibyte,
          heldBytesMax: 96 * kibibyte,
        },
        flush: { ageMs: 500 },
        tickMs: 50,
        ...(this.repository === undefined ? {} : { repository: this.repository }),
        ...options.manager,
        replica: {
          ...defaultReplicaOptions,
          processor: { ...defaultReplicaOptions.processor, groupIndexBytesMax: 16 * kibibyte, reopenFreeBytesMin: 0 },
          ...options.manager?.replica,
        },
      },
      dataDirectory,
    );
    return this.manager;
  }

  /** Called when the process dies, of those who wait for an answer of it. */
  readonly links = new Set<() => void>();

  crash(kind: 'process' | 'power'): void {
    this.manager = undefined;
    for (const linkIsLost of this.links) linkIsLost();
    this.links.clear();
    this.openFiles = 0;
    this.clock.endProcess();
    this.stores.crash();
    if (kind === 'power') this.disk.powerLoss();
    else this.disk.processCrash();
  }

  async stop(): Promise<void> {
    const { running } = this;
    await running.drain(1000);
    await running.stop();
    await this.repository?.stop();
    this.manager = undefined;
  }

  /** Whoever asks hears nothing of a process that has died meanwhile. */
  answer(partition: number, request: Uint8Array): Promise<Uint8Array> {
    const { manager } = this;
    return new Promise((resolve, reject) => {
      this.clock.inProcess(() => {
        const answered = manager?.answer(asPartitionId(partition), request, new AbortController().signal);
        answered?.then(
          (bytes) => this.manager === manager && resolve(bytes),
          (error: Error) => this.manager === manager && reject(error),
        );
      });
    });
  }

  receive(partition: number, bytes: Uint8Array): void {
    this.clock.inProcess(() => this.manager?.deliver(asPartitionId(partition), decodeMessage(bytes)));
  }

  #connect(environment: Environment): RepositoryConnection | undefined {
    const { objects: store } = this.options;
    if (store === undefined) return undefined;
    const { clock, random, crc32: sum, compressor, logger } = environment;
    const connection = new RepositoryConnection(environment, {
      clusterId: 'c'.repeat(14),
      open: (signal) =>
        SnapshotRepository.open(
          {
            store,
            clock,
            random,
            crc32: sum,
            compressor,
            logger,
            sizes: { recordsChunkBytes: 4 * kibibyte, indexChunkBytes: kibibyte },
          },
          { signal },
        ),
      checkEveryMs: 5000,
      retryMsMin: 100,
      retryMsMax: 1000,
      snapshotsMax: 1,
    });
    connection.run();
    return connection;
  }

  #placement(partition: number): ReplicaPlacement {
    const voters = this.options.voters ?? this.#group.nodes.map(({ id }) => id);
    return {
      partitionId: asPartitionId(partition),
      replicaId: asReplicaId(this.id),
      confState: confState(...voters),
    };
  }

  #environment(disk: Disk): Environment {
    const complain = (message: string, fields?: object): void =>
      void this.complaints.push(`${message} ${JSON.stringify(fields ?? {})}`);
    const logger: Logger = {
      debug: () => {},
      info: () => {},
      warn: complain,
      error: complain,
      child: () => logger,
    };
    return {
      clock: this.clock,
      random: this.#random,
      disk,
      compressor: new SimulatedCompressor(this.clock),
      crc32: (bytes, seed) => crc32(bytes, seed),
      logger,
      metrics: noMetrics,
    };
  }

  #countingDisk(disk: Disk): Disk {
    const counted = (file: DiskFile): DiskFile => {
      this.openFiles += 1;
      let isOpen = true;
      return {
        path: file.path,
        read: (target, position) => file.read(target, position),
        write: (buffers, position) => file.write(buffers, position),
        datasync: () => file.datasync(),
        truncate: (sizeBytes) => file.truncate(sizeBytes),
        sizeBytes: () => file.sizeBytes(),
        close: async () => {
          if (isOpen) this.openFiles -= 1;
          isOpen = false;
          await file.close();
        },
      };
    };
    return { ...disk, open: async (path, mode) => counted(await disk.open(path, mode)) };
  }
}

export class TestGroup {
  readonly seed: number;
  readonly world = new World();
  readonly nodes: TestNode[] = [];
  /** Milliseconds that a message travels; undefined loses it. */
  travel: (message: WireMessage, from: number, to: number) => number | undefined = () => 1;
  /** What becomes of a request of one replica to another, and of its answer. */
  onAsk: (asked: { readonly from: number; readonly to: number; readonly request: Uint8Array }) => AnswerTravel = () =>
    unchanged;
  /** Requests that arrived. */
  asked = 0;

  constructor(seed: number, nodes: number, options: NodeOptions = {}) {
    this.seed = seed;
    for (let id = 1; id <= nodes; id += 1) this.nodes.push(new TestNode(this, id, options));
  }

  node(id: number): TestNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  /** Runs a test's body in simulated time. */
  run<Result>(work: () => Promise<Result>, limitMs = 600_000): Promise<Result> {
    return settleLater(this.world, work, limitMs);
  }

  async startAll(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start()));
  }

  send(from: TestNode, partition: number, messages: readonly WireMessage[]): void {
    for (const message of messages) {
      checkPromise(from, message);
      const to = this.nodes.find(({ id }) => id === message.to);
      const travelMs = this.travel(message, from.id, message.to);
      if (to === undefined || travelMs === undefined) continue;
      const bytes = encodeMessage(message);
      this.world.after(travelMs, () => to.receive(partition, bytes));
    }
  }

  /** One request and one answer, each as long on its way as a message. */
  ask(from: TestNode, { partition, to, request, signal, timeoutMs, answerBytesMax }: Asked): Promise<Uint8Array> {
    const target = this.nodes.find(({ id }) => id === to);
    return new Promise((resolve, reject) => {
      const timer = from.clock.setTimer(timeoutMs, () => reject(new LogboomError('DEADLINE_EXCEEDED', 'no answer')));
      const end = (settle: () => void): void =>
        void from.clock.setTimer(1, () => {
          timer.cancel();
          signal.removeEventListener('abort', giveUp);
          target?.links.delete(linkIsLost);
          settle();
        });
      const linkIsLost = (): void =>
        end(() => reject(new LogboomError('NODE_UNREACHABLE', `the link to node ${to} is lost`)));
      const giveUp = (): void => end(() => reject(new LogboomError('CANCELLED', 'given up')));
      signal.addEventListener('abort', giveUp, { once: true });
      const onTheWay = this.onAsk({ from: from.id, to, request });
      if (target?.manager === undefined || onTheWay === 'lose') {
        return end(() => reject(new LogboomError('NODE_UNREACHABLE', `no link to node ${to}`)));
      }
      this.asked += 1;
      target.links.add(linkIsLost);
      this.world.after(1, () => {
        target.answer(partition, request).then(
          (bytes) => {
            const answer = onTheWay(bytes);
            if (answer.length > answerBytesMax) reject(new Error(`${answer.length} bytes, at most ${answerBytesMax}`));
            end(() => resolve(answer));
          },
          (error: Error) => end(() => reject(error)),
        );
      });
    });
  }

  /** Waits for a leader among the nodes that run. */
  async leader(): Promise<TestNode> {
    return this.until(() => this.nodes.find(({ manager }) => manager?.replicaOf(partitionId).isLeader));
  }

  async until<Found>(look: () => Found | undefined | false, limitMs = 60_000): Promise<Found> {
    const deadlineMs = this.world.nowMs + limitMs;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      if (this.world.nowMs > deadlineMs) throw new Error(`not within ${limitMs} ms: ${look.toString()}`);
      await this.world.sleep(5);
    }
  }

  async propose(node: TestNode, text: string): Promise<number> {
    const { result } = await node.replica.propose(Buffer.from(text));
    return result.place;
  }
}

/** Object storage that all nodes of a group see. */
export const sharedObjects = (): MemoryObjectStore => new MemoryObjectStore();

/** A group of one node, running. */
export async function singleNode(
  seed: number,
  options: NodeOptions,
  body: (node: TestNode, group: TestGroup) => Promise<void>,
): Promise<void> {
  const group = new TestGroup(seed, 1, options);
  await group.run(async () => {
    await group.startAll();
    await body(group.node(1), group);
  });
}

/** A replica that says it holds entries has them synced. */
function checkPromise(from: TestNode, message: WireMessage): void {
  if (message.type !== 'append-response' || message.rejected || from.manager === undefined) return;
  const { durableLsn } = from.replica.status;
  if (message.lsn > durableLsn) {
    throw new Error(`node ${from.id} promises entries up to ${message.lsn}, its log is durable up to ${durableLsn}`);
  }
}
