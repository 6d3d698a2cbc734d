import path from 'node:path';
import { portsPerNode } from '../system.js';
import type { System } from '../system.js';

const root = path.resolve(import.meta.dirname, '../../../..');

export const logboom: System = {
  name: 'logboom',
  title: 'Logboom',
  acknowledged: 'fdatasync has returned on two of three nodes, and the leader has applied it',
  batching:
    'the client puts the records of one stream that wait into one append; four appends of at most 1 MiB in flight',
  codecs: ['none', 'zstd'],
  recommendedCodec: 'zstd',
  needs: [],
  layOut: async ({ directory, ports, partitions }) => {
    const at = (node: number, port: number): number => ports[node * portsPerNode + port] as number;
    const members = [0, 1, 2].map((node) => `${node + 1}@127.0.0.1:${at(node, 2)}`).join(',');
    return {
      endpoints: [0, 1, 2].map((node) => `127.0.0.1:${at(node, 0)}`),
      nodes: [0, 1, 2].map((node) => ({
        program: process.execPath,
        args: [
          path.join(root, 'bin/logboom.cjs'),
          'server',
          `--node-id=${node + 1}`,
          '--host=127.0.0.1',
          `--port=${at(node, 0)}`,
          `--http-port=${at(node, 1)}`,
          `--cluster-link-port=${at(node, 2)}`,
          `--cluster-nodes=${members}`,
          `--data-dir=${path.join(directory, `n${node + 1}`)}`,
          // As `logboom cluster local` and every real cluster have it: without one the log is never trimmed.
          `--snapshots-repository=${path.join(directory, 'snapshots')}`,
          `--partitions=${partitions}`,
          '--log-level=warn',
        ],
        readyUrl: `http://127.0.0.1:${at(node, 1)}/readyz`,
      })),
    };
  },
};
