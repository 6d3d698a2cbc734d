import path from 'node:path';
import { directories } from '../../install/directories.js';
import { portsPerNode } from '../system.js';
import type { System } from '../system.js';

export const etcd: System = {
  name: 'etcd',
  title: 'etcd',
  acknowledged: 'fdatasync has returned on two of three members, and it is applied',
  batching: 'none: a put a record, under keys in ascending order; the server syncs the puts that wait together',
  codecs: ['none'],
  recommendedCodec: 'none',
  needs: ['etcd', 'clients'],
  layOut: async ({ directory, ports }) => {
    const at = (node: number, port: number): number => ports[node * portsPerNode + port] as number;
    const peers = [0, 1, 2].map((node) => `n${node + 1}=http://127.0.0.1:${at(node, 2)}`).join(',');
    return {
      endpoints: [0, 1, 2].map((node) => `127.0.0.1:${at(node, 0)}`),
      nodes: [0, 1, 2].map((node) => ({
        program: path.join(directories.etcd, 'etcd'),
        args: [
          `--name=n${node + 1}`,
          `--data-dir=${path.join(directory, `n${node + 1}`)}`,
          `--listen-client-urls=http://127.0.0.1:${at(node, 0)}`,
          `--advertise-client-urls=http://127.0.0.1:${at(node, 0)}`,
          `--listen-peer-urls=http://127.0.0.1:${at(node, 2)}`,
          `--initial-advertise-peer-urls=http://127.0.0.1:${at(node, 2)}`,
          `--initial-cluster=${peers}`,
          '--initial-cluster-state=new',
          // The default is 2 GiB, after which it refuses to write.
          `--quota-backend-bytes=${16 * 2 ** 30}`,
          '--log-level=error',
        ],
        readyUrl: `http://127.0.0.1:${at(node, 0)}/health`,
      })),
    };
  },
};
