/** Replicas that have nothing but another replica to begin from: what it streams, and everything that goes wrong with it. */
import { describe, expect, it } from 'vitest';
import { databaseNameFile } from '../../cluster-sim/nodes/node-stores.js';
import { expandRuns } from '../../cluster-sim/nodes/simulated-compressor.js';
import { asLsn, asReplicaId } from '../../src/base/ids.js';
import {
  decodeOpenAnswer,
  decodePeerRequest,
  encodePeerRequest,
  type OpenAnswer,
  type PeerRequest,
} from '../../src/partition/peer-messages.js';
import {
  appendMany,
  archived,
  changeMembers,
  expectEqualReplicas,
  expectNothingLeft,
  newcomer,
} from './support/archived-groups.js';
import { sharedObjects, type TestGroup, type TestNode } from './support/nodes.js';

const withoutRepository = { ...archived(undefined), voters: [1, 2, 3] };

interface Parts {
  readonly leader: TestNode;
  readonly away: TestNode;
  readonly archivedLsn: number;
}

/** The new node has no repository, and its group has trimmed what it needs. */
function alone(seed: number, body: (group: TestGroup, parts: Parts) => Promise<void>): Promise<void> {
  return newcomer(seed, sharedObjects(), async (group, parts) => {
    parts.away.options = withoutRepository;
    await body(group, parts);
  });
}

const joins = async (group: TestGroup, away: TestNode): Promise<void> => {
  await away.start();
  await changeMembers(group, [['add-learner', 4]]);
};

const problemOf = (group: TestGroup, away: TestNode): Promise<string> =>
  group.until(() => (away.replica.status.bootstrap?.problem ?? '') || undefined);

/** Requests of a kind, as they are made. */
function watch(group: TestGroup, type: PeerRequest['type']): { count: number } {
  const seen = { count: 0 };
  const before = group.onAsk;
  group.onAsk = (asked) => {
    if (decodePeerRequest(asked.request).type === type) seen.count += 1;
    return before(asked);
  };
  return seen;
}

describe('a replica without a repository', () => {
  it('gets the state of the leader, which lets go of it then, and follows the log', () =>
    alone(1, async (group, { leader, away, archivedLsn }) => {
      const chunks = watch(group, 'chunk');
      await joins(group, away);
      await expectEqualReplicas(group);
      // Not the archived one: the state as it is now.
      expect(away.replica.status.trimPoint).toBeGreaterThan(archivedLsn);
      expect(chunks.count).toBeGreaterThan(4);
      expect(away.replica.status.bootstrap).toBeUndefined();
      await expectNothingLeft(away);
      await changeMembers(group, [['add-voter', 4]]);
      await appendMany(group, 3);
      await expectEqualReplicas(group);
      const id = 'f'.repeat(64);
      const request = encodePeerRequest({ type: 'manifest', id, offset: 0 });
      await expect(leader.answer(1, request)).rejects.toMatchObject({ reason: 'SNAPSHOT_NOT_FOUND' });
    }));

  it('shows whose state it fetches, and how far it is', () =>
    alone(2, async (group, { leader, away }) => {
      const seen: string[] = [];
      group.onAsk = ({ request }) => {
        const status = away.manager?.replicas[0]?.status.bootstrap;
        const { type } = decodePeerRequest(request);
        if (status)
          seen.push(`${type} ${status.fromReplica} ${status.isPreparing} ${status.snapshotLsn !== undefined}`);
        return (answer) => answer;
      };
      await joins(group, away);
      await expectEqualReplicas(group);
      expect(seen[0]).toBe(`open ${leader.id} true false`);
      expect(seen).toContain(`chunk ${leader.id} false true`);
    }));

  it('says what is missing where no leader is reached either, and begins as soon as one is', () =>
    alone(3, async (group, { leader, away }) => {
      group.onAsk = () => 'lose';
      await joins(group, away);
      const problem = await problemOf(group, away);
      expect(problem).toContain('no snapshot repository is configured: set snapshots.repository on every node');
      expect(problem).toContain(`from replica ${leader.id}, which leads the group: no link to node ${leader.id}`);
      await group.world.sleep(20_000);
      expect(away.replica.status.appliedLsn).toBe(0);
      group.onAsk = () => (answer) => answer;
      await expectEqualReplicas(group);
    }));

  it('gets it from a group that can commit nothing without it', () =>
    alone(4, async (group, { leader, away }) => {
      // A majority of the new voters, 4 and the leader, takes both.
      const others = [1, 2, 3].filter((id) => id !== leader.id);
      leader.replica.proposeConfChange({
        transition: 'auto',
        steps: [
          { type: 'add-voter', replica: asReplicaId(4) },
          ...others.map((id) => ({ type: 'remove' as const, replica: asReplicaId(id) })),
        ],
        context: new Uint8Array(0),
      });
      await group.until(() => leader.replica.confState.votersOutgoing.length > 0);
      await away.start();
      await group.until(() => leader.replica.confState.votersOutgoing.length === 0);
      await appendMany(group, 3);
      await group.until(() => away.replica.status.appliedLsn === leader.replica.status.appliedLsn);
      expect(away.replica.status.stateHash).toEqual(leader.replica.status.stateHash);
    }));
});

describe('a replica with a repository', () => {
  it('asks the leader when all that is there is damaged', () => {
    const objects = sharedObjects();
    return newcomer(10, objects, async (group, { away }) => {
      for (const [name, object] of objects.objects) {
        if (name.includes('/chunks/'))
          objects.objects.set(name, { ...object, bytes: object.bytes.map((byte) => byte ^ 1) });
      }
      const opened = watch(group, 'open');
      await joins(group, away);
      await expectEqualReplicas(group);
      expect(opened.count).toBeGreaterThan(0);
      await expectNothingLeft(away);
    });
  });

  it('leaves the leader alone while the repository has what it needs', () =>
    newcomer(11, sharedObjects(), async (group, { away }) => {
      await joins(group, away);
      await expectEqualReplicas(group);
      expect(group.asked).toBe(0);
    }));

  it('waits a little for one that does not answer, and asks the leader then', () => {
    const objects = sharedObjects();
    return newcomer(12, objects, async (group, { away }) => {
      away.options = {
        ...withoutRepository,
        objects: { ...objects, description: 'away', get: () => Promise.reject(new Error('gone')) } as never,
      };
      const opened = watch(group, 'open');
      await joins(group, away);
      await problemOf(group, away);
      expect(opened.count).toBe(0);
      await expectEqualReplicas(group);
      expect(opened.count).toBeGreaterThan(0);
    });
  });
});

const whatIsWrong = {
  open: /which leads the group: partition 1 offers no snapshot \S{64}, or not any more$/,
  manifest: /which leads the group: the manifest that replica \d of partition 1 sends \w/,
  chunk: /which leads the group: chunk \S+ that replica \d of partition 1 sends is damaged/,
};

describe('what is streamed', () => {
  it.each(['chunk', 'manifest', 'open'] as const)('and is damaged on its way (%s) is not imported', (type) =>
    alone(20, async (group, { away }) => {
      let damaged = 0;
      group.onAsk = ({ request }) => {
        const isHit = decodePeerRequest(request).type === type && damaged < 3;
        if (isHit) damaged += 1;
        return (answer) => (isHit ? answer.with(answer.length >> 1, (answer[answer.length >> 1] ?? 0) ^ 0x10) : answer);
      };
      await joins(group, away);
      const problem = await problemOf(group, away);
      expect(problem).toMatch(whatIsWrong[type]);
      expect(away.replica.status.appliedLsn).toBe(0);
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }),
  );

  it('and has other records in it, in as many bytes, is not imported', () =>
    alone(28, async (group, { away }) => {
      let damaged = 0;
      group.onAsk =
        ({ request }) =>
        (answer) => {
          const isRecords = decodePeerRequest(request).type === 'chunk' && expandRuns(answer, 1 << 20)[5] === 1;
          if (!isRecords || damaged === 3) return answer;
          damaged += 1;
          // The byte of the last run: the end of the last value.
          return answer.with(answer.length - 1, (answer.at(-1) ?? 0) ^ 1);
        };
      await joins(group, away);
      expect(await problemOf(group, away)).toMatch(/sends is damaged: it has \d+ bytes of content with SHA-256/);
      await expectEqualReplicas(group);
      expect(damaged).toBe(3);
    }));

  it('goes on over a connection that breaks again and again, and nothing of it is fetched twice', () =>
    alone(21, async (group, { away }) => {
      const fetched = new Map<string, number>();
      let at = 0;
      group.onAsk = ({ request }) => {
        at += 1;
        if (at % 2 === 0) return 'lose';
        const decoded = decodePeerRequest(request);
        if (decoded.type === 'chunk') fetched.set(decoded.name, (fetched.get(decoded.name) ?? 0) + 1);
        return (answer) => answer;
      };
      await joins(group, away);
      await expectEqualReplicas(group);
      expect(fetched.size).toBeGreaterThan(4);
      expect([...fetched.values()].every((times) => times === 1)).toBe(true);
    }));

  it('goes on where it was when the replica that fetches it is killed', () =>
    alone(22, async (group, { away }) => {
      const chunks = watch(group, 'chunk');
      await joins(group, away);
      await group.until(() => chunks.count >= 14);
      away.crash('process');
      const before = chunks.count;
      await away.start();
      await expectEqualReplicas(group);
      const after = chunks.count - before;
      // Chunks of 4 KiB, and a checkpoint every 8.
      expect(after).toBeLessThan(before);
      await expectNothingLeft(away);
    }));

  it('is streamed by another replica when the one that began with it dies', () =>
    alone(23, async (group, { leader, away }) => {
      const chunks = watch(group, 'chunk');
      await joins(group, away);
      await group.until(() => chunks.count >= 3);
      leader.crash('power');
      await group.until(() => group.nodes.find(({ manager }) => manager?.replicas[0]?.isLeader));
      await group.until(() => away.replica.status.appliedLsn > 0);
      await leader.start();
      await expectEqualReplicas(group);
      await expectNothingLeft(away);
    }));

  it('is gone on with by the replica that began with it when another one leads by then', () =>
    alone(24, async (group, { leader, away }) => {
      const chunks = watch(group, 'chunk');
      const asked = new Set<number>();
      const before = group.onAsk;
      group.onAsk = (ask) => {
        asked.add(ask.to);
        return before(ask);
      };
      await joins(group, away);
      await group.until(() => chunks.count >= 3);
      const other = group.nodes.find((node) => node !== leader && node !== away)!;
      leader.replica.transferLeader(asReplicaId(other.id));
      await group.until(() => other.replica.isLeader);
      await appendMany(group, 3);
      await expectEqualReplicas(group);
      expect([...asked]).toEqual([leader.id]);
    }));

  it('waits for room on the disk, and says how much', () =>
    alone(25, async (group, { away }) => {
      await away.start();
      away.disk.capacityBytes = away.disk.usedBytes + 20_000;
      await changeMembers(group, [['add-learner', 4]]);
      const problem = await problemOf(group, away);
      expect(problem).toMatch(/^restoring the snapshot of LSN \d+ into .* takes \d+ bytes, \d+ are free$/);
      await group.world.sleep(20_000);
      expect(away.replica.status.appliedLsn).toBe(0);
      away.disk.capacityBytes = Number.POSITIVE_INFINITY;
      await expectEqualReplicas(group);
    }));

  it('is let go of when nobody asks for it any more', () =>
    alone(26, async (group, { leader, away }) => {
      const offered = async (): Promise<OpenAnswer> =>
        decodeOpenAnswer(await leader.answer(1, encodePeerRequest({ type: 'open', minLsn: asLsn(1) })));
      const ready = async (): Promise<string> => {
        for (;;) {
          const offer = await offered();
          if (offer.type === 'ready') return offer.id;
          await group.world.sleep(100);
        }
      };
      const id = await ready();
      const manifest = encodePeerRequest({ type: 'manifest', id, offset: 0 });
      for (let at = 0; at < 3; at += 1) {
        await group.world.sleep(60_000);
        expect((await leader.answer(1, manifest)).length).toBeGreaterThan(100);
      }
      expect(await ready()).toBe(id);
      await group.world.sleep(310_000);
      await expect(leader.answer(1, manifest)).rejects.toMatchObject({ reason: 'SNAPSHOT_NOT_FOUND' });
      // What nobody waits for any more is not prepared either.
      expect((await offered()).type).toBe('preparing');
      await leader.stop();
      expect(away.manager).toBeUndefined();
    }));

  it('is not that of a leader whose state is not that of the majority', () =>
    alone(27, async (group, { leader, away }) => {
      leader.replica.machine.onApply = () => (leader.replica.machine.fillerEntries = 1);
      await appendMany(group, 1);
      leader.replica.machine.onApply = () => {};
      leader.replica.machine.fillerEntries = 0;
      await joins(group, away);
      await group.until(() => leader.replica.stopped);
      expect(leader.replica.status.fault).toContain('is not that of the majority');
      await leader.stop().catch(() => {});
      await group.until(() => away.replica.status.appliedLsn > 0);
      const sound = group.nodes.filter((node) => node !== leader);
      const last = (await group.leader()).replica.status.appliedLsn;
      await group.until(() => sound.every(({ replica }) => replica.status.appliedLsn >= last));
      expect(new Set(sound.map(({ replica }) => JSON.stringify(replica.status.stateHash))).size).toBe(1);
    }));

  it('is not that of a leader whose store is damaged, and is that of the next one', () =>
    alone(29, async (group, { leader, away }) => {
      await leader.replica.flush();
      const directory = '/data/partitions/1/records';
      const database = new TextDecoder().decode(leader.disk.contents(`${directory}/${databaseNameFile}`));
      expect(leader.stores.rot(database)).toBeDefined();
      await joins(group, away);
      expect(await problemOf(group, away)).toContain(`from replica ${leader.id}, which leads the group: `);
      await group.world.sleep(10_000);
      expect(away.replica.status.bootstrap?.problem).toMatch(/damaged|checksum/);
      expect(away.replica.status.appliedLsn).toBe(0);
      const other = group.nodes.find((node) => node !== leader && node !== away)!;
      leader.replica.transferLeader(asReplicaId(other.id));
      await group.until(() => other.replica.isLeader);
      await group.until(() => away.replica.status.appliedLsn === other.replica.status.appliedLsn);
      expect(away.replica.status.stateHash).toEqual(other.replica.status.stateHash);
      expect((await away.replica.verify()).damaged).toEqual([]);
    }));

  it.each(Array.from({ length: 40 }, (_, at) => at))(
    'goes on at the next start of a replica that is killed, or loses power, at any moment of it (%i)',
    (round) =>
      alone(100 + round, async (group, { leader, away }) => {
        await changeMembers(group, [['add-learner', 4]]);
        let left = 10 + round * 5;
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

describe('a replica that is asked', () => {
  it('refuses what it does not know, and leads to the leader', () =>
    alone(40, async (group, { leader }) => {
      const follower = group.nodes.find((node) => node !== leader && node.manager !== undefined)!;
      const open = encodePeerRequest({ type: 'open', minLsn: asLsn(1) });
      await expect(follower.answer(1, open)).rejects.toMatchObject({ reason: 'NOT_LEADER' });
      await expect(leader.answer(1, Uint8Array.of(1, 9))).rejects.toMatchObject({ reason: 'DATA_CORRUPT' });
      await expect(leader.answer(1, Uint8Array.of(2))).rejects.toMatchObject({ reason: 'DATA_CORRUPT' });
      await expect(leader.answer(7, open)).rejects.toMatchObject({ reason: 'PARTITION_NOT_FOUND' });
      const chunk = encodePeerRequest({ type: 'chunk', id: 'f'.repeat(64), name: 'x' });
      await expect(leader.answer(1, chunk)).rejects.toMatchObject({ reason: 'SNAPSHOT_NOT_FOUND' });
    }));
});
