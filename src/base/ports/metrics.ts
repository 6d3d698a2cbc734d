/** Where components report what they measure. Names are `logboom_<component>_<what>_<unit>`; see docs/metrics.md. */
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `bounds`: upper bucket bounds, ascending, in the unit of the name. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
}
export type MetricLabels = Readonly<Record<string, string>>;
export interface Counter {
  add(value: number, labels?: MetricLabels): void;
}
export interface Gauge {
  set(value: number, labels?: MetricLabels): void;
}
export interface Histogram {
  observe(value: number, labels?: MetricLabels): void;
}

/** Latency bucket bounds in seconds, 0.1 ms to 10 s. */
export const latencyBoundsSeconds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

const nothing = { add: () => {}, set: () => {}, observe: () => {} };
/** For tests and tools that report nothing. */
export const noMetrics: Metrics = { counter: () => nothing, gauge: () => nothing, histogram: () => nothing };
