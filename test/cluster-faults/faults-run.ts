/** One run: a cluster, clients, one fault after another, and the checks at the end. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Verdict } from '../../cluster-sim/checkers/verdict.js';
import { freePorts } from '../integration/support/free-ports.js';
import { SeededRandom } from '../integration/support/random.js';
import { FaultNode } from './fault-node.js';
import { faults } from './faults.js';
import { checkHistories, readBack, replicasAgree } from './final-checks.js';
import { FaultNetwork } from './network.js';
import { streamNames, Workload } from './workload.js';
import type { Violation } from '../../cluster-sim/checkers/verdict.js';
import type { Capabilities } from './capabilities.js';
import type { Fault, Surroundings } from './faults.js';

export interface RunOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Names of the faults to choose from; all when empty. */
  readonly only: readonly string[];
  readonly capabilities: Capabilities;
  readonly report: (event: FaultsEvent) => void;
}

export type FaultsEvent =
  | { readonly type: 'started'; readonly directory: string; readonly addresses: readonly string[] }
  | {
      readonly type: 'fault';
      readonly atSeconds: number;
      readonly name: string;
      readonly what: string;
      readonly heldMs: number;
      /** The longest time in which no append to some partition was acknowledged, while it lasted. */
      readonly longestGapMs: number;
      /** From the end of the fault to an append to each partition. */
      readonly recoveredMs: number;
      readonly operations: number;
    }
  | { readonly type: 'agreed'; readonly atSeconds: number };

export interface RunResult {
  readonly violation: Violation | undefined;
  readonly directory: string;
  readonly faults: Readonly<Record<string, number>>;
  readonly operationsChecked: number;
  readonly recordsRead: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly recoveredMsMax: number;
}

const nodeCount = 3;
/** With everything healed, an append to each partition succeeds within this: far more than it takes, on any machine. */
const recoveredMsMax = 30_000;
/** While a majority is up and connected, no partition goes without an acknowledged append for this long. */
const gapMsMax = 25_000;
const readyMs = 90_000;
const agreeEvery = 6;
const diskMib = 384;
const loopback = '127.0.0.1';
const port = 7400;

const settings = {
  partitions: 4,
  security: { allowInsecureListen: ['grpc', 'http', 'links'] },
  limits: { recordBytes: '64KiB', batchBytes: '256KiB' },
  wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 500 },
  disk: { lowWaterMarkBytes: '16MiB' },
  snapshots: { logBytes: '256KiB', maxAgeMs: '20s' },
  shutdown: { drainMs: '10s' },
};

export class FaultsRun {
  readonly #options: RunOptions;
  readonly #random: SeededRandom;
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'logboom-faults-'));
  readonly #verdict: Verdict;
  readonly #counts: Record<string, number> = {};
  #network: FaultNetwork | undefined;
  #nodes: FaultNode[] = [];
  #workload: Workload | undefined;
  #startedMs = 0;
  /** The directory stays, for whoever looks into it. */
  #isKept = false;
  #recoveredMsMax = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#verdict = new Verdict(
      () => performance.now() - this.#startedMs,
      () => {},
    );
  }

  async run(): Promise<RunResult> {
    const abandon = (): void => this.#abandon();
    process.once('exit', abandon);
    try {
      return await this.#run();
    } catch (error) {
      // The harness itself could not go on; what the nodes said may tell why.
      this.#isKept = true;
      const tails = this.#nodes.map((node) => `n${node.id}: ${node.logTail(1500)}`);
      throw new Error(`${String(error)}; logs in ${this.#directory}\n${tails.join('\n')}`, { cause: error });
    } finally {
      await Promise.all(this.#nodes.map((node) => node.end('SIGKILL')));
      this.#abandon();
      process.off('exit', abandon);
    }
  }

  async #run(): Promise<RunResult> {
    const { report } = this.#options;
    await this.#start();
    const addresses = this.#nodes.map(({ address }) => address);
    report({ type: 'started', directory: this.#directory, addresses });
    const workload = new Workload(this.#verdict, addresses, this.#options.seed);
    this.#workload = workload;
    await workload.makeStreams();
    const client = workload.client(0, { attemptsMax: 10 });
    const around: Surroundings = {
      nodes: this.#nodes,
      network: this.#network,
      random: this.#random,
      client,
      partitions: [...new Set(workload.partitions)],
    };
    this.#startedMs = performance.now();
    workload.run();
    await delay(1500);
    const chosen = this.#chosen();
    for (let number = 1; this.#goesOn; number += 1) {
      await this.#oneFault(chosen[(number - 1) % chosen.length] as Fault, around);
      // Each kind once in every round, in an order of its own.
      if (number % chosen.length === 0) shuffle(chosen, this.#random);
      if (number % agreeEvery === 0 && this.#goesOn) await this.#agree(client);
    }
    return this.#end(workload, client);
  }

  async #start(): Promise<void> {
    const { capabilities } = this.#options;
    if (capabilities.network) {
      this.#network = new FaultNetwork(nodeCount, capabilities.slowNetwork);
      this.#network.make();
    }
    const first = this.#network === undefined ? await freePorts(3 * nodeCount) : port;
    const places = Array.from({ length: nodeCount }, (_, index) => ({
      id: index + 1,
      host: this.#network?.addressOf(index + 1) ?? loopback,
      port: this.#network === undefined ? first + 3 * index : port,
    }));
    const repository = path.join(this.#directory, 'repository');
    mkdirSync(repository);
    const list = places.map(({ id, host, port: own }) => `${id}@${host}:${own + 2}`);
    this.#nodes = places.map(
      (place) =>
        new FaultNode({
          ...place,
          directory: this.#directory,
          namespace: this.#network?.namespaceOf(place.id),
          disk: capabilities.smallDisks,
          diskMib,
          settings: {
            ...settings,
            cluster: { nodes: list },
            snapshots: { ...settings.snapshots, repository: `file://${repository}` },
          },
        }),
    );
    for (const node of this.#nodes) {
      node.prepare();
      node.start();
    }
    await Promise.all(this.#nodes.map((node) => node.ready(readyMs)));
  }

  get #goesOn(): boolean {
    return this.#verdict.violation === undefined && performance.now() - this.#startedMs < 1000 * this.#options.seconds;
  }

  #chosen(): Fault[] {
    const { only, capabilities } = this.#options;
    const able = faults.filter(({ name, needs }) => {
      const isWanted = only.length === 0 || only.includes(name);
      return isWanted && (needs === undefined || needs(capabilities));
    });
    if (able.length === 0) throw new Error('there is no such fault, or this machine allows none of them');
    return shuffle(able, this.#random);
  }

  async #oneFault(fault: Fault, around: Surroundings): Promise<void> {
    const workload = this.#workload as Workload;
    const [least, most] = fault.holdMs;
    workload.resetGaps();
    const begunMs = performance.now();
    const { text, undo } = await fault.begin(around);
    await delay(this.#random.between(least, most));
    await undo();
    const heldMs = performance.now() - begunMs;
    const longestGapMs = workload.longestGapMs;
    this.#verdict.require(
      !fault.keepsMajority || longestGapMs <= gapMsMax,
      'clients-are-answered-as-documented',
      () =>
        `${text}: a majority was up and connected, and no append to some partition succeeded for ${longestGapMs} ms`,
    );
    const recoveredMs = await workload.eachPartitionAppends(recoveredMsMax);
    this.#recoveredMsMax = Math.max(this.#recoveredMsMax, recoveredMs);
    this.#counts[fault.name] = (this.#counts[fault.name] ?? 0) + 1;
    this.#lookForEnds();
    this.#options.report({
      type: 'fault',
      atSeconds: Math.round((begunMs - this.#startedMs) / 1000),
      name: fault.name,
      what: text,
      heldMs: Math.round(heldMs),
      longestGapMs: Math.round(longestGapMs),
      recoveredMs: Math.round(recoveredMs),
      operations: workload.history.operations.length,
    });
    await delay(this.#random.between(200, 1500));
  }

  async #agree(client: Surroundings['client']): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.ready(readyMs)));
    // Under load two replicas are seldom looked at in the same state; it is what they have at equal LSNs that counts.
    await client.cluster.partitions();
    this.#options.report({ type: 'agreed', atSeconds: Math.round((performance.now() - this.#startedMs) / 1000) });
  }

  /** A node that ended although nobody ended it. Full disks and the like must not do that. */
  #lookForEnds(): void {
    for (const { unexpected } of this.#nodes) {
      const [first] = unexpected;
      if (first !== undefined) this.#verdict.broken('assertion', first);
    }
  }

  async #end(workload: Workload, client: Surroundings['client']): Promise<RunResult> {
    await workload.stop();
    await Promise.all(this.#nodes.map((node) => node.ready(readyMs)));
    await replicasAgree(client, this.#verdict, nodeCount);
    let places: Map<string, number>[] = [];
    for (const { id } of this.#nodes) {
      places = await readBack(workload, workload.client(id - 1, { only: true, attemptsMax: 10 }), this.#verdict);
    }
    const operationsChecked = checkHistories(workload, places, this.#verdict);
    await workload.close();
    await Promise.all(this.#nodes.map((node) => node.end('SIGTERM')));
    this.#lookForEnds();
    const { violation } = this.#verdict;
    if (violation !== undefined) this.#keepEvidence(workload);
    return {
      violation,
      directory: this.#directory,
      faults: this.#counts,
      operationsChecked,
      recordsRead: workload.books.records,
      answers: Object.fromEntries([...workload.answers].toSorted()),
      recoveredMsMax: this.#recoveredMsMax,
    };
  }

  #keepEvidence(workload: Workload): void {
    this.#isKept = true;
    for (const [stream, name] of streamNames.entries()) {
      const lines = workload.history.operations
        .filter((operation) => operation.stream === stream)
        .map((operation) => JSON.stringify(operation));
      writeFileSync(path.join(this.#directory, `history-${name}.jsonl`), `${lines.join('\n')}\n`);
    }
  }

  #abandon(): void {
    for (const node of this.#nodes.splice(0)) {
      node.killNow();
      node.unmount();
    }
    this.#network?.remove();
    this.#network = undefined;
    if (!this.#isKept) rmSync(this.#directory, { recursive: true, force: true });
  }
}

function shuffle<Item>(items: Item[], random: SeededRandom): Item[] {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    [items[last], items[other]] = [items[other] as Item, items[last] as Item];
  }
  return items;
}
