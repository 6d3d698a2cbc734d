/** A node's way to the snapshot repository: what it sees of the shared objects, and what goes wrong between. */
import type { Clock } from '../../src/base/ports/clock.js';
import type { Environment } from '../../src/base/ports/environment.js';
import type { ObjectStore } from '../../src/object-store/index.js';
import {
  defaultArchivingOptions,
  RepositoryConnection,
  type ArchivingOptions,
  type RepositoryAccess,
} from '../../src/partition/index.js';
import { SnapshotRepository, type SnapshotSizes } from '../../src/snapshot/index.js';
import { parseRepository } from '../../src/snapshot/repository.js';
import type { RandomStream } from '../engine/random.js';
import { MemoryObjectStore } from '../memory-object-store.js';
import type { SnapshotPlan } from '../plan.js';
import {
  SimulatedObjectStore,
  type MountedObjectStore,
  type ObjectFault,
  type ObjectOperation,
} from '../simulated-object-store.js';
import { mutatedObjects, mutatedRepository } from './archive-mutants.js';
import type { NodeClock } from './node-clock.js';
import type { Surroundings } from './surroundings.js';

/** Where the simulator wires replicas together, and no cluster is formed that would have an id. */
export const wiredClusterId = 'simulated';
const repositoryObject = 'repository.json';
/** Wall time of the world's start. */
const epochMs = 1_700_000_000_000;

/** What a replica is given where there are snapshots. */
export function archivingOf(plan: SnapshotPlan): {
  readonly trimMode: 'archived';
  readonly archiving: ArchivingOptions;
} {
  const archiving: ArchivingOptions = {
    ...defaultArchivingOptions,
    logBytes: plan.logBytes,
    ageMs: plan.ageMs,
    retryMsMin: 200,
    retryMsMax: 2000,
    agreementMs: 5000,
    proofMs: 5000,
    manifestsKept: plan.manifestsKept,
    collectEveryMs: plan.collectEveryMs,
    graceMs: plan.graceMs,
    trimMarginEntries: plan.marginEntries,
    trimDelayMs: plan.delayMs,
    bootstrapHoldMs: plan.bootstrapHoldMs,
    offerIdleMs: 20_000,
  };
  return { trimMode: 'archived', archiving };
}

export const sizesOf = ({
  recordsChunkBytes,
  indexChunkBytes,
  checkpointBytes,
}: SnapshotPlan): Pick<SnapshotSizes, 'recordsChunkBytes' | 'indexChunkBytes' | 'checkpointBytes'> => ({
  recordsChunkBytes,
  indexChunkBytes,
  checkpointBytes,
});

export class NodeRepository {
  /** The node's process, of this life or an earlier one, has read the identity of the shared repository. */
  hasSeenIt = false;
  /** The repository that its process has seen last, as it has recorded it. */
  recordedId = '';
  /** Simulated time until which no request arrives. */
  cutOffUntilMs = 0;
  /** Told of each request for what chunks of a partition there are, when it is made. */
  onChunksListed: ((partitionId: number) => void) | undefined;
  /** Requests of a kind that are held back now. */
  readonly #held = new Map<ObjectOperation['kind'], { readonly delayMsMax: number; readonly untilMs: number }>();
  readonly #cluster: Surroundings;
  readonly #plan: SnapshotPlan;
  readonly #nodeId: number;
  readonly #random: RandomStream;
  readonly #shared: SimulatedObjectStore;
  /** Of its own, by mistake. */
  readonly #own: SimulatedObjectStore;
  #mounted: MountedObjectStore | undefined;
  #connection: RepositoryConnection | undefined;

  constructor(cluster: Surroundings, plan: SnapshotPlan, nodeId: number) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#nodeId = nodeId;
    this.#random = cluster.random(`objects-${nodeId}`);
    const clock: Clock = {
      wallMs: () => epochMs + cluster.world.nowMs,
      monotonicMs: () => cluster.world.nowMs,
      setTimer: (delayMs, callback) => cluster.world.after(delayMs, callback),
    };
    const { networkMsMax, unavailableMsMax } = plan.objects;
    const options = { networkMsMax, unavailableMsMax };
    this.#shared = new SimulatedObjectStore(clock, this.#random, options, cluster.objects);
    this.#own = new SimulatedObjectStore(clock, this.#random, options, new MemoryObjectStore(() => clock.wallMs()));
    this.#shared.intercept = (operation) => this.#intercept(operation);
  }

  set slowness(factor: number) {
    this.#shared.slowness = factor;
  }

  /** Each request of a kind is held back for up to so long, for a while. */
  delay(kind: ObjectOperation['kind'], delayMsMax: number, forMs: number): void {
    this.#held.set(kind, { delayMsMax, untilMs: this.#cluster.world.nowMs + forMs });
  }

  get isBlind(): boolean {
    return this.#plan.blind.some(({ node, untilMs }) => node === this.#nodeId && this.#cluster.world.nowMs < untilMs);
  }

  /** For a process that starts. */
  connect(environment: Environment, nodeClock: NodeClock, clusterId: string): RepositoryAccess {
    const { mutant } = this.#cluster;
    const { isBlind } = this;
    const mounted = (isBlind ? this.#own : this.#shared).mount((callback) => nodeClock.inProcess(callback));
    this.#mounted = mounted;
    const store = mutatedObjects(this.#noting(mounted, isBlind), mutant, environment.clock);
    const { clock, random, crc32, compressor, logger } = environment;
    const { graceMs, checkEveryMs } = this.#plan;
    const connection = new RepositoryConnection(environment, {
      clusterId,
      open: (signal) =>
        SnapshotRepository.open(
          {
            store,
            clock,
            random,
            crc32,
            compressor,
            logger,
            graceMs,
            sizes: sizesOf(this.#plan),
          },
          { signal },
        ),
      checkEveryMs,
      retryMsMin: 100,
      retryMsMax: 2000,
      snapshotsMax: 1,
    });
    this.#connection = connection;
    connection.run();
    return mutatedRepository(connection, mutant);
  }

  async stop(): Promise<void> {
    await this.#connection?.stop();
  }

  /** The process is gone. */
  crash(): void {
    this.#mounted?.crash();
    this.#mounted = undefined;
    this.#connection = undefined;
  }

  #noting(mounted: MountedObjectStore, isBlind: boolean): ObjectStore {
    return {
      ...mounted,
      get: async (name, options) => {
        const bytes = await mounted.get(name, options);
        if (name !== repositoryObject) return bytes;
        if (!isBlind) this.hasSeenIt = true;
        this.recordedId = idIn(bytes) ?? this.recordedId;
        return bytes;
      },
    };
  }

  #intercept({ kind, name }: ObjectOperation): ObjectFault | undefined {
    const { world } = this.#cluster;
    this.#shared.available = world.nowMs >= Math.max(this.cutOffUntilMs, this.#cluster.objectsDownUntilMs);
    if (!this.#cluster.faultsOn) return undefined;
    const fault = this.#draw(kind) ?? this.#heldBack(kind);
    if (fault !== undefined) this.#cluster.count(countOf[fault.kind] ?? fault.kind);
    if (kind === 'list' && name.endsWith('/chunks/')) this.onChunksListed?.(Number(name.split('/')[1]));
    return fault;
  }

  #heldBack(kind: ObjectOperation['kind']): ObjectFault | undefined {
    const held = this.#held.get(kind);
    if (held === undefined) return undefined;
    if (held.untilMs > this.#cluster.world.nowMs)
      return { kind: 'delay', delayMs: this.#random.between(0, held.delayMsMax) };
    this.#held.delete(kind);
    return undefined;
  }

  #draw(kind: ObjectOperation['kind']): ObjectFault | undefined {
    const weather = this.#plan.objects;
    const random = this.#random;
    const strikes = (perMillion: number): boolean => perMillion > 0 && random.nextUint32() % 1_000_000 < perMillion;
    if (strikes(weather.failPerMillion)) return { kind: 'fail', code: 'UNAVAILABLE' };
    // What is deleted late is deleted when others may have come to need it.
    const often = kind === 'delete' ? 10 : 1;
    if (strikes(often * weather.delayPerMillion)) {
      return { kind: 'delay', delayMs: random.between(0, weather.delayMsMax) };
    }
    const changes = kind === 'put' || kind === 'delete';
    if (changes && strikes(weather.loseAnswerPerMillion)) return { kind: 'lose-answer' };
    if (changes && strikes(often * weather.happenLaterPerMillion)) {
      return { kind: 'happen-later', delayMs: random.between(0, weather.happenLaterMsMax) };
    }
    if (kind === 'get' && strikes(weather.misreadPerMillion)) {
      return { kind: random.pick(misreadings) };
    }
    return undefined;
  }
}

/** Undefined when it was misread. */
function idIn(bytes: Uint8Array): string | undefined {
  try {
    return parseRepository(bytes);
  } catch {
    return undefined;
  }
}

const misreadings = ['corrupt', 'truncate', 'overlook'] as const;

const countOf: Partial<Record<ObjectFault['kind'], string>> = {
  fail: 'object store errors',
  delay: 'object store operations delayed',
  'lose-answer': 'object store answers lost',
  'happen-later': 'object store operations that arrived late',
  corrupt: 'objects read corrupt',
  truncate: 'objects read cut short',
  overlook: 'objects read as missing',
};
