import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How long this process did not look at its events. */
export function startLoopDelay(): { maxMs(): number; reset(): void; stop(): void } {
  const histogram = monitorEventLoopDelay({ resolution: 5 });
  histogram.enable();
  return {
    maxMs: () => histogram.max / 1e6,
    reset: () => histogram.reset(),
    stop: () => void histogram.disable(),
  };
}
