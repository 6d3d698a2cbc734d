import { setTimeout as delay } from 'node:timers/promises';
import { Accumulator } from '../accumulator.js';
import { loadPeerClient } from '../load-client.js';
import type { Connect, PeerStream, SystemName } from '../system.js';
import type {
  JetStreamClient,
  JetStreamManager,
  JetStreamModule,
  NatsConnection,
  TransportModule,
} from './nats-api.js';

/** Longer than 64 MiB in flight take on a slow disk. */
const publishTimeoutMs = 60_000;
const startMs = 30_000;
const batchRecordsMax = 1000;
const batchBytesMax = 1 << 20;
const batchesInFlightMax = 4;
/** How far a consumer is ahead of what was handed out. */
const readAheadMessages = 10_000;

export const connectJetStream: Connect = async (settings) => {
  const transport = await loadPeerClient<TransportModule>('@nats-io/transport-node');
  const module = await loadPeerClient<JetStreamModule>('@nats-io/jetstream');
  const connect = (servers: readonly string[]): Promise<NatsConnection> =>
    transport.connect({ servers, noRandomize: true, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  let connection = await connect(settings.endpoints);
  let manager = await module.jetstreamManager(connection, { checkAPI: false });
  let client = module.jetstream(connection, { timeout: publishTimeoutMs });
  const nameOf = (index: number): string => `${settings.prefix}-${index}`;
  let streamCount = 0;

  const leaderIndex = async (): Promise<number> => {
    const leader = (await manager.streams.info(nameOf(0))).cluster?.leader;
    if (leader === undefined) throw new Error('the stream has no leader');
    return Number(leader.slice(1)) - 1;
  };

  /** A hop less: messages go to the server that leads the (first) stream, which clients of NATS do not do by themselves. */
  const moveToLeader = async (): Promise<void> => {
    const leader = await leaderIndex();
    if (connection.info?.server_name === `n${leader + 1}`) return;
    await connection.close();
    const { endpoints } = settings;
    connection = await connect([endpoints[leader] as string, ...endpoints.filter((_, index) => index !== leader)]);
    manager = await module.jetstreamManager(connection, { checkAPI: false });
    client = module.jetstream(connection, { timeout: publishTimeoutMs });
  };

  return {
    openStreams: async (shape) => {
      streamCount = Math.min(shape.streams, shape.partitions);
      if (!shape.existing)
        for (let index = 0; index < streamCount; index += 1) await create(manager, nameOf(index), settings.codec);
      await moveToLeader();
      const make = streamMaker(settings.system, client);
      return Array.from({ length: shape.streams }, (_, index) => make(`${nameOf(index % streamCount)}.${index}`));
    },
    storedRecords: async () => {
      const infos = await Promise.all(
        Array.from({ length: streamCount }, (_, index) => manager.streams.info(nameOf(index))),
      );
      return infos.reduce((total, { state }) => total + state.messages, 0);
    },
    read: async (onValue) => {
      const consumer = await client.consumers.get(nameOf(0), { deliver_policy: 'all' });
      let messages: { close(): Promise<unknown> } | undefined;
      await new Promise<void>((resolve, reject) => {
        const callback = ({ data }: { readonly data: Uint8Array }): void => {
          if (onValue(data)) resolve();
        };
        consumer.consume({ max_messages: readAheadMessages, callback }).then((made) => (messages = made), reject);
      });
      await messages?.close();
    },
    tail: async (onValue) => {
      const consumer = await client.consumers.get(nameOf(0), { deliver_policy: 'new' });
      await consumer.consume({ max_messages: readAheadMessages, callback: ({ data }) => onValue(data) });
      await connection.flush();
    },
    leaderIndex,
    close: () => connection.close(),
  };
};

/** A cluster that has just started may have no leader for its streams yet. */
async function create(manager: JetStreamManager, name: string, codec: string): Promise<void> {
  for (const startedMs = performance.now(); ;) {
    try {
      await manager.streams.add({
        name,
        subjects: [`${name}.>`],
        storage: 'file',
        num_replicas: 3,
        compression: codec,
        allow_atomic: true,
      });
      return;
    } catch (error) {
      if (performance.now() - startedMs > startMs) throw error;
      await delay(100);
    }
  }
}

type MakeStream = (subject: string) => PeerStream;

function streamMaker(system: SystemName, client: JetStreamClient): MakeStream {
  if (system === 'jetstream-batch') return (subject) => batching(client, subject);
  return (subject) => ({ append: (value) => client.publish(subject, value) });
}

function batching(client: JetStreamClient, subject: string): PeerStream {
  const accumulator = new Accumulator<Buffer>({
    bytesOf: ({ length }) => length,
    inFlightMax: batchesInFlightMax,
    recordsMax: batchRecordsMax,
    bytesMax: batchBytesMax,
    send: async (values) => {
      const [first, ...rest] = values as readonly [Buffer, ...Buffer[]];
      const last = rest.pop();
      if (last === undefined) return client.publish(subject, first);
      const batch = await client.startBatch(subject, first);
      for (const value of rest) batch.add(subject, value);
      return batch.commit(subject, last, { timeout: publishTimeoutMs });
    },
  });
  return { append: (value) => accumulator.add(value) };
}
