const secondMs = 1000;
const minuteMs = 60 * secondMs;

export interface ArchivingOptions {
  /** Whether snapshots are taken without being asked for. */
  readonly automatic: boolean;
  /** A snapshot is due when entries of so many bytes were applied since the last one ... */
  readonly logBytes: number;
  /** ... or when anything was, so long ago. */
  readonly ageMs: number;
  /** Waiting times after a failure, doubled with each. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /** How long the replicas of a quorum may take to say what they have at a checkpoint. */
  readonly agreementMs: number;
  /** How often the nodes of the voters are asked again whether they see the repository. */
  readonly proofMs: number;
  /** Of each snapshot that is taken, of each that is fetched, and of each state that is read to be streamed. */
  readonly bytesPerSecondMax: number;
  readonly manifestsKept: number;
  /** Snapshots are collected this often at most. */
  readonly collectEveryMs: number;
  readonly graceMs: number;
  readonly trimMarginEntries: number;
  readonly trimDelayMs: number;
  /** How long a replica that fetches a snapshot keeps the log from being trimmed; longer when that was too short, see bootstrap-holds.ts. */
  readonly bootstrapHoldMs: number;
  /** A state that is offered to other replicas, and that nobody has asked for anything of for so long, is let go. */
  readonly offerIdleMs: number;
}

export const defaultArchivingOptions: ArchivingOptions = {
  automatic: true,
  logBytes: 256 << 20,
  ageMs: 60 * minuteMs,
  retryMsMin: secondMs,
  retryMsMax: minuteMs,
  agreementMs: 30 * secondMs,
  proofMs: 60 * secondMs,
  bytesPerSecondMax: Infinity,
  manifestsKept: 3,
  collectEveryMs: 10 * minuteMs,
  graceMs: 360 * minuteMs,
  trimMarginEntries: 0,
  trimDelayMs: 10 * minuteMs,
  bootstrapHoldMs: 30 * minuteMs,
  offerIdleMs: 5 * minuteMs,
};
