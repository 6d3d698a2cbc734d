import { loadPeerClient } from '../load-client.js';
import type { Connect } from '../system.js';

/** What the benchmark uses of etcd3. */
interface Etcd3 {
  readonly kv: {
    put(request: { readonly key: Buffer; readonly value: Buffer }): Promise<unknown>;
    range(request: {
      readonly key: Buffer;
      readonly range_end: Buffer;
      readonly limit?: number;
      readonly count_only?: boolean;
      readonly serializable?: boolean;
    }): Promise<{ readonly kvs: readonly KeyValue[]; readonly count: string }>;
  };
  readonly maintenance: {
    status(): Promise<{ readonly header: { readonly member_id: string }; readonly leader: string }>;
  };
  watch(): { prefix(key: string): { create(): Promise<Watcher> } };
  close(): void;
}

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
}

interface Watcher {
  on(event: 'put', listener: (kv: KeyValue) => void): unknown;
  cancel(): Promise<void>;
}

interface Etcd3Module {
  readonly Etcd3: new (options: Readonly<Record<string, unknown>>) => Etcd3;
}

const pageBytes = 1 << 20;
const grpcOptions = { 'grpc.max_receive_message_length': 64 << 20, 'grpc.max_send_message_length': 64 << 20 };

const endOf = (prefix: string): Buffer => Buffer.from(`${prefix.slice(0, -1)}0`);

export const connectEtcd: Connect = async ({ endpoints, prefix: namespace, survivesNodes }) => {
  const { Etcd3 } = await loadPeerClient<Etcd3Module>('etcd3');
  const prefixOf = (stream: number): string => `${namespace}/${String(stream).padStart(5, '0')}/`;
  const clientOf = (addresses: readonly string[]): Etcd3 =>
    new Etcd3({ hosts: addresses.map((address) => `http://${address}`), grpcOptions, dialTimeout: 2000 });
  const leaderIndex = async (): Promise<number> => {
    for (const [index, endpoint] of endpoints.entries()) {
      const client = clientOf([endpoint]);
      try {
        const { header, leader } = await client.maintenance.status();
        if (header.member_id === leader) return index;
      } finally {
        client.close();
      }
    }
    throw new Error('no member says that it leads');
  };
  // Straight to the leader saves a hop, which its client does not do by itself; not where that leader is to be killed.
  const client = clientOf(survivesNodes ? endpoints : [endpoints[await leaderIndex()] as string]);
  let streamCount = 0;
  let recordBytes = pageBytes;
  let watcher: Watcher | undefined;
  return {
    openStreams: async ({ streams }) => {
      streamCount = streams;
      return Array.from({ length: streams }, (_, stream) => {
        const prefix = prefixOf(stream);
        // Behind what an earlier client wrote: times only go up.
        let next = Date.now() * 1000;
        return {
          append: (value: Buffer) => {
            next += 1;
            recordBytes = value.length;
            return client.kv.put({ key: Buffer.from(`${prefix}${next}`), value });
          },
        };
      });
    },
    storedRecords: async () => {
      const range = { key: Buffer.from(prefixOf(0)), range_end: endOf(prefixOf(streamCount - 1)), count_only: true };
      return Number((await client.kv.range(range)).count);
    },
    read: async (onValue) => {
      const limit = Math.max(1, Math.floor(pageBytes / recordBytes));
      const prefix = prefixOf(0);
      // The next page is asked for when its first key is known, and comes while this one is used.
      const page = (key: Buffer) => client.kv.range({ key, range_end: endOf(prefix), limit, serializable: true });
      for (let kvs = (await page(Buffer.from(prefix))).kvs; kvs.length > 0;) {
        const last = kvs.at(-1) as KeyValue;
        const next = page(Buffer.concat([last.key, Buffer.of(0)]));
        for (const { value } of kvs) {
          if (onValue(value)) {
            await next;
            return;
          }
        }
        kvs = (await next).kvs;
      }
    },
    tail: async (onValue) => {
      watcher = await client.watch().prefix(prefixOf(0)).create();
      watcher.on('put', ({ value }) => onValue(value));
    },
    leaderIndex,
    close: async () => {
      await watcher?.cancel();
      client.close();
    },
  };
};
