import { connectEtcd } from './etcd/client.js';
import { etcd } from './etcd/system.js';
import { connectJetStream } from './jetstream/client.js';
import { jetStreams } from './jetstream/system.js';
import { connectKafka } from './kafka/client.js';
import { kafkas } from './kafka/system.js';
import { connectLogboom } from './logboom/client.js';
import { logboom } from './logboom/system.js';
import type { Connect, System, SystemName } from './system.js';

export const systems: readonly System[] = [logboom, ...jetStreams, etcd, ...kafkas];

/** Without the variants. */
export const defaultSystems: readonly SystemName[] = ['logboom', 'jetstream', 'etcd', 'kafka'];

export const connectTo: Readonly<Record<SystemName, Connect>> = {
  logboom: connectLogboom,
  jetstream: connectJetStream,
  'jetstream-sync': connectJetStream,
  'jetstream-batch': connectJetStream,
  etcd: connectEtcd,
  kafka: connectKafka,
  'kafka-sync': connectKafka,
};
