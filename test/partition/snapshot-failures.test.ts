/** Snapshots and bootstraps that are interrupted: twice, by a disk or a log that fails, by a stop, without a quorum. */
import { describe, expect, it } from 'vitest';
import type { DiskOperation } from '../../cluster-sim/simulated-disk.js';
import { asLsn, asReplicaId, asTerm } from '../../src/base/ids.js';
import { RepositoryConnection, type ArchivingOptions, type ReplicaObserver } from '../../src/partition/index.js';
import type { SnapshotRepository } from '../../src/snapshot/index.js';
import type { Environment } from '../../src/base/ports/environment.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import { archivingMetrics } from '../../src/partition/archiving-metrics.js';
import { Bootstrap } from '../../src/partition/bootstrap.js';
import { confState } from '../wal/support/simulated.js';
import { encodeCheckpointMessage } from '../../src/partition/checkpoint-messages.js';
import type { OrderedStoreProvider } from '../../src/state-store/index.js';
import {
  appendMany,
  archived,
  expectEqualReplicas,
  expectNothingLeft,
  three,
  trimmedTo,
} from './support/archived-groups.js';
import { partitionId, sharedObjects, singleNode, TestGroup, type NodeOptions, type TestNode } from './support/nodes.js';

/** A node of three that was down for so long that it needs a snapshot; it is not running. */
function left(
  seed: number,
  body: (group: TestGroup, parts: { leader: TestNode; away: TestNode; archivedLsn: number }) => Promise<void>,
  over: Partial<ArchivingOptions> = {},
): Promise<void> {
  return three(seed, archived(sharedObjects(), over), async (group, leader) => {
    await appendMany(group, 10);
    const first = await leader.replica.snapshot();
    await trimmedTo(group, first.archivedLsn);
    const away = group.nodes.find((node) => node !== leader)!;
    // Not stopped: what it has applied since its last flush is applied once more at the next start.
    await appendMany(group, 3);
    await group.until(() => away.replica.status.appliedLsn === leader.replica.status.appliedLsn);
    away.crash('process');
    await appendMany(group, 40);
    const { archivedLsn } = await leader.replica.snapshot();
    await trimmedTo(group, archivedLsn);
    await appendMany(group, 5);
    await body(group, { leader, away, archivedLsn });
  });
}

/** Resolves to whether `work` ended in time. */
async function endsWithin(group: TestGroup, limitMs: number, work: Promise<unknown>): Promise<boolean> {
  const late = Symbol('late');
  return (await Promise.race([work, group.world.sleep(limitMs).then(() => late)])) !== late;
}

const isRenameOf = (operation: DiskOperation, path: string): boolean =>
  operation.kind === 'rename' && operation.path === path;

/** Kills the node right behind a rename: it is done, and not synced. */
async function killBehindRename(group: TestGroup, node: TestNode, path: string): Promise<void> {
  let isRenamed = false;
  let isKilled = false;
  node.disk.intercept = (operation) => {
    if (isRenamed && !isKilled) {
      isKilled = true;
      node.crash('process');
    }
    isRenamed ||= isRenameOf(operation, path);
    return undefined;
  };
  void node.start().catch(() => {});
  await group.until(() => isKilled);
  node.disk.intercept = undefined;
}

/** Fails flushes, and all that opens the databases below a directory, as long as it is told to. */
function broken(directory: string, isBroken: () => boolean): NonNullable<NodeOptions['wrapStores']> {
  return (provider: OrderedStoreProvider): OrderedStoreProvider => ({
    open: async (path, options) => {
      const fails = (): boolean => isBroken() && path.startsWith(`${directory}/`);
      if (fails()) throw new Error(`${path} cannot be opened`);
      const store = await provider.open(path, options);
      return {
        write: (operations) => store.write(operations),
        flush: () => (fails() ? Promise.reject(new Error('flush fails')) : store.flush()),
        get: (key) => store.get(key),
        getMany: (keys) => store.getMany(keys),
        scan: (range) => store.scan(range),
        snapshot: () => store.snapshot(),
        compactRange: (from, to) => store.compactRange(from, to),
        approximateBytes: (from, to) => store.approximateBytes(from, to),
        close: () => store.close(),
      };
    },
  });
}

describe('putting an imported state in place', () => {
  // The first crash is the process's, so that nothing is lost, and nothing synced either; then the power goes.
  it.each(Array.from({ length: 24 }, (_, at) => at))(
    'survives a kill behind the point of no return, and then a power loss while the start finishes it (%i)',
    (round) =>
      left(200 + round, async (group, { leader, away }) => {
        const from = round % 2 === 0 ? '/data/partitions/1.staging' : '/data/partitions/1.ready';
        await killBehindRename(group, away, from);
        // Long enough for the log to take what the rename is the reason for.
        let operations = 0;
        let crashed = false;
        away.disk.intercept = () => {
          operations += 1;
          if (operations !== 12 + 2 * (round >> 1)) return undefined;
          crashed = true;
          away.crash('power');
          return undefined;
        };
        const started = away.start().catch(() => {});
        await group.until(
          () => crashed || away.manager?.replicas[0]?.status.appliedLsn === leader.replica.status.appliedLsn,
        );
        away.disk.intercept = undefined;
        if (crashed) await away.start();
        else await started;
        await appendMany(group, 3);
        await expectEqualReplicas(group);
        await expectNothingLeft(away);
      }),
  );

  /** The first sync of the log after an operation fails. */
  function failLogBehind(node: TestNode, isThere: (operation: DiskOperation) => boolean): void {
    let isBehind = false;
    node.disk.intercept = (operation) => {
      isBehind ||= isThere(operation);
      const fails = isBehind && operation.kind === 'datasync' && operation.path.includes('/wal/');
      return fails ? { kind: 'fail', code: 'EIO' } : undefined;
    };
  }

  it('ends, and lets the node stop, when the log fails meanwhile', () =>
    left(230, async (group, { away }) => {
      failLogBehind(away, (operation) => isRenameOf(operation, '/data/partitions/1.staging'));
      await away.start();
      await group.until(() => away.replica.stopped);
      expect(
        await endsWithin(
          group,
          5000,
          away.stop().catch(() => {}),
        ),
      ).toBe(true);
      away.crash('process');
      away.disk.intercept = undefined;
      await away.start();
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }));

  it('ends the start that finishes it when the log fails meanwhile', () =>
    left(231, async (group, { away }) => {
      await killBehindRename(group, away, '/data/partitions/1.staging');
      failLogBehind(away, ({ kind, path }) => kind === 'readFile' && path === '/data/partitions/1.ready/install.json');
      const started = away.start().then(
        () => 'started',
        (error: unknown) => error,
      );
      expect(await endsWithin(group, 5000, started)).toBe(true);
      expect(await started).toMatchObject({ reason: 'WAL_FAILED' });
      away.crash('process');
      away.disk.intercept = undefined;
      await away.start();
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }));

  it('is not done for a replica whose log is gone', () =>
    left(232, async (group, { away }) => {
      await killBehindRename(group, away, '/data/partitions/1.staging');
      const disk = away.disk.mount();
      await disk.removeTree('/data/partitions/1');
      for (const name of await disk.list('/data/wal')) {
        if (name !== 'placeholder') await disk.removeFile(`/data/wal/${name}`);
      }
      away.crash('process');
      await expect(away.start()).rejects.toMatchObject({ reason: 'WAL_CORRUPT' });
    }));
});

describe('a node that stops', () => {
  it('does not wait for a checkpoint that cannot be committed', () =>
    three(300, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      group.travel = () => undefined;
      const outcome = leader.replica.snapshot().catch((error: unknown) => error);
      await group.world.sleep(20);
      expect(await endsWithin(group, 5000, leader.stop())).toBe(true);
      expect(await outcome).toMatchObject({ reason: 'SHUTTING_DOWN' });
    }));

  it('or a replica that fails does not go on with its snapshot', () =>
    three(301, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      let asked = 0;
      group.travel = (message) => {
        if (message.type === 'host') asked += 1;
        return message.type === 'host' ? undefined : 1;
      };
      const outcome = leader.replica.snapshot().catch((error: unknown) => error);
      await group.until(() => asked > 0);
      leader.replica.fail(new Error('found broken'));
      expect(await endsWithin(group, 200, outcome)).toBe(true);
      expect(await outcome).toMatchObject({ reason: 'PARTITION_STOPPED' });
      asked = 0;
      await group.world.sleep(1000);
      expect(asked).toBe(0);
    }));
});

describe('a checkpoint', () => {
  it('is not begun by a leader that applies nothing, and leaves the place to other partitions', () => {
    let isBroken = false;
    const options: NodeOptions = {
      ...archived(sharedObjects()),
      wrapStores: broken('/data/partitions/1', () => isBroken),
    };
    return singleNode(310, options, async (node, group) => {
      await group.until(() => node.repository?.problem === '');
      await group.propose(node, 'x');
      isBroken = true;
      await expect(node.replica.flush()).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      await group.until(() => node.complaints.some((line) => line.includes('nothing is applied until')));
      const outcome = node.replica.snapshot().catch((error: unknown) => error);
      expect(await endsWithin(group, 200, outcome)).toBe(true);
      expect(await outcome).toMatchObject({ reason: 'STATE_STORE_FAILED' });
      isBroken = false;
      await group.world.sleep(6000);
      await node.replica.snapshot();
    });
  });

  it('that another replica is asked about stops nobody', () =>
    three(311, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      const { archivedLsn } = await leader.replica.snapshot();
      const follower = group.nodes.find((node) => node !== leader)!;
      await group.until(() => follower.replica.status.archivedLsn === archivedLsn);
      follower.replica.deliver({
        type: 'host',
        from: asReplicaId(leader.id),
        to: asReplicaId(77),
        term: leader.replica.status.term,
        payload: encodeCheckpointMessage({ type: 'request', lsn: asLsn(archivedLsn), agreed: { low: 1, high: 2 } }),
      });
      await group.world.sleep(100);
      expect(follower.replica.stopped).toBeUndefined();
    }));

  it('that a majority is said to have another state at stops a replica when its leader says so, and nobody else', () =>
    three(312, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      const { archivedLsn } = await leader.replica.snapshot();
      const [one, other] = group.nodes.filter((node) => node !== leader) as [TestNode, TestNode];
      await group.until(() => one.replica.status.archivedLsn === archivedLsn);
      const tell = (from: TestNode): void =>
        one.replica.deliver({
          type: 'host',
          from: asReplicaId(from.id),
          to: asReplicaId(one.id),
          term: leader.replica.status.term,
          payload: encodeCheckpointMessage({ type: 'request', lsn: asLsn(archivedLsn), agreed: { low: 1, high: 2 } }),
        });
      tell(other);
      await group.world.sleep(100);
      expect(one.replica.stopped).toBeUndefined();
      tell(leader);
      await group.world.sleep(100);
      expect(one.replica.stopped?.message).toContain('is not that of the majority');
    }));
});

describe('a repository', () => {
  it('that does not answer any more is not proved to be seen, and is once it answers', async () => {
    const group = new TestGroup(330, 1);
    let isHanging = false;
    const connection = new RepositoryConnection(
      { clock: group.node(1).clock, logger: noLogger } as unknown as Environment,
      {
        clusterId: 'c'.repeat(14),
        open: async () => {
          while (isHanging) await group.world.sleep(10);
          return { id: 'r1' } as unknown as SnapshotRepository;
        },
        checkEveryMs: 1000,
        retryMsMin: 10,
        retryMsMax: 100,
        snapshotsMax: 1,
      },
    );
    await group.run(async () => {
      connection.run();
      await group.world.sleep(5500);
      expect([connection.provenId, connection.problem]).toEqual(['r1', '']);
      isHanging = true;
      await group.world.sleep(5000);
      expect(connection.provenId).toBe('');
      expect(connection.problem).toContain('has not answered for');
      expect(() => connection.archive(partitionId)).toThrow('has not answered for');
      isHanging = false;
      await group.world.sleep(100);
      expect([connection.provenId, connection.problem]).toEqual(['r1', '']);
      await connection.stop();
    });
  });
});

describe('what a replica knows to be archived', () => {
  it('does not go back while its log is replayed', async () => {
    let isBroken = false;
    const seen: number[] = [];
    const objects = sharedObjects();
    const options: NodeOptions = { objects, wrapStores: broken('/data/partitions/1', () => isBroken) };
    const base = archived(objects).manager;
    // Told of everything, and interested in one thing.
    const observer = new Proxy({} as ReplicaObserver, {
      get: (_, name) =>
        name === 'onArchive' ? ({ archivedLsn }: { archivedLsn: number }) => seen.push(archivedLsn) : () => {},
    });
    const manager = { ...base, flush: { ageMs: 1_000_000 }, observe: () => observer };
    await singleNode(320, { ...options, manager }, async (node, group) => {
      await group.until(() => node.repository?.problem === '');
      for (let round = 0; round < 3; round += 1) {
        await group.propose(node, `x${round}`);
        await node.replica.snapshot();
      }
      isBroken = true;
      await expect(node.replica.flush()).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      isBroken = false;
      await group.until(() => seen.length === 6);
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    });
  });
});

describe('a bootstrap', () => {
  it('that cannot remove what it has built ends, and is begun again when the leader asks again', async () => {
    const warnings: string[] = [];
    let removals = 0;
    const bootstrap = new Bootstrap({
      partitionId,
      environment: {
        clock: new TestGroup(1, 1).node(1).clock,
        logger: { ...noLogger, warn: (message: string) => void warnings.push(message) },
      } as unknown as Environment,
      repository: undefined,
      metrics: archivingMetrics(noMetrics, partitionId),
      retryMsMin: 1,
      retryMsMax: 1,
      restore: () => Promise.resolve(),
      leader: () => undefined,
      openPeer: () => expect.unreachable('nobody is asked'),
      removeStaging: () => {
        removals += 1;
        return Promise.reject(new Error('EIO'));
      },
      isNeeded: () => false,
      install: () => Promise.resolve(true),
    });
    const start = { lsn: asLsn(9), term: asTerm(1), confState: confState(1) };
    bootstrap.begin(start);
    bootstrap.begin(start);
    await bootstrap.ended();
    await bootstrap.ended();
    expect(removals).toBe(2);
    expect(warnings).toHaveLength(2);
    expect(bootstrap.status).toBeUndefined();
  });

  it('waits for what the log still writes before it replaces it', () =>
    left(400, async (group, { leader, away }) => {
      let delivered = false;
      away.disk.intercept = (operation) => {
        if (operation.kind === 'datasync' && operation.path.includes('/wal/') && delivered) {
          return { kind: 'delay', delayMs: 300 };
        }
        if (!delivered && operation.kind === 'list' && operation.path === '/data/partitions/1.staging') {
          delivered = true;
          // A change of term has to be stored, and is handed over before the imported state is put in place.
          away.replica.deliver({
            type: 'heartbeat',
            from: asReplicaId(leader.id),
            to: asReplicaId(away.id),
            term: asTerm(away.replica.status.term + 1),
            commit: away.replica.raftStatus.commit,
            round: 0,
          });
        }
        return undefined;
      };
      await away.start();
      await group.until(() => delivered);
      await expectEqualReplicas(group);
      expect(away.replica.stopped).toBeUndefined();
      await expectNothingLeft(away);
    }));

  it.each([
    ['write', 'EIO'],
    ['datasync', 'EIO'],
    ['write', 'ENOSPC'],
  ] as const)('was stopped with its replica by one %s that failed with %s when it was complete', (kind, code) =>
    left(403, async (group, { away }) => {
      let failures = 0;
      away.disk.intercept = (operation) => {
        if (failures > 0 || operation.kind !== kind || !operation.path.includes('.staging/install.json'))
          return undefined;
        failures += 1;
        return { kind: 'fail', code };
      };
      await away.start();
      await expectEqualReplicas(group);
      expect(failures).toBe(1);
      expect(away.replica.stopped).toBeUndefined();
      await expectNothingLeft(away);
    }),
  );

  it('was begun again for ever when it took longer than the log is held for it', () =>
    left(
      404,
      async (group, { leader, away }) => {
        let imports = 0;
        away.disk.intercept = ({ kind, path }) => {
          if (kind !== 'write' || !path.includes('.staging/install.json')) return undefined;
          imports += 1;
          return { kind: 'delay', delayMs: 5000 };
        };
        await away.start();
        const isBack = (): boolean =>
          leader.replica.raftStatus.progress.some(
            ({ replica, state, match }) =>
              replica === asReplicaId(away.id) &&
              state === 'replicate' &&
              match >= leader.replica.status.groupTrimPoint,
          );
        // A log that is trimmed to a new snapshot all the time.
        for (let rounds = 0; !isBack() && rounds < 120; rounds += 1) {
          await appendMany(group, 2);
          await leader.replica.snapshot();
          for (const node of group.nodes) if (node !== away) await node.replica.flush();
          await group.world.sleep(500);
        }
        expect(isBack()).toBe(true);
        expect(imports).toBeGreaterThan(1);
        await expectEqualReplicas(group);
        await expectNothingLeft(away);
      },
      { bootstrapHoldMs: 1000 },
    ));

  it('does not wait for a store that cannot be opened again, which it is to replace', () =>
    left(401, async (group, { away }) => {
      let isBroken = false;
      away.options = { ...away.options, wrapStores: broken('/data/partitions/1', () => isBroken) };
      const isCutOff = (...ids: number[]): boolean => ids.includes(away.id);
      group.travel = (_, from, to) => (isCutOff(from, to) ? undefined : 1);
      await away.start();
      isBroken = true;
      away.disk.intercept = (operation) => {
        if (isRenameOf(operation, '/data/partitions/1.ready')) isBroken = false;
        return undefined;
      };
      await group.until(() => away.complaints.some((line) => line.includes('nothing is applied until')));
      group.travel = () => 1;
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }));

  it('that finds the disk full before the point of no return is tried again, and the replica goes on', () =>
    left(403, async (group, { away }) => {
      let full = 3;
      away.disk.intercept = ({ kind, path }) => {
        const isRecord = kind === 'write' && path.startsWith('/data/partitions/1.staging/install.json');
        return isRecord && full-- > 0 ? { kind: 'fail', code: 'ENOSPC' } : undefined;
      };
      await away.start();
      await group.until(() => away.replica.status.bootstrap?.problem.includes('ENOSPC'));
      await expectEqualReplicas(group);
      expect(full).toBeLessThanOrEqual(0);
      expect(away.replica.stopped).toBeUndefined();
      await expectNothingLeft(away);
    }));

  it('ends when the log has brought the replica up to date meanwhile, however long the import takes', async () => {
    let isNeeded = true;
    let isRestoring = false;
    const { clock } = new TestGroup(1, 1).node(1);
    const archive = {
      candidates: () => Promise.resolve([{ name: 'm', lsn: asLsn(9) }]),
      readConfirmed: () => Promise.resolve({}),
    };
    const bootstrap = new Bootstrap({
      partitionId,
      environment: { clock, logger: noLogger } as unknown as Environment,
      repository: { archive: () => archive } as unknown as RepositoryConnection,
      metrics: archivingMetrics(noMetrics, partitionId),
      retryMsMin: 1,
      retryMsMax: 1,
      restore: (_archive, _manifest, { signal }) =>
        new Promise((_, reject) => {
          isRestoring = true;
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        }),
      leader: () => undefined,
      openPeer: () => expect.unreachable('nobody is asked'),
      removeStaging: () => Promise.resolve(),
      isNeeded: () => isNeeded,
      install: () => expect.unreachable('nothing is put in place'),
    });
    bootstrap.begin({ lsn: asLsn(9), term: asTerm(1), confState: confState(1) });
    while (!isRestoring) await new Promise((resolve) => setImmediate(resolve));
    bootstrap.tick();
    expect(bootstrap.status).toBeDefined();
    isNeeded = false;
    bootstrap.tick();
    await bootstrap.ended();
    expect(bootstrap.status).toBeUndefined();
  });

  it('that is not wanted any more leaves nothing, also when the node was restarted meanwhile', () =>
    three(402, archived(sharedObjects()), async (group, leader) => {
      const node = group.nodes.find((each) => each !== leader)!;
      await appendMany(group, 3);
      await node.stop();
      await node.disk.mount().makeDirectory('/data/partitions/1.staging');
      await node.start();
      await appendMany(group, 3);
      await group.world.sleep(3000);
      await expectNothingLeft(node);
    }));
});
