/** Does to a cluster what the plan says, when it says so; and no more than the fault budget allows. */
import { asReplicaId } from '../../src/base/ids.js';
import { isLogboomError } from '../../src/base/errors.js';
import { Operators } from './operators.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import { cutsOf } from '../network/topologies.js';
import type { Action, Target } from '../plan.js';
import { raceArchives } from './archive-races.js';
import { FaultBudget } from './fault-budget.js';
import { damageObjects } from './object-damage.js';
import { replaceNode } from './replacement.js';
import { rotLog, rotRecordsAbove, rotStore } from './rot.js';
import { starveNodes } from './starvation.js';
import { drawVoterChange } from './voter-changes.js';

const kibibyte = 1024;
const stallMs = 4000;
/** A node whose data has rotted is replaced after this time, whether it has noticed or not. */
const replaceRottenMs = 30_000;
/** Damage to the archive that somebody could not do without waits, for as long. */
const damageAttempts = 40;
const damageAgainMs = 500;

export class Nemesis {
  readonly budget: FaultBudget;
  readonly operators: Operators;
  readonly #cluster: Cluster;
  #ended = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.budget = new FaultBudget(cluster);
    this.operators = new Operators(cluster, this.budget);
    cluster.replaceLater = (nodeId) => {
      const node = cluster.node(nodeId);
      cluster.world.after(2000, () => node?.keptDown !== undefined && this.#replaceDamaged(node));
    };
  }

  run(): void {
    const { world, plan } = this.#cluster;
    this.#cluster.faultsOn = plan.profile !== 'calm';
    if (plan.profile === 'churn') void this.#disturbElections();
    if (plan.profile === 'bootstrap') {
      void starveNodes(this.#cluster, () => this.#ended);
      void raceArchives(this.#cluster, () => this.#ended);
    }
    if (plan.profile === 'lease') this.#cutOffLeaders();
    for (const { node, untilMs } of plan.snapshots?.blind ?? []) {
      world.at(untilMs, () => this.#cluster.node(node)?.restart(200));
    }
    for (const action of plan.actions) {
      world.at(action.atMs, () => {
        if (!this.#ended) this.#do(action);
      });
    }
  }

  /**
   * At elections: proposes a configuration change to the new leader before it knows what is committed, and now and then
   * cuts it off before the others have the change.
   */
  async #disturbElections(): Promise<void> {
    const { world } = this.#cluster;
    const random = this.#cluster.random('elections');
    while (!this.#ended) {
      const { partition, node } = await this.#cluster.nextElection();
      if (this.#ended || !random.chance(0.5)) continue;
      if (random.chance(0.5)) this.#stallStores(random.pick(this.#cluster.nodes.filter(({ id }) => id !== node)));
      await world.sleep(random.exponential(1));
      this.#changeVoters({ partition, pick: random.nextUint32() });
      if (!random.chance(0.4)) continue;
      await world.sleep(random.exponential(1));
      this.#cutOff(node, random.between(1000, 4000), 'cut off after its election');
      this.#cluster.count('leaders cut off after their election');
    }
  }

  /** Writes to the node's databases take seconds, as in a compaction that they wait for: it applies long after it commits. */
  #stallStores(node: SimulatedNode): void {
    const { world, plan } = this.#cluster;
    node.stores.faults.writeMsMax = stallMs;
    this.#cluster.count('stalled stores');
    this.#cluster.note(node.id, 'writes to stores stall');
    world.after(2 * stallMs, () => (node.stores.faults.writeMsMax = plan.stores.writeMsMax));
  }

  /** Again and again, for long enough that the others elect another leader while this one may still hold its lease. */
  #cutOffLeaders(): void {
    const { world, plan } = this.#cluster;
    const random = this.#cluster.random('leases');
    world.after(random.exponential(6000), () => {
      if (this.#ended) return;
      const leader = this.#cluster.leaderOf(random.integer(1, plan.partitions));
      if (leader !== undefined)
        this.#cutOff(leader.id, random.between(1.5, 3) * plan.electionTicks * plan.tickMs, 'cut off while it leads');
      this.#cutOffLeaders();
    });
  }

  #cutOff(nodeId: number, forMs: number, why: string): void {
    const { world, network, nodes } = this.#cluster;
    const cuts = cutsOf('isolate', [nodeId, ...nodes.map(({ id }) => id).filter((id) => id !== nodeId)]);
    const mend = network.cut(cuts);
    this.#cluster.note(nodeId, why);
    world.after(forMs, mend);
  }

  /** Nothing new happens from here on; what is under way is healed by the caller. */
  end(): void {
    this.#ended = true;
    this.#cluster.faultsOn = false;
  }

  #do(action: Action): void {
    const cluster = this.#cluster;
    const { world, network } = cluster;
    switch (action.kind) {
      case 'cut': {
        const cuts = cutsOf(action.topology, action.order);
        const mend = network.cut(cuts);
        this.#did(action, 0, `network: ${action.topology} of ${action.order.join(' ')} for ${action.forMs} ms`);
        cluster.count(action.topology === 'isolate' ? 'isolations' : 'partial partitions');
        world.after(action.forMs, mend);
        return;
      }
      case 'slow-link':
        network.slow(action.from, action.to, action.extraMs, action.bytesPerMs);
        this.#did(action, 0, `network: slow from ${action.from} to ${action.to} for ${action.forMs} ms`);
        world.after(action.forMs, () => network.slow(action.from, action.to, 0, 0));
        return;
      case 'power-loss-all':
        this.#did(action, 0, 'power loss everywhere');
        cluster.nodes.forEach((node, index) => node.crash('power', action.downMs[index] ?? 1000));
        return;
      case 'rolling-restart':
        this.#did(action, 0, 'rolling restart');
        action.order.forEach((id, index) =>
          world.after(index * action.everyMs, () => !this.#ended && cluster.node(id)?.restart(200)),
        );
        return;
      case 'objects-unavailable':
        cluster.objectsDownUntilMs = world.nowMs + action.forMs;
        return this.#did(action, 0, `object store: unavailable for ${action.forMs} ms`);
      case 'objects-slow':
        for (const { repository } of cluster.nodes) if (repository !== undefined) repository.slowness = action.factor;
        world.after(action.forMs, () => {
          for (const { repository } of cluster.nodes) if (repository !== undefined) repository.slowness = 1;
        });
        return this.#did(action, 0, `object store: ${action.factor} times slower for ${action.forMs} ms`);
      case 'objects-damage':
        return this.#damageObjects(action, damageAttempts);
      case 'rot-before-snapshot':
        return this.#rotBeforeSnapshot(action);
      case 'transfer-leader':
        return this.#transferLeader(action);
      case 'node-joins':
      case 'node-leaves':
      case 'node-drained':
      case 'replica-moves':
      case 'zone-changes':
      case 'setting-changes':
        return this.operators.do(action);
      case 'change-voters':
        return this.#changeVoters(action);
      case 'delete-stream':
        if (cluster.plan.streams[action.stream]?.mayBeDeleted === true) cluster.streamsToDelete.push(action.stream);
        return;
      case 'clock-jump':
      case 'clock-drift':
      case 'bit-rot':
      case 'wipe': {
        const node = cluster.node(action.node);
        if (node !== undefined) this.#doToNode(action, node);
        return;
      }
      default: {
        const node = this.#resolve(action.target);
        if (node !== undefined) this.#doToTarget(action, node);
      }
    }
  }

  #doToNode(
    action: Extract<Action, { readonly kind: 'clock-jump' | 'clock-drift' | 'bit-rot' | 'wipe' }>,
    node: SimulatedNode,
  ): void {
    const cluster = this.#cluster;
    switch (action.kind) {
      case 'clock-jump':
        node.clock.jumpWall(action.byMs);
        return this.#did(action, node.id, `wall clock jumps by ${action.byMs} ms`);
      case 'clock-drift':
        node.clock.setDrift(action.drift);
        return this.#did(action, node.id, `clock drifts by ${(100 * action.drift).toFixed(1)} %`);
      case 'wipe':
        if (cluster.plan.membership !== undefined) return this.operators.do(action);
        if (!this.budget.mayDamage(node)) return;
        if (cluster.mutant === 'wiped-disk-keeps-its-identity') return node.wipe(action.downMs, true);
        return this.#replace(node, action.downMs);
      case 'bit-rot': {
        if (!this.budget.mayDamage(node)) return;
        const what =
          action.where === 'log' ? rotLog(node, action.pick) : rotStore(node, action.pick, cluster.plan.partitions);
        if (what === undefined) return;
        this.#damaged(node);
        this.#did(action, node.id, `bit rot in ${what}`);
        // A log is read again at the next start, and seldom before.
        if (action.where === 'log')
          cluster.world.after(1000 + (action.pick % 10_000), () => node.isUp && node.crash('process', 500));
      }
    }
  }

  #damageObjects(action: Extract<Action, { readonly kind: 'objects-damage' }>, attempts: number): void {
    if (this.#ended || attempts === 0 || damageObjects(this.#cluster, this.budget, action)) return;
    this.#cluster.world.after(damageAgainMs, () => this.#damageObjects(action, attempts - 1));
  }

  /** What a snapshot has already it does not read again. */
  #rotBeforeSnapshot(action: Extract<Action, { readonly kind: 'rot-before-snapshot' }>): void {
    const { partition } = action;
    const leader = this.#cluster.leaderOf(partition);
    const replica = leader?.manager?.replicas.find(({ partitionId }) => partitionId === partition);
    if (leader === undefined || replica === undefined || !this.budget.mayDamage(leader)) return;
    const what = rotRecordsAbove(leader, partition, replica.status.archivedLsn ?? 0);
    if (what === undefined) return;
    this.#damaged(leader);
    this.#did(action, leader.id, `bit rot in ${what}, which is in no snapshot`);
    void replica.snapshot().catch(() => {});
  }

  #doToTarget(action: Extract<Action, { readonly target: Target }>, node: SimulatedNode): void {
    const { world } = this.#cluster;
    switch (action.kind) {
      case 'crash':
        return node.crash('process', action.downMs);
      case 'power-loss':
        return node.crash('power', action.downMs);
      case 'away':
        node.crash('process', action.downMs);
        return this.#did(action, node.id, `away for ${action.downMs} ms`);
      case 'objects-cut-off':
        if (node.repository === undefined) return;
        node.repository.cutOffUntilMs = world.nowMs + action.forMs;
        return this.#did(action, node.id, `cut off from the object store for ${action.forMs} ms`);
      case 'restart':
        return node.restart(action.downMs);
      case 'pause':
        node.pause();
        world.after(action.forMs, () => node.resume());
        return this.#did(action, node.id, undefined);
      case 'disk-slow':
        node.disk.slowness = action.factor;
        world.after(action.forMs, () => (node.disk.slowness = 1));
        return this.#did(action, node.id, `disk ${action.factor} times slower for ${action.forMs} ms`);
      case 'disk-hang':
        node.hangsUntilMs = world.nowMs + action.forMs;
        return this.#did(action, node.id, `disk hangs for ${action.forMs} ms`);
      case 'disk-full':
        node.disk.capacityBytes = node.disk.usedBytes + 16 * kibibyte;
        world.after(action.forMs, () => (node.disk.capacityBytes = Number.POSITIVE_INFINITY));
        return this.#did(action, node.id, `disk full for ${action.forMs} ms`);
      case 'disk-error':
        // What cannot be read is lost, to the server as to us.
        if (action.operation === 'read') {
          if (!this.budget.mayDamage(node)) return;
          this.#damaged(node);
        }
        node.nextFaults.set(action.operation, { kind: 'fail', code: 'EIO' });
        return;
      case 'misdirected-write':
        if (!this.budget.mayDamage(node)) return;
        this.#damaged(node);
        node.misdirectNextWrite(action.pick);
        return;
      case 'store-failures':
        node.stores.faults.writeFailuresPerMille = action.perMille;
        node.stores.faults.flushFailuresPerMille = action.perMille;
        world.after(action.forMs, () => {
          node.stores.faults.writeFailuresPerMille = 0;
          node.stores.faults.flushFailuresPerMille = 0;
        });
        return this.#did(action, node.id, `writes to stores fail for ${action.forMs} ms`);
      case 'flush':
        // A flush that fails reopens the store, which the replica sees to.
        for (const replica of node.manager?.replicas ?? []) void flushOf(replica).catch(() => {});
    }
  }

  /** Something of the node's data is lost. It may notice, or serve on; it is replaced in either case. */
  #damaged(node: SimulatedNode): void {
    const cluster = this.#cluster;
    const { replicaId } = node;
    node.damaged = true;
    this.budget.damaged.add(node.id);
    cluster.world.after(replaceRottenMs, () => {
      if (node.replicaId === replicaId && node.keptDown === undefined) this.#replaceDamaged(node);
    });
  }

  #replaceDamaged(node: SimulatedNode): void {
    if (this.#cluster.mutant !== 'rebuilt-replica-keeps-its-id') return this.#replace(node, 500);
    if (this.#ended || !node.damaged) return;
    node.keptDown = undefined;
    node.wipe(500, true);
    this.budget.damaged.delete(node.id);
  }

  /** At the end of a run nothing is replaced any more: who is to be healed is decided then. */
  #replace(node: SimulatedNode, downMs: number): void {
    if (!this.#ended) replaceNode(this.#cluster, { budget: this.budget, isOver: () => this.#ended }, node, downMs);
  }

  /** At once, or gently, as operators and stopping nodes do: the two meet an election in different places. */
  #transferLeader({ partition, to, atMs }: Extract<Action, { kind: 'transfer-leader' }>): void {
    const leader = this.#cluster.leaderOf(partition);
    const target = this.#cluster.node(to);
    const replica = leader?.manager?.replicas.find(({ partitionId }) => partitionId === partition);
    if (replica === undefined || target === undefined || leader === target) return;
    if (target.replicaIdIn(partition) === 0) return;
    const successor = asReplicaId(target.replicaIdIn(partition));
    if (Math.floor(atMs) % 2 === 0) {
      this.#ask(() => replica.transferLeader(successor));
    } else {
      this.#cluster.count('leaderships handed over');
      void replica.handOver(successor, { timeoutMs: 5000 }).then(
        () => this.#cluster.count('leaderships handed over in the end'),
        // Refusals are answers; a node that crashes meanwhile answers nothing.
        (error: unknown) => this.#ask(() => rethrow(error)),
      );
    }
    this.#cluster.count('leadership transfers');
    this.#cluster.note(leader?.id ?? 0, `p${partition}: hands leadership to ${successor}`);
  }

  #changeVoters({ partition, pick }: { readonly partition: number; readonly pick: number }): void {
    const cluster = this.#cluster;
    const leader = cluster.leaderOf(partition);
    const replica = leader?.manager?.replicas.find(({ partitionId }) => partitionId === partition);
    // While a node is being replaced, only that changes configurations.
    if (replica === undefined || this.budget.damaged.size > 0) return;
    const change = drawVoterChange(
      replica.confState,
      cluster.nodes.map((node) => node.replicaId),
      pick,
    );
    if (change === undefined) return;
    this.#ask(() => replica.proposeConfChange(change));
    cluster.count('configuration changes proposed');
    const steps = change.steps.map((step) => `${step.type} ${step.replica}`).join(', ');
    cluster.note(leader?.id ?? 0, `p${partition}: proposes ${change.transition} ${steps || 'leave joint'}`);
  }

  /** A refusal is an answer. */
  #ask(call: () => unknown): void {
    try {
      call();
    } catch (error) {
      if (!isLogboomError(error)) throw error;
    }
  }

  #resolve(target: Target): SimulatedNode | undefined {
    return 'node' in target ? this.#cluster.node(target.node) : this.#cluster.leaderOf(target.leaderOf);
  }

  #did(action: Action, nodeId: number, text: string | undefined): void {
    this.#cluster.count(countOf[action.kind] ?? action.kind);
    if (text !== undefined) this.#cluster.note(nodeId, text);
  }
}

const countOf: Partial<Record<Action['kind'], string>> = {
  cut: 'network cuts',
  'slow-link': 'slow links',
  'power-loss-all': 'correlated power losses',
  'rolling-restart': 'rolling restarts',
  pause: 'pauses',
  'rot-before-snapshot': 'values that rotted before a snapshot read them',
  'clock-jump': 'clock jumps',
  'clock-drift': 'clock drifts',
  'disk-slow': 'slow disks',
  'disk-hang': 'hung disks',
  'disk-full': 'full disks',
  'store-failures': 'store failures',
  away: 'nodes away for long',
  'objects-unavailable': 'object store outages',
  'objects-slow': 'object store slow',
  'objects-cut-off': 'nodes cut off from the object store',
};

/** Throws as a rejection, also while the store is being reopened. */
async function flushOf(replica: { flush(): Promise<unknown> }): Promise<void> {
  await replica.flush();
}

function rethrow(error: unknown): never {
  throw error;
}
