/**
 * The image and the compose files, as a user runs them: built, started, cut off, killed, stopped, and read back byte for byte.
 * `npm run containers`; needs a container engine (`node scripts/ci-services.mjs`), which is started and stopped where none runs.
 *
 *   LOGBOOM_CI_CONTAINERS=required   fails where there is no engine, in place of saying so
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts } from '../integration/support/free-ports.js';
import { finish, run, text, until } from './commands.js';
import { ComposeCluster, image, nodeNames, root } from './compose-cluster.js';
import type { NodeName } from './compose-cluster.js';
import { Engine } from './engine.js';
import { Load } from './load.js';
import { asRead, provideLogFiles } from './log-files.js';

/** Of what the image adds to its base: the program and its packages, and no tools. */
const imageAddsBytesMax = 60_000_000;

let stepsDone = 0;

/** `what` with what the step found out. */
async function step(what: string, work: () => Promise<string | void>): Promise<void> {
  const startedMs = performance.now();
  const found = await work();
  stepsDone += 1;
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`ok  ${what}${found === undefined ? '' : `: ${found}`} (${seconds} s)`);
}

async function buildImage(engine: Engine): Promise<void> {
  await step('a base image', () => engine.provideBaseImage());
  await step('the image is built', async () => {
    await run(['docker', 'build', '--network=host', '-t', image, root], { timeoutMs: 20 * 60_000 });
    const layers = await text(['docker', 'history', '--format', '{{.Size}} {{.CreatedBy}}', '--human=false', image]);
    const added = layers.split('\n').filter((line) => /COPY|RUN|\/bin\/sh/.test(line));
    const bytes = added.reduce((sum, line) => sum + Number.parseInt(line, 10), 0);
    assert.ok(bytes > 1_000_000 && bytes < imageAddsBytesMax, `it adds ${bytes} bytes to its base`);
    return `${(bytes / 1e6).toFixed(0)} MB on top of its base`;
  });
  await step('it runs as a user without rights, and knows its health', async () => {
    const config = JSON.parse(await text(['docker', 'inspect', '--format', '{{json .Config}}', image])) as {
      User: string;
      Healthcheck?: { Test: string[] };
    };
    assert.equal(config.User, 'node');
    assert.ok(config.Healthcheck?.Test.includes('/healthz'));
    const ids = ['--entrypoint', 'id', image, '-u'];
    assert.equal(await text(['docker', 'run', '--rm', '--network', 'none', ...ids]), '1000');
  });
  await step('it refuses to listen beyond loopback unasked, and variables that are no settings', async () => {
    const refused = async (...variables: string[]): Promise<string> => {
      const flags = variables.flatMap((variable) => ['--env', variable]);
      const { code, stderr } = await finish(['docker', 'run', '--rm', '--network', 'none', ...flags, image]);
      assert.equal(code, 2, stderr);
      return stderr;
    };
    assert.match(await refused('LOGBOOM_HOST=0.0.0.0'), /security\.allowInsecureListen/);
    assert.match(await refused('LOGBOOM_PARTITION=3'), /LOGBOOM_PARTITION.*LOGBOOM_PARTITIONS/);
  });
}

/** The steps share one cluster, one after the other. */
async function tryOut(cluster: ComposeCluster, directory: string): Promise<void> {
  const { directory: logs, files, origin } = provideLogFiles(directory);
  const half = files.length >> 1;
  const appendFiles = async (from: number, to: number): Promise<string> => {
    const names = files.slice(from, to).map(({ name }) => name);
    // In one container, which mounts what it reads.
    const script = 'for f; do logboom append "hub/$f" "/logs/$f" --producer hub --deadline 60s || exit 1; done';
    const flags = ['--volume', `${logs}:/logs:ro`, '--entrypoint', 'sh'];
    await cluster.client(['-c', script, 'sh', ...names], { flags });
    return `${names.length} files of ${origin}`;
  };
  const expectAll = async (through: NodeName): Promise<void> => {
    const script = 'a=$1; shift; for f; do logboom read "hub/$f" --output raw --address "$a" || exit 1; done';
    const names = files.map(({ name }) => name);
    const read = await cluster.client(['-c', script, 'sh', `${through}:7400`, ...names], {
      flags: ['--entrypoint', 'sh'],
    });
    assert.ok(read.equals(Buffer.concat(files.map(asRead))), `what ${through} answers is not what was appended`);
  };

  await step('three nodes form a cluster, and are healthy', () => cluster.up());
  const load = new Load(cluster, 'load');
  try {
    await step('another container appends', () => appendFiles(0, half));
    await step('a node is cut off: it is unhealthy and says why, and appends go on', async () => {
      const network = await cluster.network('n3');
      await run(['docker', 'network', 'disconnect', network, cluster.id('n3')]);
      const appended = await appendFiles(half, files.length);
      const reason = await cluster.health('n3', 'unhealthy');
      assert.match(reason, /has no leader/);
      await run(['docker', 'network', 'connect', '--alias', 'n3', network, cluster.id('n3')]);
      await cluster.health('n3', 'healthy');
      return `${appended}; the cut-off node: ${reason.slice(0, 80)}`;
    });
    await step('connected again, it answers all of it, byte for byte', () => expectAll('n3'));
    await step('kill -9 of a node: it is started again and catches up', async () => {
      await run(['docker', 'kill', '--signal', 'KILL', cluster.id('n2')]);
      const { Status, ExitCode } = await until(
        'the end',
        () => cluster.state('n2'),
        ({ Status }) => Status === 'exited',
      );
      assert.deepEqual([Status, ExitCode], ['exited', 137]);
      const before = load.lineCount;
      await until(
        'the load to go on',
        async () => load.lineCount,
        (count) => count > before + 500,
      );
      await run(['docker', 'start', cluster.id('n2')]);
      await cluster.health('n2', 'healthy');
    });
    await step('snapshots go to the volume that the nodes share', async () => {
      const created = await cluster.client(['snapshot', 'create', '--all', '--output', 'json']);
      const lines = created.toString().trim().split('\n');
      assert.ok(lines.length >= 8, `${lines.length} snapshots`);
      return `${lines.length} snapshots`;
    });
    await step('a node whose volume is lost is replaced by one with an empty volume', async () => {
      const replicas = async (): Promise<number[]> => {
        const listed = await cluster.client(['partition', 'list', '--output', 'json']);
        const partitions = listed.toString().trim().split('\n');
        return partitions.flatMap((line) => {
          const { replicas } = JSON.parse(line) as { replicas: { node_id: number; replica_id: number }[] };
          return replicas.filter(({ node_id: node }) => node === 2).map(({ replica_id: id }) => id);
        });
      };
      const lost = await replicas();
      assert.ok(lost.length >= 8, `${lost.length} replicas`);
      await cluster.replaceVolume('n2');
      await until(
        'the node to wait for an operator',
        () => cluster.client(['cluster', 'status']),
        (status) => status.includes('came with an empty data directory and waits'),
      );
      await cluster.client(['cluster', 'replace', '2']);
      await cluster.health('n2', 'healthy');
      const made = await until('its replicas', replicas, (ids) => ids.length === lost.length);
      assert.equal(made.filter((id) => lost.includes(id)).length, 0, `made were ${made.join()}, lost ${lost.join()}`);
      await expectAll('n2');
      return `${made.length} replicas under new ids`;
    });
    await step('a stop of all drains: nothing is left to replay', async () => {
      await cluster.command('stop');
      for (const node of nodeNames) {
        const { Status, ExitCode } = await cluster.state(node);
        assert.deepEqual([node, Status, ExitCode], [node, 'exited', 0]);
        const messages = (await cluster.logOf(node)).map(({ msg }) => msg);
        assert.ok(messages.includes('the node drains'), node);
        assert.equal(messages.at(-1), 'the node has stopped', node);
      }
      await cluster.command('start');
      for (const node of nodeNames) {
        await cluster.health(node, 'healthy');
        const serves = (await cluster.logOf(node)).find(({ msg }) => msg === 'the node serves');
        assert.equal(serves?.['replayedEntries'], 0, node);
      }
    });
    await step('an append over all of this has lost nothing, and nothing is there twice', async () => {
      const appended = await load.end();
      const read = await cluster.client(['read', 'load', '--output', 'raw']);
      assert.ok(read.equals(appended), `${read.length} bytes were read, ${appended.length} appended`);
      return `${load.lineCount} lines`;
    });
  } finally {
    load.abandon();
  }
  await step('everything is read back through every node, and verified', async () => {
    for (const node of nodeNames) {
      await expectAll(node);
      await cluster.client(['partition', 'verify', '--all', '--address', `${node}:7400`]);
    }
  });
  await step('the command line of the host reaches the ports of the host', async () => {
    const { ports } = cluster;
    const address = ports.map((port) => `127.0.0.1:${port}`).join(',');
    const command = [process.execPath, path.join(root, 'bin/logboom.cjs')];
    const read = await run([...command, 'read', `hub/${files[0]?.name}`, '--output', 'raw', '--address', address]);
    assert.ok(read.equals(files.slice(0, 1).map(asRead)[0] ?? Buffer.alloc(0)));
  });
}

async function tryOutSecured(cluster: ComposeCluster): Promise<void> {
  await step('secured by the second compose file, three nodes form a cluster', () => cluster.up());
  await step('who has the token may append and read, who has none may not', async () => {
    const written = 'logboom append s /opt/logboom/LICENSE && logboom read s --output raw';
    const read = await cluster.client(['-c', written], { flags: ['--entrypoint', 'sh'] });
    assert.match(read.toString(), /Apache License/);
    const refused = async (...without: string[]): Promise<string> => {
      const command = `unset ${without.join(' ')} && exec logboom read s --deadline 2s`;
      const { code, stdout, stderr } = await cluster.tryClient(['-c', command], ['--entrypoint', 'sh']);
      assert.deepEqual([code, stdout.toString()], [1, '']);
      return stderr;
    };
    assert.match(await refused('LOGBOOM_TOKEN_FILE'), /TOKEN_MISSING/);
    await refused('LOGBOOM_TOKEN_FILE', 'LOGBOOM_TLS_CA');
  });
  await step('no node warns that its links are open', async () => {
    for (const node of nodeNames) {
      const warnings = (await cluster.logOf(node)).filter(({ msg }) => /certificate|token/.test(String(msg)));
      assert.deepEqual([node, warnings], [node, []]);
    }
  });
}

async function main(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'logboom-containers-'));
  // What the containers' user has to read lies in it.
  chmodSync(directory, 0o755);
  const engine = await Engine.open(directory);
  try {
    if (typeof engine === 'string') {
      console.log(`containers: NOT TESTED, neither image nor compose files: ${engine}`);
      if (process.env['LOGBOOM_CI_CONTAINERS'] === 'required') process.exitCode = 1;
      return;
    }
    console.log(engine.isOwn ? 'the container engine was started' : 'the container engine runs already');
    await buildImage(engine);
    await withCluster(engine, [], {}, (cluster) => tryOut(cluster, directory));
    const secrets = path.join(directory, 'secrets');
    await step('an authority, certificates and a token are made', async () => {
      await run([path.join(root, 'docker/make-secrets.sh'), secrets], {
        env: { ...process.env, IMAGE: image },
      });
    });
    await withCluster(engine, ['compose.secure.yml'], { SECRETS: secrets }, tryOutSecured);
    console.log(`containers: all ${stepsDone} steps passed`);
  } finally {
    if (typeof engine !== 'string') await engine.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function withCluster(
  engine: Engine,
  overrides: readonly string[],
  variables: NodeJS.ProcessEnv,
  work: (cluster: ComposeCluster) => Promise<void>,
): Promise<void> {
  const first = await freePorts(nodeNames.length);
  const project = `logboom-test-${process.pid}-${overrides.length}`;
  const files = ['docker-compose.yml', ...overrides];
  const cluster = new ComposeCluster(engine.compose, project, [first, first + 1, first + 2], files, variables);
  try {
    await work(cluster);
  } catch (error) {
    // Now: what removes the cluster may fail for the same reason, and would be told instead.
    console.log(error);
    for (const node of nodeNames) {
      const log = await cluster.logOf(node).catch(() => []);
      console.log(`-- the last of ${node}`, ...log.slice(-15).map((line) => `\n${JSON.stringify(line)}`));
    }
    throw error;
  } finally {
    await cluster.remove();
  }
}

await main();
