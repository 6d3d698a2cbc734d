import type { PayloadKind } from '../support/payloads.js';
import type { Figures, Workload, WorkloadContext } from '../support/workload.js';

const recordBytes = 1024;
const storedBytes = 512 << 20;

async function fill({ client, payloads }: WorkloadContext, kind: PayloadKind, codec: 'zstd' | 'none'): Promise<void> {
  await client.streams.create('read');
  const appender = await client.appender('read', { codec });
  const count = storedBytes / recordBytes;
  let sent = 0;
  const lane = async (): Promise<void> => {
    while (sent < count) {
      sent += 1;
      await appender.append({ value: payloads.next(kind, recordBytes) });
    }
  };
  await Promise.all(Array.from({ length: 2048 }, lane));
  await appender.close();
}

async function catchUp(context: WorkloadContext, kind: PayloadKind, codec: 'zstd' | 'none'): Promise<Figures> {
  await fill(context, kind, codec);
  const { client, node } = context;
  const cpuBefore = node.cpuSeconds();
  const startedMs = performance.now();
  let records = 0;
  let bytes = 0;
  for await (const page of client.readPages('read')) {
    for (const record of page) {
      records += 1;
      bytes += record.value.length;
    }
  }
  const seconds = (performance.now() - startedMs) / 1000;
  if (bytes !== storedBytes) throw new Error(`read ${bytes} bytes of ${storedBytes}`);
  return {
    recordsPerSecond: records / seconds,
    mbPerSecond: bytes / 1e6 / seconds,
    serverCpuMsPerMb: ((node.cpuSeconds() - cpuBefore) * 1000) / (bytes / 1e6),
  };
}

const targets = [{ figure: 'mbPerSecond', at: 'least', value: 150 }] as const;

export const readWorkloads: readonly Workload[] = [
  {
    name: 'read-random',
    description: 'catch-up read of 512 MiB in records of 1 KiB of incompressible bytes, page after page',
    targets,
    seconds: 0,
    run: (context) => catchUp(context, 'random', 'none'),
  },
  {
    name: 'read-text',
    description: 'catch-up read of 512 MiB in records of 1 KiB of log text, stored compressed',
    targets,
    seconds: 0,
    run: (context) => catchUp(context, 'text', 'zstd'),
  },
];
