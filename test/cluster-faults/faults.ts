/** What is done to a cluster. Each fault begins, holds for a while, and is undone. */
import { setTimeout as delay } from 'node:timers/promises';
import { isClientError, isLogboomError } from '../../src/client/index.js';
import { clientsId } from './network.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { SeededRandom } from '../integration/support/random.js';
import type { Capabilities } from './capabilities.js';
import type { FaultNode } from './fault-node.js';
import type { FaultNetwork } from './network.js';

export interface Surroundings {
  readonly nodes: readonly FaultNode[];
  readonly network: FaultNetwork | undefined;
  readonly random: SeededRandom;
  /** That knows all nodes. */
  readonly client: LogboomClient;
  readonly partitions: readonly number[];
}

export interface Begun {
  /** What was done, to whom. */
  readonly text: string;
  readonly undo: () => Promise<void> | void;
}

export interface Fault {
  readonly name: string;
  readonly needs?: (capabilities: Capabilities) => boolean;
  readonly holdMs: readonly [number, number];
  /** A majority is up and connected throughout, and serves. */
  readonly keepsMajority: boolean;
  readonly begin: (around: Surroundings) => Promise<Begun> | Begun;
}

const startMs = 60_000;
const needsNetwork = ({ network }: Capabilities): boolean => network;
const needsSlowNetwork = ({ slowNetwork }: Capabilities): boolean => slowNetwork !== undefined;
const needsSmallDisks = ({ smallDisks }: Capabilities): boolean => smallDisks !== undefined;

/** The node that leads most, or some partition; any when nobody says. */
async function aLeader({ client, nodes, random, partitions }: Surroundings): Promise<FaultNode> {
  const partition = random.pick(partitions);
  const known = await client.cluster.describe({ ownView: true, deadlineMs: 2000 }).catch(() => undefined);
  const leader = known?.leaders.find((of) => of.partition === partition)?.node;
  return nodes.find(({ id }) => id === leader) ?? random.pick(nodes);
}

async function aTarget(around: Surroundings): Promise<FaultNode> {
  return around.random.below(3) === 0 ? around.random.pick(around.nodes) : aLeader(around);
}

function networkOf({ network }: Surroundings): FaultNetwork {
  if (network === undefined) throw new Error('a fault of the network without one');
  return network;
}

const heal =
  (around: Surroundings): (() => void) =>
  () =>
    networkOf(around).heal();

async function killed(around: Surroundings, node: FaultNode): Promise<Begun> {
  await node.end('SIGKILL');
  return { text: `kill -9 of n${node.id}`, undo: () => node.start() };
}

export const faults: readonly Fault[] = [
  {
    name: 'kill-leader',
    holdMs: [0, 6000],
    keepsMajority: true,
    begin: async (around) => killed(around, await aLeader(around)),
  },
  {
    name: 'kill-any',
    holdMs: [0, 6000],
    keepsMajority: true,
    begin: async (around) => killed(around, around.random.pick(around.nodes)),
  },
  {
    name: 'kill-all',
    holdMs: [0, 2000],
    keepsMajority: false,
    begin: async ({ nodes }) => {
      await Promise.all(nodes.map((node) => node.end('SIGKILL')));
      return { text: 'kill -9 of all', undo: () => nodes.forEach((node) => node.start()) };
    },
  },
  {
    name: 'pause',
    holdMs: [300, 8000],
    keepsMajority: true,
    begin: async (around) => {
      const node = await aTarget(around);
      node.pause();
      return { text: `n${node.id} stands still`, undo: () => node.resume() };
    },
  },
  {
    name: 'isolate',
    needs: needsNetwork,
    holdMs: [500, 8000],
    keepsMajority: true,
    begin: async (around) => {
      const node = await aTarget(around);
      const network = networkOf(around);
      for (const other of around.nodes) {
        if (other === node) continue;
        network.cut(other.id, node.id);
        network.cut(node.id, other.id);
      }
      const alsoClients = around.random.below(2) === 0;
      if (alsoClients) {
        network.cut(clientsId, node.id);
        network.cutToClients(node.id);
      }
      return {
        text: `n${node.id} is cut off from the others${alsoClients ? ' and from clients' : ''}`,
        undo: heal(around),
      };
    },
  },
  {
    name: 'one-way',
    needs: needsNetwork,
    holdMs: [500, 8000],
    keepsMajority: true,
    begin: async (around) => {
      const node = await aTarget(around);
      const network = networkOf(around);
      const isDeaf = around.random.below(2) === 0;
      for (const other of around.nodes) {
        if (other === node) continue;
        if (isDeaf) network.cut(other.id, node.id);
        else network.cut(node.id, other.id);
      }
      return { text: `n${node.id} ${isDeaf ? 'hears nobody' : 'is not heard'}`, undo: heal(around) };
    },
  },
  {
    name: 'one-link-one-way',
    needs: needsNetwork,
    holdMs: [500, 8000],
    keepsMajority: true,
    begin: async (around) => {
      const from = await aTarget(around);
      const to = around.random.pick(around.nodes.filter((node) => node !== from));
      networkOf(around).cut(from.id, to.id);
      return { text: `n${to.id} does not hear n${from.id}`, undo: heal(around) };
    },
  },
  {
    name: 'bridge',
    needs: needsNetwork,
    holdMs: [500, 10_000],
    keepsMajority: true,
    begin: async (around) => {
      const one = await aTarget(around);
      const other = around.random.pick(around.nodes.filter((node) => node !== one));
      const network = networkOf(around);
      network.cut(one.id, other.id);
      network.cut(other.id, one.id);
      return { text: `n${one.id} and n${other.id} do not see each other`, undo: heal(around) };
    },
  },
  {
    name: 'slow-network',
    needs: needsSlowNetwork,
    holdMs: [1000, 8000],
    keepsMajority: false,
    begin: async (around) => {
      const node = await aTarget(around);
      const delayMs = around.random.pick([20, 100, 300]);
      const kilobits = around.random.pick([256, 1024, 8192]);
      networkOf(around).slow(node.id, { delayMs, kilobits });
      return { text: `the network of n${node.id} is slow (${delayMs} ms, ${kilobits} kbit/s)`, undo: heal(around) };
    },
  },
  {
    name: 'lossy-network',
    needs: needsNetwork,
    holdMs: [1000, 8000],
    keepsMajority: false,
    begin: async (around) => {
      const node = await aTarget(around);
      const share = around.random.pick([0.02, 0.1, 0.3]);
      networkOf(around).lose(node.id, share);
      return { text: `n${node.id} loses ${100 * share} % of what reaches it`, undo: heal(around) };
    },
  },
  {
    name: 'full-disk',
    needs: needsSmallDisks,
    holdMs: [1000, 8000],
    keepsMajority: true,
    begin: async (around) => {
      const node = await aTarget(around);
      node.fillDisk();
      return { text: `the disk of n${node.id} is full`, undo: () => node.freeDisk() };
    },
  },
  {
    name: 'rolling-restart',
    holdMs: [0, 0],
    keepsMajority: true,
    begin: async ({ nodes, random }) => {
      const first = random.below(nodes.length);
      const order = nodes.map((_, index) => nodes[(first + index) % nodes.length] as FaultNode);
      for (const node of order) {
        await node.end('SIGTERM');
        node.start();
        await node.ready(startMs);
      }
      return { text: `restarted one after another: ${order.map(({ id }) => `n${id}`).join(', ')}`, undo: () => {} };
    },
  },
  {
    name: 'transfers',
    holdMs: [0, 500],
    keepsMajority: true,
    begin: async ({ client, nodes, random, partitions }) => {
      let done = 0;
      for (let transfer = 0; transfer < 6; transfer += 1) {
        const { id: node } = random.pick(nodes);
        try {
          await client.cluster.transferLeadership(random.pick(partitions), { node });
          done += 1;
        } catch (error) {
          // A machine with much other work may miss the time of an election.
          if (!isLogboomError(error) && !isClientError(error)) throw error;
        }
        await delay(random.between(20, 300));
      }
      return { text: `${done} of 6 leaderships handed over`, undo: () => {} };
    },
  },
];
