/** Nodes of one cluster, as processes of their own. */
import { rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { LogboomClient } from '../../../src/client/index.js';
import type { ClientOptions } from '../../../src/client/index.js';
import { freePorts } from './free-ports.js';
import { ServerHost } from './server-process.js';
import type { Settings } from './server-process.js';

/** gRPC, HTTP, links. */
const portsPerNode = 3;

export class ClusterHosts {
  readonly hosts: ServerHost[];
  readonly listed: readonly string[];
  readonly #settings: Settings;

  private constructor(hosts: ServerHost[], listed: readonly string[], settings: Settings) {
    this.hosts = hosts;
    this.listed = listed;
    this.#settings = settings;
  }

  /** Nodes 1, 2, 3 ...; `hosts[0]` is node 1. */
  static async make(settings: Settings, count = 3): Promise<ClusterHosts> {
    const first = await freePorts(count * portsPerNode);
    const ports = Array.from({ length: count }, (_, index) => first + portsPerNode * index);
    const listed = ports.map((port, index) => `${index + 1}@127.0.0.1:${port + 2}`);
    const hosts: ServerHost[] = [];
    for (const [index, port] of ports.entries()) {
      const own = { nodeId: index + 1, cluster: { ...(settings['cluster'] as object | undefined), nodes: listed } };
      hosts.push(await ServerHost.make({ ...settings, ...own }, { port }));
    }
    return new ClusterHosts(hosts, listed, settings);
  }

  /** One node, which was told of no others. */
  static async alone(settings: Settings): Promise<ClusterHosts> {
    const port = await freePorts(portsPerNode);
    const host = await ServerHost.make({ ...settings, nodeId: 1 }, { port });
    return new ClusterHosts([host], [`1@127.0.0.1:${port + 2}`], settings);
  }

  /** A place for another node, which asks these to let it in. */
  async place(settings: Settings = {}): Promise<ServerHost> {
    const port = await freePorts(portsPerNode);
    const join = this.listed.map((item) => item.slice(item.indexOf('@') + 1));
    const own = { nodeId: this.hosts.length + 1, cluster: { join } };
    const host = await ServerHost.make({ ...this.#settings, ...own, ...settings }, { port });
    this.hosts.push(host);
    return host;
  }

  /** By number of the node. */
  node(id: number): ServerHost {
    const host = this.hosts[id - 1];
    if (!host) throw new Error(`there is no node ${id}`);
    return host;
  }

  /** Spawns all that do not run, and waits until every node is ready. */
  async start(): Promise<void> {
    for (const host of this.hosts) if (!host.isRunning) host.spawn();
    await Promise.all(this.hosts.map((host) => host.process.started()));
    await this.ready();
  }

  /** Resolves when these nodes, or all, are ready: their replicas have leaders and have caught up. */
  async ready(hosts = this.hosts, timeoutMs = 30_000): Promise<void> {
    const untilMs = Date.now() + timeoutMs;
    for (const { port } of hosts) {
      for (;;) {
        const answer = await fetch(`http://127.0.0.1:${port + 1}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
          async (response) => (response.ok ? undefined : await response.text()),
          (error: unknown) => String(error),
        );
        if (answer === undefined) break;
        if (Date.now() > untilMs) throw new Error(`the node at ${port} is not ready: ${answer}`);
        await pause(50);
      }
    }
  }

  /** All running nodes end at the same moment, without a word. */
  async killAll(): Promise<void> {
    await Promise.all(this.hosts.filter(({ isRunning }) => isRunning).map((host) => host.process.kill()));
  }

  /** As after a new disk. */
  wipe(id: number): void {
    rmSync(this.node(id).dataDirectory, { recursive: true, force: true });
  }

  /** A client that knows all nodes, beginning with one of them. */
  client(options: Omit<ClientOptions, 'address' | 'addresses'> = {}, firstNode = 1): LogboomClient {
    const addresses = this.hosts.map(({ address }) => address);
    const rotated = [...addresses.slice(firstNode - 1), ...addresses.slice(0, firstNode - 1)];
    const client = new LogboomClient({ addresses: rotated, ...options });
    onTestFinished(() => void client.close().catch(() => {}));
    return client;
  }

  /** The node that leads a partition now. */
  async leaderOf(partition: number, client: LogboomClient): Promise<number> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const found = (await client.cluster.partitions()).find(({ id }) => id === partition);
      // One that was replaced and does not know yet has the lower term.
      const leaders = (found?.replicas ?? []).filter(({ role }) => role === 'leader');
      const leader = leaders.toSorted((left, right) => right.term - left.term)[0];
      if (leader) return leader.nodeId;
      await pause(50);
    }
    throw new Error(`partition ${partition} has no leader`);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
