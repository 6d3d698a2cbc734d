/** What passes between the benchmark and the process that makes the load. */
import type { Figures } from '../../support/workload.js';
import type { SystemName } from '../systems/system.js';
import type { Workload } from '../workloads.js';

export interface Sizes {
  /** Of the measured part. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly readBytes: number;
  readonly restartBytes: number;
  /** A system that is slow to write is read, or restarted, with what it has stored by then. */
  readonly fillSecondsMax: number;
  readonly tailRecordsPerSecond: number;
}

export interface Job {
  readonly system: SystemName;
  readonly workload: Workload;
  readonly codec: string;
  readonly endpoints: readonly string[];
  /** Of the three servers. */
  readonly pids: readonly number[];
  readonly dataDirectory: string;
  readonly sizes: Sizes;
}

/** Asked of the parent, which alone handles the servers. */
export type Ask = { readonly ask: 'kill'; readonly node: number } | { readonly ask: 'restart' };

export interface Answer {
  /** When the signal was sent (kill) or the first server was started (restart), on the machine's clock; see `nowMs`. */
  readonly atMs: number;
}

export type FromLoad = Ask | { readonly figures: Figures } | { readonly failed: string };

/** Milliseconds since the Unix epoch, finer than a millisecond, the same in every process of the machine. */
export const nowMs = (): number => performance.timeOrigin + performance.now();
