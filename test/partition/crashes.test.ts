/** Power losses and kills at random moments: what was acknowledged is there, once and in order; the rest may be. */
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { LogboomError } from '../../src/base/errors.js';
import { textsOf } from './support/list-machine.js';
import { TestGroup, type TestNode } from './support/nodes.js';

/** Keeps appending numbered texts, never the same twice; remembers what was acknowledged, and at which place. */
class Appender {
  readonly acknowledged: { readonly text: string; readonly place: number }[] = [];
  readonly #group: TestGroup;
  #next = 0;
  #stopped = false;

  constructor(group: TestGroup) {
    this.#group = group;
  }

  run(pauseMs: number): void {
    const loop = async (): Promise<void> => {
      while (!this.#stopped) {
        await this.#group.world.sleep(pauseMs);
        const node = this.#group.nodes.find(({ manager }) => manager?.replicas[0]?.isLeader);
        if (node === undefined) continue;
        const text = `x${this.#next}`;
        this.#next += 1;
        this.#group.propose(node, text).then(
          (place) => this.acknowledged.push({ text, place }),
          (error: unknown) => {
            if (!(error instanceof LogboomError)) throw error;
          },
        );
      }
    };
    void loop();
  }

  stop(): void {
    this.#stopped = true;
  }

  check(texts: readonly string[]): void {
    expect(new Set(texts).size).toBe(texts.length);
    for (const { text, place } of this.acknowledged) expect(texts[place - 1]).toBe(text);
  }
}

async function readBack(group: TestGroup, node: TestNode): Promise<string[]> {
  await node.replica.awaitLinearizable();
  return textsOf(node.replica.reader);
}

describe('one node', () => {
  it.each(Array.from({ length: 25 }, (_, at) => at + 1))(
    'keeps what it acknowledged over crashes (seed %i)',
    (seed) => {
      const group = new TestGroup(seed, 1, { manager: { flush: { ageMs: 60 }, walTargetBytes: 128 << 10 } });
      const node = group.node(1);
      const random = new RandomStream(seed, 'crashes');
      return group.run(async () => {
        const appender = new Appender(group);
        appender.run(1);
        for (let crashes = 0; crashes < 8; crashes += 1) {
          // Also in the middle of the start.
          void node.start().catch(() => {});
          await group.world.sleep(random.chance(0.2) ? random.between(0, 20) : random.between(20, 400));
          node.crash(random.chance(0.7) ? 'power' : 'process');
        }
        await node.start();
        await group.world.sleep(100);
        appender.stop();
        await group.world.sleep(100);
        await group.until(() => node.replica.status.appliedLsn === node.replica.status.commitLsn);
        const texts = await readBack(group, node);
        expect(appender.acknowledged.length).toBeGreaterThan(50);
        appender.check(texts);
        await node.stop();
        await node.start();
        expect(await readBack(group, node)).toEqual(texts);
      });
    },
  );
});

describe('a group of three', () => {
  it.each(Array.from({ length: 15 }, (_, at) => at + 1))('survives lost leaders and restarts (seed %i)', (seed) => {
    const random = new RandomStream(seed, 'crashes');
    const group = new TestGroup(seed, 3, { manager: { flush: { ageMs: 200 } } });
    group.travel = () => (random.chance(0.02) ? undefined : random.between(0.5, 5));
    return group.run(async () => {
      await group.startAll();
      const appender = new Appender(group);
      appender.run(3);
      for (let crashes = 0; crashes < 5; crashes += 1) {
        const leader = await group.leader();
        await group.world.sleep(random.between(50, 600));
        const victims = random.chance(0.3) ? group.nodes : [random.chance(0.7) ? leader : random.pick(group.nodes)];
        for (const victim of victims) victim.crash(random.chance(0.6) ? 'power' : 'process');
        if (victims.length === 1 && random.chance(0.5)) await group.leader();
        for (const victim of victims) await victim.start();
      }
      await group.leader();
      await group.world.sleep(500);
      appender.stop();
      group.travel = () => 1;
      const lsnOf = (node: TestNode): number => node.replica.status.appliedLsn;
      await group.world.sleep(3000);
      const leader = await group.leader();
      await group.until(() => group.nodes.every((node) => lsnOf(node) === leader.replica.raftStatus.lastLsn));
      const texts = await readBack(group, leader);
      expect(appender.acknowledged.length).toBeGreaterThan(50);
      appender.check(texts);
      for (const node of group.nodes) {
        expect(await readBack(group, node)).toEqual(texts);
        expect(node.replica.status).toMatchObject({ fault: undefined, stateHash: leader.replica.status.stateHash });
      }
      for (const node of group.nodes) await node.stop();
    });
  });

  it('acknowledges nothing without a quorum, and says so when leadership is lost', () => {
    const group = new TestGroup(3, 3);
    return group.run(async () => {
      await group.startAll();
      const leader = await group.leader();
      await group.propose(leader, 'a');
      group.travel = () => undefined;
      await expect(group.propose(leader, 'b')).rejects.toMatchObject({
        reason: 'LEADERSHIP_LOST',
        facts: { outcome: 'unknown' },
      });
      expect(leader.replica.isLeader).toBe(false);
      await expect(group.propose(leader, 'c')).rejects.toMatchObject({ reason: 'NOT_LEADER' });
      expect(await textsOf(leader.replica.reader)).toEqual(['a']);
      group.travel = () => 1;
      const next = await group.leader();
      await group.propose(next, 'd');
      const texts = await readBack(group, next);
      expect(texts.filter((text) => text !== 'b')).toEqual(['a', 'd']);
    });
  });

  it('applies nothing on a replica whose own log does not hold it synced, however committed it is', () => {
    const group = new TestGroup(5, 3);
    return group.run(async () => {
      await group.startAll();
      const leader = await group.leader();
      await group.propose(leader, 'a');
      const follower = group.nodes.find((node) => node !== leader)!;
      await group.until(() => follower.replica.status.appliedLsn === leader.replica.status.appliedLsn);
      follower.disk.intercept = ({ kind, path }) =>
        kind === 'datasync' && path.includes('/wal/') ? { kind: 'delay', delayMs: 300 } : undefined;
      const { appliedLsn } = follower.replica.status;
      await group.propose(leader, 'b');
      await group.world.sleep(150);
      expect(leader.replica.status.commitLsn).toBeGreaterThan(appliedLsn);
      expect(follower.replica.status).toMatchObject({ appliedLsn, commitLsn: appliedLsn, durableLsn: appliedLsn });
      await group.until(() => follower.replica.status.appliedLsn > appliedLsn);
    });
  });

  it('gives its votes, and says that it holds entries, only when its log has synced them', () => {
    const group = new TestGroup(6, 3);
    const syncMs = 400;
    return group.run(async () => {
      await group.startAll();
      const leader = await group.leader();
      await group.propose(leader, 'a');
      const [voter, other] = group.nodes.filter((node) => node !== leader);
      leader.crash('power');
      let askedMs = Number.POSITIVE_INFINITY;
      let grantedMs: number | undefined;
      group.travel = (message, from) => {
        if (message.type === 'vote' && message.to === voter!.id) askedMs = Math.min(askedMs, group.world.nowMs);
        if (message.type === 'vote-response' && from === voter!.id && !message.rejected) {
          grantedMs ??= group.world.nowMs;
        }
        // Only the other one campaigns.
        return from === voter!.id && message.type === 'pre-vote' ? undefined : 1;
      };
      voter!.disk.intercept = ({ kind, path }) =>
        kind === 'datasync' && path.includes('/wal/') ? { kind: 'delay', delayMs: syncMs } : undefined;
      await group.until(() => other!.replica.isLeader);
      expect(grantedMs! - askedMs).toBeGreaterThanOrEqual(syncMs);
      const startedMs = group.world.nowMs;
      await group.propose(other!, 'b');
      expect(group.world.nowMs - startedMs).toBeGreaterThanOrEqual(syncMs);
    });
  });
});
