import { setTimeout as delay } from 'node:timers/promises';
import { Accumulator } from '../accumulator.js';
import { loadPeerClient } from '../load-client.js';
import type { Connect, PeerStream } from '../system.js';

/** What the benchmark uses of @platformatic/kafka. */
interface Metadata {
  readonly brokers: ReadonlyMap<number, unknown>;
  readonly topics: ReadonlyMap<string, { readonly partitions: readonly { readonly leader: number }[] }>;
}

interface Message {
  readonly topic: string;
  readonly partition: number;
  readonly value: Buffer;
}

interface Client {
  metadata(options: { readonly topics: readonly string[]; readonly forceUpdate?: boolean }): Promise<Metadata>;
  close(force?: boolean): Promise<void>;
}

interface Admin extends Client {
  createTopics(options: {
    readonly topics: readonly string[];
    readonly partitions: number;
    readonly replicas: number;
    readonly configs: readonly { readonly name: string; readonly value: string }[];
  }): Promise<unknown>;
}

interface Producer extends Client {
  send(options: {
    readonly messages: readonly Message[];
    readonly acks: number;
    readonly compression: string;
  }): Promise<unknown>;
}

interface MessagesStream extends AsyncIterable<{ readonly value: Buffer }> {
  on(event: 'data', listener: (message: { readonly value: Buffer }) => void): unknown;
  close(): Promise<void>;
}

interface Consumer extends Client {
  listOffsets(options: {
    readonly topics: readonly string[];
    readonly partitions?: Readonly<Record<string, readonly number[]>>;
    readonly timestamp?: bigint;
  }): Promise<ReadonlyMap<string, readonly bigint[]>>;
  consume(options: {
    readonly topics: readonly string[];
    readonly mode: 'manual';
    readonly offsets: readonly { readonly topic: string; readonly partition: number; readonly offset: bigint }[];
    readonly autocommit: boolean;
    readonly maxWaitTime: number;
    readonly highWaterMark: number;
  }): Promise<MessagesStream>;
}

type Options = Readonly<Record<string, unknown>>;
interface KafkaModule {
  readonly Admin: new (options: Options) => Admin;
  readonly Producer: new (options: Options) => Producer;
  readonly Consumer: new (options: Options) => Consumer;
}

const startMs = 60_000;
const requestBytesMax = 1 << 20;
/** As of the Java producer. */
const requestsInFlightMax = 5;
const allReplicas = -1;

export const connectKafka: Connect = async (settings) => {
  const { Admin, Producer, Consumer } = await loadPeerClient<KafkaModule>('@platformatic/kafka');
  const topic = settings.prefix;
  const base = {
    clientId: 'bench',
    bootstrapBrokers: settings.endpoints,
    timeout: 60_000,
    retryDelay: 100,
    retries: 100,
    maxInflights: requestsInFlightMax,
  };
  const admin = new Admin(base);
  const producer = new Producer(base);
  const consumer = new Consumer({ ...base, groupId: `bench-${process.pid}` });
  await untilAllBrokers(admin, settings.endpoints.length);
  let partitionCount = 0;
  let open: MessagesStream | undefined;
  const leaders = async (): Promise<readonly number[]> => {
    const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
    return metadata.topics.get(topic)?.partitions.map(({ leader }) => leader) ?? [];
  };
  const consumeFrom = async (offset: bigint): Promise<MessagesStream> => {
    const offsets = [{ topic, partition: 0, offset }];
    return consumer.consume({
      topics: [topic],
      mode: 'manual',
      offsets,
      autocommit: false,
      maxWaitTime: 1000,
      highWaterMark: 4096,
    });
  };
  return {
    openStreams: async ({ streams, partitions, keyed, existing }) => {
      partitionCount = keyed ? partitions : streams;
      if (!existing) {
        const configs = settings.system === 'kafka-sync' ? [{ name: 'flush.messages', value: '1' }] : [];
        await admin.createTopics({ topics: [topic], partitions: partitionCount, replicas: 3, configs });
      }
      const led = await untilLed(leaders, partitionCount);
      return openPartitions({ producer, topic, codec: settings.codec, streams, leaders: led });
    },
    storedRecords: async () => {
      const ends = (await consumer.listOffsets({ topics: [topic], timestamp: -1n })).get(topic) ?? [];
      return Number(ends.reduce((total, end) => total + end, 0n));
    },
    read: async (onValue) => {
      open = await consumeFrom(0n);
      const stream = open;
      await new Promise<void>((resolve) => {
        stream.on('data', ({ value }) => {
          if (onValue(value)) resolve();
        });
      });
    },
    tail: async (onValue) => {
      const end = (await consumer.listOffsets({ topics: [topic], timestamp: -1n })).get(topic)?.[0] ?? 0n;
      open = await consumeFrom(end);
      open.on('data', ({ value }) => onValue(value));
    },
    leaderIndex: async () => ((await leaders())[0] ?? 0) - 1,
    close: async () => {
      await open?.close();
      await Promise.all([consumer.close(true), producer.close(), admin.close()]);
    },
  };
};

async function untilAllBrokers(admin: Admin, count: number): Promise<void> {
  for (const startedMs = performance.now(); ;) {
    const known = await admin.metadata({ topics: [], forceUpdate: true }).catch((error: unknown) => error as Error);
    if (!(known instanceof Error) && known.brokers.size === count) return;
    if (performance.now() - startedMs > startMs)
      throw new Error(`the brokers did not come up: ${known instanceof Error ? known.message : known.brokers.size}`);
    await delay(100);
  }
}

async function untilLed(leaders: () => Promise<readonly number[]>, count: number): Promise<readonly number[]> {
  for (const startedMs = performance.now(); ;) {
    const now = await leaders().catch(() => []);
    if (now.length === count && now.every((leader) => leader >= 1)) return now;
    if (performance.now() - startedMs > startMs) throw new Error(`${now.length} of ${count} partitions have a leader`);
    await delay(100);
  }
}

interface OpenTopic {
  readonly producer: Producer;
  readonly topic: string;
  readonly codec: string;
  readonly streams: number;
  /** By partition. */
  readonly leaders: readonly number[];
}

/** One accumulator a broker, as in the Java producer: a request carries what waits for all partitions that it leads. */
function openPartitions({ producer, topic, codec, streams, leaders }: OpenTopic): readonly PeerStream[] {
  const byLeader = new Map<number, Accumulator<Message>>();
  const accumulatorOf = (leader: number): Accumulator<Message> => {
    const known = byLeader.get(leader);
    if (known) return known;
    const made = new Accumulator<Message>({
      bytesOf: ({ value }) => value.length,
      inFlightMax: requestsInFlightMax,
      recordsMax: 10_000,
      bytesMax: requestBytesMax,
      send: (messages) => producer.send({ messages, acks: allReplicas, compression: codec }),
    });
    byLeader.set(leader, made);
    return made;
  };
  return Array.from({ length: streams }, (_, index) => {
    const partition = index % leaders.length;
    const accumulator = accumulatorOf(leaders[partition] as number);
    return { append: (value: Buffer) => accumulator.add({ topic, partition, value }) };
  });
}
