/** A cluster of node processes on loopback, with what the operating system says of each. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LogboomClient } from '../../src/client/index.js';
import { freePorts } from '../../test/integration/support/free-ports.js';
import { cpuSecondsOf } from './proc.js';
import type { ClientOptions } from '../../src/client/index.js';

const root = path.resolve(import.meta.dirname, '../..');
/** gRPC, HTTP, links. */
const portsPerNode = 3;
const readyMsMax = 120_000;

export class ClusterNode {
  readonly id: number;
  readonly address: string;
  readonly logFile: string;
  readonly #httpPort: number;
  readonly #arguments: readonly string[];
  readonly #nodeFlags: readonly string[];
  #child: ChildProcess | undefined;

  constructor(id: number, port: number, directory: string, flags: readonly string[], nodeFlags: readonly string[]) {
    this.id = id;
    this.address = `127.0.0.1:${port}`;
    this.logFile = path.join(directory, `node-${id}.log`);
    this.#httpPort = port + 1;
    this.#nodeFlags = nodeFlags;
    this.#arguments = [
      path.join(root, 'bin/logboom.cjs'),
      'server',
      `--node-id=${id}`,
      `--port=${port}`,
      `--data-dir=${path.join(directory, `data-${id}`)}`,
      '--log-level=warn',
      ...flags,
    ];
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`node ${this.id} does not run`);
    return pid;
  }

  start(): void {
    const log = openSync(this.logFile, 'a');
    this.#child = spawn(process.execPath, [...this.#nodeFlags, ...this.#arguments], { stdio: ['ignore', log, log] });
  }

  /** Resolves when it serves, its partitions have leaders, and its replicas have caught up. */
  async ready(): Promise<void> {
    const untilMs = performance.now() + readyMsMax;
    for (;;) {
      if (this.#child?.exitCode !== null)
        throw new Error(`node ${this.id} has ended: ${readFileSync(this.logFile, 'utf8')}`);
      const answer = await fetch(`http://127.0.0.1:${this.#httpPort}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
      if (performance.now() > untilMs) throw new Error(`node ${this.id} is not ready: ${await answer?.text()}`);
      await delay(50);
    }
  }

  /** Resolves when the process is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await exited;
  }

  /** User and system time since its start, in seconds. */
  cpuSeconds(): number {
    return cpuSecondsOf(this.pid);
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#httpPort}/metrics`)).text();
  }
}

export class ClusterProcesses {
  readonly nodes: readonly ClusterNode[];
  readonly #directory: string;
  readonly #clients: LogboomClient[] = [];

  private constructor(nodes: readonly ClusterNode[], directory: string) {
    this.nodes = nodes;
    this.#directory = directory;
  }

  static async start(options: {
    readonly parentDirectory: string;
    readonly flags?: readonly string[];
    readonly nodeFlags?: readonly string[];
  }): Promise<ClusterProcesses> {
    const directory = await mkdtemp(path.join(options.parentDirectory, 'logboom-bench-cluster-'));
    mkdirSync(directory, { recursive: true });
    const first = await freePorts(3 * portsPerNode);
    const ports = [0, 1, 2].map((index) => first + portsPerNode * index);
    const list = ports.map((port, index) => `${index + 1}@127.0.0.1:${port + 2}`).join(',');
    const flags = [`--cluster-nodes=${list}`, ...(options.flags ?? [])];
    const nodes = ports.map(
      (port, index) => new ClusterNode(index + 1, port, directory, flags, options.nodeFlags ?? []),
    );
    const cluster = new ClusterProcesses(nodes, directory);
    process.once('exit', () => cluster.abandon());
    for (const node of nodes) node.start();
    await cluster.ready();
    return cluster;
  }

  node(id: number): ClusterNode {
    const node = this.nodes[id - 1];
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  async ready(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.ready()));
  }

  /** Knows all nodes, beginning with one of them; with `only`, that one alone. */
  client(
    options: Omit<ClientOptions, 'address' | 'addresses'> & { readonly only?: number; readonly first?: number } = {},
  ): LogboomClient {
    const { only, first = 1, ...rest } = options;
    const all = this.nodes.map(({ address }) => address);
    const addresses =
      only === undefined ? [...all.slice(first - 1), ...all.slice(0, first - 1)] : [this.node(only).address];
    const client = new LogboomClient({ addresses, ...rest });
    this.#clients.push(client);
    return client;
  }

  /** The node that leads a partition now, and the term. */
  async leaderOf(partition: number, client: LogboomClient): Promise<number> {
    for (;;) {
      const { leaders } = await client.cluster.describe({ ownView: true });
      const leader = leaders.find((known) => known.partition === partition);
      if (leader !== undefined) return leader.node;
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close().catch(() => {})));
    await Promise.all(this.nodes.map((node) => node.end('SIGTERM')));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** When the bench itself ends early. */
  abandon(): void {
    for (const node of this.nodes) void node.end('SIGKILL');
  }
}
