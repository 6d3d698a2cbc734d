/** One run: a cluster, clients, what is done to them, and what was found out. */
import type { RaftMutant } from '../src/raft/index.js';
import { StreamBooks } from './checkers/stream-books.js';
import type { Violation } from './checkers/verdict.js';
import { checkHistory } from './checkers/check-history.js';
import { ConditionalAppender, Producer } from './clients/appenders.js';
import type { Client } from './clients/client.js';
import { History, type StreamOperation } from './clients/history.js';
import { ElectionProbe } from './clients/election-probe.js';
import { Reader, Walker } from './clients/readers.js';
import { StreamKeeper } from './clients/stream-keeper.js';
import { withoutReality } from './engine/guards.js';
import { World } from './engine/world.js';
import { Ending } from './faults/ending.js';
import { noMemberYet } from './faults/operators.js';
import { Nemesis } from './faults/nemesis.js';
import { Cluster } from './nodes/cluster.js';
import type { Plan } from './plan.js';
import { describeReplicas } from './report/describe-replicas.js';
import { Counts } from './report/counts.js';
import { Sampler } from './report/sampler.js';
import { TimeLine } from './report/time-line.js';
import type { SimulationMutant } from './mutants.js';

// Node cuts small buffers from pools of 8 KiB, and makes a new one every few appends.
Buffer.poolSize = 256 * 1024;

/** Exit statuses of the command line. */
export const exitStatus = { passed: 0, crashed: 127, noLiveness: 128, violated: 129 } as const;

export type Outcome =
  | { readonly type: 'passed' }
  | { readonly type: 'violated'; readonly violation: Violation }
  | { readonly type: 'no-liveness'; readonly missing: string; readonly atMs: number }
  /** An exception that nothing caught: a real process would have died of it. */
  | { readonly type: 'crashed'; readonly error: string; readonly atMs: number };

export interface RunResult {
  readonly plan: Plan;
  readonly outcome: Outcome;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly timeLine: TimeLine;
  readonly operations: readonly StreamOperation[];
  /** The state of all replicas at the end, in lines. */
  readonly replicas: string;
}

export interface RunOptions {
  readonly plan: Plan;
  readonly raftMutant?: RaftMutant;
  readonly mutant?: SimulationMutant;
  /** Keeps what a time line shows. */
  readonly keepTimeLine?: boolean;
  /** Called with every event as it happens. */
  readonly onLine?: (line: string) => void;
}

/** Synchronous, and not to be called from promise reactions: see `World`. */
export function runSimulation(options: RunOptions): RunResult {
  const simulation = new Simulation(options);
  let unhandled: unknown;
  const onUnhandled = (error: unknown): void => {
    unhandled ??= error;
    simulation.stop();
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    return withoutReality(() => simulation.run(() => unhandled));
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
}

class Simulation {
  readonly #plan: Plan;
  readonly #world = new World();
  readonly #counts = new Counts();
  readonly #timeLine: TimeLine;
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #books: StreamBooks;
  readonly #sampler: Sampler;
  #clientsRun = true;

  constructor({ plan, raftMutant, mutant, keepTimeLine = false, onLine }: RunOptions) {
    this.#plan = plan;
    this.#timeLine = new TimeLine(keepTimeLine || onLine !== undefined);
    this.#timeLine.onLine = onLine;
    this.#cluster = new Cluster({
      world: this.#world,
      plan,
      counts: this.#counts,
      timeLine: this.#timeLine,
      raftMutant,
      mutant,
    });
    this.#sampler = new Sampler(this.#cluster, this.#timeLine);
    this.#history = new History(() => this.#world.nowMs);
    this.#books = new StreamBooks(this.#cluster.verdict);
  }

  stop(): void {
    this.#world.stop();
  }

  run(unhandled: () => unknown): RunResult {
    let outcome: Outcome;
    try {
      outcome = this.#run(unhandled);
    } catch (error) {
      outcome = { type: 'crashed', error: textOf(error), atMs: this.#world.nowMs };
    }
    this.#sampler.end();
    const { violation } = this.#cluster.verdict;
    if (violation !== undefined && outcome.type !== 'violated') outcome = { type: 'violated', violation };
    return {
      plan: this.#plan,
      outcome,
      traceHash: this.#world.trace.digest,
      simulatedMs: this.#world.nowMs,
      events: this.#world.eventsRun,
      counts: { ...this.#counts.all, ...this.#cluster.networkCounts, 'records checked': this.#books.records },
      timeLine: this.#timeLine,
      operations: this.#history.operations,
      replicas: this.#timeLine.isKept ? describeReplicas(this.#cluster) : '',
    };
  }

  #run(unhandled: () => unknown): Outcome {
    const cluster = this.#cluster;
    const failure = (): Outcome | undefined => {
      if (cluster.verdict.violation !== undefined) return { type: 'violated', violation: cluster.verdict.violation };
      const error = unhandled();
      return error === undefined ? undefined : { type: 'crashed', error: textOf(error), atMs: this.#world.nowMs };
    };
    const { membership, initialVoters } = this.#plan;
    for (const node of cluster.nodes) {
      if (membership !== undefined && !initialVoters.includes(node.id)) node.keptDown = noMemberYet;
      else node.start();
    }
    this.#sampler.run();
    const nemesis = new Nemesis(cluster);
    nemesis.run();
    const clients = this.#clients();
    // One that waits for an election that never comes has no call under way.
    const done = Promise.all(
      clients.filter((client) => !(client instanceof ElectionProbe)).map((client) => client.run()),
    );
    for (const client of clients) if (client instanceof ElectionProbe) void client.run();
    this.#world.run(this.#plan.durationMs);
    let failed = failure();
    if (failed !== undefined) return failed;
    const ending = new Ending({
      cluster,
      nemesis,
      history: this.#history,
      books: this.#books,
      stopClients: async () => {
        this.#clientsRun = false;
        await done;
      },
    });
    const missing = ending.run();
    failed = failure();
    if (failed !== undefined) return failed;
    if (missing !== undefined)
      return { type: 'no-liveness', missing: `${missing}\n${describeReplicas(cluster)}`, atMs: this.#world.nowMs };
    checkHistory(cluster, this.#history);
    return failure() ?? { type: 'passed' };
  }

  #clients(): Client[] {
    const { plan } = this.#cluster;
    const { clients, streams } = plan;
    const shared = {
      cluster: this.#cluster,
      history: this.#history,
      books: this.#books,
      isRunning: () => this.#clientsRun,
    };
    const made: Client[] = [];
    const part = (kind: string) => ({ ...shared, kind, id: made.length + 1 });
    const intervalMs = (1000 * (clients.producers + clients.conditionalAppenders)) / clients.appendsPerSecond;
    for (let index = 0; index < clients.producers; index += 1) {
      made.push(new Producer({ ...part('producer'), stream: index % streams.length, intervalMs }));
    }
    for (let index = 0; index < clients.conditionalAppenders; index += 1) {
      made.push(new ConditionalAppender({ ...part('appender'), stream: index % streams.length, intervalMs }));
    }
    for (let index = 0; index < clients.readers; index += 1) made.push(new Reader(part('reader')));
    for (let index = 0; index < clients.walkers; index += 1) made.push(new Walker(part('walker')));
    made.push(new StreamKeeper(part('keeper')));
    if (plan.profile !== 'calm') made.push(new ElectionProbe(part('probe')));
    return made;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
