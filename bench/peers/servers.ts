/** The servers of one system: started as processes of their own, killed by their ids, and nothing left behind. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from '../../test/integration/support/free-ports.js';
import { nowMs } from './load/job.js';
import { nodeCount, portsPerNode } from './systems/system.js';
import type { ClusterLayout, NodeLayout, System } from './systems/system.js';

const readyMs = 60_000;
const logCharacters = 1500;

/** All processes that were started and have not ended, for the way out that waits for nobody. */
const running = new Set<ChildProcess>();

/** Kills every process that was started here, servers and load alike. @returns when they have ended */
export async function killAll(): Promise<void> {
  const children = [...running];
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(children.map(endOf));
}

/** Notes a process, so that {@link killAll} finds it for as long as it runs. */
export function watchOver(child: ChildProcess): ChildProcess {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

export function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

export class Servers {
  readonly #directory: string;
  readonly #layout: ClusterLayout;
  readonly #children: ChildProcess[] = [];

  private constructor(directory: string, layout: ClusterLayout) {
    this.#directory = directory;
    this.#layout = layout;
  }

  /** Starts three nodes on free ports of loopback, in a directory of their own under `parent`. */
  static async start(system: System, parent: string, partitions: number): Promise<Servers> {
    const directory = await mkdtemp(path.join(parent, `${system.name}-`));
    let servers: Servers | undefined;
    try {
      const first = await freePorts(nodeCount * portsPerNode);
      const ports = Array.from({ length: nodeCount * portsPerNode }, (_, index) => first + index);
      servers = new Servers(directory, await system.layOut({ directory, ports, partitions }));
      await servers.spawnAll();
      await servers.untilReady();
      return servers;
    } catch (error) {
      await servers?.kill();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get directory(): string {
    return this.#directory;
  }

  get endpoints(): readonly string[] {
    return this.#layout.endpoints;
  }

  get pids(): readonly number[] {
    return this.#children.map(({ pid }) => pid as number);
  }

  /** Starts those that do not run, and does not wait for them. @returns when the first was started, see `nowMs` */
  async spawnAll(): Promise<number> {
    const atMs = nowMs();
    for (const [index, node] of this.#layout.nodes.entries()) {
      const before = this.#children[index];
      const isRunning = before !== undefined && running.has(before);
      if (!isRunning) this.#children[index] = await this.#spawn(index, node);
    }
    return atMs;
  }

  /** Waits for all of them. @throws Error with the end of their logs */
  async untilReady(): Promise<void> {
    await Promise.all(this.#layout.nodes.map((node, index) => this.#untilReady(index, node)));
  }

  /** SIGKILL to one of them, or to all. @returns when the signal was sent */
  async kill(index?: number): Promise<number> {
    const children = index === undefined ? this.#children : this.#children.slice(index, index + 1);
    const atMs = nowMs();
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map(endOf));
    return atMs;
  }

  /** Kills what runs, and removes what it stored. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** The end of what each server has written on its standard output and error. */
  logs(): string {
    return this.#layout.nodes
      .map((_, index) => {
        const text = readFileSync(this.#logOf(index), 'utf8').trim().slice(-logCharacters);
        return text === '' ? '' : `--- node ${index + 1}\n${text}\n`;
      })
      .join('');
  }

  #logOf(index: number): string {
    return path.join(this.#directory, `n${index + 1}.log`);
  }

  async #spawn(index: number, { program, args, env }: NodeLayout): Promise<ChildProcess> {
    await mkdir(path.join(this.#directory, `n${index + 1}`), { recursive: true });
    const log = openSync(this.#logOf(index), 'a');
    try {
      const child = spawn(program, args, {
        cwd: this.#directory,
        // Ctrl-C is for the benchmark, which ends them itself.
        detached: true,
        stdio: ['ignore', log, log],
        env: { ...process.env, ...env },
      });
      watchOver(child);
      await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
      return child;
    } finally {
      closeSync(log);
    }
  }

  async #untilReady(index: number, { readyUrl }: NodeLayout): Promise<void> {
    if (readyUrl === undefined) return;
    for (const startedMs = performance.now(); ;) {
      const child = this.#children[index] as ChildProcess;
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`node ${index + 1} ended while it started\n${this.logs()}`);
      const answer = await fetch(readyUrl, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
      if (answer?.ok) return;
      if (performance.now() - startedMs > readyMs)
        throw new Error(`node ${index + 1} was not ready after ${readyMs / 1000} s\n${this.logs()}`);
      await delay(20);
    }
  }
}
