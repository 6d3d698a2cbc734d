import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { replay } from '../scenarios/replay.js';

const own = fileURLToPath(new URL('../scenarios', import.meta.url));
/** Transcripts of etcd-io/raft, where they are at hand; they are not part of this repository. */
const others = fileURLToPath(new URL('../../../shared/scenarios/raft', import.meta.url));

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

const singleNode = `
add-nodes 1 voters=(1) index=3
----
INFO 1 became follower at term 0

campaign 1
----
ok

stabilize
----
> 1 handling Ready
  Ready MustSync=true:
  Lead:0 State:StateCandidate
  HardState Term:1 Vote:1 Commit:3
  INFO 1 became leader at term 1
> 1 handling Ready
  Ready MustSync=true:
  Lead:1 State:StateLeader
  Entries:
  1/4 EntryNormal ""
> 1 handling Ready
  Ready MustSync=false:
  HardState Term:1 Vote:1 Commit:4
  CommittedEntries:
  1/4 EntryNormal ""

propose 1 data
----
ok

raft-log 1
----
1/4 EntryNormal ""

raft-state
----
1: StateLeader (Voter) Term:1 Lead:1

status 1
----
1: StateReplicate match=4 next=5
`;

describe('scenarios', () => {
  it.each(filesBelow(own).map((path) => [path.slice(own.length + 1), path]))('%s of this project', (_, path) => {
    const { facts, differences } = replay(readFileSync(path, 'utf8'));
    expect(differences).toEqual([]);
    expect(facts).toBeGreaterThan(20);
  });

  it('has scenarios of its own', () => {
    expect(filesBelow(own).length).toBeGreaterThanOrEqual(5);
  });

  it.skipIf(!existsSync(others)).each(filesBelow(others).map((path) => [path.slice(others.length + 1), path]))(
    '%s of etcd-io/raft',
    (_, path) => {
      const { facts, differences } = replay(readFileSync(path, 'utf8'));
      expect(differences).toEqual([]);
      expect(facts).toBeGreaterThan(0);
    },
  );
});

describe('the scenario runner', () => {
  it('accepts what is right', () => {
    const { facts, differences } = replay(singleNode);
    expect(differences).toEqual([]);
    expect(facts).toBe(17);
  });

  it.each([
    ['a term', 'HardState Term:1 Vote:1 Commit:3', 'HardState Term:2 Vote:1 Commit:3'],
    ['a vote', 'HardState Term:1 Vote:1 Commit:4', 'HardState Term:1 Vote:2 Commit:4'],
    ['a commit', 'HardState Term:1 Vote:1 Commit:4', 'HardState Term:1 Vote:1 Commit:5'],
    ['a role', 'Lead:1 State:StateLeader', 'Lead:1 State:StateFollower'],
    ['a leader', 'Lead:1 State:StateLeader', 'Lead:2 State:StateLeader'],
    ['a committed entry', 'CommittedEntries:\n  1/4 EntryNormal ""', 'CommittedEntries:\n  1/4 EntryNormal "x"'],
    ['a log', 'raft-log 1\n----\n1/4', 'raft-log 1\n----\n1/5'],
    ['a state', '(Voter) Term:1', '(Non-Voter) Term:1'],
    ['progress', 'match=4 next=5', 'match=4 next=6'],
    ['a missing error', 'propose 1 data\n----\nok', 'propose 1 data\n----\nraft proposal dropped'],
    ['a missing step', 'status 1\n----', 'status 1\n----\n2: StateReplicate match=4 next=5'],
    ['an unknown directive', 'campaign 1', 'campagne 1'],
  ])('names a wrong %s', (_, right, wrong) => {
    const text = singleNode.replace(right, wrong);
    expect(text).not.toBe(singleNode);
    const { differences } = replay(text);
    expect(differences.length).toBeGreaterThan(0);
    expect(differences[0]!.text).not.toBe('');
  });

  it('notices output that was not expected', () => {
    const { differences } = replay(singleNode.replace('1: StateLeader (Voter) Term:1 Lead:1', 'ok'));
    expect(differences[0]?.text).toContain('StateLeader');
  });

  it('notices every difference of a pure function', () => {
    expect(replay('vote cfg=(1,2,3) votes=(y,y,_)\n----\nVoteWon\n').differences).toEqual([]);
    expect(replay('vote cfg=(1,2,3) votes=(y,y,_)\n----\nVotePending\n').differences).toHaveLength(1);
    expect(replay('simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=2\n').differences.length).toBeGreaterThan(
      0,
    );
  });

  it('does not take a file that proves nothing for a pass', () => {
    expect(replay('').differences).toHaveLength(1);
    expect(replay('log-level none\n----\nok\n').differences[0]?.text).toContain('no fact');
    expect(replay('add-nodes 1 voters=(1) index=3\n----\nINFO newRaft 1\n').differences[0]?.text).toContain('no fact');
  });

  it('does not take a broken file for a pass', () => {
    expect(() => replay('campaign 1\n')).toThrow(/no "----"/);
  });
});
