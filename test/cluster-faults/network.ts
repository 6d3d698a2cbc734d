/**
 * One network namespace a node, joined by a bridge, to which this process, with the clients, is connected too. The bridge is in a
 * namespace of its own: in that of the machine, rules of others (Docker's, for one) may drop what crosses it. What is cut is
 * cut by dropping packets where they arrive, so that each direction is cut by itself and nobody is told: no connection is reset.
 */
import { existsSync } from 'node:fs';
import { run } from './capabilities.js';
import type { Capabilities } from './capabilities.js';

/** Names of interfaces have at most fifteen characters. */
const prefix = 'lbf';
/** The clients. */
export const clientsId = 254;
/** Where the bridge is. */
const switchId = 0;
const bridge = 'bridge0';

export class FaultNetwork {
  readonly #nodes: number;
  readonly #slow: Capabilities['slowNetwork'];
  readonly #net: string;

  constructor(nodes: number, slow: Capabilities['slowNetwork']) {
    this.#nodes = nodes;
    this.#slow = slow;
    // Of a range that is private, and by the process, so that two runs do not meet.
    this.#net = `10.${190 + (process.pid % 60)}.${Math.floor(process.pid / 60) % 256}`;
  }

  addressOf(id: number): string {
    return `${this.#net}.${id}`;
  }

  namespaceOf(id: number): string {
    return `${prefix}${process.pid}n${id}`;
  }

  make(): void {
    removeLeftovers();
    const middle = this.namespaceOf(switchId);
    run('ip', 'netns', 'add', middle);
    this.#inside(switchId, 'ip', 'link', 'add', bridge, 'type', 'bridge');
    this.#inside(switchId, 'ip', 'link', 'set', bridge, 'up');
    const clients = `${prefix}${process.pid}c`;
    run('ip', 'link', 'add', clients, 'type', 'veth', 'peer', 'name', 'clients', 'netns', middle);
    this.#inside(switchId, 'ip', 'link', 'set', 'clients', 'master', bridge, 'up');
    run('ip', 'address', 'add', `${this.addressOf(clientsId)}/24`, 'dev', clients);
    run('ip', 'link', 'set', clients, 'up');
    for (let id = 1; id <= this.#nodes; id += 1) {
      const namespace = this.namespaceOf(id);
      run('ip', 'netns', 'add', namespace);
      this.#inside(switchId, 'ip', 'link', 'add', `n${id}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      this.#inside(switchId, 'ip', 'link', 'set', `n${id}`, 'master', bridge, 'up');
      this.#inside(id, 'ip', 'link', 'set', 'lo', 'up');
      this.#inside(id, 'ip', 'address', 'add', `${this.addressOf(id)}/24`, 'dev', 'eth0');
      this.#inside(id, 'ip', 'link', 'set', 'eth0', 'up');
    }
  }

  remove(): void {
    removeOf(process.pid);
  }

  /** Packets of `from` do not reach node `to` any more; `from` may be the clients. */
  cut(from: number, to: number): void {
    this.#inside(to, 'iptables', '-A', 'INPUT', '-s', this.addressOf(from), '-j', 'DROP');
  }

  /** What node `id` sends to the clients is lost: they have no namespace in which to drop it. */
  cutToClients(id: number): void {
    this.#inside(id, 'iptables', '-A', 'OUTPUT', '-d', this.addressOf(clientsId), '-j', 'DROP');
  }

  /** A part of the packets that reach node `to` is lost. */
  lose(to: number, share: number): void {
    const match = ['-m', 'statistic', '--mode', 'random', '--probability', share.toFixed(3)];
    this.#inside(to, 'iptables', '-A', 'INPUT', ...match, '-j', 'DROP');
  }

  /** All that node `from` sends is delayed, or waits for bandwidth. */
  slow(from: number, { delayMs, kilobits }: { readonly delayMs: number; readonly kilobits: number }): void {
    const shape =
      this.#slow === 'netem'
        ? ['netem', 'delay', `${delayMs}ms`, `${Math.ceil(delayMs / 4)}ms`, 'rate', `${kilobits}kbit`]
        : ['tbf', 'rate', `${kilobits}kbit`, 'burst', '16kb', 'latency', `${Math.max(50, 4 * delayMs)}ms`];
    this.#inside(from, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', ...shape);
  }

  heal(): void {
    for (let id = 1; id <= this.#nodes; id += 1) {
      this.#inside(id, 'iptables', '-F', 'INPUT');
      this.#inside(id, 'iptables', '-F', 'OUTPUT');
      if (this.#slow === undefined) continue;
      try {
        this.#inside(id, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
      } catch {
        // There was none.
      }
    }
  }

  #inside(id: number, ...command: readonly string[]): void {
    run('ip', 'netns', 'exec', this.namespaceOf(id), ...command);
  }
}

/** Of runs that were killed and could not clean up. */
function removeLeftovers(): void {
  const names = run('ip', 'netns', 'list');
  const owners = new Set([...names.matchAll(new RegExp(`\\b${prefix}(\\d+)n`, 'g'))].map(([, pid]) => Number(pid)));
  for (const pid of owners) if (pid !== process.pid && !existsSync(`/proc/${pid}`)) removeOf(pid);
}

function removeOf(pid: number): void {
  for (const line of run('ip', 'netns', 'list').split('\n')) {
    const [name = ''] = line.split(' ');
    if (!new RegExp(`^${prefix}${pid}n\\d+$`).test(name)) continue;
    for (const process of run('ip', 'netns', 'pids', name).split('\n').filter(Boolean)) run('kill', '-9', process);
    run('ip', 'netns', 'del', name);
  }
}
