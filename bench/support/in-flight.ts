import type { Appender } from '../../src/client/index.js';

export interface AppendLoadOptions {
  readonly appender: Appender;
  readonly inFlight: number;
  readonly seconds: number;
  readonly next: () => Buffer;
  /** Not counted, at the beginning. */
  readonly warmUpSeconds?: number;
}

export interface AppendLoadResult {
  readonly records: number;
  readonly bytes: number;
  readonly elapsedSeconds: number;
  readonly latenciesMs: readonly number[];
}

/** Keeps so many appends in flight for so long; each is counted when it is acknowledged. */
export async function appendLoad(options: AppendLoadOptions): Promise<AppendLoadResult> {
  const { appender, inFlight, next } = options;
  const warmUntilMs = performance.now() + (options.warmUpSeconds ?? 1) * 1000;
  const untilMs = warmUntilMs + options.seconds * 1000;
  const latenciesMs: number[] = [];
  let records = 0;
  let bytes = 0;
  let lastMs = warmUntilMs;
  const lane = async (): Promise<void> => {
    for (let startedMs = performance.now(); startedMs < untilMs;) {
      const value = next();
      await appender.append({ value });
      const nowMs = performance.now();
      if (nowMs > warmUntilMs && nowMs <= untilMs) {
        records += 1;
        bytes += value.length;
        lastMs = nowMs;
        latenciesMs.push(nowMs - startedMs);
      }
      startedMs = nowMs;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { records, bytes, elapsedSeconds: (lastMs - warmUntilMs) / 1000, latenciesMs };
}
