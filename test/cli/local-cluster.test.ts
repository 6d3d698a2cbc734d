import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { killNode, processOf, signalNode, stopNode } from '../../src/cli/local-cluster/node-process.js';
import { NodeListFile } from '../../src/cli/local-cluster/node-list.js';
import type { NodeEntry, NodeList } from '../../src/cli/local-cluster/node-list.js';
import { findProcess } from '../../src/cli/local-cluster/process-identity.js';
import { runHere } from './command-runner.js';

function directory(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'logboom-local-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

const entryOf = (more: Partial<NodeEntry> = {}): NodeEntry => ({
  name: 'n1',
  node_id: 1,
  state: 'running',
  pid: null,
  process_start: null,
  grpc: '127.0.0.1:23900',
  http: 'http://127.0.0.1:23901',
  links: '127.0.0.1:23902',
  data_directory: '/nowhere/n1/data',
  log: '/nowhere/n1/log',
  ...more,
});

const listOf = (...nodes: NodeEntry[]): NodeList => ({ version: 1, port: 23_900, supervisor: null, flags: [], nodes });

/** A process that looks like a node: it has the flag by which nodes are known. */
async function standIn(flag: string): Promise<{ child: ChildProcess; entry: NodeEntry }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '--', flag], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  const pid = child.pid as number;
  return { child, entry: entryOf({ pid, process_start: findProcess(pid)!.start }) };
}

describe('a process is signalled only when it is the node', () => {
  test('it is: by pid, time of start and data directory', async () => {
    const { child, entry } = await standIn('--data-dir=/nowhere/n1/data');
    expect(processOf(entry)?.isPaused).toBe(false);
    expect(signalNode(entry, 'SIGSTOP')).toBe(true);
    await expect.poll(() => processOf(entry)?.isPaused).toBe(true);
    // A paused one is woken to stop.
    expect(await stopNode(entry)).toBe('stopped');
    await expect.poll(() => child.signalCode).toBe('SIGTERM');
    expect(processOf(entry)).toBeUndefined();
    expect(await killNode(entry)).toBe(false);
  });

  test('its pid belongs to another process by now', async () => {
    const { child, entry } = await standIn('--data-dir=/nowhere/n1/data');
    expect(signalNode({ ...entry, process_start: '1' }, 'SIGKILL')).toBe(false);
    expect(await stopNode({ ...entry, process_start: '1' })).toBe('did not run');
    expect(child.exitCode ?? child.signalCode).toBeNull();
  });

  test('it runs on another directory', async () => {
    const { child, entry } = await standIn('--data-dir=/nowhere/else');
    expect(signalNode(entry, 'SIGKILL')).toBe(false);
    expect(child.exitCode ?? child.signalCode).toBeNull();
  });
});

describe('nodes.json', () => {
  test('changes of several processes do not overwrite each other', async () => {
    const file = new NodeListFile(directory());
    expect(await file.read()).toBeUndefined();
    await file.write(listOf(...Array.from({ length: 8 }, (_, index) => entryOf({ name: `n${index}` }))));
    const other = new NodeListFile(file.directory);
    await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        (index % 2 ? file : other).update(`n${index}`, () => ({ pid: 100 + index })),
      ),
    );
    expect((await file.read())?.nodes.map(({ pid }) => pid)).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
  });

  test('a lock that was left behind does not last', async () => {
    const file = new NodeListFile(directory());
    await file.write(listOf(entryOf()));
    const lock = path.join(file.directory, 'nodes.json.lock');
    writeFileSync(lock, '');
    utimesSync(lock, new Date(0), new Date(0));
    await expect(file.update('n1', () => ({ state: 'killed' }))).resolves.toMatchObject({ state: 'killed' });
  });

  test('what another program wrote is refused', async () => {
    const file = new NodeListFile(directory());
    for (const text of ['', '{}', '{"version":2,"nodes":[]}', '{"version":1,"nodes":[1]}']) {
      writeFileSync(path.join(file.directory, 'nodes.json'), text);
      await expect(file.read(), text).rejects.toMatchObject({ reason: 'NODES_FILE_INVALID' });
    }
  });
});

describe('wrong use is told', () => {
  const run = async (...args: string[]): Promise<readonly [number, string]> => {
    const { code, errors } = await runHere(['cluster', 'local', ...args]);
    return [code, errors];
  };

  test('before anything runs', async () => {
    const dir = directory();
    expect(await run('frob', '--data-dir', dir)).toEqual([2, expect.stringContaining('no command "frob"')]);
    expect(await run('-n', '0', '--data-dir', dir)).toEqual([2, expect.stringContaining('at least 1')]);
    expect(await run('-n', '99', '--data-dir', dir)).toEqual([2, expect.stringContaining('at most 9')]);
    expect(await run('--port', '65530', '--data-dir', dir)).toEqual([2, expect.stringContaining('too high')]);
    expect(await run('kill', '--data-dir', dir)).toEqual([2, expect.stringContaining('--all')]);
    expect(await run('kill', 'n1', '--data-dir', dir)).toEqual([1, expect.stringContaining('CLUSTER_NOT_FOUND')]);
  });

  test('of a cluster that is there', async () => {
    const dir = directory();
    const file = new NodeListFile(dir);
    await file.write(listOf(entryOf({ state: 'stopped' }), entryOf({ name: 'n2', node_id: 2, state: 'killed' })));
    expect(await run('-n', '5', '--data-dir', dir)).toEqual([2, expect.stringContaining('has 2 nodes')]);
    expect(await run('--port', '24000', '--data-dir', dir)).toEqual([2, expect.stringContaining('has 23900')]);
    expect(await run('kill', 'n3', '--data-dir', dir)).toEqual([1, expect.stringContaining('There are n1, n2')]);
    expect(await run('pause', '2', '--data-dir', dir)).toEqual([
      1,
      expect.stringContaining('n2 does not run (killed)'),
    ]);
    expect(await run('start', 'n1', '--data-dir', dir)).toEqual([1, expect.stringContaining('CLUSTER_NOT_RUNNING')]);
    // Before the name of the action too.
    const { text, code } = await runHere(['cluster', 'local', '--data-dir', dir, '--output', 'json', 'list']);
    expect(code).toBe(0);
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as NodeEntry).state),
    ).toEqual(['stopped', 'killed']);
  });

  test('of a cluster that another process runs', async () => {
    const dir = directory();
    const supervisor = { pid: process.pid, start: findProcess(process.pid)!.start };
    await new NodeListFile(dir).write({ ...listOf(entryOf({ state: 'stopped' })), supervisor });
    expect(await run('--data-dir', dir)).toEqual([1, expect.stringContaining('CLUSTER_RUNNING')]);
  });

  test('of nodes that were left behind', async () => {
    const dir = directory();
    const { entry } = await standIn('--data-dir=/nowhere/n1/data');
    await new NodeListFile(dir).write(listOf(entry));
    expect(await run('--data-dir', dir)).toEqual([1, expect.stringContaining('stop --all')]);
    expect((await run('stop', '--all', '--data-dir', dir))[0]).toBe(0);
    expect(processOf(entry)).toBeUndefined();
  });
});
