import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { directories } from '../../install/directories.js';
import { portsPerNode } from '../system.js';
import type { ClusterLayout, ClusterSettings, System } from '../system.js';

const clusterId = 'bG9nYm9vbS1iZW5jaC1wZQ';

function kafkaSystem(name: 'kafka' | 'kafka-sync', title: string, acknowledged: string): System {
  return {
    name,
    title,
    acknowledged,
    batching:
      "the records that wait for a broker go into one request of at most 1 MiB, five requests in flight: what the Java producer's accumulator does with linger.ms=0",
    codecs: ['none', 'lz4'],
    recommendedCodec: 'lz4',
    needs: ['kafka', 'clients'],
    layOut,
  };
}

export const kafkas: readonly System[] = [
  kafkaSystem(
    'kafka',
    'Kafka',
    'in the page cache of the leader and of one more broker at least (acks=all, min.insync.replicas=2), without fsync',
  ),
  kafkaSystem('kafka-sync', 'Kafka, flush.messages=1', 'fsync on two of three brokers (acks=all, flush.messages=1)'),
];

async function layOut({ directory, ports }: ClusterSettings): Promise<ClusterLayout> {
  const at = (node: number, port: number): number => ports[node * portsPerNode + port] as number;
  const voters = [0, 1, 2].map((node) => `${node + 1}@127.0.0.1:${at(node, 2)}`).join(',');
  const files = [0, 1, 2].map((node) => path.join(directory, `n${node + 1}`, 'server.properties'));
  for (const node of [0, 1, 2]) {
    const data = path.join(directory, `n${node + 1}`);
    await mkdir(data);
    await writeFile(
      files[node] as string,
      properties(node + 1, at(node, 0), at(node, 2), voters, path.join(data, 'log')),
    );
  }
  await format(path.dirname(directory), directory, files);
  return {
    endpoints: [0, 1, 2].map((node) => `127.0.0.1:${at(node, 0)}`),
    nodes: files.map((file) => ({
      program: 'java',
      args: ['-Xms256m', '-Xmx1g', '-XX:+UseG1GC', ...classPath, 'kafka.Kafka', file],
    })),
  };
}

const classPath = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', path.join(directories.kafka, 'libs', '*')];

const properties = (id: number, port: number, controllerPort: number, voters: string, log: string): string => `
process.roles=broker,controller
node.id=${id}
controller.quorum.voters=${voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${log}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=3
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
`;

/**
 * Formats the directories of three brokers. What is written names neither ports nor paths, so the first time serves the
 * whole run: `kafka-format` beside the clusters is copied from then on.
 */
async function format(parent: string, directory: string, files: readonly string[]): Promise<void> {
  const template = path.join(parent, 'kafka-format');
  if (existsSync(template)) return cp(template, directory, { recursive: true });
  const staging = `${template}-staging`;
  for (const [index, file] of files.entries()) {
    await formatOne(file);
    const log = path.join(`n${index + 1}`, 'log');
    await cp(path.join(directory, log), path.join(staging, log), { recursive: true });
  }
  await cp(staging, template, { recursive: true });
}

function formatOne(file: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const args = [...classPath, 'kafka.tools.StorageTool', 'format', '--cluster-id', clusterId, '--config', file];
    const child = spawn('java', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`kafka-storage format ended with ${code}: ${errors.slice(-600)}`));
    });
  });
}
