/** Operators of a cluster: let nodes join, empty and remove them, replace those whose disk is gone, move replicas. */
import { isLogboomError, type Reason } from '../../src/base/errors.js';
import { MembershipMethods } from '../../src/server/services/membership-methods.js';
import { OutcomeUnknown } from '../clients/calls.js';
import { dataDirectory } from '../nodes/server-program.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import type { MembershipAction } from '../plan.js';
import type { FaultBudget } from './fault-budget.js';

/** Why a node that is to join later does not run. */
export const noMemberYet = 'no member yet';

const askAgainMs = 500;
const callMs = 5000;
const lookAgainMs = 1000;

/** Until they pass, a node that is emptied is not removed, or one that was wiped not replaced. */
const passing: readonly Reason[] = [
  'NODE_HAS_REPLICAS',
  'QUORUM_WOULD_BE_LOST',
  'NODE_NOT_FOUND',
  'PLACEMENT_IN_PROGRESS',
];
/** What an operator may be told when the cluster is not, or not any more, as the request takes it to be. */
const refusals: readonly Reason[] = [
  ...passing,
  'INVALID_ARGUMENT',
  'METADATA_VERSION_MISMATCH',
  'NODE_REMOVED',
  'PARTITION_NOT_FOUND',
  'PLACEMENT_INVALID',
  'REPLICATION_FACTOR_TOO_HIGH',
];

/** Of a leader that is none any more, or is busy: asked again, each of these changes is the same when it is made twice. */
const transient: readonly Reason[] = [
  'NOT_LEADER',
  'LEADERSHIP_LOST',
  'QUEUE_FULL',
  'DISK_FULL',
  'PARTITION_STOPPED',
  'SHUTTING_DOWN',
  'STATE_STORE_FAILED',
  'WAL_FAILED',
];

export class Operators {
  readonly #cluster: Cluster;
  readonly #budget: FaultBudget;
  /** What is under way, by node: one thing at a time. */
  readonly #busy = new Map<number, string>();

  constructor(cluster: Cluster, budget: FaultBudget) {
    this.#cluster = cluster;
    this.#budget = budget;
  }

  /** Work that is not done yet, in words. */
  get underWay(): readonly string[] {
    return [...this.#busy].map(([nodeId, what]) => `node ${nodeId} ${what}`);
  }

  do(action: MembershipAction): void {
    switch (action.kind) {
      case 'node-joins':
        return this.#work(action.node, 'joins', (node) => this.#join(node));
      case 'node-leaves':
        return this.#work(action.node, 'leaves', (node) => this.#leave(node));
      case 'node-drained':
        return this.#work(action.node, 'is drained for a while', (node) => this.#drain(node, action.forMs));
      case 'wipe':
        return this.#work(action.node, 'is replaced', (node) => this.#replace(node, action.downMs));
      case 'zone-changes':
        return this.#work(action.node, 'changes its zone', async (node) => this.#changeZone(node, action.zone));
      case 'replica-moves':
        return this.#report(this.#move(action.partition, action.pick));
      case 'setting-changes':
        return this.#report(this.#set(action.name, action.value));
    }
  }

  /** Takes back what keeps the cluster from coming to rest. */
  settle(): void {
    for (const name of ['moves-max', 'dead-node-delay-ms']) this.#report(this.#set(name, undefined));
  }

  #work(nodeId: number, what: string, work: (node: SimulatedNode) => Promise<void>): void {
    const node = this.#cluster.node(nodeId);
    if (node === undefined || this.#busy.has(nodeId)) return;
    this.#busy.set(nodeId, what);
    this.#report(work(node).finally(() => this.#busy.delete(nodeId)));
  }

  /** A refusal is an answer; anything else is a bug. */
  #report(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (isLogboomError(error) && refusals.includes(error.reason)) {
        this.#cluster.count('operators refused');
        this.#cluster.note(0, `operator: ${error.reason}`);
        return;
      }
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#cluster.verdict.broken('assertion', `an operator is told: ${what}`);
    });
  }

  #isMember({ id }: SimulatedNode): boolean {
    const state = this.#cluster.tables.node(id)?.state;
    return state === 'active' || state === 'draining';
  }

  async #join(node: SimulatedNode): Promise<void> {
    const { tables, world } = this.#cluster;
    if (node.keptDown === undefined || this.#isMember(node) || node.damaged || tables.newest === undefined) return;
    const isBack = node.keptDown !== noMemberYet;
    node.keptDown = undefined;
    node.memberProgram?.findsMembers();
    this.#cluster.note(node.id, 'operator: lets the node join');
    // The data directory of a node that was removed never comes back.
    if (isBack) node.wipe(0, false);
    else node.start();
    while (!this.#isMember(node) || !node.isUp) await world.sleep(lookAgainMs);
    this.#cluster.count('nodes that joined');
    if (this.#cluster.plan.initialVoters.length === 1) this.#cluster.count('nodes that joined one that was alone');
    if (isBack) this.#cluster.count('removed nodes that joined again');
  }

  async #leave(node: SimulatedNode): Promise<void> {
    const { world } = this.#cluster;
    if (!this.#isMember(node)) return;
    await this.#atLeader((methods) => methods.drain({ node: node.id, cancel: false }));
    this.#cluster.note(node.id, 'operator: drains the node, to remove it');
    while (!(await this.#isDone((methods) => methods.remove({ node: node.id })))) await world.sleep(lookAgainMs);
    this.#cluster.count('nodes removed');
    this.#cluster.note(node.id, 'operator: removed the node');
    while (node.keptDown === undefined) await world.sleep(lookAgainMs);
    this.#cluster.count('removed nodes that ended');
  }

  async #drain(node: SimulatedNode, forMs: number): Promise<void> {
    if (!this.#isMember(node)) return;
    await this.#atLeader((methods) => methods.drain({ node: node.id, cancel: false }));
    this.#cluster.note(node.id, `operator: drains the node for ${forMs} ms`);
    await this.#cluster.world.sleep(forMs);
    await this.#atLeader((methods) => methods.drain({ node: node.id, cancel: true }));
    this.#cluster.count('drains taken back');
  }

  async #replace(node: SimulatedNode, downMs: number): Promise<void> {
    const { world, tables, mutant } = this.#cluster;
    const before = tables.node(node.id)?.incarnation;
    if (before === undefined || !this.#isMember(node) || !this.#budget.mayDamage(node)) return;
    this.#budget.damaged.add(node.id);
    if (mutant === 'wiped-node-keeps-its-record') {
      const kept = recordsOf(node);
      node.wipe(downMs, false);
      for (const { path, content } of kept) node.disk.putFile(path, content);
      this.#budget.damaged.delete(node.id);
      return;
    }
    node.wipe(downMs, false);
    this.#cluster.note(node.id, 'operator: replaces the node');
    while (tables.node(node.id)?.incarnation === before) {
      this.#correctList(node);
      await this.#isDone((methods) => methods.replace({ node: node.id }));
      await world.sleep(lookAgainMs);
    }
    while (!this.#isWhole(node)) await world.sleep(lookAgainMs);
    this.#budget.damaged.delete(node.id);
    this.#cluster.count('nodes replaced');
  }

  /** A list of founders of whom none but the node is left tells it nothing: it is given the addresses of members instead. */
  #correctList(node: SimulatedNode): void {
    const { initialVoters } = this.#cluster.plan;
    const { memberProgram } = node;
    if (memberProgram?.knowsList !== true) return;
    const others = this.#cluster.nodes.filter(({ id }) => id !== node.id && initialVoters.includes(id));
    if (others.some((other) => this.#isMember(other))) return;
    memberProgram.findsMembers();
    this.#cluster.note(node.id, 'operator: corrects its configuration');
    node.crash('process', 100);
  }

  /** Nobody counts on what was on its disk any more. */
  #isWhole({ id }: SimulatedNode): boolean {
    const partitions = [...(this.#cluster.tables.newest?.partitions.values() ?? [])];
    return partitions.every(({ replicas }) =>
      replicas.every(({ nodeId, state }) => nodeId !== id || state === 'settled'),
    );
  }

  #changeZone(node: SimulatedNode, zone: string): void {
    if (node.memberProgram === undefined || !node.isUp) return;
    node.memberProgram.zone = zone;
    this.#cluster.note(node.id, `operator: the node is in ${zone} now`);
    this.#cluster.count('zones changed');
    node.restart(200);
  }

  /** A second one at once is not to be taken, or not before the first one is done. */
  async #move(partitionId: number, pick: number): Promise<void> {
    const state = this.#cluster.tables.newest;
    const partition = [...(state?.partitions.values() ?? [])].find(({ id }) => id === partitionId);
    if (state === undefined || partition === undefined) return;
    const held = partition.replicas.map(({ nodeId }) => nodeId);
    const free = [...state.nodes.values()].filter(({ id, state: is }) => is === 'active' && !held.includes(id));
    const moves = Math.min(2, free.length, 1 + (pick % 3));
    for (let index = 0; index < moves; index += 1) {
      const fromNode = held[(pick + index) % held.length];
      const toNode = free[(Math.floor(pick / 16) + index) % free.length]?.id;
      if (fromNode === undefined || toNode === undefined) return;
      await this.#atLeader((methods) => methods.move({ partition: partitionId, fromNode, toNode }));
      this.#cluster.count('replicas moved by operators');
      this.#cluster.note(toNode, `operator: moves a replica of partition ${partitionId} from node ${fromNode}`);
    }
  }

  async #set(name: string, value: string | undefined): Promise<void> {
    await this.#atLeader((methods) => methods.set({ name, value }));
    this.#cluster.count('settings changed');
    this.#cluster.note(0, `operator: sets ${name} to ${value ?? 'its default'}`);
  }

  /** False when it is to be tried again. */
  async #isDone(change: (methods: MembershipMethods) => Promise<unknown>): Promise<boolean> {
    try {
      await this.#atLeader(change);
      return true;
    } catch (error) {
      if (!isLogboomError(error) || !passing.includes(error.reason)) throw error;
      return false;
    }
  }

  /** Asks the node that leads the metadata, until one does and has answered. @throws LogboomError its refusal */
  async #atLeader(change: (methods: MembershipMethods) => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        if (await this.#ask(change)) return;
      } catch (error) {
        const isLost = error instanceof OutcomeUnknown || (isLogboomError(error) && transient.includes(error.reason));
        if (!isLost) throw error;
      }
      await this.#cluster.world.sleep(askAgainMs);
    }
  }

  async #ask(change: (methods: MembershipMethods) => Promise<unknown>): Promise<boolean> {
    const node = this.#cluster.leaderOf(0);
    const member = node?.memberProgram?.member;
    if (node === undefined || member === undefined) return false;
    const methods = new MembershipMethods(member.membership, node.serviceRandom);
    await new Promise((resolve, reject) => {
      this.#cluster.world.after(callMs, () => reject(new OutcomeUnknown(`no answer of node ${node.id}`)));
      node.clock.inProcess(() => void change(methods).then(resolve, reject));
    });
    return true;
  }
}

/** Who the node is, without what it has promised. */
function recordsOf({ disk }: SimulatedNode): { readonly path: string; readonly content: Buffer }[] {
  return ['node.json', 'cluster.json'].map((name) => {
    const path = `${dataDirectory}/${name}`;
    return { path, content: Buffer.from(disk.contents(path)) };
  });
}
