/** One machine of the cluster, and the server process on it: started, killed, paused, restarted by a supervisor. */
import { crc32 } from 'node:zlib';
import { isLogboomError } from '../../src/base/errors.js';
import { withShortCrc32 } from '../../src/base/short-crc32.js';
import { isDiskError } from '../../src/base/ports/disk.js';
import type { Environment } from '../../src/base/ports/environment.js';
import type { Random } from '../../src/base/ports/random.js';
import { StoreFailure } from '../../src/state-store/index.js';
import { RealityError } from '../engine/guards.js';
import { SimulatedDisk, type DiskFault, type DiskOperation } from '../simulated-disk.js';
import { SimulatedStoreProvider } from '../simulated-ordered-store.js';
import { mutatedDisk, mutateLogBeforeStart } from './mutant-adapters.js';
import { NodeClock } from './node-clock.js';
import { NodeRepository } from './node-repository.js';
import { nodeLogger } from './node-logger.js';
import { MemberProgram } from './member-program.js';
import { dataDirectory, type ServerProgram } from './server-program.js';
import { SimulatedCompressor } from './simulated-compressor.js';
import { quietMetrics } from './quiet-groups.js';
import { WiredProgram } from './wired-program.js';
import type { Machine, Manager, Surroundings } from './surroundings.js';

export type NodeState = 'down' | 'starting' | 'up' | 'stopping';
export type CrashKind = 'process' | 'power';

const shortOrNativeCrc32 = withShortCrc32(crc32);
/** Behind the header block of a segment. */
const groupsFrom = 8192;
/** How long a supervisor waits before it starts a process that ended by itself. */
const supervisorMs = 1000;

export class SimulatedNode implements Machine {
  readonly id: number;
  readonly clock: NodeClock;
  readonly disk: SimulatedDisk;
  readonly stores: SimulatedStoreProvider;
  /** Undefined where nothing is archived. */
  readonly repository: NodeRepository | undefined;
  /** Replica id of this node's replicas; a new one after the disk was lost. */
  replicaId: number;
  state: NodeState = 'down';
  manager: Manager | undefined;
  /** Its data was damaged on purpose: it may refuse to serve, and what it promised is void. */
  damaged = false;
  /** It is not started again until this is undefined; why. */
  keptDown: string | undefined;
  /** Faults to come, each for the next operation of its kind. */
  readonly nextFaults = new Map<DiskOperation['kind'], DiskFault>();
  /** False after a power loss, until it is started again: the machine answers nobody, not even that no process is there. */
  hasPower = true;
  /** Simulated time until which the disk does nothing. */
  hangsUntilMs = 0;
  /** Where the newest synced write to the log began. */
  lastLogSync: { readonly path: string; readonly position: number } | undefined;
  readonly #cluster: Surroundings;
  readonly #program: ServerProgram;
  /** The same; undefined where the simulator wires replicas together. */
  readonly memberProgram: MemberProgram | undefined;
  /** Where a group of the log should have been that was written somewhere else, until two more are there. */
  #astray: { readonly path: string; later: number } | undefined;
  #misdirect: number | undefined;
  #lastLogWrite: { readonly path: string; readonly position: number } | undefined;
  #life = 0;
  #writesPending = 0;
  #restartScheduled = false;

  constructor(cluster: Surroundings, id: number) {
    const { world, plan } = cluster;
    this.id = id;
    this.replicaId = id;
    this.#cluster = cluster;
    const weather = plan.clocks[id - 1] ?? { skewMs: 0, drift: 0 };
    this.clock = new NodeClock(world, weather.skewMs, weather.drift);
    this.disk = new SimulatedDisk(this.clock, cluster.random(`disk-${id}`), {
      ...plan.disk,
      onTornSector: () => cluster.count('torn sectors'),
    });
    this.disk.intercept = (operation) => this.#intercept(operation);
    this.stores = new SimulatedStoreProvider({
      clock: this.clock,
      random: cluster.random(`stores-${id}`),
      faults: { ...plan.stores, keepsLog: cluster.mutant === 'store-keeps-own-log' },
    });
    this.repository = plan.snapshots && new NodeRepository(cluster, plan.snapshots, id);
    this.memberProgram = plan.membership && new MemberProgram(cluster, this, plan.membership);
    this.#program = this.memberProgram ?? new WiredProgram(cluster, this);
  }

  get isUp(): boolean {
    return this.state === 'up';
  }

  /** Random numbers of the server process. */
  get serviceRandom(): Random {
    return this.#cluster.random(`node-${this.id}`);
  }

  /** Id of this node's replica of a partition; 0: none. */
  replicaIdIn(partitionId: number): number {
    return this.#program.replicaIdIn(partitionId);
  }

  start(): void {
    if (this.state !== 'down' || this.keptDown !== undefined) return;
    this.state = 'starting';
    this.hasPower = true;
    this.#cluster.note(this.id, 'start');
    const life = this.#life;
    this.#open(life).then(
      (manager) => {
        if (life === this.#life) this.#opened(manager);
      },
      (error: unknown) => {
        if (life === this.#life) this.#startFailed(error);
      },
    );
  }

  /** The process dies at this moment. It is started again after `downMs`, or not before someone does when undefined. */
  crash(kind: CrashKind, downMs: number | undefined): void {
    if (this.state !== 'down') {
      this.#cluster.count(kind === 'power' ? 'power losses' : 'crashes');
      if (this.#writesPending > 0) this.#cluster.count('crashes with pending writes');
    }
    this.#countInterrupted();
    if (kind === 'power' && this.disk.unsyncedBytes > 0) this.#cluster.count('power losses with unsynced writes');
    this.#end();
    this.stores.crash();
    if (kind === 'power') this.disk.powerLoss();
    else this.disk.processCrash();
    this.hasPower = kind !== 'power';
    this.#cluster.note(this.id, kind === 'power' ? 'power loss' : 'crash');
    if (this.#astray !== undefined) return this.refusedToServe();
    this.startAfter(downMs);
  }

  /**
   * The next write to the log goes to an earlier place of the same file. A group behind it makes that damage for all to
   * see; before there is one, a restart would take it for a torn write, as would anyone with this disk alone: should the
   * process end by then, the node counts as lost.
   */
  misdirectNextWrite(pick: number): void {
    this.#misdirect = pick;
  }

  /** A clean stop and a start. */
  restart(downMs: number): void {
    const { manager } = this;
    if (this.state !== 'up' || manager === undefined) return;
    this.state = 'stopping';
    this.#cluster.note(this.id, 'clean stop');
    this.#cluster.count('clean restarts');
    const life = this.#life;
    const stopped = this.#program.stop(manager);
    const after = (): void => {
      if (life !== this.#life) return;
      this.#end();
      this.stores.crash();
      this.disk.processCrash();
      this.startAfter(downMs);
    };
    stopped.then(after, after);
    // A stop that hangs is cut short, as a supervisor does.
    this.#cluster.world.after(15_000, () => {
      if (life === this.#life && this.state === 'stopping') this.crash('process', downMs);
    });
  }

  /** All that the disk held is gone. The node comes back as another replica, for what the old one promised is void. */
  wipe(downMs: number, keepsIdentity: boolean): void {
    // Before the crash, which would count a node with a write that went astray as lost: its disk is about to be.
    this.#astray = undefined;
    this.#misdirect = undefined;
    this.crash('power', undefined);
    this.disk.wipe();
    this.stores.remove(dataDirectory);
    this.#program.wiped();
    this.lastLogSync = undefined;
    this.nextFaults.clear();
    this.#cluster.checker.nodeLost(this.id);
    if (!keepsIdentity) this.replicaId += 100;
    this.damaged = false;
    this.#cluster.count('wiped disks');
    this.#cluster.note(
      this.id,
      keepsIdentity ? 'disk wiped, same identity' : `disk wiped, now replica ${this.replicaId}`,
    );
    this.startAfter(downMs);
  }

  startAfter(delayMs: number | undefined): void {
    if (delayMs === undefined || this.#restartScheduled) return;
    this.#restartScheduled = true;
    this.#cluster.world.after(delayMs, () => {
      this.#restartScheduled = false;
      this.start();
    });
  }

  pause(): void {
    this.clock.pause();
    this.#cluster.note(this.id, 'pause');
  }

  resume(): void {
    if (!this.clock.isPaused) return;
    this.clock.resume();
    this.#cluster.note(this.id, 'resume');
  }

  async #open(life: number): Promise<Manager> {
    const { mutant } = this.#cluster;
    mutateLogBeforeStart(this.disk, mutant);
    const disk = mutatedDisk(this.disk.mount(), mutant);
    const environment: Environment = {
      clock: this.clock,
      random: this.serviceRandom,
      disk,
      compressor: new SimulatedCompressor(this.clock),
      crc32: shortOrNativeCrc32,
      logger: nodeLogger((level, message) => {
        if (life === this.#life) this.#cluster.note(this.id, `${level}: ${message}`);
      }),
      metrics: quietMetrics(this.#cluster),
    };
    return this.#program.start({
      environment,
      disk,
      isAlive: () => life === this.#life,
      onFatal: (error) => {
        if (life === this.#life) this.#processEnds(error);
      },
    });
  }

  #opened(manager: Manager): void {
    this.manager = manager;
    this.state = 'up';
    this.#cluster.note(this.id, 'up');
  }

  #processEnds(error: Error): void {
    if (isLogboomError(error, 'NODE_REMOVED')) return this.#expelled(error);
    this.#cluster.count('processes ended by a failed log');
    this.#cluster.note(this.id, `process ends: ${error.message}`);
    this.crash('process', supervisorMs);
  }

  /** The cluster does not take it any more: it is not started again with this data directory. */
  #expelled(error: Error): void {
    this.crash('process', undefined);
    this.keptDown = 'removed from the cluster';
    this.#cluster.note(this.id, `ends: ${error.message}`);
    this.#cluster.nodeExpelled(this.id);
  }

  #startFailed(error: unknown): void {
    if (isLogboomError(error, 'NODE_REMOVED')) return this.#expelled(error);
    this.#cluster.note(this.id, `start failed: ${String(error)}`);
    this.#cluster.count('failed starts');
    const refused = isLogboomError(error, 'WAL_CORRUPT') || isLogboomError(error, 'STATE_STORE_CORRUPT');
    this.#end();
    this.stores.crash();
    this.disk.processCrash();
    if (refused && this.damaged) return this.refusedToServe();
    const isBug = isProgrammingError(error) || (error instanceof Error && isProgrammingError(error.cause));
    const passes =
      !isBug && (isDiskError(error) || error instanceof StoreFailure || (isLogboomError(error) && !refused));
    if (!passes)
      this.#cluster.verdict.broken(
        refused ? 'sound-data-is-accepted' : 'assertion',
        `node ${this.id}: ${describe(error)}`,
      );
    this.startAfter(supervisorMs);
  }

  /** The damage was detected: an operator will have to replace the node. */
  refusedToServe(): void {
    this.#cluster.count('damage detected');
    this.keptDown = 'its data is damaged';
    this.#cluster.note(this.id, 'refuses to serve: damaged');
    this.#cluster.replaceLater(this.id);
  }

  /** A crash in the middle of an import. */
  #countInterrupted(): void {
    for (const replica of this.manager?.replicas ?? []) {
      if (replica.status.bootstrap === undefined) continue;
      this.#cluster.count('bootstraps interrupted');
      const record = this.#cluster.checker.record(replica.partitionId, this.replicaIdIn(replica.partitionId));
      if (record?.installing !== undefined) this.#cluster.count('crashes while a snapshot is put in place');
    }
  }

  #end(): void {
    this.#life += 1;
    this.repository?.crash();
    this.#writesPending = 0;
    this.state = 'down';
    this.manager = undefined;
    this.clock.endProcess();
    this.#program.ended();
    this.#cluster.checker.nodeStopped(this.id);
  }

  /** Faults at the boundary of each disk operation. */
  #intercept(operation: DiskOperation): DiskFault | undefined {
    const { kind } = operation;
    const { world, plan } = this.#cluster;
    if (kind === 'write') {
      this.#writesPending += 1;
      this.#noteLaterWrite(operation.path);
      this.#lastLogWrite = { path: operation.path, position: operation.position };
    }
    const fault = this.nextFaults.get(kind);
    if (fault !== undefined) {
      this.nextFaults.delete(kind);
      this.#cluster.count(kind === 'datasync' ? 'failed syncs' : 'disk errors');
      this.#cluster.note(this.id, `disk: ${kind} fails`);
    }
    const { crashPerMillion } = plan.disk;
    if (crashPerMillion > 0 && this.#cluster.faultsOn) {
      const random = this.#cluster.random(`crashes-${this.id}`);
      const odds = (this.#writesPending > 0 ? 10 : 1) * crashPerMillion;
      if (random.nextUint32() % 1_000_000 < odds) {
        const kindOfCrash = random.nextUint32() % 1000 < plan.disk.powerLossPerMille ? 'power' : 'process';
        this.#cluster.count('crashes at an I/O boundary');
        this.crash(kindOfCrash, 50 + (random.nextUint32() % 3000));
        return undefined;
      }
    }
    if (kind === 'datasync' && fault === undefined) {
      this.#writesPending = 0;
      if (operation.path === this.#lastLogWrite?.path) this.lastLogSync = this.#lastLogWrite;
    }
    if (fault === undefined && this.hangsUntilMs > world.nowMs)
      return { kind: 'delay', delayMs: this.hangsUntilMs - world.nowMs };
    return fault ?? (kind === 'write' ? this.#misdirected(operation) : undefined);
  }

  #misdirected({ path, position }: DiskOperation): DiskFault | undefined {
    if (this.#misdirect === undefined || !path.endsWith('.wal') || position <= groupsFrom) return undefined;
    const landsAt = groupsFrom + (this.#misdirect % (position - groupsFrom));
    this.#misdirect = undefined;
    this.#astray = { path, later: 0 };
    this.#cluster.count('misdirected writes');
    this.#cluster.note(this.id, `disk: a write to ${path} at ${position} goes to ${landsAt}`);
    return { kind: 'misdirect', position: landsAt };
  }

  /** The log writes no group before the last one is synced: with the second one, the first behind the hole is there. */
  #noteLaterWrite(path: string): void {
    if (this.#astray?.path !== path) return;
    this.#astray.later += 1;
    if (this.#astray.later === 2) this.#astray = undefined;
  }
}

/** What no fault of a disk explains, however it was wrapped. */
function isProgrammingError(error: unknown): boolean {
  return (
    error instanceof TypeError ||
    error instanceof ReferenceError ||
    error instanceof RangeError ||
    error instanceof RealityError
  );
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
