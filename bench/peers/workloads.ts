import type { PayloadKind } from '../support/payloads.js';
import type { SystemName } from './systems/system.js';

export interface Workload {
  readonly name: string;
  readonly description: string;
  readonly kind: 'append' | 'tail' | 'read' | 'failover' | 'restart';
  readonly payload: PayloadKind;
  readonly recordBytes: number;
  /** Records; capped by {@link inFlightBytesMax}, for all systems alike. */
  readonly inFlight: number;
  readonly streams: number;
  readonly partitions: number;
  readonly keyed: boolean;
  /** `each` codec that a system has is measured, only `none`, or only the one to `recommend`. */
  readonly codecs: 'each' | 'none' | 'recommend';
  /** The figure that tells most, for table, chart and progress. */
  readonly headline: Headline;
  /** Why a system is left out. */
  readonly without: Readonly<Partial<Record<SystemName, string>>>;
}

export interface Headline {
  readonly figure: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
}

export const inFlightBytesMax = 64 << 20;
const kibibyte = 1024;

const recordRate: Headline = { figure: 'recordsPerSecond', unit: 'records/s', better: 'more' };
const byteRate: Headline = { figure: 'mbPerSecond', unit: 'MB/s', better: 'more' };

const base = {
  payload: 'text',
  recordBytes: 100,
  inFlight: 512,
  streams: 1,
  partitions: 8,
  keyed: false,
  codecs: 'recommend',
  headline: recordRate,
  without: {},
} as const;

const appendSizes = [
  ['100b', 100, '100 B'],
  ['1k', kibibyte, '1 KiB'],
  ['4k', 4 * kibibyte, '4 KiB'],
  ['64k', 64 * kibibyte, '64 KiB'],
  ['256k', 256 * kibibyte, '256 KiB'],
] as const;

const appends = appendSizes.flatMap(([size, recordBytes, title]): Workload[] => {
  const inFlight = Math.min(512, Math.floor(inFlightBytesMax / recordBytes));
  const shape = {
    ...base,
    kind: 'append',
    recordBytes,
    inFlight,
    headline: size === '100b' ? recordRate : byteRate,
  } as const;
  const what = `append ${title}, ${inFlight} in flight`;
  return [
    { ...shape, name: `append-${size}-text`, description: `${what}, log text`, codecs: 'each' },
    {
      ...shape,
      name: `append-${size}-random`,
      description: `${what}, incompressible`,
      payload: 'random',
      codecs: 'none',
    },
  ];
});

const streamsInFlight = 4096;
const oneGroup = { etcd: 'it has one Raft group' };

export const workloads: readonly Workload[] = [
  {
    ...base,
    name: 'append-100b-one',
    description: 'append 100 B, one in flight',
    kind: 'append',
    inFlight: 1,
    codecs: 'none',
    headline: { figure: 'p50Ms', unit: 'ms p50', better: 'less' },
  },
  ...appends,
  {
    ...base,
    name: 'tail',
    description: 'append to tail, 100 B, at a steady rate',
    kind: 'tail',
    headline: { figure: 'p99Ms', unit: 'ms p99', better: 'less' },
  },
  {
    ...base,
    name: 'read-text',
    description: 'catch-up read, 1 KiB, log text',
    kind: 'read',
    recordBytes: kibibyte,
    headline: byteRate,
  },
  {
    ...base,
    name: 'read-random',
    description: 'catch-up read, 1 KiB, incompressible',
    kind: 'read',
    payload: 'random',
    recordBytes: kibibyte,
    codecs: 'none',
    headline: byteRate,
  },
  ...([1, 1000] as const).map((streams): Workload => ({
    ...base,
    name: `streams-${streams}`,
    description: `append 1 KiB, 4,096 in flight, ${streams === 1 ? 'one stream' : '1,000 streams'}`,
    kind: 'append',
    recordBytes: kibibyte,
    inFlight: streamsInFlight,
    streams,
    headline: byteRate,
  })),
  ...([8, 64] as const).map((partitions): Workload => ({
    ...base,
    name: `partitions-${partitions}`,
    description: `append 1 KiB, 4,096 in flight, 64 streams over ${partitions} partitions`,
    kind: 'append',
    recordBytes: kibibyte,
    inFlight: streamsInFlight,
    streams: 64,
    partitions,
    keyed: true,
    headline: byteRate,
    without: oneGroup,
  })),
  {
    ...base,
    name: 'failover',
    description: 'kill -9 of the leader, to the next acknowledgement',
    kind: 'failover',
    headline: { figure: 'gapMs', unit: 'ms', better: 'less' },
  },
  {
    ...base,
    name: 'restart',
    description: 'kill -9 of all three, to the next acknowledgement',
    kind: 'restart',
    payload: 'random',
    recordBytes: 16 * kibibyte,
    codecs: 'none',
    headline: { figure: 'restartSeconds', unit: 's', better: 'less' },
  },
];
