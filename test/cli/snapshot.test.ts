/** `snapshot` and `trim` against a server whose answers a test writes; end-to-end.test.ts runs them against a real one. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeServer, Refusal } from '../client/fake-server.js';
import { runHere } from './command-runner.js';
import type { CommandOptions, CommandResult } from './command-runner.js';

let server: FakeServer;
beforeEach(async () => {
  server = await new FakeServer().start();
  server.cluster = () => ({ nodes: [{ id: 1, name: 'n1', state: 'ok' }] });
  server.partitions = [{ id: 1 }, { id: 2 }];
});
afterEach(() => server.stop());

const run = (args: string[], options: CommandOptions = {}): Promise<CommandResult> =>
  runHere(args, { ...options, env: { LOGBOOM_ADDRESS: server.address } });
const jsonLines = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('snapshot create', () => {
  test('shows on a terminal how far it is, and takes the line away', async () => {
    const replica = (bytesDone: number): object => ({
      replicaId: 1,
      role: 'leader',
      snapshot: { lsn: 40, bytesDone, bytesTotal: 4 << 20 },
    });
    server.onSnapshots = async () => {
      server.partitions = [{ id: 1, replicas: [replica(1 << 20)] }];
      await pause(700);
      server.partitions = [{ id: 1, replicas: [replica(3 << 20)] }];
      await pause(700);
      return { archivedLsn: 40, manifest: 'm.json' };
    };
    const { code, text, errors } = await run(['snapshot', 'create', '1'], { errorTerminal: true });
    expect(code).toBe(0);
    expect(text).toMatch(/^partition 1: ok, archived up to LSN 40 in \d.*, m\.json\n$/);
    expect(errors).toMatch(/\[#{6}-{18}\] {2}25 % {2}1\.0 MiB {2}0 B\/s/);
    expect(errors).toMatch(/\[#{18}-{6}\] {2}75 % {2}3\.0 MiB {2}\d.* left/);
    expect(errors.endsWith('\r\u001b[K')).toBe(true);
    expect(errors).not.toContain('records');
  });

  test('asks for no progress when nobody looks at it', async () => {
    server.onSnapshots = () => pause(50).then(() => ({ archivedLsn: 40, manifest: 'm.json' }));
    expect(await run(['snapshot', 'create', '1'])).toMatchObject({ code: 0, errors: '' });
    expect(server.count('ListPartitions')).toBe(0);
  });

  test('--all takes the others also when one fails, and ends with 1', async () => {
    server.cluster = () => ({ nodes: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    server.onSnapshots = (_method, { partition }: { partition: number }) => {
      if (partition === 1) throw new Refusal('STATE_DIVERGED');
      return { archivedLsn: 10 + partition, manifest: `m${partition}` };
    };
    const result = await run(['snapshot', 'create', '--all', '--output', 'json']);
    expect(result.code).toBe(1);
    // The metadata of a cluster is a partition that no list shows.
    expect(jsonLines(result.text)).toMatchObject([
      { partition: 0, archived_lsn: 10, manifest: 'm0' },
      { partition: 2, archived_lsn: 12, manifest: 'm2' },
    ]);
    expect(jsonLines(result.errors)).toMatchObject([
      { error: { reason: 'STATE_DIVERGED' } },
      { error: { reason: 'STATE_DIVERGED', message: 'no snapshot of 1 partition: 1' } },
    ]);
    const text = await run(['snapshot', 'create', '--all']);
    expect(text.errors).toMatch(/^partition 1: refused: .* \(STATE_DIVERGED\)\nerror: no snapshot of 1 partition: 1/);
  });

  test('--all ends at once with what all partitions would meet', async () => {
    const { code, errors } = await run(['snapshot', 'create', '--all']);
    expect(code).toBe(1);
    expect(errors).toMatch(/\(REPOSITORY_NOT_CONFIGURED\)\nSet snapshots\.repository on every node/);
    expect(server.count('CreateSnapshot')).toBe(1);
  });

  test('neither a partition nor --all, or both, is wrong usage', async () => {
    for (const args of [[], ['1', '--all'], ['one']]) {
      expect((await run(['snapshot', 'create', ...args])).code).toBe(2);
    }
  });
});

test('snapshot list: text and JSON, and which partitions have none', async () => {
  server.onSnapshots = (_method, { partition }: { partition: number }) => ({
    repositoryId: 'abc',
    snapshots:
      partition === 2
        ? []
        : [
            { manifest: 'newer.json', lsn: 50, term: 3 },
            { manifest: 'older.json', lsn: 40, term: 3, archived: true },
          ],
  });
  expect((await run(['snapshot', 'list'])).text).toBe(
    [
      'repository abc',
      'PARTITION  LSN  TERM  ARCHIVED  MANIFEST',
      '        1   50     3  -         newer.json',
      '        1   40     3  yes       older.json',
      'no snapshot of partition 2: see `logboom snapshot create`',
      '',
    ].join('\n'),
  );
  expect(jsonLines((await run(['snapshot', 'list', '1', '--output', 'json'])).text)).toEqual([
    { partition: 1, lsn: 50, term: 3, archived: false, manifest: 'newer.json', repository_id: 'abc' },
    { partition: 1, lsn: 40, term: 3, archived: true, manifest: 'older.json', repository_id: 'abc' },
  ]);
  expect((await run(['snapshot', 'list', '1', '--all'])).code).toBe(2);
});

describe('trim', () => {
  test('says where the log begins, and what holds the rest and what to do', async () => {
    const requests: unknown[] = [];
    server.onSnapshots = (_method, request: object) => {
      requests.push(request);
      return { trimPoint: 1200, archivedLsn: 1500, mode: 'archived', heldBecause: 'replica 3 is fetching a snapshot' };
    };
    const dry = await run(['trim', '2', '--dry-run']);
    expect([dry.code, dry.text]).toEqual([
      0,
      'partition 2: the log could begin at LSN 1,201; archived LSN 1,500; mode archived\n' +
        '  held: replica 3 is fetching a snapshot\n' +
        '    Wait for it: it needs the log from its snapshot on. Trimming goes on after trim.bootstrapHoldMs, or after twice ' +
        'that for each import that came too late.\n',
    ]);
    expect(jsonLines((await run(['trim', '2', '--output', 'json'])).text)).toMatchObject([
      { partition: 2, dry_run: false, trim_point: 1200, archived_lsn: 1500, held: [{ kind: 'BOOTSTRAP' }] },
    ]);
    expect(requests).toMatchObject([
      { partition: 2, dryRun: true },
      { partition: 2, dryRun: false },
    ]);
    for (const args of [[], ['first'], ['1', '2']]) expect((await run(['trim', ...args])).code).toBe(2);
  });

  test('explain tells it of every partition, from what the replicas say', async () => {
    const leader = { replicaId: 1, nodeId: 1, role: 'leader', term: 1, commitLsn: 90, trimMode: 'archived' };
    const held = 'no snapshot repository is configured: set snapshots.repository on every node';
    server.partitions = [
      { id: 1, replicas: [{ ...leader, trimHeldBecause: held }] },
      {
        id: 2,
        replicas: [
          { ...leader, trimPoint: 80, groupTrimPoint: 80, archivedLsn: 80 },
          { ...leader, replicaId: 2, nodeId: 2, role: 'follower', trimPoint: 10, groupTrimPoint: 80, persistedLsn: 20 },
        ],
      },
    ];
    const { code, text } = await run(['trim', 'explain']);
    expect(code).toBe(0);
    const lines = text.split('\n');
    expect(lines[0]).toBe('partition 1: held; the log has LSN 1 to 90; mode archived');
    expect(lines[1]).toBe(`  held: ${held}`);
    expect(lines[2]).toMatch(/^ {4}Set snapshots\.repository on every node to one place/);
    expect(lines[3]).toBe('partition 2: nothing holds it; the log has LSN 81 to 90, archived to 80; mode archived');
    expect(lines[4]).toMatch(/^ {2}the log on node 2 begins at LSN 11: it has persisted LSN 20 only/);
    expect(jsonLines((await run(['trim', 'explain', '1', '--output', 'json'])).text)).toMatchObject([
      { partition: 1, leader_node: 1, commit_lsn: 90, held: [{ kind: 'NO_REPOSITORY' }], behind: [] },
    ]);
    expect(await run(['trim', 'explain', '9'])).toMatchObject({
      code: 1,
      errors: expect.stringMatching(/NOT_FOUND/) as string,
    });
  });
});
