/** `logboom cluster local`, with the commands that act on it and the command line as its client: processes all the way. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { LogboomClient } from '../../src/client/index.js';
import { freePorts } from './support/free-ports.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const root = path.resolve(import.meta.dirname, '../..');
/** From one node to the next. */
const portStep = 10;

interface Node {
  readonly name: string;
  readonly node_id: number;
  readonly state: string;
  readonly pid: number | null;
  readonly grpc: string;
  readonly http: string;
  readonly links: string;
  readonly log: string;
}
interface Status {
  readonly nodes: readonly { readonly state: string }[];
  readonly findings: readonly { readonly severity: string }[];
}

const isAlive = (pid: number): boolean => {
  try {
    // One that ended and was not collected yet is no process any more.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** A running `logboom cluster local`. */
class RunningCluster {
  readonly directory = path.join(temporaryDirectory(), 'cluster');
  /** Of all nodes that ever ran. */
  readonly pids = new Set<number>();
  readonly #child: ChildProcess;
  output = '';

  constructor(port: number) {
    const flags = ['--partitions=2', '--disk-low-water-mark-bytes=0'];
    const own = ['-n', '3', '--port', String(port), '--data-dir', this.directory, '--output', 'json'];
    this.#child = start(['cluster', 'local', ...own, ...flags]);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    // However the test fails, nothing stays.
    onTestFinished(() => {
      this.#child.kill('SIGKILL');
      for (const pid of [...this.pids, ...this.#nodesNow().map((node) => node.pid)])
        if (pid !== null && isAlive(pid)) process.kill(pid, 'SIGKILL');
    });
  }

  async ready(): Promise<void> {
    await expect.poll(() => this.output, { timeout: 60_000, interval: 50 }).toMatch(/"event":"ready"|"error"/);
    expect(this.output).toContain('"event":"ready"');
  }

  nodes(): readonly Node[] {
    const nodes = this.#nodesNow();
    for (const { pid } of nodes) if (pid !== null) this.pids.add(pid);
    return nodes;
  }

  get supervisor(): unknown {
    return (JSON.parse(this.#file()) as { supervisor: unknown }).supervisor;
  }

  async act(action: string, name: string): Promise<Node> {
    const output = await run(['cluster', 'local', action, name, '--data-dir', this.directory, '--output', 'json']);
    this.nodes();
    return JSON.parse(output.toString()) as Node;
  }

  /** As Ctrl-C does. */
  async interrupt(): Promise<number | null> {
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    const [code] = (await ended) as [number | null];
    return code;
  }

  #file(): string {
    return readFileSync(path.join(this.directory, 'nodes.json'), 'utf8');
  }

  #nodesNow(): readonly Node[] {
    if (!existsSync(path.join(this.directory, 'nodes.json'))) return [];
    return (JSON.parse(this.#file()) as { nodes: Node[] }).nodes;
  }
}

function start(args: readonly string[], addresses = ''): ChildProcess {
  const env = { ...process.env, LOGBOOM_ADDRESS: addresses };
  const child = spawn(process.execPath, ['bin/logboom.cjs', ...args], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Standard output of a command that must succeed. */
async function run(args: readonly string[], addresses?: string): Promise<Buffer> {
  const child = start(args, addresses);
  const output: Buffer[] = [];
  let errors = '';
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`logboom ${args.join(' ')} ended with ${code}: ${errors}`);
  return Buffer.concat(output);
}

const json = (output: Buffer): unknown => JSON.parse(output.toString());

test('a cluster on this machine: an append goes on while leaders die and come back, and Ctrl-C leaves nothing', async () => {
  const port = await freePorts(2 * portStep + 3);
  const cluster = new RunningCluster(port);
  await cluster.ready();
  const nodes = cluster.nodes();
  expect(nodes.map(({ name, state, grpc, http, links }) => ({ name, state, grpc, http, links }))).toEqual(
    [0, 1, 2].map((index) => ({
      name: `n${index + 1}`,
      state: 'running',
      grpc: `127.0.0.1:${port + portStep * index}`,
      http: `http://127.0.0.1:${port + portStep * index + 1}`,
      links: `127.0.0.1:${port + portStep * index + 2}`,
    })),
  );
  for (const { pid } of nodes) expect(isAlive(pid as number)).toBe(true);
  const addresses = nodes.map(({ grpc }) => grpc).join(',');
  const client = new LogboomClient({ address: addresses });
  onTestFinished(() => void client.close().catch(() => {}));

  // What clients find leaders with, as each node knows it by itself.
  for (const { grpc, node_id: answeredBy } of nodes) {
    const asked = new LogboomClient({ address: grpc });
    const view = await asked.cluster.describe({ ownView: true });
    expect(view).toMatchObject({
      answeredBy,
      nodes: nodes.map((each) => ({ id: each.node_id, advertisedAddresses: [each.grpc] })),
    });
    expect(view.leaders.map(({ partition }) => partition)).toEqual([1, 2]);
    await asked.close();
  }

  // A file that grows while it is appended.
  const file = path.join(cluster.directory, 'input.log');
  let lineCount = 0;
  const grow = (): void => {
    const lines = Array.from({ length: 50 }, () => `line ${(lineCount += 1)} ${'x'.repeat(lineCount % 97)}\n`);
    appendFileSync(file, lines.join(''));
  };
  writeFileSync(file, '');
  const growing = setInterval(grow, 20);
  onTestFinished(() => clearInterval(growing));
  const created = json(await run(['stream', 'create', 's', '--output', 'json'], addresses)) as { partition: number };
  const appending = start(['append', 's', file, '--producer', 'p', '--follow', '--output', 'json'], addresses);
  const appended = async (): Promise<number> => (await client.streams.get('s')).nextSeq;
  await expect.poll(appended, { timeout: 20_000 }).toBeGreaterThan(500);

  const leader = async (): Promise<string> => {
    const replicas = (await client.cluster.partitions()).find(({ id }) => id === created.partition)?.replicas ?? [];
    const leaders = replicas.filter(({ role }) => role === 'leader').toSorted((a, b) => b.term - a.term);
    return `n${leaders[0]?.nodeId}`;
  };
  for (const action of ['kill', 'stop']) {
    const name = await leader();
    const { pid } = cluster.nodes().find((node) => node.name === name) as Node;
    const ended = await cluster.act(action, name);
    expect(ended).toMatchObject({ name, pid: null, state: action === 'kill' ? 'killed' : 'stopped' });
    // One that has ended has its pid until its parent has heard of it, which is the command that runs the cluster.
    await expect.poll(() => isAlive(pid as number), { timeout: 5000 }).toBe(false);
    const before = await appended();
    await expect.poll(appended, { timeout: 20_000 }).toBeGreaterThan(before + 500);
    const restarted = await cluster.act('start', name);
    expect(restarted.state).toBe('running');
    expect(isAlive(restarted.pid as number)).toBe(true);
  }

  clearInterval(growing);
  await expect.poll(appended, { timeout: 20_000 }).toBe(lineCount);
  const appenderEnded = once(appending, 'close');
  appending.kill('SIGINT');
  expect(await appenderEnded).toEqual([0, null]);
  const again = json(await run(['append', 's', file, '--producer', 'p', '--output', 'json'], addresses));
  expect(again).toMatchObject({ records: 0, skipped: lineCount });
  const content = readFileSync(file);
  for (const { grpc, name } of nodes)
    expect((await run(['read', 's', '--output', 'raw'], grpc)).equals(content), `read through ${name}`).toBe(true);
  const whole = json(await run(['cluster', 'status', '--output', 'json'], addresses)) as Status;
  expect(whole.nodes.map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
  expect(whole.findings.filter(({ severity }) => severity === 'blocked')).toEqual([]);

  cluster.nodes();
  expect(cluster.pids.size).toBe(5);
  expect(await cluster.interrupt()).toBe(0);
  expect([...cluster.pids].filter(isAlive)).toEqual([]);
  expect(cluster.nodes().map(({ state, pid }) => [state, pid])).toEqual(Array(3).fill(['stopped', null]));
  expect(cluster.supervisor).toBeNull();
  const events = cluster.output.split('\n').filter((line) => line.includes('"event":"node"'));
  expect(events.map((line) => (JSON.parse(line) as Node).state)).toEqual(
    expect.arrayContaining(['killed', 'stopped', 'running']),
  );
});
