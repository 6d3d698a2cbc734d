/** The formation of a cluster: what is decided, and every step at which a node can be killed. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { asNodeId, asReplicaId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import type { Disk } from '../../src/base/ports/disk.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { joinFormation } from '../../src/server/cluster/formation.js';
import { readFormationRecord } from '../../src/server/cluster/formation-record.js';
import { judgeFormation } from '../../src/server/cluster/formation-verdict.js';
import type { FormationRecord } from '../../src/server/cluster/formation-record.js';
import type { FormationState } from '../../src/server/cluster/formation-verdict.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const listed = [1, 2, 3].map((id) => ({ id, linkAddress: `n${id}:7402` }));

function stateOf(id: number, over: Partial<FormationState> = {}, incarnation = `0000000000000${id}`): FormationState {
  const self = {
    id: asNodeId(id),
    name: `node-${id}`,
    zone: 'default',
    incarnation,
    advertisedAddresses: [`n${id}:7400`],
    linkAddress: `n${id}:7402`,
    softwareVersion: '0.1.0',
    featureLevel: 1,
    repositoryId: '',
  };
  return { self, listed, partitionCount: 4, replicationFactor: 3, record: undefined, ...over };
}

const record: FormationRecord = {
  clusterId: '00000000000abc',
  formedUnixMs: 1,
  partitionCount: 4,
  replicationFactor: 3,
  members: [1, 2, 3].map((id) => stateOf(id).self),
};

const answer = (state: FormationState): { node: (typeof listed)[number]; state: FormationState } => ({
  node: listed[state.self.id - 1] as (typeof listed)[number],
  state,
});
const silent = (id: number): { node: (typeof listed)[number]; failure: string } => ({
  node: listed[id - 1] as (typeof listed)[number],
  failure: 'connection refused',
});

describe('the verdict of a node without a cluster', () => {
  test('the founder forms when all are there and empty', () => {
    const verdict = judgeFormation(stateOf(1), [answer(stateOf(3)), answer(stateOf(2))]);
    expect(verdict).toMatchObject({ type: 'form', members: [{ id: 1 }, { id: 2 }, { id: 3 }] });
  });

  test('others wait for it, whoever answers', () => {
    expect(judgeFormation(stateOf(2), [answer(stateOf(1)), answer(stateOf(3))])).toMatchObject({
      type: 'wait',
      because: expect.stringContaining('node 1 (n1:7402) forms the cluster') as string,
    });
  });

  test.each([
    ['a silent one', silent(3), 'node 3 (n3:7402) does not answer: connection refused'],
    [
      'another list',
      answer(stateOf(3, { listed: listed.slice(1) })),
      'another list of nodes in cluster.nodes: 2@n2:7402, 3@n3:7402',
    ],
    ['other partitions', answer(stateOf(3, { partitionCount: 8 })), 'has partitions 8, this node 4'],
    ['another factor', answer(stateOf(3, { replicationFactor: 2 })), 'has cluster.replicationFactor 2, this node 3'],
  ])('the founder does not form with %s', (_name, third, because) => {
    expect(judgeFormation(stateOf(1), [answer(stateOf(2)), third])).toMatchObject({
      type: 'wait',
      because: expect.stringContaining(because) as string,
    });
  });

  test('a member adopts the record of any other, the founder after a crash too', () => {
    for (const id of [1, 2, 3]) {
      const other = id === 3 ? 2 : 3;
      const verdict = judgeFormation(stateOf(id), [answer(stateOf(other, { record })), silent(id === 1 ? 2 : 1)]);
      expect(verdict).toEqual({ type: 'adopt', record });
    }
  });

  test('a record with a seat in the metadata group is of the node that shows it: another one asks for its own', () => {
    const seated = {
      ...record,
      seat: { replicaId: asReplicaId(5), initialVoters: [], replicas: [], nodes: record.members },
    };
    expect(judgeFormation(stateOf(3), [answer(stateOf(1, { record: seated })), silent(2)])).toEqual({
      type: 'replace',
    });
  });

  test('a wiped disk can only take its own place as a new node, also of the founder', () => {
    for (const id of [1, 2]) {
      const wiped = stateOf(id, {}, 'ffffffffffffff');
      const verdict = judgeFormation(wiped, [answer(stateOf(3, { record })), silent(id === 1 ? 2 : 1)]);
      expect(verdict).toEqual({ type: 'replace' });
    }
  });

  test('a stranger is refused', () => {
    const without = { ...record, members: record.members.slice(1) };
    expect(judgeFormation(stateOf(1), [answer(stateOf(2, { record: without })), silent(3)])).toMatchObject({
      type: 'refuse',
      error: { reason: 'CLUSTER_MISMATCH', message: expect.stringContaining('formed without node 1') as string },
    });
  });
});

class Killed extends Error {}

/** The real disk, under a process that is killed before its nth operation that changes something. */
function diskKilledAt(step: number, onKill: () => void): Disk {
  const { disk } = nodeEnvironmentParts;
  let operations = 0;
  const next = (): void => {
    operations += 1;
    if (operations < step) return;
    if (operations === step) onKill();
    throw new Killed();
  };
  return {
    ...disk,
    open: async (file, mode) => {
      next();
      const opened = await disk.open(file, mode);
      return {
        path: opened.path,
        read: (target, position) => opened.read(target, position),
        write: async (buffers, position) => {
          next();
          await opened.write(buffers, position);
        },
        datasync: async () => {
          next();
          await opened.datasync();
        },
        truncate: (bytes) => opened.truncate(bytes),
        sizeBytes: () => opened.sizeBytes(),
        close: () => opened.close(),
      };
    },
    readFile: disk.readFile.bind(disk),
    list: disk.list.bind(disk),
    entries: disk.entries.bind(disk),
    exists: disk.exists.bind(disk),
    status: disk.status.bind(disk),
    link: disk.link.bind(disk),
    makeDirectory: disk.makeDirectory.bind(disk),
    removeTree: disk.removeTree.bind(disk),
    freeBytes: disk.freeBytes.bind(disk),
    lock: disk.lock.bind(disk),
    removeFile: async (file) => {
      next();
      await disk.removeFile(file);
    },
    rename: async (from, to) => {
      next();
      await disk.rename(from, to);
    },
    syncDirectory: async (directory) => {
      next();
      await disk.syncDirectory(directory);
    },
  };
}

/** Processes of three nodes that ask each other; one of them is killed at one step. */
class Formation {
  readonly directory: string;
  readonly alive = new Set<number>();
  /** What each running node shows. */
  readonly shown = new Map<number, FormationRecord>();
  #round = new AbortController();

  constructor(directory: string) {
    this.directory = directory;
  }

  async start(id: number, disk = nodeEnvironmentParts.disk): Promise<FormationRecord> {
    const { signal } = this.#round;
    const directory = path.join(this.directory, String(id));
    for (const name of ['wal', 'partitions']) await mkdir(path.join(directory, name), { recursive: true });
    const { clock } = nodeEnvironmentParts;
    const environment = {
      ...nodeEnvironmentParts,
      disk,
      logger: noLogger,
      clock: {
        wallMs: () => clock.wallMs(),
        monotonicMs: () => clock.monotonicMs(),
        setTimer: (delayMs: number, callback: () => void) => clock.setTimer(delayMs / 100, callback),
      },
    };
    const stored = await readFormationRecord(environment, directory);
    if (stored) this.shown.set(id, stored);
    // As the node does it: whoever asks is answered only once it is known what is there.
    this.alive.add(id);
    const parts = { environment, directory, own: stateOf(id), signal };
    const found =
      stored ??
      (await joinFormation({
        ...parts,
        ask: async ({ id: other }) => {
          await new Promise((resolve) => setImmediate(resolve));
          if (!this.alive.has(other)) throw new Error('connection refused');
          return stateOf(other, { record: this.shown.get(other) });
        },
      }));
    if (found === 'replace') throw new Error('nobody was wiped');
    this.shown.set(id, found);
    return found;
  }

  kill(id: number): void {
    this.alive.delete(id);
    this.shown.delete(id);
  }

  /** Every process ends; what is on the disks stays. */
  killAll(): void {
    for (const id of [1, 2, 3]) this.kill(id);
    this.#round.abort();
    this.#round = new AbortController();
  }
}

describe('a node killed at each step of its formation', () => {
  const steps = Array.from({ length: 7 }, (_, index) => index + 1);

  test.each([1, 2, 3].flatMap((victim) => steps.map((step) => [victim, step] as const)))(
    'node %i before step %i: the same cluster on all three, or none yet',
    async (victim, step) => {
      for (const isPowerOfAll of [false, true]) {
        const formation = new Formation(await temporaryDirectory());
        let wasKilled = false;
        const disk = diskKilledAt(step, () => {
          wasKilled = true;
          formation.kill(victim);
        });
        const first = [1, 2, 3].map((id) => formation.start(id, id === victim ? disk : undefined));
        const results = first.map((start) => start.catch((error: unknown) => error));
        const died = await results[victim - 1];
        if (wasKilled) expect(died).toBeInstanceOf(Killed);
        const seen = new Set([...formation.shown.values()].map(({ clusterId }) => clusterId));
        expect(seen.size).toBeLessThanOrEqual(1);
        if (isPowerOfAll) {
          formation.killAll();
          // Two processes in one directory are what its lock prevents.
          await Promise.all(results);
          formation.killAll();
        }
        const again = isPowerOfAll ? [1, 2, 3] : wasKilled ? [victim] : [];
        const records = await Promise.all(again.map((id) => formation.start(id)));
        if (!isPowerOfAll) await Promise.all(results);
        for (const { clusterId } of [...records, ...formation.shown.values()]) seen.add(clusterId);
        expect(formation.shown.size).toBe(3);
        expect(seen.size).toBe(1);
        for (const id of [1, 2, 3]) {
          const stored = await readFormationRecord(nodeEnvironmentParts, path.join(formation.directory, String(id)));
          expect(stored).toEqual(records[0] ?? formation.shown.get(1));
        }
      }
    },
  );

  test('a record that is gone while there is data is damage, not an empty node', async () => {
    const directory = await temporaryDirectory();
    for (const name of ['wal/x', 'partitions']) await mkdir(path.join(directory, name), { recursive: true });
    await expect(readFormationRecord(nodeEnvironmentParts, directory)).rejects.toMatchObject({
      reason: 'DATA_CORRUPT',
    });
  });
});
