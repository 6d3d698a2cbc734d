/** Snapshots, trimming to the archived LSN, and replicas that bootstrap: rules 1 to 3 of the design, at running replicas. */
import { describe, expect, it } from 'vitest';
import {
  appendMany,
  archived,
  changeMembers,
  expectEqualReplicas,
  expectNothingLeft,
  newcomer,
  three,
  trimmedTo,
} from './support/archived-groups.js';
import { asPartitionId, asReplicaId } from '../../src/base/ids.js';
import type { ReplicaObserver } from '../../src/partition/index.js';
import { sharedObjects, singleNode, TestGroup } from './support/nodes.js';

/** Told of everything, and interested in stores that are put in place. */
const countingObserver = (onInstalling: () => void): ReplicaObserver =>
  new Proxy({} as ReplicaObserver, { get: (_, name) => (name === 'onInstalling' ? onInstalling : () => {}) });

describe('a quiet partition', () => {
  it('is snapshotted when it holds the log of others, and not otherwise', async () => {
    const options = archived(sharedObjects(), { automatic: true, logBytes: 60_000, ageMs: 1 << 30 });
    const manager = { ...options.manager, walTargetBytes: 256 << 10 };
    await singleNode(30, { ...options, manager, partitions: 2 }, async (node, group) => {
      await group.until(() => node.repository?.problem === '');
      const quiet = node.running.replicaOf(asPartitionId(2));
      const { lsn } = await quiet.propose(new Uint8Array(100));
      const { walStats } = node.running;
      expect(walStats.bytes).toBeLessThan(256 << 10);
      await group.world.sleep(30_000);
      expect(quiet.status.archivedLsn).toBeUndefined();
      for (let round = 0; round < 40; round += 1) {
        for (let at = 0; at < 20; at += 1) await node.replica.propose(new Uint8Array(2000));
        await group.world.sleep(500);
      }
      await group.until(() => node.running.walStats.bytes <= 320 << 10, 60_000);
      // Its record is gone from the log; what a snapshot itself has appended is for the next one.
      expect(quiet.status.trimPoint).toBeGreaterThanOrEqual(lsn);
      expect(quiet.status.archivedLsn).toBeGreaterThanOrEqual(lsn);
    });
  });
});

describe('a snapshot of a group of three', () => {
  it('is archived when a quorum has its state, and then lets every replica trim its log to it', () =>
    three(1, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 20);
      expect(leader.replica.status.trimHeldBecause).toContain('no complete snapshot exists yet');
      const { archivedLsn, manifest } = await leader.replica.snapshot();
      expect(archivedLsn).toBeGreaterThan(20);
      expect(leader.replica.status).toMatchObject({ archivedLsn, archivedManifest: manifest, snapshotFailure: '' });
      await trimmedTo(group, archivedLsn);
      for (const { replica } of group.nodes) {
        expect(replica.status).toMatchObject({ archivedLsn, trimPoint: archivedLsn, groupTrimPoint: archivedLsn });
      }
      await appendMany(group, 5);
      await expectEqualReplicas(group);
    }));

  it('joins the one under way, and a second one uploads only what is new', async () => {
    const objects = sharedObjects();
    await three(2, archived(objects), async (group, leader) => {
      await appendMany(group, 200, 400);
      const [one, other] = await Promise.all([leader.replica.snapshot(), leader.replica.snapshot()]);
      expect(other).toEqual(one);
      const before = objects.usedBytes;
      await appendMany(group, 5, 400);
      await leader.replica.snapshot();
      expect(objects.usedBytes - before).toBeLessThan(before / 3);
    });
  });

  it('is refused by a follower, and without a repository, which the status tells', async () => {
    await three(3, archived(undefined), async (group, leader) => {
      const follower = group.nodes.find((node) => node !== leader)!;
      await expect(follower.replica.snapshot()).rejects.toMatchObject({ reason: 'NOT_LEADER' });
      await expect(leader.replica.snapshot()).rejects.toMatchObject({ reason: 'REPOSITORY_NOT_CONFIGURED' });
      await appendMany(group, 5);
      await leader.replica.flush();
      expect(leader.replica.status.trimPoint).toBe(0);
      expect(leader.replica.status.trimHeldBecause).toContain('set snapshots.repository');
    });
  });

  it('is not archived while no quorum says what it has, and the next attempt is', () =>
    three(4, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      group.travel = (message) => (message.type === 'host' ? undefined : 1);
      await expect(leader.replica.snapshot()).rejects.toMatchObject({ reason: 'SNAPSHOT_NOT_CONFIRMED' });
      await group.world.sleep(2000);
      expect(leader.replica.status.archivedLsn).toBeUndefined();
      expect(leader.replica.status.trimHeldBecause).toContain('the last snapshot failed: no quorum has confirmed');
      group.travel = () => 1;
      const { archivedLsn } = await (await group.leader()).replica.snapshot();
      await trimmedTo(group, archivedLsn);
    }));

  it('archives, but lets nothing be trimmed, while a voter has not proved that it sees the same repository', async () => {
    const group = new TestGroup(5, 3, archived(sharedObjects()));
    await group.run(async () => {
      // Three private directories are no repository.
      for (const node of group.nodes) node.options = archived(sharedObjects());
      await group.startAll();
      await group.until(() => group.nodes.every(({ repository }) => repository?.problem === ''));
      const leader = await group.leader();
      await appendMany(group, 5);
      await leader.replica.snapshot();
      for (const node of group.nodes) await node.replica.flush();
      await group.world.sleep(20_000);
      for (const { replica } of group.nodes) expect(replica.status.trimPoint).toBe(0);
      expect(leader.replica.status.trimHeldBecause).toContain(
        "has not proved that it sees this leader's snapshot repository",
      );
    });
  });

  it.each([
    ['what its node had recorded is the repository', (id: string) => id, true],
    ['its node had recorded another one', () => 'f'.repeat(32), false],
    ['its node had recorded nothing', () => '', false],
  ])('lets a new leader trim while a voter is away, if %s: %#', async (_what, recordedOf, isTrimmed) => {
    const recorded = new Map<number, string>();
    const options = archived(sharedObjects());
    const manager = { ...options.manager, recordedRepository: (_: number, id: number) => recorded.get(id) ?? '' };
    await three(13, { ...options, manager }, async (group, leader) => {
      await appendMany(group, 5);
      const away = group.nodes.find((node) => node !== leader)!;
      recorded.set(away.id, recordedOf(leader.repository!.provenId));
      away.crash('process');
      const other = group.nodes.find((node) => node !== leader && node !== away)!;
      leader.replica.transferLeader(asReplicaId(other.id));
      await group.until(() => other.replica.isLeader);
      const { archivedLsn } = await other.replica.snapshot();
      if (isTrimmed) return trimmedTo(group, archivedLsn);
      await other.replica.flush();
      await group.world.sleep(60_000);
      expect(other.replica.status.groupTrimPoint).toBe(0);
      expect(other.replica.status.trimHeldBecause).toContain(`replica ${away.id}: the node has not proved`);
    });
  });

  it('lets nothing be trimmed on a record while the node itself says something else', async () => {
    const recorded = new Map<number, string>();
    const options = archived(sharedObjects());
    const manager = { ...options.manager, recordedRepository: (_: number, id: number) => recorded.get(id) ?? '' };
    const group = new TestGroup(14, 3, { ...options, manager });
    await group.run(async () => {
      group.node(3).options = { ...archived(sharedObjects()), manager };
      await group.startAll();
      await group.until(() => group.nodes.every(({ repository }) => repository?.problem === ''));
      for (const { id } of group.nodes) recorded.set(id, group.node(1).repository!.provenId);
      const leader = await group.leader();
      if (leader.id === 3) leader.replica.transferLeader(asReplicaId(1));
      await group.until(() => group.nodes.some(({ id, replica }) => id !== 3 && replica.isLeader));
      await appendMany(group, 5);
      await (await group.leader()).replica.snapshot();
      for (const node of group.nodes) await node.replica.flush();
      await group.world.sleep(60_000);
      for (const { replica } of group.nodes) expect(replica.status.trimPoint).toBe(0);
    });
  });

  it('stops a replica whose state is not that of the majority, also when it leads', () =>
    three(6, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      const odd = group.nodes.find((node) => node !== leader)!;
      // A replica that applies something else.
      odd.replica.machine.onApply = () => (odd.replica.machine.fillerEntries = 1);
      await appendMany(group, 1);
      odd.replica.machine.onApply = () => {};
      odd.replica.machine.fillerEntries = 0;
      await leader.replica.snapshot();
      await group.until(() => odd.replica.stopped);
      expect(odd.replica.status.fault).toContain('is not that of the majority');
      await appendMany(group, 3);
    }));

  it('keeps a margin, and a delay', () =>
    three(7, archived(sharedObjects(), { trimMarginEntries: 7, trimDelayMs: 5000 }), async (group, leader) => {
      await appendMany(group, 30);
      const { archivedLsn } = await leader.replica.snapshot();
      await group.world.sleep(2000);
      expect(leader.replica.status.groupTrimPoint).toBe(0);
      expect(leader.replica.status.trimHeldBecause).toContain('trim.delayMs');
      await trimmedTo(group, archivedLsn - 7);
      expect(leader.replica.status.groupTrimPoint).toBe(archivedLsn - 7);
      await group.until(() => leader.replica.status.trimHeldBecause.includes('trim.marginEntries'));
    }));

  it('is taken by itself when enough was appended, and not again for an idle partition', async () => {
    const objects = sharedObjects();
    await three(
      8,
      archived(objects, { automatic: true, logBytes: 2000, ageMs: 60_000 }),
      async (group, leader) => {
        await appendMany(group, 40);
        await group.until(() => leader.replica.status.archivedLsn);
        await group.world.sleep(120_000);
        const manifests = (): number =>
          [...objects.objects.keys()].filter((name) => name.includes('/manifests/')).length;
        const before = manifests();
        await group.world.sleep(600_000);
        expect(manifests()).toBe(before);
      },
      1_000_000,
    );
  });

  it('does not let the log be trimmed when its manifest is gone before that', async () => {
    const objects = sharedObjects();
    await three(9, archived(objects, { trimDelayMs: 3000 }), async (group, leader) => {
      await appendMany(group, 10);
      const { manifest } = await leader.replica.snapshot();
      const name = [...objects.objects.keys()].find((each) => each.endsWith(manifest))!;
      objects.objects.delete(name);
      for (const node of group.nodes) await node.replica.flush();
      await group.world.sleep(20_000);
      for (const { replica } of group.nodes) expect(replica.status.trimPoint).toBe(0);
      expect((await group.leader()).replica.status.trimHeldBecause).toContain('cannot be read back');
    });
  });

  it('is taken anew when it is gone from the repository, also of an idle partition', async () => {
    const objects = sharedObjects();
    const over = { automatic: true, logBytes: 1 << 30, ageMs: 5000, collectEveryMs: 2000 };
    await three(11, archived(objects, over), async (group, leader) => {
      await appendMany(group, 10);
      const first = await leader.replica.snapshot();
      await trimmedTo(group, first.archivedLsn);
      const name = [...objects.objects.keys()].find((each) => each.endsWith(first.manifest))!;
      objects.objects.delete(name);
      const isNewer = (): boolean => (leader.replica.status.archivedLsn ?? 0) > first.archivedLsn;
      await group.until(isNewer, 30_000);
      const { archivedManifest } = leader.replica.status;
      expect([...objects.objects.keys()].some((each) => each.endsWith(archivedManifest))).toBe(true);
    });
  });

  it('is confirmed again where the repository has lost what says so, and taken anew where that is damaged', async () => {
    const objects = sharedObjects();
    const over = { automatic: true, logBytes: 1 << 30, ageMs: 1 << 30, collectEveryMs: 2000 };
    await three(12, archived(objects, over), async (group, leader) => {
      await appendMany(group, 10);
      const first = await leader.replica.snapshot();
      await trimmedTo(group, first.archivedLsn);
      const name = [...objects.objects.keys()].find((each) => each.endsWith(`/confirmations/${first.manifest}`))!;
      const sound = objects.objects.get(name)!;
      objects.objects.delete(name);
      await group.until(() => objects.objects.has(name), 30_000);
      expect(objects.objects.get(name)!.bytes).toEqual(sound.bytes);
      expect(leader.replica.status.archivedLsn).toBe(first.archivedLsn);
      objects.objects.set(name, { ...sound, bytes: sound.bytes.subarray(0, 20) });
      await group.until(() => (leader.replica.status.archivedLsn ?? 0) > first.archivedLsn, 30_000);
    });
  });

  it('is what a restarted group knows of, and goes on trimming by', () =>
    three(10, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 10);
      const { archivedLsn } = await leader.replica.snapshot();
      await trimmedTo(group, archivedLsn);
      for (const node of group.nodes) node.crash('power');
      await group.startAll();
      await group.leader();
      await group.until(() => group.nodes.every(({ replica }) => replica.status.archivedLsn === archivedLsn));
      for (const { replica } of group.nodes) await replica.flush();
      for (const { replica } of group.nodes) expect(replica.status.trimPoint).toBe(archivedLsn);
      await appendMany(group, 5);
      await expectEqualReplicas(group);
    }));
});

describe('a replica that needs what was trimmed', () => {
  it('bootstraps from the newest snapshot, follows the log, and is made a voter', () =>
    newcomer(20, sharedObjects(), async (group, { away, archivedLsn }) => {
      await away.start();
      await changeMembers(group, [['add-learner', 4]]);
      await appendMany(group, 5);
      await group.until(() => away.replica.status.appliedLsn > archivedLsn);
      await changeMembers(group, [['add-voter', 4]]);
      await expectEqualReplicas(group);
      expect(away.replica.confState.voters).toContain(4);
      expect(away.replica.status.bootstrap).toBeUndefined();
      await away.stop();
      await away.start();
      await appendMany(group, 3);
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }));

  it('that was down for long gets a snapshot too, and its old state goes', () =>
    three(21, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 10);
      const first = await leader.replica.snapshot();
      await trimmedTo(group, first.archivedLsn);
      const away = group.nodes.find((node) => node !== leader)!;
      await away.stop();
      await appendMany(group, 40);
      const { archivedLsn } = await leader.replica.snapshot();
      await trimmedTo(group, archivedLsn);
      await appendMany(group, 5);
      await away.start();
      await expectEqualReplicas(group);
      expect(away.replica.status.trimPoint).toBe(archivedLsn);
      await expectNothingLeft(away);
    }));

  it('that was away for less than trim.delayMs finds the log, and fetches nothing', () =>
    three(25, archived(sharedObjects(), { trimDelayMs: 60_000 }), async (group, leader) => {
      await appendMany(group, 10);
      const away = group.nodes.find((node) => node !== leader)!;
      await away.stop();
      await appendMany(group, 40);
      const { archivedLsn } = await leader.replica.snapshot();
      await group.world.sleep(40_000);
      expect(leader.replica.status.groupTrimPoint).toBe(0);
      let bootstraps = 0;
      away.options = {
        ...away.options,
        manager: { ...away.options.manager, observe: () => countingObserver(() => (bootstraps += 1)) },
      };
      await away.start();
      await expectEqualReplicas(group);
      await trimmedTo(group, archivedLsn);
      expect(bootstraps).toBe(0);
    }));

  it('says what is missing where there is no repository and nobody to ask, and is brought up to date once there is one', () => {
    const objects = sharedObjects();
    return newcomer(22, objects, async (group, { away }) => {
      away.options = { ...archived(undefined), voters: [1, 2, 3] };
      group.onAsk = () => 'lose';
      await away.start();
      await changeMembers(group, [['add-learner', 4]]);
      await group.until(() => away.replica.status.bootstrap?.problem.includes('no snapshot repository is configured'));
      await group.world.sleep(5000);
      expect(away.replica.status.appliedLsn).toBe(0);
      await away.stop();
      away.options = { ...archived(objects), voters: [1, 2, 3] };
      await away.start();
      await expectEqualReplicas(group);
    });
  });

  it('takes an older snapshot when the newest is damaged, and goes on trying while all are', () => {
    const objects = sharedObjects();
    return newcomer(23, objects, async (group, { leader, away }) => {
      const damage = (manifest: string): (() => void) => {
        const name = [...objects.objects.keys()].find((each) => each.endsWith(manifest))!;
        const sound = objects.objects.get(name)!;
        objects.objects.set(name, { ...sound, bytes: sound.bytes.subarray(0, 100) });
        return () => void objects.objects.set(name, sound);
      };
      const first = leader.replica.status.archivedManifest;
      // A newer one, of a leader that was lost when it had confirmed it, and before the group knew.
      group.travel = (message) => (message.type === 'host' ? undefined : 1);
      await appendMany(group, 30, 300);
      await expect(leader.replica.snapshot()).rejects.toMatchObject({ reason: 'SNAPSHOT_NOT_CONFIRMED' });
      group.travel = () => 1;
      const second = [...objects.objects.keys()].find((name) => name.includes('/manifests/') && !name.endsWith(first))!;
      const name = second.slice(second.lastIndexOf('/') + 1);
      const archive = leader.repository!.archive(leader.replica.partitionId);
      await archive.confirm(await archive.read(name), name);
      damage(name);
      const heal = damage(first);
      group.onAsk = () => 'lose';
      await away.start();
      await changeMembers(group, [['add-learner', 4]]);
      await group.until(() => away.replica.status.bootstrap?.problem.includes('is damaged'));
      await group.world.sleep(3000);
      heal();
      await expectEqualReplicas(group);
      expect(away.complaints.some((complaint) => complaint.includes('an older one is looked for'))).toBe(true);
    });
  });

  it('takes no snapshot that no quorum has confirmed: a leader that has diverged may have written it', () => {
    const objects = sharedObjects();
    return newcomer(24, objects, async (group, { leader, away, archivedLsn }) => {
      leader.replica.machine.onApply = () => (leader.replica.machine.fillerEntries = 1);
      await appendMany(group, 1);
      leader.replica.machine.onApply = () => {};
      leader.replica.machine.fillerEntries = 0;
      await expect(leader.replica.snapshot()).rejects.toMatchObject({ reason: 'STATE_DIVERGED' });
      const [newest] = await leader.repository!.archive(leader.replica.partitionId).manifests();
      expect(newest!.lsn).toBeGreaterThan(archivedLsn);
      await leader.stop();
      await away.start();
      await changeMembers(group, [['add-learner', 4]]);
      await group.until(() => away.replica.status.trimPoint > 0);
      expect(away.replica.status.trimPoint).toBe(archivedLsn);
      await appendMany(group, 3);
      const sound = [2, 3, 4].map((id) => group.node(id)).filter((node) => node !== leader);
      const last = (await group.leader()).replica.status.appliedLsn;
      await group.until(() => sound.every(({ replica }) => replica.status.appliedLsn >= last));
      const [hash, ...others] = sound.map(({ replica }) => replica.status.stateHash);
      for (const other of others) expect(other).toEqual(hash);
    });
  });

  it.each(Array.from({ length: 60 }, (_, at) => at))(
    'and is killed, or loses power, at any moment of it goes on at the next start (%i)',
    (round) =>
      newcomer(100 + round, sharedObjects(), async (group, { leader, away }) => {
        await changeMembers(group, [['add-learner', 4]]);
        let left = 10 + round * 4;
        away.disk.intercept = () => {
          left -= 1;
          if (left === 0) away.crash(round % 2 === 0 ? 'power' : 'process');
          return undefined;
        };
        const started = away.start().catch(() => {});
        const isThere = (): boolean =>
          away.manager?.replicas[0]?.status.appliedLsn === leader.replica.status.appliedLsn;
        await group.until(() => left <= 0 || isThere());
        away.disk.intercept = () => undefined;
        if (left > 0) await started;
        else await away.start();
        await appendMany(group, 3);
        await expectEqualReplicas(group);
        await expectNothingLeft(away);
      }),
  );
});
