import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError, UsageError } from '../failure.js';
import { isRunning, portOf, processOf, spawnNode, stopNode, untilReady } from './node-process.js';
import type { NodeEntry, NodeList, NodeListFile } from './node-list.js';
import { findProcess } from './process-identity.js';

const watchMs = 250;
const startMs = 60_000;
/** From one node's ports to the next one's. */
const portStep = 10;
const defaultPort = 7400;
const defaultNodeCount = 3;

export interface LocalClusterOptions {
  /** Undefined: as many as the directory has, or three. */
  readonly nodeCount: number | undefined;
  /** Of gRPC of the first node; undefined: as the directory has it, or 7400. */
  readonly port: number | undefined;
  readonly flags: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** A node's state has changed, and not because this command stops it. */
  readonly onChange: (entry: NodeEntry) => void;
}

/**
 * Runs a cluster of processes on loopback until it is stopped. It owns the cluster, not each process: nodes may be killed,
 * stopped and started by other commands meanwhile, which note it in `nodes.json`. What still runs at the end is stopped.
 */
export class LocalCluster {
  readonly #file: NodeListFile;
  readonly #options: LocalClusterOptions;
  readonly #killAll = (): void => {
    for (const entry of this.#latest) if (processOf(entry)) process.kill(entry.pid as number, 'SIGKILL');
  };
  #latest: readonly NodeEntry[] = [];

  constructor(file: NodeListFile, options: LocalClusterOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Starts all nodes; resolves when they serve. @throws CommandError, UsageError; then nothing is left running */
  async start(): Promise<readonly NodeEntry[]> {
    const list = await this.#claim();
    // The way out of a second Ctrl-C, which does not wait for anybody.
    process.on('exit', this.#killAll);
    try {
      for (const { name } of list.nodes) await this.#spawn(name, list);
      await Promise.all(this.#latest.map((entry) => untilReady(entry, startMs, this.#options.signal)));
      for (const { name } of list.nodes) await this.#note(name, { state: 'running' });
      return this.#latest;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Watches over the processes until the signal aborts. */
  async watch(): Promise<void> {
    const { signal, onChange } = this.#options;
    while (!signal.aborted) {
      await sleep(watchMs, undefined, { signal }).catch(() => {});
      const before = new Map(this.#latest.map((entry) => [entry.name, entry]));
      for (const entry of (await this.#file.read())?.nodes ?? []) await this.#look(entry);
      for (const entry of this.#latest) {
        const { state, pid } = before.get(entry.name) as NodeEntry;
        const hasChanged = entry.state !== state || (entry.pid !== null && entry.pid !== pid);
        if (hasChanged && !signal.aborted) onChange(entry);
      }
    }
  }

  /** Stops what runs, all nodes at once. @returns names of nodes that had to be killed */
  async stop(): Promise<readonly string[]> {
    const list = await this.#file.read();
    this.#latest = list?.nodes ?? this.#latest;
    const endings = await Promise.all(
      this.#latest.map(async (entry) => {
        const ending = await stopNode(entry);
        const state = ending === 'did not run' ? endedState(entry) : ending;
        await this.#note(entry.name, { state, pid: null, process_start: null });
        return ending === 'killed' ? [entry.name] : [];
      }),
    );
    await this.#file.release();
    process.off('exit', this.#killAll);
    return endings.flat();
  }

  /** Makes this process the one that runs the cluster of the directory. */
  async #claim(): Promise<NodeList> {
    const { directory } = this.#file;
    const existing = await this.#file.read();
    if (existing?.supervisor && isRunning(existing.supervisor)) {
      throw new CommandError(
        'CLUSTER_RUNNING',
        `the cluster of ${directory} runs already, by process ${existing.supervisor.pid}`,
        'See `logboom cluster local list`, or choose another --data-dir and --port.',
      );
    }
    const left = existing?.nodes.filter(processOf) ?? [];
    if (left.length > 0) {
      throw new CommandError(
        'CLUSTER_RUNNING',
        `nodes of ${directory} were left behind and still run: ${left.map(({ name, pid }) => `${name} (${pid})`).join(', ')}`,
        'End them with `logboom cluster local stop --all`.',
      );
    }
    const supervisor = { pid: process.pid, start: findProcess(process.pid)?.start ?? '' };
    const list = { ...layOut(directory, existing, this.#options), supervisor, flags: [...this.#options.flags] };
    await checkPorts(list.nodes);
    await this.#file.write(list);
    this.#latest = list.nodes;
    return list;
  }

  async #spawn(name: string, { nodes, flags }: NodeList): Promise<void> {
    const entry = nodes.find((node) => node.name === name) as NodeEntry;
    const { process: started } = await spawnNode(entry, nodes, flags, this.#options.env);
    await this.#note(name, { state: 'starting', pid: started.pid, process_start: started.start });
  }

  /** A process that ended without a word was not asked to. */
  async #look(entry: NodeEntry): Promise<void> {
    const isLost = entry.pid !== null && !processOf(entry);
    if (!isLost) return this.#remember(entry);
    const ended = { pid: null, process_start: null };
    const wasAsked = (state: NodeEntry['state']): boolean => state === 'stopped' || state === 'killed';
    const { pid } = entry;
    // Whoever ended it may have noted that by now, and may have started it again.
    this.#remember(
      await this.#file.update(entry.name, (now) =>
        now.pid === pid ? { ...ended, ...(wasAsked(now.state) ? {} : { state: 'exited' }) } : {},
      ),
    );
  }

  async #note(name: string, change: Partial<NodeEntry>): Promise<void> {
    this.#remember(await this.#file.update(name, () => change));
  }

  #remember(entry: NodeEntry): void {
    this.#latest = this.#latest.map((each) => (each.name === entry.name ? entry : each));
  }
}

const endedState = ({ state, pid }: NodeEntry): NodeEntry['state'] => (pid === null ? state : 'exited');

/** Addresses of a new cluster; those of an existing one stay, because its nodes know each other by them. */
function layOut(
  directory: string,
  existing: NodeList | undefined,
  { nodeCount, port }: LocalClusterOptions,
): Pick<NodeList, 'version' | 'port' | 'nodes'> {
  if (existing) {
    const count = existing.nodes.length;
    if (nodeCount !== undefined && nodeCount !== count)
      throw new UsageError(
        `-n is ${nodeCount}, and the cluster of ${directory} has ${count} nodes: leave -n out, or choose another --data-dir`,
      );
    if (port !== undefined && port !== existing.port)
      throw new UsageError(
        `--port is ${port}, and the cluster of ${directory} has ${existing.port}: leave --port out, or choose another --data-dir`,
      );
    return { version: 1, port: existing.port, nodes: existing.nodes };
  }
  const count = nodeCount ?? defaultNodeCount;
  const first = port ?? defaultPort;
  const last = first + portStep * (count - 1) + 2;
  if (last > 65_535) throw new UsageError(`--port ${first} is too high: ${count} nodes would take ports up to ${last}`);
  return {
    version: 1,
    port: first,
    nodes: Array.from({ length: count }, (_, index) => layOutNode(directory, first, index)),
  };
}

function layOutNode(directory: string, firstPort: number, index: number): NodeEntry {
  const name = `n${index + 1}`;
  const port = firstPort + portStep * index;
  return {
    name,
    node_id: index + 1,
    state: 'stopped',
    pid: null,
    process_start: null,
    grpc: `127.0.0.1:${port}`,
    http: `http://127.0.0.1:${port + 1}`,
    links: `127.0.0.1:${port + 2}`,
    data_directory: path.join(directory, name, 'data'),
    log: path.join(directory, name, 'log'),
  };
}

/** Told before anything runs: of three nodes that wait for each other, the log of the one that failed is hard to find. */
async function checkPorts(nodes: readonly NodeEntry[]): Promise<void> {
  for (const { name, grpc, http, links } of nodes) {
    for (const address of [grpc, http, links]) {
      if (await isFree(portOf(address))) continue;
      throw new CommandError(
        'ADDRESS_IN_USE',
        `port ${portOf(address)} of node ${name} is in use`,
        'Another cluster may run already. Choose another --port, with another --data-dir.',
      );
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
