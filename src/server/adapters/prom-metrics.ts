/** Metrics port over prom-client. */
import { readFileSync } from 'node:fs';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { assert } from '../../base/assert.js';
import type { MetricLabels, Metrics } from '../../base/ports/metrics.js';

/** Series of one metric; more are dropped and counted, so that labels cannot fill the memory. */
const seriesMax = 5000;

function anonymousBytes(): number {
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return Number(kib ?? 0) * 1024;
  } catch {
    // No /proc: not Linux.
    return 0;
  }
}

/** What the adapter keeps of a metric: prom-client wants label names in advance, the port learns them with the first value. */
interface Family<Metric> {
  readonly ofLabels: (labels: MetricLabels) => Metric | undefined;
}

/** One registry a node, so that several nodes of a process stay apart. */
export class PromMetrics implements Metrics {
  readonly registry = new Registry();
  readonly #families = new Map<string, { kind: string; family: unknown }>();
  readonly #dropped: Counter;

  constructor(options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics ?? true) this.#collectProcessMetrics();
    this.#dropped = new Counter({
      name: 'logboom_metrics_dropped_series_total',
      help: 'Values of metrics that were dropped because the metric has too many series.',
      registers: [this.registry],
    });
  }

  counter(name: string, help: string): ReturnType<Metrics['counter']> {
    const family = this.#family('counter', name, (labelNames) => {
      const metric = new Counter({ name, help, labelNames, registers: [this.registry] });
      return (labels) => metric.labels(labels);
    });
    return { add: (value, labels = {}) => family.ofLabels(labels)?.inc(value) };
  }

  gauge(name: string, help: string): ReturnType<Metrics['gauge']> {
    const family = this.#family('gauge', name, (labelNames) => {
      const metric = new Gauge({ name, help, labelNames, registers: [this.registry] });
      return (labels) => metric.labels(labels);
    });
    return { set: (value, labels = {}) => family.ofLabels(labels)?.set(value) };
  }

  histogram(name: string, help: string, bounds: readonly number[]): ReturnType<Metrics['histogram']> {
    const family = this.#family('histogram', name, (labelNames) => {
      const metric = new Histogram({ name, help, labelNames, buckets: [...bounds], registers: [this.registry] });
      return (labels) => metric.labels(labels);
    });
    return { observe: (value, labels = {}) => family.ofLabels(labels)?.observe(value) };
  }

  /** The Prometheus text format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** Stops what prom-client runs by itself. */
  close(): void {
    this.registry.clear();
  }

  #collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.registry });
    // Resident memory counts the mapped tables of LevelDB, which the system takes back when it needs to.
    new Gauge({
      name: 'logboom_process_anonymous_bytes',
      help: 'Resident memory of the process that is not backed by files (RssAnon); 0 where the system does not tell.',
      registers: [this.registry],
      collect() {
        this.set(anonymousBytes());
      },
    });
  }

  #family<Metric>(
    kind: string,
    name: string,
    make: (labelNames: string[]) => (labels: MetricLabels) => Metric,
  ): Family<Metric> {
    const known = this.#families.get(name);
    if (known) {
      assert(known.kind === kind, () => `metric ${name} is a ${known.kind} and was asked for as a ${kind}`);
      // The kind decides the type of what is stored.
      return known.family as Family<Metric>;
    }
    const family = this.#makeFamily(name, make);
    this.#families.set(name, { kind, family });
    return family;
  }

  #makeFamily<Metric>(name: string, make: (labelNames: string[]) => (labels: MetricLabels) => Metric): Family<Metric> {
    let labelNames: string | undefined;
    let metricOf: ((labels: MetricLabels) => Metric) | undefined;
    const series = new Map<string, Metric>();
    return {
      ofLabels: (labels) => {
        const names = Object.keys(labels);
        const key = names.length === 0 ? '' : names.map((label) => `${label}=${labels[label]}`).join('\n');
        const cached = series.get(key);
        if (cached) return cached;
        if (series.size >= seriesMax) {
          this.#dropped.inc();
          return undefined;
        }
        if (!metricOf) {
          labelNames = names.toSorted().join(',');
          metricOf = make(names);
        }
        const given = names.toSorted().join(',');
        assert(given === labelNames, () => `metric ${name} has the labels [${labelNames}] and was given [${given}]`);
        const metric = metricOf(labels);
        series.set(key, metric);
        return metric;
      },
    };
  }
}
