import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { directories } from '../../install/directories.js';
import { portsPerNode } from '../system.js';
import type { ClusterLayout, ClusterSettings, System } from '../system.js';

type JetStreamName = 'jetstream' | 'jetstream-sync' | 'jetstream-batch';

interface Variant {
  readonly title: string;
  readonly batching: string;
  readonly syncAlways: boolean;
}

const beforeSync =
  'written to the file of the leader and replicated to a quorum, in page caches: fsync follows within two minutes (sync_interval)';

function jetStream(name: JetStreamName, { title, batching, syncAlways }: Variant): System {
  return {
    name,
    title,
    acknowledged: syncAlways ? 'fsync on a quorum (sync_interval: always)' : beforeSync,
    batching,
    codecs: ['none', 's2'],
    // Its servers compress, for their files alone: the default is without.
    recommendedCodec: 'none',
    needs: ['nats', 'clients'],
    layOut: (settings) => layOut(settings, syncAlways),
  };
}

async function layOut({ directory, ports }: ClusterSettings, syncAlways: boolean): Promise<ClusterLayout> {
  const at = (node: number, port: number): number => ports[node * portsPerNode + port] as number;
  const routes = [0, 1, 2].map((node) => `nats://127.0.0.1:${at(node, 2)}`).join(', ');
  const files: string[] = [];
  for (const node of [0, 1, 2]) {
    const data = path.join(directory, `n${node + 1}`);
    await mkdir(data);
    const file = path.join(data, 'nats.conf');
    files.push(file);
    await writeFile(
      file,
      `server_name: n${node + 1}
listen: 127.0.0.1:${at(node, 0)}
http: 127.0.0.1:${at(node, 1)}
jetstream { store_dir: "${data}", max_file_store: 200GB${syncAlways ? ', sync_interval: always' : ''} }
cluster { name: bench, listen: 127.0.0.1:${at(node, 2)}, routes: [${routes}] }
`,
    );
  }
  return {
    endpoints: [0, 1, 2].map((node) => `127.0.0.1:${at(node, 0)}`),
    nodes: files.map((file, node) => ({
      program: path.join(directories.nats, 'nats-server'),
      args: ['--config', file],
      readyUrl: `http://127.0.0.1:${at(node, 1)}/healthz`,
    })),
  };
}

export const jetStreams: readonly System[] = [
  jetStream('jetstream', {
    title: 'NATS JetStream',
    batching: 'none: a message and an acknowledgement a record, published without waiting for each other',
    syncAlways: false,
  }),
  jetStream('jetstream-sync', {
    title: 'NATS JetStream, sync_interval: always',
    batching: 'none: a message and an acknowledgement a record, published without waiting for each other',
    syncAlways: true,
  }),
  jetStream('jetstream-batch', {
    title: 'NATS JetStream, atomic batches',
    batching: 'records that wait go into one atomic batch of at most 1,000 messages; four batches in flight',
    syncAlways: false,
  }),
];
