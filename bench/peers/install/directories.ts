import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { versions } from './versions.js';

export const peersRoot = path.resolve(import.meta.dirname, '..');

/** Outside the checkout, so that every checkout of a machine shares what took minutes to build. */
const cache = process.env['LOGBOOM_PEERS_CACHE'] ?? path.join(homedir(), '.cache', 'logboom', 'peers');

const lockHash = createHash('sha256')
  .update(readFileSync(path.join(peersRoot, 'package-lock.json')))
  .digest('hex')
  .slice(0, 12);

/** Where each part is, once it is installed: its version is in the name, and it is there as a whole or not at all. */
export const directories = {
  cache,
  nats: path.join(cache, `nats-server-${versions.nats}`),
  etcd: path.join(cache, `etcd-${versions.etcd}`),
  kafka: path.join(cache, `kafka-${versions.kafka}`),
  clients: path.join(cache, `clients-${lockHash}-abi${process.versions.modules}`),
} as const;
