import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as logboom from '../../../../src/client/index.js';
import { atMost } from '../at-most.js';
import type { Connect } from '../system.js';

/** Of what is done once a stream. */
const concurrentCalls = 32;

/** As it ships, not as a development tool compiles it. */
const built = path.resolve(import.meta.dirname, '../../../../dist/client/index.js');

export const connectLogboom: Connect = async ({ endpoints, codec, prefix, inFlightBytesMax, inFlightRecordsMax }) => {
  const { LogboomClient } = (await import(pathToFileURL(built).href)) as typeof logboom;
  const client = new LogboomClient({ addresses: endpoints, codec: codec as 'zstd' | 'none' });
  const stop = new AbortController();
  let names: readonly string[] = [];
  const first = (): string => names[0] ?? 'none is open';
  return {
    openStreams: async ({ streams, existing }) => {
      names = Array.from({ length: streams }, (_, index) => `${prefix}-${index}`);
      if (!existing) await atMost(concurrentCalls, names, (name) => client.streams.create(name));
      const limits = {
        // Twice what is in flight: what waits is counted with its framing.
        pendingBytesMax: Math.max(32 << 20, 2 * inFlightBytesMax),
        pendingRecordsMax: Math.max(100_000, inFlightRecordsMax),
      };
      return atMost(concurrentCalls, names, (name) => client.appender(name, limits));
    },
    storedRecords: async () => {
      const infos = await atMost(concurrentCalls, names, (name) => client.streams.get(name));
      return infos.reduce((total, { nextSeq, firstSeq }) => total + nextSeq - firstSeq, 0);
    },
    read: async (onValue) => {
      for await (const page of client.readPages(first())) for (const { value } of page) if (onValue(value)) return;
    },
    tail: async (onValue) => {
      const { nextSeq } = await client.streams.get(first());
      void (async () => {
        for await (const page of client.tailPages(first(), { fromSeq: nextSeq, signal: stop.signal }))
          for (const { value } of page) onValue(value);
      })().catch((error: unknown) => {
        if (!stop.signal.aborted) throw error;
      });
    },
    leaderIndex: async () => {
      const { partition } = await client.streams.get(first());
      const { nodes, leaders } = await client.cluster.describe();
      const leader = leaders.find((each) => each.partition === partition)?.node;
      if (leader === undefined) throw new Error(`partition ${partition} has no leader among ${nodes.length} nodes`);
      return leader - 1;
    },
    close: async () => {
      stop.abort();
      await client.close();
    },
  };
};
