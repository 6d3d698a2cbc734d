import { describe, expect, it } from 'vitest';
import { asLsn, asReplicaId, asTerm } from '../../src/base/ids.js';
import type { Message, QuietOptions, RaftOptions } from '../../src/raft/index.js';
import { bytes, Host, settleAll } from './harness.js';

const electionTicks = 10;
const afterTicks = 3;

/** What hosts know of each other's nodes; replica n is on node n. */
class Nodes {
  readonly epochs = new Map([1, 2, 3].map((id) => [id, 100 + id]));
  readonly busy = new Set<number>();
  readonly silent = new Set<number>();

  optionsOf(id: number): { quiet: QuietOptions } {
    const epochOf = (replica: number): number | undefined =>
      this.silent.has(replica) ? undefined : this.epochs.get(replica);
    return {
      quiet: { afterTicks, epoch: () => this.epochs.get(id) ?? 0, epochOf, isIdle: () => !this.busy.has(id) },
    };
  }
}

function group(nodes: Nodes, voters = [1, 2, 3], options: Partial<RaftOptions> = {}): Host[] {
  const hosts = voters.map((id) => new Host(id, voters, { ...nodes.optionsOf(id), ...options, electionTicks }));
  hosts[0]!.core.campaign();
  settleAll(hosts);
  return hosts;
}

function tick(hosts: readonly Host[], times: number, lost?: (message: Message) => boolean): void {
  for (let left = times; left > 0; left -= 1) {
    for (const { core } of hosts) core.tick();
    settleAll(hosts, lost);
  }
}

const quietOf = (hosts: readonly Host[]): number[] =>
  hosts.filter(({ core }) => core.isQuiet).map(({ core }) => core.id);

function sentOf(hosts: readonly Host[], times: number): string[] {
  const sent: string[] = [];
  tick(hosts, times, (message) => {
    sent.push(message.type);
    return false;
  });
  return sent;
}

describe('a group in which nothing is to be done', () => {
  it('falls quiet after a while: no messages, no elections, however long it is', () => {
    const hosts = group(new Nodes());
    tick(hosts, afterTicks - 1);
    expect(quietOf(hosts)).toEqual([]);
    tick(hosts, 2);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
    expect(sentOf(hosts, 10 * electionTicks)).toEqual([]);
    expect(hosts.map(({ core }) => core.leader)).toEqual([1, 1, 1]);
  });

  it('is awake for a proposal, everywhere, and quiet again when that is done', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    expect(hosts[0]!.core.propose([bytes(3)])).toMatchObject({ ok: true, lastLsn: 2 });
    settleAll(hosts);
    expect(quietOf(hosts)).toEqual([]);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
    expect(hosts.map(({ core }) => core.applied)).toEqual([2, 2, 2]);
  });

  it('confirms a read by a round of heartbeats, at the leader and through a follower', () => {
    for (const reader of [0, 1]) {
      const hosts = group(new Nodes());
      tick(hosts, 10);
      expect(hosts[reader]!.core.readIndex(7)).toEqual({ ok: true });
      const taken = hosts[reader]!.takeAll();
      expect(taken.flatMap(({ confirmedReads }) => confirmedReads)).toEqual([]);
      const sent: string[] = [];
      for (const message of taken.flatMap(({ messages }) => messages)) hosts[message.to - 1]!.core.step(message);
      settleAll(hosts, ({ type }) => {
        sent.push(type);
        return false;
      });
      expect(hosts[reader]!.outputs.flatMap(({ confirmedReads }) => confirmedReads)).toEqual([{ lsn: 1, context: 7 }]);
      expect(sent).toContain('heartbeat-response');
      expect(hosts[0]!.core.isQuiet).toBe(false);
    }
  });

  it('does not confirm a read of a leader that another has taken the place of meanwhile', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    const [old, ...others] = hosts as [Host, Host, Host];
    for (const { core } of others) core.onSilence((replica) => replica === 1, electionTicks);
    tick(others, 3 * electionTicks);
    expect(others.some(({ core }) => core.role === 'leader')).toBe(true);
    expect(old.core.isQuiet).toBe(true);
    expect(old.core.readIndex(9)).toEqual({ ok: true });
    tick(hosts, 2 * electionTicks, ({ from, to }) => from === 1 || to === 1);
    expect(old.outputs.flatMap(({ confirmedReads }) => confirmedReads)).toEqual([]);
    expect(old.outputs.flatMap(({ droppedReads }) => droppedReads)).toEqual([9]);
  });

  it('is quiet alone in its group, too', () => {
    const hosts = group(new Nodes(), [1]);
    tick(hosts, afterTicks + 1);
    expect(quietOf(hosts)).toEqual([1]);
    expect(hosts[0]!.core.propose([bytes(1)])).toMatchObject({ ok: true });
    expect(quietOf(hosts)).toEqual([]);
  });
});

describe('a group stays awake', () => {
  const lost = (message: Message): boolean => message.to === 3 && message.type === 'append';

  it('while a follower lags', () => {
    const hosts = group(new Nodes());
    hosts[0]!.core.propose([bytes(3)]);
    settleAll(hosts, lost);
    tick(hosts, 3 * electionTicks, lost);
    expect(hosts[0]!.core.commit).toBe(2);
    expect(quietOf(hosts)).toEqual([]);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });

  it('falls quiet although a follower lags, with that bug', () => {
    const hosts = group(new Nodes(), [1, 2, 3], { mutant: 'quiet-although-a-follower-lags' });
    hosts[0]!.core.propose([bytes(3)]);
    const isOfThird = ({ from, to }: Message): boolean => from === 3 || to === 3;
    settleAll(hosts, isOfThird);
    tick(hosts, 6, isOfThird);
    expect(quietOf(hosts)).toEqual([1, 2]);
    expect(hosts[2]!.core.lastLsn).toBe(1);
  });

  it('while a node is silent, a host has something to do, or the epoch is another than the one heard', () => {
    const nodes = new Nodes();
    const hosts = group(nodes);
    nodes.silent.add(3);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([]);
    nodes.silent.clear();
    nodes.busy.add(1);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([]);
    nodes.busy.delete(1);
    nodes.busy.add(2);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([3]);
    nodes.busy.delete(2);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });

  it('with leases, which count ticks; and where the host says nothing of nodes', () => {
    const leased = group(new Nodes(), [1, 2, 3], { readMode: 'lease' });
    tick(leased, 3 * electionTicks);
    expect(quietOf(leased)).toEqual([]);
    const hosts = [1, 2, 3].map((id) => new Host(id, [1, 2, 3]));
    hosts[0]!.core.campaign();
    settleAll(hosts);
    tick(hosts, 3 * electionTicks);
    expect(quietOf(hosts)).toEqual([]);
  });

  it('after a quiet word that has become old: the node has given another epoch since', () => {
    const nodes = new Nodes();
    const hosts = group(nodes);
    hosts[1]!.core.step({
      type: 'quiet',
      from: asReplicaId(1),
      to: asReplicaId(2),
      term: asTerm(1),
      commit: asLsn(1),
      round: 1,
      epoch: 99,
    });
    expect(quietOf(hosts)).toEqual([]);
    expect(hosts[1]!.settle().map(({ type }) => type)).toEqual(['heartbeat-response']);
  });
});

describe('when a node is heard no more', () => {
  it('the followers of its leader elect another, no later than without quiet groups', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    const others = hosts.slice(1);
    for (const { core } of others) core.onSilence((replica) => replica === 1, 8);
    expect(quietOf(others)).toEqual([]);
    // The longest randomized timeout, less what has passed; and one round for a vote that was split.
    tick(others, 2 * electionTicks - 8);
    expect(others.map(({ core }) => core.role).toSorted()).toEqual(['follower', 'leader']);
  });

  it('followers sleep on, with that bug', () => {
    const hosts = group(new Nodes(), [1, 2, 3], { mutant: 'quiet-under-a-dead-leader' });
    tick(hosts, 10);
    for (const { core } of hosts.slice(1)) core.onSilence((replica) => replica === 1, 8);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });

  it('a quiet leader wakes and steps down without a quorum', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    const [leader] = hosts as [Host];
    leader.core.onSilence((replica) => replica === 9, 8);
    expect(leader.core.isQuiet).toBe(true);
    leader.core.onSilence((replica) => replica !== 1, 8);
    tick([leader], 2 * electionTicks);
    expect(leader.core.role).not.toBe('leader');
  });

  it('a follower that takes its leader for silent wakes it, until it hears of it', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    const [leader, second, third] = hosts as [Host, Host, Host];
    second.core.onSilence((replica) => replica === 1, 5);
    second.settle();
    expect(leader.core.isQuiet).toBe(true);
    tick(hosts, 3);
    expect([leader, second, third].map(({ core }) => core.role)).toEqual(['leader', 'follower', 'follower']);
    expect(hosts.map(({ core }) => core.term)).toEqual([1, 1, 1]);
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });

  it('a quiet follower does not vote for another than one that has just heard its leader would', () => {
    const hosts = group(new Nodes());
    tick(hosts, 10);
    const [, second] = hosts as [Host, Host];
    second.core.step({
      type: 'vote',
      from: asReplicaId(3),
      to: asReplicaId(2),
      term: asTerm(5),
      lastLsn: asLsn(9),
      lastTerm: asTerm(4),
      leadershipTransfer: false,
    });
    expect(second.core.isQuiet).toBe(false);
    expect(second.core.term).toBe(1);
    expect(second.settle().map(({ type }) => type)).toEqual([]);
  });

  it('says that it could ask nobody for a vote: one with a bad disk, or one that does not vote any more', () => {
    const [, second] = group(new Nodes()) as [Host, Host];
    second.core.onStorageFault('hang');
    const muteAt: number[] = [];
    for (let at = 1; at <= 2 * electionTicks; at += 1) {
      second.core.tick();
      if (second.core.isMute) muteAt.push(at);
    }
    expect(muteAt).toHaveLength(1);
    const asking = group(new Nodes())[1] as Host;
    for (let at = 1; at <= 2 * electionTicks; at += 1) {
      asking.core.tick();
      expect(asking.core.isMute).toBe(false);
    }
    expect(asking.core.role).toBe('candidate');
  });
});

describe('where not everybody hears everybody', () => {
  const between = (one: number, other: number) => (message: Message) =>
    (message.from === one && message.to === other) || (message.from === other && message.to === one);

  it('a follower that does not hear the new leader does not sleep on under the one that has handed over', () => {
    const nodes = new Nodes();
    const hosts = group(nodes, [1, 2, 3], { preVote: true });
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
    const cut = between(2, 3);
    // What the host of 3 sees of node 2; both hear node 1.
    hosts[2]!.core.onSilence((replica) => replica === 2, electionTicks - 2);
    hosts[0]!.core.transferLeader(asReplicaId(2));
    settleAll(hosts, cut);
    tick(hosts, 10 * electionTicks, cut);
    expect(hosts[1]!.core.role).toBe('leader');
    expect(hosts[2]!.core.isQuiet).toBe(false);
    expect(hosts[2]!.core.leader).toBe(0);
  });

  it('nobody falls quiet while one member does not hear the node of another one', () => {
    const nodes = new Nodes();
    // Host 3 sees what it sees by itself: the leader hears everybody.
    const seenBy3 = new Nodes();
    seenBy3.silent.add(2);
    const hosts = [1, 2, 3].map(
      (id) => new Host(id, [1, 2, 3], { ...(id === 3 ? seenBy3 : nodes).optionsOf(id), electionTicks }),
    );
    hosts[0]!.core.campaign();
    settleAll(hosts);
    tick(hosts, 10);
    expect(hosts[2]!.core.isQuiet).toBe(false);
    expect(hosts[0]!.core.isQuiet).toBe(false);
    seenBy3.silent.clear();
    tick(hosts, 10);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });
});

describe('the newest answer of a member decides', () => {
  it('one that is busy again keeps the leader from falling quiet without it', () => {
    const nodes = new Nodes();
    const hosts = group(nodes, [1, 2, 3], { preVote: true });
    nodes.busy.add(3);
    tick(hosts, 6);
    expect(quietOf(hosts)).toEqual([2]);
    nodes.busy.add(2);
    tick(hosts, 2);
    nodes.busy.delete(3);
    tick(hosts, 3);
    expect(hosts[0]!.core.isQuiet).toBe(false);
    expect(hosts[1]!.core.isQuiet).toBe(false);
    nodes.busy.delete(2);
    tick(hosts, 3);
    expect(quietOf(hosts)).toEqual([1, 2, 3]);
  });

  it('answers that take longer than from one heartbeat to the next do not wake the leader again', () => {
    const hosts = group(new Nodes());
    let underWay: { readonly at: number; readonly message: Message }[] = [];
    let quietTicks = 0;
    for (let at = 0; at < 200; at += 1) {
      for (const { core } of hosts) core.tick();
      const sent = (): Message[] => hosts.flatMap((host) => host.settle());
      underWay.push(...sent().map((message) => ({ at: at + 1, message })));
      const due = underWay.filter((each) => each.at <= at);
      underWay = underWay.filter((each) => each.at > at);
      for (const { message } of due) hosts[message.to - 1]!.core.step(message);
      underWay.push(...sent().map((message) => ({ at: at + 1, message })));
      if (hosts[0]!.core.isQuiet) quietTicks += 1;
    }
    expect(quietTicks).toBeGreaterThan(150);
  });
});
