import { describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { asLsn, asReplicaId, asTerm, noReplica } from '../../src/base/ids.js';
import { encodeConfChange, EntryKind, type Message } from '../../src/raft/index.js';
import { ScenarioLog } from '../scenarios/scenario-log.js';
import { bytes, Host, ids, ledGroup, settleAll, votersConf } from './harness.js';

const kinds = (messages: readonly Message[]): string[] => messages.map((message) => `${message.type}>${message.to}`);

describe('a single voter', () => {
  it('votes, leads and commits through the same path as a group, one sync each', () => {
    const { core, ...host } = new Host(1, [1]);
    core.campaign();
    const vote = core.takeOutput()!;
    expect(vote.persist).toMatchObject({ mustSync: true, hardState: { term: 1, vote: 1 }, entries: [] });
    expect(core.role).toBe('candidate');
    core.onWalDurable(vote.persist!.token);
    expect(core.role).toBe('leader');

    const first = core.takeOutput()!;
    expect(first.persist?.entries).toHaveLength(1);
    expect(first.appliable).toBeUndefined();
    host.log.append(first.persist!.entries);
    core.onWalDurable(first.persist!.token);
    const commit = core.takeOutput()!;
    expect(commit.appliable).toBe(1);
    expect(commit.persist).toMatchObject({ mustSync: false, hardState: { commit: 1 } });
    core.onApplied(asLsn(1));
    expect(core.hasOutput).toBe(false);
  });

  it('does not serve a read before its first commit: what was acknowledged before a restart may be above its commit', () => {
    const host = new Host(1, [1]);
    host.core.campaign();
    host.core.onWalDurable(host.take()!.persist!.token);
    expect(host.core.readIndex(7)).toEqual({ ok: true });
    expect(host.takeAll().flatMap((output) => output.confirmedReads)).toEqual([]);
    host.core.onWalDurable(host.lastToken);
    expect(host.takeAll().flatMap((output) => output.confirmedReads)).toEqual([{ lsn: 1, context: 7 }]);
  });
});

describe('durability', () => {
  it('lets appends leave before the own sync, and counts the own copy only after it', () => {
    const [leader, second] = ledGroup();
    const proposed = leader.core.propose([bytes(4)]);
    expect(proposed).toMatchObject({ ok: true, firstLsn: 2, lastLsn: 2 });
    const output = leader.take()!;
    expect(kinds(output.messages)).toEqual(['append>2', 'append>3']);
    second.core.step(output.messages[0]!);
    for (const answer of second.settle()) leader.core.step(answer);
    expect(leader.core.commit).toBe(1);
    leader.core.onWalDurable(output.persist!.token);
    expect(leader.core.commit).toBe(2);
  });

  it('an append that brings only a commit LSN is not answered again, unless the answer before it was lost', () => {
    const [leader, second, third] = ledGroup();
    leader.core.propose([bytes(4)]);
    const appends = leader.settle();
    for (const append of appends) [second, third].find(({ core }) => core.id === append.to)?.core.step(append);
    for (const answer of second.settle()) leader.core.step(answer);
    // The answer of the third is lost; both learn the commit LSN that the second's brought about.
    third.settle();
    const commits = leader.settle();
    expect(commits).toMatchObject([
      { type: 'append', to: 2, entries: [], commit: 2 },
      { type: 'append', to: 3, entries: [], commit: 2 },
    ]);
    second.core.step(commits[0]!);
    third.core.step(commits[1]!);
    expect([second.core.commit, third.core.commit]).toEqual([2, 2]);
    expect([...second.settle(), ...third.settle()]).toEqual([]);
    // Repeated, it moves nothing any more, and is answered.
    second.core.step(commits[0]!);
    expect(second.settle()).toMatchObject([{ type: 'append-response', lsn: 2, rejected: false }]);
    // The next heartbeat finds out what the leader does not know of the third.
    const matchOfThird = (): number => leader.core.status().progress.find(({ replica }) => replica === 3)?.match ?? 0;
    expect(matchOfThird()).toBe(1);
    leader.core.tick();
    settleAll([leader, second, third]);
    expect(matchOfThird()).toBe(2);
  });

  it('holds a vote back until it is synced, and promises of one output until the last sync they rest on', () => {
    const host = new Host(2, [1, 2, 3]);
    const request: Message = {
      type: 'vote',
      from: asReplicaId(1),
      to: asReplicaId(2),
      term: asTerm(1),
      lastLsn: asLsn(0),
      lastTerm: asTerm(0),
      leadershipTransfer: false,
    };
    host.core.step(request);
    const output = host.take()!;
    expect(output.messages).toEqual([]);
    expect(kinds(output.messagesAfterDurable)).toEqual(['vote-response>1']);
    expect(output.durableAfter).toBe(output.persist!.token);
    // Asked again: nothing new to write, but the promise still rests on the first write.
    host.core.step(request);
    expect(host.take()).toMatchObject({ persist: undefined, durableAfter: output.persist!.token });
  });

  it('does not apply what is committed but not synced here', () => {
    const [leader, second] = ledGroup();
    leader.core.propose([bytes(4)]);
    const [append] = leader.settle();
    second.core.step(append!);
    second.core.step({
      ...(append as Message & { type: 'append' }),
      previousLsn: asLsn(2),
      entries: [],
      commit: asLsn(2),
    });
    const output = second.take()!;
    expect(second.core.commit).toBe(2);
    expect(output.appliable).toBeUndefined();
    expect(() => second.core.onApplied(asLsn(2))).toThrow(InvariantViolation);
    second.core.onWalDurable(output.persist!.token);
    expect(second.take()?.appliable).toBe(2);
  });

  it('starts with the higher of the stored commit and the applied LSN', () => {
    const log = new ScenarioLog();
    for (const lsn of [1, 2, 3])
      log.append([{ term: asTerm(1), lsn: asLsn(lsn), kind: EntryKind.normal, data: bytes(1) }]);
    const hardState = { term: asTerm(1), vote: noReplica, commit: asLsn(1) };
    expect(new Host(1, [1], { hardState, applied: asLsn(2) }, log).core.commit).toBe(2);
    const ahead = { ...hardState, commit: asLsn(3) };
    expect(new Host(1, [1], { hardState: ahead, applied: asLsn(2) }, log).take()?.appliable).toBe(3);
    expect(() => new Host(1, [1], { hardState: { ...hardState, commit: asLsn(4) } }, log)).toThrow(
      /commit 4 above the last entry 3/,
    );
  });
});

describe('proposals', () => {
  it('are refused with a reason and, where one is known, the leader', () => {
    const [leader, second] = ledGroup({ limits: { entryBytesMax: 10 } });
    expect(second.core.propose([bytes(1)])).toEqual({ ok: false, reason: 'not-leader', leader: 1 });
    expect(new Host(1, [1, 2]).core.propose([bytes(1)])).toEqual({ ok: false, reason: 'no-leader', leader: 0 });
    expect(leader.core.propose([bytes(1), bytes(11)])).toEqual({ ok: false, reason: 'too-large', leader: 1 });
    leader.core.propose([bytes(1)]);
    expect(leader.core.transferLeader(asReplicaId(2))).toEqual({ ok: true });
    expect(leader.core.propose([bytes(1)])).toEqual({ ok: false, reason: 'transferring', leader: 2 });
    expect(leader.core.transferLeader(asReplicaId(9))).toEqual({ ok: false, reason: 'not-a-voter', leader: 1 });
  });

  it('are refused above the limit of uncommitted bytes, except when nothing else is uncommitted', () => {
    const [leader, ...others] = ledGroup({ limits: { uncommittedBytesMax: 10 } });
    expect(leader.core.propose([bytes(20)]).ok).toBe(true);
    expect(leader.core.uncommittedBytes).toBe(20);
    expect(leader.core.propose([bytes(1)])).toMatchObject({ ok: false, reason: 'uncommitted-limit' });
    expect(leader.core.propose([bytes(0)]).ok).toBe(true);
    settleAll([leader, ...others]);
    expect(leader.core.uncommittedBytes).toBe(0);
    expect(leader.core.propose([bytes(6)]).ok).toBe(true);
    expect(leader.core.propose([bytes(4)]).ok).toBe(true);
    expect(leader.core.propose([bytes(1)]).ok).toBe(false);
  });

  it('of one batch share a message and a sync', () => {
    const [leader] = ledGroup();
    expect(leader.core.propose([bytes(1), bytes(2), bytes(3)])).toMatchObject({ firstLsn: 2, lastLsn: 4 });
    const output = leader.take()!;
    expect(output.persist?.entries).toHaveLength(3);
    expect(kinds(output.messages)).toEqual(['append>2', 'append>3']);
  });
});

describe('flow control', () => {
  it('cuts messages at their size and stops at the window', () => {
    const [leader, second] = ledGroup({ limits: { messageBytesMax: 10, inflightMessagesMax: 2 } });
    for (let i = 0; i < 4; i += 1) leader.core.propose([bytes(6), bytes(6)]);
    const appends = leader.takeAll().flatMap((output) => output.messages.filter((message) => message.to === 2));
    expect(appends.map((message) => (message as { entries?: unknown[] }).entries?.length)).toEqual([1, 1]);
    for (const append of appends) second.core.step(append);
    for (const answer of second.settle()) leader.core.step(answer);
    const more = leader.takeAll().flatMap((output) => output.messages.filter((message) => message.to === 2));
    expect(more.filter((message) => message.type === 'append' && message.entries.length === 1)).toHaveLength(2);
  });

  it('stops at the bytes in flight', () => {
    const [leader] = ledGroup({ limits: { inflightBytesMax: 10 } });
    leader.core.propose([bytes(6)]);
    leader.core.propose([bytes(6)]);
    leader.core.propose([bytes(6)]);
    const sent = leader.takeAll().flatMap((output) => output.messages.filter((message) => message.to === 2));
    expect(sent).toHaveLength(2);
    expect(leader.core.status().progress.find((progress) => progress.replica === 2)?.inflightFull).toBe(true);
  });

  it('waits for entries that have to be loaded from disk', () => {
    const [leader, second, third] = ledGroup();
    const toThird = (message: Message): boolean => message.to === 3;
    for (let i = 0; i < 3; i += 1) leader.core.propose([bytes(1)]);
    settleAll([leader, second, third], toThird);
    const { log } = leader;
    const read = log.entriesInMemory.bind(log);
    log.entriesInMemory = () => undefined;
    leader.core.onUnreachable(asReplicaId(3));
    leader.core.tick();
    settleAll([leader, second, third]);
    expect(third.core.lastLsn).toBe(1);
    log.entriesInMemory = read;
    leader.core.onLogLoaded();
    settleAll([leader, second, third]);
    expect(third.core.lastLsn).toBe(4);
  });
});

describe('bootstrap', () => {
  function lagging(): [Host, Host, Host] {
    const hosts = ledGroup();
    for (let i = 0; i < 4; i += 1) hosts[0].core.propose([bytes(1)]);
    settleAll(hosts, (message) => message.to === 3);
    hosts[0].log.compactTo(asLsn(4));
    hosts[0].core.onUnreachable(asReplicaId(3));
    return hosts;
  }

  it('is asked for once, at or above the trim point, and again after a failure', () => {
    const hosts = lagging();
    hosts[0].core.tick();
    settleAll(hosts);
    const asked = (): unknown[] => hosts[2].outputs.flatMap((output) => output.snapshotToInstall?.lsn ?? []);
    expect(asked()).toEqual([4]);
    for (let i = 0; i < 25; i += 1) {
      hosts[0].core.tick();
      settleAll(hosts);
    }
    expect(asked()).toEqual([4]);
    hosts[2].core.onSnapshotFailed();
    settleAll(hosts);
    hosts[0].core.tick();
    settleAll(hosts);
    expect(asked()).toEqual([4, 4]);
    const start = { lsn: asLsn(5), term: asTerm(1), confState: votersConf(1, 2, 3) };
    expect(hosts[2].core.beginSnapshot(start)).toBe(true);
    hosts[2].log.install(start);
    expect(hosts[2].core.onSnapshotDone(start)).toBe(true);
    settleAll(hosts);
    hosts[0].core.propose([bytes(1)]);
    settleAll(hosts);
    expect(hosts[2].core.applied).toBe(hosts[0].core.applied);
  });

  it('regression: does not drop acknowledged entries above a snapshot that the log holds', () => {
    const hosts = lagging();
    hosts[0].core.tick();
    settleAll(hosts);
    // Another leader that still has everything brings the log up to date while the bootstrap is prepared.
    hosts[0].core.transferLeader(asReplicaId(2));
    settleAll(hosts);
    const { lastLsn } = hosts[2].core;
    expect(lastLsn).toBe(hosts[1].core.lastLsn);
    const start = { lsn: asLsn(4), term: asTerm(1), confState: votersConf(1, 2, 3) };
    expect(hosts[2].core.beginSnapshot(start)).toBe(false);
    expect(hosts[2].core.onSnapshotDone(start)).toBe(false);
    expect(hosts[2].core.lastLsn).toBe(lastLsn);
  });
});

describe('configuration changes', () => {
  it('that may be unapplied at start hold back a campaign until all that is committed is applied', () => {
    const log = new ScenarioLog();
    const change = encodeConfChange({
      transition: 'auto',
      steps: [{ type: 'add-voter', replica: asReplicaId(2) }],
      context: bytes(0),
    });
    log.append([{ term: asTerm(1), lsn: asLsn(1), kind: EntryKind.normal, data: bytes(0) }]);
    log.append([{ term: asTerm(1), lsn: asLsn(2), kind: EntryKind.confChangeV2, data: change }]);
    const hardState = { term: asTerm(1), vote: noReplica, commit: asLsn(2) };
    const campaigns = (host: Host): boolean => {
      host.core.campaign();
      return host.core.role !== 'follower';
    };
    expect(campaigns(new Host(1, [1], { hardState }, log))).toBe(false);
    expect(campaigns(new Host(1, [1], { hardState: { ...hardState, commit: asLsn(1) } }, log))).toBe(true);
    const asleep = log.clone();
    asleep.entriesInMemory = () => undefined;
    const host = new Host(1, [1], { hardState }, asleep);
    expect(campaigns(host)).toBe(false);
    host.core.onApplied(asLsn(2));
    expect(campaigns(host)).toBe(true);
  });

  it('become empty entries while another is pending, or when they would remove all voters', () => {
    const [leader] = ledGroup();
    const propose = (...steps: ['add-learner' | 'remove', number][]): EntryKind => {
      const change = {
        transition: 'auto' as const,
        steps: steps.map(([type, id]) => ({ type, replica: asReplicaId(id) })),
        context: bytes(0),
      };
      expect(leader.core.proposeConfChange(change).ok).toBe(true);
      return leader.takeAll().at(-1)!.persist!.entries.at(-1)!.kind;
    };
    expect(propose(['remove', 1], ['remove', 2], ['remove', 3])).toBe(EntryKind.normal);
    expect(propose(['add-learner', 4])).toBe(EntryKind.confChangeV2);
    expect(propose(['add-learner', 5])).toBe(EntryKind.normal);
  });
});

describe('reads', () => {
  it('are confirmed by a quorum, also for a follower, in one heartbeat round for all that come together', () => {
    const hosts = ledGroup();
    hosts[0].core.readIndex(1);
    hosts[0].core.readIndex(2);
    hosts[1].core.readIndex(3);
    const heartbeats = hosts[0].take()!.messages.filter((message) => message.type === 'heartbeat');
    expect(heartbeats).toHaveLength(2);
    for (const heartbeat of heartbeats) hosts[heartbeat.to - 1]!.core.step(heartbeat);
    settleAll(hosts);
    const confirmed = hosts.map((host) =>
      host.outputs.flatMap((output) => output.confirmedReads.map((read) => read.context)),
    );
    expect(confirmed).toEqual([[1, 2], [3], []]);
  });

  it('are dropped aloud when leadership is lost', () => {
    const [leader, second] = ledGroup();
    leader.core.readIndex(1);
    second.core.readIndex(2);
    for (let i = 0; i < 25; i += 1) leader.core.tick();
    expect(leader.core.role).toBe('follower');
    second.core.campaign();
    expect(leader.takeAll().flatMap((output) => output.droppedReads)).toEqual([1]);
    expect(second.takeAll().flatMap((output) => output.droppedReads)).toEqual([2]);
  });

  it('are limited', () => {
    const [leader, second] = ledGroup({ limits: { pendingReadsMax: 1 } });
    expect(leader.core.readIndex(1).ok).toBe(true);
    expect(leader.core.readIndex(2)).toEqual({ ok: false, reason: 'reads-limit', leader: 1 });
    expect(second.core.readIndex(1).ok).toBe(true);
    expect(second.core.readIndex(2)).toMatchObject({ reason: 'reads-limit' });
  });
});

describe('a storage fault', () => {
  it('keeps a follower from campaigning, but not from telling that it hears no leader', () => {
    const [, second] = ledGroup();
    second.core.onStorageFault('full');
    for (let i = 0; i < 9; i += 1) second.core.tick();
    expect(second.core.status()).toMatchObject({ role: 'follower', leader: 1 });
    for (let i = 0; i < 25; i += 1) second.core.tick();
    expect(second.core.status()).toMatchObject({ role: 'follower', leader: 0, term: 1 });
    expect(second.takeAll().map(({ leadership }) => leadership)).toEqual([{ role: 'follower', leader: 0, term: 1 }]);
    second.core.onStorageFaultCleared();
    for (let i = 0; i < 25; i += 1) second.core.tick();
    expect(second.core.status().role).toBe('candidate');
  });
});

describe('invariants', () => {
  it('two leaders of a term are noticed', () => {
    const [leader] = ledGroup();
    const message: Message = {
      type: 'heartbeat',
      from: asReplicaId(2),
      to: asReplicaId(1),
      term: asTerm(1),
      commit: asLsn(0),
      round: 1,
    };
    expect(() => leader.core.step(message)).toThrow(/both lead term 1/);
  });

  it('a commit above the log is noticed, with the numbers', () => {
    const [, second] = ledGroup();
    const message: Message = {
      type: 'heartbeat',
      from: asReplicaId(1),
      to: asReplicaId(2),
      term: asTerm(1),
      commit: asLsn(9),
      round: 1,
    };
    expect(() => second.core.step(message)).toThrow(/commit 9 above the last entry 1/);
  });

  it('members are listed in order', () => {
    const [leader] = ledGroup();
    expect(leader.core.status().progress.map((progress) => progress.replica)).toEqual(ids(1, 2, 3));
  });
});
