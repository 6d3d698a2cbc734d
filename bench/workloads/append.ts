import { appendLoad } from '../support/in-flight.js';
import type { PayloadKind } from '../support/payloads.js';
import { latencies } from '../support/statistics.js';
import type { Bound, Figures, Workload, WorkloadContext } from '../support/workload.js';

interface AppendShape {
  readonly name: string;
  readonly description: string;
  readonly kind: PayloadKind;
  readonly recordBytes: number;
  readonly inFlight: number;
  readonly codec: 'zstd' | 'none';
  readonly targets: readonly Bound[];
}

function appendWorkload(shape: AppendShape): Workload {
  return {
    name: shape.name,
    description: shape.description,
    targets: shape.targets,
    seconds: 8,
    run: (context) => runAppend(shape, context),
  };
}

async function runAppend(shape: AppendShape, { client, node, payloads, seconds }: WorkloadContext): Promise<Figures> {
  await client.streams.create('append');
  const appender = await client.appender('append', { codec: shape.codec });
  const cpuBefore = node.cpuSeconds();
  const writtenBefore = node.writtenBytes();
  const startedMs = performance.now();
  const load = await appendLoad({
    appender,
    inFlight: shape.inFlight,
    seconds,
    next: () => payloads.next(shape.kind, shape.recordBytes),
  });
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const cpuShare = (node.cpuSeconds() - cpuBefore) / wallSeconds;
  await appender.close();
  const mbPerSecond = load.bytes / 1e6 / load.elapsedSeconds;
  return {
    recordsPerSecond: load.records / load.elapsedSeconds,
    mbPerSecond,
    ...latencies(load.latenciesMs),
    serverCores: cpuShare,
    serverCpuMsPerMb: (cpuShare * 1000) / mbPerSecond,
    // Against the bytes of the whole run, warm-up included: how often each byte is written.
    diskBytesPerByte: (node.writtenBytes() - writtenBefore) / 1e6 / (mbPerSecond * wallSeconds),
  };
}

export const appendWorkloads: readonly Workload[] = [
  appendWorkload({
    name: 'append-100b',
    description: '100 B records of log text, 512 in flight',
    kind: 'text',
    recordBytes: 100,
    inFlight: 512,
    codec: 'zstd',
    targets: [{ figure: 'recordsPerSecond', at: 'least', value: 150_000 }],
  }),
  appendWorkload({
    name: 'append-4k-random',
    description: '4 KiB records of incompressible bytes, 256 in flight',
    kind: 'random',
    recordBytes: 4 * 1024,
    inFlight: 256,
    codec: 'none',
    targets: [],
  }),
  appendWorkload({
    name: 'append-64k-random',
    description: '64 KiB records of incompressible bytes, 64 in flight',
    kind: 'random',
    recordBytes: 64 * 1024,
    inFlight: 64,
    codec: 'none',
    targets: [{ figure: 'mbPerSecond', at: 'least', value: 100 }],
  }),
  appendWorkload({
    name: 'append-64k-text',
    description: '64 KiB records of log text, 64 in flight, compressed by the client',
    kind: 'text',
    recordBytes: 64 * 1024,
    inFlight: 64,
    codec: 'zstd',
    targets: [{ figure: 'mbPerSecond', at: 'least', value: 200 }],
  }),
  appendWorkload({
    name: 'append-256k-random',
    description: '256 KiB records of incompressible bytes, 16 in flight',
    kind: 'random',
    recordBytes: 256 * 1024,
    inFlight: 16,
    codec: 'none',
    targets: [],
  }),
  appendWorkload({
    name: 'append-one-in-flight',
    description: '100 B records, one in flight through an open session',
    kind: 'text',
    recordBytes: 100,
    inFlight: 1,
    codec: 'none',
    targets: [{ figure: 'p50Ms', at: 'most', value: 1 }],
  }),
];
