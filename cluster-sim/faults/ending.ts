/**
 * The end of a run. First a random quorum is healed while the others stay broken: the cluster must converge, serve, and
 * give back everything. Then all is healed, and all replicas must come to the same state.
 */
import type { History } from '../clients/history.js';
import { isLogboomError } from '../../src/base/errors.js';
import { contentDigest, type ContentDigest } from '../checkers/content-digest.js';
import { FinalClient } from '../clients/final-client.js';
import type { StreamBooks } from '../checkers/stream-books.js';
import { isQuorum, membersOf } from '../checkers/quorums.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import type { Nemesis } from './nemesis.js';
import { misplaced, restMs } from './placement-ending.js';
import { replaceNode } from './replacement.js';

export interface EndingParts {
  readonly cluster: Cluster;
  readonly nemesis: Nemesis;
  readonly history: History;
  readonly books: StreamBooks;
  /** Resolves when no client has a call under way. */
  readonly stopClients: () => Promise<void>;
}

const convergeMsMax = 120_000;
/** It may have to import more than one snapshot, from a slow store to a slow disk, and its groups go on meanwhile. */
const newcomerMsMax = 300_000;
/** Emptying a node moves its replicas one after another, and leaderships wait for nodes that have just come back. */
const placementMsMax = 300_000;
const readBackMsMax = 180_000;
const stepMs = 250;
const shortLog = 20;
const clearMsMax = 20_000;
/** Beside a replica's own; src/partition/installation.ts explains them. */
const importDirectories = ['.staging/', '.ready/'];

export class Ending {
  readonly #parts: EndingParts;

  constructor(parts: EndingParts) {
    this.#parts = parts;
  }

  /** Answers what is missing; undefined when everything came about. */
  run(): string | undefined {
    const { cluster, nemesis } = this.#parts;
    nemesis.end();
    const healed = this.#chooseHealed();
    cluster.note(0, `END: heals nodes ${healed.map(({ id }) => id).join(' ')}`);
    cluster.count(
      healed.length === cluster.nodes.length ? 'runs ended with all nodes healed' : 'runs ended with a quorum healed',
    );
    this.#heal(healed);
    return (
      this.#service(healed, 'a healed quorum') ??
      this.#healRest(healed) ??
      this.#until(convergeMsMax, 'equal states of all replicas', () => this.#hasConverged()) ??
      this.#equalStates() ??
      this.#placement() ??
      this.#newcomer() ??
      this.#equalContents() ??
      this.#nothingLeft()
    );
  }

  /** What operators have begun comes to its end, and then placement to rest. */
  #placement(): string | undefined {
    const { cluster, nemesis } = this.#parts;
    if (cluster.plan.membership === undefined) return undefined;
    nemesis.operators.settle();
    let rest = { version: 0, sinceMs: cluster.world.nowMs };
    const isDone = (): boolean => {
      const { nowMs } = cluster.world;
      const version = cluster.tables.newest?.tableVersion ?? 0;
      const isAtRest = nemesis.operators.underWay.length === 0 && misplaced(cluster) === undefined;
      if (!isAtRest || version !== rest.version) rest = { version, sinceMs: nowMs };
      return nowMs - rest.sinceMs >= restMs;
    };
    if (this.#until(placementMsMax, 'placement at rest', isDone) !== undefined) {
      const what = misplaced(cluster) ?? `the table stays as it is (version ${cluster.tables.newest?.tableVersion})`;
      return ['placement at rest', ...nemesis.operators.underWay, what].join('; ');
    }
    cluster.count('runs ended with placement at rest');
    return (
      this.#until(convergeMsMax, 'equal states of all replicas', () => this.#hasConverged()) ?? this.#equalStates()
    );
  }

  /** Where there are snapshots, a node that is new must be able to join a group whose log was trimmed. */
  #newcomer(): string | undefined {
    const { cluster, nemesis } = this.#parts;
    const { plan } = cluster;
    if (plan.snapshots === undefined || plan.profile === 'calm' || plan.membership !== undefined) return undefined;
    const { marginEntries } = plan.snapshots;
    const random = cluster.random('newcomer');
    const able = cluster.nodes.filter((node) => nemesis.budget.mayDamage(node));
    // A replacement that the end has cut short, or too few voters: nothing may be taken away then.
    if (able.length === 0) return undefined;
    const missing = this.#until(convergeMsMax, 'logs that are trimmed', () => {
      this.#trimLogs();
      return [...cluster.checker.truths.values()].every(
        // A short log may lie within the margin as a whole.
        ({ trimPoint, committedLsn }) => trimPoint > 0 || committedLsn <= marginEntries + shortLog,
      );
    });
    if (missing !== undefined) return missing;
    const node = random.pick(able);
    cluster.note(node.id, 'END: is replaced by a new node');
    replaceNode(cluster, { budget: nemesis.budget, isOver: () => false }, node, 100);
    const joined = (): boolean => !nemesis.budget.beingReplaced.has(node.id) && this.#hasConverged();
    const left = this.#until(newcomerMsMax, `the new node ${node.id}, up to date and a member`, joined);
    if (left !== undefined) return left;
    cluster.count('new nodes that joined at the end');
    return this.#equalStates();
  }

  #trimLogs(): void {
    const { cluster } = this.#parts;
    for (const { node, partitionId } of this.#members()) {
      const replica = node.manager?.replicas.find((candidate) => candidate.partitionId === partitionId);
      if (replica === undefined || replica.stopped !== undefined) continue;
      const { archivedLsn, persistedLsn, groupTrimPoint } = replica.status;
      if (groupTrimPoint > 0) continue;
      if (replica.isLeader && archivedLsn === undefined) void replica.snapshot().catch(() => {});
      if (persistedLsn < (archivedLsn ?? 0)) void replica.flush().catch(() => {});
    }
    cluster.count('rounds of trimming at the end');
  }

  /** Hashes of the state go from replica to replica with what is imported; the entries themselves are compared here. */
  #equalContents(): string | undefined {
    const { cluster } = this.#parts;
    const found = new Map<string, { readonly node: number; readonly content: ContentDigest }[]>();
    // Metadata is nothing but state, which was compared by its hash.
    const members = this.#members().filter(({ partitionId }) => partitionId !== 0);
    let left = members.length;
    for (const { node, partitionId } of members) {
      const replica = node.manager?.replicas.find((candidate) => candidate.partitionId === partitionId);
      if (replica === undefined) return `node ${node.id} serves partition ${partitionId}`;
      const add = (content: ContentDigest): void => {
        const key = `${partitionId} at LSN ${content.lsn}`;
        found.set(key, [...(found.get(key) ?? []), { node: node.id, content }]);
        left -= 1;
      };
      contentDigest(replica).then(add, (error: unknown) => {
        left -= 1;
        if (node.damaged || isLogboomError(error, 'STATE_STORE_FAILED')) return;
        cluster.verdict.broken(
          'equal-lsn-equal-content',
          `node ${node.id}, partition ${partitionId}: ${String(error)}`,
        );
      });
    }
    const missing = this.#until(convergeMsMax, 'the contents of all replicas', () => left === 0);
    for (const [where, contents] of found) {
      cluster.count('contents compared', contents.length);
      const odd = contents.find(({ content }) => content.digest !== contents[0]?.content.digest);
      cluster.verdict.require(
        odd === undefined,
        'equal-lsn-equal-content',
        () =>
          `partition ${where}: ${contents.map(({ node, content }) => `node ${node} has ${content.digest}`).join(', ')}`,
      );
    }
    return missing;
  }

  #nothingLeft(): undefined {
    const { cluster } = this.#parts;
    const leftovers = (): string[] =>
      this.#members().flatMap(({ node, partitionId }) =>
        node.disk
          .paths()
          .filter((path) =>
            importDirectories.some((ending) => path.startsWith(`/data/partitions/${partitionId}${ending}`)),
          )
          .map((path) => `node ${node.id}: ${path}`),
      );
    // What was just put in place, or was seen not to be needed, is being cleared away.
    this.#until(clearMsMax, 'imports cleared away', () => leftovers().length === 0);
    cluster.verdict.require(leftovers().length === 0, 'nothing-is-left-of-imports', () =>
      leftovers().slice(0, 3).join(', '),
    );
    return undefined;
  }

  #service(healed: readonly SimulatedNode[], who: string): string | undefined {
    const { cluster, books, history, stopClients } = this.#parts;
    const leaders = (): boolean =>
      [...cluster.checker.truths.keys()].every((partitionId) => {
        const leader = cluster.leaderOf(partitionId);
        return leader !== undefined && healed.includes(leader);
      });
    let missing = this.#until(convergeMsMax, `a leader of every partition, by ${who}`, leaders);
    if (missing !== undefined) return missing;
    let stopped = false;
    void stopClients().then(() => (stopped = true));
    missing = this.#until(60_000, `the end of all client calls, by ${who}`, () => stopped);
    if (missing !== undefined) return missing;
    const client = new FinalClient({ cluster, books, history, id: 99, kind: 'final', isRunning: () => true }, healed);
    let served = false;
    void client.serveAndReadBack().then(() => (served = true));
    return (
      this.#until(readBackMsMax, `an append to every stream and a full read-back, by ${who}`, () => served) &&
      client.progress
    );
  }

  /** A random quorum of every configuration there is, without nodes that cannot serve. */
  #chooseHealed(): SimulatedNode[] {
    const { cluster, nemesis } = this.#parts;
    const random = cluster.random('ending');
    for (const node of cluster.nodes) {
      if (!node.damaged || node.keptDown !== undefined) continue;
      node.crash('process', undefined);
      node.keptDown = 'its data is damaged';
    }
    const able = cluster.nodes.filter((node) => node.keptDown === undefined);
    if (nemesis.budget.isConfigurationChanging()) return able;
    for (let count = 1; count <= able.length; count += 1) {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const chosen = random.shuffled(able).slice(0, count);
        if (this.#isQuorumEverywhere(chosen)) return chosen;
      }
    }
    return able;
  }

  #isQuorumEverywhere(nodes: readonly SimulatedNode[]): boolean {
    const { cluster } = this.#parts;
    return [...cluster.checker.truths.keys()].every((partitionId) => {
      const replicas = new Set(nodes.map((node) => node.replicaIdIn(partitionId)));
      return cluster
        .configurations(partitionId)
        .every((confState) => isQuorum(confState, (replica) => replicas.has(replica)));
    });
  }

  #heal(healed: readonly SimulatedNode[]): void {
    const { cluster } = this.#parts;
    const { network } = cluster;
    network.heal();
    cluster.objectsDownUntilMs = 0;
    for (const node of cluster.nodes) {
      if (healed.includes(node)) continue;
      // The rest stays broken: gone, or there and cut off, which is worse.
      if (cluster.random('ending').chance(0.5)) node.crash('process', undefined);
      node.keptDown ??= node.state === 'down' ? 'kept down at the end' : undefined;
      network.cut(
        healed.flatMap((other) => [
          { from: node.id, to: other.id },
          { from: other.id, to: node.id },
        ]),
      );
    }
    for (const node of healed) this.#healNode(node);
  }

  #healNode(node: SimulatedNode): void {
    node.resume();
    node.nextFaults.clear();
    node.hangsUntilMs = 0;
    if (node.repository !== undefined) {
      node.repository.cutOffUntilMs = 0;
      node.repository.slowness = 1;
    }
    node.disk.slowness = 1;
    node.disk.capacityBytes = Number.POSITIVE_INFINITY;
    const { writeMsMax } = this.#parts.cluster.plan.stores;
    Object.assign(node.stores.faults, { writeFailuresPerMille: 0, flushFailuresPerMille: 0, writeMsMax });
    node.clock.setDrift(0);
    // An operation that still hangs would do so for as long as the fault was to last.
    if (node.state === 'starting' || node.state === 'stopping') node.crash('process', undefined);
    node.start();
  }

  #healRest(healed: readonly SimulatedNode[]): undefined {
    const { cluster } = this.#parts;
    cluster.note(0, 'END: heals all nodes');
    cluster.network.heal();
    for (const node of cluster.nodes) {
      if (healed.includes(node)) continue;
      if (node.keptDown === 'kept down at the end') node.keptDown = undefined;
      this.#healNode(node);
    }
    return undefined;
  }

  /** Replicas that are members and whose nodes can serve have applied everything that is committed. */
  #hasConverged(): boolean {
    const { cluster } = this.#parts;
    return this.#members().every(({ node, partitionId }) => {
      const record = cluster.checker.record(partitionId, node.replicaIdIn(partitionId));
      const committed = cluster.checker.truth(partitionId)?.committedLsn ?? 0;
      return record !== undefined && record.running && record.applied === committed;
    });
  }

  #equalStates(): string | undefined {
    const { cluster } = this.#parts;
    const hashes = new Map<number, string>();
    for (const { node, partitionId } of this.#members()) {
      const replica = node.manager?.replicas.find((candidate) => candidate.partitionId === partitionId);
      if (replica === undefined) return `node ${node.id} serves partition ${partitionId}`;
      const { stateHash, appliedLsn } = replica.status;
      const hash = `${appliedLsn}/${stateHash.high}:${stateHash.low}`;
      const other = hashes.get(partitionId);
      if (other !== undefined && other !== hash) {
        cluster.verdict.broken(
          'equal-lsn-equal-state',
          `partition ${partitionId}, node ${node.id} ends at ${hash}, another at ${other}`,
        );
      }
      hashes.set(partitionId, hash);
    }
    cluster.count('runs ended with equal states');
    return undefined;
  }

  #members(): { readonly node: SimulatedNode; readonly partitionId: number }[] {
    const { cluster } = this.#parts;
    return [...cluster.checker.truths].flatMap(([partitionId, truth]) =>
      cluster.nodes
        .filter(
          (node) =>
            node.keptDown === undefined && membersOf(truth.newestConfiguration).includes(node.replicaIdIn(partitionId)),
        )
        .map((node) => ({ node, partitionId })),
    );
  }

  /** Lets time pass until something is so; answers what is missing after so long. */
  #until(limitMs: number, what: string, isSo: () => boolean): string | undefined {
    const { world, verdict } = this.#parts.cluster;
    const endMs = world.nowMs + limitMs;
    while (!isSo()) {
      if (verdict.violation !== undefined) return what;
      if (world.nowMs >= endMs) return what;
      const beforeMs = world.nowMs;
      world.run(beforeMs + stepMs);
      if (world.nowMs === beforeMs) return what;
    }
    return undefined;
  }
}
