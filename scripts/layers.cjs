'use strict';

/**
 * The layers of src/, from the bottom up, and what each may import: imports go down only. The rules of
 * .dependency-cruiser.cjs are generated from this table, and test/tooling/tidy.test.ts fails on a folder of src/ that it
 * does not name. An entry is a folder of src/, or one file of it.
 *
 * @type {Readonly<Record<string, readonly string[]>>}
 */
const layers = {
  base: [],
  raft: ['base'],
  streams: ['base'],
  metadata: ['base'],
  wal: ['base', 'raft/types.ts'],
  'state-store': ['base'],
  'object-store': ['base'],
  snapshot: ['base', 'raft/types.ts', 'object-store', 'state-store'],
  partition: ['base', 'raft', 'streams', 'metadata', 'wal', 'state-store', 'object-store', 'snapshot'],
  transport: ['base', 'raft'],
  client: ['base'],
  server: [
    'base',
    'raft',
    'streams',
    'metadata',
    'wal',
    'state-store',
    'object-store',
    'snapshot',
    'partition',
    'transport',
    // Nodes forward requests to one another over the same connections as clients.
    'client/channels.ts',
  ],
  cli: ['base', 'server', 'client'],
};

/**
 * Packages that only some files of src/ may import, as regular expressions: a native module or a network library that
 * spreads cannot be swapped for the simulator's any more.
 *
 * @type {ReadonlyArray<{ name: string, package: string, importers: string }>}
 */
const confinedPackages = [
  { name: 'leveldb', package: 'classic-level', importers: '^src/(state-store/leveldb|server/adapters/node-disk)' },
  { name: 's3', package: '@aws-sdk/[^/]+', importers: '^src/(object-store/s3|server/)' },
  { name: 'zstd', package: '@cloudpss/zstd', importers: '^src/(server|client|cli)/' },
  { name: 'grpc', package: '(@grpc/[^/]+|grpc-health-check)', importers: '^src/(server|client|cli)/' },
  { name: 'logging', package: 'pino', importers: '^src/(server|cli)/' },
  { name: 'metrics', package: 'prom-client', importers: '^src/server/' },
  { name: 'command-line', package: 'commander', importers: '^src/cli/' },
];

module.exports = { layers, confinedPackages };
